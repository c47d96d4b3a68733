"""Stretches of a video in which nothing moves, such as a page or a slide: shown once, and briefly."""

import numpy as np

from trsum_jax.data.shots import from_starts
from trsum_jax.video.cuts import Changes, runs
from trsum_jax.video.summary import ROUNDING

# Frames change by no more than this (of 255, as `Changes.change`) within a second: a cursor may move.
_STILL = 3.0
# Seconds of a stretch that are shown: enough to read a title.
BRIEFLY = 3.0


def find_still(edges: np.ndarray, changes: Changes, least: float) -> np.ndarray:
    """Stretches in which every second changes next to nothing, from the change before to the one after.

    Args:
        edges: [n_frames + 1] float64, when every frame begins, and the end of the last one, in seconds.
        changes: of all frames.
        least: seconds of the shortest stretch.

    Returns:
        [n, 2] int64, first and last frame, both inclusive; ascending, without overlap.
    """
    n = len(edges) - 1
    change = changes.change.astype(np.float64)
    sums = np.cumsum(np.append(0, change))
    before, after = (np.searchsorted(edges[:-1], edges[:-1] + apart) for apart in (-0.5, 0.5))
    quiet = sums[after] - sums[before] <= _STILL
    found = []
    for first, last in runs(quiet):
        # Up to the greatest change within the half second that the windows at both ends reach.
        if first > 0:
            earliest = before[first] - 1
            first = earliest + int(change[earliest : first + 1].argmax())
        if last < n - 1:
            last = last + int(change[last + 1 : after[last] + 1].argmax())
        if found and first <= found[-1][1]:
            first = found[-1][1] + 1
        if first <= last and edges[last + 1] - edges[first] >= least:
            found.append((first, last))
    return np.array(found, np.int64).reshape(-1, 2)


def shorten(shots: np.ndarray, still: np.ndarray, edges: np.ndarray, seconds: float) -> np.ndarray:
    """Shots of which every stretch without change has one of some seconds at its beginning, and a rest.

    Args:
        shots: [n_shots, 2] int, first and last frame, both inclusive, covering the video.
        still: from `find_still`.
        edges: as there.
        seconds: of each stretch that may be shown.

    Returns:
        [m, 2] int64, covering the video.
    """
    n, starts = len(edges) - 1, set(shots[:, 0].tolist())
    for first, last in still.tolist():
        starts = {start for start in starts if not first < start <= last}
        until = _seen_by(edges, first, seconds)
        starts |= {first, *({until} if until <= last else ()), last + 1}
    return from_starts(np.array(sorted(starts - {n}), np.int64), n)


def goes_on(shots: np.ndarray, still: np.ndarray, edges: np.ndarray, seconds: float) -> np.ndarray:
    """Which shots only show longer what stood still before them.

    Args:
        shots: [n_shots, 2] int, covering the video.
        still: from `find_still`.
        edges: as there.
        seconds: as in `shorten`.

    Returns:
        [n_shots] bool, True where more than half of the frames are in a stretch, past its first seconds.
    """
    past = np.zeros(len(edges), np.int64)
    for first, last in still.tolist():
        past[_seen_by(edges, first, seconds) + 1 : last + 2] = 1
    sums = np.cumsum(past)
    return sums[shots[:, 1] + 1] - sums[shots[:, 0]] > np.diff(shots, axis=1)[:, 0] / 2 + 0.5


def _seen_by(edges: np.ndarray, first: int, seconds: float) -> int:
    """The frame before which so many seconds have passed since a stretch began."""
    return int(np.searchsorted(edges, edges[first] + seconds - ROUNDING))
