"""Rewards of three frames and one of padding, and the exact gradients that estimators are held against."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from trsum_jax.method import episodes, estimators

LOGITS = jnp.array([0.3, -1.2, 0.8, 5.0])
VALID = jnp.array([True, True, True, False])  # padding last, with a logit that would choose it
ACTIONS = jnp.array(list(itertools.product([0.0, 1.0], repeat=3)))
SEEN = episodes.Baseline(jnp.array(0.4), jnp.array(True))
DRAWS = 40_000


def wavy(a):
    """Any function of all three frames together; a reading of the padding would show."""
    return jnp.sin(jnp.dot(a, jnp.array([1.0, 2.0, 3.0, 50.0]))) + 0.7 * a[0] * a[2]


def multilinear(a):
    return a[0] - 2.0 * a[1] + 3.0 * a[0] * a[2] - a[0] * a[1] * a[2]


def outcomes(reward, parts, actions):
    actions = actions.astype(jnp.float32)
    return estimators.Outcome(jax.vmap(reward)(actions), jax.vmap(parts)(actions))


def spread(reward):
    """Parts that share a reward equally over the valid frames."""
    return lambda a: jnp.where(VALID, reward(a) / 3, 0.0)


def exact(reward):
    """The gradient of the expected reward over all actions, by enumeration."""

    def expected(logits):
        p = jax.nn.sigmoid(logits[:3])
        probability = jnp.prod(jnp.where(ACTIONS > 0, p, 1 - p), axis=1)
        return jnp.sum(probability * jax.vmap(reward)(jnp.pad(ACTIONS, ((0, 0), (0, 1)))))

    return np.asarray(jax.jit(jax.grad(expected))(LOGITS))


def draws(estimator, reward, parts=None, n_draws=DRAWS, n_episodes=2):
    rewards_of = functools.partial(outcomes, reward, parts or spread(reward))

    @jax.jit
    @jax.vmap
    def one(key):
        def surrogate(logits):
            return estimator(key, logits, VALID, rewards_of, SEEN, n_episodes=n_episodes).surrogate

        return -jax.grad(surrogate)(LOGITS)

    return np.asarray(one(jax.random.split(jax.random.key(3), n_draws)))


def z_scores(found, truth):
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(error < 0.02), 'the test could not see a bias'
    return np.abs(found.mean(axis=0) - truth)[:3] / error[:3]
