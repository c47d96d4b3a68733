"""The summaries of many videos as one film: of one size, one rate and one kind of sound."""

import collections
import contextlib
import pathlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TypeVar

import av
import numpy as np

from trsum_jax import files
from trsum_jax.video.clock import Clock
from trsum_jax.video.film_pictures import fitted, picture_stream
from trsum_jax.video.forms import FORMS
from trsum_jax.video.opening import open_output
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.sound import SoundReader, open_sound, sound_frame, sound_tracks
from trsum_jax.video.storyboard import upright
from trsum_jax.video.summary import Summary
from trsum_jax.video.timecode import timecode_rate
from trsum_jax.video.writing import chapters_of

T = TypeVar('T')
_LAYOUT, _SOUND_RATE, _BIT_RATE = 'stereo', 48_000, 192_000
# Seconds by which containers round the times of frames.
_ROUNDING = 2e-3


def write_together(
    summaries: Sequence[Summary],
    films: Sequence[pathlib.Path],
    output: pathlib.Path,
    *,
    progress: Callable[[float], None] | None = None,
) -> list[float]:
    """Writes the films of summaries one after another as one film, whole or not at all.

    The film has the size and the rate that most seconds of it have. Other sizes are scaled to fit, between
    black bars; of other rates frames are repeated or left out, and each keeps its time to within half a
    frame. Pictures are upright, with square pixels and of ordinary range. Sound is each film's main track, at
    48 kHz in stereo; where one film is silent so is its stretch, and where all are there is none. Each video
    is a chapter.

    Args:
        summaries: in order; those that have the name of a file for a title.
        films: of each, as `write_video` has written them.
        output: ends in one of `FORMS`; replaced where it exists.
        progress: called with the share of seconds written, up to 1.

    Returns:
        When each begins, in seconds of the film.

    Raises:
        InputError: a film cannot be read, or the output not be written.
    """
    form = FORMS[output.suffix.lower()]
    seconds = [summary.length for summary in summaries]
    sizes = [_size(film) for film in films]
    height, width = _most(sizes, seconds)
    rate = Fraction(_most([timecode_rate(summary) for summary in summaries], seconds)).limit_denominator(1001)
    counts = [max(1, round(length * rate)) for length in seconds]
    ends = np.cumsum(counts).tolist()
    heard = any(sound_tracks(film, 'main') for film in films)
    canvas = np.zeros((height + height % 2, width + width % 2, 3), np.uint8)
    with (
        files.replacing(output) as temporary,
        open_output(temporary, form.container, form.muxing) as container,
    ):
        template = av.VideoFrame.from_ndarray(canvas, 'rgb24')
        pictures = picture_stream(container, form, template, float(rate), rate)
        sound = None
        if heard:
            sound = container.add_stream(form.sound, rate=_SOUND_RATE, layout=_LAYOUT, bit_rate=_BIT_RATE)
        titles = [files.shown(summary.path.stem) for summary in summaries]
        container.set_chapters(chapters_of(titles, ends, rate))
        for film, count, end, size in zip(films, counts, ends, sizes, strict=True):
            begin, last = end - count, None
            with contextlib.ExitStack() as stack:
                reader = stack.enter_context(VideoReader(film))
                for at, frame in enumerate(_at_ticks(reader, rate, count), start=begin):
                    if last is None and sound is not None:
                        hearing = _hear(film, reader.clock, form.sound, stack)
                    if frame is not last:
                        picture = _letterboxed(reader, frame, size, canvas)
                        shown = fitted(av.VideoFrame.from_ndarray(picture, 'rgb24'), pictures.codec_context)
                        last = frame
                    shown.pts, shown.time_base, shown.duration = at, 1 / rate, 1
                    container.mux(pictures.encode(shown))
                    if sound is not None:
                        container.mux(sound.encode(_heard(hearing, at, begin, rate)))
                    if progress is not None:
                        progress((at + 1) / ends[-1])
        for stream in (pictures, sound):
            if stream is not None:
                container.mux(stream.encode())
    return [float((end - count) / rate) for end, count in zip(ends, counts, strict=True)]


def _size(film: pathlib.Path) -> tuple[int, int]:
    """Height and width of a film as it is seen."""
    with VideoReader(film) as reader:
        _, _, frame = next(reader.frames())
        return upright(reader, frame).shape[:2]


def _most(values: Sequence[T], seconds: Sequence[float]) -> T:
    """The value that most seconds have; of equals the greatest."""
    held = collections.defaultdict(float)
    for value, length in zip(values, seconds, strict=True):
        held[value] += length
    return max(held, key=lambda value: (round(held[value], 3), value))


def _at_ticks(reader: VideoReader, rate: Fraction, count: int) -> Iterator[av.VideoFrame]:
    """The frame that is seen at each of so many ticks of a steady rate."""
    frame, tick = None, 0
    for _, time, following in reader.frames():
        while frame is not None and tick < count and tick / rate < time - _ROUNDING:
            yield frame
            tick += 1
        frame = following
    for _ in range(tick, count):
        yield frame


def _hear(film: pathlib.Path, clock: Clock, codec: str, stack: contextlib.ExitStack) -> SoundReader | None:
    """The main track of a film, by the clock of its first picture; None where it has none."""
    tracks, _ = open_sound(film, clock, 'main', codec, rate=_SOUND_RATE, layout=_LAYOUT)
    return stack.enter_context(tracks[0]) if tracks else None


def _heard(hearing: SoundReader | None, at: int, begin: int, rate: Fraction) -> av.AudioFrame:
    """What sounds during a tick, in a film that begins at another one."""
    first, until, zero = (round(tick * _SOUND_RATE / rate) for tick in (at, at + 1, begin))
    samples = np.zeros((2, until - first), np.float32)
    if hearing is not None:
        samples = hearing.read(first - zero, until - zero)
    return sound_frame(samples, _LAYOUT, _SOUND_RATE, first)


def _letterboxed(
    reader: VideoReader, frame: av.VideoFrame, size: tuple[int, int], canvas: np.ndarray
) -> np.ndarray:
    """A picture of that size [H, W, 3] as large as it fits into a black canvas, in its middle."""
    scale = min(canvas.shape[0] / size[0], canvas.shape[1] / size[1])
    # One pixel more of an even canvas is no reason to scale.
    picture = upright(reader, frame, None if 1 <= scale < 1.01 else max(1, round(size[0] * scale)))
    whole = np.zeros_like(canvas)
    high, wide = np.minimum(picture.shape, canvas.shape)[:2]
    top, left = (canvas.shape[0] - high) // 2, (canvas.shape[1] - wide) // 2
    whole[top : top + high, left : left + wide] = picture[:high, :wide]
    return whole
