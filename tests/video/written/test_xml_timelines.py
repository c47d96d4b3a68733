"""Read back twice: by OpenTimelineIO's adapters, and as XML by the standard library alone."""

import urllib.parse
from fractions import Fraction
from xml.etree import ElementTree

import av
import numpy as np
import pytest
from rendered import grey
from summaries import summary_of

from trsum_jax.video import timeline
from trsum_jax.video.written import xml_timelines

PARTS = [(7, 30), (50, 51), (110, 149)]
NTSC = Fraction(1000, 1001)


def filmed(path, fps, stamp='', layouts=('stereo', 'mono'), turned=0):
    """150 frames of 64x48 with sound tracks of these layouts, and a camera's timecode."""
    with av.open(str(path), 'w') as container:
        if stamp:
            container.metadata['timecode'] = stamp
        pictures = container.add_stream('libx264', rate=fps)
        pictures.height, pictures.width = 48, 64
        if turned:
            pictures.set_display_rotation(turned)
        tracks = [container.add_stream('aac', rate=48_000, layout=layout) for layout in layouts]
        for i in range(150):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(grey(40 + i), 'rgb24')))
        container.mux(pictures.encode())
        for track in tracks:
            silence = np.zeros((track.channels, 48_000), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, 'fltp', track.layout.name)
            frame.sample_rate = 48_000
            container.mux(track.encode(frame))
            container.mux(track.encode())
    return path


def number(element, name):
    return int(element.find(name).text)


def rate_of(element):
    """What `timebase` and `ntsc` mean by the format's definition; they may not contradict each other."""
    rates = {(rate.findtext('timebase'), rate.findtext('ntsc')) for rate in element.findall('rate')}
    ((base, ntsc),) = rates
    return int(base) * (NTSC if ntsc == 'TRUE' else 1)


def seconds(text):
    assert text.endswith('s')
    return Fraction(text[:-1])


# The file's rate, a camera's timecode, the number of the first frame in it, and the rate that editors count.
CASES = [
    (Fraction(25), '', 0, Fraction(25)),
    (24 * NTSC, '01:00:00:00', 24 * 3600, 24 * NTSC),
    (30 * NTSC, '00:01:00;02', 1800, 30 * NTSC),
    (Fraction(25, 2), '', 0, Fraction(25)),
    (60 * NTSC, '', 0, 60 * NTSC),
]


@pytest.mark.parametrize(('fps', 'stamp', 'begin', 'rate'), CASES)
def test_every_clip_lies_at_its_frames(tmp_path, fps, stamp, begin, rate):
    otio = pytest.importorskip('opentimelineio')
    source = filmed(tmp_path / "ä 'b'.mov", fps, stamp)
    summary = summary_of(source, PARTS)
    scale = rate / fps
    spans = [(int(first * scale), int((last + 1) * scale)) for first, last in PARTS]
    lengths = [last - first for first, last in spans]
    places = [sum(lengths[:i]) for i in range(3)]
    drop = ';' in stamp

    assert timeline.write_otio(summary, tmp_path / 'cut.xml') == []
    text = (tmp_path / 'cut.xml').read_text('utf-8')
    root = ElementTree.fromstring(text)
    assert root.tag == 'xmeml'
    (sequence,) = root.iter('sequence')
    assert (number(sequence, 'duration'), rate_of(sequence)) == (sum(lengths), rate)
    shape = sequence.find('media/video/format/samplecharacteristics')
    assert (number(shape, 'width'), number(shape, 'height'), rate_of(shape)) == (64, 48, rate)
    pictures = sequence.findall('media/video/track')
    sounds = sequence.findall('media/audio/track')
    # A track of pictures, and one for each channel of both sound tracks.
    assert (len(pictures), len(sounds)) == (1, 3)
    ids = [clip.get('id') for clip in sequence.iter('clipitem')]
    assert len(set(ids)) == len(ids) == 12
    for channel, track in enumerate([*pictures, *sounds]):
        for clip, (first, last), place in zip(track.findall('clipitem'), spans, places, strict=True):
            found = [number(clip, name) for name in ('in', 'out', 'start', 'end')]
            assert found == [first, last, place, place + last - first]
            assert rate_of(clip) == rate
            if channel:
                assert clip.findtext('sourcetrack/mediatype') == 'audio'
                assert number(clip, 'sourcetrack/trackindex') == channel
    (file,) = [one for one in root.iter('file') if len(one)]
    assert {one.get('id') for one in root.iter('file')} == {file.get('id')}
    assert urllib.parse.unquote(file.findtext('pathurl')) == f'file://{source.resolve()}'
    assert (number(file, 'duration'), rate_of(file)) == (150 * scale, rate)
    assert number(file, 'timecode/frame') == begin
    assert file.findtext('timecode/displayformat') == ('DF' if drop else 'NDF')
    if stamp:
        assert file.findtext('timecode/string') == stamp
    assert [int(one.text) for one in file.findall('media/audio/channelcount')] == [2, 1]

    found = otio.adapters.read_from_string(text, adapter_name='fcp_xml')
    assert [len(found.video_tracks()), len(found.audio_tracks())] == [1, 3]
    for track in found.tracks:
        for clip, (first, last) in zip(track.find_clips(), spans, strict=True):
            span = clip.source_range
            assert span.start_time.rate == pytest.approx(float(rate), rel=1e-5)
            assert (span.start_time.value, span.duration.value) == (begin + first, last - first)


