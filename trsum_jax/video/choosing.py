"""Scores to a summary: by the protocol's knapsack, or so that nothing is shown twice."""

import dataclasses
import pathlib
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.protocol import evaluation, knapsack
from trsum_jax.video import coverage, cuts, looks, parts, still
from trsum_jax.video.clearest import clearest_frames
from trsum_jax.video.coverage import COVERAGE, KNAPSACK
from trsum_jax.video.summary import ROUNDING, Summary, first_frames, length_notes

# Matroska and others keep milliseconds: a steady rate shows as gaps that differ by one or two of them.
_STEADY = 2.1e-3
# Share of a summary that is all of it: there is no room for two parts.
_ONE = 0.8
# Seconds; the weight of a shot is a whole number of these where frames come at an unsteady rate.
_TICK = 0.01


class _Task(NamedTuple):
    """What is chosen from: scores of steps and frames, edges of frames in seconds, and seconds at most."""

    video: Video
    scores: np.ndarray
    frames: np.ndarray
    edges: np.ndarray
    allowed: float

    @property
    def constant(self) -> bool:
        return evaluation.is_constant(self.frames)


def make_summary(
    path: pathlib.Path,
    video: Video,
    scores: np.ndarray,
    *,
    budget: float = evaluation.BUDGET,
    seconds: float | None = None,
    changes: cuts.Changes | None = None,
    shortest: float = 1.5,
    choice: str = KNAPSACK,
    keep: Collection[int] = (),
    drop: Collection[int] = (),
) -> tuple[Summary, list[str]]:
    """Chooses the shots of a summary; it is never empty, and whole only where the budget holds it all.

    Shots are chosen by the protocol's 0/1 knapsack, weighed in frames; where frames come at an unsteady rate,
    in hundredths of a second, rounded up. Scores that are all alike have no order: as many shots as fit are
    then taken at even distances. Where no shot fits, the piece of greatest mean score is cut out of the best
    shot, as long as the budget and at least one frame; on equal scores the one nearest the middle.

    With `changes` the choice is one for people to look at. Shots begin and end where scenes do
    (`cuts.refine`), those that are too short are joined where there is no cut between them, and what is still
    too short is chosen only where nothing else fits; ends in another scene, a fade or a blur are left out
    (`cuts.trim`). With `coverage` nothing is shown twice (`coverage.choose`), and of a stretch without change
    only the beginning (`still.shorten`). Without `changes` the choice is the protocol's.

    Args:
        path: the video's file.
        video: with shots, `fps` and `frame_times`; for `coverage` with features.
        scores: [n_steps] float, finite.
        budget: the summary's greatest share of the video's time.
        seconds: its greatest length, in place of `budget`.
        changes: of the video's frames, from a pass with a `cuts.Watcher`.
        shortest: seconds of the shortest part, with `changes`; not of a summary that has to be shorter.
        choice: `coverage` or `knapsack`, with `changes`.
        keep: shots that are shown, however long they are, with `changes`: their places from 0 in the summary
            that the same arguments give without `keep` and `drop`. The rest of the time is chosen.
        drop: shots that are not shown, as `keep`.

    Returns:
        The summary, and notes for people where it is not the protocol's choice.

    Raises:
        InputError: as `check_limits`; shots to keep or to drop that there are not, that are both, or all.
    """
    check_limits(budget, seconds)
    duration = video.n_frames / video.fps
    task = _Task(
        video,
        np.asarray(scores),
        evaluation.frame_scores(np.asarray(scores), video.picks, video.n_frames),
        np.append(video.frame_times, duration),
        min(duration, budget * duration if seconds is None else seconds),
    )
    notes = []
    if task.constant:
        notes.append('all scores are alike: shots are taken at even distances')
    if changes is None:
        shots = np.asarray(video.change_points)
        everything, nothing = np.ones(len(shots), bool), np.zeros(len(shots), bool)
        chosen, key_frames = _choose(task, shots, None, everything, nothing), None
        whole = bool(chosen.any())
        if not whole:
            shots, chosen = _piece(task, shots, everything)
    else:
        shots, chosen, whole, key_frames, (keep, drop) = _choose_watchable(
            task, changes, shortest, choice, keep, drop
        )
    summary = Summary(
        path=path,
        fps=video.fps,
        duration=duration,
        frame_times=video.frame_times,
        picks=video.picks,
        scores=task.scores.astype(np.float32),
        shots=shots,
        shot_scores=evaluation.shot_scores(task.frames, shots),
        chosen=chosen,
        clock=video.clock,
        allowed=task.allowed,
        shortest=shortest if changes is not None else 0.0,
        kept=first_frames(shots, keep),
        dropped=first_frames(shots, drop),
        looks=looks.sketch(video.features) if choice == COVERAGE and not task.constant else None,
        key_frames=key_frames,
    )
    return summary, notes + length_notes(summary, whole, seconds)


