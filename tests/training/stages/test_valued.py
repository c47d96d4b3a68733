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

    traced = jax.jit(jax.grad(surrogate, (0, 1), has_aux=True))
    (slope, of_value), found = traced(jnp.zeros(3), jnp.array(0.3))
    np.testing.assert_allclose(found.advantages, REWARDS - 0.7, atol=1e-6)
    # The surrogate's own gradient is as before; the value's is that of half a square, of known videos.
    np.testing.assert_allclose(slope, REWARDS - 0.7, atol=1e-6)
    missed = 0.7 - REWARDS.mean() if seen else 0.0
    assert float(of_value) == pytest.approx(missed, abs=1e-6)
    assert float(found.told['value_error']) == pytest.approx(missed**2, abs=1e-6)


@pytest.fixture(scope='module')
def made():
    """The module with a value, compiled; its parameters at the start, and with a head that has learned."""
    setting = Setting(tiny_config(**{'summarizer.baseline': 'value'}))
    module = setting.bound.second.summarizer
    frames = jax.random.normal(jax.random.key(2), (2, 8, 6))
    valid = jnp.array([[True] * 8, [True] * 5 + [False] * 3])
    start = jax.jit(module.init)(jax.random.key(0), frames[0], valid[0])['params']
    head = {'kernel': jax.random.normal(jax.random.key(3), start['value']['kernel'].shape)}
    both = jax.jit(lambda params, frames: module.apply({'params': params}, frames, valid, method='policy'))
    return setting, both, frames, start, {**start, 'value': head}


def test_a_value_begins_at_0_and_the_logits_are_those_without(made):
    setting, both, frames, start, learned = made
    logits, values = both(start, frames)
    np.testing.assert_array_equal(values, np.zeros(2))
    valid = jnp.array([[True] * 8, [True] * 5 + [False] * 3])
    without = setting.summarizer.clone(value=False)
    # Scores are the logits alone, whatever the head has learned.
    for module in (setting.summarizer, without):
        alone = jax.jit(lambda params, module=module: module.apply({'params': params}, frames, valid))
        np.testing.assert_allclose(alone(learned), logits, atol=1e-6)


def test_the_error_of_a_value_reaches_its_head_alone(made):
    _, both, frames, _, learned = made
    slopes = jax.jit(jax.grad(lambda params: jnp.sum(both(params, frames)[1])))(learned)
    assert np.any(slopes.pop('value')['kernel'])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(slopes))


def test_a_value_does_not_depend_on_padding_nor_on_what_stands_beside(made):
    _, both, frames, _, learned = made
    values = both(learned, frames)[1]
    same = both(learned, frames.at[1, 5:].set(9.0).at[0].set(frames[1]))[1]
    assert values.shape == (2,)
    assert float(values[1]) == pytest.approx(float(same[1]), abs=1e-6)
    assert abs(float(values[0] - same[0])) > 1e-4


def test_an_estimator_that_measures_from_no_average_is_refused_a_value():
    for name in set(estimating.ESTIMATORS) - set(estimating.WITH_BASELINE):
        config = tiny_config(**{'summarizer.baseline': 'value', 'summarizer.estimator': name})
        with pytest.raises(InputError, match='baseline: expected an estimator that takes value'):
            check.check(config)
