import dataclasses
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')

import av
from rendered import beep_at, flash_and_beep, grey, humming, pictures_of, sound_of
from rendered import write_video as render
from summaries import summary_of

from trsum_jax.video import timeline
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.summary import Summary
from trsum_jax.video.writing import write_video
from trsum_jax.video.written import chapters, subtitles

PARTS = [(10, 29), (60, 79), (120, 159)]


def faded(path, seconds, parts=PARTS):
    return dataclasses.replace(summary_of(path, parts), crossfade=seconds)


@pytest.mark.parametrize('ending', ['mp4', 'webm'])
def test_flat_colours_blend_by_their_share_of_the_fade(tmp_path, ending):
    shades = [(60, 20, 20), (180, 200, 20), (100, 20, 200)]
    source = [np.broadcast_to(np.uint8(shades[i // 55]), (48, 64, 3)) for i in range(165)]
    render(tmp_path / 'a.mp4', source, range(0, 6600, 40))
    # .5 s is 12.5 frames: of the 20 of the first parts half may fade, and it is an even number.
    summary = faded(tmp_path / 'a.mp4', 0.5)
    assert summary.tails.tolist() == [10, 10, 0]
    write_video(summary, tmp_path / f'b.{ending}')
    with VideoReader(tmp_path / f'b.{ending}') as reader:
        seen = [frame.to_ndarray(format='rgb24').mean(axis=(0, 1)) for *_, frame in reader.frames()]
    assert len(seen) == 20 + 20 + 40 - 2 * 10
    assert reader.duration == pytest.approx(60 / 25, abs=2e-3)
    assert summary.length == pytest.approx(60 / 25)
    expected = np.repeat(np.array(shades, float), (10, 10, 40), axis=0)
    for seam, (before, after) in ((10, shades[:2]), (20, shades[1:])):
        for i in range(10):
            share = (i + 0.5) / 10
            expected[seam + i] = (1 - share) * np.array(before) + share * np.array(after)
    np.testing.assert_allclose(seen, expected, atol=6)


def test_what_comes_after_a_fade_is_in_time(tmp_path):
    flashes = range(20, 480, 40)
    parts = [(flash - 10, flash + 13) for flash in flashes]
    source = flash_and_beep(tmp_path / 'a.mp4', range(500), flashes, tick=Fraction(1, 25))
    summary = faded(source, 0.2, parts)
    assert summary.tails.tolist() == [4] * 11 + [0]
    write_video(summary, tmp_path / 'b.mp4')
    times, brightness = pictures_of(tmp_path / 'b.mp4')
    assert len(times) == 12 * 24 - 11 * 4
    np.testing.assert_allclose(times, np.arange(len(times)) / 25, atol=1e-3)
    expected = (10 + 20 * np.arange(12)) / 25
    np.testing.assert_allclose(times[brightness > 200], expected, atol=1e-3)
    np.testing.assert_allclose(summary.film_times(np.array(flashes)), expected)
    heard, rate = sound_of(tmp_path / 'b.mp4')
    for at in expected:
        assert abs(beep_at(heard, rate, at) - at) < 0.004
    assert heard.shape[1] / rate == pytest.approx(len(times) / 25, abs=0.03)
    # What is cut along changes over in the middle of a fade, two frames after its beginning.
    with av.open(str(tmp_path / 'b.mp4')) as container:
        begins = [float(one['start'] * one['time_base']) for one in container.chapters()]
    np.testing.assert_allclose(begins, np.append(0, 20 * np.arange(1, 12) + 2) / 25, atol=1e-3)
    np.testing.assert_allclose(summary.film_starts, begins, atol=1e-3)
    cues = subtitles.cut([(0, 100, 'all'), (1.28, 1.36, 'frames 32, 33')], summary.film_spans)
    assert cues == [(0, pytest.approx(summary.length), 'all')]
    chapters.write_chapters(summary, tmp_path / 'b.txt')
    assert (tmp_path / 'b.txt').read_text().endswith('\n0:09 Shot 24\n')


def test_sound_fades_over_by_weights_that_sum_to_one(tmp_path):
    """One hum, whose parts begin at whole periods, goes on through the fade as if there were none."""
    hum = humming(tmp_path / 'a.mov')
    write_video(faded(tmp_path / 'a.mov', 0.4), tmp_path / 'b.mp4')
    heard = sound_of(tmp_path / 'b.mp4')[0][0]
    n = 60 * 1920
    np.testing.assert_allclose(heard[1000 : n - 1000], hum[1000 : n - 1000], atol=0.03)


def test_pictures_at_an_unsteady_rate(tmp_path):
    gaps = np.random.default_rng(3).choice([20, 33, 50, 100], 100)
    ticks = np.append(0, np.cumsum(gaps))
    source = render(tmp_path / 'a.mkv', [grey(60)] * 50 + [grey(180)] * 51, ticks.tolist())
    summary = faded(source, 0.5, [(5, 30), (60, 90)])
    write_video(summary, tmp_path / 'b.mp4')
    times, brightness = pictures_of(tmp_path / 'b.mp4')
    n = summary.tails[0]
    edges = summary.edges
    begin, lasts = edges[31 - n] - edges[5], edges[31] - edges[31 - n]
    assert 0.3 < lasts <= 0.5
    shown = np.concatenate([edges[5 : 31 - n] - edges[5], edges[60:91] - edges[60] + begin])
    np.testing.assert_allclose(times, shown, atol=1e-3)
    ends = np.append(shown[1:], shown[-1])
    share = np.clip(((shown + ends) / 2 - begin) / lasts, 0, 1)
    inside = shown >= begin - 1e-6
    np.testing.assert_allclose(brightness[inside][:-1], 60 + 120 * share[inside][:-1], atol=3)
    assert (brightness[~inside] < 63).all()


@pytest.mark.parametrize(('parts', 'seconds', 'tails'), [
    ([(0, 2), (10, 40)], 1.0, [0, 0]),
    ([(0, 3), (10, 40)], 1.0, [2, 0]),
    ([(0, 30), (40, 44)], 1.0, [2, 0]),
    ([(0, 60), (70, 130)], 1.0, [24, 0]),
    ([(0, 60), (70, 130)], 0.08, [2, 0]),
    ([(0, 60), (70, 130)], 0.0, [0, 0]),
])  # fmt: skip
def test_a_fade_takes_half_of_a_part_at_most(parts, seconds, tails):
    n = 150
    starts = sorted({0, *(first for first, _ in parts), *(last + 1 for _, last in parts)})
    shots = np.stack([starts, np.append(starts[1:], n) - 1], axis=1)
    chosen = np.array([any(a <= first <= b for a, b in parts) for first, _ in shots])
    summary = Summary('a', 25, n / 25, np.arange(n) / 25, *[np.zeros(1)] * 2, shots, np.zeros(1), chosen)
    summary = dataclasses.replace(summary, crossfade=seconds)
    assert summary.tails.tolist() == tails
    frames = sum(last - first + 1 for first, last in parts) - sum(tails)
    assert summary.length == pytest.approx(frames / 25)


def test_a_timeline_has_the_fades_or_cuts_in_their_middle(tmp_path):
    otio = pytest.importorskip('opentimelineio')
    source = flash_and_beep(tmp_path / 'a.mp4', range(200), [3], tick=Fraction(1, 25))
    summary = faded(source, 0.4)
    assert timeline.write_otio(summary, tmp_path / 'b.otio') == []
    found = otio.adapters.read_from_file(str(tmp_path / 'b.otio'))
    for track in found.tracks:
        first, fade, second, _, third = track
        spans = [
            [clip.source_range.start_time.value, clip.duration().value] for clip in (first, second, third)
        ]
        assert spans == [[10, 15], [65, 10], [125, 35]]
        assert (fade.transition_type, fade.in_offset.value, fade.out_offset.value) == ('SMPTE_Dissolve', 5, 5)
    assert found.duration().value == 60
    for ending in ('edl', 'xml', 'fcpxml'):
        (note,) = timeline.write_otio(summary, tmp_path / f'b.{ending}')
        assert 'in the middle of the cross-fades' in note
    events = [line.split()[-4:-2] for line in (tmp_path / 'b.edl').read_text().splitlines() if 'AA/V' in line]
    assert events == [
        ['00:00:00:10', '00:00:01:00'], ['00:00:02:15', '00:00:03:00'], ['00:00:05:00', '00:00:06:10']
    ]  # fmt: skip
