"""KTS against the reference's change points, brute force and exact arithmetic."""

import fractions
import itertools
import math
import subprocess
import sys

import h5py
import numpy as np
import pytest

from benchmarks.protocol import reference_kts
from trsum_jax.data import kts as kts_module
from trsum_jax.data.kts import kts
from trsum_jax.errors import InputError


def objective(features, changes, vmax):
    n, m = len(features), len(changes)
    segments = np.split(features.astype(np.float64), changes)
    cost = sum(((segment - segment.mean(axis=0)) ** 2).sum() for segment in segments)
    return cost / n + (vmax * m / (2 * n) * (math.log(n / m) + 1) if m else 0)


def all_changes(n, max_changes, longest):
    for m in range(min(max_changes, n - 1) + 1):
        for changes in itertools.combinations(range(1, n), m):
            if np.diff([0, *changes, n]).max() <= longest:
                yield changes


def scenes(n, length, seed, noise=0.7, width=64):
    """Rows of unit norm, in scenes of random lengths."""
    rng = np.random.default_rng(seed)
    scene = np.cumsum(rng.random(n) < 1 / length)
    rows = rng.normal(size=(scene[-1] + 1, width))[scene] + noise * rng.normal(size=(n, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_reference_change_points(shared):
    with h5py.File(shared / 'vectors' / 'kts.h5') as file:
        assert len(file) == 10
        for name, group in file.items():
            found = kts(
                group['features'][()], max_changes=int(group['max_change_points'][()]), vmax=group['vmax'][()]
            )
            assert found.dtype == np.int64
            np.testing.assert_array_equal(found, group['change_points'][()], err_msg=name)


@pytest.mark.parametrize('longest', [None, 3, 5])
@pytest.mark.parametrize('max_changes', [0, 2, 4, 8, 50])
@pytest.mark.parametrize('vmax', [0.02, 0.3, 1.0])
def test_brute_force(max_changes, vmax, longest):
    if longest is not None and (max_changes + 1) * longest < 9:
        with pytest.raises(InputError, match=f'{max_changes} changes of 9 steps .* at most {longest}'):
            kts(np.zeros((9, 3)), max_changes=max_changes, vmax=vmax, longest=longest)
        return
    numbers = set()
    for seed in range(8):
        features = np.random.default_rng(seed).normal(size=(9, 3)).astype(np.float32) * 0.5
        allowed = all_changes(9, max_changes, longest or 9)
        best = min(allowed, key=lambda changes: objective(features, changes, vmax))
        assert tuple(kts(features, max_changes=max_changes, vmax=vmax, longest=longest)) == best
        numbers.add(len(best))
    assert max_changes == 0 or numbers != {0}


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize(
    'share, vmax, binding', [(0.25, 1.0, False), (0.25, 0.3, True), (0.04, 0.5, True), (0.15, 0.0, True)]
)
def test_same_as_the_reference_form_at_middle_sizes(share, vmax, binding, seed):
    n = 150 + 37 * seed
    features = scenes(n, 12, seed)
    most = int(share * n)
    found = kts(features, max_changes=most, vmax=vmax)
    np.testing.assert_array_equal(found, reference_kts(features, most, vmax))
    assert 0 < len(found) <= most
    assert (len(found) == most) == binding


def test_same_as_the_reference_form_where_hardly_a_price_is_right():
    # Steps without any order: segments of every length cost nearly the same, and the hull has long edges.
    settled = []
    for seed in range(30):
        features = np.random.default_rng(seed).normal(size=(70, 200)) / 200**0.5
        found = kts(features, max_changes=30, vmax=0.1)
        np.testing.assert_array_equal(found, reference_kts(features, 30, 0.1))
        settled.append(len(found))
    assert max(settled) == 30


def exact_kts(rows, most, vmax):
    """The least scatters in fractions, the first minimum on ties; rows of whole numbers."""
    n = len(rows)

    def scatter(first, stop):
        total = rows[first:stop].sum(axis=0)
        return fractions.Fraction(int((rows[first:stop] ** 2).sum())) - fractions.Fraction(
            int((total**2).sum()), stop - first
        )

    costs = [{stop: (scatter(0, stop), 0) for stop in range(1, n + 1)}]
    for m in range(1, most + 1):
        before = costs[-1]
        costs.append(
            {
                stop: min((before[first][0] + scatter(first, stop), first) for first in range(m, stop))
                for stop in range(m + 1, n + 1)
            }
        )
    objectives = [float(costs[0][n][0]) / n] + [
        float(costs[m][n][0]) / n + vmax * m / (2 * n) * (math.log(n / m) + 1) for m in range(1, most + 1)
    ]
    changes, stop = [], n
    for m in range(int(np.argmin(objectives)), 0, -1):
        stop = costs[m][stop][1]
        changes.append(stop)
    return changes[::-1]


@pytest.mark.parametrize('vmax', [0.3, 1.0])
def test_ties_go_to_the_first_minimum(vmax):
    tied = 0
    for seed in range(12):
        rows = np.random.default_rng(seed).integers(0, 3, size=(18, 1))
        for most in (5, 17):
            expected = exact_kts(rows, most, vmax)
            np.testing.assert_array_equal(kts(rows, max_changes=most, vmax=vmax), expected)
            backwards = [18 - change for change in reversed(exact_kts(rows[::-1], most, vmax))]
            tied += backwards != expected
    # Read backwards, the first minimum is another one: there were ties.
    assert tied >= 2


def test_scenes_over_many_blocks():
    # Two contents that alternate after 70, 61, 130 and 600 steps: the changes are known without a search.
    contents = np.repeat([0, 1, 0, 1, 0], [70, 61, 130, 600, 9])
    features = np.eye(2, dtype=np.float32)[contents]
    np.testing.assert_array_equal(kts(features, max_changes=869, vmax=1.0), [70, 131, 261, 861])


def test_the_length_of_a_block_does_not_matter(monkeypatch):
    features = scenes(300, 12, 0)
    plain = kts(features, max_changes=299, vmax=1.0)
    assert len(plain) > 10
    for block in (1, 7, 300):
        monkeypatch.setattr(kts_module, '_BLOCK', block)
        np.testing.assert_array_equal(kts(features, max_changes=299, vmax=1.0), plain)


def test_a_limit_on_length_is_kept_and_costs_nothing_where_it_does_not_bind():
    features = scenes(400, 12, 1)
    plain = kts(features, max_changes=399, vmax=1.0)
    lengths = np.diff([0, *plain, 400])
    np.testing.assert_array_equal(kts(features, max_changes=399, vmax=1.0, longest=int(lengths.max())), plain)
    for longest in (1, 2, 5, int(lengths.max()) - 1):
        limited = kts(features, max_changes=399, vmax=1.0, longest=longest)
        assert np.diff([0, *limited, 400]).max() <= longest
        assert objective(features, limited, 1.0) > objective(features, plain, 1.0)
    for vmax, most in ((1.0, 39), (1.0, 5), (0.0, 5)):
        still = kts(np.ones((40, 3)), max_changes=most, vmax=vmax, longest=7)
        assert len(still) == 5
        assert np.diff([0, *still, 40]).max() <= 7


def test_every_step_its_own_shot():
    np.testing.assert_array_equal(kts(np.eye(6), max_changes=5, vmax=1e-6), np.arange(1, 6))


def test_constant_and_tiny_videos_have_no_changes():
    for n in (1, 2, 3, 40):
        constant = np.full((n, 5), 1e4 / 3, np.float32)
        assert kts(constant, max_changes=n, vmax=1.0).shape == (0,)
    assert kts(np.zeros((0, 5), np.float32), max_changes=3, vmax=1.0).shape == (0,)
    two = np.array([[0.0], [10.0]], np.float32)
    np.testing.assert_array_equal(kts(two, max_changes=1, vmax=1.0), [1])


def test_an_offset_of_the_features_does_not_matter():
    features = np.random.default_rng(3).normal(size=(50, 4)).cumsum(axis=0)
    plain = kts(features, max_changes=49, vmax=1.0)
    assert len(plain) > 2
    np.testing.assert_array_equal(kts(features + 1000, max_changes=49, vmax=1.0), plain)


def test_nonsense_is_refused():
    with pytest.raises(InputError, match='finite'):
        kts(np.array([[0.0], [np.nan]]), max_changes=1, vmax=1.0)
    with pytest.raises(InputError, match='vmax'):
        kts(np.zeros((4, 2)), max_changes=1, vmax=-1.0)
    with pytest.raises(InputError, match='at most 0'):
        kts(np.zeros((4, 2)), max_changes=3, vmax=1.0, longest=0)


def test_memory_does_not_grow_with_the_square_of_the_length():
    # All costs at once would be 0.8 GB here.
    program = """
import resource, sys
import numpy as np
from trsum_jax.data.kts import kts
rng = np.random.default_rng(0)
rows = np.repeat(rng.normal(size=(500, 16)), 20, axis=0) / 4 + 0.1 * rng.normal(size=(10000, 16))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(kts(rows, max_changes=2499, vmax=1.0)) > 300
unit = 1 if sys.platform == 'darwin' else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200e6
