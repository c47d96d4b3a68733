"""What a summary's JSON says of its video, so that films are made again without a pass over all of it."""

import hashlib
import os
import pathlib
import re
import urllib.parse
from fractions import Fraction

import numpy as np

from trsum_jax import files
from trsum_jax.data.stored import bounds
from trsum_jax.data.stored.json_fields import Fields
from trsum_jax.errors import InputError
from trsum_jax.video.clock import Clock, Part
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.rendering import reference
from trsum_jax.video.summary import Summary

# Bytes at either end of a file that are looked at: its header and index, wherever these lie.
_ENDS = 1 << 20
# Where the file's own clock does not hold the times.
_MICROSECOND = Fraction(1, 1_000_000)
_RUN = re.compile(r'(\d{1,15})(?:x(\d{1,8}))?')
_FRACTION = re.compile(r'(-?\d{1,18})/([1-9]\d{0,18})')


def record_of(summary: Summary, output: pathlib.Path) -> dict[str, object]:
    """What a JSON keeps of the video, for `source_of`.

    Args:
        summary: of the video.
        output: the JSON; the video is named as seen from there.

    Returns:
        `file`, as a relative URL; `bytes` and `ends`, by which it is known again; `tick` and `gaps`, the
        times of its frames; `clock`, where it runs on (sought in and listened to by it); `parts`, to tell
        whether people have edited those of the summary.
    """
    with VideoReader(summary.path) as reader:
        tick, ticks = _ticks(summary.frame_times, reader.stream.time_base)
    clock = summary.clock
    return {
        'file': reference(summary.path, output),
        'bytes': summary.path.stat().st_size,
        'ends': _digest_of_ends(summary.path),
        'tick': _fraction_text(tick),
        'gaps': _runs_text(np.diff(ticks)),
        'clock': {
            'shift': _fraction_text(clock.parts[0].shift),
            'place': clock.parts[0].place,
            'closes_gaps': clock.closes_gaps,
            'places': _runs_text(np.diff(clock.places)),
            'keys': _runs_text(np.diff(clock.keys, prepend=0)),
        }
        if clock is not None and clock.runs_on
        else None,
        'parts': [{'first': first, 'last': last} for first, last in summary.parts],
    }


def find_video(found: Fields, path: pathlib.Path, given: pathlib.Path | None) -> pathlib.Path:
    """The video that a JSON speaks of, if it still is the same.

    Args:
        found: from `record_of`.
        path: the JSON.
        given: where the video is said to be, in place of where the JSON says.

    Returns:
        The file.

    Raises:
        InputError: it is not there, or is another by its size or its first or last megabyte.
    """
    video = given or _resolved(found, path)
    if not video.is_file():
        named = f'--video={files.shown(video)}' if given else files.shown(video)
        raise InputError(
            f'{files.shown(path)}: expected its video as {named}, found {files.kind_of(video)}; '
            'say where it is by --video=FILE'
        )
    size = video.stat().st_size
    if size != found.whole('bytes', 0, 2**63) or _digest_of_ends(video) != found.text('ends'):
        raise InputError(
            f'{files.shown(video)}: expected the file that {files.shown(path.name)} is of, found another or '
            'a changed one; give that file by --video=FILE, or summarize this one'
        )
    return video


def frame_times_of(found: Fields, n_frames: int) -> np.ndarray:
    """The times of a video's frames, to the bit where the file's clock tells them.

    Args:
        found: from `record_of`.
        n_frames: how many there are.

    Returns:
        [n_frames] float64, seconds from the first one, never decreasing.

    Raises:
        InputError: damage.
    """
    tick = _fraction(found, 'tick')
    if tick <= 0:
        found.refuse('tick', 'a fraction above 0', str(tick))
    ticks = np.append(0, _from_runs(found, 'gaps', n_frames - 1))
    if ticks[-1] * tick > bounds.LARGEST_NUMBER:
        found.refuse('gaps', 'the times of a video', f'{float(ticks[-1] * tick):g} seconds')
    return _seconds(ticks, tick)


