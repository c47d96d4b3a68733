"""Against a count of every millisecond; read back by FFmpeg's own reader of SubRip."""

from fractions import Fraction

import av
import numpy as np
import pytest
from rendered import grey, steady
from summaries import summary_of

from trsum_jax.video.writing import write_video
from trsum_jax.video.written import subtitles

PARTS = [(10, 29), (50, 74)]
SRT = (
    '1\n00:00:00,500 --> 00:00:01,500\nHallo <i>Wält</i>\nzwei Zeilen\n\n'
    '2\n00:00:01,500 --> 00:00:01,900\ncut away\n\n'
    '3\n00:00:01,000 --> 00:00:02,500\nover the cut\n\n'
    '4\n00:00:02,950 --> 00:00:09,000\na flash only\n'
)
# Without one FFmpeg encodes no text.
AWAY = '1\n00:00:01,500 --> 00:00:01,900\ncut away\n'
HEADER = (
    b'[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n'
    b'Style: Default,Arial,16\n\n[Events]\nFormat: Layer, Start, End, Style, Text\n'
)
# Frames 10 to 29 and 50 to 74 of 25 a second: 0.4 to 1.2 s, and 2 to 3 s, from 0.8 s of the summary on.
KEPT = [(100, 800, 'Hallo <i>Wält</i>\nzwei Zeilen'), (600, 1300, 'over the cut')]


def read(path):
    """Begin, end (milliseconds) and text of an .srt by FFmpeg."""
    with av.open(str(path), format='srt') as container:
        return [
            (packet.pts, packet.pts + packet.duration, bytes(packet).decode())
            for packet in container.demux()
            if packet.pts is not None
        ]


@pytest.mark.parametrize('seed', range(20))
def test_cut_against_a_count_of_milliseconds(seed):
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.choice(3000, 6, replace=False)).reshape(3, 2)
    if seed % 2:
        # Parts without a gap between them.
        edges[1, 0] = edges[0, 1]
    cues = [(begin, begin + rng.integers(1, 900), f'{begin}') for begin in rng.integers(0, 2900, 8)]
    shown = [ms for first, last in edges for ms in range(first, last)]
    expected = []
    for begin, end, text in cues:
        places = [place for place, ms in enumerate(shown) if begin <= ms < end]
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if places else []
        expected += [
            (run[0] / 1000, (run[-1] + 1) / 1000, text) for run in runs if len(run) >= min(100, end - begin)
        ]
    found = subtitles.cut([(a / 1000, b / 1000, text) for a, b, text in cues], edges / 1000)
    expected.sort(key=lambda cue: cue[0])
    assert [text for *_, text in found] == [text for *_, text in expected]
    np.testing.assert_allclose([cue[:2] for cue in found], [cue[:2] for cue in expected], atol=1e-9)


@pytest.mark.parametrize(
    ('encoding', 'name', 'note'),
    [
        ('utf-8', 'a.srt', None),
        ('utf-8-sig', 'A.EN.srt', None),
        ('utf-16', 'a.pt-BR.SRT', None),
        ('cp1252', 'a.srt', 'is not UTF-8; read as Windows-1252'),
    ],
)
def test_beside_the_video(tmp_path, encoding, name, note):
    video = steady(tmp_path / 'a.mp4', 100, 25)
    (tmp_path / name).write_bytes(SRT.replace('\n', '\r\n').encode(encoding))
    # Of another video.
    (tmp_path / 'a.b.mp4.srt').write_text(SRT)
    assert subtitles.find(video) == (tmp_path / name, 0)
    notes = subtitles.write_subtitles(summary_of(video, PARTS), tmp_path / 'out.srt')
    assert notes == ([] if note is None else [f'{name}: {note}'])
    assert read(tmp_path / 'out.srt') == KEPT
    assert (tmp_path / 'out.srt').read_text('utf-8').startswith('1\n00:00:00,100 --> 00:00:00,800\nHallo')


