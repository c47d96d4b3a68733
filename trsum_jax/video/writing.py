"""The summary as a video: the chosen parts in order, cut to the frame, with their sound."""

import contextlib
import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.video.frame import PictureType

from trsum_jax import files
from trsum_jax.errors import InputError
from trsum_jax.video import tone_mapping
from trsum_jax.video.blending import Seam
from trsum_jax.video.clock import Clock
from trsum_jax.video.film_pictures import fitted, picture_stream
from trsum_jax.video.film_sound import SoundTrack, Stretch
from trsum_jax.video.forms import FORMS, Form
from trsum_jax.video.opening import cores, open_output
from trsum_jax.video.picking import frames_among
from trsum_jax.video.reading import VideoReader, clock_of
from trsum_jax.video.sound import SoundReader, open_sound
from trsum_jax.video.summary import Summary
from trsum_jax.video.written.chapters import chapter_titles

_HDR_DATA = {
    'MASTERING_DISPLAY_METADATA': 'the data of its mastering display',
    'CONTENT_LIGHT_LEVEL': 'its light levels',
    'DYNAMIC_HDR_PLUS': 'HDR10+',
    'DOVI_METADATA': 'Dolby Vision',
}
# H.264 counts time in 32 bits.
_FINEST_CLOCK = 2**30
# Threads of the decoder at most, as FFmpeg has it.
_DECODERS = 16
# The sound of a source, and notes of it.
_Heard = tuple[list[SoundReader], list[str]]
# What may be the matter with a film that is written.
_FAULTS = (InputError, OSError, av.error.FFmpegError)


class Copy(NamedTuple):
    """A second film of a summary, made while the first one is written, so that frames are decoded once.

    Where it cannot be written, it is given up and not the first one.

    Attributes:
        output: where it goes, a temporary file.
        form: of it.
        sound: as of `write_video`.
        least: pixels of all frames of the first film together, below which the copy is not made.
    """

    output: pathlib.Path
    form: Form
    sound: str
    least: int = 0


