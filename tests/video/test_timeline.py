import dataclasses
import json
import os
import pathlib
import re
import sys
import urllib.parse
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')

import av
from rendered import flash_and_beep, grey, steady
from summaries import summary_of

from trsum_jax import files
from trsum_jax.errors import InputError
from trsum_jax.video import timecode, timeline
from trsum_jax.video.summary import Summary

PARTS = [(7, 30), (50, 51), (110, 149)]


@pytest.fixture
def otio():
    return pytest.importorskip('opentimelineio')


@pytest.mark.parametrize(
    ('fps', 'rate'),
    [
        (24, 24),
        (23.9757, 24000 / 1001),
        (24000 / 1001, 24000 / 1001),
        (30000 / 1001, 30000 / 1001),
        (12.5, 25),
        (10, 30),
        (15, 30),
        (29.7, 30),
        (17.3, 24),
        (60, 60),
        (100, 50),
        (120000 / 1001, 60000 / 1001),
        (120, 60),
        (144, 48),
        (90, 30),
        (240, 60),
        (1000, 50),
        (165, 60),
        (1, 24),
    ],
)
def test_rates_of_timecode(fps, rate):
    found = timecode.timecode_rate(Summary(pathlib.Path('a'), fps, 1.0, *[np.zeros(1)] * 5, np.ones(1, bool)))
    assert found == pytest.approx(rate, rel=1e-9)


def test_timecode_by_hand():
    assert timecode.Count(25).label(0) == '00:00:00:00'
    assert timecode.Count(25).label(3661.52) == '01:01:01:13'
    # An hour of the clock is 86,313.7 frames at 23.976: 3.6 seconds of 24 frames less.
    assert timecode.Count(24000 / 1001).label(3600) == '00:59:56:10'
    assert timecode.Count(25, start=24 * 3600 * 25 - 1).label(0.04) == '00:00:00:00'
    # Drop-frame keeps up with the clock: after an hour of it, an hour.
    assert timecode.Count(30000 / 1001, drop=True).label(3600) == '01:00:00;00'
    assert timecode.Count(30000 / 1001, start=1799, drop=True).label(0) == '00:00:59;29'
    assert timecode.Count(30000 / 1001, start=1800, drop=True).label(0) == '00:01:00;02'
    assert timecode.Count(30000 / 1001, start=107_892 * 24 + 1, drop=True).label(0) == '00:00:00;01'


def test_timecode_against_opentimelineio(otio):
    ntsc = (30000 / 1001, 60000 / 1001)
    for rate in (24000 / 1001, 24.0, 25.0, 30.0, 50.0, 60.0, *ntsc):
        for drop in (False, True)[: 1 + (rate in ntsc)]:
            for frame in (0, 1, 23, 24, 1799, 1800, 3599, 3600, 17981, 17982, 35964, 123456):
                expected = otio.opentime.RationalTime(frame, rate).to_timecode(rate, drop_frame=drop)
                assert timecode.Count(rate, frame, drop).label(0) == expected


def test_json(tmp_path):
    summary = summary_of(steady(tmp_path / 'a.mp4', 150, 25), PARTS)
    timeline.write_json(summary, tmp_path / 'b.json')
    found = json.loads((tmp_path / 'b.json').read_text())
    assert found['name'] == 'a.mp4'
    assert (found['frames'], found['summary_frames']) == (150, 24 + 2 + 40)
    assert found['fps'] == found['timecode_rate'] == pytest.approx(25)
    assert found['seconds'] == pytest.approx(6)
    assert found['summary_seconds'] == pytest.approx(66 / 25)
    first, second, third = found['parts']
    assert (first['first_frame'], first['last_frame'], first['timecode'], first['end_timecode']) == (
        7, 30, '00:00:00:07', '00:00:01:06'
    )  # fmt: skip
    assert [first['start'], first['end']] == pytest.approx([7 / 25, 31 / 25])
    assert [second['summary_start'], second['summary_end']] == pytest.approx([24 / 25, 26 / 25])
    assert [third['summary_start'], third['summary_end']] == pytest.approx([26 / 25, 66 / 25])
    assert third['end_timecode'] == '00:00:06:00'
    assert [shot['chosen'] for shot in found['shots']] == [False, True, False, True, False, True]
    assert [shot['score'] for shot in found['shots']] == pytest.approx(np.linspace(0, 1, 6))
    assert [(one['frame'], one['second']) for one in found['scores'][:3]] == [(0, 0), (5, 0.2), (10, 0.4)]