@pytest.mark.parametrize(('ending', 'codec'), [('mkv', 'subrip'), ('mp4', 'mov_text'), ('mov', 'mov_text')])
def test_within_the_video_by_the_clock_of_its_pictures(tmp_path, ending, codec):
    # The file's clock begins at 10 s.
    start = 10
    video = tmp_path / f'a.{ending}'
    with av.open(str(video), 'w', options={'avoid_negative_ts': 'disabled'}) as container:
        pictures = container.add_stream('libx264', rate=25)
        pictures.height, pictures.width = 48, 64
        text = container.add_stream(codec)
        text.codec_context.subtitle_header = HEADER
        frames = []
        for i in range(100):
            frame = av.VideoFrame.from_ndarray(grey(40 + i), 'rgb24')
            frame.pts, frame.time_base = i + 25 * start, Fraction(1, 25)
            frames += pictures.encode(frame)
        for packet in [*frames, *pictures.encode()]:
            container.mux(packet)
        for begin, end, words in ((500, 1500, KEPT[0][2]), (1000, 2500, 'over the cut')):
            content = words.encode()
            if codec == 'mov_text':
                content = words.replace('<i>', '').replace('</i>', '').encode()
                content = len(content).to_bytes(2, 'big') + content
            packet = av.Packet(content)
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = begin + 1000 * start
            packet.duration = end - begin
            container.mux(packet)
    summary = summary_of(video, PARTS)
    assert subtitles.find(video) == (video, 1)
    assert subtitles.write_subtitles(summary, tmp_path / 'out.srt') == []
    found = read(tmp_path / 'out.srt')
    # In an mp4 a subtitle ends where the next one begins.
    assert [cue[:2] for cue in found] == [(100, 800 if ending == 'mkv' else 600), (600, 1300)]
    plain = [words.replace('<i>', '').replace('</i>', '') for *_, words in found]
    assert plain == ['Hallo Wält\nzwei Zeilen', 'over the cut']


def test_beside_a_video_whose_sound_begins_before_its_pictures(tmp_path):
    # Players count from the first of either: here .48 s before the first picture.
    video = tmp_path / 'a.mkv'
    with av.open(str(video), 'w') as container:
        pictures = container.add_stream('libx264', rate=25)
        pictures.height, pictures.width = 48, 64
        sound = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 36_000), np.int16), 's16', 'mono')
        heard.sample_rate, heard.pts, heard.time_base = 8000, 0, Fraction(1, 8000)
        container.mux([*sound.encode(heard), *sound.encode()])
        for i in range(100):
            frame = av.VideoFrame.from_ndarray(grey(40 + i), 'rgb24')
            frame.pts, frame.time_base = 480 + 40 * i, Fraction(1, 1000)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
    (tmp_path / 'a.srt').write_text('1\n00:00:01,080 --> 00:00:01,480\nsaid\n')
    assert subtitles.write_subtitles(summary_of(video, PARTS), tmp_path / 'out.srt') == []
    # From .6 to 1 s of the pictures, which are shown from .4 s on.
    assert read(tmp_path / 'out.srt') == [(200, 600, 'said')]


def test_what_holds_none(tmp_path):
    video = steady(tmp_path / 'a.mp4', 100, 25)
    assert subtitles.find(video) is None
    assert subtitles.find(tmp_path / 'absent.mp4') is None
    summary = summary_of(video, PARTS)
    # The chapters of a film are no subtitles.
    write_video(summary, tmp_path / 'b.mp4')
    assert subtitles.find(tmp_path / 'b.mp4') is None
    for content, told in (
        ('', 'no subtitles can be read in it'),
        (AWAY, 'none of its subtitles falls'),
    ):
        (tmp_path / 'a.srt').write_text(content)
        (note,) = subtitles.write_subtitles(summary, tmp_path / 'out.srt')
        assert note.startswith('a.srt: ') and told in note
        assert (tmp_path / 'out.srt').read_text() == ''
