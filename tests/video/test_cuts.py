"""Cuts, fades and the ends of parts, on videos of which every frame is known."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

import av
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import grey, scene, write_video
from scipy import ndimage

from trsum_jax.data.records import Video
from trsum_jax.video import choosing, coverage, cuts, describing
from trsum_jax.video.encoders import loading
from trsum_jax.video.reading import VideoReader

RATES = [Fraction(24_000, 1001), 24, 25, Fraction(30_000, 1001), 30, 50, 60, None]
# Seconds of scenes of which none begins at a sampled frame.
LENGTHS = 2.3, 1.9, 2.7, 2.1


def watched(frames):
    watcher = cuts.Watcher()
    for picture in frames:
        watcher(av.VideoFrame.from_ndarray(picture, format='rgb24'))
    return watcher.changes()


def moving(seed, n_frames):
    """A scene that pans, three frames to a step of 3 pixels."""
    return [np.roll(scene(seed), 3 * (i // 3), axis=1) for i in range(n_frames)]


def times_of(rate, seconds):
    if rate is None:
        return np.append(0, np.cumsum(list(itertools.islice(itertools.cycle([21, 60, 33, 47]), 220)))) / 1000
    return np.arange(round(seconds * rate)) / float(rate)


@pytest.mark.parametrize('rate', RATES)
def test_no_frame_of_another_scene_in_any_part(tmp_path, rate):
    times = times_of(rate, sum(LENGTHS))
    starts = np.searchsorted(times, np.cumsum((0, *LENGTHS)) - 1e-3)[:-1]
    lengths = np.diff(np.append(starts, len(times)))
    pictures = [picture for seed, n in enumerate(lengths) for picture in moving(seed, n)]
    tick = Fraction(1, 1000) if rate is None else 1 / Fraction(rate)
    ticks = np.rint(times / float(tick)).astype(int).tolist()
    path = write_video(tmp_path / 'a.mkv', pictures, ticks, tick=tick, fps=rate or 25)
    watcher = cuts.Watcher()
    video, _ = describing.describe(path, 'v', loading.load('descriptor'), watch=watcher)
    changes = watcher.changes()
    np.testing.assert_array_equal(cuts.find_cuts(changes), starts[1:])
    seen = set()
    for seed, choice in itertools.product(range(8), coverage.CHOICES):
        scores, how = np.random.default_rng(seed).random(video.n_steps), {'choice': choice}
        summary, _ = choosing.make_summary(path, video, scores, budget=0.4, changes=changes, **how)
        assert 0 < summary.length <= 0.4 * summary.duration + 1e-6
        for (first, last), (begin, end) in zip(summary.parts, summary.seconds(summary.parts), strict=True):
            here = np.searchsorted(starts, [first, last], side='right')
            assert here[0] == here[1]
            assert end - begin >= 1.5 - 1e-6
            seen.add(int(here[0]))
    assert len(seen) > 1
    if rate == 25:
        # What is trained on and written to feature files stays as it was.
        plain, _ = describing.describe(path, 'v', loading.load('descriptor'))
        np.testing.assert_array_equal(plain.change_points, video.change_points)
        np.testing.assert_array_equal(plain.features, video.features)


def test_what_is_kept_of_a_frame():
    # Limited range: 219 levels of luma for 255 of grey, and no colour.
    kept = watched(map(grey, [50, 50, 100, 100, 100, 100, 30]))
    steps = 219 / 255 * np.array([0, 0, 50, 0, 0, 0, 70])
    np.testing.assert_allclose(kept.change, steps, atol=0.7)
    # 2 after against 3 before, as far as there are frames.
    np.testing.assert_allclose(kept.lasting, 219 / 255 * np.array([50, 50, 50, 50, 20, 70, 70]), atol=0.7)
    np.testing.assert_array_equal(kept.contrast, 0)
    np.testing.assert_array_equal(kept.detail, 0)
    halves = np.concatenate([grey(0)[:, :32], grey(200)[:, 32:]], axis=1)
    assert watched([halves]).contrast[0] == pytest.approx(219 / 255 * 100, abs=3)
    assert watched([halves]).detail[0] == pytest.approx(200 / 63, abs=0.1)
    assert watched([halves] * 2).change.tolist() == [0, 0]


@pytest.mark.parametrize('flash', [1, 2])
def test_a_flash_and_fast_motion_are_no_cuts(flash):
    frames = [*moving(0, 30), *(np.roll(scene(1), 3 * i, axis=1) for i in range(30))]
    for i in range(12, 12 + flash):
        frames[i] = (frames[i] / 4 + 190).astype(np.uint8)
    changes = watched(frames)
    assert cuts.find_cuts(changes).tolist() == [30]
    assert len(cuts.find_fades(np.arange(60) / 25, changes)) == 0


@pytest.mark.parametrize('to', [0, 235])
def test_a_fade_is_cut_at_its_darkest_frame(to):
    shares = np.ones(100)
    shares[30:61] = [*np.arange(19, -1, -1) / 20, *np.arange(1, 12) / 12]
    pictures = [
        (share * scene(i > 49).astype(float) + (1 - share) * to).astype(np.uint8)
        for i, share in enumerate(shares)
    ]
    changes, times = watched(pictures), np.arange(100) / 25
    assert cuts.find_fades(times, changes).tolist() == [49]
    assert len(cuts.find_cuts(changes)) == 0
    # KTS noticed late, at a sampled frame in the second scene.
    picks = np.array([0, 13, 25, 38, 50, 62, 75, 87])
    scenes = cuts.find_scenes(times, changes)
    shots = cuts.refine(np.array([[0, 61], [62, 99]]), picks, times, changes, scenes)
    assert shots.tolist() == [[0, 48], [49, 99]]
    edges = np.arange(101) / 25
    first, last = cuts.trim((49, 99), edges, changes, np.array([], int), 1.0)
    assert last == 99
    assert shares[first] >= 0.9
    assert first <= 65
    first, last = cuts.trim((0, 48), edges, changes, np.array([], int), 1.0)
    assert first == 0
    assert shares[last] >= 0.9
    assert last >= 26


def test_a_cross_fade_of_still_pictures_is_cut_in_its_middle():
    shares = np.clip((np.arange(100) - 40) / 20, 0, 1)
    one, other = (scene(seed).astype(float) for seed in (0, 1))
    changes = watched([((1 - share) * one + share * other).astype(np.uint8) for share in shares])
    times = np.arange(100) / 25
    scenes = cuts.find_scenes(times, changes)
    shots = cuts.refine(np.array([[0, 49], [50, 99]]), np.arange(0, 100, 12), times, changes, scenes)
    assert abs(shots[1, 0] - 50) <= 1
    first, _ = cuts.trim((50, 99), np.arange(101) / 25, changes, np.array([], int), 1.0)
    assert 60 <= first <= 64


def made(n, cut=(), blurred=()):
    """Changes of still scenes: cuts, and frames without detail."""
    change, detail = np.full(n, 0.1, np.float32), np.full(n, 8.0, np.float32)
    change[list(cut)] = 40
    detail[list(blurred)] = 2
    lasting = np.where(change > 1, 40, 0.1).astype(np.float32)
    return cuts.Changes(change, lasting, np.full(n, 30.0), detail, detail)


@pytest.mark.parametrize(
    ('cut', 'blurred', 'least', 'expected'),
    [
        ([], [], 1.5, (10, 89)),
        ([20], [], 1.5, (20, 89)),  # 1 s of another scene
        ([30], [], 1.5, (10, 89)),  # 2 s: a scene of its own
        ([14, 20, 80], [], 1.5, (20, 79)),
        ([20], range(20, 25), 1.5, (25, 89)),
        ([], range(85, 95), 1.5, (10, 84)),
        ([], range(40, 45), 1.5, (10, 89)),
        ([20], [], 7.5, (10, 89)),  # what stays would be too short
        ([], range(10, 20), 7.5, (15, 89)),
    ],
)
def test_ends_that_nobody_wants(cut, blurred, least, expected):
    changes = made(100, cut, blurred)
    found = cuts.find_cuts(changes)
    assert found.tolist() == cut
    assert cuts.trim((10, 89), np.arange(101) / 10, changes, found, least) == expected


def test_a_part_neither_begins_nor_ends_in_blur():
    """A lens finds its focus, and loses it; second derivatives tell how sharp a picture is."""
    radii = [*np.full(15, 6), *np.linspace(6, 0, 10), *np.zeros(60), *np.full(15, 8)]
    pictures = [ndimage.gaussian_filter(scene(2), (radius, radius, 0)) for radius in radii]
    first, last = cuts.trim((0, 99), np.arange(101) / 25, watched(pictures), np.array([], int), 1.0)
    sharpness = [ndimage.laplace(picture.mean(axis=2)).var() for picture in pictures]
    assert max(sharpness[0], sharpness[-1]) < 0.1 * sharpness[50]
    assert min(sharpness[first], sharpness[last]) > 0.5 * sharpness[50]
    # A fifth of a second of what is sharp may go, too.
    assert first <= 24 + 5
    assert last >= 84 - 5


def test_boundaries_go_to_the_cuts_beside_them():
    changes = made(100, [17, 42, 66])
    picks, times = np.arange(0, 100, 5), np.arange(100) / 10
    shots = np.array([[0, 19], [20, 44], [45, 79], [80, 99]])
    # 17 and 42 lie before their sampled frames; 66 has no boundary near it, 80 no cut.
    refined = cuts.refine(shots, picks, times, changes, cuts.find_scenes(times, changes))
    np.testing.assert_array_equal(refined[:, 0], [0, 17, 42, 66, 80])
    np.testing.assert_array_equal(refined[:, 1], [16, 41, 65, 79, 99])


def test_a_short_scene_is_shown_only_where_nothing_else_fits():
    times = np.arange(100) / 10
    picks, shots = np.arange(0, 100, 5), np.array([[0, 99]])
    video = Video('v', picks, 100, change_points=shots, fps=10.0, frame_times=times)
    scores = np.full(20, 0.2)
    scores[8:10] = 0.9
    summary, _ = choosing.make_summary('v.mp4', video, scores, seconds=4, changes=made(100, [40, 50, 75]))
    # Scenes of 4, 1, 2.5 and 2.5 s, the second the best.
    np.testing.assert_array_equal(summary.parts[:, 1] - summary.parts[:, 0] + 1 >= 15, True)
    every = made(100, range(10, 100, 10))
    summary, _ = choosing.make_summary('v.mp4', video, scores, seconds=2.5, changes=every)
    # Scenes of 1 s each are shown by twos.
    assert summary.parts.tolist() == [[40, 59]]
    summary, _ = choosing.make_summary('v.mp4', video, scores, seconds=1.2, changes=every)
    assert summary.parts.tolist() == [[40, 49]]


@settings(max_examples=40)
@given(st.data())
def test_whatever_changes_there_are_a_summary_fits(data):
    n = data.draw(st.integers(2, 80))
    gaps = np.array(data.draw(st.lists(st.integers(2, 60), min_size=n, max_size=n))) / 100
    edges = np.append(0, np.cumsum(gaps))
    numbers = st.lists(st.sampled_from([0.0, 0.1, 5.0, 60.0]), min_size=n, max_size=n)
    changes = cuts.Changes(*(np.array(data.draw(numbers), np.float32) for _ in range(5)))
    starts = sorted({0, *data.draw(st.lists(st.integers(0, n - 1), max_size=6))})
    shots = np.stack([starts, [*starts[1:], n]], axis=1) - [0, 1]
    picks = np.array(sorted({*starts, *data.draw(st.lists(st.integers(0, n - 1), max_size=12))}))
    scores = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(picks), max_size=len(picks))))
    video = Video('v', picks, n, change_points=shots, fps=n / edges[-1], frame_times=edges[:-1])
    budget = data.draw(st.floats(0.05, 0.99))
    summary, _ = choosing.make_summary('v.mp4', video, scores, budget=budget, changes=changes)
    assert summary.chosen.any()
    assert (summary.shots[:, 0] <= summary.shots[:, 1]).all()
    np.testing.assert_array_equal(summary.shots[1:, 0], summary.shots[:-1, 1] + 1)
    assert (summary.shots[0, 0], summary.shots[-1, 1]) == (0, n - 1)
    one_frame = len(summary.parts) == 1 and summary.parts[0, 0] == summary.parts[0, 1]
    assert one_frame or summary.length <= budget * edges[-1] + 1e-5


@pytest.mark.parametrize('form', ['rgb24', 'yuv420p', 'yuv420p10le', 'gray', 'yuv444p'])
def test_all_formats_are_looked_at_alike(form):
    watcher = cuts.Watcher()
    for seed in (0, 0, 1):
        watcher(av.VideoFrame.from_ndarray(scene(seed), format='rgb24').reformat(format=form))
    change = watcher.changes().change
    assert change[:2].tolist() == [0, 0]
    assert change[2] > 20


def test_the_reader_shows_every_frame_to_who_watches(tmp_path):
    path, seen = write_video(tmp_path / 'a.mp4', map(grey, range(40, 60)), range(0, 800, 40)), []
    with VideoReader(path, watch=seen.append) as reader:
        assert len(list(reader.sample(2.0))) == 2
    assert len(seen) == 20
