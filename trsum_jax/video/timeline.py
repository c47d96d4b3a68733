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
from trsum_jax.video import looks, record
from trsum_jax.video.opening import open_input
from trsum_jax.video.sound import decodes, sound_tracks, track_tags
from trsum_jax.video.summary import Summary
from trsum_jax.video.timecode import Count, counting, misread, own_rate, timecode_rate
from trsum_jax.video.written import xml_timelines

if TYPE_CHECKING:
    import opentimelineio

# What writes each ending: the adapter of OpenTimelineIO, and the package that holds it; FCPXML needs neither.
ADAPTERS = {
    '.otio': ('otio_json', 'opentimelineio'),
    '.edl': ('cmx_3600', 'otio-cmx3600-adapter'),
    '.xml': ('fcp_xml', 'otio-fcp-adapter'),
    '.fcpxml': ('', ''),
}
_FORMS = {'.edl': 'an EDL', '.xml': "Final Cut Pro 7's XML", '.fcpxml': 'FCPXML'}
# Channels of sound that an event of an EDL has.
_CHANNELS = 4
# Letters of a reel's name in CMX 3600.
_REEL = 8
# Reels that stand for black, colour bars and a source that is not known.
_NO_SOURCE = ('BL', 'BLACK', 'BARS', 'AX')
_INSTALL = 'pip install "trsum_jax[timeline]"'


def write_json(summary: Summary, output: pathlib.Path) -> None:
    """Writes shots, scores and the parts of the summary, with the fields of a run's `summaries.json`.

    `start` and `end` are seconds from the first frame, up to the next one's beginning; `timecode` is of
    `start`, counted from the timecode that a camera has written into the file, as an EDL counts;
    `summary_start` and `summary_end` are seconds of the summary's own video. Shots have the numbers of the
    page. `source` and what else `recutting.read_summary` needs is there too. Where people have judged the
    video, `agreement` holds F from 0 to 1 and correlations, by row.

    Args:
        summary: what to write.
        output: the JSON file, replaced where it exists.

    Raises:
        InputError: it cannot be written.
    """
    count = counting(summary)
    starts = summary.film_starts.tolist()
    parts = [
        span | {'summary_start': begin, 'summary_end': end}
        for span, begin, end in zip(
            _spans(summary, summary.parts, count), starts, [*starts[1:], summary.length], strict=True
        )
    ]
    files.write_json(
        output,
        {
            'name': summary.path.name,
            'fps': summary.fps,
            'timecode_rate': count.rate,
            'timecode_start': count.label(0),
            'frames': len(summary.frame_times),
            'summary_frames': int((np.diff(summary.parts)[:, 0] + 1 - summary.tails).sum()),
            'seconds': summary.duration,
            'summary_seconds': summary.length,
            'allowed_seconds': summary.allowed,
            'shortest': summary.shortest,
            'crossfade': summary.crossfade,
            'encoder': summary.encoder,
            'parts': parts,
            'shots': [
                {'number': number, 'chosen': bool(chosen)}
                | span
                | {'score': float(score), 'key_frame': summary.key_frame(shot)}
                | ({'mark': 'keep'} if shot[0] in summary.kept else {})
                | ({'mark': 'drop'} if shot[0] in summary.dropped else {})
                for number, (span, shot, score, chosen) in enumerate(
                    zip(
                        _spans(summary, summary.shots, count),
                        summary.shots,
                        summary.shot_scores,
                        summary.chosen,
                        strict=True,
                    ),
                    1,
                )
            ],
            'scores': [
                {'frame': int(frame), 'second': float(summary.frame_times[frame]), 'score': float(score)}
                for frame, score in zip(summary.picks, summary.scores, strict=True)
            ],
            'looks': None if summary.looks is None else looks.text_of(summary.looks),
            'source': record.record_of(summary, output),
        }
        | ({'agreement': summary.agreement} if summary.agreement else {}),
    )


