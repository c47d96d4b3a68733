"""One step of either stage against the same step in numpy (`by_hand`), of which only the draws are given."""

import functools

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_hand import assert_near, exact, sigmoid
from tiny import Setting, tiny_config

from trsum_jax.method import episodes, masking
from trsum_jax.training import trsum
from trsum_jax.training.corpus import gather
from trsum_jax.training.epoch import Batch

LENGTH = 6
SMALL = {
    'decomposition.length': LENGTH, 'model.width': 4, 'model.heads': by_hand.HEADS, 'model.feed_forward': 5,
    'generator.batch': 5, 'summarizer.batch': 5,
}  # fmt: skip
# Of either stage: warm-up until epoch 5 of 20.
OPTIMIZER = {'epochs': 20, 'warmup': 0.25, 'learning_rate': 0.1, 'weight_decay': 0.2}
# Segments of the corpus, with their video and their frames of it: two of video 3, and all of video 2.
SEGMENTS = {6: (3, [0, 1, 2, 3, 4, 5]), 8: (3, [0, 2, 4, 6, 8]), 3: (1, [0, 2, 4, 6]), 5: (2, [0, 1, 2, 3])}
VIDEOS = np.array([video for video, _ in SEGMENTS.values()])
# The fifth segment, of video 0, is padding.
BATCH = Batch(
    jnp.array([*SEGMENTS, 0]), jnp.array([1.0, 1, 1, 1, 0]), jax.random.split(jax.random.key(4), 5), None
)


def setting_of(stage, **flat):
    flat = SMALL | {f'{stage}.{name}': value for name, value in OPTIMIZER.items()} | flat
    return Setting(tiny_config(**flat), videos=by_hand.videos())


def start(setting, stage, frozen=()):
    """The first run, and its state before the first step."""
    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    return run, jax.jit(stage.init)(run, frozen)


def features_of(setting):
    """Of every video, as the first run sees them: by the mean and the spread of what it trains on."""
    raw = [video.features.astype(np.float64) for video in setting.videos]
    if not setting.config.data.standardize:
        return raw
    own = np.concatenate(
        [raw[i] for i, video in enumerate(setting.videos) if video.key in setting.folds[0].train]
    )
    assert len(own) < sum(map(len, raw))
    away = np.linalg.norm(own - own.mean(axis=0), axis=1)
    return [(one - own.mean(axis=0)) / np.sqrt(np.mean(away**2)) for one in raw]


def frames_of(setting):
    features = features_of(setting)
    return [features[video][steps] for video, steps in SEGMENTS.values()]


def padded(rows):
    """[4, LENGTH] of rows of different lengths, and which positions are valid."""
    counts = np.array([[len(row)] for row in rows])
    filled = np.array([np.pad(row, (0, LENGTH - len(row))) for row in rows])
    return filled, np.arange(LENGTH)[None] < counts


def steps_along(grads, setting, stage, state, run, frozen):
    """Checks a step during the warm-up, and one after it; the last one's state and metrics."""
    settings, params, moments = setting.config[stage.name], exact(state.params), by_hand.moments_of(state)
    # Numbers of this run alone, which the stage was not bound with.
    own = {'learning_rate': 0.07, 'weight_decay': 0.3, 'clip': 0.6 * settings.clip}
    settings.update(own)
    run = run._replace(dials=run.dials | {f'{stage.name}.{name}': value for name, value in own.items()})
    assert by_hand.norm(grads) > 1.5 * settings.clip, 'the clip would do nothing'
    assert (stage.draws, stage.batch) == (stage.name, 5)
    step = jax.jit(stage.step)
    for progress in (2.0, 13.0):
        batch = BATCH._replace(progress=jnp.float32(progress))
        after, told = step(state, batch, setting.corpus, run, frozen)
        expected, moments_after = by_hand.adamw(params, grads, moments, settings, progress)
        assert_near(after.params, expected)
        assert_near(by_hand.moments_of(after), moments_after)
        assert {*stage.shown, *stage.roots} <= set(told)
    return after, {name: values[:4] for name, values in told.items()}


def trivial_losses(frames, shown, hidden, candidate):
    """Of the mean of what is seen, and of the nearest frame seen, the earlier of two."""
    seen = np.flatnonzero(~hidden)
    nearest = [min(seen, key=lambda s, t=t: abs(s - t)) for t in range(len(frames))]
    mean = np.repeat(shown[seen].mean(axis=0, keepdims=True), len(frames), axis=0)
    return [by_hand.frame_losses(frames, other)[candidate].mean() for other in (mean, shown[nearest])]


