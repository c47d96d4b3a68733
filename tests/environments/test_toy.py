"""The toy's optimum and gradient, by a loop over all selections in plain Python."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import page_blocks
import pytest
from forks import net, ppo
from optax import adam, apply_updates

from trsum_jax.environments import one_step, toy
from trsum_jax.errors import InputError
from trsum_jax.method import episodes, estimators

SMALL = toy.make(jax.random.key(1), segments=2, length=6, scenes=2, noise=0.05, price=0.4)


def by_loop(segment):
    """Every selection of a segment, and what it earns."""
    frames = np.asarray(SMALL.frames[segment], np.float64)
    rewards = {}
    for action in itertools.product([False, True], repeat=6):
        nearest = [
            min([math.dist(x, frames[s]) for s in range(6) if action[s]] or [math.inf]) for x in frames
        ]
        rewards[action] = math.exp(-sum(nearest) / 6) - 0.4 * sum(action) / 6
    return rewards


@pytest.mark.parametrize('segment', [0, 1])
def test_the_optimum_and_the_gradient_are_those_of_a_loop_over_all_selections(segment):
    rewards = by_loop(segment)
    best = max(rewards, key=rewards.get)
    action, reward = toy.optimum(SMALL, segment)
    assert tuple(np.asarray(action).tolist()) == best
    assert float(reward) == pytest.approx(rewards[best], abs=1e-5)
    logits = np.array([0.3, -1.2, 0.8, 0.1, -0.4, 0.5])
    p = 1 / (1 + np.exp(-logits))
    expected, gradient = 0.0, np.zeros(6)
    for action, reward in rewards.items():
        probability = np.prod(np.where(action, p, 1 - p))
        expected += probability * reward
        gradient += probability * reward * (np.array(action) - p)
    given = SMALL, segment, jnp.asarray(logits, jnp.float32)
    assert float(toy.expected_reward(*given)) == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(toy.exact_gradient(*given), gradient, atol=1e-5)


def test_without_noise_one_frame_of_each_scene_is_best():
    plain = toy.make(jax.random.key(0), segments=2, length=6, scenes=3, noise=0.0, price=0.4)
    for segment in range(2):
        action, reward = toy.optimum(plain, segment)
        scenes = np.asarray(plain.frames[segment])[np.asarray(action)].argmax(axis=1)
        assert sorted(scenes) == [0, 1, 2]
        assert float(reward) == pytest.approx(1 - 0.4 * 3 / 6, abs=1e-6)


@pytest.mark.parametrize('fields', [{'length': 13}, {'length': 2}, {'scenes': 0}])
def test_what_cannot_be_enumerated_is_refused(fields):
    with pytest.raises(InputError, match=r'expected scenes <= length <= 12, at least one, found length \d+'):
        toy.make(jax.random.key(0), **fields)


def test_reinforce_reaches_the_neighbourhood_of_the_optimum():
    """Of the gain from a fair coin to the optimum, both exact, an estimator of ours gets nine tenths."""
    adjust, seen = adam(0.1), episodes.Baseline(jnp.array(0.0), jnp.array(False))

    def rewards_of(actions):
        return estimators.Outcome(SMALL.reward(0, actions), jnp.zeros(actions.shape))

    def step(now, key):
        logits, moments = now

        def surrogate(x):
            options = {'n_episodes': 16, 'kind': 'leave_one_out'}
            return estimators.reinforce(key, x, jnp.ones(6, bool), rewards_of, seen, **options).surrogate

        updates, moments = adjust.update(jax.grad(surrogate)(logits), moments)
        return (apply_updates(logits, updates), moments), None

    start = jnp.zeros(6)
    keys = jax.random.split(jax.random.key(2), 600)
    (logits, _), _ = jax.jit(lambda: jax.lax.scan(step, (start, adjust.init(start)), keys))()
    before, after = (float(toy.expected_reward(SMALL, 0, x)) for x in (start, logits))
    best = float(toy.optimum(SMALL, 0)[1])
    assert best - after < 0.1 * (best - before)


def test_a_foreign_algorithm_reaches_the_neighbourhood_of_the_optimum():
    """The one that `studies/test_comparison` trains on the real task."""
    env, states = one_step.OneStep(SMALL), jnp.arange(2)

    @jax.jit
    def trained(key, toy):
        rewards, done, weights = ppo(env, toy, key, updates=150)
        logits, _ = net(weights, jax.vmap(toy.observe)(states))
        return rewards, done, jax.vmap(toy.reward)(states, logits[:, None] > 0)

    rewards, done, likeliest = trained(jax.random.key(0), SMALL)
    best = np.array([toy.optimum(SMALL, state)[1] for state in states])
    assert done
    assert np.mean(best - likeliest[:, 0]) < 0.1 * np.mean(best - rewards[0])


def test_the_documentation_takes_the_one_step_of_an_episode():
    found = page_blocks.run(page_blocks.holding('forks.md', 'env.step('), task=SMALL)
    assert found['seen'].shape == found['env'].observation_space().shape == (6, 3)
    assert found['terminated'] and not found['truncated'] and found['info']['discount'] == 0
    _, state = found['env'].reset(found['key'])
    reward = SMALL.reward(state, found['action'][None])[0]
    assert found['reward'] == reward
    old = one_step.OneStep(SMALL, before_1=True).step(found['key'], state, found['action'])
    assert len(old) == 5 and old[2] == reward and old[3]
    assert found['env'].action_space().contains(found['action']) and found['env'].num_actions == 6
    assert not found['env'].action_space().contains(2 * jnp.ones(6))