def write_otio(summary: Summary, output: pathlib.Path, *, sound: str = 'all') -> list[str]:
    """Writes the cut for an editor: the source file's parts in order, pictures and, if it has any, sound.

    An `.otio` counts in the source's own rate where its frames come at a steady one, else in
    `timecode_rate`, as `.edl` (CMX 3600), `.xml` (Final Cut Pro 7, Premiere) and `.fcpxml` (Final Cut Pro)
    always do, drop-frame where the file's timecode is. Times begin at the timecode that a camera has written
    into the file, else at zero. A part that fades into the next one ends in the middle of the fade, as the
    film's chapters do; an `.otio` has the fade as a transition.

    Args:
        summary: what to write.
        output: ends in one of `ADAPTERS`; replaced where it exists.
        sound: `all` tracks, the `main` one, or `none`.

    Returns:
        What the format cannot say of this video, and a timecode in the file that makes no sense.

    Raises:
        InputError: as `check_timeline`, or the file cannot be written.
    """
    adapter, suffix = check_timeline(output), output.suffix.lower()
    tracks, notes = _sound(summary.path, sound), []
    name = files.shown(output.name)
    if stamp := misread(summary):
        notes.append(
            f'{name}: the timecode {stamp!r} in the file is none at {summary.fps:.6g} frames a second; '
            'counted from zero'
        )
    if suffix == '.otio':
        rate = own_rate(summary.fps) if _steady(summary) else timecode_rate(summary)
        timeline = _timeline(summary, counting(summary, rate), rate, tracks)
        _add_fades(timeline, summary, rate)
        files.write_text(output, _written(timeline, adapter))
        return notes
    count = counting(summary)
    files.write_text(output, _counted(summary, count, suffix, adapter, tracks))
    if summary.tails.any():
        notes.append(f'{name}: cuts lie in the middle of the cross-fades; .otio has them as transitions')
    if summary.fps > 1.001 * count.rate:
        notes.append(
            f'{name}: {_FORMS[suffix]} has no timecode for {summary.fps:.6g} frames a second: it counts '
            f'{count.rate:.6g}, and cuts lie at the nearest of these; .otio keeps them exact'
        )
    channels = sum(track['channels'] for track in tracks)
    if suffix == '.edl' and channels > _CHANNELS:
        notes.append(f'{name}: an EDL holds 4 channels of sound of {channels}; .otio names all tracks')
    return notes


def _counted(summary: Summary, count: Count, suffix: str, adapter: str, tracks: list[dict]) -> str:
    """The timeline in a format that counts by timecode."""
    if suffix != '.edl':
        streams = [track['stream'] for track in tracks]
        sound = [one | {'heard': one['stream'] in streams} for one in _sound(summary.path, 'all')]
        if suffix == '.fcpxml':
            return xml_timelines.fcpxml(summary, count, sound)
        timeline = _timeline(summary, count, count.rate, [])
        xml_timelines.describe_for_xmeml(timeline, summary, count, sound)
        return _written(timeline, adapter)
    # The adapter tells drop-frame by the rate: 29.97 drops, 30 does not.
    rate = count.rate if count.drop else float(round(count.rate))
    text = _written(_timeline(summary, count, rate, []), adapter)
    # What it does not write: the kind of timecode, and any but the pictures of an event.
    text = text.replace('\n\n', f'\nFCM: {"" if count.drop else "NON-"}DROP FRAME\n\n', 1)
    channels = sum(track['channels'] for track in tracks)
    if channels:
        more = {3: '\nAUD  3', 4: '\nAUD  3    4'}.get(min(channels, _CHANNELS), '')
        text = re.sub(r'^(\d+  .{8} )V     (C .*)$', rf'\1AA/V  \2{more}', text, flags=re.MULTILINE)
    return text


def _written(timeline: 'opentimelineio.schema.Timeline', adapter: str) -> str:
    import opentimelineio

    return opentimelineio.adapters.write_to_string(timeline, adapter_name=adapter)


