"""A summary from its JSON, edited by hand or not, to be written again; and shots that people keep or drop."""

import dataclasses
import os
import pathlib
import re

import numpy as np

from trsum_jax.data import shots as finding
from trsum_jax.data.stored import bounds, text_files
from trsum_jax.data.stored.json_fields import Fields
from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.protocol import evaluation
from trsum_jax.video import looks, record
from trsum_jax.video.blending import LONGEST
from trsum_jax.video.summary import Summary

_EXPECTED = 'a summary (.json) that trsum summarize has written'
# Seconds by which a JSON's times may be off their frames: what editors of text round.
_SAME = 1e-3
# Seconds: an edge of a shot that is so close to one that people have set goes there.
_NEAR = 1.0
_NUMBERS = re.compile(r'\s*(\d{1,6})\s*(?:[-–]\s*(\d{1,6})\s*)?')


def read_summary(path: str | os.PathLike, video: pathlib.Path | None = None) -> tuple[Summary, list[str]]:
    """Reads a summary as `timeline.write_json` has written it and a person may have edited it.

    People edit one of two things: which shots are `chosen`, or the parts, by their `start` and `end`
    in seconds, which go to the edges of frames nearest to them; a part can be added or taken out. Shots then
    begin and end with these parts. All that can be computed of the rest is computed, not read.

    Args:
        path: the JSON.
        video: the video's file, where it is not where the JSON says.

    Returns:
        The summary, and notes for people: what was edited. What is shown by an edit overrules marks.

    Raises:
        InputError: no such file; one that is damaged, or too old to say what its video is; a video that is
            not there or has changed; parts or shots that cannot be.
    """
    path = pathlib.Path(path)
    found = Fields(text_files.read_json(path, _EXPECTED), path)
    if 'source' not in found:
        raise InputError(
            f'{shown(path)}: expected {_EXPECTED}, with its "source", found none; an earlier version did not '
            'write that: summarize the video again'
        )
    source = found.part('source')
    place = record.find_video(source, path, video)
    n_frames = found.whole('frames', 1, bounds.MOST_FRAMES)
    times = record.frame_times_of(source, n_frames)
    duration = found.number('seconds', float(times[-1]))
    if duration <= times[-1]:
        found.refuse('seconds', f'more than {times[-1]:.10g}, when the last frame begins', duration)
    fps = found.number('fps')
    if not np.isclose(fps, n_frames / duration, rtol=1e-6):
        found.refuse(
            'fps', f'{n_frames / duration:.10g}, as {n_frames} frames in {duration:.10g} s have', fps
        )
    scored = found.parts('scores')
    picks = np.array([one.whole('frame', 0, n_frames - 1) for one in scored])
    # Where the first key frame is damaged, `--fast` begins with a later one.
    if (np.diff(picks) <= 0).any():
        found.refuse('scores', 'frames in order, each once', 'others')
    summary = Summary(
        path=place,
        fps=fps,
        duration=duration,
        frame_times=times,
        picks=picks,
        scores=np.array([one.number('score', 0, 1) for one in scored], np.float32),
        shots=np.zeros((0, 2), np.int64),
        shot_scores=np.zeros(0),
        chosen=np.zeros(0, bool),
        clock=record.clock_of_record(source, times),
        shortest=found.number('shortest'),
        looks=looks.read_looks(found, 'looks', len(picks)) if 'looks' in found else None,
        allowed=found.number('allowed_seconds', 0, duration) if 'allowed_seconds' in found else None,
        encoder=found.text('encoder') if 'encoder' in found else None,
        crossfade=found.number('crossfade', 0, LONGEST),
    )
    summary = _with_shots_of(found, summary)
    written = _spans(source, n_frames)
    wanted = _parts(found, summary.edges)
    same = np.array_equal(summary.parts, written)
    if not np.array_equal(wanted, written):
        if not same:
            found.refuse('parts', 'times or chosen shots that were edited', 'both', 'undo one of the two')
        summary = _with_parts(summary, wanted)
        notes = ['the times of its parts were edited: each is cut at the frames nearest to them']
    else:
        notes = [] if same else ['the chosen shots were edited']
    against = _against_marks(summary)
    if against and notes:
        firsts = summary.shots[sorted(against), 0].tolist()
        summary = dataclasses.replace(
            summary, kept=summary.kept.difference(firsts), dropped=summary.dropped.difference(firsts)
        )
        notes.append(f'what was edited overrules the marks of shots {_listed(against)}')
    elif against:
        notes.append(
            f'marks were edited, of shots {_listed(against)}: they hold for a cut with --keep, --drop or '
            '--seconds; without, the chosen shots are shown'
        )
    return summary, notes


def _against_marks(summary: Summary) -> set[int]:
    """Shots that are shown and marked to be dropped, or kept and not shown; counted from 0."""
    kept, dropped = summary.with_marks((), ())
    chosen = {*np.flatnonzero(summary.chosen).tolist()}
    return kept - chosen | dropped & chosen


def parse_marks(keep: str | None, drop: str | None) -> tuple[set[int], set[int]]:
    """Reads what people keep and drop: numbers of shots as on the page, such as `3,5-7`.

    Args:
        keep: of `--keep`; empty for none.
        drop: of `--drop`.

    Returns:
        The shots to show and those not to show, counted from 0.

    Raises:
        InputError: no such numbers, or a shot in both.
    """
    kept, dropped = _numbers(keep or '', '--keep'), _numbers(drop or '', '--drop')
    if both := kept & dropped:
        raise InputError(f'--keep and --drop: expected different shots, found {_listed(both)} in both')
    return kept, dropped


