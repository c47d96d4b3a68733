"""The terms of a reward against hand-computed values, brute force and what must not matter."""

import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import page_blocks
import pytest
from by_hand import reconstruction_reward

from trsum_jax.method import reward_terms
from trsum_jax.method.rewards import reward_and_parts

ALL = jnp.ones(4, bool)
# Two frames east, one north, one west.
COMPASS = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])


def chosen(*positions, length=4):
    return jnp.zeros(length, bool).at[jnp.array(positions, int)].set(True)


@pytest.mark.parametrize(
    ('positions', 'expected'),
    [((), 0), ((2,), 0), ((0, 1), 0), ((0, 2), 1), ((0, 3), 2), ((0, 1, 2), 2 / 3), ((0, 1, 2, 3), 7 / 6)],
)
def test_diversity_by_hand(positions, expected):
    # The pairs of all four: 0, 1, 2, 1, 2, 1.
    assert reward_terms.diversity(COMPASS, ALL, chosen(*positions)) == pytest.approx(expected, abs=1e-6)


def test_diversity_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    frames, action = rng.standard_normal((9, 5)), rng.random(9) < 0.5
    unit = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    pairs = [1 - unit[i] @ unit[j] for i, j in itertools.combinations(np.flatnonzero(action), 2)]
    found = reward_terms.diversity(jnp.asarray(frames), jnp.ones(9, bool), jnp.asarray(action))
    assert found == pytest.approx(np.mean(pairs), abs=1e-5)


@pytest.mark.parametrize(
    ('positions', 'distances'),
    [((0, 1, 2, 3), (0, 0, 0, 0)), ((0,), (0, 1, 2**0.5, 2)), ((1, 3), (1, 0, 2**0.5, 0))],
)
def test_representativeness_by_hand(positions, distances):
    found = reward_terms.representativeness(COMPASS, ALL, chosen(*positions))
    assert found == pytest.approx(np.exp(-np.mean(distances)), abs=1e-5)


def test_distances_of_frames_that_are_near():
    frames = np.random.default_rng(2).random((6, 3)).astype(np.float32) / 10
    expected = np.linalg.norm(frames[:, None] - frames[None], axis=-1)
    np.testing.assert_allclose(reward_terms.distances(jnp.asarray(frames)), expected, atol=1e-4)


def test_an_empty_selection_represents_nothing():
    assert reward_terms.representativeness(COMPASS, ALL, chosen()) == 0


def test_transitions_are_discounted_by_their_change():
    change = jnp.array([0.0, 0.5, 1.0, 0.1])
    assert reward_terms.transitions(change, ALL, chosen(1, 2)) == pytest.approx(-0.75)
    assert reward_terms.transitions(change, ALL, chosen(0, 3)) == pytest.approx(-0.05)
    assert reward_terms.transitions(change, ALL, chosen()) == 0


@pytest.mark.parametrize(
    ('positions', 'expected'), [((), 0), ((0, 1), 1 / 3), ((1, 2), 2 / 3), ((0, 2, 3), 1)]
)
def test_coverage_counts_shots_not_frames(positions, expected):
    shot = jnp.array([7, 7, 8, 9])
    assert reward_terms.coverage(shot, ALL, chosen(*positions)) == pytest.approx(expected)


def test_side_agreement_is_the_mean_correlation_of_the_columns():
    rng = np.random.default_rng(1)
    side, action = rng.standard_normal((12, 3)), rng.random(12) < 0.4
    expected = np.mean([np.corrcoef(action, column)[0, 1] for column in side.T])
    found = reward_terms.side_agreement(jnp.asarray(side), jnp.ones(12, bool), jnp.asarray(action))
    assert found == pytest.approx(expected, abs=1e-6)


def test_what_has_no_spread_agrees_with_nothing():
    side = jnp.stack([jnp.arange(4.0), jnp.ones(4)], axis=1)
    assert reward_terms.side_agreement(side, ALL, chosen(0, 1, 2, 3)) == 0
    # One column agrees fully up to its shape, the constant one counts as 0.
    full = np.corrcoef([0, 0, 1, 1], np.arange(4))[0, 1]
    assert reward_terms.side_agreement(side, ALL, chosen(2, 3)) == pytest.approx(full / 2, abs=1e-6)


def test_one_frame_alone_agrees_with_nothing():
    side, alone = jnp.array([[3.0], [9.0]]), jnp.array([True, False])
    assert reward_terms.side_agreement(side, alone, alone) == 0


