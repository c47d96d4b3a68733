"""Shots of a video from its features: kernel temporal segmentation, or shots of equal length."""

import math

import numpy as np

from trsum_jax.errors import InputError

# 2 s and 5 s at the field's 2 steps a second.
STEPS_PER_KTS_SHOT = 4
STEPS_PER_UNIFORM_SHOT = 10
# Of `detect_short`, in seconds; and its penalty, chosen by eye on a film and a fixed camera.
LONGEST_SHOT = 10.0
VMAX_CENTRED = 2.0
_BLOCK = 64


def _scatters(features: np.ndarray) -> np.ndarray:
    """[n, n] float64: row last, column first, the scatter of steps first..last; inf where first > last."""
    gram = features @ features.T
    block_sums, traces = np.zeros((2, len(gram)))
    # Adding one step at a time to every segment avoids the cancellation of differences of cumulative sums.
    for last, row in enumerate(gram):
        square = row[last]
        to_last = np.cumsum(row[last::-1])[::-1]
        block_sums[: last + 1] += 2 * to_last - square
        traces[: last + 1] += square
        lengths = np.arange(last + 1, 0, -1)
        row[: last + 1] = np.maximum(traces[: last + 1] - block_sums[: last + 1] / lengths, 0)
        row[last + 1 :] = np.inf
    return gram


