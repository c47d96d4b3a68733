"""Shots of a video from its features: kernel temporal segmentation, or shots of equal length."""

import math

import numpy as np

from trsum_jax.data.kts import kts
from trsum_jax.data.standard import in_float64
from trsum_jax.errors import InputError

# 2 s and 5 s at the field's 2 steps a second.
STEPS_PER_KTS_SHOT = 4
STEPS_PER_UNIFORM_SHOT = 10
# Of `detect_short`, in seconds; and its penalty, chosen by eye on a film and a fixed camera.
LONGEST_SHOT = 10.0
VMAX_CENTRED = 2.0
# Of a step: picks are whole frames, and some steps a frame longer than others.
_MARGIN = 0.25


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


def frame_change(features: np.ndarray) -> np.ndarray:
    """How much a video changes at each step: the larger `1 - cos` of its two neighbours in time.

    Args:
        features: [n_steps, D] float.

    Returns:
        [n_steps] float32 in [0, 2]; 0 for a single step.
    """
    between, last = [], np.zeros((0, features.shape[1]))
    for some in in_float64(features):
        unit = some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-8)
        unit = np.concatenate([last, unit])
        between.append(1.0 - np.sum(unit[1:] * unit[:-1], axis=1))
        last = unit[-1:]
    between = np.concatenate(between)
    return np.maximum(np.append(between, 0.0), np.insert(between, 0, 0.0)).astype(np.float32)


def detect(
    features: np.ndarray | None,
    picks: np.ndarray,
    n_frames: int,
    *,
    method: str = 'kts',
    vmax: float = 1.0,
    max_changes: int | None = None,
    steps_per_shot: int = STEPS_PER_UNIFORM_SHOT,
    longest: int | None = None,
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
        longest: most steps of a shot; no limit by default. It comes before `max_changes`.

    Returns:
        [n_shots, 2] int64, first and last frame of every shot, both inclusive, covering 0..n_frames - 1.

    Raises:
        InputError: an unknown method, `kts` without features, or features that do not fit the picks.
    """
    picks = np.asarray(picks, np.int64)
    fewest = 1 if longest is None else -(-len(picks) // longest)
    if method == 'uniform':
        n_shots = len(uniform_shots(len(picks), length=steps_per_shot))
        first_steps = uniform_shots(len(picks), n_shots=max(n_shots, fewest))[1:, 0]
    elif method != 'kts':
        raise InputError(f"shots: expected 'kts' or 'uniform', found {method!r}")
    elif features is None or len(features) != len(picks):
        found = 'none' if features is None else f'{len(features)} rows'
        raise InputError(f'shots by KTS: expected features for {len(picks)} steps, found {found}')
    else:
        if max_changes is None:
            max_changes = max(len(picks) // STEPS_PER_KTS_SHOT - 1, 0)
        norm = np.concatenate([np.linalg.norm(some, axis=1) for some in in_float64(features)]).mean()
        first_steps = kts(
            features,
            max_changes=max(max_changes, fewest - 1),
            vmax=vmax,
            longest=longest,
            unit=norm if norm > 0 else 1.0,
        )
    return from_starts(np.append(0, picks[first_steps]), n_frames)


def detect_short(
    features: np.ndarray,
    picks: np.ndarray,
    n_frames: int,
    *,
    rate: float = 2.0,
    method: str = 'kts',
    longest: float = math.inf,
) -> np.ndarray:
    """Shots for features that differ little along a video, none too long for a summary.

    KTS's penalty is meant for features whose spread is about 1. Under a fixed camera they differ far less,
    and the whole video would be one shot; so they are taken from their mean, which `detect` scales to
    length one. No shot is longer than 10 s, a tenth of the steps, or `longest`, because a summary takes
    whole shots only and would stay empty if none fitted: KTS looks for the best changes under that limit.
    Where it is below one step, as in a video of less than ten, steps are cut into equal parts too.

    Args:
        features: [n_steps, D] float32.
        picks: [n_steps] int64, the frame of every step.
        n_frames: frames of the video.
        rate: steps per second.
        method: `kts` or `uniform`.
        longest: seconds, above 0, that every shot has to fit into, such as the length of the summary.

    Returns:
        [n_shots, 2] int64, first and last frame of every shot, both inclusive.
    """
    limit = min(LONGEST_SHOT * rate, len(picks) / 10)
    steps = int(min(limit, longest * rate - _MARGIN))
    found = detect(
        features - features.mean(axis=0),
        picks,
        n_frames,
        method=method,
        vmax=VMAX_CENTRED,
        longest=max(1, steps),
    )
    if steps >= 1:
        return found
    frames = max(1, int(min(limit, longest * rate) * n_frames / len(picks)))
    parts = [
        first + uniform_shots(last - first + 1, n_shots=-(-(last - first + 1) // frames))[:, 0]
        for first, last in found.tolist()
    ]
    return from_starts(np.concatenate(parts), n_frames)


def from_starts(starts: np.ndarray, n_frames: int) -> np.ndarray:
    """Shots from where they begin.

    Args:
        starts: [n_shots] int, increasing from 0.
        n_frames: frames of the video.

    Returns:
        [n_shots, 2] int64, first and last frame of every shot, both inclusive.
    """
    return np.stack([starts, np.append(starts[1:], n_frames) - 1], axis=1)
