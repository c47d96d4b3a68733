"""The summary as data: JSON for programs, a timeline for people who finish the cut in an editor."""

import base64
import hashlib
import os
import pathlib
import re
from typing import TYPE_CHECKING

import numpy as np

from trsum_jax import files
from trsum_jax.errors import InputError
from trsum_jax.video.opening import open_input
from trsum_jax.video.summary import Summary

if TYPE_CHECKING:
    import opentimelineio

_NTSC = 1000 / 1001
# The rates of SMPTE timecode, whole ones first: they are preferred where a video has no rate of its own.
_RATES = (24, 25, 30, 48, 50, 60, 100, 120, 24 * _NTSC, 30 * _NTSC, 48 * _NTSC, 60 * _NTSC, 120 * _NTSC)
_WHOLE = _RATES[:8]
_CLOSE = 1e-3
# Letters of a reel's name in CMX 3600.
_REEL = 8
# Reels that stand for black, colour bars and a source that is not known.
_NO_SOURCE = ('BL', 'BLACK', 'BARS', 'AX')
_INSTALL = 'pip install "trsum_jax[timeline]"'


def timecode_rate(summary: Summary) -> float:
    """The rate that editors count a video by: its own where that is one of timecode.

    Args:
        summary: of the video.

    Returns:
        The nearest rate of SMPTE timecode within 0.1%; else the least that is a whole multiple (25 for 12.5);
        else, as for a variable rate, the least whole one that is not below.
    """
    nearest = min(_RATES, key=lambda rate: abs(rate / summary.fps - 1))
    if abs(nearest / summary.fps - 1) < _CLOSE:
        return float(nearest)
    multiples = [
        r for r in _WHOLE if r > summary.fps and abs(r / summary.fps - round(r / summary.fps)) < _CLOSE
    ]
    above = [rate for rate in _WHOLE if rate > 0.98 * summary.fps]
    return float((multiples or above or _WHOLE[-1:])[0])


def timecode(seconds: float, rate: float) -> str:
    """Non-drop-frame timecode `HH:MM:SS:FF`, counted as SMPTE ST 12 counts: 24 frames a second for 23.976.

    Own arithmetic, since OpenTimelineIO is an extra and JSON is not.

    Args:
        seconds: from the video's first frame.
        rate: from `timecode_rate`.

    Returns:
        The timecode of the frame nearest to that time.
    """
    whole, frame = divmod(round(seconds * rate), round(rate))
    return f'{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}:{frame:02d}'


def write_json(summary: Summary, output: pathlib.Path) -> None:
    """Writes shots, scores and the parts of the summary, with the fields of a run's `summaries.json`.

    `start` and `end` are seconds from the first frame, up to the next one's beginning; `timecode` is of
    `start`; `summary_start` and `summary_end` are seconds of the summary's own video.

    Args:
        summary: what to write.
        output: the JSON file, replaced where it exists.

    Raises:
        InputError: it cannot be written.
    """
    rate = timecode_rate(summary)
    parts = [_span(summary, span, rate) for span in summary.parts]
    ends = np.cumsum([part['end'] - part['start'] for part in parts])
    for part, end in zip(parts, ends, strict=True):
        part |= {'summary_start': float(end - (part['end'] - part['start'])), 'summary_end': float(end)}
    files.write_json(
        output,
        {
            'name': summary.path.name,
            'fps': summary.fps,
            'timecode_rate': rate,
            'frames': len(summary.frame_times),
            'summary_frames': sum(part['last_frame'] - part['first_frame'] + 1 for part in parts),
            'seconds': summary.duration,
            'summary_seconds': summary.length,
            'parts': parts,
            'shots': [
                _span(summary, span, rate) | {'score': float(score), 'chosen': bool(chosen)}
                for span, score, chosen in zip(
                    summary.shots, summary.shot_scores, summary.chosen, strict=True
                )
            ],
            'scores': [
                {'frame': int(frame), 'second': float(summary.frame_times[frame]), 'score': float(score)}
                for frame, score in zip(summary.picks, summary.scores, strict=True)
            ],
        },
    )


def write_otio(summary: Summary, output: pathlib.Path) -> None:
    """Writes the cut for an editor: the source file's parts in order, pictures and, if it has any, sound.

    An `.otio` counts in the source's own rate where its frames come at a steady one, else in
    `timecode_rate`, as an `.edl` (CMX 3600) always does. Times begin at the timecode that a camera has
    written into the file, else at zero.

    Args:
        summary: what to write.
        output: ends in .otio or .edl; replaced where it exists.

    Raises:
        InputError: as `check`, or the file cannot be written.
    """
    adapter = check(output)
    import opentimelineio

    suffix = output.suffix.lower()
    rate = timecode_rate(summary)
    if suffix == '.otio' and _steady(summary):
        rate = rate if abs(rate / summary.fps - 1) < _CLOSE else round(summary.fps, 3)
    timeline = _timeline(opentimelineio, summary, rate)
    text = opentimelineio.adapters.write_to_string(timeline, adapter_name=adapter)
    if suffix == '.edl' and timeline.audio_tracks():
        # The adapter reads events of pictures with two channels of sound, but writes pictures only.
        text = text.replace(' V     C ', ' AA/V  C ')
    files.write_text(output, text)


