"""Scores to a summary: the protocol's knapsack, and what is shown where it cannot choose."""

import pathlib

import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.protocol import evaluation, knapsack
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
) -> tuple[Summary, list[str]]:
    """Chooses the shots of a summary; it is never empty, and whole only where the budget holds it all.

    Shots are chosen by the protocol's 0/1 knapsack, weighed in frames; where frames come at an unsteady rate,
    in hundredths of a second, rounded up. Scores that are all alike have no order: as many shots as fit are
    then taken at even distances. Where no shot fits, the piece of greatest mean score is cut out of the best
    shot, as long as the budget and at least one frame; on equal scores the one nearest the middle.

    Args:
        path: the video's file.
        video: with shots, `fps` and `frame_times`.
        scores: [n_steps] float, finite.
        budget: the summary's greatest share of the video's time.
        seconds: its greatest length, in place of `budget`.

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
    shots = np.asarray(video.change_points)
    values = evaluation.shot_scores(frames, shots)
    weights, capacity = _weights(edges, shots, video.fps, allowed)
    notes = []
    if evaluation.is_constant(frames):
        notes.append('all scores are alike: shots are taken at even distances')
        chosen = _evenly(weights, capacity)
    else:
        chosen = knapsack.solve(values, weights, capacity)
    if not chosen.any():
        shots, chosen = _piece(frames, edges, shots, values, allowed)
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
    )
    if chosen.all():
        notes.append('the summary is the whole video: ' + _why_whole(video, seconds))
    elif len(shots) != len(video.change_points):
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


def _weights(edges: np.ndarray, shots: np.ndarray, fps: float, allowed: float) -> tuple[np.ndarray, int]:
    """[n_shots] int weights and the capacity, both in frames or, at an unsteady rate, in ticks."""
    gaps = np.diff(edges[:-1])
    if gaps.size == 0 or np.ptp(gaps) <= _STEADY:
        return shots[:, 1] - shots[:, 0] + 1, int(allowed * fps + _ROUNDING)
    lengths = edges[shots[:, 1] + 1] - edges[shots[:, 0]]
    weights = np.maximum(np.ceil(lengths / _TICK - _ROUNDING).astype(np.int64), 1)
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
    frames: np.ndarray, edges: np.ndarray, shots: np.ndarray, values: np.ndarray, allowed: float
) -> tuple[np.ndarray, np.ndarray]:
    """The shots with the best one cut in up to three, and which of them is the piece to show."""
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
    cuts = np.unique([first, starts[piece], stops[piece], last + 1])
    pieces = np.stack([cuts[:-1], cuts[1:] - 1], axis=1)
    after = np.concatenate([shots[:shot], pieces, shots[shot + 1 :]])
    return after, after[:, 0] == starts[piece]


def _why_whole(video: Video, seconds: float | None) -> str:
    if video.n_frames == 1:
        return 'it is a single frame'
    return 'the budget is all of it' if seconds is None else f'it lasts no longer than {seconds:g} s'