def test_what_the_stages_say_of_themselves():
    """Names are folders of checkpoints, and streams of random numbers."""
    setting = setting_of('summarizer', **{'summarizer.batch': 3, 'generator.patience': 7})
    first, second = setting.bound.stages
    assert (first.name, first.draws, first.batch) == ('generator', 'generator', 5)
    assert first.shown == ('loss', 'loss_segment_mean', 'loss_copy_nearest')
    assert (second.name, second.draws, second.batch) == ('summarizer', 'summarizer', 3)
    assert second.shown == ('reward', 'reward_std', 'p_mean', 'p_std')
    assert (first.roots, second.roots) == ((), ('advantage_rms',))
    assert (first.patience, second.patience) == (7, 0)
    run = setting.runs._replace(aside=(setting.runs.segments[:, :2], setting.runs.weight[:, :2]))
    assert first.sees(run) is run
    assert second.sees(run).segments.shape[1] == run.segments.shape[1] + 2


def test_a_step_of_the_generator_is_that_of_numpy():
    fates = {'mask': 0.5, 'replace': 0.3}
    setting = setting_of('generator', **{
        'generator.clip': 0.7, 'masking.mask_ratio': 0.6,
    })  # fmt: skip
    run, state = start(setting, setting.stage1)
    # Numbers of this run alone.
    run = run._replace(dials={f'masking.{name}': value for name, value in fates.items()})
    state = by_hand.midway(state, np.random.default_rng(1))

    # Drawn as the step draws: windows of candidates, and what becomes of them.
    @jax.jit
    @jax.vmap
    def draw(key, valid, shot, n_steps):
        window_key, fate_key, _ = jax.random.split(key, 3)
        window = masking.dynamic_windows(window_key, valid, shot, window_ratio=0.5, mask_ratio=0.6)
        return window >= 0, *masking.corrupt(fate_key, window, n_steps, **fates)

    shots, valid = padded([np.array([0, 0, 1, 1, 1, 2, 2, 2, 2])[steps] for _, steps in SEGMENTS.values()])
    n_steps = np.array([setting.videos[video].n_steps for video in VIDEOS])
    draws = np.array(draw(BATCH.keys[:4], valid, shots, n_steps))
    candidates, masked, replaced, _ = draws.astype(bool)
    assert all(fate.any() for fate in (masked, replaced, candidates & ~masked & ~replaced))

    # Hidden frames are not seen; a replaced one shows another frame of its own video.
    segments = []
    for i, frames in enumerate(frames_of(setting)):
        candidate, hidden, replaced, source = draws[:, i, : len(frames)]
        other = features_of(setting)[VIDEOS[i]][source]
        shown = np.where(replaced[:, None], other, frames)
        segments.append((frames, shown, hidden.astype(bool), candidate.astype(bool)))

    def loss_of(p, frames, shown, hidden, candidate):
        return by_hand.frame_losses(frames, by_hand.generator(p, shown, hidden))[candidate].mean()

    params = exact(state.params)
    grads = by_hand.gradient(lambda p: np.mean([loss_of(p, *one) for one in segments]), params)
    _, told = steps_along(grads, setting, setting.stage1, state, run, ())
    trivial = [trivial_losses(*one) for one in segments]
    assert_near(told, {
        'loss': np.array([loss_of(params, *one) for one in segments]),
        'loss_segment_mean': np.array([by_mean for by_mean, _ in trivial]),
        'loss_copy_nearest': np.array([by_copy for _, by_copy in trivial]),
    })  # fmt: skip


CHOICES = {
    'in units': {'summarizer.advantage_unit': 'spread'},
    'published': {
        'model.centred': False, 'model.scale_features': False, 'summarizer.baseline_start': 'zero',
        'summarizer.reward_reconstruction': 'generator', 'data.standardize': False,
    },
    'others': {
        'summarizer.reward_frames': 'unselected', 'summarizer.log_probability': 'mean',
        'summarizer.penalty': 'absolute', 'summarizer.from_generator': False,
        'summarizer.advantage_unit': 'spread',
    },
}  # fmt: skip


def reward(p, frames, action, settings, like):
    """The generator sees the selected frames alone. By default these are compared as they are."""
    rebuilt = by_hand.generator(p, frames, ~action, **like)
    if settings.reward_reconstruction == 'composed':
        rebuilt = np.where(action[:, None], frames, rebuilt)
    losses = by_hand.frame_losses(frames, rebuilt)
    if settings.reward_frames == 'unselected':
        losses = losses[~action]
    return sigmoid(-losses.sum() / max(len(losses), 1))


def penalty(logits, settings):
    excess = sigmoid(logits).mean() - settings.share
    return abs(excess) if settings.penalty == 'absolute' else excess**2