def choose_again(
    summary: Summary, keep: Collection[int], drop: Collection[int], seconds: float | None = None
) -> tuple[Summary, list[str]]:
    """Chooses among the shots of a summary as `make_summary` does, without a look at the video.

    Args:
        summary: whose shots; also the time that it may last, where `seconds` does not say it.
        keep: shots that are shown, however long they are, counted from 0. The rest of the time is chosen.
        drop: shots that are not shown. What was kept and dropped before stays so.
        seconds: the summary's greatest length.

    Returns:
        The summary, of whose shots one may be cut in pieces where none fits; and notes for people.

    Raises:
        InputError: shots to keep or to drop that there are not, that are both, or all.
    """
    n_frames, edges = len(summary.frame_times), summary.edges
    video = Video('again', summary.picks, n_frames, fps=summary.fps, frame_times=summary.frame_times)
    frames = evaluation.frame_scores(summary.scores, summary.picks, n_frames)
    allowed = min(seconds or summary.allowed or summary.length, summary.duration)
    task = _Task(video, summary.scores, frames, edges, allowed)
    keep, drop = summary.with_marks(keep, drop)
    kept, dropped = _marked(len(summary.shots), keep, drop)
    content = None
    if summary.looks is not None:
        seen = summary.looks.astype(np.float32)
        content = coverage.content(summary.shots, summary.picks, edges, seen, summary.scores)
    least = summary.shortest if summary.shortest <= allowed else 0.0
    scenes = summary.shots[:, 0]
    # What is short and not shown was left out at the end of a part.
    lengths = parts.seconds_of(summary.shots, edges)
    able = ~dropped & (summary.chosen | (lengths >= min(summary.shortest, allowed) - ROUNDING))
    if least and lengths[able | kept].sum() < allowed:
        # Shots that were cut for a summary which had to be shorter than a part should be.
        able, least = ~dropped, 0.0
    shots, chosen, whole = _long_enough(task, summary.shots, content, able, kept, dropped, scenes, least)
    keep, drop = (parts.followed(marked, summary.shots, shots) for marked in (kept, dropped))
    values = evaluation.shot_scores(frames, shots)
    made = dataclasses.replace(
        summary,
        **{'shots': shots, 'shot_scores': values, 'chosen': chosen, 'allowed': allowed},
        **{'kept': first_frames(shots, keep), 'dropped': first_frames(shots, drop)},
    )
    return made, length_notes(made, whole, seconds)


def check_limits(budget: float, seconds: float | None) -> None:
    """Refuses a length of a summary that makes no sense.

    Args:
        budget: the summary's greatest share of the video's time.
        seconds: its greatest length, in place of `budget`; or None.

    Raises:
        InputError: a budget that is no share above 0 and up to 1, or seconds that are not above 0.
    """
    if seconds is None and not 0 < budget <= 1:
        raise InputError(f'--budget={budget:g}: expected a share of the video, above 0 and up to 1')
    if seconds is not None and not 0 < seconds < float('inf'):
        raise InputError(f'--seconds={seconds:g}: expected a length above 0')


