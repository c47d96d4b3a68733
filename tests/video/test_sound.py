"""Sound tracks beside the first: kept with their languages in film and timeline, at rates that fit them."""

import json
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

import av
from av.stream import Disposition
from rendered import grey
from summaries import summary_of
from summarizing import Command

from trsum_jax.video import sound, timeline
from trsum_jax.video.writing import write_video

RATE = 48_000
TRACKS = [
    {'language': 'deu', 'title': 'Kommentar', 'layout': 'mono', 'disposition': Disposition.comment},
    {'language': 'eng', 'title': 'Main', 'layout': 'stereo', 'disposition': Disposition.default},
    {'language': 'fra', 'layout': '5.1', 'disposition': Disposition(0)},
]


def talks(path, tracks=TRACKS, *, codec='aac', bit_rate=None, pictures=None):
    """Two seconds of grey with tracks that each hum at a pitch of their own: 300 Hz, 600 Hz, …"""
    with av.open(str(path), 'w') as out:
        shown = out.add_stream('libx264', rate=25, pix_fmt='yuv420p')
        shown.width, shown.height = 64, 48
        streams = []
        for track in tracks:
            how = {'bit_rate': bit_rate} if bit_rate else {}
            stream = out.add_stream(codec, rate=RATE, layout=track['layout'], **how)
            stream.metadata.update({name: track[name] for name in ('language', 'title') if name in track})
            stream.disposition = track['disposition']
            streams.append(stream)
        for _ in range(50):
            out.mux(shown.encode(av.VideoFrame.from_ndarray(grey(60), 'rgb24')))
        out.mux(shown.encode())
        for number, stream in enumerate(streams, start=1):
            hum = 0.3 * np.sin(2 * np.pi * 300 * number * np.arange(2 * RATE) / RATE)
            frame = av.AudioFrame.from_ndarray(
                np.tile(hum.astype(np.float32), (stream.channels, 1)), 'fltp', stream.layout.name
            )
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            out.mux(stream.encode(frame))
            out.mux(stream.encode())
    return path


def heard(path):
    """Of every sound track: language, title, channels, disposition, loudest pitch in Hz."""
    found = []
    with av.open(str(path)) as container:
        n = len(container.streams.audio)
    for number in range(n):
        with av.open(str(path)) as container:
            stream = container.streams.audio[number]
            title = stream.metadata.get('title') or stream.metadata.get('name')
            samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(stream)])
            pitch = np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples)
            told = stream.language, title, stream.channels, stream.disposition
        found.append((*told, round(pitch, -2)))
    return found


ALL = [
    ('deu', 'Kommentar', 1, Disposition.comment, 300),
    ('eng', 'Main', 2, Disposition.default, 600),
    ('fra', None, 6, Disposition(0), 900),
]


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return talks(tmp_path_factory.mktemp('tracks') / 'a.mkv')


@pytest.mark.parametrize(('which', 'kept'), [('all', ALL), ('main', ALL[1:2]), ('none', [])])
def test_the_film_keeps_the_tracks(tmp_path, source, which, kept):
    assert write_video(summary_of(source, [(5, 20), (30, 44)]), tmp_path / 'b.mp4', sound=which) == []
    assert heard(tmp_path / 'b.mp4') == kept
    if which == 'all':
        # What was written is a source like another.
        write_video(summary_of(tmp_path / 'b.mp4', [(0, 20)]), tmp_path / 'c.mp4')
        assert heard(tmp_path / 'c.mp4') == kept


def test_the_timeline_keeps_them_too(tmp_path, source):
    otio = pytest.importorskip('opentimelineio')
    summary = summary_of(source, [(5, 20), (30, 44)])
    assert timeline.write_otio(summary, tmp_path / 'a.otio') == []
    found = otio.adapters.read_from_file(str(tmp_path / 'a.otio'))
    assert [track.name for track in found.audio_tracks()] == ['Kommentar', 'Main', 'fra']
    told = [dict(track.metadata['trsum_jax']) for track in found.audio_tracks()]
    assert [(one['stream'], one['language'], one['channels']) for one in told] == [
        (1, 'deu', 1), (2, 'eng', 2), (3, 'fra', 6)
    ]  # fmt: skip
    for which, expected in (('main', ['Main']), ('none', [])):
        timeline.write_otio(summary, tmp_path / 'a.otio', sound=which)
        found = otio.adapters.read_from_file(str(tmp_path / 'a.otio'))
        assert [track.name for track in found.audio_tracks()] == expected

    (note,) = timeline.write_otio(summary, tmp_path / 'a.edl')
    assert note == 'a.edl: an EDL holds 4 channels of sound of 9; .otio names all tracks'
    lines = (tmp_path / 'a.edl').read_text().splitlines()
    events = [number for number, line in enumerate(lines) if line[:3].isdigit()]
    assert [(lines[at].split()[2], lines[at + 1]) for at in events] == [('AA/V', 'AUD  3    4')] * 2
    clips = otio.adapters.read_from_file(str(tmp_path / 'a.edl'), rate=25).video_tracks()[0].find_clips()
    assert [clip.source_range.start_time.value for clip in clips] == [5, 30]
    assert timeline.write_otio(summary, tmp_path / 'a.edl', sound='none') == []
    assert 'AA/V' not in (tmp_path / 'a.edl').read_text()


