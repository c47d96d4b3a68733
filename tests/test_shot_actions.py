import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.method import episodes, estimators, relaxations
from trsum_jax.training.variations import over_shots

LOGITS = jnp.array([0.3, -1.2, 0.8, 0.1, 5.0])
SHOT = jnp.array([4, 4, 7, 7, 4])  # padding says the number of a real shot
VALID = jnp.array([True, True, True, True, False])
SEEN = episodes.Baseline(jnp.array(0.4), jnp.array(True))
DRAWS = 40_000


def reward(a):
    """Any function of all frames together; a reading of the padding would show."""
    return jnp.sin(jnp.dot(a, jnp.array([1.0, 0.5, 3.0, -1.0, 50.0]))) + 0.7 * a[0] * a[3]


def outcomes(actions):
    actions = actions.astype(jnp.float32)
    return estimators.Outcome(jax.vmap(reward)(actions), jnp.ones(actions.shape))


def exact(logits):
    """The gradient over the four ways to take the two shots, by enumeration."""

    def expected(logits):
        total = 0.0
        p = jax.nn.sigmoid(jnp.array([logits[:2].mean(), logits[2:4].mean()]))
        for one, other in itertools.product([0.0, 1.0], repeat=2):
            a = jnp.array([one, one, other, other, 0.0])
            total += (p[0] if one else 1 - p[0]) * (p[1] if other else 1 - p[1]) * reward(a)
        return total

    return jax.grad(expected)(logits)


@pytest.mark.parametrize('estimator', [
    functools.partial(estimators.reinforce, kind='leave_one_out'), estimators.arm, estimators.disarm,
], ids=['leave_one_out', 'arm', 'disarm'])  # fmt: skip
def test_the_gradient_is_that_of_a_policy_over_shots(estimator):
    whole = over_shots(functools.partial(estimator, n_episodes=4), SHOT)

    def one(key):
        return -jax.grad(lambda x: whole(key, x, VALID, outcomes, SEEN).surrogate)(LOGITS)

    drawn = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), DRAWS)))
    error = drawn.mean(axis=0) - exact(LOGITS)
    assert np.all(np.abs(error) <= 4.5 * drawn.std(axis=0) / DRAWS**0.5 + 1e-6)
    assert drawn[:, 4].tolist() == [0.0] * DRAWS


def test_a_shot_is_taken_whole_and_padding_never():
    seen = []

    def rewards_of(actions):
        seen.append(actions)
        return outcomes(actions)

    over_shots(functools.partial(estimators.reinforce, n_episodes=64), SHOT)(
        jax.random.key(0), LOGITS, VALID, rewards_of, SEEN
    )
    (actions,) = seen
    assert actions.dtype == bool
    assert {tuple(row) for row in np.asarray(actions).astype(int).tolist()} == {
        (one, one, other, other, 0) for one, other in itertools.product([0, 1], repeat=2)
    }


@pytest.mark.parametrize('estimator', [
    estimators.reinforce, functools.partial(estimators.local_credit, radius=1),
    functools.partial(relaxations.gumbel, temperature=1.0),
])  # fmt: skip
def test_where_every_frame_is_a_shot_nothing_changes(estimator):
    plain = functools.partial(estimator, n_episodes=4)
    every = jnp.arange(5)
    for decide in (plain, over_shots(plain, every)):
        found = decide(jax.random.key(3), LOGITS, VALID, outcomes, SEEN)
        if decide is plain:
            expected = found
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_stage_2_trains_with_it():
    setting = Setting(tiny_config(**{'summarizer.actions': 'shots'}))
    frozen = setting.train(setting.stage1, epochs=1)[0].params
    _, history = setting.train(setting.stage2, frozen, epochs=1)
    assert all(np.isfinite(value).all() for value in history[0].values())
    # Of few shots, each of several frames, draws differ more than of single frames.
    other = Setting(tiny_config())
    _, frames = other.train(other.stage2, frozen, epochs=1)
    assert np.all(history[0]['reward_std'] > frames[0]['reward_std'])