def _choose(
    task: _Task, shots: np.ndarray, content: coverage.Content | None, able: np.ndarray, keep: np.ndarray
) -> np.ndarray:
    """[n_shots] bool, what is kept, and those worth most of what fits besides; none if none fits.

    By what they show, where there is a `content`; at even distances where scores are all alike.
    """
    weights, capacity = _weights(task.edges, shots, task.video.fps, task.allowed)
    if content is not None:
        return coverage.choose(content, weights, capacity, able=able, keep=keep)
    chosen, free = keep.copy(), able & ~keep
    room = capacity - int(weights[keep].sum())
    if task.constant:
        chosen[free] = _evenly(weights[free], room)
    else:
        values = evaluation.shot_scores(task.frames, shots[free])
        chosen[free] = knapsack.solve(values, weights[free], room)
    return chosen


def _choose_watchable(
    task: _Task,
    changes: cuts.Changes,
    shortest: float,
    choice: str,
    keep: Collection[int],
    drop: Collection[int],
) -> tuple[np.ndarray, np.ndarray, bool, np.ndarray, tuple[Collection[int], Collection[int]]]:
    """Shots, which are chosen, whether whole ones, a key frame of each, and those kept and dropped."""
    video, edges = task.video, task.edges
    found = cuts.find_scenes(video.frame_times, changes)
    shots = cuts.refine(np.asarray(video.change_points), video.picks, video.frame_times, changes, found)
    # A summary that has to be shorter is one part.
    least = shortest if shortest <= task.allowed else _ONE * task.allowed
    briefly, quiet = max(still.BRIEFLY, shortest), np.empty((0, 2), np.int64)
    covers = choice == COVERAGE and not task.constant
    if covers:
        quiet = still.find_still(edges, changes, briefly + shortest)
        shots = still.shorten(shots, quiet, edges, briefly)
    shots = parts.join_short(shots, edges, found.starts, least, task.allowed)

    def choose(shots: np.ndarray, keep: np.ndarray, drop: np.ndarray) -> tuple[np.ndarray, ...]:
        """Shots and which are chosen, once ends are left out; whether whole ones; the shots before that."""
        content, marked = None, keep.any() or drop.any()
        if covers:
            content = coverage.content(shots, video.picks, edges, video.features, task.scores)
        able = ~still.goes_on(shots, quiet, edges, briefly) & ~drop
        long = 0.0 if marked and shortest > task.allowed else least
        while True:
            cut, chosen, whole = _long_enough(task, shots, content, able, keep, drop, found.starts, long)
            kept = np.isin(np.arange(len(cut)), parts.followed(keep, shots, cut)) if marked else None
            trimmed = parts.trim_parts(edges, cut, chosen, changes, found.starts, shortest, kept)
            # A short scene beside a chosen one is left out as its end: its seconds are for others.
            if not whole or not (gone := able & ~keep & chosen & parts.left_out(shots, *trimmed)).any():
                return *trimmed, whole, cut
            able &= ~gone

    shots, chosen, whole, _ = choose(shots, *np.zeros((2, len(shots)), bool))
    if keep or drop:
        # Among the shots that people have seen the numbers of.
        kept, dropped = _marked(len(shots), keep, drop)
        seen = shots
        shots, chosen, whole, cut = choose(shots, kept, dropped)
        keep, drop = (parts.followed(marked, seen, cut) for marked in (kept, dropped))
    key_frames = clearest_frames(shots, task.frames, edges, changes, found.starts)
    return shots, chosen, whole, key_frames, (keep, drop)


