"""The summary as a video: the chosen parts in order, cut to the frame, with their sound."""

import contextlib
import math
import pathlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from trsum_jax import files
from trsum_jax.errors import InputError
from trsum_jax.video import tone_mapping
from trsum_jax.video.blending import Seam
from trsum_jax.video.forms import FORMS, Form
from trsum_jax.video.opening import open_output
from trsum_jax.video.picking import frames_among
from trsum_jax.video.reading import VideoReader, clock_of
from trsum_jax.video.sound import SoundReader, open_sound, sound_frame
from trsum_jax.video.summary import Summary
from trsum_jax.video.written.chapters import chapter_titles

# Bits per second by channels: what AAC needs to be hard to tell from its source, and the least it is given
# where the source has less.
_BIT_RATES, _LEAST_PER_CHANNEL = {1: 96_000, 2: 192_000, 6: 384_000}, 32_000
_FADE = 0.01
_HDR_DATA = {
    'MASTERING_DISPLAY_METADATA': 'the data of its mastering display',
    'CONTENT_LIGHT_LEVEL': 'its light levels',
    'DYNAMIC_HDR_PLUS': 'HDR10+',
    'DOVI_METADATA': 'Dolby Vision',
}
# H.264 counts time in 32 bits.
_FINEST_CLOCK = 2**30


