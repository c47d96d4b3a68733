"""The best parts of a video by one rating, as Mr. HiSum asks for them: average precision over segments.

A video is cut into segments of five seconds, each as good as the mean of its steps. The best half of them
(or 15%) by the rating are to be found by their scores.
"""

import math

import numpy as np
import numpy.typing as npt

from trsum_jax.data.records import Video

SECONDS = 5.0
# By metric, the share of the segments that are to be found.
SHARES = {'map_50': 0.50, 'map_15': 0.15}
ROUNDINGS = ('down', 'up')
# Of the field's files, which tell no frames per second.
_STEPS_PER_SECOND = 2.0


def steps_per_second(video: Video) -> float:
    """How many steps a video has in a second: 2, as the field's files, where it tells no frames per second.

    Args:
        video: gives `picks` and `fps`.
    """
    if not video.fps:
        return _STEPS_PER_SECOND
    return video.fps / float(np.median(np.diff(video.picks)) if video.n_steps > 1 else 1.0)


def one_rating(video: Video) -> np.ndarray | None:
    """The rating of a video that has a single one (`gtscore` of Mr. HiSum), not several people's.

    Args:
        video: any.

    Returns:
        [n_steps] float64, or None.
    """
    if video.user_scores is None or len(video.user_scores) != 1:
        return None
    return np.asarray(video.user_scores[0, video.picks], np.float64)


def average_precision(positive: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """`Σ (R_n - R_{n-1}) P_n` over the thresholds, from the highest score down; equal scores are one.

    Args:
        positive: [n] of 0 and 1, what is to be found.
        scores: [n] float.

    Returns:
        From 0 to 1; NaN where nothing is to be found.
    """
    found, scores = np.asarray(positive) > 0, np.asarray(scores, np.float64)
    if not found.any():
        return float('nan')
    order = np.argsort(-scores, kind='stable')
    # The last of each run of equal scores.
    last = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(found[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    return float(np.sum(np.diff(hits, prepend=0) * precision) / found.sum())


def measure_highlights(video: Video, scores: np.ndarray, rounding: str = 'down') -> dict[str, float]:
    """Average precision of the scores in finding the best segments of a video by its one rating.

    `down` is the rule of Mr. HiSum's authors: of n segments `int(n * share)` are the best, and a last one
    that is shorter has the mean of its own steps. `up` is that of the TripleSumm family: `ceil(n * share)`,
    and the last segment is filled up with zeros. Of equally good segments the earlier counts as better.

    Args:
        video: with one rating.
        scores: [n_steps] float.
        rounding: one of `ROUNDINGS`.

    Returns:
        Metric of `SHARES` to average precision; NaN where rounding leaves nothing to be found.

    Raises:
        ValueError: a rounding that is none, a video without a single rating.
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f'rounding must be one of {ROUNDINGS}, found {rounding!r}')
    rating = one_rating(video)
    if rating is None:
        raise ValueError(f'{video.id}: expected one rating, found {video.user_scores}')
    length = max(round(SECONDS * steps_per_second(video)), 1)
    filled = rounding == 'up'
    truth, found = (_segment_means(values, length, filled) for values in (rating, scores))
    best = np.argsort(-truth, kind='stable')
    result = {}
    for name, share in SHARES.items():
        count = (math.ceil if filled else int)(len(truth) * share)
        result[name] = average_precision(np.isin(np.arange(len(truth)), best[:count]), found)
    return result


def _segment_means(values: npt.ArrayLike, length: int, filled: bool) -> np.ndarray:
    """The means of each `length` steps; those of the last one over what there is, or filled up with zeros."""
    values = np.asarray(values, np.float64)
    starts = np.arange(0, len(values), length)
    sizes = np.full(len(starts), length) if filled else np.diff(starts, append=len(values))
    return np.add.reduceat(values, starts) / sizes
