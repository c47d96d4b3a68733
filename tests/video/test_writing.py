import dataclasses
import pathlib
import subprocess
import sys
import types
import weakref
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')

import av
from rendered import beep_at, flash_and_beep, humming, levels, pictures_of, sound_of, steady
from rendered import write_video as render
from summaries import summary_of

from trsum_jax.errors import InputError
from trsum_jax.video import picking
from trsum_jax.video.reading import VideoReader, picture
from trsum_jax.video.writing import write_video

ROOT = pathlib.Path(__file__).resolve().parents[2]
NTSC = Fraction(1001, 24000)


CASES = {
    '23.976 and 44.1 kHz': dict(suffix='mp4', tick=NTSC, rate=44_100),
    '25, 5.1': dict(suffix='mp4', tick=Fraction(1, 25), layout='5.1'),
    '30000/1001, mono': dict(suffix='mov', tick=Fraction(1001, 30000), layout='mono'),
    'late sound': dict(suffix='mp4', tick=Fraction(1, 25), sound_from=0.73),
    'short sound': dict(suffix='mkv', tick=Fraction(1, 25), sound_until=12.9),
    'milliseconds': dict(suffix='mkv', tick=NTSC, rate=44_100),
    'clock from 5 s': dict(suffix='mp4', tick=Fraction(1, 25), start=125, sound_from=5.0),
    'old container': dict(suffix='avi', tick=Fraction(1, 25), codec='mpeg4', audio_codec='pcm_s16le'),
    'webm': dict(suffix='webm', tick=Fraction(1, 25), codec='libvpx', audio_codec='libopus'),
    'transport stream': dict(suffix='ts', tick=Fraction(1, 25), audio_codec='mp2', rate=44_100),
    'as mov': dict(suffix='mp4', tick=NTSC, rate=44_100, to='mov'),
    'as webm': dict(suffix='mp4', tick=NTSC, rate=44_100, layout='5.1', to='webm'),
}


@pytest.mark.parametrize('case', CASES)
def test_beeps_stay_with_their_flashes(tmp_path, case):
    how = dict(CASES[case])
    ticks = range(how.pop('start', 0), how.get('start', 0) + CASES[case].get('start', 0) + 500)
    ticks = range(ticks.start, ticks.start + 500)
    flashes, to = range(6, 480, 20), how.pop('to', 'mp4')
    source = flash_and_beep(tmp_path / f'a.{how.pop("suffix")}', ticks, flashes, **how)
    parts = [(flash - 5, flash + 6) for flash in flashes]
    output = tmp_path / f'b.{to}'
    write_video(summary_of(source, parts), output)
    times, brightness = pictures_of(output)
    frame = float(how['tick'])

    shown = [i for first, last in parts for i in range(first, last + 1)]
    expected = [255 if i in flashes else 40 + i % 100 for i in shown]
    np.testing.assert_allclose(brightness, expected, atol=6)
    np.testing.assert_allclose(times, np.arange(len(shown)) * frame, atol=0.0015)
    heard, rate = sound_of(output)
    assert heard.shape[0] == {'mono': 1, 'stereo': 2, '5.1': 6}[how.get('layout', 'stereo')]
    begin, end = how.get('sound_from', 0) - ticks.start * frame, how.get('sound_until', 100)
    for number, flash in enumerate(flashes):
        at = (number * 12 + 5) * frame
        if flash * frame < begin or flash * frame + 0.1 > end:
            silent = heard[:, round((at - 0.1) * rate) : round((at + 0.1) * rate)]
            assert np.abs(silent).max() < 0.01
        else:
            assert abs(beep_at(heard, rate, at) - at) < 0.004
    assert heard.shape[1] / rate == pytest.approx(len(shown) * frame, abs=0.03)


def test_variable_frame_times_are_kept(tmp_path):
    gaps = np.random.default_rng(3).choice([20, 33, 50, 400], 300)
    ticks = np.cumsum(gaps).tolist()
    flashes = range(10, 290, 15)
    source = flash_and_beep(tmp_path / 'a.mkv', ticks, flashes, tick=Fraction(1, 1000))
    parts = [(flash - 4, flash + 5) for flash in flashes]
    summary = summary_of(source, parts)
    write_video(summary, tmp_path / 'b.mp4')
    times, brightness = pictures_of(tmp_path / 'b.mp4')
    durations = np.diff(np.append(summary.frame_times, summary.duration))
    shown = [i for first, last in parts for i in range(first, last + 1)]
    np.testing.assert_allclose(times, np.append(0, np.cumsum(durations[shown])[:-1]), atol=1e-3)
    heard, rate = sound_of(tmp_path / 'b.mp4')
    for at in times[brightness > 200]:
        assert abs(beep_at(heard, rate, at) - at) < 0.004
    assert (brightness > 200).sum() == len(parts)
    with VideoReader(tmp_path / 'b.mp4') as reader:
        list(reader.frames())
    assert reader.duration == pytest.approx(summary.length, abs=2e-3)


