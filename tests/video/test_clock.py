"""Recordings joined end to end, and clocks that jump: sound stays with its pictures."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

import av
from rendered import flash_and_beep, levels
from summaries import summary_of

from trsum_jax.video import choosing, describing
from trsum_jax.video.clock import Clock, Following
from trsum_jax.video.encoders import loading
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.sound import open_sound
from trsum_jax.video.writing import write_video

TICK = Fraction(1, 25)


def part(path, *, start=0, n_frames=50, flash=25, **how):
    """Two seconds by a clock that begins at a frame, with a flash and a beep in their middle."""
    how = {'audio_codec': 'mp2', 'sound_from': float(start * TICK), 'tick': TICK} | how
    until = how.pop('sound_until', float((start + n_frames) * TICK))
    ticks = range(start, start + n_frames)
    return flash_and_beep(path, ticks, [flash], sound_until=until, **how).read_bytes()


def joined(path, *parts):
    path.write_bytes(b''.join(parts))
    return path


def perceived(path):
    """Times of the flashes, times of the beeps, and the reader, of a file as this package reads it."""
    with VideoReader(path) as reader:
        bright = np.array([frame.to_ndarray(format='gray').mean() > 200 for *_, frame in reader.frames()])
    flashes = np.array(reader.frame_times)[np.flatnonzero(bright & ~np.append(False, bright[:-1]))]
    ((track,), notes) = open_sound(path, reader.clock)
    with track:
        heard = np.abs(track.read(0, round(reader.duration * track.rate)).mean(axis=0))
    assert notes == track.notes == []
    return flashes, onsets(heard, track.rate), reader


def onsets(loud, rate):
    """When a tone of 50 ms begins: its middle less 25 ms."""
    places = np.flatnonzero(np.convolve(loud, np.ones(240) / 240, 'same') > 0.05)
    tones = np.split(places, np.flatnonzero(np.diff(places) > rate // 4) + 1)
    return np.array([(tone[0] + tone[-1]) / 2 / rate - 0.025 for tone in tones])


@pytest.mark.parametrize(
    ('suffix', 'how'),
    [
        ('ts', {}),
        ('ts', {'audio_codec': 'aac'}),
        ('ts', {'audio_codec': 'aac', 'rate': 44_100, 'codec': 'mpeg2video'}),
        ('vob', {'codec': 'mpeg2video'}),
        ('vob', {'codec': 'mpeg2video', 'audio_codec': 'ac3'}),
    ],
)
def test_ten_parts_joined_do_not_drift(tmp_path, suffix, how):
    one = part(tmp_path / f'one.{suffix}', **how)
    flashes, beeps, reader = perceived(joined(tmp_path / f'all.{suffix}', *[one] * 10))
    np.testing.assert_allclose(flashes, 1 + 2 * np.arange(10), atol=2e-3)
    late = beeps - flashes
    assert np.abs(late).max() < 0.03  # what codecs delay
    assert np.ptp(late) < 0.005
    assert any('goes back 9 times' in note for note in reader.notes)
    assert len(reader.notes) == 1


def test_ten_parts_of_unlike_lengths_in_the_film(tmp_path):
    lengths = [50, 37, 61, 30, 44, 53, 29, 70, 41, 33]
    parts = [part(tmp_path / f'{n}.ts', n_frames=n, flash=10, audio_codec='aac') for n in lengths]
    source = joined(tmp_path / 'all.ts', *parts)
    starts = np.cumsum([0, *lengths])[:-1]
    summary = summary_of(source, [(int(s) + 4, int(s) + 20) for s in starts])
    write_video(summary, tmp_path / 'film.mp4')
    with av.open(str(tmp_path / 'film.mp4')) as film:
        bright = np.flatnonzero(levels(film.decode(video=0)) > 200)
    np.testing.assert_array_equal(bright, 6 + 17 * np.arange(10))
    _, beeps, _ = perceived(tmp_path / 'film.mp4')
    late = beeps - bright / 25
    assert np.abs(late).max() < 0.03
    assert np.ptp(late) < 0.005
    # A summary made up by hand knows of no clock: it is read once more.
    write_video(dataclasses.replace(summary, clock=None), tmp_path / 'again.mp4')
    assert (tmp_path / 'again.mp4').read_bytes() == (tmp_path / 'film.mp4').read_bytes()


def test_what_describes_a_video_hands_its_clock_on(tmp_path):
    one = part(tmp_path / 'one.ts')
    video, _ = describing.describe(joined(tmp_path / 'all.ts', one, one), 'a', loading.load('descriptor'))
    summary, _ = choosing.make_summary(tmp_path / 'all.ts', video, np.linspace(0, 1, video.n_steps))
    assert [float(one.time) for one in summary.clock.parts] == pytest.approx([0, 2])


HOUR = 25 * 3600


@pytest.mark.parametrize('suffix', ['ts', 'vob'])
@pytest.mark.parametrize('later', [HOUR, 13 * 25, 20 * HOUR])
def test_a_clock_that_jumps_ahead_is_no_pause(tmp_path, suffix, later):
    how = {'codec': 'mpeg2video'}
    first, second = (part(tmp_path / f'{at}.{suffix}', start=at, **how) for at in (0, later))
    flashes, beeps, reader = perceived(joined(tmp_path / f'all.{suffix}', first, second, first))
    np.testing.assert_allclose(flashes, [1, 3, 5], atol=2e-3)
    assert np.ptp(beeps - flashes) < 0.005
    assert reader.duration == pytest.approx(6, abs=2e-3)
    # From the end of the first part.
    assert reader.clock.leaps == [pytest.approx(later / 25 - 2, abs=0.6)]
    assert any('jumps ahead 1 times' in note and 'no pause' in note for note in reader.notes)


@pytest.mark.parametrize('suffix', ['ts', 'mkv', 'mp4'])
def test_pauses_are_kept(tmp_path, suffix):
    # In MPEG's streams those up to 10 s; elsewhere all.
    pause = 9 * 25 if suffix == 'ts' else 30 * 25
    ticks = [*range(50), *range(50 + pause, 100 + pause)]
    source = flash_and_beep(tmp_path / f'a.{suffix}', ticks, [25, 75], tick=TICK, audio_codec='mp2')
    flashes, beeps, reader = perceived(source)
    np.testing.assert_allclose(flashes, [1, 3 + pause / 25], atol=2e-3)
    np.testing.assert_allclose(beeps, flashes, atol=0.03)
    assert reader.clock.runs_on


def test_a_clock_of_33_bits_runs_over(tmp_path):
    # 2^33 ticks of 90 kHz are 95,443.7 s: one second into the film.
    start = round((2**33 / 90_000 - 1) * 25)
    part(tmp_path / 'a.ts', start=start)
    flashes, beeps, reader = perceived(tmp_path / 'a.ts')
    np.testing.assert_allclose(flashes, [1], atol=2e-3)
    np.testing.assert_allclose(beeps, flashes, atol=0.03)
    assert reader.duration == pytest.approx(2, abs=2e-3)


def test_sound_waits_for_its_part(tmp_path):
    whole, late = part(tmp_path / 'a.ts'), part(tmp_path / 'b.ts', n_frames=100, flash=80, sound_from=3.0)
    mute = part(tmp_path / 'c.ts', n_frames=75, sound_until=0.05)
    flashes, beeps, _ = perceived(joined(tmp_path / 'all.ts', whole, late, mute, whole))
    np.testing.assert_allclose(flashes, [1, 2 + 3.2, 6 + 1, 9 + 1], atol=2e-3)
    np.testing.assert_allclose(beeps, flashes[[0, 1, 3]], atol=0.03)


def test_a_joined_file_is_not_sought_in(tmp_path):
    # The second part's clock passes through the times of the first: a seek would land 20 s too late.
    short, long = (part(tmp_path / f'{n}.ts', n_frames=n, flash=3) for n in (500, 1500))
    source = joined(tmp_path / 'all.ts', short, long)
    summary = summary_of(source, [(2, 5), (501, 506), (1000, 1003)])
    write_video(summary, tmp_path / 'film.mp4')
    with av.open(str(tmp_path / 'film.mp4')) as film:
        shown = levels(film.decode(video=0))
    expected = [42, 255, 44, 45, 41, 42, 255, 44, 45, 46, 40, 41, 42, 43]
    np.testing.assert_allclose(shown, expected, atol=6)


def clock_of(stamps, places, epochs, *, closes_gaps=True):
    clock = Clock(TICK, closes_gaps)
    times = [
        clock.place(Fraction(stamp), place, epoch)
        for stamp, place, epoch in zip(stamps, places, epochs, strict=True)
    ]
    return clock, [float(time) for time in times]


def test_a_frame_out_of_order_moves_nothing():
    clock, times = clock_of([0, 0.04, 0.16, 0.08, 0.2], range(5), [0] * 5)
    assert times == pytest.approx([0, 0.04, 0.16, 0.16, 0.2])
    assert (clock.restarts, clock.disordered) == (0, 1)
    assert clock.runs_on


def test_sound_between_two_parts_goes_by_its_own_clock():
    # The pictures of the second part lie from byte 1,000 on; its sound begins before that, that of the first
    # part ends after it.
    stamps = [*np.arange(10) * 0.04, *np.arange(10) * 0.04 - 5]
    places = [*range(0, 1000, 100), *range(1000, 2000, 100)]
    clock, times = clock_of(stamps, places, [0] * 10 + [1] * 10)
    assert times[10] == pytest.approx(0.4)
    for stamps, places in (
        ([0.3, 0.35, -5, -4.95], [800, 850, 950, 1050]),
        ([0.3, 0.35, -5, -4.95], [800, 1100, 1200, 1300]),
    ):
        following = Following(clock)
        found = [
            float(following.shift(Fraction(s).limit_denominator(1000), Fraction(1, 20), p)[0])
            for s, p in zip(stamps, places, strict=True)
        ]
        assert found == pytest.approx([0, 0, 5.4, 5.4])


def test_small_steps_back_do_not_add_up():
    # Twenty parts that each begin 40 ms before the last frame of the one before, as some cameras split films;
    # the clock of the sound runs on. Each step moves the pictures by two frames, and the sound with them.
    stamps, places, epochs = [], [], []
    for number in range(20):
        begin = number * 0.92
        stamps += [begin + 0.04 * i for i in range(25)]
        places += [number * 2500 + 100 * i for i in range(25)]
        epochs += [number] * 25
    clock, _ = clock_of([Fraction(s).limit_denominator(100) for s in stamps], places, epochs)
    following = Following(clock)
    sound = [(Fraction(i * 4, 100), 100 * i * 25 // 23) for i in range(460)]
    shifts = [float(following.shift(stamp, Fraction(1, 25), place)[0]) for stamp, place in sound]
    assert shifts[-1] == pytest.approx(float(clock.parts[-1].shift)) == pytest.approx(19 * 0.08)


def test_sound_alone_that_jumps_back_goes_on():
    clock, _ = clock_of(np.arange(100) * 0.04, range(0, 10_000, 100), [0] * 100)
    following = Following(clock)
    stamps = [0, 1, 2, 0, 1]
    found = [
        float(s + following.shift(Fraction(s), Fraction(1), p)[0])
        for s, p in zip(stamps, range(0, 10_000, 2000), strict=True)
    ]
    assert found == [0, 1, 2, 3, 4]


def test_a_damaged_stamp_of_sound_moves_nothing():
    clock, _ = clock_of(np.arange(1000) * 0.04, range(0, 100_000, 100), [0] * 1000)
    for wrong, lost in ((7, []), (3000, [2])):
        following = Following(clock)
        stamps = [10, 11, 12 + wrong, 13, 14]
        found = [
            following.shift(Fraction(stamp), Fraction(1), 2500 * (10 + number))
            for number, stamp in enumerate(stamps)
        ]
        assert [number for number, one in enumerate(found) if one is None] == lost
        assert all(one[0] == 0 for one in found if one is not None)