@pytest.mark.parametrize('choices', CHOICES)
def test_a_step_of_the_summarizer_is_that_of_numpy(choices):
    setting = setting_of('summarizer', **CHOICES[choices], **{
        'summarizer.clip': 0.12, 'summarizer.episodes': 4, 'summarizer.share': 0.3,
        'summarizer.entropy_weight': 2.0,
    })  # fmt: skip
    settings, model = setting.config.summarizer, setting.config.model
    rng = np.random.default_rng(2)
    frozen = by_hand.moved(start(setting, setting.stage1)[1].params, rng)
    run, state = start(setting, setting.stage2, frozen)
    dials = {'penalty_weight': 0.5, 'entropy_weight': 0.2, 'baseline_momentum': 0.7}
    run = run._replace(dials={f'summarizer.{name}': value for name, value in dials.items()})
    same = jax.tree.map(lambda a, b: np.array_equal(a, b), state.params['encoder'], frozen['encoder'])
    assert all(jax.tree.leaves(same)) == (choices != 'others')
    assert setting.stage2.roots == ('advantage_rms',)
    assert np.all(state.baseline.seen == (choices == 'published'))
    before, seen = np.array([0.9, 0.3, 0.8, 0.5]), np.array([False, True, False, True])
    state = by_hand.midway(state, rng)
    state = state._replace(baseline=episodes.Baseline(*map(jnp.array, (before, seen))))
    # No spread is known before the first step.
    in_units, known = settings.advantage_unit == 'spread', choices == 'others'
    if known:
        state = state._replace(spread=episodes.Baseline(jnp.array([0.04]), jnp.array([True])))
    like = {'centred': model.centred, 'scale': by_hand.WIDTH**0.5 if model.scale_features else 1.0}
    segments = frames_of(setting)

    def policy(p):
        """The summarizer's logits of every segment."""
        return [by_hand.summarizer(p, frames, **like) for frames in segments]

    # Drawn as the step draws: the actions, [4, 4 episodes, LENGTH].
    params = exact(state.params)
    logits, valid = padded(policy(params))
    keys = jax.vmap(jax.random.split)(BATCH.keys[:4])[:, 0]
    sample = jax.jit(jax.vmap(functools.partial(episodes.sample, n_episodes=4)))
    drawn = np.array(sample(keys, logits.astype(np.float32), valid))
    actions = [drawn[i, :, : len(frames)] for i, frames in enumerate(segments)]

    rewards = np.array([
        [reward(exact(frozen), frames, action, settings, like) for action in each]
        for frames, each in zip(segments, actions, strict=True)
    ])  # fmt: skip
    mean_reward = rewards.mean(axis=1)
    advantages = rewards - np.where(seen[VIDEOS], before[VIDEOS], mean_reward)[:, None]

    squares = (advantages**2).mean(axis=1)
    spreads = np.sqrt(np.full(4, 0.04) if known else squares) if in_units else np.ones(4)

    def loss(p):
        """REINFORCE's surrogate and the regulariser, the mean of the four segments."""
        total = 0
        for logits, each, advantage in zip(policy(p), actions, advantages / spreads[:, None], strict=True):
            log_policy = by_hand.log_probability(logits[None], each).sum(axis=1)
            log_policy /= len(logits) if settings.log_probability == 'mean' else 1
            p = sigmoid(logits)
            entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
            total += 0.5 * penalty(logits, settings) - 0.2 * entropy - np.mean(advantage * log_policy)
        return total / 4

    grads = by_hand.gradient(loss, params)
    after, told = steps_along(grads, setting, setting.stage2, state, run, frozen)
    # Video 0 is padding, video 2 is seen for the first time, video 3 gave two segments.
    new = [before[0], mean_reward[2], mean_reward[3], mean_reward[:2].mean()]
    kept = np.array([1, 0.7, 0, 0.7])
    assert_near(after.baseline.value, kept * before + (1 - kept) * new)
    assert after.baseline.seen.tolist() == [False, True, True, True]
    if in_units:
        # One for all videos; padding is not in its mean.
        assert_near(after.spread.value, [0.7 * 0.04 + 0.3 * squares.mean() if known else squares.mean()])
        assert after.spread.seen.tolist() == [True]
    assert bool(after.spread) == in_units
    # The generator stays outside; the standard is kept.
    assert after.generator == ()
    jax.tree.map(np.testing.assert_array_equal, after.standard, run.standard)
    p = [sigmoid(one) for one in policy(params)]
    assert_near(told, {
        'reward': mean_reward, 'reward_std': rewards.std(axis=1),
        'advantage_rms': squares, 'gradient_norm': np.full(4, by_hand.norm(grads)),
        'penalty': np.array([penalty(one, settings) for one in policy(params)]),
        'p_mean': np.array([one.mean() for one in p]), 'p_std': np.array([one.std() for one in p]),
    })  # fmt: skip


def test_the_loss_may_be_over_all_frames():
    setting = setting_of('generator', **{'generator.loss_frames': 'all'})
    segment = jax.jit(gather)(setting.corpus, 8)
    given = setting.bound.first, setting.bound.first.numbers, setting.corpus, segment
    keys = jax.random.split(jax.random.key(0))
    _, masked, compared, wanted = trsum.corrupted_segment(*given, *keys)
    assert masked.any()
    assert compared.tolist() == segment.valid.tolist() == [True] * 5 + [False]
    assert sorted(wanted.tolist()) == list(range(LENGTH))