@pytest.mark.parametrize(
    ('layout', 'given', 'at_most', 'at_least'),
    [
        # By channels where the source has more, its own rate where it has less, 32 kb/s a channel at least.
        ('5.1', 192_000, 192_000, 100_000),
        ('5.1', 768_000, 384_000, 250_000),
        ('stereo', 400_000, 192_000, 140_000),
        ('mono', 16_000, 32_000, 20_000),
    ],
)
def test_rates_fit_channels_and_source(tmp_path, layout, given, at_most, at_least):
    path = tmp_path / 'a.mp4'
    rng = np.random.default_rng(0)
    with av.open(str(path), 'w') as out:
        shown = out.add_stream('libx264', rate=25, pix_fmt='yuv420p')
        shown.width, shown.height = 64, 48
        stream = out.add_stream('aac', rate=RATE, layout=layout, bit_rate=given)
        for _ in range(50):
            out.mux(shown.encode(av.VideoFrame.from_ndarray(grey(60), 'rgb24')))
        noise = (0.2 * rng.standard_normal((stream.channels, 2 * RATE))).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, 'fltp', layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for flushed in (frame, None):
            out.mux(stream.encode(flushed))
        out.mux(shown.encode())
    write_video(summary_of(path, [(0, 48)]), tmp_path / 'b.mp4')
    with av.open(str(tmp_path / 'b.mp4')) as container:
        sound = container.streams.audio[0]
        assert sound.channels == {'5.1': 6, 'stereo': 2, 'mono': 1}[layout]
        bits = 8 * sum(packet.size for packet in container.demux(sound)) / 2
    assert at_least < bits < 1.1 * at_most


@pytest.mark.parametrize('bad', [[0], [1], [0, 1]])
def test_channels_that_cannot_be_mixed_cost_their_sound_alone(tmp_path, bad):
    # Of nine channels without places FFmpeg cannot tell which is left; damaged AAC claims such.
    path = tmp_path / 'a.mkv'
    with av.open(str(path), 'w') as out:
        shown = out.add_stream('libx264', rate=25, pix_fmt='yuv420p')
        shown.width, shown.height = 64, 48
        streams = [
            out.add_stream('pcm_s16le', rate=RATE, layout='9 channels' if number in bad else 'stereo')
            for number in range(2)
        ]
        for _ in range(50):
            out.mux(shown.encode(av.VideoFrame.from_ndarray(grey(60), 'rgb24')))
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(
                np.full((1, stream.channels * 2 * RATE), 8000, np.int16), 's16', stream.layout.name
            )
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            out.mux([*stream.encode(frame), *stream.encode()])
        out.mux(shown.encode())
    notes = write_video(summary_of(path, [(0, 48)]), tmp_path / 'b.mp4')
    told = [note for note in notes if 'channels cannot be mixed' in note]
    assert len(told) == len(bad)
    with av.open(str(tmp_path / 'b.mp4')) as film:
        assert len(film.streams.audio) == 2
    for number in range(2):
        with av.open(str(tmp_path / 'b.mp4')) as film:
            loudest = max(np.abs(frame.to_ndarray()).max() for frame in film.decode(audio=number))
        assert (loudest < 0.01) == (number in bad)


def test_what_is_left_out_in_the_middle_is_said_too(tmp_path, source, monkeypatch):
    class Resampler:
        def __init__(self, *how):
            self._real = plain(*how)

        def resample(self, frame):
            if 0.4 <= frame.time < 0.6:
                raise av.error.ArgumentError(22, 'Invalid argument')
            return self._real.resample(frame)

    plain = av.AudioResampler
    monkeypatch.setattr(av, 'AudioResampler', Resampler)
    # The film ends before the source does.
    notes = write_video(summary_of(source, [(0, 24)]), tmp_path / 'b.mp4', sound='main')
    assert [note.partition(' of sound')[1:] for note in notes] == [
        (' of sound', ' left out: their channels cannot be mixed to stereo')
    ]
    with av.open(str(tmp_path / 'b.mp4')) as film:
        blocks = [(frame.time, np.abs(frame.to_ndarray()).max()) for frame in film.decode(audio=0)]
    assert max(loud for time, loud in blocks if 0.45 < time < 0.55) < 0.01
    assert min(loud for time, loud in blocks if 0.1 < time < 0.35 or 0.7 < time < 0.9) > 0.1


def test_the_main_track_is_one_that_decodes(tmp_path, source):
    # The default one is in a codec that there is no decoder for.
    first, second, *rest = source.read_bytes().split(b'A_AAC')
    path = tmp_path / 'a.mkv'
    path.write_bytes(first + b'A_AAC' + second + b'A_NEW' + b'A_AAC'.join(rest))
    assert sound.sound_tracks(source, 'main') == [2]
    assert sound.sound_tracks(path, 'main') == [3]
    # A timeline would have it with no channels.
    assert [track['stream'] for track in timeline._sound(path, 'all')] == [1, 3]


def test_the_command_has_a_flag(tmp_path, monkeypatch, source):
    pytest.importorskip('opentimelineio')
    monkeypatch.setattr(
        'trsum_jax.summarize.summarize_all', lambda videos, **_: [summary_of(source, [(5, 20)])]
    )
    command = Command(monkeypatch)
    flags = ['--page=', '--storyboard=', f'--video={source}', f'--output={tmp_path}/b.mp4', '--overwrite']
    for more, kept in (([], ALL), (['--sound=main'], ALL[1:2])):
        assert command(*flags, f'--timeline={tmp_path}/b.otio', *more) is None
        assert heard(tmp_path / 'b.mp4') == kept
        tracks = json.loads((tmp_path / 'b.otio').read_text())['tracks']['children']
        assert len(tracks) == 1 + len(kept)
