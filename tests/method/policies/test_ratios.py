"""Clipped ratios against the enumeration of all actions, and against a loop of updates in numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from three_frames import ACTIONS, LOGITS, SEEN, VALID, exact, outcomes, spread, wavy

from trsum_jax.method import estimators
from trsum_jax.method.episodes import Draw
from trsum_jax.method.policies import ratios

ALL = jnp.pad(ACTIONS, ((0, 0), (0, 1))).astype(bool)
# The policy that drew, some way off; at padding too.
OLD = LOGITS + jnp.array([0.5, -0.4, -0.6, 3.0])


def linear(a):
    return a[0] - 2.0 * a[1] + 3.0 * a[2]


def probabilities(logits):
    p = 1 / (1 + np.exp(-np.asarray(logits[:3], np.float64)))
    return np.prod(np.where(ACTIONS > 0, p, 1 - p), axis=1)


@functools.cache
def compiled(ratio, reduction='sum'):
    """(draw, rewards, advantages, logits, clip) -> the estimate, and what it tells."""

    def one(draw, rewards, advantages, logits, clip):
        def surrogate(x):
            options = {'ratio': ratio, 'clip': clip, 'reduction': reduction}
            found = ratios.again(draw, rewards, advantages, x, VALID, **options)
            return found.surrogate, found

        gradient, found = jax.grad(surrogate, has_aux=True)(logits)
        return -gradient, found

    return jax.jit(one)


def expected(ratio, reward, clip=1e9):
    """The mean of the estimate over what the old policy draws: every action once, by its probability."""
    rewards = jax.vmap(reward)(ALL.astype(jnp.float32))
    weighed = rewards * len(ALL) * probabilities(OLD)
    return np.asarray(compiled(ratio)(Draw(OLD, ALL), rewards, weighed, LOGITS, clip)[0])


def bias(ratio, clip=1e9):
    truth = exact(wavy)[:3]
    return np.linalg.norm(expected(ratio, wavy, clip)[:3] - truth) / np.linalg.norm(truth)


def test_the_whole_ratio_without_a_clip_is_unbiased_and_the_clip_is_what_biases_it():
    np.testing.assert_allclose(expected('episode', wavy), [*exact(wavy)[:3], 0], atol=1e-5)
    assert bias('episode', clip=0.2) > 0.05


def test_a_ratio_by_frame_is_exact_in_the_frames_own_move_with_the_others_as_they_were():
    p = 1 / (1 + np.exp(-np.asarray(LOGITS, np.float64)))
    rewards = np.array([float(wavy(a)) for a in ALL.astype(jnp.float32)])
    old = probabilities(OLD)
    by_hand = []
    for t in range(3):
        taken = np.asarray(ALL[:, t])
        difference = np.sum(
            np.where(taken, 1, -1) * rewards * old / np.where(taken, old @ taken, old @ ~taken)
        )
        by_hand.append(p[t] * (1 - p[t]) * difference)
    np.testing.assert_allclose(expected('frame', wavy)[:3], by_hand, atol=1e-5)
    # Without an interaction of frames there is no bias; with one there is, here less than of the root.
    np.testing.assert_allclose(expected('frame', linear)[:3], exact(linear)[:3], atol=1e-5)
    assert 0.02 < bias('frame') < bias('mean')


@pytest.mark.parametrize('reduction', ['sum', 'mean'])
@pytest.mark.parametrize('ratio', ratios.RATIOS)
def test_of_one_policy_it_is_reinforce(ratio, reduction):
    wanted = functools.partial(outcomes, wavy, spread(wavy))

    def surrogate(x):
        options = {'n_episodes': 5, 'reduction': reduction}
        found = estimators.reinforce(jax.random.key(3), x, VALID, wanted, SEEN, **options)
        return found.surrogate, found

    plain, first = jax.jit(jax.grad(surrogate, has_aux=True))(LOGITS)
    given = first.draw, first.rewards, first.advantages, LOGITS, 0.2
    again, found = compiled(ratio, reduction)(*given)
    np.testing.assert_allclose(again, -plain, rtol=1e-5, atol=1e-7)
    assert found.told['ratio_clipped'] == 0
    np.testing.assert_array_equal(found.advantages, first.advantages)


def by_numpy(ratio, actions, advantages, old, logits, clip):
    """The estimate of five frames, term by term, and the share of the ratios that are cut."""
    p, q = (1 / (1 + np.exp(-x)) for x in (logits, old))
    gradient, cut, count = np.zeros(len(logits)), 0, 0
    for action, advantage in zip(actions, advantages, strict=True):
        own = np.where(action, p / q, (1 - p) / (1 - q))
        score = action - p
        if ratio == 'frame':
            each = [(own[t], np.eye(len(p))[t] * score) for t in range(len(p))]
        else:
            whole = np.prod(own)
            each = [(whole if ratio == 'episode' else whole ** (1 / len(p)), score)]
        for r, slope in each:
            beyond = r > 1 + clip if advantage > 0 else r < 1 - clip
            gradient += 0 if beyond else r * advantage * slope
            cut, count = cut + beyond, count + 1
    return gradient / len(actions), cut / count


@pytest.mark.parametrize('ratio', ratios.RATIOS)
def test_several_updates_are_those_of_numpy_and_the_clip_binds(ratio):
    rng = np.random.default_rng(1)
    old = np.array([0.3, -0.5, 0.8])
    actions, advantages = rng.random((6, 3)) < 0.5, rng.standard_normal(6)
    draw = Draw(jnp.array([*old, 2.0], jnp.float32), jnp.pad(jnp.array(actions), ((0, 0), (0, 1))))
    ours, theirs, cuts = draw.logits, old, []
    for _ in range(4):
        given = draw, jnp.zeros(6), jnp.array(advantages, jnp.float32), ours, 0.1
        gradient, found = compiled(ratio)(*given)
        hand, cut = by_numpy(ratio, actions, advantages, old, theirs, 0.1)
        np.testing.assert_allclose(gradient, [*hand, 0], atol=1e-5)
        assert float(found.told['ratio_clipped']) == pytest.approx(cut, abs=1e-6)
        cuts.append(cut)
        ours, theirs = ours + 0.8 * gradient, theirs + 0.8 * hand
    assert cuts[0] == 0 < cuts[-1] < 1


@pytest.mark.parametrize('ratio', ratios.RATIOS)
def test_a_policy_far_away_gives_numbers(ratio):
    for move in (200.0, -200.0):
        draw = Draw(LOGITS + move * jnp.array([1, -1, 1, 1]), ALL)
        given = draw, jnp.zeros(8), -jnp.ones(8), LOGITS, 0.2
        assert np.isfinite(compiled(ratio)(*given)[0]).all()


def test_in_their_own_unit_advantages_of_leave_one_out_are_those_of_grpo():
    wanted = functools.partial(outcomes, wavy, spread(wavy))
    plain = functools.partial(estimators.reinforce, n_episodes=4, kind='leave_one_out')
    key = jax.random.key(7)

    def surrogate(x):
        found = ratios.in_own_unit(plain, key, x, VALID, wanted, SEEN)
        return found.surrogate, found

    slope, told = jax.jit(jax.grad(surrogate, has_aux=True))(LOGITS)
    rewards, actions = np.asarray(told.rewards), np.asarray(told.draw.actions)[:, :3]
    assert len(set(rewards.tolist())) > 2
    advantages = (rewards - rewards.mean()) / rewards.std()
    p = np.asarray(jax.nn.sigmoid(LOGITS))[:3]
    np.testing.assert_allclose(-slope, [*(advantages[:, None] * (actions - p)).mean(axis=0), 0], atol=1e-5)


def test_a_segment_whose_episodes_are_all_worth_the_same_teaches_nothing():
    # Rewards that are equal but for their last digit.
    wanted = functools.partial(outcomes, lambda a: 0.3 + 3e-8 * a[0], spread(wavy))
    plain = functools.partial(estimators.reinforce, n_episodes=4, kind='leave_one_out')
    one = functools.partial(ratios.in_own_unit, plain, jax.random.key(7))
    found = jax.jit(jax.grad(lambda x: one(x, VALID, wanted, SEEN).surrogate))(LOGITS)
    np.testing.assert_allclose(found, 0.0, atol=1e-6)
