"""Scores to a summary: the protocol's knapsack, and what is shown where it cannot choose."""

import pathlib

import numpy as np

from trsum_jax.data import shots as finding
from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.protocol import evaluation, knapsack
from trsum_jax.video import cuts
from trsum_jax.video.clearest import clearest_frames
from trsum_jax.video.summary import Summary

# Matroska and others keep milliseconds: a steady rate shows as gaps that differ by one or two of them.
_STEADY = 2.1e-3
# Seconds; the weight of a shot is a whole number of these where frames come at an unsteady rate.
_TICK = 0.01
_ROUNDING = 1e-6


def make_summary(
    path: pathlib.Path,
    video: Video,
    scores: np.ndarray,
    *,
    budget: float = evaluation.BUDGET,
    seconds: float | None = None,
    changes: cuts.Changes | None = None,
    shortest: float = 1.5,
) -> tuple[Summary, list[str]]:
    """Chooses the shots of a summary; it is never empty, and whole only where the budget holds it all.

    Shots are chosen by the protocol's 0/1 knapsack, weighed in frames; where frames come at an unsteady rate,
    in hundredths of a second, rounded up. Scores that are all alike have no order: as many shots as fit are
    then taken at even distances. Where no shot fits, the piece of greatest mean score is cut out of the best
    shot, as long as the budget and at least one frame; on equal scores the one nearest the middle.

    With `changes` the choice is one for people to look at. Shots begin and end where scenes do
    (`cuts.refine`), those that are too short are joined where there is no cut between them, and what is still
    too short is chosen only where nothing else fits; ends in another scene, a fade or a blur are left out
    (`cuts.trim`). Without `changes` the choice is the protocol's.

    Args:
        path: the video's file.
        video: with shots, `fps` and `frame_times`.
        scores: [n_steps] float, finite.
        budget: the summary's greatest share of the video's time.
        seconds: its greatest length, in place of `budget`.
        changes: of the video's frames, from a pass with a `cuts.Watcher`.
        shortest: seconds of the shortest part, with `changes`; a summary that has to be shorter is one part.

    Returns:
        The summary, and notes for people where it is not the protocol's choice.

    Raises:
        InputError: as `check_limits`.
    """
    check_limits(budget, seconds)
    duration = video.n_frames / video.fps
    edges = np.append(video.frame_times, duration)
    allowed = min(duration, budget * duration if seconds is None else seconds)
    frames = evaluation.frame_scores(np.asarray(scores), video.picks, video.n_frames)
    shots, notes = np.asarray(video.change_points), []
    if evaluation.is_constant(frames):
        notes.append('all scores are alike: shots are taken at even distances')
    if changes is None:
        chosen = _choose(frames, edges, shots, video.fps, allowed)
        whole = bool(chosen.any())
        if not whole:
            shots, chosen = _piece(frames, edges, shots, allowed)
    else:
        found = cuts.find_scenes(video.frame_times, changes)
        shots, scenes = cuts.refine(shots, video.picks, video.frame_times, changes, found), found.starts
        least = shortest if shortest <= allowed else 0.0
        shots, chosen, whole = _choose_watchable(frames, edges, shots, video.fps, allowed, scenes, least)
        shots, chosen = _trim(shots, chosen, edges, changes, scenes, shortest)
    values = evaluation.shot_scores(frames, shots)
    summary = Summary(
        path=path,
        fps=video.fps,
        duration=duration,
        frame_times=video.frame_times,
        picks=video.picks,
        scores=np.asarray(scores, np.float32),
        shots=shots,
        shot_scores=values,
        chosen=chosen,
        clock=video.clock,
        key_frames=None if changes is None else clearest_frames(shots, frames, edges, changes),
    )
    if chosen.all():
        notes.append('the summary is the whole video: ' + _why_whole(video, seconds))
    elif not whole:
        notes.append(f'no shot fits into {allowed:.3g} s: of the best one, {summary.length:.3g} s are taken')
    return summary, notes


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
    frames: np.ndarray, edges: np.ndarray, shots: np.ndarray, fps: float, allowed: float
) -> np.ndarray:
    """[n_shots] bool, by the knapsack, or at even distances where scores are all alike; none if none fits."""
    weights, capacity = _weights(edges, shots, fps, allowed)
    if evaluation.is_constant(frames):
        return _evenly(weights, capacity)
    return knapsack.solve(evaluation.shot_scores(frames, shots), weights, capacity)


