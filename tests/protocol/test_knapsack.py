import itertools

import numpy as np
import pytest

from trsum_jax.protocol import knapsack


def solve(values, weights, capacity):
    return knapsack.solve(np.array(values, float), np.array(weights, int), capacity).tolist()


@pytest.mark.parametrize('seed', range(30))
def test_as_good_as_the_best_of_all_subsets(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 11))
    values, weights = rng.normal(0.5, 1, n), rng.integers(1, 12, n)
    capacity = int(rng.integers(0, weights.sum() + 2))
    subsets = np.array(list(itertools.product([False, True], repeat=n)))
    best = max(values[subset].sum() for subset in subsets if weights[subset].sum() <= capacity)
    chosen = knapsack.solve(values, weights, capacity)
    assert weights[chosen].sum() <= capacity
    np.testing.assert_allclose(values[chosen].sum(), best, atol=1e-12)


def test_many_items_against_an_independent_solver():
    from scipy import optimize

    rng = np.random.default_rng(0)
    values, weights = rng.random(200), rng.integers(20, 700, 200)
    chosen = knapsack.solve(values, weights, 10_500)
    exact = optimize.milp(
        -values,
        integrality=np.ones(200),
        bounds=optimize.Bounds(0, 1),
        constraints=optimize.LinearConstraint(weights[None], ub=10_500),
        options={'mip_rel_gap': 0},
    )
    assert weights[chosen].sum() <= 10_500
    np.testing.assert_allclose(values[chosen].sum(), -exact.fun, rtol=1e-9)


@pytest.mark.parametrize(
    ('values', 'weights', 'capacity', 'expected'),
    [
        ([1, 1, 1], [5, 6, 7], 4, [False, False, False]),
        ([1, 2, 3], [1, 2, 3], 100, [True, True, True]),
        ([1, 2, 3], [1, 2, 3], 6, [True, True, True]),
        ([7], [3], 3, [True]),
        ([7], [4], 3, [False]),
        ([1, 1], [1, 1], 0, [False, False]),
        ([-1, 2, -3], [1, 1, 1], 3, [False, True, False]),
        ([0, 0], [1, 1], 2, [False, False]),
        ([], [], 5, []),
    ],
    ids=[
        'nothing-fits',
        'all-fit',
        'exactly-full',
        'one-fits',
        'one-too-heavy',
        'no-room',
        'negative',
        'zero',
        'none',
    ],
)
def test_edges(values, weights, capacity, expected):
    assert solve(values, weights, capacity) == expected


@pytest.mark.parametrize(
    ('values', 'weights', 'capacity', 'expected'),
    [
        ([1, 1], [2, 2], 2, [True, False]),
        ([1, 1], [2, 1], 2, [True, False]),
        ([1, 1, 2], [1, 1, 2], 2, [True, True, False]),
        ([2, 1, 1], [2, 1, 1], 2, [True, False, False]),
        ([1, 1, 1], [2, 2, 2], 4, [True, True, False]),
    ],
)
def test_of_equal_choices_the_one_without_the_later_item(values, weights, capacity, expected):
    assert solve(values, weights, capacity) == expected


def test_sums_in_float_not_in_whole_numbers():
    # scaled to thousandths all four would be worth the same
    assert solve([0.1001, 0.1002, 0.1003, 0.1004], [1, 1, 1, 1], 2) == [False, False, True, True]


def test_rejects_weights_that_are_no_lengths():
    with pytest.raises(ValueError, match='at least 1'):
        solve([1, 1], [1, 0], 3)
    with pytest.raises(ValueError, match='one length'):
        solve([1, 1], [1], 3)


def test_weights_of_any_integer_type_are_summed_as_large_ones():
    weights = np.full(3, 200, np.uint8)
    assert knapsack.solve(np.ones(3), weights, 500).tolist() == [True, True, False]