@pytest.mark.parametrize(('fps', 'stamp', 'begin', 'rate'), CASES)
def test_fcpxml_is_exact(tmp_path, fps, stamp, begin, rate):
    source = filmed(tmp_path / 'ä \'b\' "c" <d>&.mov', fps, stamp)
    assert timeline.write_otio(summary_of(source, PARTS), tmp_path / 'cut.fcpxml', sound='main') == []
    text = (tmp_path / 'cut.fcpxml').read_text('utf-8')
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n')
    root = ElementTree.fromstring(text)
    form, asset = root.find('resources/format'), root.find('resources/asset')
    assert (seconds(form.get('frameDuration')), form.get('width'), form.get('height')) == (
        1 / rate, '64', '48'
    )  # fmt: skip
    assert asset.get('format') == form.get('id')
    assert asset.get('name') == source.name
    assert (seconds(asset.get('start')), seconds(asset.get('duration'))) == (begin / rate, 150 / fps)
    assert (asset.get('hasVideo'), asset.get('hasAudio')) == ('1', '1')
    assert (asset.get('audioSources'), asset.get('audioChannels')) == ('2', '3')
    assert urllib.parse.unquote(asset.find('media-rep').get('src')) == f'file://{source.resolve()}'
    sequence = root.find('library/event/project/sequence')
    assert sequence.get('format') == form.get('id')
    assert sequence.get('tcFormat') == ('DF' if ';' in stamp else 'NDF')
    at = Fraction(0)
    for clip, (first, last) in zip(sequence.find('spine'), PARTS, strict=True):
        assert (clip.tag, clip.get('ref')) == ('asset-clip', asset.get('id'))
        assert seconds(clip.get('offset')) == at
        assert seconds(clip.get('start')) == begin / rate + first / fps
        assert seconds(clip.get('duration')) == (last + 1 - first) / fps
        # Edits must lie on frames, or Final Cut Pro complains.
        assert all((seconds(clip.get(name)) * rate).denominator == 1 for name in ('offset', 'start'))
        # The other track is there and can be switched on.
        sources = [(one.get('srcCh'), one.get('enabled')) for one in clip]
        assert sources == [('1, 2', '1'), ('3', '0')]
        at += seconds(clip.get('duration'))
    assert seconds(sequence.get('duration')) == at


@pytest.mark.parametrize(('fps', 'stamp', 'begin', 'rate'), CASES)
def test_fcpxml_is_read_by_another_reader(tmp_path, fps, stamp, begin, rate):
    otio = pytest.importorskip('opentimelineio')
    pytest.importorskip('otio_fcpx_xml_adapter')
    source = filmed(tmp_path / 'a.mov', fps, stamp)
    timeline.write_otio(summary_of(source, PARTS), tmp_path / 'cut.fcpxml')
    found = otio.adapters.read_from_file(str(tmp_path / 'cut.fcpxml'), adapter_name='fcpx_xml')
    clips = found.find_clips()
    assert [clip.name for clip in clips] == ['a.mov'] * len(PARTS)
    for clip, (first, last) in zip(clips, PARTS, strict=True):
        span, whole = clip.source_range, int(rate)
        times = begin / rate + first / fps, (last + 1 - first) / fps
        told = [Fraction(int(one.value), whole) for one in (span.start_time, span.duration)]
        assert [one.rate for one in (span.start_time, span.duration)] == [whole] * 2
        if rate == whole:
            assert told == list(times)
        # It knows whole frames a second alone, and takes 23 for 23.976.
        assert all(abs(one - time) < Fraction(1, whole) for one, time in zip(told, times, strict=True))


def test_without_sound_and_upright(tmp_path):
    pytest.importorskip('opentimelineio')
    summary = summary_of(filmed(tmp_path / 'a.mp4', 25, layouts=('stereo',), turned=90), PARTS)
    for which in ('none', 'all'):
        timeline.write_otio(summary, tmp_path / 'cut.fcpxml', sound=which)
        root = ElementTree.parse(tmp_path / 'cut.fcpxml').getroot()
        found = {(clip.get('srcEnable'), len(clip)) for clip in root.iter('asset-clip')}
        assert found == {('video' if which == 'none' else None, 0)}
        timeline.write_otio(summary, tmp_path / 'cut.xml', sound=which)
        root = ElementTree.parse(tmp_path / 'cut.xml').getroot()
        assert len(root.findall('.//audio/track')) == (0 if which == 'none' else 2)
    assert xml_timelines.upright_size(summary.path) == (48, 64)


def test_a_fast_camera_is_told(tmp_path):
    pytest.importorskip('opentimelineio')
    summary = summary_of(filmed(tmp_path / 'a.mp4', 100, layouts=()), PARTS)
    for ending, kind in (('xml', "Final Cut Pro 7's XML"), ('fcpxml', 'FCPXML')):
        (note,) = timeline.write_otio(summary, tmp_path / f'cut.{ending}')
        assert f'cut.{ending}: {kind} has no timecode for 100 frames a second: it counts 50' in note
