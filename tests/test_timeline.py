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
from trsum_jax.video import timeline

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
        (240, 120),
        (1, 24),
    ],
)
def test_rates_of_timecode(fps, rate):
    found = timeline.timecode_rate(
        timeline.Summary(pathlib.Path('a'), fps, 1.0, *[np.zeros(1)] * 5, np.ones(1, bool))
    )
    assert found == pytest.approx(rate, rel=1e-9)


def test_timecode_by_hand():
    assert timeline.timecode(0, 25) == '00:00:00:00'
    assert timeline.timecode(3661.52, 25) == '01:01:01:13'
    # An hour of the clock is 86,313.7 frames at 23.976: 3.6 seconds of 24 frames less.
    assert timeline.timecode(3600, 24000 / 1001) == '00:59:56:10'


def test_timecode_against_opentimelineio(otio):
    for rate in (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0):
        for frame in (0, 1, 23, 24, 1799, 1800, 17982, 123456):
            expected = otio.opentime.RationalTime(frame, rate).to_timecode(rate, drop_frame=False)
            assert timeline.timecode(frame / rate, rate) == expected


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
    with pytest.raises(InputError, match=r'cut\.xml: expected a timeline ending in \.otio or \.edl'):
        timeline.write_otio(summary, tmp_path / 'cut.xml')
    monkeypatch.setitem(sys.modules, 'opentimelineio', None)
    with pytest.raises(InputError, match=r'pip install "trsum_jax\[timeline\]"'):
        timeline.write_otio(summary, tmp_path / 'cut.otio')
    assert [path.name for path in tmp_path.iterdir()] == ['a.mp4']


def test_the_adapter_is_missing(tmp_path, monkeypatch, otio):
    summary = summary_of(steady(tmp_path / 'a.mp4', 150, 25), PARTS)
    monkeypatch.setattr(otio.adapters, 'available_adapter_names', lambda: ['otio_json'])
    timeline.write_otio(summary, tmp_path / 'cut.otio')
    with pytest.raises(InputError, match='needs otio-cmx3600-adapter'):
        timeline.write_otio(summary, tmp_path / 'cut.edl')


def test_a_name_makes_no_events_of_its_own(tmp_path, otio):
    event = 'a\n002  OTHER    V     C        00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00'
    for name in (event, os.fsdecode(b'caf\xe9'), 'line\u2028sep\x0bup\x1b[1m'):
        source = steady(tmp_path / 'a.mp4', 150, 25).rename(tmp_path / f'{name}.mp4')
        summary = summary_of(source, [(7, 30)])
        for ending in ('edl', 'otio'):
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