def clock_of_record(found: Fields, times: np.ndarray) -> Clock | None:
    """How the file's clock runs along the frames.

    Args:
        found: from `record_of`.
        times: [n_frames] float64 of `frame_times_of`.

    Returns:
        The clock, as if it had seen all frames; None where the JSON keeps none, for one that does not run on.

    Raises:
        InputError: damage.
    """
    if 'clock' not in found:
        return None
    of_clock = found.part('clock')
    place = of_clock.whole('place', 0, 2**63 - 1) if 'place' in of_clock else None
    places = (place or 0) + np.append(0, _from_runs(of_clock, 'places', len(times) - 1))
    keys = _from_runs(of_clock, 'keys', None)
    if len(keys) and keys[-1] >= len(times):
        of_clock.refuse('keys', f'frames below {len(times)}', int(keys[-1]))
    part = Part(place, Fraction(0), _fraction(of_clock, 'shift'))
    return Clock.that_ran_on(part, of_clock.flag('closes_gaps'), places, times, keys)


def _ticks(times: np.ndarray, tick: Fraction) -> tuple[Fraction, np.ndarray]:
    """Times as whole numbers of the file's tick; of microseconds, where they are none."""
    ticks = np.rint(times / float(tick)).astype(np.int64)
    if np.array_equal(_seconds(ticks, tick), times):
        return tick, ticks
    return _MICROSECOND, np.rint(times / float(_MICROSECOND)).astype(np.int64)


def _seconds(ticks: np.ndarray, tick: Fraction) -> np.ndarray:
    # One rounding, as of the fraction itself.
    return ticks * tick.numerator / tick.denominator


def _runs_text(values: np.ndarray) -> str:
    """Whole numbers as text, equal ones that follow each other as one: `512x3 513`."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])) if len(values) else []
    counts = np.diff(np.append(starts, len(values)))
    pairs = zip(values[starts].tolist(), counts.tolist(), strict=True) if len(values) else ()
    return ' '.join(f'{value}x{count}' if count > 1 else str(value) for value, count in pairs)


def _from_runs(found: Fields, key: str, count: int | None) -> np.ndarray:
    """[count] int64 sums of the numbers of `_runs_text`, none below 0; of any count where that is None."""
    words = found.text(key).split()
    runs = [_RUN.fullmatch(word) for word in words]
    if None in runs:
        found.refuse(key, 'whole numbers, equal ones as 512x3', words[runs.index(None)])
    values = np.array([int(run[1]) for run in runs], np.int64)
    counts = np.array([int(run[2] or 1) for run in runs], np.int64)
    most = bounds.MOST_FRAMES if count is None else count
    if (counts < 1).any() or counts.sum() > most or (count is not None and counts.sum() < count):
        found.refuse(key, f'{most} numbers, one less than there are frames', int(counts.sum()))
    if float(values @ counts.astype(np.float64)) > 2.0**62:
        found.refuse(key, 'numbers of a video', int(values.max()))
    return np.cumsum(np.repeat(values, counts))


def _fraction_text(value: Fraction) -> str:
    return f'{value.numerator}/{value.denominator}'


def _fraction(found: Fields, key: str) -> Fraction:
    text = found.text(key)
    matched = _FRACTION.fullmatch(text)
    if not matched:
        found.refuse(key, 'a fraction such as 1/90000', text)
    return Fraction(int(matched[1]), int(matched[2]))


def _resolved(found: Fields, path: pathlib.Path) -> pathlib.Path:
    try:
        place = os.fsdecode(urllib.parse.unquote_to_bytes(found.text('file')))
    except UnicodeEncodeError:
        found.refuse('file', 'the name of a file, other letters as %C3%A9', found.text('file'))
    # By letters alone, as it was made: `..` of a link leads elsewhere.
    return pathlib.Path(os.path.normpath(path.parent / place))


def _digest_of_ends(path: pathlib.Path) -> str:
    """SHA-256 of the first and the last megabyte of a file."""
    with path.open('rb') as file:
        digest = hashlib.sha256(file.read(_ENDS))
        file.seek(max(0, path.stat().st_size - _ENDS))
        digest.update(file.read(_ENDS))
    return digest.hexdigest()
