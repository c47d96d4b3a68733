"""Several updates by the same episodes: a whole step of PPO, of a policy that is a table, against numpy."""

import dataclasses
import functools
import types

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from tiny import Setting, tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.bench.estimating import BY_FRAME, ESTIMATORS, REPEATABLE, repeated
from trsum_jax.method import episodes
from trsum_jax.method.models import Summarizer
from trsum_jax.runtime import sharding
from trsum_jax.training import trsum
from trsum_jax.training.epoch import Batch
from trsum_jax.training.stages import several_updates

LENGTH, EPISODES, UPDATES, CLIP, AVERAGE = 6, 4, 3, 0.1, -0.2
WEIGHTS = np.array([1.0, -2.0, 0.5, 3.0, -1.0, 2.0])
FIELDS = {
    'decomposition.length': LENGTH, 'summarizer.batch': 4, 'summarizer.episodes': EPISODES,
    'summarizer.baseline': 'value', 'summarizer.updates': UPDATES, 'summarizer.ratio_clip': 0.9,
    'summarizer.epochs': 20, 'summarizer.warmup': 0.25, 'summarizer.learning_rate': 0.4,
    'summarizer.clip': 0.05, 'summarizer.penalty_weight': 0.5,
}  # fmt: skip
# The fourth is padding; the third is a short one.
SEGMENTS, WEIGHT = jnp.array([6, 8, 3, 0]), np.array([1.0, 1, 1, 0])


class Table(nn.Module):
    """A policy whose logits are its parameters, as is the value of all segments."""

    encoder = types.SimpleNamespace(config=types.SimpleNamespace(dropout=0))
    scores = staticmethod(Summarizer.scores)

    def __call__(self, frames, valid):
        return self.policy(frames, valid)[0]

    @nn.compact
    def policy(self, frames, valid, deterministic=True):
        del frames, deterministic
        logits = self.param('logits', nn.initializers.normal(1.0), (LENGTH,))
        value = self.param('value', nn.initializers.constant(0.3), ())
        return jnp.broadcast_to(logits, valid.shape), jnp.broadcast_to(value, valid.shape[:-1])


class Nothing(nn.Module):
    """A generator that nobody asks."""

    @nn.compact
    def __call__(self, frames, valid, hidden):
        del valid, hidden
        return frames


def reward(frames, valid, action, *rest):
    """Of the action alone."""
    del frames, rest
    taken = jnp.where(valid, action.astype(jnp.float32), 0.0)
    return jnp.sin(taken @ WEIGHTS), jnp.zeros(LENGTH)


@pytest.fixture(scope='module')
def setting():
    return Setting(tiny_config(**FIELDS), videos=by_hand.videos())


@pytest.fixture(scope='module')
def setup(setting):
    stubs = {'summarizer': Table(), 'generator': Nothing(), 'reward': reward, 'from_generator': False}
    return dataclasses.replace(setting.bound.second, at_once=4, how='vmap', **stubs)


@pytest.fixture(scope='module')
def started(setting, setup):
    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    # Of this run alone, as of a dial.
    run = run._replace(dials={'summarizer.ratio_clip': jnp.float32(CLIP)})
    state = trsum.start_summarizer(setup, run, {})
    known = episodes.Baseline(jnp.full(4, AVERAGE), jnp.full(4, True))
    return run, state._replace(baseline=known)


def batch(progress=2.0):
    keys = jax.random.split(jax.random.key(4), 4)
    return Batch(SEGMENTS, jnp.array(WEIGHT, jnp.float32), keys, jnp.float32(progress))


def step_of(setting, setup, started):
    run, state = started
    stage = several_updates.learning_again(
        trsum.summarizer_stage(setup), setup, repeated(setting.config.summarizer), UPDATES
    )
    return stage.step(state, batch(), setting.corpus, run, {})


@pytest.fixture(scope='module')
def found(setting, setup, started):
    """The state after a step and its metrics, a segment at a time, of a batch that two devices share."""
    own = dataclasses.replace(setup, shards=2, at_once=1, how='map')
    step = functools.partial(step_of, setting, own, started)
    # Stands for two devices.
    return jax.jit(jax.vmap(step, axis_name=sharding.DATA, axis_size=2, out_axes=None))()


