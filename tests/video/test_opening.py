"""Hostile names and contents: FFmpeg reads the one file that it was given, or it is refused in words."""

import contextlib
import os
import pathlib
import socket
import struct
import threading
import wave
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

import av
from PIL import Image
from rendered import grey, write_video
from summarizing import Command, black

from trsum_jax import extract, validate
from trsum_jax.errors import InputError
from trsum_jax.video import opening
from trsum_jax.video.reading import VideoReader

NAMES = [
    b'talk: one.mp4',
    b'14:03:22.mp4',
    b'file:a.mp4',
    b'concat:a.mp4|b.mp4',
    b'subfile,,start,0,end,9,,:b.mp4',
    b'async:a.mp4',
    b'-y.mp4',
    b'clip%03d.mp4',
    b'what?.mp4',
    b'a#t=1.mp4',
    b'back\\slash.mp4',
    b'two\nlines.mp4',
    b'caf\xe9.mp4',
    b'x' * 251 + b'.mp4',
    '\u65e5\u672c \U0001f600 \u0623\u0628 \u202e4pm.mp4'.encode(),
]


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp('plain') / 'a.mp4', black(20), range(0, 2000, 100), fps=10)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def n_frames(path):
    with VideoReader(path) as reader:
        return sum(1 for _ in reader.frames())


@pytest.mark.parametrize('name', NAMES)
def test_any_name_is_read_and_written(plain, here, name):
    path = pathlib.Path(os.fsdecode(name))
    path.write_bytes(plain.read_bytes())
    assert n_frames(path) == 20
    # FFmpeg reads the file a second time to put its index first.
    with opening.open_output(path, 'mp4', {'movflags': '+faststart'}) as container:
        stream = container.add_stream('libx264', rate=10)
        stream.width = stream.height = 64
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), 'rgb24')))
        container.mux(stream.encode())
    assert n_frames(path) == 3
    assert list(here.iterdir()) == [here / path]


def test_in_a_folder_of_any_name(plain, here):
    for name in (b'tcp:', b'a%d', b'caf\xe9', b'two\nlines'):
        folder = pathlib.Path(os.fsdecode(name))
        folder.mkdir()
        (folder / 'a.mp4').write_bytes(plain.read_bytes())
        assert n_frames(folder / 'a.mp4') == 20


@contextlib.contextmanager
def listening():
    """A port of this machine and those who come; they are sent away at once, so that none waits."""
    visitors = []
    with socket.create_server(('127.0.0.1', 0)) as listener:

        def receive():
            with contextlib.suppress(OSError):
                while True:
                    visitor, address = listener.accept()
                    visitors.append(address)
                    visitor.close()

        thread = threading.Thread(target=receive)
        thread.start()
        try:
            yield listener.getsockname()[1], visitors
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_no_command_opens_a_socket(plain, here, monkeypatch):
    pytest.importorskip('opentimelineio')
    command = Command(monkeypatch)
    validate.define_flags()
    with listening() as (port, visitors):
        for scheme in ('http', 'tcp', 'rtmp', 'ftp'):
            name = f'{scheme}:127.0.0.1:{port}?.mp4'
            pathlib.Path(name).write_bytes(plain.read_bytes())
            # Black throughout: nothing is trained.
            assert command(f'--video={name}', f'--output={name}-s.mp4', '--timeline=cut.otio') is None
            (video,) = extract.extract(name, f'{name}.h5')
            assert video.name == name
            assert validate.main(['validate', f'{name}.h5']) == 0
            pathlib.Path('cut.otio').unlink()
        for absent in (f'http:127.0.0.1:{port}', f'http://127.0.0.1:{port}/a.mp4', f'tcp://127.0.0.1:{port}'):
            assert 'expected a ' in command(f'--video={absent}')
        (here / 'a.m3u8').write_text(
            f'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n'
        )
        assert 'is a playlist (hls)' in command('--video=a.m3u8')
    assert visitors == []


@pytest.mark.parametrize(
    ('name', 'content', 'said'),
    [
        ('a.mp4', 'ffconcat version 1.0\nfile secret.txt\n', r'is a playlist \(concat\), which names other'),
        (
            'a.m3u8',
            '#EXTM3U\n#EXT-X-TARGETDURATION:12\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n',
            r'is a playlist \(hls\), which names other files; give the video itself',
        ),
        ('a.mp4', 'v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n', r'\(sdp\)'),
        ('a.idx', '# VobSub index file, v7\n', r'is a playlist \(vobsub\)'),
        (
            'a.mp4',
            '1\n00:00:01,000 --> 00:00:02,000\nhello\n',
            r'found SubRip subtitle \(srt\), which is not',
        ),
        ('a.mp4', ';FFMETADATA1\ntitle=a\n', r'found FFmpeg metadata in text \(ffmetadata\), which is not'),
    ],
)
def test_what_is_no_video_is_refused_by_its_format(tmp_path, name, content, said):
    (tmp_path / 'secret.txt').write_text('TOPSECRET\n' * 100)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        VideoReader(tmp_path / name)


def test_pictures_are_refused_one_or_many(tmp_path):
    for name in ('a.mp4', 'x%03d.jpg', 'x001.jpg'):
        Image.fromarray(grey(5)).save(tmp_path / name, 'JPEG')
    for name, form in (('a.mp4', 'jpeg_pipe'), ('x%03d.jpg', 'image2'), ('x001.jpg', 'jpeg_pipe')):
        with pytest.raises(InputError, match=rf'{name}: expected a video, found a picture \({form}\)'):
            VideoReader(tmp_path / name)