def _numbers(text: str, named: str) -> set[int]:
    found: set[int] = set()
    for word in text.split(',') if text.strip() else ():
        matched = _NUMBERS.fullmatch(word)
        first, last = (int(matched[1]), int(matched[2] or matched[1])) if matched else (0, 0)
        if not 1 <= first <= last:
            raise InputError(
                f'{named}={shown(text)}: expected numbers of shots as on the page, such as 3,5-7, found '
                f'{shown(word)!r}'
            )
        found.update(range(first - 1, last))
    return found


def _listed(shots: set[int]) -> str:
    return ', '.join(str(one + 1) for one in sorted(shots)[:5]) + (', …' if len(shots) > 5 else '')


def _with_shots(summary: Summary, shots: np.ndarray, chosen: np.ndarray) -> Summary:
    frames = evaluation.frame_scores(summary.scores, summary.picks, len(summary.frame_times))
    scores = evaluation.shot_scores(frames, shots)
    return dataclasses.replace(summary, shots=shots, shot_scores=scores, chosen=chosen)


def _with_shots_of(found: Fields, summary: Summary) -> Summary:
    """The summary with the shots of the file, which cover the video, and with what it says of each."""
    edges, n_frames = summary.edges, len(summary.frame_times)
    shots, marked, begin = [], {'keep': [], 'drop': []}, 0
    rows = found.parts('shots')
    for one in rows:
        # The first frame is where the shot before has ended.
        first = one.whole('first_frame', begin, begin)
        last = one.whole('last_frame', first, n_frames - 1)
        for key, edge in (('start', edges[first]), ('end', edges[last + 1])):
            if abs(one.number(key) - edge) > _SAME:
                todo = 'shots go by their frames: edit the times of "parts"'
                one.refuse(key, f'{edge:.6g}', one.number(key), todo)
        shots.append((first, last, one.whole('key_frame', first, last)))
        if 'mark' in one:
            if (mark := one.text('mark')) not in marked:
                one.refuse('mark', 'keep or drop', mark)
            marked[mark].append(first)
        begin = last + 1
    if begin != n_frames:
        rows[-1].refuse('last_frame', f'{n_frames - 1}, the last frame of the video', begin - 1)
    chosen = np.array([one.flag('chosen') for one in rows])
    if not chosen.any():
        found.refuse('shots', 'at least one that is chosen', 'none')
    table = np.array(shots, np.int64)
    return dataclasses.replace(
        _with_shots(summary, table[:, :2], chosen),
        key_frames=table[:, 2],
        kept=frozenset(marked['keep']),
        dropped=frozenset(marked['drop']),
    )


def _spans(source: Fields, n_frames: int) -> np.ndarray:
    """[n_parts, 2] int64, the parts as they were written."""
    rows = source.parts('parts')
    return np.array([[one.whole(key, 0, n_frames - 1) for key in ('first', 'last')] for one in rows])


def _parts(found: Fields, edges: np.ndarray) -> np.ndarray:
    """[n_parts, 2] int64, first and last frames by the times that stand there."""
    spans, before = [], 0.0
    half = (edges[1:] - edges[:-1]) / 2
    for one in found.parts('parts'):
        start = one.number('start', 0.0, edges[-1])
        if start < before - _SAME:
            todo = 'parts stand in the order of the video, without overlap'
            one.refuse('start', f'{before:.6g} or more, where the part before ends', start, todo)
        end = one.number('end', start, edges[-1] + _SAME)
        # Between two edges the nearer one.
        first, stop = np.searchsorted(edges[:-1] + half, [start, end], side='right')
        if spans and first <= spans[-1][1]:
            first = spans[-1][1] + 1
        if stop <= first:
            one.refuse('end', f'at least a frame after the start, {start:.6g}', end)
        spans.append((int(first), int(stop) - 1))
        before = end
    return np.array(spans, np.int64)


def _with_parts(summary: Summary, parts: np.ndarray) -> Summary:
    """The summary with these parts; shots begin and end with them."""
    edges, n_frames = summary.edges, len(summary.frame_times)
    set_by_hand = np.unique([parts[:, 0], parts[:, 1] + 1])
    old, times = summary.shots[:, 0], edges[set_by_hand]
    after = np.searchsorted(times, edges[old])
    near = [times[np.clip(place, 0, len(times) - 1)] for place in (after - 1, after)]
    apart = np.abs(near - edges[old])
    far = apart.min(axis=0) >= _NEAR
    gone_to = np.where(far, old, np.searchsorted(edges, np.choose(apart.argmin(axis=0), near)))
    moved = dict(zip(old.tolist(), gone_to.tolist(), strict=True))
    starts = np.union1d([0], np.union1d(old[far], set_by_hand))
    shots = finding.from_starts(starts[starts < n_frames].astype(np.int64), n_frames)
    part = np.searchsorted(parts[:, 0], shots[:, 0], side='right') - 1
    chosen = (part >= 0) & (shots[:, 0] <= parts[part, 1])
    kept, dropped = (
        frozenset(moved[first] for first in firsts) for firsts in (summary.kept, summary.dropped)
    )
    summary = _with_shots(summary, shots, chosen)
    return dataclasses.replace(summary, kept=kept, dropped=dropped - kept)
