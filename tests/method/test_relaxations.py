import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from three_frames import (
    ACTIONS,
    LOGITS,
    SEEN,
    VALID,
    draws,
    exact,
    multilinear,
    outcomes,
    spread,
    wavy,
    z_scores,
)
from tiny import Setting, tiny_config

from trsum_jax.method import relaxations, rewards

concrete = functools.partial(relaxations.gumbel, temperature=1.0)


def test_straight_through_is_unbiased_for_a_multilinear_reward():
    found = draws(relaxations.straight_through, multilinear)
    assert np.all(z_scores(found, exact(multilinear)) < 4.5)


def test_straight_through_has_the_bias_that_enumeration_gives():
    """Its expectation is `E[∂R/∂a_t] p_t (1 - p_t)`."""
    p = jax.nn.sigmoid(LOGITS)[:3]
    probability = jnp.prod(jnp.where(ACTIONS > 0, p, 1 - p), axis=1)
    slopes = jax.vmap(jax.grad(wavy))(jnp.pad(ACTIONS, ((0, 0), (0, 1))))[:, :3]
    expected = jnp.pad(probability @ slopes * p * (1 - p), (0, 1))
    found = draws(relaxations.straight_through, wavy)
    assert np.all(z_scores(found, np.asarray(expected)) < 4.5)


def test_a_colder_relaxation_is_less_biased_and_noisier():
    warm, cold = (draws(functools.partial(relaxations.gumbel, temperature=t), wavy) for t in (1.0, 0.1))
    truth = exact(wavy)
    errors = [np.linalg.norm(found.mean(axis=0) - truth) for found in (warm, cold)]
    assert errors[1] < 0.3 * errors[0]
    assert cold.var(axis=0).sum() > 2 * warm.var(axis=0).sum()


def relaxed_actions(logits=LOGITS, **options):
    seen = []

    def rewards_of(actions):
        seen.append(np.asarray(actions))
        return outcomes(wavy, spread(wavy), actions)

    concrete(jax.random.key(0), logits, VALID, rewards_of, SEEN, n_episodes=64, **options)
    return seen[0]


def test_a_relaxation_is_soft_and_a_hard_one_rounds_it():
    soft, hard = relaxed_actions(), relaxed_actions(hard=True)
    assert np.all((soft[:, :3] > 0) & (soft[:, :3] < 1))
    np.testing.assert_array_equal(hard, soft > 0.5)
    assert len(np.unique(hard[:, :3], axis=0)) == 8


@pytest.mark.parametrize(('end', 'logit'), [('minval', 16.0), ('maxval', -16.0)])
def test_the_ends_of_the_uniform_draws_have_finite_logarithms(end, logit, monkeypatch):
    def uniform(key, shape, minval=0.0, maxval=1.0):
        return jnp.full(shape, {'minval': minval, 'maxval': maxval}[end], jnp.float32)

    monkeypatch.setattr(jax.random, 'uniform', uniform)
    # An infinite draw would make it 0 or 1 whatever the logit.
    np.testing.assert_allclose(relaxed_actions(jnp.full(4, logit))[:, :3], 0.5, atol=0.05)


def test_temperature_falls_in_equal_ratios():
    found = [relaxations.temperature_at(at, 10, 2.0, 0.02) for at in (-1, 0, 5, 10, 11)]
    np.testing.assert_allclose(found, [2.0, 2.0, 0.2, 0.02, 0.02], rtol=1e-5)


@pytest.mark.parametrize('over', rewards.FRAMES)
@pytest.mark.parametrize('reconstruct', rewards.RECONSTRUCTIONS)
@pytest.mark.parametrize('token', ['zero', 'learned'])
def test_a_soft_mask_at_0_and_1_is_the_hard_one_and_has_a_slope_at_every_frame(reconstruct, over, token):
    setting = Setting(tiny_config(**{'model.mask_token': token}))
    frames = jax.random.normal(jax.random.key(1), (8, 6))
    valid, action = jnp.arange(8) < 6, jnp.array([1, 0, 0, 1, 1, 0, 0, 0], bool)
    params = setting.generator.init(jax.random.key(0), frames, valid, ~action)

    def reward(action):
        rebuilt = setting.generator.apply(params, frames, valid, rewards.unselected(action))
        how = {'reconstruct': reconstruct, 'over': over}
        return rewards.reward_and_parts(frames, valid, action, rebuilt, **how)[0]

    soft = action.astype(jnp.float32)
    assert float(reward(soft)) == pytest.approx(float(reward(action)), abs=1e-6)
    slope = np.asarray(jax.grad(reward)(soft))
    assert np.all(slope[:6] != 0)
    assert not slope[6:].any()
    # Of a selected frame, whose loss weighs nothing yet, and of another.
    for place in (0, 1):
        moved = [float(reward(soft.at[place].add(step))) for step in (0.01, -0.01)]
        assert slope[place] == pytest.approx((moved[0] - moved[1]) / 0.02, rel=0.05, abs=2e-4)
