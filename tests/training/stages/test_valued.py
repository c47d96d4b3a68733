"""A learned value on top of the moving average: what it changes, and what it must not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.bench import estimating
from trsum_jax.method import estimators
from trsum_jax.method.episodes import Baseline
from trsum_jax.training import scoring
from trsum_jax.training.epoch import Batch
from trsum_jax.training.stages.valued import with_value

REWARDS = np.array([0.2, 0.5, 0.9])


def estimate(key, logits, segment, rewards_of, baseline, *rest):
    """Tells what it was given as the moving average."""
    del key, segment, rewards_of, rest
    advantages = jnp.array(REWARDS) - baseline.value
    return estimators.Estimate(jnp.sum(logits * advantages), jnp.array(REWARDS), advantages)


@pytest.mark.parametrize('seen', [True, False])
def test_the_value_stands_on_top_of_the_average_and_learns_what_it_missed(seen):
    def surrogate(logits, value):
        baseline = Baseline(jnp.array(0.4), jnp.array(seen))
        found = with_value(estimate, value, None, logits, None, None, baseline, 0.0, None)
        return found.surrogate, found

    (slope, of_value), found = jax.grad(surrogate, (0, 1), has_aux=True)(jnp.zeros(3), jnp.array(0.3))
    np.testing.assert_allclose(found.advantages, REWARDS - 0.7, atol=1e-6)
    # The surrogate's own gradient is as before; the value's is that of half a square, of known videos.
    np.testing.assert_allclose(slope, REWARDS - 0.7, atol=1e-6)
    missed = 0.7 - REWARDS.mean() if seen else 0.0
    assert float(of_value) == pytest.approx(missed, abs=1e-6)
    assert float(found.told['value_error']) == pytest.approx(missed**2, abs=1e-6)


@pytest.fixture(scope='module')
def trained():
    """A setting with a value, and one without, of one generator, each after one step."""
    found = {}
    for baseline in ('moving_average', 'value'):
        fields = {'summarizer.baseline': baseline, 'summarizer.batch': 2, 'summarizer.warmup': 0.0}
        setting = Setting(tiny_config(**fields))
        run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
        if not found:
            frozen = jax.jit(setting.stage1.init)(run, ()).params
        state = jax.jit(setting.stage2.init)(run, frozen)
        known = Baseline(jnp.full_like(state.baseline.value, 0.4), jnp.full_like(state.baseline.seen, True))
        batch = Batch(run.segments[:2], jnp.ones(2), jax.random.split(jax.random.key(1), 2), jnp.float32(1))
        start = state._replace(baseline=known)
        after, told = jax.jit(setting.stage2.step)(start, batch, setting.corpus, run, frozen)
        found[baseline] = setting, state, after, told
    return found


def test_the_first_step_is_that_of_the_moving_average_and_the_head_alone_learns_besides(trained):
    _, before, plain, told_plain = trained['moving_average']
    _, start, after, told = trained['value']
    assert set(after.params) == {*plain.params, 'value'}
    for name in before.params:
        jax.tree.map(np.testing.assert_array_equal, before.params[name], start.params[name])
        # The value begins at 0, and its error does not reach the encoder.
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.params[name], plain.params[name]
        )
    np.testing.assert_allclose(told['reward'], told_plain['reward'], rtol=1e-6)
    np.testing.assert_allclose(told['value_error'], (0.4 - np.asarray(told['reward'])) ** 2, atol=1e-6)
    kernel = np.asarray(after.params['value']['kernel'])
    assert not np.any(np.asarray(start.params['value']['kernel']))
    assert np.any(kernel)


def test_a_value_does_not_depend_on_padding_nor_on_what_stands_beside(trained):
    setting, _, after, _ = trained['value']
    module = jax.jit(setting.bound.second.summarizer.apply)
    frames = jax.random.normal(jax.random.key(2), (2, 8, 6))
    valid = jnp.array([[True] * 8, [True] * 5 + [False] * 3])
    _, values = module({'params': after.params}, frames, valid)
    other = frames.at[1, 5:].set(9.0).at[0].set(frames[1])
    _, same = module({'params': after.params}, other, valid)
    assert values.shape == (2,)
    assert float(values[1]) == pytest.approx(float(same[1]), abs=1e-7)
    assert float(values[0]) != pytest.approx(float(same[0]), abs=1e-7)


def test_scores_need_no_value(trained):
    setting, _, after, _ = trained['value']
    bare = {name: value for name, value in after.params.items() if name != 'value'}
    score = jax.jit(lambda params: scoring.importance(setting.summarizer, params, setting.corpus))
    np.testing.assert_array_equal(score(after.params), score(bare))


def test_an_estimator_that_measures_from_no_average_is_refused_a_value():
    for name in set(estimating.ESTIMATORS) - set(estimating.WITH_BASELINE):
        config = tiny_config(**{'summarizer.baseline': 'value', 'summarizer.estimator': name})
        with pytest.raises(InputError, match='baseline: expected an estimator that takes value'):
            check.check(config)
