"""The summary as a video: the chosen parts in order, cut to the frame, with their sound."""

import contextlib
import pathlib
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from trsum_jax import files
from trsum_jax.errors import InputError
from trsum_jax.video.opening import open_output
from trsum_jax.video.picking import frames_among
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.sound import SoundReader, open_sound
from trsum_jax.video.summary import Summary

# Quality hard to tell from the source's, by the fastest preset that still compresses well. An mp4 keeps how
# long frames last in order of decoding: only without B-frames is that the order of showing.
_H264 = {'crf': '18', 'preset': 'veryfast', 'bf': '0'}
_BITS_PER_CHANNEL = 96_000
_FADE = 0.01
# H.264 counts time in 32 bits.
_FINEST_CLOCK = 2**30


def write_video(
    summary: Summary, output: pathlib.Path, *, progress: Callable[[float], None] | None = None
) -> list[str]:
    """Writes the parts of a summary as one mp4 (h264, aac), whole or not at all, in bounded memory.

    Frames keep their distances in time. A part's sound begins at the sample nearest to its first frame and
    lasts as long as its pictures; places in the summary are rounded, never lengths, so nothing adds up over
    many cuts. It fades in and out over 10 ms at every cut. Size, shape of the pixels, turning and colour tags
    are the source's; deeper colour becomes 8 bit, and an odd width or height grows by one (players know
    H.264 with even ones only).

    Args:
        summary: what to write.
        output: the mp4, replaced where it exists.
        progress: called with the share of frames written, in (0, 1]; what it raises stops the writing.

    Returns:
        what a person should know of the sound: damage, or that none decodes; the pictures are known by now.

    Raises:
        InputError: the source cannot be read or is not what was summarized, or the output not written.
    """
    parts = summary.parts
    n_frames = int((parts[:, 1] - parts[:, 0] + 1).sum())
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(files.replacing(output))
        reader = stack.enter_context(VideoReader(summary.path))
        frames = frames_among(reader, parts, summary.frame_times)
        container = stack.enter_context(open_output(temporary, 'mp4', {'movflags': '+faststart'}))
        clock = reader.stream.time_base.denominator
        clock = clock if clock <= _FINEST_CLOCK else 90_000
        ticks = np.rint(np.append(summary.frame_times, summary.duration) * clock).astype(np.int64)
        begins, ends = ticks[parts[:, 0]], ticks[parts[:, 1] + 1]
        shifts = np.cumsum(ends - begins) - ends
        pictures = sound = None
        at, written, notes = -1, 0, []
        for index, frame in frames:
            if pictures is None:
                pictures = _picture_stream(container, reader, frame, summary.fps, clock)
                hearing, notes = open_sound(summary.path, reader.origin or Fraction(0))
                sound = hearing and _SoundTrack(container, stack.enter_context(hearing), clock)
            part = int(np.searchsorted(parts[:, 1], index))
            shown = _fitted(frame, pictures.codec_context)
            # Frames of one and the same time, which VideoReader lets through, no container holds.
            at = max(at + 1, int(ticks[index] + shifts[part]))
            shown.pts, shown.time_base = at, Fraction(1, clock)
            shown.duration = int(ticks[index + 1] - ticks[index])
            shown.pict_type = PictureType.I if index == parts[part, 0] else PictureType.NONE
            container.mux(pictures.encode(shown))
            if sound is not None:
                sound.write(ticks[index], ticks[index + 1], begins[part], ends[part], shifts[part])
            written += 1
            if progress is not None:
                progress(written / n_frames)
        if written < n_frames:
            raise InputError(
                f'{files.shown(summary.path)}: expected {n_frames} frames of the summary, found {written}; '
                'the file has changed since it was summarized, or is another: summarize it again'
            )
        container.mux(pictures.encode())
        if sound is not None:
            sound.close()
            notes += hearing.notes
        container.close()
        return notes


def _picture_stream(
    container: av.container.OutputContainer,
    reader: VideoReader,
    frame: av.VideoFrame,
    fps: float,
    clock: int,
) -> av.VideoStream:
    """The stream that takes frames like this one."""
    try:
        stream = container.add_stream(
            'libx264', rate=Fraction(fps).limit_denominator(1001), options=dict(_H264), pix_fmt='yuv420p'
        )
    except av.codec.codec.UnknownCodecError as error:
        raise InputError(
            'writing H.264 needs a PyAV with libx264, which this one is without; '
            'its wheels have it: pip install --force-reinstall --only-binary=av av'
        ) from error
    context = stream.codec_context
    stream.width, stream.height = frame.width + frame.width % 2, frame.height + frame.height % 2
    context.time_base = Fraction(1, clock)
    context.flags |= Flags.frame_duration
    if reader.stream.sample_aspect_ratio:
        context.sample_aspect_ratio = reader.stream.sample_aspect_ratio
    if frame.format.is_rgb:
        context.colorspace, context.color_range = 1, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    else:
        context.colorspace, context.color_range = frame.colorspace, frame.color_range
        context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
    display = frame.side_data.get('DISPLAYMATRIX')
    if display is not None:
        stream.set_display_matrix(np.frombuffer(display, np.int32)[:9].tolist())
    return stream


def _fitted(frame: av.VideoFrame, context: av.VideoCodecContext) -> av.VideoFrame:
    """The frame in the size and format of the stream: an odd edge repeated, another size scaled."""
    matrix = {'dst_colorspace': 'ITU709', 'dst_color_range': 'MPEG'} if frame.format.is_rgb else {}
    grown = (context.height - frame.height, context.width - frame.width)
    if max(grown) == 1 and min(grown) >= 0:
        whole = frame.reformat(format='yuv444p', **matrix).to_ndarray()
        padded = np.pad(whole, ((0, 0), (0, grown[0]), (0, grown[1])), mode='edge')
        return av.VideoFrame.from_ndarray(padded, 'yuv444p').reformat(format='yuv420p')
    return frame.reformat(context.width, context.height, 'yuv420p', **matrix)


class _SoundTrack:
    """The sound of the summary, written stretch by stretch along the pictures."""

    def __init__(self, container: av.container.OutputContainer, hearing: SoundReader, clock: int):
        self._container, self._hearing, self._clock = container, hearing, clock
        self._stream = container.add_stream(
            'aac',
            rate=hearing.rate,
            layout=hearing.layout,
            bit_rate=_BITS_PER_CHANNEL * hearing.n_channels,
        )

    def write(self, begin: int, end: int, part_begin: int, part_end: int, shift: int) -> None:
        """Writes a stretch of a part's sound; ticks of the source, which `shift` leads to the summary's."""
        first, last, part_first, part_last = (
            round(Fraction(int(tick + shift) * self._hearing.rate, self._clock))
            for tick in (begin, end, part_begin, part_end)
        )
        source = round(Fraction(int(part_begin) * self._hearing.rate, self._clock)) - part_first
        for place in range(first, last, self._hearing.rate):
            until = min(place + self._hearing.rate, last)
            samples = self._hearing.read(source + place, source + until)
            middle = np.arange(place, until) + 0.5
            fade = np.minimum(middle - part_first, part_last - middle) / (_FADE * self._hearing.rate)
            faded = samples * np.minimum(fade, 1).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(faded, 'fltp', self._hearing.layout)
            frame.sample_rate, frame.pts = self._hearing.rate, place
            frame.time_base = Fraction(1, self._hearing.rate)
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what the encoder still holds."""
        self._container.mux(self._stream.encode())
