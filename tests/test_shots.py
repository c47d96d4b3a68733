"""KTS against the reference's change points and brute force; shots that cover a video."""

import itertools
import math

import h5py
import numpy as np
import pytest

from trsum_jax.data import shots
from trsum_jax.errors import InputError


def objective(features, changes, vmax):
    n, m = len(features), len(changes)
    segments = np.split(features.astype(np.float64), changes)
    cost = sum(((segment - segment.mean(axis=0)) ** 2).sum() for segment in segments)
    return cost / n + (vmax * m / (2 * n) * (math.log(n / m) + 1) if m else 0)


def all_changes(n, max_changes):
    return itertools.chain.from_iterable(
        itertools.combinations(range(1, n), m) for m in range(min(max_changes, n - 1) + 1)
    )


def assert_covers(change_points, n_frames):
    assert change_points.dtype == np.int64
    covered = np.concatenate([np.arange(first, last + 1) for first, last in change_points])
    np.testing.assert_array_equal(covered, np.arange(n_frames))


def test_reference_change_points(shared):
    with h5py.File(shared / 'vectors' / 'kts.h5') as file:
        assert len(file) == 10
        for name, group in file.items():
            found = shots.kts(
                group['features'][()], max_changes=int(group['max_change_points'][()]), vmax=group['vmax'][()]
            )
            assert found.dtype == np.int64
            np.testing.assert_array_equal(found, group['change_points'][()], err_msg=name)


@pytest.mark.parametrize('max_changes', [0, 2, 8, 50])
@pytest.mark.parametrize('vmax', [0.02, 0.3, 1.0])
def test_brute_force(max_changes, vmax):
    numbers = set()
    for seed in range(8):
        features = np.random.default_rng(seed).normal(size=(9, 3)).astype(np.float32) * 0.5
        best = min(all_changes(9, max_changes), key=lambda changes: objective(features, changes, vmax))
        assert tuple(shots.kts(features, max_changes=max_changes, vmax=vmax)) == best
        numbers.add(len(best))
    assert max_changes == 0 or numbers != {0}


def test_all_blocks_of_a_long_video():
    # Two contents that alternate after 70, 61 and 130 steps: the changes are known without a search.
    contents = np.repeat([0, 1, 0, 1], [70, 61, 130, 9])
    features = np.eye(2, dtype=np.float32)[contents]
    np.testing.assert_array_equal(shots.kts(features, max_changes=269, vmax=1.0), [70, 131, 261])


def test_every_step_its_own_shot():
    features = np.eye(6, dtype=np.float32)
    np.testing.assert_array_equal(shots.kts(features, max_changes=5, vmax=1e-6), np.arange(1, 6))


def test_constant_and_tiny_videos_have_no_changes():
    for n in (1, 2, 3, 40):
        constant = np.full((n, 5), 1e4 / 3, np.float32)
        assert shots.kts(constant, max_changes=n, vmax=1.0).shape == (0,)
    assert shots.kts(np.zeros((0, 5), np.float32), max_changes=3, vmax=1.0).shape == (0,)
    two = np.array([[0.0], [10.0]], np.float32)
    np.testing.assert_array_equal(shots.kts(two, max_changes=1, vmax=1.0), [1])


def test_kts_does_not_depend_on_an_offset_of_the_features():
    features = np.random.default_rng(3).normal(size=(50, 4)).cumsum(axis=0)
    plain = shots.kts(features, max_changes=49, vmax=1.0)
    assert len(plain) > 2
    np.testing.assert_array_equal(shots.kts(features + 1000, max_changes=49, vmax=1.0), plain)


def test_kts_refuses_nonsense():
    with pytest.raises(InputError, match='finite'):
        shots.kts(np.array([[0.0], [np.nan]]), max_changes=1, vmax=1.0)
    with pytest.raises(InputError, match='vmax'):
        shots.kts(np.zeros((4, 2)), max_changes=1, vmax=-1.0)


def test_uniform_shots_by_hand():
    np.testing.assert_array_equal(shots.uniform_shots(10, n_shots=3), [[0, 2], [3, 5], [6, 9]])
    np.testing.assert_array_equal(shots.uniform_shots(10, length=5), [[0, 4], [5, 9]])
    np.testing.assert_array_equal(shots.uniform_shots(3, length=100), [[0, 2]])
    np.testing.assert_array_equal(shots.uniform_shots(3, length=0.1), [[0, 0], [1, 1], [2, 2]])


def test_uniform_shots_cover_every_frame_with_lengths_one_apart():
    for n_frames in range(1, 30):
        for n_shots in range(1, n_frames + 1):
            change_points = shots.uniform_shots(n_frames, n_shots=n_shots)
            assert_covers(change_points, n_frames)
            assert np.ptp(change_points[:, 1] - change_points[:, 0]) <= 1


@pytest.mark.parametrize(
    'kwargs', [{}, {'n_shots': 2, 'length': 3}, {'n_shots': 11}, {'n_shots': 0}, {'length': 0}]
)
def test_uniform_shots_refuse_nonsense(kwargs):
    with pytest.raises(InputError, match='uniform shots'):
        shots.uniform_shots(10, **kwargs)


def test_detect_starts_shots_at_picks():
    features = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], [5, 8, 7])]
    picks = 7 + 15 * np.arange(20)
    change_points = shots.detect(features, picks, 310)
    np.testing.assert_array_equal(
        change_points, [[0, picks[5] - 1], [picks[5], picks[13] - 1], [picks[13], 309]]
    )
    np.testing.assert_array_equal(shots.detect(250 * features, picks, 310), change_points)
    assert_covers(shots.detect(features, picks, 310, max_changes=1), 310)
    assert len(shots.detect(features, picks, 310, max_changes=1)) == 2


def test_detect_without_a_clear_structure_keeps_shots_of_two_seconds_on_average():
    noise = np.random.default_rng(0).normal(size=(80, 64)).astype(np.float32)
    change_points = shots.detect(noise, 15 * np.arange(80), 1200, vmax=0.0)
    assert_covers(change_points, 1200)
    assert len(change_points) == 20


def test_detect_uniform_needs_no_features():
    change_points = shots.detect(None, 15 * np.arange(20), 300, method='uniform')
    np.testing.assert_array_equal(change_points, [[0, 149], [150, 299]])
    for n in range(1, 25):
        assert_covers(
            shots.detect(None, 3 + 15 * np.arange(n), 15 * n, method='uniform', steps_per_shot=4), 15 * n
        )


def test_detect_of_the_shortest_videos():
    for n in (1, 2, 3):
        features = np.ones((n, 4), np.float32)
        np.testing.assert_array_equal(shots.detect(features, 15 * np.arange(n), 15 * n), [[0, 15 * n - 1]])
    np.testing.assert_array_equal(shots.detect(np.zeros((9, 4), np.float32), np.arange(9), 9), [[0, 8]])


def test_detect_refuses_what_it_cannot_use():
    with pytest.raises(InputError, match='uniform'):
        shots.detect(None, np.arange(4), 4, method='magic')
    with pytest.raises(InputError, match='4 steps, found none'):
        shots.detect(None, np.arange(4), 4)
    with pytest.raises(InputError, match='4 steps, found 3 rows'):
        shots.detect(np.zeros((3, 2), np.float32), np.arange(4), 4)
