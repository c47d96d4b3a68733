"""How smoothly a training went, from its curves alone: total variation, second differences, and area.

All three divide by the curve's own range (its maximum minus its minimum), so that a loss near 0.3 and a loss
near 5 can stand in one column. They depend on the number of points: compare curves of equally many epochs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy

from trsum_jax.errors import InputError


def tv_n(curves: np.ndarray) -> np.ndarray:
    """Total variation over range, `Σ |x[i+1] - x[i]| / (max x - min x)`: 1 for a monotone curve, else more.

    Args:
        curves: [n] or [R, n] float, n at least 2; a value per epoch.

    Returns:
        A scalar or [R] float64; NaN for a constant curve, which has no range, and for one with a NaN.

    Raises:
        InputError: fewer than 2 points.
    """
    curves, spread = _ranged(curves, least=2)
    return np.abs(np.diff(curves, axis=-1)).sum(axis=-1) / spread


def ms(curves: np.ndarray) -> np.ndarray:
    """Mean absolute second difference over range, `mean |x[i+1] - 2 x[i] + x[i-1]| / (max x - min x)`.

    0 for a straight line; 2, the most, for a curve that jumps between its two ends at every step.

    Args:
        curves: [n] or [R, n] float, n at least 3; a value per epoch.

    Returns:
        A scalar or [R] float64; NaN for a constant curve and for one with a NaN.

    Raises:
        InputError: fewer than 3 points.
    """
    curves, spread = _ranged(curves, least=3)
    return np.abs(np.diff(curves, n=2, axis=-1)).mean(axis=-1) / spread


def rauc(curves: np.ndarray) -> np.ndarray:
    """Area under the range-normalised curve `(x - min x) / (max x - min x)` over epochs scaled to [0, 1].

    By the trapezoidal rule. A loss that falls early and stays down comes near 0, one that falls on a straight
    line to 0.5; a reward that rises early comes near 1.

    Args:
        curves: [n] or [R, n] float, n at least 2; a value per epoch.

    Returns:
        A scalar or [R] float64 in [0, 1]; NaN for a constant curve and for one with a NaN.

    Raises:
        InputError: fewer than 2 points.
    """
    curves, spread = _ranged(curves, least=2)
    low = curves.min(axis=-1)
    area = np.trapezoid(curves - low[..., None], axis=-1) / (curves.shape[-1] - 1)
    return area / spread


MEASURES = {'TVn': tv_n, 'MS': ms, 'RAUC': rauc}


def over_seeds(values: npt.ArrayLike, seeds: Sequence[int]) -> dict[str, float]:
    """The mean over seeds of each seed's mean over its runs, with Student's 95% interval over seeds.

    Runs of one seed (its folds) share most of their videos and are no independent draws: seeds are.

    Args:
        values: [R], one value per run; NaN where it has none.
        seeds: [R], the run's seed.

    Returns:
        `mean`, `low`, `high`, `seeds` (how many have a value) and `missing` (runs without one). The interval
        is NaN where it would rest on one seed; so is the mean where there is none.
    """
    of_runs, of_seeds = np.asarray(values, np.float64), np.asarray(seeds)
    used = ~np.isnan(of_runs)
    means = [of_runs[used & (of_seeds == seed)].mean() for seed in np.unique(of_seeds[used])]
    found = {'mean': float('nan'), 'low': float('nan'), 'high': float('nan')}
    found |= {'seeds': len(means), 'missing': int((~used).sum())}
    if means:
        found['mean'] = float(np.mean(means))
    if len(means) > 1:
        half = scipy.stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / np.sqrt(len(means))
        found |= {'low': found['mean'] - float(half), 'high': found['mean'] + float(half)}
    return found


def _ranged(curves: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """The curves as float64, and their ranges; NaN where a curve is constant."""
    curves = np.asarray(curves, np.float64)
    if curves.ndim not in (1, 2) or curves.shape[-1] < least:
        raise InputError(
            f'a curve to measure: expected [n] or [R, n] with n of {least} or more epochs, '
            f'found shape {curves.shape}. Train for more epochs.'
        )
    spread = curves.max(axis=-1) - curves.min(axis=-1)
    return curves, np.where(spread == 0, np.nan, spread)