def _marked(n: int, keep: Collection[int], drop: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
    """[n] bool each, the shots to keep and those to drop."""
    for flag, shots in (('keep', keep), ('drop', drop)):
        if wrong := sorted(shot for shot in shots if not 0 <= shot < n):
            raise InputError(f'--{flag}={wrong[0] + 1}: expected numbers of shots, from 1 to {n}')
    if both := sorted({*keep} & {*drop}):
        raise InputError(f'--keep and --drop: expected shots in one of the two, found {both[0] + 1} in both')
    marked = np.zeros((2, n), bool)
    marked[0, list(keep)], marked[1, list(drop)] = True, True
    if marked[1].all():
        raise InputError(f'--drop: expected a shot that stays, found all {n}')
    return marked[0], marked[1]


def _long_enough(
    task: _Task,
    shots: np.ndarray,
    content: coverage.Content | None,
    able: np.ndarray,
    keep: np.ndarray,
    drop: np.ndarray,
    scenes: np.ndarray,
    least: float,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Shots, which of them are chosen so that parts are long enough, and whether these are whole ones."""
    edges, chosen = task.edges, keep
    while (able | keep).any():
        chosen = _choose(task, shots, content, able, keep)
        short = parts.in_short_part(shots, chosen, edges, least) & ~keep
        if not short.any():
            break
        able = able & ~short
        chosen = chosen & ~short
    if chosen.any():
        return shots, chosen, True
    joined = parts.join_short(shots, edges, scenes, least, np.inf)
    sums = np.cumsum(np.append(0, drop))
    places = np.searchsorted(shots[:, 0], [joined[:, 0], joined[:, 1] + 1])
    long = (parts.seconds_of(joined, edges) >= least - ROUNDING) & (sums[places[1]] == sums[places[0]])
    if long.any():
        return *_piece(task, joined, long), False
    chosen = _choose(task, shots, content, ~drop, keep)
    if chosen.any():
        return shots, chosen, True
    return *_piece(task, shots, ~drop), False


def _weights(edges: np.ndarray, shots: np.ndarray, fps: float, allowed: float) -> tuple[np.ndarray, int]:
    """[n_shots] int weights and the capacity, both in frames or, at an unsteady rate, in ticks."""
    gaps = np.diff(edges[:-1])
    if gaps.size == 0 or np.ptp(gaps) <= _STEADY:
        return shots[:, 1] - shots[:, 0] + 1, int(allowed * fps + ROUNDING)
    weights = np.maximum(np.ceil(parts.seconds_of(shots, edges) / _TICK - ROUNDING).astype(np.int64), 1)
    return weights, int(allowed / _TICK + ROUNDING)


def _evenly(weights: np.ndarray, capacity: int) -> np.ndarray:
    """[n_shots] bool, the most shots that lie at even distances and fit; none if none fits."""
    n, chosen = len(weights), np.zeros(len(weights), bool)
    for count in range(n, 0, -1):
        places = (2 * np.arange(count) + 1) * n // (2 * count)
        if weights[places].sum() <= capacity:
            chosen[places] = True
            break
    return chosen


def _piece(task: _Task, shots: np.ndarray, able: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shots with the best able one cut in up to three, and which of them is the piece to show."""
    frames, edges, allowed = task.frames, task.edges, task.allowed
    values = np.where(able, evaluation.shot_scores(frames, shots), -np.inf)
    best = np.flatnonzero(values >= values.max() - ROUNDING)
    shot = best[len(best) // 2]
    first, last = shots[shot].tolist()
    starts = np.arange(first, last + 1)
    whole = edges[starts] + allowed <= edges[last + 1] + ROUNDING
    starts = starts[whole] if whole.any() else starts[:1]
    stops = np.searchsorted(edges, edges[starts] + allowed + ROUNDING, side='right') - 1
    stops = np.clip(stops, starts + 1, last + 1)
    sums = np.cumsum(np.append(0, frames.astype(np.float64)))
    means = (sums[stops] - sums[starts]) / (stops - starts)
    equal = np.flatnonzero(means >= means.max() - ROUNDING)
    middle = (edges[first] + edges[last + 1]) / 2
    centres = (edges[starts[equal]] + edges[stops[equal]]) / 2
    piece = equal[np.argmin(np.abs(centres - middle))]
    places = np.unique([first, starts[piece], stops[piece], last + 1])
    pieces = np.stack([places[:-1], places[1:] - 1], axis=1)
    after = np.concatenate([shots[:shot], pieces, shots[shot + 1 :]])
    return after, after[:, 0] == starts[piece]