def inputs(length, padding, seed=3):
    """A random segment and action of a length, with more padding that holds garbage."""
    rng = np.random.default_rng(seed)
    frames, rebuilt = rng.standard_normal((2, length, 5)).astype(np.float32)
    action = rng.random(length) < 0.5
    shot = np.sort(rng.integers(0, 4, length))
    change = rng.random(length).astype(np.float32)
    side = rng.standard_normal((length, 2)).astype(np.float32)

    def padded(x):
        return jnp.asarray(np.concatenate([x, np.full((padding, *x.shape[1:]), 9, x.dtype)]))

    valid = jnp.arange(length + padding) < length
    return [padded(frames), valid, padded(action), *map(padded, (rebuilt, shot, change, side))]


@pytest.mark.parametrize(('at', 'expected'), [((), 0), ((0, 1), 0.25), ((0, 3, 6), 0.75), (range(9), 1)])
def test_the_term_that_the_documentation_adds_counts_quarters(at, expected):
    """Of eight frames and one of padding, which is selected in the last case."""
    of = types.SimpleNamespace(valid=jnp.arange(9) < 8, action=chosen(*at, length=9))
    assert float(page_blocks.function('rewards.md', 'quarters')(of)) == expected


@pytest.mark.parametrize('name', reward_terms.TERMS)
def test_padding_never_matters(name):
    def value(padding):
        return reward_terms.weighted_sum(
            {name: 1.0}, *inputs(10, padding), reconstruct='generator', over='all'
        )[0]

    assert abs(value(0)) > 1e-3
    assert value(6) == pytest.approx(float(value(0)), abs=1e-6)


def test_the_sum_is_the_sum_of_its_weighted_terms():
    weights = dict(zip(reward_terms.TERMS, itertools.cycle((1.0, 0.5, 2.0, -1.0, 0.25, 3.0)), strict=False))
    given = inputs(10, 2)

    def total(weights):
        return float(reward_terms.weighted_sum(weights, *given, reconstruct='composed', over='all')[0])

    expected = sum(weight * total({name: 1.0}) for name, weight in weights.items())
    assert total(weights) == pytest.approx(expected, abs=1e-5)
    assert total({}) == 0


def test_the_parts_are_those_of_the_reconstruction_by_its_weight():
    given, how = inputs(10, 2), {'reconstruct': 'composed', 'over': 'all'}

    def parts(**weights):
        return reward_terms.weighted_sum(weights, *given, **how)[1]

    _, papers = reward_and_parts(*given[:4], **how)
    assert np.any(papers < 0)
    np.testing.assert_array_equal(parts(reconstruction=0.5, coverage=3.0), 0.5 * papers)
    np.testing.assert_array_equal(parts(coverage=3.0), 0 * papers)
    assert reward_terms.weighted_sum({}, *given, **how)[0].dtype == jnp.float32


def test_another_term_is_a_line_of_the_table(monkeypatch):
    monkeypatch.setitem(reward_terms.TERMS, 'early', lambda of: jnp.float32(jnp.argmax(of.valid & of.action)))
    given = inputs(10, 2)
    given[2] = given[2].at[:3].set(False)

    def total(**weights):
        return float(reward_terms.weighted_sum(weights, *given, reconstruct='composed', over='all')[0])

    first = np.flatnonzero(given[2])[0]
    assert first >= 3
    assert total(early=2.0) == 2 * first
    assert total(early=-1.0, coverage=1.0) == pytest.approx(total(coverage=1.0) - first)
    assert total(coverage=1.0, early=0.0) == total(coverage=1.0)
    # What is said of all terms holds for it, and the others stay what they were.
    test_the_sum_is_the_sum_of_its_weighted_terms()
    test_reconstruction_alone_is_the_papers_reward_bit_for_bit('composed')


@pytest.mark.parametrize('reconstruct', ['composed', 'generator'])
def test_reconstruction_alone_is_the_papers_reward_bit_for_bit(reconstruct):
    weights = dict.fromkeys(reward_terms.TERMS, 0.0) | {'reconstruction': 1.0}
    given = inputs(10, 2)
    options = {'reconstruct': reconstruct, 'over': 'all'}
    found = jax.jit(lambda *a: reward_terms.weighted_sum(weights, *a, **options)[0])(*given)
    expected = jax.jit(lambda *a: reconstruction_reward(*a, **options))(*given[:4])
    assert found == expected
