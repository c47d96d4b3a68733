"""Parts of a summary that people can watch: long enough, and without ends that nobody wants."""

import numpy as np

from trsum_jax.data.shots import from_starts
from trsum_jax.video import cuts
from trsum_jax.video.summary import ROUNDING


def seconds_of(shots: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """[n_shots] float64, how long shots last, by the edges of frames in seconds."""
    return edges[shots[:, 1] + 1] - edges[shots[:, 0]]


def join_short(
    shots: np.ndarray, edges: np.ndarray, scenes: np.ndarray, least: float, longest: float
) -> np.ndarray:
    """Shots of which none is too short, but for those between two cuts or too long with a neighbour.

    First shots of one scene are joined, then scenes that are all too short.

    Args:
        shots: [n_shots, 2] int, first and last frame, both inclusive, covering the video.
        edges: [n_frames + 1] float64, when every frame begins, and the end of the last one, in seconds.
        scenes: [n] int, frames at which scenes begin.
        least: seconds of a shot that is long enough.
        longest: seconds of the longest that shots are joined to.

    Returns:
        [m, 2] int64, covering the video.
    """
    kept = shots.tolist()
    for across in (False, True):
        shots, kept = kept, []
        for shot in shots:
            if kept and (across or shot[0] not in scenes):
                lengths = [edges[last + 1] - edges[first] for first, last in (kept[-1], shot)]
                short = max(lengths) if across else min(lengths)
                if short < least - ROUNDING and sum(lengths) <= longest:
                    kept[-1][1] = shot[1]
                    continue
            kept.append(shot)
    return np.array(kept, np.int64)


def in_short_part(shots: np.ndarray, chosen: np.ndarray, edges: np.ndarray, least: float) -> np.ndarray:
    """[n_shots] bool, the chosen ones that with their chosen neighbours are too short."""
    part = np.cumsum(np.diff(chosen, prepend=False))
    lengths = np.bincount(part, seconds_of(shots, edges))
    return chosen & (lengths[part] < least - ROUNDING)


def followed(marked: np.ndarray, before: np.ndarray, after: np.ndarray) -> list[int]:
    """Where marked shots are once others of them have been cut in pieces or joined.

    Args:
        marked: [n] bool.
        before: [n, 2] int, shots that cover the video.
        after: [m, 2] int, what has become of them.

    Returns:
        Their places in `after`, from 0 on.
    """
    return (np.searchsorted(after[:, 0], before[marked, 0], side='right') - 1).tolist()


def left_out(shots: np.ndarray, trimmed: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Which shots have no frame in a summary.

    Args:
        shots: [n, 2] int, shots that cover the video.
        trimmed: [m, 2] int, what `trim_parts` has made of them.
        chosen: [m] bool, those of `trimmed` that are shown.

    Returns:
        [n] bool.
    """
    shown = np.append(0, np.cumsum(np.repeat(chosen, np.diff(trimmed, axis=1)[:, 0] + 1)))
    return shown[shots[:, 1] + 1] == shown[shots[:, 0]]


def trim_parts(
    edges: np.ndarray,
    shots: np.ndarray,
    chosen: np.ndarray,
    changes: cuts.Changes,
    scenes: np.ndarray,
    least: float,
    kept: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Shots and choice with every part trimmed; what is left out goes to the shot beside it.

    Where there is none, at an end of the video, it is a shot of its own.

    Args:
        edges: as in `join_short`, and so are `shots` and `scenes`.
        shots: what is chosen from.
        chosen: [n_shots] bool.
        changes: of all frames.
        scenes: an end of a part in another scene is left out.
        least: seconds of a part that stay, as in `cuts.trim`.
        kept: [n_shots] bool, those of which something stays in any case; with it, shots stay as many as they
            are, and nothing is left out at the ends of the video.

    Returns:
        [m, 2] int64 shots, covering the video, and [m] bool.
    """
    starts, shows, n = shots[:, 0].copy(), chosen.copy(), len(edges) - 1
    places = np.flatnonzero(chosen)
    for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
        whole = int(shots[run[0], 0]), int(shots[run[-1], 1])
        begin, end = cuts.trim(whole, edges, changes, scenes, least)
        if kept is not None:
            those = run[kept[run]]
            if run[0] == 0 or (len(those) and shots[those[0], 1] < begin):
                begin = whole[0]
            if run[-1] == len(shots) - 1 or (len(those) and shots[those[-1], 0] > end):
                end = whole[1]
        first, last = np.searchsorted(shots[:, 0], [begin, end], side='right') - 1
        shows[run] = (run >= first) & (run <= last)
        starts[first] = begin
        if last + 1 < len(shots):
            starts[last + 1] = end + 1
        elif end + 1 < n:
            starts, shows = np.append(starts, end + 1), np.append(shows, False)
    if starts[0] > 0:
        starts, shows = np.append(0, starts), np.append(False, shows)
    return from_starts(starts, n), shows
