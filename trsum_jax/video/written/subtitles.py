"""The subtitles of a video cut along with it: those of its summary, as SubRip (.srt)."""

import pathlib
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import numpy as np

from trsum_jax import files
from trsum_jax.errors import InputError
from trsum_jax.video.clock import Clock, Following
from trsum_jax.video.opening import open_input, open_subtitles, packets
from trsum_jax.video.reading import clock_of
from trsum_jax.video.summary import Summary

# FFmpeg's decoders of subtitles that are text; others are pictures.
_TEXT = {'srt', 'subrip', 'ass', 'ssa', 'mov_text', 'webvtt', 'text'}
_LANGUAGE = r'(\.[A-Za-z]{2,3}(-[A-Za-z]{2,4})?)?\.srt'
# Seconds: what is left of a subtitle at a cut, and nobody can read.
_FLASH, _EXACT = 0.1, 1e-6
_CODES = re.compile(r'\{\\[^}]*\}')


def find(video: pathlib.Path) -> tuple[pathlib.Path, int] | None:
    """Where the subtitles of a video are: in a file beside it, else in its own.

    Args:
        video: `NAME.mp4`; beside it lies `NAME.srt`, or else `NAME.en.srt`.

    Returns:
        The file, and the number of the stream in it: of several the default one, else the first. None for a
        video without text for subtitles, or which cannot be opened.
    """
    if not video.is_file():
        return None
    named = re.compile(re.escape(video.stem) + _LANGUAGE, re.IGNORECASE)
    beside = [path for path in video.parent.iterdir() if named.fullmatch(path.name) and path.is_file()]
    if beside:
        return min(beside, key=lambda path: (len(path.name), path.name)), 0
    try:
        with open_input(video) as container:
            tracks = [
                stream
                for stream in container.streams.subtitles
                if stream.codec_context is not None and stream.codec_context.name in _TEXT
            ]
            default = [one for one in tracks if one.disposition & av.stream.Disposition.default]
            return (video, (default or tracks)[0].index) if tracks else None
    except InputError:
        return None


def write_subtitles(summary: Summary, output: pathlib.Path) -> list[str]:
    """Writes the subtitles of the kept parts, at their times in the summary.

    Args:
        summary: of a video that has subtitles, see `find`.
        output: the .srt; replaced where it exists.

    Returns:
        What a person should know: an encoding that was guessed, a file without subtitles.

    Raises:
        InputError: the file cannot be written.
    """
    source, notes = find(summary.path), []
    if source is None:
        cues = []
    else:
        clock = summary.clock or clock_of(summary.path)
        if source[0] == summary.path:
            cues = list(_own(source[0], source[1], clock, notes))
        else:
            before = _before_pictures(summary.path, clock)
            cues = [(begin - before, end - before, text) for begin, end, text in _beside(source[0], notes)]
    kept = cut(cues, summary.film_spans)
    if not kept:
        place = files.shown(source[0].name) if source else files.shown(summary.path.name)
        found = 'none of its subtitles falls into the summary' if cues else 'no subtitles can be read in it'
        notes.append(f'{place}: {found}; {files.shown(output.name)} is empty')
    blocks = [
        f'{number}\n{_stamp(begin)} --> {_stamp(end)}\n{text}\n'
        for number, (begin, end, text) in enumerate(kept, 1)
    ]
    files.write_text(output, '\n'.join(blocks))
    return notes


def cut(cues: Sequence[tuple[float, float, str]], spans: np.ndarray) -> list[tuple[float, float, str]]:
    """Subtitles of the kept stretches of a video, at their times in what is left of it.

    One that goes on over a cut is one; what a cut leaves of it for less than a tenth of a second is left out.

    Args:
        cues: from, up to (seconds of the video) and text.
        spans: [n, 2] float64, kept seconds: from, up to; ascending, without overlap.

    Returns:
        The same for the summary, by their begin.
    """
    kept = []
    for begin, end, text in cues:
        pieces, place = [], 0.0
        for first, last in spans.tolist():
            here, there = max(begin, first), min(end, last)
            if there > here:
                piece = (here - first + place, there - first + place)
                if pieces and piece[0] - pieces[-1][1] < _EXACT:
                    piece = (pieces.pop()[0], piece[1])
                pieces.append(piece)
            place += last - first
        least = min(_FLASH, end - begin) - _EXACT
        kept += [(*piece, text) for piece in pieces if piece[1] - piece[0] > least]
    # What begins together, as at a cut, stays in order.
    return sorted(kept, key=lambda cue: round(cue[0], 6))


def _own(
    path: pathlib.Path, index: int, clock: Clock, notes: list[str]
) -> Iterator[tuple[float, float, str]]:
    """The subtitles of a stream of the video, by the clock of its pictures."""
    following = Following(clock)
    with open_input(path) as container:
        stream = container.streams[index]
        for packet in packets(container, stream, notes):
            if packet.pts is None:
                continue
            begin = packet.pts * stream.time_base
            found = following.shift(begin, Fraction(0), packet.pos)
            text = _readable(packet, stream)
            if found and text:
                lasts = (packet.duration or 0) * stream.time_base
                yield float(begin + found[0]), float(begin + found[0] + lasts), text


def _before_pictures(path: pathlib.Path, clock: Clock) -> float:
    """Seconds before the first picture, mostly of sound: players count a file of subtitles from their begin.

    0 where the clock starts anew on the way, which players do not follow alike.
    """
    with open_input(path) as container:
        if not clock.runs_on or clock.origin is None or container.start_time is None:
            return 0.0
        return max(0.0, float(clock.origin - Fraction(container.start_time, av.time_base)))


def _readable(packet: av.Packet, stream: av.stream.Stream) -> str:
    """The text of a subtitle, without the codes of other formats than SubRip's."""
    if stream.codec_context.name in ('srt', 'subrip'):
        return _lines(bytes(packet).decode('utf-8', 'backslashreplace'))
    try:
        spoken = [one.dialogue for one in packet.decode()]
    except av.error.FFmpegError:
        return ''
    text = '\n'.join(one.decode('utf-8', 'backslashreplace') for one in spoken)
    return _lines(_CODES.sub('', text).replace('\\N', '\n').replace('\\n', '\n').replace('\\h', ' '))


def _beside(path: pathlib.Path, notes: list[str]) -> Iterator[tuple[float, float, str]]:
    """The subtitles of an .srt, by its own clock."""
    try:
        container = open_subtitles(path)
    except InputError:
        return
    with container:
        stream, guessed = container.streams.subtitles[0], False
        for packet in packets(container, stream, notes):
            if packet.pts is None:
                continue
            try:
                text = bytes(packet).decode('utf-8')
            except UnicodeDecodeError:
                text, guessed = bytes(packet).decode('cp1252', 'backslashreplace'), True
            begin = packet.pts * stream.time_base
            if text := _lines(text):
                yield float(begin), float(begin + (packet.duration or 0) * stream.time_base), text
    if guessed:
        notes.append(f'{files.shown(path.name)}: is not UTF-8; read as Windows-1252')


def _lines(text: str) -> str:
    """Without empty lines, which would end the subtitle."""
    return '\n'.join(line.strip() for line in text.splitlines() if line.strip())


def _stamp(seconds: float) -> str:
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f'{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{thousandths:03d}'