@pytest.mark.parametrize('kind', ['fifo', 'folder'])
def test_what_is_no_file(tmp_path, kind):
    (os.mkfifo if kind == 'fifo' else os.mkdir)(tmp_path / 'a.mp4')
    with pytest.raises(InputError, match=r'expected a video file, found (something else|a folder) there'):
        VideoReader(tmp_path / 'a.mp4')


@pytest.mark.parametrize('kind', ['mp4', 'mkv', 'avi', 'mpg', 'vob', 'ts', 'm2ts', '3gp', 'mxf', 'asf',
                                  'flv', 'gif', 'h264', 'm4v', 'nut', 'y4m'])  # fmt: skip
def test_what_people_bring_is_read(tmp_path, kind):
    codecs = {'avi': 'mpeg4', 'mpg': 'mpeg1video', 'vob': 'mpeg2video', 'mxf': 'mpeg2video', 'asf': 'wmv2'}
    codecs |= {'3gp': 'h263', 'flv': 'flv', 'gif': 'gif', 'm4v': 'mpeg4', 'y4m': 'wrapped_avframe'}
    path = tmp_path / f'a.{kind}'
    with av.open(str(path), 'w', format='m4v' if kind == 'm4v' else None) as container:
        stream = container.add_stream(codecs.get(kind, 'libx264'), rate=25)
        stream.width, stream.height = 128, 96
        stream.pix_fmt = 'rgb8' if kind == 'gif' else 'yuv420p'
        for i in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((96, 128), 100 + i, np.uint8), 'gray')
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())
    assert abs(n_frames(path) - 12) <= 1


def test_tape_is_read(tmp_path):
    codec = av.CodecContext.create('dvvideo', 'w')
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 720, 576, 'yuv420p', Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.full((576, 720), 100, np.uint8), 'gray').reformat(format='yuv420p')
    (packet,) = codec.encode(frame)
    (tmp_path / 'a.dv').write_bytes(12 * bytes(packet))
    assert n_frames(tmp_path / 'a.dv') == 12


def test_a_tag_that_is_not_utf8(tmp_path):
    path = tmp_path / 'a.mp4'
    with av.open(str(path), 'w') as container:
        container.metadata['title'] = 'Cafe au lait'
        stream = container.add_stream('libx264', rate=25)
        stream.width = stream.height = 64
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(9)[:, :48], 'rgb24')))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b'Cafe', b'Caf\xe9'))
    with VideoReader(path) as reader:
        assert sum(1 for _ in reader.frames()) == 5
    with opening.open_input(path) as container:
        assert opening.tags_of(container)['title'] == 'Caf\\xe9 au lait'


def test_cores_are_those_that_the_process_may_have(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 3, 5}, raising=False)
    assert [opening.cores(most) for most in (2, 8)] == [2, 3]
    # As on macOS.
    monkeypatch.delattr(os, 'sched_getaffinity')
    monkeypatch.setattr(os, 'cpu_count', lambda: 6)
    assert [opening.cores(most) for most in (2, 8)] == [2, 6]


def test_a_movie_whose_pictures_lie_in_another_file(tmp_path):
    movie = write_video(tmp_path / 'b.mov', [grey(200)] * 5, range(5)).read_bytes()
    begin = movie.index(b'mdat') + 4
    end = begin - 8 + struct.unpack('>I', movie[begin - 8 : begin - 4])[0]
    empty = movie[:begin] + bytes(end - begin) + movie[end:]
    path = tmp_path / 'a.mov'
    path.write_bytes(referring(empty, 'b.mov'))
    # The test's own control: FFmpeg goes there where it is told to.
    with av.open(str(path), options={'enable_drefs': '1'}) as followed:
        assert next(followed.decode(video=0)).to_ndarray(format='gray').mean() == pytest.approx(200, abs=5)
    with pytest.raises(InputError, match='expected frames, found none that decode'):
        n_frames(path)


def referring(movie: bytes, name: str) -> bytes:
    """The movie, its index at its end, with an alias to a neighbour in place of `this file`."""
    path = f'/{name}'.encode()
    path += b'/' * (len(path) % 2)
    alias = b'alis' + bytes(4 + 10 + 28 + 12 + 64 + 16) + struct.pack('>hh', 1, 1) + bytes(16)
    alias += struct.pack('>hH', 2, len(path)) + path + struct.pack('>hH', -1, 0)
    alias = struct.pack('>I', len(alias) + 4) + alias

    def within(boxes: bytes, outer: list[bytes]) -> bytes:
        if not outer:
            return boxes[:8] + alias
        found, at = b'', 0
        while at < len(boxes):
            size, kind = struct.unpack('>I4s', boxes[at : at + 8])
            box = boxes[at + 8 : at + size]
            box = within(box, outer[1:]) if kind == outer[0] else box
            found += struct.pack('>I4s', len(box) + 8, kind) + box
            at += size
        return found

    return within(movie, [b'moov', b'trak', b'mdia', b'minf', b'dinf', b'dref'])


def test_each_of_several_sounds_is_called_one_and_what_comes_next_is_not(tmp_path):
    for name in ('a.wav', 'b.wav', 'c.wav'):
        with wave.open(str(tmp_path / name), 'wb') as sound:
            sound.setparams((1, 2, 8000, 0, 'NONE', ''))
            sound.writeframes(bytes(16_000))
    for name in ('a.wav', 'b.wav', 'c.wav'):
        with pytest.raises(InputError, match=rf'{name}: expected a video stream, found only audio \(wav\)'):
            opening.open_input(tmp_path / name)
    (tmp_path / 'd.mp4').touch()
    with pytest.raises(InputError, match=r'd.mp4: cannot be opened as a video'):
        opening.open_input(tmp_path / 'd.mp4')