@pytest.mark.parametrize('fps', [25, 24, Fraction(24000, 1001), Fraction(30000, 1001), 12.5, 10])
@pytest.mark.parametrize('ending', ['otio', 'edl'])
def test_timelines_read_back(tmp_path, otio, fps, ending):
    fps = Fraction(fps)
    source = flash_and_beep(tmp_path / 'ä b.mp4', range(150), [3], tick=1 / fps)
    summary = summary_of(source, PARTS)
    output = tmp_path / f'cut.{ending}'
    timeline.write_otio(summary, output)
    rate = float(fps) if ending == 'otio' else {12.5: 25.0, 10.0: 30.0}.get(float(fps), float(fps))
    options = {'rate': rate} if ending == 'edl' else {}
    found = otio.adapters.read_from_file(str(output), **options)
    assert [len(tracks) for tracks in (found.video_tracks(), found.audio_tracks())] == [
        1, 1 if ending == 'otio' else 2
    ]  # fmt: skip
    for track in found.tracks:
        clips = list(track.find_clips())
        assert len(clips) == 3
        for clip, (first, last) in zip(clips, PARTS, strict=True):
            begins, ends = clip.source_range.start_time, clip.source_range.end_time_exclusive()
            scale = rate / float(fps)
            assert begins.rate == pytest.approx(rate, rel=1e-6)
            assert (begins.value, ends.value) == pytest.approx((first * scale, (last + 1) * scale))
            url = urllib.parse.unquote(clip.media_reference.target_url)
            assert url == f'file://{source.resolve()}'
    if ending == 'otio':
        available = found.video_tracks()[0][0].media_reference.available_range
        assert (available.start_time.value, available.duration.value) == (0, 150)


def test_pictures_alone(tmp_path, otio):
    summary = summary_of(steady(tmp_path / 'a.mp4', 150, 25), PARTS)
    for ending in ('otio', 'edl'):
        timeline.write_otio(summary, tmp_path / f'cut.{ending}')
        options = {'rate': 25} if ending == 'edl' else {}
        found = otio.adapters.read_from_file(str(tmp_path / f'cut.{ending}'), **options)
        assert not found.audio_tracks()
    events = [line.split() for line in (tmp_path / 'cut.edl').read_text().splitlines() if line[:3].isdigit()]
    assert [event[2:] for event in events] == [
        ['V', 'C', '00:00:00:07', '00:00:01:06', '00:00:00:00', '00:00:00:24'],
        ['V', 'C', '00:00:02:00', '00:00:02:02', '00:00:00:24', '00:00:01:01'],
        ['V', 'C', '00:00:04:10', '00:00:06:00', '00:00:01:01', '00:00:02:16'],
    ]


def test_the_cameras_own_timecode(tmp_path, otio):
    source = tmp_path / 'a.mov'
    with av.open(str(source), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.height, stream.width = 48, 64
        container.metadata['timecode'] = '01:00:10:05'
        for _ in range(150):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(50), 'rgb24')))
        container.mux(stream.encode())
    timeline.write_otio(summary_of(source, PARTS), tmp_path / 'cut.otio')
    clip = next(iter(otio.adapters.read_from_file(str(tmp_path / 'cut.otio')).find_clips()))
    begin = (3600 + 10) * 25 + 5
    assert clip.media_reference.available_range.start_time.value == begin
    assert clip.source_range.start_time.value == begin + 7


def test_variable_rate_counts_by_time(tmp_path, otio):
    summary = summary_of(steady(tmp_path / 'a.mp4', 150, 25), PARTS)
    gaps = np.random.default_rng(0).uniform(0.01, 0.1, 150)
    times = np.append(0, np.cumsum(gaps))
    summary = dataclasses.replace(summary, frame_times=times[:-1], duration=times[-1], fps=150 / times[-1])
    timeline.write_otio(summary, tmp_path / 'cut.otio')
    clips = otio.adapters.read_from_file(str(tmp_path / 'cut.otio')).find_clips()
    for clip, (first, last) in zip(clips, PARTS, strict=True):
        assert clip.source_range.start_time.rate == 24
        found = [clip.source_range.start_time, clip.source_range.end_time_exclusive()]
        assert [time.to_seconds() for time in found] == pytest.approx(times[[first, last + 1]], abs=0.5 / 24)


