import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from trsum_jax.method import episodes

LOGITS = jnp.array([0.3, -1.2, 0.8, 0.1])
VALID = jnp.ones(4, bool)
ACTIONS = jnp.array(list(itertools.product([False, True], repeat=4)))


def reward(action):
    """Any function of all four frames together."""
    return jnp.sin(jnp.dot(action, jnp.array([1.0, 2.0, -0.5, 3.0]))) + 0.7 * action[0] * action[2]


def expected_reward(logits):
    p = jax.nn.sigmoid(logits)
    probability = jnp.prod(jnp.where(ACTIONS, p, 1 - p), axis=1)
    return jnp.sum(probability * jax.vmap(reward)(ACTIONS.astype(float)))


def estimates(n_draws, baseline, n_episodes=5):
    """REINFORCE estimates of the gradient of the expected reward, [n_draws, 4]."""

    def one(key):
        actions = episodes.sample(key, LOGITS, VALID, n_episodes)
        rewards = jax.vmap(reward)(actions.astype(float))
        advantages = rewards - baseline(rewards)
        return -jax.grad(episodes.surrogate)(LOGITS, actions, advantages, VALID, 'sum')

    return np.asarray(jax.vmap(one)(jax.random.split(jax.random.key(3), n_draws)))


BASELINES = {
    'none': lambda rewards: 0.0,
    'a constant': lambda rewards: 0.4,
    'leave_one_out': episodes.leave_one_out,
}


@pytest.mark.parametrize('name', BASELINES)
def test_the_estimator_is_unbiased_against_all_actions(name):
    exact = np.asarray(jax.grad(expected_reward)(LOGITS))
    drawn = estimates(20_000, BASELINES[name])
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert np.all(error < 0.02), 'the test could not see a bias'
    assert np.all(np.abs(drawn.mean(axis=0) - exact) < 4.5 * error)


def test_a_baseline_of_the_same_rewards_is_biased_and_the_test_sees_it():
    exact = np.asarray(jax.grad(expected_reward)(LOGITS))
    drawn = estimates(20_000, jnp.mean)
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert np.any(np.abs(drawn.mean(axis=0) - exact) > 4.5 * error)
    # The theory: the own reward in the mean of N shrinks the gradient by (N - 1) / N.
    assert np.all(np.abs(drawn.mean(axis=0) - 0.8 * exact) < 4.5 * error)


def test_exact_enumeration_through_the_surrogate():
    """Weighting every action by its probability gives the gradient itself."""
    p = jax.nn.sigmoid(LOGITS)
    probability = jnp.prod(jnp.where(ACTIONS, p, 1 - p), axis=1)
    weighted = len(ACTIONS) * probability * jax.vmap(reward)(ACTIONS.astype(float))
    gradient = -jax.grad(episodes.surrogate)(LOGITS, ACTIONS, weighted, VALID, 'sum')
    np.testing.assert_allclose(gradient, jax.grad(expected_reward)(LOGITS), atol=1e-6)


def test_log_probability_is_that_of_scipy_and_skips_padding():
    action = jnp.array([True, False, True, False])
    p = np.asarray(jax.nn.sigmoid(LOGITS))
    expected = stats.bernoulli.logpmf(np.asarray(action), p)
    valid = jnp.array([True, True, True, False])
    total = episodes.log_probability(LOGITS, action, valid, 'sum')
    assert total == pytest.approx(expected[:3].sum(), abs=1e-5)
    assert episodes.log_probability(LOGITS, action, valid, 'mean') == pytest.approx(
        expected[:3].mean(), abs=1e-5
    )


def test_of_one_frame_the_mean_is_the_sum():
    valid = jnp.array([False, True, False, False])
    of = [episodes.log_probability(LOGITS, ACTIONS[5], valid, reduction) for reduction in ('sum', 'mean')]
    assert of[0] == of[1] == jax.nn.log_sigmoid(LOGITS[1])


def test_samples_follow_p_and_never_select_padding():
    valid = jnp.array([True, True, True, False])
    drawn = np.asarray(episodes.sample(jax.random.key(0), LOGITS, valid, 20_000))
    assert not drawn[:, 3].any()
    p = np.asarray(jax.nn.sigmoid(LOGITS))
    for t in range(3):
        assert stats.binomtest(int(drawn[:, t].sum()), 20_000, p[t]).pvalue > 1e-4


def test_leave_one_out_by_hand():
    np.testing.assert_allclose(episodes.leave_one_out(jnp.array([1.0, 2.0, 6.0])), [4.0, 3.5, 1.5])


@pytest.mark.parametrize(('penalty', 'expected'), [('square', 0.04), ('absolute', 0.2)])
def test_length_penalty_by_hand(penalty, expected):
    p = np.array([0.9, 0.5, 0.1])  # padding last: mean of the valid ones .7
    logits = jnp.asarray(np.log(p / (1 - p)))
    valid = jnp.array([True, True, False])
    assert episodes.length_penalty(logits, valid, 0.5, penalty) == pytest.approx(expected, abs=1e-6)


def test_baseline_from_the_first_reward_by_hand():
    baseline = episodes.start_baseline(3, 'first')
    video, reward = jnp.array([2, 2, 0, 1]), jnp.array([0.2, 0.4, 0.9, 0.5])
    weight = jnp.array([1.0, 1.0, 1.0, 0.0])
    assert episodes.current_baseline(episodes.baseline_of(baseline, video[0]), reward[0]) == reward[0]
    baseline = episodes.update_baseline(baseline, video, reward, weight, 0.9)
    np.testing.assert_allclose(baseline.value, [0.9, 0.0, 0.3], atol=1e-6)
    np.testing.assert_array_equal(baseline.seen, [True, False, True])
    baseline = episodes.update_baseline(baseline, video[:1], jnp.array([0.5]), jnp.ones(1), 0.9)
    np.testing.assert_allclose(baseline.value, [0.9, 0.0, 0.9 * 0.3 + 0.1 * 0.5], atol=1e-6)
    assert episodes.current_baseline(episodes.baseline_of(baseline, 2), 0.7) == baseline.value[2]


def test_baseline_from_zero_by_hand():
    baseline = episodes.start_baseline(2, 'zero')
    assert episodes.current_baseline(episodes.baseline_of(baseline, 0), 0.4) == 0.0
    baseline = episodes.update_baseline(baseline, jnp.array([0]), jnp.array([0.4]), jnp.ones(1), 0.9)
    np.testing.assert_allclose(baseline.value, [0.04, 0.0], atol=1e-7)


@pytest.mark.parametrize(('seen', 'square', 'expected'), [
    (True, 4.0, 2.0), (False, 4.0, 0.5), (False, 0.0, 1.0),
], ids=['by the average', 'by its own', 'without any'])  # fmt: skip
def test_the_unit_of_advantages_by_hand(seen, square, expected):
    spread = episodes.Baseline(jnp.array([0.25]), jnp.array([seen]))
    assert episodes.unit(spread, jnp.array(square)) == expected
    assert episodes.unit((), jnp.array(square)) == 1.0