def write_video(
    summary: Summary,
    output: pathlib.Path,
    *,
    sound: str = 'all',
    form: Form | None = None,
    progress: Callable[[float], None] | None = None,
    watch: Callable[[VideoReader, int, av.VideoFrame], None] | None = None,
) -> list[str]:
    """Writes the parts of a summary as one film, whole or not at all, in bounded memory.

    The ending of its name tells the form: .mp4 or .mov (h264, aac), .webm (VP9, Opus).

    Frames keep their distances in time. A part's sound begins at the sample nearest to its first frame and
    lasts as long as its pictures; places in the summary are rounded, never lengths, so nothing adds up over
    many cuts. It fades in and out over 10 ms at every cut, or as long as the pictures do: with
    `Summary.crossfade` the last pictures of a part are blended with the first ones of the next. Size, shape
    of the pixels, turning and colour tags are the source's; deeper colour becomes 8 bit, interlaced pictures
    become progressive, and an odd width or height grows by one (players know H.264 with even ones only).
    Sound tracks keep their order, language, title and disposition. Of several parts each is a chapter.

    Args:
        summary: what to write.
        output: ends in one of `FORMS`; replaced where it exists.
        sound: `all` tracks, the `main` one, or `none`.
        form: in place of that of the ending.
        progress: called with the share of frames written, in (0, 1]; what it raises stops the writing.
        watch: called with every frame of the parts and its number, as it was decoded.

    Returns:
        what a person should know of the sound (damage, what does not decode), and what the film lacks of high
        dynamic range; the rest of the pictures is known by now.

    Raises:
        InputError: the source cannot be read or is not what was summarized, or the output not written.
    """
    parts, form = summary.parts, form or FORMS[output.suffix.lower()]
    n_frames = int((parts[:, 1] - parts[:, 0] + 1).sum())
    course = summary.clock or clock_of(summary.path)
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(files.replacing(output))
        reader = stack.enter_context(VideoReader(summary.path))
        frames = frames_among(reader, parts, summary.frame_times, course)
        container = stack.enter_context(open_output(temporary, form.container, form.muxing))
        clock = reader.stream.time_base.denominator
        clock = clock if clock <= _FINEST_CLOCK else 90_000
        ticks = np.rint(summary.edges * clock).astype(np.int64)
        stretches, held = _stretches(summary, ticks), parts[:, 1] + 1 - summary.tails
        if len(parts) > 1:
            seams = [(one.tail + one.end) // 2 + one.shift for one in stretches]
            container.set_chapters(chapters_of(chapter_titles(summary), seams, clock))
        pictures, tracks = None, []
        seam = Seam(0, 0)
        at, written, notes = -1, 0, []
        for index, frame in frames:
            if pictures is None:
                shape = reader.stream.sample_aspect_ratio
                pictures = picture_stream(container, form, frame, summary.fps, clock, shape)
                heard, notes = open_sound(summary.path, course, sound, form.sound, layout=form.layout)
                notes += _lost_of_hdr(frame)
                tracks = [_SoundTrack(container, form, stack.enter_context(one), clock) for one in heard]
            if watch is not None:
                watch(reader, index, frame)
            part = int(np.searchsorted(parts[:, 1], index))
            shown = fitted(frame, pictures.codec_context)
            stretch, (begin, end) = stretches[part], ticks[index : index + 2].tolist()
            place, until = begin + stretch.shift, end + stretch.shift
            if index >= held[part]:
                if index == held[part]:
                    seam = Seam(place, stretch.end + stretch.shift)
                seam.hold(place, shown)
            else:
                shown = seam.blended(place, until, shown)
                # Frames of one and the same time, which VideoReader lets through, no container holds.
                at = max(at + 1, place)
                shown.pts, shown.time_base = at, Fraction(1, clock)
                shown.duration = until - place
                shown.pict_type = PictureType.I if index == parts[part, 0] else PictureType.NONE
                container.mux(pictures.encode(shown))
            for track in tracks:
                track.write(begin, end, stretch)
            written += 1
            if progress is not None:
                progress(written / n_frames)
        if written < n_frames:
            raise InputError(
                f'{files.shown(summary.path)}: expected {n_frames} frames of the summary, found {written}; '
                'the file has changed since it was summarized, or is another: summarize it again'
            )
        container.mux(pictures.encode())
        for track in tracks:
            track.close()
            notes += track.notes
        container.close()
        return notes


class _Stretch(NamedTuple):
    """A part by the source's ticks: where it begins, is faded in, begins to fade into the next, and ends.

    `shift` leads from there to the ticks of the film.
    """

    begin: int
    head: int
    tail: int
    end: int
    shift: int


def _stretches(summary: Summary, ticks: np.ndarray) -> list[_Stretch]:
    parts = summary.parts
    begins, ends = ticks[parts[:, 0]], ticks[parts[:, 1] + 1]
    tails = ticks[parts[:, 1] + 1 - summary.tails]
    heads = begins + np.append(0, (ends - tails)[:-1])
    shifts = np.cumsum(tails - begins) - tails
    return [_Stretch(*row) for row in np.stack([begins, heads, tails, ends, shifts], axis=1).tolist()]


def chapters_of(titles: Sequence[str], ends: Sequence[int], clock: int | Fraction) -> list[dict]:
    """Chapters as PyAV takes them.

    Args:
        titles: of the chapters, one after another from the film's beginning.
        ends: of each, in ticks.
        clock: ticks a second.

    Returns:
        For `set_chapters`.
    """
    return [
        {
            'id': number,
            'start': begin,
            'end': end,
            'time_base': 1 / Fraction(clock),
            'metadata': {'title': title},
        }
        for number, (title, begin, end) in enumerate(zip(titles, [0, *ends[:-1]], ends, strict=True), 1)
    ]


def picture_stream(
    container: av.container.OutputContainer,
    form: Form,
    frame: av.VideoFrame,
    fps: float,
    clock: int | Fraction,
    shape: Fraction | None = None,
) -> av.VideoStream:
    """Adds the stream of pictures to a film.

    Args:
        container: the film.
        form: of the film.
        frame: such as it will get, by `fitted`.
        fps: frames per second on average.
        clock: ticks a second.
        shape: width of a pixel by its height; None for squares.

    Returns:
        The stream.

    Raises:
        InputError: this PyAV has not the codec.
    """
    try:
        stream = container.add_stream(
            form.pictures,
            rate=Fraction(fps).limit_denominator(1001),
            options=dict(form.options),
            pix_fmt='yuv420p',
            bit_rate=0,
        )
    except av.codec.codec.UnknownCodecError as error:
        raise InputError(
            f'writing this film needs a PyAV with {form.pictures}, which this one is without; '
            'its wheels have it: pip install --force-reinstall --only-binary=av av'
        ) from error
    context = stream.codec_context
    scale = min(1.0, (form.pixels / (frame.width * frame.height)) ** 0.5) if form.pixels else 1.0
    stream.width, stream.height = (
        2 * math.ceil(side / 2) if scale == 1 else max(2, 2 * round(side * scale / 2))
        for side in (frame.width, frame.height)
    )
    context.time_base = 1 / Fraction(clock)
    context.flags |= Flags.frame_duration
    if shape:
        context.sample_aspect_ratio = shape
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


def fitted(frame: av.VideoFrame, context: av.VideoCodecContext) -> av.VideoFrame:
    """The frame in the size and format of the stream: an odd edge repeated, another size scaled."""
    matrix = {'dst_colorspace': 'ITU709', 'dst_color_range': 'MPEG'} if frame.format.is_rgb else {}
    grown = (context.height - frame.height, context.width - frame.width)
    if max(grown) == 1 and min(grown) >= 0:
        whole = frame.reformat(format='yuv444p', **matrix).to_ndarray()
        padded = np.pad(whole, ((0, 0), (0, grown[0]), (0, grown[1])), mode='edge')
        return av.VideoFrame.from_ndarray(padded, 'yuv444p').reformat(format='yuv420p')
    # By this thread, as in `reading.picture`.
    return frame.reformat(context.width, context.height, 'yuv420p', threads=1, **matrix)


def _lost_of_hdr(frame: av.VideoFrame) -> list[str]:
    """A note of what becomes of high dynamic range, for a frame that has it."""
    if frame.color_trc not in tone_mapping.NAMES:
        return []
    lost = [name for kind, name in _HDR_DATA.items() if frame.side_data.get(kind) is not None]
    without = f', without {" and ".join(lost)}' if lost else ''
    return [
        f'HDR ({tone_mapping.NAMES[frame.color_trc]}): the film keeps its colour tags, but in 8 bits{without}'
    ]


def _bit_rate(n_channels: int, source: int | None) -> int:
    """Bits per second for a track: by its channels, and not above its source's but for the least."""
    usual = _BIT_RATES[n_channels]
    return usual if source is None else max(min(usual, source), _LEAST_PER_CHANNEL * n_channels)


class _SoundTrack:
    """One sound track of the summary, written stretch by stretch along the pictures."""

    def __init__(self, container: av.container.OutputContainer, form: Form, hearing: SoundReader, clock: int):
        self._container, self._hearing, self._clock = container, hearing, clock
        self._stream = container.add_stream(
            form.sound,
            rate=hearing.rate,
            layout=hearing.layout,
            bit_rate=min(
                _bit_rate(hearing.n_channels, hearing.bit_rate), form.sound_rate or max(_BIT_RATES.values())
            ),
        )
        self._stream.metadata.update(hearing.tags)
        if 'title' in hearing.tags:
            # The one that players show.
            self._stream.metadata['handler_name'] = hearing.tags['title']
        self._stream.disposition = hearing.disposition
        # What a part fades out with, from this sample on, until the next part sounds over it.
        self._held = (0, np.zeros((hearing.n_channels, 0), np.float32))

    @property
    def notes(self) -> list[str]:
        """What the reader of the sound had to note."""
        return self._hearing.notes

    def write(self, begin: int, end: int, part: _Stretch) -> None:
        """Writes what sounds from one tick of the source to another, both within a part or its tail."""
        rate, shift = self._hearing.rate, part.shift

        def sample(tick: int) -> int:
            return round(Fraction((tick + shift) * rate, self._clock))

        first, last, tail = sample(begin), sample(end), sample(part.tail)
        part_first, part_last = sample(part.begin), sample(part.end)
        rise = max(sample(part.head) - part_first, _FADE * rate)
        fall = max(part_last - tail, _FADE * rate)
        source = round(Fraction(part.begin * rate, self._clock)) - part_first
        for place in range(first, last, rate):
            until = min(place + rate, last)
            samples = self._hearing.read(source + place, source + until)
            middle = np.arange(place, until) + 0.5
            fade = np.minimum((middle - part_first) / rise, (part_last - middle) / fall)
            faded = samples * np.minimum(fade, 1).astype(np.float32)
            at, held = self._held
            if place >= tail:
                before = held if at + held.shape[1] == place else held[:, :0]
                self._held = place - before.shape[1], np.concatenate([before, faded], axis=1)
                continue
            here, there = max(place, at), min(until, at + held.shape[1])
            if here < there:
                faded[:, here - place : there - place] += held[:, here - at : there - at]
            frame = sound_frame(faded, self._hearing.layout, rate, place)
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what the encoder still holds."""
        self._container.mux(self._stream.encode())