def test_a_step_is_that_of_numpy(setting, setup, started, found):
    after, told = found
    _, state = started
    valid = np.asarray(setting.corpus.valid)[SEGMENTS[:3]]
    assert not valid[2].all()
    keys = jax.vmap(jax.random.split)(batch().keys[:3])[:, 0]
    sample = jax.vmap(functools.partial(episodes.sample, n_episodes=EPISODES), (0, None, 0))
    old = np.asarray(state.params['logits'], np.float64)
    actions = np.asarray(sample(keys, state.params['logits'], valid))
    rewards = np.sin(actions @ WEIGHTS)
    advantages = rewards - (AVERAGE + 0.3)
    settings, params = setting.config.summarizer, by_hand.exact(state.params)
    moments, cut = by_hand.moments_of(state.optimizer), []
    for _ in range(UPDATES):
        p, q = by_hand.sigmoid(params['logits']), by_hand.sigmoid(old)
        gradient, shares = np.zeros(LENGTH), []
        for real, each, values in zip(valid, actions, advantages, strict=True):
            r = np.where(each, p / q, (1 - p) / (1 - q))
            beyond = np.where(values[:, None] > 0, r > 1 + CLIP, r < 1 - CLIP) & real
            shares.append(beyond.sum() / (EPISODES * real.sum()))
            gradient -= np.where(beyond | ~real, 0, r * values[:, None] * (each - p)).mean(axis=0) / 3
            excess = p[real].mean() - settings.share
            gradient += np.where(real, 0.5 * 2 * excess * p * (1 - p) / real.sum(), 0) / 3
        cut.append(np.mean(shares))
        of_value = np.mean(AVERAGE + params['value'] - rewards.mean(axis=1))
        grads = {'logits': gradient, 'value': of_value}
        params, moments = by_hand.adamw(params, grads, moments, settings, 2.0)
    assert cut[0] == 0 < cut[-1] < 1
    by_hand.assert_near(after.params, params)
    by_hand.assert_near(by_hand.moments_of(after.optimizer), moments)
    assert np.mean(told['ratio_clipped'][:3]) == pytest.approx(cut[-1], abs=1e-6)
    # What is told is of the first update, and the baselines moved once, by its rewards.
    by_hand.assert_near(told['reward'][:3], rewards.mean(axis=1))
    videos = np.asarray(setting.corpus.video)[SEGMENTS[:3]]
    by_hand.assert_near(after.baseline.value[videos[2]], 0.9 * AVERAGE + 0.1 * rewards[2].mean())
    by_hand.assert_near(told['value_error'][:3], (AVERAGE + 0.3 - rewards.mean(axis=1)) ** 2)
    assert set(told) == {*trsum_metrics(setting, setup, started), *several_updates.METRICS}


def trsum_metrics(setting, setup, started):
    run, state = started
    stage = trsum.summarizer_stage(setup)
    return jax.eval_shape(lambda: stage.step(state, batch(), setting.corpus, run, {})[1])


def test_what_serves_no_further_updates_is_refused():
    for name in set(ESTIMATORS) - set(REPEATABLE):
        config = tiny_config(**{'summarizer.updates': 2, 'summarizer.estimator': name})
        with pytest.raises(InputError, match=f'updates: expected 1 with estimator={name}'):
            check.check(config)
    config = tiny_config(**{'summarizer.updates': 2, 'summarizer.train_generator': True})
    with pytest.raises(InputError, match='updates: expected 1 with train_generator'):
        check.check(config)


def test_a_unit_of_whole_episodes_is_refused_where_none_are_weighed():
    for name in BY_FRAME:
        config = tiny_config(**{'summarizer.advantage_unit': 'group', 'summarizer.estimator': name})
        with pytest.raises(InputError, match=f'advantage_unit: expected reward or spread with {name}'):
            check.check(config)