def test_what_cannot_be_written(tmp_path, monkeypatch):
    summary = summary_of(steady(tmp_path / 'a.mp4', 150, 25), PARTS)
    with pytest.raises(InputError, match=r'cut\.aaf: expected a timeline ending in \.otio or \.edl'):
        timeline.write_otio(summary, tmp_path / 'cut.aaf')
    monkeypatch.setitem(sys.modules, 'opentimelineio', None)
    with pytest.raises(InputError, match=r'pip install "trsum_jax\[timeline\]"'):
        timeline.write_otio(summary, tmp_path / 'cut.otio')
    assert [path.name for path in tmp_path.iterdir()] == ['a.mp4']


def test_the_adapter_is_missing(tmp_path, monkeypatch, otio):
    summary = summary_of(steady(tmp_path / 'a.mp4', 150, 25), PARTS)
    monkeypatch.setattr(otio.adapters, 'available_adapter_names', lambda: ['otio_json'])
    timeline.write_otio(summary, tmp_path / 'cut.otio')
    for ending, package in (('edl', 'otio-cmx3600-adapter'), ('xml', 'otio-fcp-adapter')):
        with pytest.raises(InputError, match=f'needs {package}'):
            timeline.write_otio(summary, tmp_path / f'cut.{ending}')


def test_a_name_makes_no_events_of_its_own(tmp_path, otio):
    event = 'a\n002  OTHER    V     C        00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00'
    for name in (event, os.fsdecode(b'caf\xe9'), 'line\u2028sep\x0bup\x1b[1m'):
        source = steady(tmp_path / 'a.mp4', 150, 25).rename(tmp_path / f'{name}.mp4')
        summary = summary_of(source, [(7, 30)])
        for ending in ('edl', 'otio', 'xml'):
            timeline.write_otio(summary, tmp_path / f'cut.{ending}')
            found = otio.adapters.read_from_file(
                str(tmp_path / f'cut.{ending}'), **({'rate': 25} if ending == 'edl' else {})
            )
            (clip,) = found.find_clips()
            assert clip.name == files.shown(source.name)
            # The place, unlike the name, is that of the file to the byte.
            assert urllib.parse.unquote_to_bytes(clip.media_reference.target_url) == os.fsencode(
                f'file://{source.resolve()}'
            )
        assert len(re.findall(r'^\d{3}  ', (tmp_path / 'cut.edl').read_text(), re.MULTILINE)) == 1
        timeline.write_json(summary, tmp_path / 'b.json')
        assert json.loads((tmp_path / 'b.json').read_text())['name'].startswith(name[:3])


def test_every_source_has_a_reel_of_its_own(tmp_path, otio):
    plain = ['A001C003', 'clip', '7']
    others = [
        '\u65e5\u672c',
        '\u65e5\u672c\u8a9e',
        'caf\u00e9',
        'cafe\u0301',
        'my film',
        'my_film',
        'BL',
        'black',
    ]
    others += ['talk: one', 'talk: two', 'a name of many letters 1', 'a name of many letters 2']
    others += ['.', '-']
    reels = [timeline.reel(pathlib.Path(f'{name}.mp4')) for name in (*plain, *others)]
    assert reels[: len(plain)] == plain
    assert len({reel.upper() for reel in reels}) == len(reels)
    assert all(re.fullmatch('[A-Za-z0-9]{1,8}', reel) for reel in reels)
    source = steady(tmp_path / '\u65e5\u672c.mp4', 150, 25)
    timeline.write_otio(summary_of(source, PARTS), tmp_path / 'cut.edl')
    events = [line.split() for line in (tmp_path / 'cut.edl').read_text().splitlines() if line[:3].isdigit()]
    assert [event[1] for event in events] == 3 * [reels[len(plain)]]


def stamped(path, stamp, fps=25, n_frames=10):
    with av.open(str(path), 'w') as container:
        if stamp:
            container.metadata['timecode'] = stamp
        stream = container.add_stream('libx264', rate=fps)
        stream.height, stream.width = 48, 64
        for _ in range(n_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(50), 'rgb24')))
        container.mux(stream.encode())
    return path


def at_rate(path, fps, n_frames=4000):
    """A summary of frames 0..., 2053 to 2112 chosen: as if the film went on for so many frames."""
    times = np.arange(n_frames) / float(fps)
    shots = np.array([[0, 2052], [2053, 2112], [2113, n_frames - 1]])
    picks, chosen = np.arange(0, n_frames, 100), np.array([False, True, False])
    scores = np.full(len(picks), 0.5, np.float32)
    return Summary(path, float(fps), n_frames / float(fps), times, picks, scores, shots, np.ones(3), chosen)


