"""What does not move is shown once, and briefly."""

import numpy as np
import pytest

pytest.importorskip('av')

from summaries import changes_of

from trsum_jax.data.records import Video
from trsum_jax.video import choosing, still

EDGES = np.arange(601) / 10


@pytest.mark.parametrize(
    ('moving', 'flips', 'expected'),
    [
        ([(0, 600)], [], []),
        ([], [], [(0, 599)]),
        # Pages turn at 100 and 400; a cursor, at .1 a frame, is no change.
        ([], [100, 400], [(0, 99), (100, 399), (400, 599)]),
        # Frame 299 is the last that differs from the one before; those after it look like it.
        ([(200, 300)], [], [(0, 199), (299, 599)]),
        # 4 s still is too short.
        ([(0, 100), (140, 200)], [], [(199, 599)]),
    ],
)
def test_stretches_are_found_to_the_frame(moving, flips, expected):
    change = np.full(600, 0.1)
    for first, last in moving:
        change[first:last] = 4.0
    change[flips] = 9.0
    found = still.find_still(EDGES, changes_of(change), 5.0)
    assert [tuple(one) for one in found.tolist()] == expected


def test_the_rate_of_frames_does_not_matter():
    change = np.full(600, 0.1)
    change[200:] = 4.0
    faster = np.repeat(change / 5, 5)
    found = [
        still.find_still(edges, changes_of(some), 5.0) * shown / 50
        for edges, some, shown in ((EDGES, change, 5), (np.arange(3001) / 50, faster, 1))
    ]
    np.testing.assert_allclose(found[0], found[1], atol=0.1)


def test_a_stretch_has_a_short_shot_and_a_rest():
    shots = np.array([[0, 49], [50, 180], [181, 420], [421, 599]])
    stretches = np.array([[100, 399]])
    made = still.shorten(shots, stretches, EDGES, 3.0)
    np.testing.assert_array_equal(made[:, 0], [0, 50, 100, 130, 400, 421])
    np.testing.assert_array_equal(made[:, 1], [49, 99, 129, 399, 420, 599])
    np.testing.assert_array_equal(still.goes_on(made, stretches, EDGES, 3.0), [0, 0, 0, 1, 0, 0])
    # Trimmed by some frames it is still the same; so is each of the shots into which others divide it.
    moved = np.array([[0, 132], [133, 250], [251, 430], [431, 599]])
    np.testing.assert_array_equal(still.goes_on(moved, stretches, EDGES, 3.0), [0, 1, 1, 0])


def test_of_a_screen_recording_every_page_is_shown_briefly():
    # A title of 4 s, a page of 40 s that scores best, one of 10 s, and 6 s that move: 10 frames a second.
    begins, looks = [0, 40, 440, 540], np.eye(4, 8, dtype=np.float32)
    page = np.searchsorted(begins, np.arange(0, 600, 5), side='right') - 1
    change = np.where(np.arange(600) < 540, 0.1, 4.0)
    change[begins] = 40.0
    scores = np.array([0.2, 0.9, 0.4, 0.3])[page]
    # As KTS cuts: pages are shots, none over 10 s.
    shots = np.array([[0, 39], *([first, first + 99] for first in range(40, 540, 100)), [540, 599]])
    video = Video(
        *('v', np.arange(0, 600, 5), 600, looks[page]),
        change_points=shots,
        fps=10.0,
        frame_times=EDGES[:-1],
    )
    how = {'seconds': 16, 'changes': changes_of(change)}
    by_knapsack, _ = choosing.make_summary('v.mp4', video, scores, **how)
    summary, _ = choosing.make_summary('v.mp4', video, scores, choice='coverage', **how)
    np.testing.assert_array_equal(by_knapsack.parts, [[40, 139], [540, 599]])
    np.testing.assert_array_equal(summary.parts, [[0, 69], [440, 469], [540, 599]])
    # What people keep is shown as long as it is.
    rest = int(np.flatnonzero(summary.shots[:, 0] == 70)[0])
    kept, _ = choosing.make_summary('v.mp4', video, scores, choice='coverage', keep={rest}, **how)
    np.testing.assert_array_equal(kept.shots, summary.shots)
    assert kept.chosen[rest]