def test_cuts_fade_and_the_middle_is_untouched(tmp_path):
    source = tmp_path / 'a.mov'
    hum = humming(source)
    write_video(summary_of(source, [(10, 34), (63, 87), (120, 144)]), tmp_path / 'b.mp4')
    heard = sound_of(tmp_path / 'b.mp4')[0][0]
    for cut in (48_000, 96_000):
        assert np.abs(heard[cut - 48 : cut + 48]).max() < 0.1  # silent 1 ms around, where 0.5 would click
    for part, first in enumerate((10, 63, 120)):
        middle = slice(part * 48_000 + 1000, part * 48_000 + 47_000)
        original = hum[first * 1920 + 1000 : first * 1920 + 47_000]
        assert np.abs(heard[middle] - original).max() < 0.03


def test_no_sound_in_no_sound_out(tmp_path):
    write_video(summary_of(steady(tmp_path / 'a.mp4', 50, 25), [(5, 9), (20, 29)]), tmp_path / 'b.mp4')
    with av.open(str(tmp_path / 'b.mp4')) as container:
        # An mp4 keeps the titles of its chapters in a stream of data.
        streams = [stream for stream in container.streams if stream.type != 'data']
        assert [stream.codec_context.name for stream in streams] == ['h264']
    assert len(pictures_of(tmp_path / 'b.mp4')[0]) == 15