# Frame 2053 is 68 s and 13 numbers of 30 after the stamp; two more where the minute between drops them.
NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ('stamp', 'fps', 'label', 'kind'),
    [
        ('01:00:00:00', NTSC, '01:01:08:13', 'NON-DROP FRAME'),
        ('10:00:00:00', NTSC, '10:01:08:13', 'NON-DROP FRAME'),
        ('01:00:00;00', NTSC, '01:01:08;15', 'DROP FRAME'),
        ('01:00:00:00', 2 * NTSC, '01:00:34:13', 'NON-DROP FRAME'),
        ('00:59:59;28', NTSC, '01:01:08;13', 'DROP FRAME'),
        ('23:59:00:00', 25, '00:00:22:03', 'NON-DROP FRAME'),
        # Drop-frame is of NTSC's rates; the file cannot mean it.
        ('01:00:00;00', 25, '01:01:22:03', 'NON-DROP FRAME'),
        ('', NTSC, '00:01:08:13', 'NON-DROP FRAME'),
    ],
)
def test_labels_are_of_the_cameras_kind_and_those_of_the_json(tmp_path, otio, stamp, fps, label, kind):
    source = stamped(tmp_path / ('a.mkv' if fps == 25 else 'a.mov'), stamp, fps)
    summary = at_rate(source, fps)
    assert timeline.write_otio(summary, tmp_path / 'a.edl') == []
    text = (tmp_path / 'a.edl').read_text()
    assert f'\nFCM: {kind}\n' in text
    event = next(line.split() for line in text.splitlines() if line.startswith('001'))
    assert event[4] == label
    timeline.write_json(summary, tmp_path / 'a.json')
    (part,) = json.loads((tmp_path / 'a.json').read_text())['parts']
    assert [part['timecode'], part['end_timecode']] == event[4:6]


@pytest.mark.parametrize('fps', [72, 90, 100, 120 * NTSC / 30, 120, 165, 240, 1000])
def test_fast_cameras(tmp_path, otio, fps):
    source = stamped(tmp_path / 'a.mov', '01:00:00:00', 120)
    summary = at_rate(source, fps)
    (note,) = timeline.write_otio(summary, tmp_path / 'a.edl')
    assert 'a.edl: an EDL has no timecode for' in note
    event = next(line.split() for line in (tmp_path / 'a.edl').read_text().splitlines() if line[:3] == '001')
    count = timecode.counting(summary)
    hours, minutes, seconds, frames = map(int, event[4].split(':'))
    nominal = round(count.rate)
    number = ((60 * hours + minutes) * 60 + seconds) * nominal + frames - 3600 * nominal
    assert number / count.rate == pytest.approx(2053 / float(fps), abs=0.501 / count.rate)
    timeline.write_json(summary, tmp_path / 'a.json')
    found = json.loads((tmp_path / 'a.json').read_text())
    assert (found['parts'][0]['timecode'], found['timecode_start']) == (event[4], '01:00:00:00')

    # The .otio keeps the rate, and its numbers begin at the stamp: an hour of round(fps) numbers a second.
    assert timeline.write_otio(summary, tmp_path / 'a.otio') == []
    clip = next(iter(otio.adapters.read_from_file(str(tmp_path / 'a.otio')).find_clips()))
    assert clip.source_range.start_time.rate == pytest.approx(float(fps), rel=1e-4)
    assert clip.source_range.start_time.value == 3600 * round(float(fps)) + 2053


def test_a_name_with_a_line_break_makes_no_event(tmp_path, otio):
    name = 'a\n002  AX       V     C        00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00.mp4'
    summary = summary_of(steady(tmp_path / name, 30, 25), [(3, 20)])
    timeline.write_otio(summary, tmp_path / 'a.edl')
    clips = list(otio.adapters.read_from_file(str(tmp_path / 'a.edl'), rate=25).find_clips())
    assert [clip.source_range.start_time.value for clip in clips] == [3]


@pytest.mark.parametrize('stamp', ['01:00:00:30', 'yesterday', '01:00:99:00'])
def test_a_timecode_that_is_none(tmp_path, otio, stamp):
    summary = at_rate(stamped(tmp_path / 'a.mkv', stamp), 25)
    for ending in ('edl', 'otio'):
        (note,) = timeline.write_otio(summary, tmp_path / f'a.{ending}')
        assert f"the timecode '{stamp}' in the file is none at 25 frames a second" in note
    assert '00:01:22:03' in (tmp_path / 'a.edl').read_text()
