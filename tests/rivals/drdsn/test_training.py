"""One step of DR-DSN's training against the same step in numpy (`by_hand`); only the actions are given."""

import functools

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
from by_hand import assert_near, exact, sigmoid
from rivals_setting import RivalSetting

from trsum_jax.data.splits import Fold
from trsum_jax.method import episodes
from trsum_jax.training.epoch import Batch

WINDOW, SHARE, WEIGHT, MOMENTUM = 3, 0.3, 0.5, 0.7
LENGTHS = np.array([9, 8, 4])


def reward(frames, action):
    """Mean dissimilarity of all pairs of selected frames, and how near every frame has a selected one."""
    picked, unit = np.flatnonzero(action), frames / np.linalg.norm(frames, axis=1, keepdims=True)
    if len(picked) == 0:
        return 0.0
    apart = [1.0 if abs(s - t) > WINDOW else 1 - unit[s] @ unit[t] for s in picked for t in picked if s != t]
    nearest = [min(np.linalg.norm(frame - frames[s]) for s in picked) for frame in frames]
    return (np.mean(apart) if apart else 0.0) + np.exp(-np.mean(nearest))


def test_a_step_of_drdsn_is_that_of_numpy():
    fields = {
        'batch': 4, 'width': 2, 'learning_rate': 0.1, 'weight_decay': 0.2, 'clip': 0.1, 'window': WINDOW,
        'share': SHARE, 'penalty_weight': WEIGHT, 'baseline_momentum': MOMENTUM,
    }  # fmt: skip
    videos = by_hand.videos()
    setting = RivalSetting(
        'drdsn', videos=videos, folds=[Fold(tuple(video.key for video in videos), ())],
        **{f'drdsn.{name}': value for name, value in fields.items()},
    )  # fmt: skip
    stage, settings, rng = setting.stage, setting.config.drdsn, np.random.default_rng(4)
    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    before, seen = np.array([0.9, 0.3, 0.8, 0.5]), np.array([False, True, False, True])
    state = by_hand.midway(jax.jit(stage.init)(run, ()), rng)
    state = state._replace(baseline=episodes.Baseline(*map(jnp.array, (before, seen))))
    # The last row, of video 0, is padding.
    order, keys = np.array([3, 1, 2]), jax.random.split(jax.random.key(5), 4)
    batch = Batch(jnp.array([*order, 0]), jnp.array([1.0, 1, 1, 0]), keys, jnp.float32(3))
    frames = [videos[video].features.astype(np.float64) for video in order]

    def policy(p):
        """The logits of every video."""
        return [by_hand.dense(p['score'], by_hand.both_ways(p['lstm'], one))[:, 0] for one in frames]

    params = exact(state.params)
    logits = np.array([np.pad(one, (0, 9 - len(one))) for one in policy(params)], np.float32)
    sample = jax.jit(jax.vmap(functools.partial(episodes.sample, n_episodes=5)))
    drawn = np.array(sample(keys[:3], logits, np.arange(9)[None] < LENGTHS[:, None]))
    actions = [one[:, :n] for one, n in zip(drawn, LENGTHS, strict=True)]
    rewards = np.array([[reward(e, a) for a in each] for e, each in zip(frames, actions, strict=True)])
    mean_reward = rewards.mean(axis=1)
    advantages = rewards - np.where(seen[order], before[order], mean_reward)[:, None]

    def loss(p):
        total = 0
        for logits, each, advantage in zip(policy(p), actions, advantages, strict=True):
            log_policy = by_hand.log_probability(logits[None], each).mean(axis=1)
            total += WEIGHT * (sigmoid(logits).mean() - SHARE) ** 2 - np.mean(advantage * log_policy)
        return total / 3

    grads = by_hand.gradient(loss, params)
    assert by_hand.norm(grads) > 1.5 * settings.clip, 'the clip would do nothing'
    after, told = jax.jit(stage.step)(state, batch, setting.corpus, run, ())
    moments = by_hand.moments_of(state)
    expected, moments = by_hand.adam_l2(params, grads, moments, settings, settings.learning_rate)
    assert_near(after.params, expected)
    assert_near(by_hand.moments_of(after), moments)
    new, kept = np.array([0, *mean_reward[[1, 2, 0]]]), np.array([1, MOMENTUM, 0, MOMENTUM])
    assert_near(after.baseline.value, kept * before + (1 - kept) * new)
    assert after.baseline.seen.tolist() == [False, True, True, True]
    assert_near(told['reward'][:3], mean_reward)
    assert_near(told['reward_std'][:3], rewards.std(axis=1))