def write_video(
    summary: Summary,
    output: pathlib.Path,
    *,
    sound: str = 'all',
    form: Form | None = None,
    progress: Callable[[float], None] | None = None,
    watch: Callable[[VideoReader, int, av.VideoFrame], None] | None = None,
    copy: Copy | None = None,
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
        copy: another film to be written beside it, if that can be done.

    Returns:
        what a person should know of the sound (damage, what does not decode), and what the film lacks of high
        dynamic range; the rest of the pictures is known by now.

    Raises:
        InputError: the source cannot be read or is not what was summarized, or the output not written.
    """
    parts = summary.parts
    n_frames = int((parts[:, 1] - parts[:, 0] + 1).sum())
    course = summary.clock or clock_of(summary.path)
    film = copied = None
    written = 0
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(files.replacing(output))
        reader = stack.enter_context(_reader(summary))
        for index, frame in frames_among(reader, parts, summary.frame_times, course):
            if film is None:
                kind = form or FORMS[output.suffix.lower()]
                heard = _opened(summary, course, sound, kind, stack)
                film = _Film(summary, reader, frame, temporary, kind, heard, stack)
                if copy is not None and n_frames * frame.width * frame.height >= copy.least:
                    copied = _CopiedFilm(summary, course, reader, frame, copy)
                    stack.callback(copied.give_up)
            if watch is not None:
                watch(reader, index, frame)
            film.add(index, frame)
            if copied is not None:
                copied.add(index, frame)
            written += 1
            if progress is not None:
                progress(written / n_frames)
        if written < n_frames:
            raise _changed(summary, n_frames, written)
        if copied is not None:
            copied.close()
        return film.close()


def write_parts(
    summary: Summary,
    outputs: Sequence[pathlib.Path],
    *,
    sound: str = 'all',
    progress: Callable[[float], None] | None = None,
) -> None:
    """Writes each part of a summary as a film of its own, all in one pass over the video.

    Args:
        summary: whose parts.
        outputs: of each part; of one ending.
        sound: as of `write_video`.
        progress: as of `write_video`, of all parts.

    Raises:
        InputError: as `write_video`.
    """
    counts = (summary.parts[:, 1] - summary.parts[:, 0] + 1).tolist()
    course, kind = summary.clock or clock_of(summary.path), FORMS[outputs[0].suffix.lower()]
    written, total = 0, sum(counts)
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(_reader(summary))
        heard = None
        frames = frames_among(reader, summary.parts, summary.frame_times, course)
        for part, count, output in zip(summary.parts, counts, outputs, strict=True):
            one, film = dataclasses.replace(summary, chosen=summary.inside(part)), None
            with contextlib.ExitStack() as own:
                temporary = own.enter_context(files.replacing(output))
                for index, frame in itertools.islice(frames, count):
                    if heard is None:
                        heard = _opened(summary, course, sound, kind, stack)
                    if film is None:
                        film = _Film(one, reader, frame, temporary, kind, heard, own)
                    film.add(index, frame)
                    written += 1
                    if progress is not None:
                        progress(written / total)
                if film is None or index < part[1]:
                    raise _changed(summary, total, written)
                film.close()


def _reader(summary: Summary) -> VideoReader:
    reader = VideoReader(summary.path)
    # Left to itself FFmpeg takes one more, which holds 33 MB of 4K; here an encoder works beside it.
    reader.stream.codec_context.thread_count = cores(_DECODERS)
    return reader


def _opened(summary: Summary, course: Clock, sound: str, form: Form, stack: contextlib.ExitStack) -> _Heard:
    """The sound of a video, which `stack` closes, and notes of it."""
    heard, notes = open_sound(summary.path, course, sound, form.sound, layout=form.layout)
    return [stack.enter_context(one) for one in heard], notes


def _changed(summary: Summary, expected: int, found: int) -> InputError:
    return InputError(
        f'{files.shown(summary.path)}: expected {expected} frames of the summary, found {found}; '
        'the file has changed since it was summarized, or is another: summarize it again'
    )


class _Film:
    """One film of a summary, frame by frame."""

    def __init__(
        self,
        summary: Summary,
        reader: VideoReader,
        frame: av.VideoFrame,
        output: pathlib.Path,
        form: Form,
        heard: _Heard,
        stack: contextlib.ExitStack,
    ):
        """Begins it, by its first frame; `stack` closes what is opened for it."""
        parts = summary.parts
        self._container = stack.enter_context(open_output(output, form.container, form.muxing))
        clock = reader.stream.time_base.denominator
        self._clock = clock = clock if clock <= _FINEST_CLOCK else 90_000
        self._ticks = np.rint(summary.edges * clock).astype(np.int64)
        self._parts, self._held = parts, parts[:, 1] + 1 - summary.tails
        self._stretches = _stretches(summary, self._ticks)
        if len(parts) > 1:
            seams = [(one.tail + one.end) // 2 + one.shift for one in self._stretches]
            self._container.set_chapters(chapters_of(chapter_titles(summary), seams, clock))
        self._seam, self._at = Seam(0, 0), -1
        shape = reader.stream.sample_aspect_ratio
        self._pictures = picture_stream(self._container, form, frame, summary.fps, clock, shape)
        readers, notes = heard
        self._notes = [*notes, *_lost_of_hdr(frame)]
        self._tracks = [SoundTrack(self._container, form, one, clock) for one in readers]

    def add(self, index: int, frame: av.VideoFrame) -> None:
        """Adds the next frame of the parts, and its sound."""
        part = int(np.searchsorted(self._parts[:, 1], index))
        shown = fitted(frame, self._pictures.codec_context)
        stretch, (begin, end) = self._stretches[part], self._ticks[index : index + 2].tolist()
        place, until = begin + stretch.shift, end + stretch.shift
        if index >= self._held[part]:
            if index == self._held[part]:
                self._seam = Seam(place, stretch.end + stretch.shift)
            self._seam.hold(place, shown)
        else:
            shown = self._seam.blended(place, until, shown)
            # Frames of one and the same time, which VideoReader lets through, no container holds.
            self._at = max(self._at + 1, place)
            shown.pts, shown.time_base = self._at, Fraction(1, self._clock)
            shown.duration = until - place
            shown.pict_type = PictureType.I if index == self._parts[part, 0] else PictureType.NONE
            self._container.mux(self._pictures.encode(shown))
        for track in self._tracks:
            track.write(begin, end, stretch)

    def close(self) -> list[str]:
        """Writes what is left; what a person should know."""
        self._container.mux(self._pictures.encode())
        for track in self._tracks:
            track.close()
            self._notes += track.notes
        self._container.close()
        return self._notes


class _CopiedFilm:
    """A `Copy`, frame by frame, as long as nothing fails; then its file is gone."""

    def __init__(
        self, summary: Summary, course: Clock, reader: VideoReader, frame: av.VideoFrame, copy: Copy
    ):
        """Begins it, as a `_Film`."""
        self._output, self._stack = copy.output, contextlib.ExitStack()
        self._ended = False
        with self._if_possible():
            heard = _opened(summary, course, copy.sound, copy.form, self._stack)
            self._film = _Film(summary, reader, frame, copy.output, copy.form, heard, self._stack)

    def add(self, index: int, frame: av.VideoFrame) -> None:
        """Adds the next frame."""
        if not self._ended:
            with self._if_possible():
                self._film.add(index, frame)

    def close(self) -> None:
        """Ends the film."""
        if not self._ended:
            with self._if_possible():
                self._film.close()
                self._stack.close()
                self._ended = True

    def give_up(self) -> None:
        """Leaves no file of a film that has not come to its end."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(*_FAULTS):
                self._stack.close()
            with contextlib.suppress(OSError):
                self._output.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _if_possible(self) -> Iterator[None]:
        try:
            yield
        except _FAULTS:
            self.give_up()


def _stretches(summary: Summary, ticks: np.ndarray) -> list[Stretch]:
    parts = summary.parts
    begins, ends = ticks[parts[:, 0]], ticks[parts[:, 1] + 1]
    tails = ticks[parts[:, 1] + 1 - summary.tails]
    heads = begins + np.append(0, (ends - tails)[:-1])
    shifts = np.cumsum(tails - begins) - tails
    return [Stretch(*row) for row in np.stack([begins, heads, tails, ends, shifts], axis=1).tolist()]


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


def _lost_of_hdr(frame: av.VideoFrame) -> list[str]:
    """A note of what becomes of high dynamic range, for a frame that has it."""
    if frame.color_trc not in tone_mapping.NAMES:
        return []
    lost = [name for kind, name in _HDR_DATA.items() if frame.side_data.get(kind) is not None]
    without = f', without {" and ".join(lost)}' if lost else ''
    return [
        f'HDR ({tone_mapping.NAMES[frame.color_trc]}): the film keeps its colour tags, but in 8 bits{without}'
    ]
