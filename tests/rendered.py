"""Small videos made on the spot, with every frame's picture and time chosen by the test."""

import pathlib
from collections.abc import Iterable, Mapping
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
    options: Mapping[str, str] | None = None,
    turned: int = 0,
    mirrored: bool = False,
) -> pathlib.Path:
    """Writes pictures [H, W, 3] uint8 shown at `ticks` times `tick` seconds; the file claims `fps`."""
    with av.open(str(path), 'w') as container:
        stream = None
        for picture, at in zip(pictures, ticks, strict=True):
            if stream is None:
                stream = container.add_stream(codec, rate=fps, options=dict(options or {}))
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


def levels(frames: Iterable[av.VideoFrame]) -> np.ndarray:
    """Mean brightness of every frame, [n] float in 0 to 255."""
    return np.array([frame.to_ndarray(format='gray').mean() for frame in frames])


def counting_decoded(monkeypatch, reader: type) -> list[int]:
    """Times, in ticks, of all frames that readers of this type decode from now on."""
    found, plain = [], reader._decoded

    def counted(self):
        for frame in plain(self):
            found.append(frame.pts)
            yield frame

    monkeypatch.setattr(reader, '_decoded', counted)
    return found


def flash_and_beep(
    path: pathlib.Path,
    ticks: Iterable[int],
    flashes: Iterable[int],
    *,
    tick: Fraction,
    rate: int = 48_000,
    layout: str = 'stereo',
    audio_codec: str = 'aac',
    sound_from: float = 0.0,
    sound_until: float | None = None,
    codec: str = 'libx264',
) -> pathlib.Path:
    """Frame `i` is grey of level `40 + i % 100`, or white at `flashes`, with 1 kHz for 50 ms from then on.

    Args:
        path: its suffix is the container.
        ticks: when each frame is shown, in `tick` seconds; the sound's clock is the same.
        flashes: frames.
        tick: seconds.
        rate: samples per second.
        layout: of the sound's channels.
        audio_codec: of the sound.
        sound_from: seconds; the sound stream begins there.
        sound_until: seconds; it ends there, by default with the last frame.
        codec: of the pictures.
    """
    ticks, flashes = list(ticks), set(flashes)
    end = float(ticks[-1] * tick) if sound_until is None else sound_until
    seconds = np.arange(round(sound_from * rate), round(end * rate)) / rate
    tone = np.zeros(len(seconds), np.float32)
    for flash in flashes:
        begin = float(ticks[flash] * tick)
        beep = slice(*np.searchsorted(seconds, (begin, begin + 0.05)))
        tone[beep] = 0.5 * np.sin(2000 * np.pi * (seconds[beep] - begin))
    with av.open(str(path), 'w') as container:
        pictures = container.add_stream(codec, rate=round(1 / (tick * (ticks[1] - ticks[0]))))
        pictures.height, pictures.width, pictures.pix_fmt = HEIGHT, WIDTH, 'yuv420p'
        pictures.codec_context.time_base = tick
        sound = container.add_stream(audio_codec, rate=rate, layout=layout)
        for begin in range(0, len(tone), 4096):
            block = np.tile(tone[begin : begin + 4096], (sound.channels, 1))
            frame = av.AudioFrame.from_ndarray(block, 'fltp', layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(sound_from * rate) + begin
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
        for i, at in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(grey(255 if i in flashes else 40 + i % 100), format='rgb24')
            frame.pts, frame.time_base = at, tick
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
    return path


def humming(path: pathlib.Path) -> np.ndarray:
    """Writes 8 s of grey, 25 frames a second, with a hum of 100 Hz; returns that, [8 * 48000] float32."""
    seconds = np.arange(8 * 48_000) / 48_000
    hum = (0.5 * np.cos(2 * np.pi * 100 * seconds)).astype(np.float32)
    with av.open(str(path), 'w') as container:
        video = container.add_stream('libx264', rate=25)
        sound = container.add_stream('pcm_f32le', rate=48_000)
        video.width, video.height = 64, 48
        frame = av.AudioFrame.from_ndarray(np.repeat(hum, 2)[None], 'flt', 'stereo')
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux(sound.encode(frame))
        for _ in range(200):
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey(60), 'rgb24')))
        container.mux(video.encode())
    return hum


def pictures_of(path):
    """Times and brightness of all frames as a plain decoder gives them."""
    with av.open(str(path)) as container:
        frames = [(frame.pts * frame.time_base, frame) for frame in container.decode(video=0)]
        return np.array([float(time) for time, _ in frames]), levels(frame for _, frame in frames)


def sound_of(path):
    """[n_channels, n] from time 0 on, placed by the decoded frames' own times; and samples per second."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        blocks = [(round(f.pts * f.time_base * rate), f.to_ndarray()) for f in container.decode(audio=0)]
    heard = np.zeros((len(blocks[0][1]), blocks[-1][0] + blocks[-1][1].shape[1]), np.float32)
    for place, block in blocks:
        skipped = max(0, -place)
        heard[:, place + skipped : place + block.shape[1]] = block[:, skipped:]
    return heard, rate


def beep_at(sound, rate, around):
    """When the 50 ms beep nearest to a time begins: its middle of energy, less 25 ms."""
    low, high = round((around - 0.1) * rate), round((around + 0.15) * rate)
    energy = np.square(sound[:, max(low, 0) : high]).sum(axis=0)
    assert energy.sum() > 1
    return (np.arange(len(energy)) * energy).sum() / energy.sum() / rate + max(low, 0) / rate - 0.025