def _choose_watchable(
    frames: np.ndarray,
    edges: np.ndarray,
    shots: np.ndarray,
    fps: float,
    allowed: float,
    scenes: np.ndarray,
    least: float,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Shots, which of them are chosen so that parts are long enough, and whether these are whole ones."""
    shots = _join(shots, edges, scenes, least, allowed)
    able, chosen = np.ones(len(shots), bool), np.zeros(len(shots), bool)
    while able.any():
        chosen[:] = False
        chosen[able] = _choose(frames, edges, shots[able], fps, allowed)
        short = _in_short_part(shots, chosen, edges, least)
        if not short.any():
            break
        able &= ~short
        chosen &= ~short
    if chosen.any():
        return shots, chosen, True
    joined = _join(shots, edges, scenes, least, np.inf)
    able = _seconds(joined, edges) >= least - _ROUNDING
    if able.any():
        return *_piece(frames, edges, joined, allowed, able), False
    chosen = _choose(frames, edges, shots, fps, allowed)
    if chosen.any():
        return shots, chosen, True
    return *_piece(frames, edges, shots, allowed), False


def _seconds(shots: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return edges[shots[:, 1] + 1] - edges[shots[:, 0]]


def _join(
    shots: np.ndarray, edges: np.ndarray, scenes: np.ndarray, least: float, longest: float
) -> np.ndarray:
    """Shots of which none is too short, but for those between two cuts or too long with a neighbour.

    First shots of one scene are joined, then scenes that are all too short.
    """
    kept = shots.tolist()
    for across in (False, True):
        shots, kept = kept, []
        for shot in shots:
            if kept and (across or shot[0] not in scenes):
                lengths = [edges[last + 1] - edges[first] for first, last in (kept[-1], shot)]
                short = max(lengths) if across else min(lengths)
                if short < least - _ROUNDING and sum(lengths) <= longest:
                    kept[-1][1] = shot[1]
                    continue
            kept.append(shot)
    return np.array(kept, np.int64)


def _in_short_part(shots: np.ndarray, chosen: np.ndarray, edges: np.ndarray, least: float) -> np.ndarray:
    """[n_shots] bool, the chosen ones that with their chosen neighbours are too short."""
    part = np.cumsum(np.diff(chosen, prepend=False))
    lengths = np.bincount(part, _seconds(shots, edges))
    return chosen & (lengths[part] < least - _ROUNDING)


def _trim(
    shots: np.ndarray,
    chosen: np.ndarray,
    edges: np.ndarray,
    changes: cuts.Changes,
    scenes: np.ndarray,
    least: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Shots and choice with every part trimmed; what is left out goes to the shot beside it, if any."""
    n = len(edges) - 1
    starts, kept = set(shots[:, 0].tolist()), []
    for run in np.split(shots[chosen], np.flatnonzero(np.diff(np.flatnonzero(chosen)) > 1) + 1):
        first, last = int(run[0, 0]), int(run[-1, 1])
        begin, end = cuts.trim((first, last), edges, changes, scenes, least)
        starts -= {*range(first, begin), *range(end + 1, last + 2)}
        starts |= {0, begin, end + 1}
        kept.append((begin, end))
    shots = finding.from_starts(np.array(sorted(starts - {n}), np.int64), n)
    begins = np.array(kept)
    part = np.searchsorted(begins[:, 0], shots[:, 0], side='right') - 1
    return shots, (part >= 0) & (shots[:, 0] <= begins[part, 1])


def _weights(edges: np.ndarray, shots: np.ndarray, fps: float, allowed: float) -> tuple[np.ndarray, int]:
    """[n_shots] int weights and the capacity, both in frames or, at an unsteady rate, in ticks."""
    gaps = np.diff(edges[:-1])
    if gaps.size == 0 or np.ptp(gaps) <= _STEADY:
        return shots[:, 1] - shots[:, 0] + 1, int(allowed * fps + _ROUNDING)
    weights = np.maximum(np.ceil(_seconds(shots, edges) / _TICK - _ROUNDING).astype(np.int64), 1)
    return weights, int(allowed / _TICK + _ROUNDING)


def _evenly(weights: np.ndarray, capacity: int) -> np.ndarray:
    """[n_shots] bool, the most shots that lie at even distances and fit; none if none fits."""
    n, chosen = len(weights), np.zeros(len(weights), bool)
    for count in range(n, 0, -1):
        places = (2 * np.arange(count) + 1) * n // (2 * count)
        if weights[places].sum() <= capacity:
            chosen[places] = True
            break
    return chosen


def _piece(
    frames: np.ndarray, edges: np.ndarray, shots: np.ndarray, allowed: float, able: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The shots with the best (able) one cut in up to three, and which of them is the piece to show."""
    values = evaluation.shot_scores(frames, shots)
    if able is not None:
        values = np.where(able, values, -np.inf)
    best = np.flatnonzero(values >= values.max() - _ROUNDING)
    shot = best[len(best) // 2]
    first, last = shots[shot].tolist()
    starts = np.arange(first, last + 1)
    whole = edges[starts] + allowed <= edges[last + 1] + _ROUNDING
    starts = starts[whole] if whole.any() else starts[:1]
    stops = np.searchsorted(edges, edges[starts] + allowed + _ROUNDING, side='right') - 1
    stops = np.clip(stops, starts + 1, last + 1)
    sums = np.cumsum(np.append(0, frames.astype(np.float64)))
    means = (sums[stops] - sums[starts]) / (stops - starts)
    equal = np.flatnonzero(means >= means.max() - _ROUNDING)
    middle = (edges[first] + edges[last + 1]) / 2
    centres = (edges[starts[equal]] + edges[stops[equal]]) / 2
    piece = equal[np.argmin(np.abs(centres - middle))]
    places = np.unique([first, starts[piece], stops[piece], last + 1])
    pieces = np.stack([places[:-1], places[1:] - 1], axis=1)
    after = np.concatenate([shots[:shot], pieces, shots[shot + 1 :]])
    return after, after[:, 0] == starts[piece]


def _why_whole(video: Video, seconds: float | None) -> str:
    if video.n_frames == 1:
        return 'it is a single frame'
    return 'the budget is all of it' if seconds is None else f'it lasts no longer than {seconds:g} s'