def _add_change(cost: np.ndarray, scatters: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """For every last step: the least cost with `k` changes, and the first step of the last segment there."""
    n = len(cost)
    new_cost, first = np.full(n, np.inf), np.zeros(n, np.int32)
    for start in range(k, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        candidates = scatters[start:stop, k:stop] + cost[None, k - 1 : stop - 1]
        choice = candidates.argmin(axis=1)
        first[start:stop] = choice + k
        new_cost[start:stop] = candidates[np.arange(stop - start), choice]
    return new_cost, first


def kts(features: np.ndarray, *, max_changes: int, vmax: float) -> np.ndarray:
    """Finds the change points of kernel temporal segmentation with a linear kernel.

    Minimises `cost_m / n + vmax * m / (2 n) * (log(n / m) + 1)` over the number of changes `m` and their
    places, where `cost_m` is the scatter within segments, `sum_t |x_t - mean of its segment|^2`. The search
    is exact (dynamic programming in float64, the first minimum on ties); the penalty grows with `m` and no
    cost is negative, so it ends as soon as the penalty alone passes the best objective.

    Args:
        features: [n, D] float, one row a step.
        max_changes: most changes allowed; more than n - 1 counts as n - 1.
        vmax: scale of the penalty, 0 or more; fewer shots for larger values. Meant for rows of unit norm.

    Returns:
        [m] int64, the first steps of the new shots (step 0 is not among them), increasing.

    Raises:
        InputError: features that are not two-dimensional or not finite; a negative `vmax` or `max_changes`.

    Reference: Potapov et al., Category-Specific Video Summarization, ECCV 2014.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise InputError(f'KTS: expected finite features [n, D], found an array of shape {features.shape}')
    if not vmax >= 0 or max_changes < 0:
        raise InputError(f'KTS: expected vmax and max_changes >= 0, found {vmax} and {max_changes}')
    n = len(features)
    if n < 2:
        return np.zeros(0, np.int64)

    scatters = _scatters(features - features.mean(axis=0))
    cost = scatters[:, 0]
    best, n_changes, firsts = cost[-1] / n, 0, []
    for m in range(1, min(max_changes, n - 1) + 1):
        penalty = vmax * m / (2 * n) * (math.log(n / m) + 1)
        if penalty >= best:
            break
        cost, first = _add_change(cost, scatters, m)
        firsts.append(first)
        if cost[-1] / n + penalty < best:
            best, n_changes = cost[-1] / n + penalty, m

    changes, last = [], n - 1
    for first in reversed(firsts[:n_changes]):
        changes.append(int(first[last]))
        last = changes[-1] - 1
    return np.array(changes[::-1], np.int64)


def uniform_shots(n_frames: int, *, n_shots: int | None = None, length: float | None = None) -> np.ndarray:
    """Cuts a video into shots of equal length (to one frame).

    Args:
        n_frames: frames of the video, 1 or more.
        n_shots: number of shots; give this or `length`.
        length: about how many frames a shot holds.

    Returns:
        [n_shots, 2] int64, first and last frame of every shot, both inclusive.

    Raises:
        InputError: fewer frames than shots, or not exactly one of `n_shots` and `length`, positive.
    """
    if (n_shots is None) == (length is None):
        raise InputError('uniform shots: expected either a number of shots or a length')
    if length is not None:
        if not length > 0:
            raise InputError(f'uniform shots: expected a length above 0, found {length}')
        n_shots = min(max(1, round(n_frames / length)), n_frames)
    if not 1 <= n_shots <= n_frames:
        raise InputError(f'uniform shots: expected 1 to {n_frames} shots (one frame each), found {n_shots}')
    edges = np.arange(n_shots + 1, dtype=np.int64) * n_frames // n_shots
    return np.stack([edges[:-1], edges[1:] - 1], axis=1)


def detect(
    features: np.ndarray | None,
    picks: np.ndarray,
    n_frames: int,
    *,
    method: str = 'kts',
    vmax: float = 1.0,
    max_changes: int | None = None,
    steps_per_shot: int = STEPS_PER_UNIFORM_SHOT,
) -> np.ndarray:
    """Finds the shots of a video; every shot starts at a sampled frame, the first at frame 0.

    `kts` scales the features by one factor to a mean norm of 1, for which its penalty is meant: features of
    unit norm stay as they are.

    Args:
        features: [n_steps, D] float32; not needed (None) for `uniform`.
        picks: [n_steps] int, the frame of every step, increasing.
        n_frames: frames of the video.
        method: `kts`, or `uniform` for shots of equal numbers of steps.
        vmax: scale of KTS's penalty; fewer shots for larger values.
        max_changes: most changes for KTS; by default as many as leave 4 steps (2 s) a shot on average, so
            that the penalty decides and the bound only stops a runaway.
        steps_per_shot: length of a uniform shot in steps, 10 (5 s) by default.

    Returns:
        [n_shots, 2] int64, first and last frame of every shot, both inclusive, covering 0..n_frames - 1.

    Raises:
        InputError: an unknown method, `kts` without features, or features that do not fit the picks.
    """
    picks = np.asarray(picks, np.int64)
    if method == 'uniform':
        first_steps = uniform_shots(len(picks), length=steps_per_shot)[1:, 0]
    elif method != 'kts':
        raise InputError(f"shots: expected 'kts' or 'uniform', found {method!r}")
    elif features is None or len(features) != len(picks):
        found = 'none' if features is None else f'{len(features)} rows'
        raise InputError(f'shots by KTS: expected features for {len(picks)} steps, found {found}')
    else:
        if max_changes is None:
            max_changes = max(len(picks) // STEPS_PER_KTS_SHOT - 1, 0)
        features = np.asarray(features, np.float64)
        norm = np.linalg.norm(features, axis=1).mean()
        first_steps = kts(features / norm if norm > 0 else features, max_changes=max_changes, vmax=vmax)
    starts = np.concatenate([[0], picks[first_steps]])
    return np.stack([starts, np.append(starts[1:], n_frames) - 1], axis=1)


def detect_short(
    features: np.ndarray, picks: np.ndarray, n_frames: int, *, rate: float = 2.0, method: str = 'kts'
) -> np.ndarray:
    """Shots for features that differ little along a video, none too long for a summary.

    KTS's penalty is meant for features whose spread is about 1. Under a fixed camera they differ far less,
    and the whole video would be one shot; so they are taken from their mean, which `detect` scales to
    length one. Shots longer than 10 s or a tenth of the steps are cut into equal parts, because a summary
    of 15% takes whole shots only and would stay empty if none fitted.

    Args:
        features: [n_steps, D] float32.
        picks: [n_steps] int64, the frame of every step.
        n_frames: frames of the video.
        rate: steps per second.
        method: `kts` or `uniform`.

    Returns:
        [n_shots, 2] int64, first and last frame of every shot, both inclusive.
    """
    found = detect(features - features.mean(axis=0), picks, n_frames, method=method, vmax=VMAX_CENTRED)
    longest = max(1, int(min(LONGEST_SHOT * rate, len(picks) / 10)))
    edges = np.append(np.searchsorted(picks, found[:, 0]), len(picks))
    starts = np.concatenate(
        [
            picks[first + uniform_shots(steps, n_shots=-(-steps // longest))[:, 0]]
            for first, steps in zip(edges[:-1], np.diff(edges).tolist(), strict=True)
        ]
    )
    return np.stack([starts, np.append(starts[1:], n_frames) - 1], axis=1)
