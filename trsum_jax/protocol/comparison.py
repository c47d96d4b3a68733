"""What several trainings on the same videos say: means over seeds and videos, and paired differences."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from trsum_jax.protocol import evaluation, tables
from trsum_jax.protocol.tables import Fold

K = TypeVar('K')
# (seed, video) to a value and what it counts in the mean.
Cells = Mapping[tuple[int, str], tuple[float, float]]


def from_folds(rows: Sequence[Mapping[str, Any]], metric: str) -> Cells:
    """The cells of one metric: every seed's mean over each fold's videos, then over folds, taken apart again.

    Args:
        rows: one for every seed, fold and video, with `seed`, `fold`, `video` and the metric (NaN for none).
        metric: its name; a row without it has none.

    Returns:
        The cells; a video of several folds has the mean of its values, and counts once for each.
    """
    used = [row for row in rows if not np.isnan(row.get(metric, np.nan))]
    size: dict[tuple[int, int], int] = {}
    for row in used:
        size[row['seed'], row['fold']] = size.get((row['seed'], row['fold']), 0) + 1
    cells: dict[tuple[int, str], tuple[float, float]] = {}
    for row in used:
        place, weight = (row['seed'], row['video']), 1 / size[row['seed'], row['fold']]
        value, before = cells.get(place, (0.0, 0.0))
        cells[place] = ((value * before + row[metric] * weight) / (before + weight), before + weight)
    return cells


def interval(cells: Cells, *, seed: int = 0, resamples: int = 9999) -> dict[str, float]:
    """The weighted mean of all cells, with a 95% bootstrap interval over seeds and videos.

    Seeds and videos are drawn with replacement, independently of one another, and the mean is taken over the
    cells where a drawn seed meets a drawn video (the pigeonhole bootstrap; Owen, 2007). With one seed the
    videos alone are drawn, so that the interval says nothing of other seeds; with one video the seeds alone.

    Args:
        cells: without NaN.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Returns:
        `mean`, `low`, `high`, and the numbers of `seeds` and `videos`. The interval is NaN where it would
        rest on one cell; so is the mean where there is none.
    """
    return intervals({None: cells}, seed, resamples)[None]


def intervals(every: Mapping[K, Cells], seed: int = 0, resamples: int = 9999) -> dict[K, dict[str, float]]:
    """The `interval` of each of several cells; those of as many seeds and videos share what is drawn.

    Args:
        every: the cells of each, by any name.
        seed: as for `interval`.
        resamples: as for `interval`.

    Returns:
        As `interval`, by the same names.
    """
    results: dict[K, dict[str, float]] = {}
    arrays: dict[K, tuple[np.ndarray, np.ndarray]] = {}
    alike: dict[tuple[int, ...], list[K]] = {}
    for name, cells in every.items():
        weighted, weight = arrays[name] = _arrays(cells)
        mean = float(weighted.sum() / weight.sum()) if cells else float('nan')
        result = {'mean': mean, 'low': float('nan'), 'high': float('nan')}
        results[name] = result | dict(zip(('seeds', 'videos'), weight.shape, strict=True))
        if len(cells) > 1:
            alike.setdefault(weight.shape, []).append(name)
    for shape, names in alike.items():
        means: dict[K, list[np.ndarray]] = {name: [] for name in names}
        for rows, columns in _draws(seed, resamples, shape):
            for name in names:
                above, below = (np.einsum('bv,bv->b', rows @ table, columns) for table in arrays[name])
                # Where few cells are filled a sample may hold none of them.
                means[name].append(above[below > 0] / below[below > 0])
        for name, of in means.items():
            low, high = np.quantile(np.concatenate(of), [0.025, 0.975])
            results[name] |= {'low': float(low), 'high': float(high)}
    return results


def _arrays(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """[seeds, videos] float64: the values times what they count, and what they count."""
    seeds, videos = (
        {name: i for i, name in enumerate(dict.fromkeys(place[axis] for place in cells))} for axis in (0, 1)
    )
    weighted, weight = np.zeros((2, len(seeds), len(videos)))
    for (of_seed, video), (value, counts) in cells.items():
        at = seeds[of_seed], videos[video]
        weighted[at], weight[at] = value * counts, counts
    return weighted, weight


def difference(one: Cells, other: Cells, **options: int) -> dict[str, float]:
    """The interval of `one - other` over the cells that both have: the same seeds and videos for either.

    Args:
        one: cells, whose weights count.
        other: what it is compared with.
        **options: of `interval`.

    Returns:
        As `interval`.
    """
    return interval(paired(one, other), **options)


def paired(one: Cells, other: Cells) -> Cells:
    """`one - other` over the cells that both have, which count as in `one`."""
    return {
        place: (value - other[place][0], weight) for place, (value, weight) in one.items() if place in other
    }


def differences(rows: Mapping[str, Sequence[Mapping[str, Any]]], first: str) -> dict[str, Any]:
    """How much more one row of a table has than each other, on the same seeds and videos.

    Args:
        rows: by name, for `from_folds`.
        first: the name of that row.

    Returns:
        By name, but for the first: by metric, the `interval` of `first - name`.
    """
    metrics = evaluation.measured(row for of in rows.values() for row in of)
    cells = {name: {metric: from_folds(of, metric) for metric in metrics} for name, of in rows.items()}
    others = [name for name in cells if name != first]
    found = intervals(
        {(name, m): paired(cells[first][m], cells[name][m]) for name in others for m in metrics}
    )
    return {name: {metric: found[name, metric] for metric in metrics} for name in others}


def over_random(per_fold: Mapping[str, Sequence[Fold]]) -> dict[str, dict[str, float]]:
    """F-scores divided by those of random scores on the same videos (Performance over Random).

    Of every fold the mean over its videos is divided by that of the row `random`, and the quotients are
    averaged over folds: a fold of videos that are easy for anybody does not count as skill (Apostolidis et
    al., ACM Multimedia 2020).

    Args:
        per_fold: by row, for every fold, video key to metric to value; one of the rows is `random`.

    Returns:
        By row, but for that one: `f_avg` and `f_max`, 1 for no better than random; NaN where there is no F.
    """
    names = evaluation.METRICS[:2]

    def means(fold: Fold, name: str) -> float:
        return evaluation.mean_defined([of[name] for of in fold.values()])

    by_chance = [{name: means(fold, name) or np.nan for name in names} for fold in per_fold['random']]
    return {
        row: {
            name: evaluation.mean_defined(
                [means(fold, name) / chance[name] for fold, chance in zip(folds, by_chance, strict=True)]
            )
            for name in names
        }
        for row, folds in per_fold.items()
        if row != 'random'
    }


def _draws(seed: int, resamples: int, shape: tuple[int, ...]) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """How often each seed [B, seeds] and video [B, videos] is drawn, float64, B resamples at a time."""
    few = resamples * max(shape) <= tables.AT_ONCE
    return _kept(seed, resamples, shape) if few else _blocks(seed, resamples, shape)


@functools.lru_cache(maxsize=2)
def _kept(seed: int, resamples: int, shape: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kept for the next cells of this shape: drawing takes longer than what is done with the draws."""
    return [*_blocks(seed, resamples, shape)]


def _blocks(seed: int, resamples: int, shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)

    def drawn(n: int, times: int) -> np.ndarray:
        # Always once where there is one alone.
        return rng.multinomial(n, np.full(n, 1 / n), times).astype(np.float64)

    seeds, videos = shape
    every, at_once = drawn(seeds, resamples), max(1, tables.AT_ONCE // videos)
    for first in range(0, resamples, at_once):
        rows = every[first : first + at_once]
        yield rows, drawn(videos, len(rows))