def test_damaged_source(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (200, 48, 64, 3), np.uint8)
    images = [np.clip(noise[i] + 40 + i % 100, 0, 255).astype(np.uint8) for i in range(200)]
    whole = bytearray(render(tmp_path / 'a.mkv', images, range(0, 8000, 40)).read_bytes())
    for place in range(len(whole) // 3, len(whole) // 2, 2000):
        whole[place : place + 60] = bytes(60)
    source = tmp_path / 'damaged.mkv'
    source.write_bytes(whole[: len(whole) * 4 // 5])
    with VideoReader(source) as reader:
        before = [picture(frame).astype(int) for *_, frame in reader.frames()]
    assert 80 < len(before) < 199
    parts = [(10, 20), (len(before) // 2, len(before) // 2 + 10), (len(before) - 12, len(before) - 1)]
    write_video(summary_of(source, parts), tmp_path / 'b.mp4')
    with VideoReader(tmp_path / 'b.mp4') as reader:
        after = [picture(frame).astype(int) for *_, frame in reader.frames()]
    shown = [i for first, last in parts for i in range(first, last + 1)]
    assert len(after) == len(shown)
    for i, found in zip(shown, after, strict=True):
        assert np.abs(found.mean() - before[i].mean()) < 3


def long_video(tmp_path, name='a.mp4', fps=5):
    """500 frames with a key frame about every hundred; frame i's level tells i mod 100."""
    return steady(tmp_path / name, 500, fps)


@pytest.mark.parametrize(('name', 'fps'), [('a.mp4', 5), ('a.mkv', 5), ('a.ts', 5), ('a.mp4', 25)])
def test_seeking_gives_the_same_frames(tmp_path, monkeypatch, name, fps):
    source = long_video(tmp_path, name, fps)
    spans = np.array([[3, 5], [260, 262], [441, 450], [499, 499]])
    with VideoReader(source) as reader:
        every = [(i, time, level) for (i, time, frame) in reader.frames() for level in levels([frame])]
        clock = reader.clock
    with av.open(str(source)) as container:
        assert list(clock.keys) == [i for i, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    given = {}
    for worth in (picking._RESTART, np.inf):
        monkeypatch.setattr(picking, '_RESTART', worth)
        with VideoReader(source) as reader:
            times = np.array([time for _, time, _ in every])
            found = list(picking.frames_among(reader, spans, times, clock))
            given[worth] = [(i, level) for (i, frame) in found for level in levels([frame])], reader.n_frames
    wanted = [(i, level) for i, _, level in every if any(a <= i <= b for a, b in spans)]
    assert given[8][0] == given[np.inf][0] == wanted
    assert given[8][1] < 10 < given[np.inf][1]


def test_after_a_seek_nothing_keeps_the_frame_before():
    class Frame:
        is_corrupt = False

    class Reader:
        def frames(self):
            yield from ((i, i / 5, Frame()) for i in range(500))

        def from_time(self, seconds):
            yield from ((i / 5, Frame()) for i in range(round(5 * seconds), 500))

    clock = types.SimpleNamespace(runs_on=True, keys=range(0, 500, 100))
    spans = np.array([[3, 4], [260, 260]])
    given = picking.frames_among(Reader(), spans, np.arange(500) / 5, clock)
    before = [weakref.ref(next(given)[1]) for _ in range(2)]
    assert next(given)[0] == 260
    assert [frame() for frame in before] == [None, None]


@pytest.mark.parametrize(
    ('codec', 'options'),
    [
        ('mpeg4', {'bf': '2', 'g': '25'}),
        ('mpeg4', {'g': '25'}),
        ('libx264', {'x264-params': 'keyint=25:min-keyint=25:bframes=3:b-adapt=0:open-gop=1:scenecut=0'}),
    ],
)
def test_of_a_file_without_times_of_showing_it_gives_the_same_frames(tmp_path, codec, options):
    source = steady(tmp_path / 'a.avi', 300, 25, codec=codec, options=options)
    with VideoReader(source) as reader:
        every = [frame.to_ndarray() for *_, frame in reader.frames()]
        times, clock = np.array(reader.frame_times), reader.clock
    for first in range(100, 280, 20):
        with VideoReader(source) as reader:
            found = list(picking.frames_among(reader, np.array([[first, first + 9]]), times, clock))
        assert [i for i, _ in found] == [*range(first, first + 10)]
        for i, frame in found:
            np.testing.assert_array_equal(frame.to_ndarray(), every[i])


@pytest.mark.parametrize('lost_at', [0, 2])
def test_lost_after_a_seek_it_reads_through(tmp_path, monkeypatch, lost_at):
    source = long_video(tmp_path)
    spans = np.array([[3, 5], [260, 262], [441, 450]])
    summary = summary_of(source, [(3, 5)])

    def astray(self, seconds):
        frames = iter(())
        if lost_at:
            with VideoReader(source) as again:
                frames = [(t, f) for i, t, f in again.frames() if i in (260, 261, 263)]
        yield from frames

    monkeypatch.setattr(VideoReader, 'from_time', astray)
    with VideoReader(source) as reader:
        found = [i for i, _ in picking.frames_among(reader, spans, summary.frame_times, summary.clock)]
    assert found == [3, 4, 5, 260, 261, 262, *range(441, 451)]


def test_progress_and_what_stops_it(tmp_path):
    summary = summary_of(steady(tmp_path / 'a.mp4', 60, 25), [(5, 14), (30, 39)])
    shares = []
    write_video(summary, tmp_path / 'b.mp4', progress=shares.append)
    np.testing.assert_allclose(shares, np.arange(1, 21) / 20)

    def stop(share):
        if share > 0.5:
            raise KeyboardInterrupt

    kept = (tmp_path / 'b.mp4').read_bytes()
    for name in ('b.mp4', 'c.mp4'):
        with pytest.raises(KeyboardInterrupt):
            write_video(summary, tmp_path / name, progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.mp4', 'b.mp4']
    assert (tmp_path / 'b.mp4').read_bytes() == kept


def test_full_disk_leaves_nothing(tmp_path):
    source = flash_and_beep(tmp_path / 'a.mp4', range(100), [20], tick=Fraction(1, 25))
    write_video(summary_of(source, [(5, 90)]), tmp_path / 'whole.mp4')
    size = (tmp_path / 'whole.mp4').stat().st_size
    (tmp_path / 'out').mkdir()
    program = f"""
import pathlib, resource, sys
sys.path.insert(0, 'tests')
from summaries import summary_of
from trsum_jax.errors import InputError
from trsum_jax.video.writing import write_video
summary = summary_of(pathlib.Path({str(source)!r}), [(5, 90)])
for limit in (0, 100, {size} // 2, {size} - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_video(summary, pathlib.Path({str(tmp_path)!r}) / 'out' / 'b.mp4')
    except InputError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(error)
"""
    run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count('b.mp4: cannot be written') == 4
    assert list((tmp_path / 'out').iterdir()) == []


def test_another_file_than_was_summarized(tmp_path):
    summary = summary_of(steady(tmp_path / 'a.mp4', 60, 25), [(40, 55)])
    shorter = steady(tmp_path / 'short.mp4', 45, 25)
    with pytest.raises(InputError, match=r'short\.mp4: expected 16 frames of the summary, found 5'):
        write_video(dataclasses.replace(summary, path=shorter), tmp_path / 'b.mp4')
    with pytest.raises(InputError, match='found nothing there'):
        write_video(dataclasses.replace(summary, path=tmp_path / 'gone.mp4'), tmp_path / 'b.mp4')
    assert not (tmp_path / 'b.mp4').exists()
