"""Shots that cover a video, and fit into a summary."""

import numpy as np
import pytest

from trsum_jax.data import shots
from trsum_jax.errors import InputError


def assert_covers(change_points, n_frames):
    assert change_points.dtype == np.int64
    covered = np.concatenate([np.arange(first, last + 1) for first, last in change_points])
    np.testing.assert_array_equal(covered, np.arange(n_frames))


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


def test_detect_keeps_the_limit_before_the_number_of_changes():
    features = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], [5, 8, 7])]
    found = shots.detect(features, np.arange(20), 20, max_changes=1, longest=8)
    np.testing.assert_array_equal(found, [[0, 4], [5, 12], [13, 19]])
    found = shots.detect(None, np.arange(20), 20, method='uniform', longest=8)
    np.testing.assert_array_equal(found, [[0, 5], [6, 12], [13, 19]])
    assert len(shots.detect(None, np.arange(20), 20, method='uniform', longest=12)) == 2


def contents(kind, n_steps):
    rng = np.random.default_rng(n_steps)
    return {
        'still': np.ones((n_steps, 4)),
        'black': np.zeros((n_steps, 4)),
        'duplicates': np.repeat(rng.normal(size=(n_steps, 4)), 6, axis=0)[:n_steps],
        'noise': rng.normal(size=(n_steps, 4)),
        'one flash': np.eye(n_steps)[:, [n_steps // 2]],
    }[kind].astype(np.float32)


@pytest.mark.parametrize('kind', ['still', 'black', 'duplicates', 'noise', 'one flash'])
@pytest.mark.parametrize('method', ['kts', 'uniform'])
def test_a_summary_of_15_percent_has_a_shot_that_fits_at_every_length(kind, method):
    for n_steps in (*range(2, 14), 19, 29, 31, 100):
        # From 7 frames on, 15% is at least one frame; the last step may be cut short, the first come late.
        for n_frames, late in (
            (15 * n_steps, 0),
            (15 * n_steps - 14, 0),
            (15 * n_steps, 3),
            (4 * n_steps, 0),
        ):
            gap = 4 if n_frames == 4 * n_steps else 15
            picks = late + gap * np.arange(n_steps)
            found = shots.detect_short(contents(kind, n_steps), picks, n_frames, method=method)
            assert_covers(found, n_frames)
            lengths = found[:, 1] - found[:, 0] + 1
            assert lengths.min() >= 1
            assert lengths.max() <= max(1, int(0.15 * n_frames)) + late
            assert n_steps < 10 or set(found[1:, 0]) <= set(picks)


@pytest.mark.parametrize('fps', [8.0, 10.0, 23.976, 25.0, 60.0])
@pytest.mark.parametrize('seconds', [0.1, 0.3, 0.5, 0.6, 1.0, 1.5, 4.0, 5.3, 9.9, 30.0])
def test_shots_fit_a_summary_of_some_seconds(fps, seconds):
    # Ten minutes sampled twice a second: the first frame at or after every half second.
    picks = np.ceil(np.arange(1200) * fps / 2).astype(np.int64)
    n_frames = int(600 * fps)
    found = shots.detect_short(contents('noise', 1200), picks, n_frames, longest=seconds)
    assert_covers(found, n_frames)
    longest = (found[:, 1] - found[:, 0] + 1).max()
    assert longest <= max(1, int(min(seconds, 10.1) * fps))
    assert seconds < 1.5 or longest > 0.6 * min(seconds, 10) * fps


def test_a_limit_on_length_keeps_the_true_changes():
    # Scenes of 6, 13 and 4 s under a limit of 5 s: the scenes' edges stay, and one cut or two are added.
    scene = np.repeat([0, 1, 2, 0, 1, 2, 0, 1], [12, 26, 8, 12, 26, 8, 12, 26])
    rng = np.random.default_rng(0)
    features = np.eye(8)[scene] + 0.02 * rng.normal(size=(len(scene), 8))
    picks = 15 * np.arange(len(scene))
    edges = picks[np.flatnonzero(np.diff(scene)) + 1]
    found = shots.detect_short(features, picks, 15 * len(scene), longest=5.2)
    assert set(edges) <= set(found[:, 0])
    assert len(found) == 3 * 2 + 3 * 3 + 2
