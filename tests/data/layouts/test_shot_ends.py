"""Shots with and without their last frame."""

import itertools

import numpy as np
import pytest

from trsum_jax.data.layouts.shot_ends import Shots, are_half_open, check_shots


def shots_of(*pairs, n_frames):
    return Shots(np.array(pairs), None, n_frames)


OPEN = shots_of((0, 30), (30, 61), (61, 83), n_frames=83)
CLOSED = shots_of((0, 29), (30, 60), (61, 82), n_frames=83)
GAP_AT_THE_END = shots_of((0, 30), (30, 60), n_frames=83)
OVERLAP_OF_ONE = shots_of((0, 30), (30, 61), (61, 82), n_frames=83)


@pytest.mark.parametrize(
    ('file', 'half_open'),
    [
        ((OPEN,), True),
        ((CLOSED,), False),
        # A single shot has no joint: its end tells.
        ((shots_of((0, 83), n_frames=83),), True),
        ((shots_of((0, 82), n_frames=83),), False),
        # The others tell of a video that fits neither way, and one that fits as inclusive tells of all.
        ((GAP_AT_THE_END, OPEN), True),
        ((CLOSED, OPEN, OPEN, OPEN), False),
        ((OVERLAP_OF_ONE, CLOSED), False),
        ((Shots(),), False),
    ],
)
def test_the_whole_file_tells(file, half_open):
    assert are_half_open(file) is half_open


def test_every_partition_is_read_the_same_both_ways():
    """Brute force: all 31 ways to cut 6 frames in two or more shots."""
    n = 6
    for k in range(1, n):
        for cuts in itertools.combinations(range(1, n), k):
            starts, ends = np.array([0, *cuts]), np.array([*cuts, n])
            for half_open in (True, False):
                shots = Shots(np.stack([starts, ends - (not half_open)], axis=1), ends - starts, n)
                assert are_half_open([shots]) is half_open
                found, faults = check_shots(shots, half_open)
                assert not faults
                np.testing.assert_array_equal(found, np.stack([starts, ends - 1], axis=1))


@pytest.mark.parametrize(
    ('shots', 'expected'),
    [
        (GAP_AT_THE_END, r'expected the last frame 82 .*, found shot 1 [30, 60): leaves a gap at the end'),
        (shots_of((0, 30), (35, 83), n_frames=83), 'shot 1 [35, 83): gap of 5 frames'),
        (shots_of((0, 30), (25, 83), n_frames=83), 'shot 1 [25, 83): overlap of 5 frames'),
        (shots_of((0, 0), (0, 83), n_frames=83), 'expected at least 1 frame a shot, found shot 0 [0, 0)'),
        (shots_of((0, 84), n_frames=83), 'shot 0 [0, 84): runs past the end'),
    ],
)
def test_faults_of_half_open_shots_show_them_as_the_file_has_them(shots, expected):
    _, (fault, *more) = check_shots(shots, True)
    assert expected.rpartition('.*')[2] in fault
    assert fault.startswith('change_points: ')
    assert not more