def check(output: pathlib.Path) -> str:
    """Refuses a timeline that could not be written, before there is one.

    Args:
        output: ends in .otio or .edl.

    Returns:
        OpenTimelineIO's name of the adapter that writes it.

    Raises:
        InputError: another ending, or OpenTimelineIO or the adapter is not installed.
    """
    suffix = output.suffix.lower()
    adapter = {'.otio': 'otio_json', '.edl': 'cmx_3600'}.get(suffix)
    if adapter is None:
        raise InputError(
            f'{files.shown(output)}: expected a timeline ending in .otio or .edl, found '
            f'{files.shown(suffix) or "none"}'
        )
    try:
        import opentimelineio
    except ModuleNotFoundError as error:
        if error.name != 'opentimelineio':
            raise
        raise InputError(
            f'{files.shown(output)}: a timeline needs OpenTimelineIO; run: {_INSTALL}'
        ) from error
    if adapter not in opentimelineio.adapters.available_adapter_names():
        raise InputError(f'{files.shown(output)}: an EDL needs otio-cmx3600-adapter; run: {_INSTALL}')
    return adapter


def reel(path: pathlib.Path) -> str:
    """What an EDL calls a source: its name where that is 8 ASCII letters or digits at most.

    Of any other name up to 3 letters stay, and a digest of all fills the place. Files that differ in their
    ending alone, as an original and its proxy do, share a reel.

    Args:
        path: the source.

    Returns:
        1 to 8 ASCII letters and digits.
    """
    letters = re.sub('[^A-Za-z0-9]', '', path.stem)
    if letters == path.stem and len(letters) <= _REEL and letters.upper() not in _NO_SOURCE:
        return letters
    digest = base64.b32encode(hashlib.sha256(os.fsencode(path.stem)).digest()).decode()
    return (letters[:3].upper() + digest)[:_REEL]


def _timeline(otio: 'opentimelineio', summary: Summary, rate: float) -> 'opentimelineio.schema.Timeline':
    time, span = otio.opentime.RationalTime, otio.opentime.TimeRange.range_from_start_end_time
    has_sound, stamp = _source(summary.path)
    try:
        start = round(otio.opentime.from_timecode(stamp, timecode_rate(summary)).to_seconds() * rate)
    except ValueError:
        start = 0

    def at(seconds: float) -> 'opentimelineio.opentime.RationalTime':
        return time(start + round(seconds * rate), rate)

    name = files.shown(summary.path.name)
    timeline = otio.schema.Timeline(f'{files.shown(summary.path.stem)} summary')
    kinds = [otio.schema.TrackKind.Video] + [otio.schema.TrackKind.Audio] * has_sound
    for kind in kinds:
        track = otio.schema.Track(kind, kind=kind)
        for first, last in summary.seconds(summary.parts):
            media = otio.schema.ExternalReference(
                summary.path.resolve().as_uri(), span(at(0), at(summary.duration))
            )
            media.name = name
            clip = otio.schema.Clip(name, media, span(at(first), at(last)))
            clip.metadata['cmx_3600'] = {'reel': reel(summary.path)}
            track.append(clip)
        timeline.tracks.append(track)
    return timeline


def _source(path: pathlib.Path) -> tuple[bool, str]:
    """Whether a video has sound, and the timecode written into it, empty without."""
    with open_input(path) as container:
        marked = [container.metadata, *(stream.metadata for stream in container.streams)]
        stamps = [metadata['timecode'] for metadata in marked if 'timecode' in metadata]
        return bool(container.streams.audio), stamps[0] if stamps else ''


def _steady(summary: Summary) -> bool:
    places = summary.frame_times * summary.fps
    return bool(np.all(np.abs(places - np.arange(len(places))) < 0.5))


def _span(summary: Summary, span: np.ndarray, rate: float) -> dict[str, int | float | str]:
    ((start, end),) = summary.seconds(span[None])
    return {
        'first_frame': int(span[0]),
        'last_frame': int(span[1]),
        'start': float(start),
        'end': float(end),
        'timecode': timecode(start, rate),
        'end_timecode': timecode(end, rate),
    }
