from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')

import av
from rendered import scene
from rendered import write_video as render
from summaries import summary_of

from trsum_jax.video.reading import VideoReader, picture
from trsum_jax.video.writing import write_video


def halves(upper, lower, height=48, width=64):
    """Two plain colours, one above the other: what the coarser colours of 4:2:0 leave as it is."""
    image = np.empty((height, width, 3), np.uint8)
    image[: (height + 1) // 2], image[(height + 1) // 2 :] = upper, lower
    return image


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (47, 63), (48, 63), (47, 64)])
def test_odd_sizes(tmp_path, height, width):
    colours = np.random.default_rng(5).integers(20, 236, (10, 2, 3))
    images = [halves(*two, height, width) for two in colours]
    with av.open(str(tmp_path / 'a.mkv'), 'w') as container:
        stream = container.add_stream('ffv1', rate=10)
        stream.height, stream.width, stream.pix_fmt = height, width, 'bgr0'
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24').reformat(format='bgr0')))
        container.mux(stream.encode())
    write_video(summary_of(tmp_path / 'a.mkv', [(1, 2), (6, 8)]), tmp_path / 'b.mp4')
    with VideoReader(tmp_path / 'b.mp4') as reader:
        shown = [picture(frame) for *_, frame in reader.frames()]
    assert len(shown) == 5
    assert shown[0].shape[:2] == (height + height % 2, width + width % 2)
    for found, wanted in zip(shown, (1, 2, 6, 7, 8), strict=True):
        assert np.abs(found[:height, :width].astype(int) - images[wanted]).mean() < 8


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize(('turned', 'to'), [(90, 'mp4'), (180, 'mp4'), (270, 'mp4'), (90, 'webm')])
def test_the_picture_stands_as_in_the_source(tmp_path, turned, to, mirrored):
    source = render(tmp_path / 'a.mp4', [scene(4)] * 12, range(0, 480, 40), turned=turned, mirrored=mirrored)
    write_video(summary_of(source, [(3, 8)]), tmp_path / f'b.{to}')
    shown = []
    for path in (source, tmp_path / f'b.{to}'):
        with VideoReader(path) as reader:
            shown.append(picture(next(reader.frames())[2]).astype(int))
    assert shown[0].shape == shown[1].shape
    assert np.abs(shown[0] - shown[1]).mean() < 3


@pytest.mark.parametrize('pix_fmt', ['yuv420p', 'yuv420p10le', 'yuv444p'])
@pytest.mark.parametrize('full', [False, True])
def test_pixels_and_colours_keep_their_meaning(tmp_path, pix_fmt, full):
    with av.open(str(tmp_path / 'a.mp4'), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pix_fmt
        context = stream.codec_context
        context.sample_aspect_ratio = Fraction(4, 3)
        context.color_range, context.colorspace = 2 if full else 1, 9
        context.color_primaries, context.color_trc = 9, 16
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(halves((200, 60, 50), (30, 120, 210)), 'rgb24').reformat(
                format=pix_fmt, dst_colorspace='BT2020', dst_color_range='JPEG' if full else 'MPEG'
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_video(summary_of(tmp_path / 'a.mp4', [(2, 6)]), tmp_path / 'b.mp4')
    shown = []
    for path in (tmp_path / 'a.mp4', tmp_path / 'b.mp4'):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.sample_aspect_ratio == Fraction(4, 3)
            frame = next(container.decode(video=0))
            shown.append((frame.to_ndarray(format='rgb24').astype(int), frame))
    assert shown[1][1].format.name in ('yuv420p', 'yuvj420p')
    for tag in ('colorspace', 'color_range', 'color_primaries', 'color_trc'):
        assert getattr(shown[0][1], tag) == getattr(shown[1][1], tag)
    assert np.abs(shown[0][0] - shown[1][0]).mean() < 4  # with the wrong range or matrix 9 and more