def check_timeline(output: pathlib.Path) -> str:
    """Refuses a timeline that could not be written, before there is one.

    Args:
        output: ends in one of `ADAPTERS`.

    Returns:
        OpenTimelineIO's name of the adapter that writes it; empty where none is needed.

    Raises:
        InputError: another ending, or OpenTimelineIO or the adapter is not installed.
    """
    suffix, place = output.suffix.lower(), files.shown(output)
    if suffix not in ADAPTERS:
        raise InputError(
            f'{place}: expected a timeline ending in {" or ".join(ADAPTERS)}, found '
            f'{files.shown(suffix) or "none"}'
        )
    adapter, package = ADAPTERS[suffix]
    if not adapter:
        return adapter
    try:
        import opentimelineio
    except ModuleNotFoundError as error:
        if error.name != 'opentimelineio':
            raise
        raise InputError(f'{place}: a timeline needs OpenTimelineIO; run: {_INSTALL}') from error
    if adapter not in opentimelineio.adapters.available_adapter_names():
        raise InputError(f'{place}: {_FORMS[suffix]} needs {package}; run: {_INSTALL}')
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


def _timeline(
    summary: Summary, count: Count, rate: float, sound: list[dict]
) -> 'opentimelineio.schema.Timeline':
    """The parts of the summary, numbered by `count`, in time that is labelled at `rate`."""
    import opentimelineio as otio

    time, span = otio.opentime.RationalTime, otio.opentime.TimeRange.range_from_start_end_time

    def between(start: float, end: float) -> 'opentimelineio.opentime.TimeRange':
        return span(time(count.number(start), rate), time(count.number(end), rate))

    name = files.shown(summary.path.name)
    timeline = otio.schema.Timeline(f'{files.shown(summary.path.stem)} summary')
    kind = otio.schema.TrackKind
    tracks = [otio.schema.Track('Video', kind=kind.Video)]
    for number, one in enumerate(sound, start=1):
        title = one.get('title') or one.get('language') or ('Audio' if len(sound) == 1 else f'Audio {number}')
        tracks.append(otio.schema.Track(title, kind=kind.Audio, metadata={'trsum_jax': one}))
    for track in tracks:
        for first, last in summary.film_spans:
            media = otio.schema.ExternalReference(
                summary.path.resolve().as_uri(), between(0, summary.duration)
            )
            media.name = name
            clip = otio.schema.Clip(name, media, between(first, last))
            clip.metadata['cmx_3600'] = {'reel': reel(summary.path)}
            track.append(clip)
        timeline.tracks.append(track)
    return timeline


def _add_fades(timeline: 'opentimelineio.schema.Timeline', summary: Summary, rate: float) -> None:
    """Puts the cross-fades between the clips of every track."""
    import opentimelineio as otio

    halves = (summary.seconds(summary.parts)[:, 1] - summary.film_spans[:, 1]).tolist()
    for track in timeline.tracks:
        # From the last one on, so that the places before stay as they are.
        for place in np.flatnonzero(summary.tails)[::-1].tolist():
            half = otio.opentime.RationalTime(round(halves[place] * rate), rate)
            fade = otio.schema.TransitionTypes.SMPTE_Dissolve
            track.insert(place + 1, otio.schema.Transition('fade', fade, half, half))


def _sound(path: pathlib.Path, which: str) -> list[dict]:
    """The sound tracks of a video: stream, channels, rate; language and title where it has them."""
    with open_input(path) as container:
        streams = [container.streams[index] for index in sound_tracks(path, which)]
        return [
            {'stream': stream.index, 'channels': stream.channels, 'rate': stream.rate} | track_tags(stream)
            for stream in streams
            if decodes(stream)
        ]


def _steady(summary: Summary) -> bool:
    places = summary.frame_times * summary.fps
    return bool(np.all(np.abs(places - np.arange(len(places))) < 0.5))


def _spans(summary: Summary, spans: np.ndarray, count: Count) -> list[dict[str, int | float | str]]:
    """Frames, seconds and labels of each span, [n, 2] int both inclusive."""
    return [
        {
            'first_frame': first,
            'last_frame': last,
            'start': start,
            'end': end,
            'timecode': count.label(start),
            'end_timecode': count.label(end),
        }
        for (first, last), (start, end) in zip(spans.tolist(), summary.seconds(spans).tolist(), strict=True)
    ]
