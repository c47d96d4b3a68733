"""Small videos made on the spot, with every frame's picture and time chosen by the test."""

import pathlib
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np

HEIGHT, WIDTH = 48, 64


def grey(level: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def scene(seed: int, *, height: int = HEIGHT, width: int = WIDTH, n_shapes: int = 12) -> np.ndarray:
    """Coloured boxes on a coloured ground; the same picture at any size but for pixel borders."""
    rng = np.random.default_rng(seed)
    image = np.empty((height, width, 3), np.uint8)
    image[:] = rng.integers(0, 256, 3)
    for _ in range(n_shapes):
        y, x = rng.uniform(0, 0.8, 2)
        h, w = rng.uniform(0.1, 0.4, 2)
        image[int(y * height) : int((y + h) * height), int(x * width) : int((x + w) * width)] = rng.integers(
            0, 256, 3
        )
    return image


def write_video(
    path: pathlib.Path,
    pictures: Iterable[np.ndarray],
    ticks: Iterable[int],
    *,
    tick: Fraction = Fraction(1, 1000),
    fps: Fraction | int = 25,
    codec: str = 'libx264',
    turned: int = 0,
    mirrored: bool = False,
) -> pathlib.Path:
    """Writes pictures [H, W, 3] uint8 shown at `ticks` times `tick` seconds; the file claims `fps`."""
    with av.open(str(path), 'w') as container:
        stream = None
        for picture, at in zip(pictures, ticks, strict=True):
            if stream is None:
                stream = container.add_stream(codec, rate=fps)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = 'yuv420p'
                stream.codec_context.time_base = tick
                if turned or mirrored:
                    stream.set_display_rotation(turned, hflip=mirrored)
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts, frame.time_base = at, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def steady(path: pathlib.Path, n_frames: int, fps: Fraction | int, **how) -> pathlib.Path:
    """A video of `n_frames` at a constant rate; frame `i` is grey of level `40 + i % 100`."""
    pictures = (grey(40 + i % 100) for i in range(n_frames))
    return write_video(path, pictures, range(n_frames), tick=1 / Fraction(fps), fps=fps, **how)
