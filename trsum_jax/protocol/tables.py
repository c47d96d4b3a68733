"""Metrics of videos to means with intervals, and those to Markdown."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy
import tabulate

from trsum_jax.protocol import evaluation

TITLES = {
    'f_avg': 'F avg, %',
    'f_max': 'F max, %',
    'kendall_tau': 'tau',
    'spearman_rho': 'rho',
    'map_50': 'mAP 50%, %',
    'map_15': 'mAP 15%, %',
}

# Values that are resampled at once: with what is made of each of them, some 300 MB.
AT_ONCE = 10_000_000

Metrics = Mapping[str, float]
Fold = Mapping[str, Metrics]
# Of samples, along an axis.
Statistic = Callable[..., np.ndarray]


def estimate(
    folds: Sequence[Sequence[float]],
    *,
    keys: Sequence[Sequence[str]] | None = None,
    seed: int = 0,
    resamples: int = 9999,
) -> dict[str, float]:
    """The mean over each fold's videos, then over folds, with a 95% bootstrap interval over videos.

    Where every video stands in one fold, videos are resampled within their fold (percentile bootstrap,
    stratified); folds of one video cannot be resampled within, so that all of these form one stratum
    together. Where a video stands in several folds (training sets, overlapping draws), whole videos are
    resampled, each with all that it adds to the mean: its values in several folds are not independent.

    Args:
        folds: one value per video for every fold; NaN where the video has none.
        keys: the videos' keys, shaped as `folds`; without them no video is taken to recur.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Returns:
        `mean`, `low`, `high`, the number of values used (`videos`, different ones where there are keys) and
        of NaNs left out (`missing`). The interval is NaN where it would rest on one video; so is the mean
        where there is none.
    """
    values = [np.asarray(fold, np.float64) for fold in folds]
    names = keys or [[f'{i}/{j}' for j in range(len(fold))] for i, fold in enumerate(values)]
    used = [(np.asarray(n)[~np.isnan(v)], v[~np.isnan(v)]) for n, v in zip(names, values, strict=True)]
    used = [(name, value) for name, value in used if len(value)]
    every = [name for fold, _ in used for name in fold]
    result = {'mean': float('nan'), 'low': float('nan'), 'high': float('nan'), 'videos': len(set(every))}
    result['missing'] = sum(map(len, values)) - len(every)
    if not used:
        return result
    result['mean'] = float(np.mean([value.mean() for _, value in used]))
    if len(set(every)) < 2:
        return result
    if len(set(every)) == len(every):
        samples, statistic = _stratified([value for _, value in used])
    else:
        samples, statistic = _by_video(used)
    if not samples:
        return result
    interval = scipy.stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        batch=max(1, AT_ONCE // len(every)),
        method='percentile',
        paired=statistic is _ratio,
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return result | {'low': float(interval.low), 'high': float(interval.high)}


def _stratified(used: Sequence[np.ndarray]) -> tuple[list[np.ndarray], Statistic]:
    """Strata to resample within, and the mean over folds from one sample of each."""
    strata = [(fold, 1) for fold in used if len(fold) > 1]
    single = np.concatenate([fold for fold in used if len(fold) == 1] or [np.zeros(0)])
    fixed = single.sum() if len(single) == 1 else 0.0
    if len(single) > 1:
        strata.append((single, len(single)))

    def mean_of_folds(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
        sums = [n * sample.mean(axis=axis) for sample, (_, n) in zip(samples, strata, strict=True)]
        return (sum(sums) + fixed) / len(used)

    return [stratum for stratum, _ in strata], mean_of_folds


def _by_video(used: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[list[np.ndarray], Statistic]:
    """What every video adds to the mean of the folds' means, and its weight there."""
    added: dict[str, float] = {}
    weight: dict[str, float] = {}
    for names, values in used:
        for name, value in zip(names, values, strict=True):
            added[name] = added.get(name, 0.0) + value / len(values)
            weight[name] = weight.get(name, 0.0) + 1 / len(values)
    return [np.array(list(added.values())), np.array(list(weight.values()))], _ratio


def _ratio(added: np.ndarray, weight: np.ndarray, axis: int = -1) -> np.ndarray:
    return added.sum(axis=axis) / weight.sum(axis=axis)


def aggregate(per_video: Sequence[Fold], *, seed: int = 0) -> dict[str, dict[str, float]]:
    """The estimate of every metric from the metrics of every fold's videos.

    Args:
        per_video: for every fold, video key to metric to value; an absent metric counts as NaN.
        seed: of the resampling.

    Returns:
        Metric to `estimate`, in the order of first appearance.
    """
    names = dict.fromkeys(name for fold in per_video for metrics in fold.values() for name in metrics)
    keys = [list(fold) for fold in per_video]
    return {
        name: estimate(
            [[m.get(name, np.nan) for m in fold.values()] for fold in per_video], keys=keys, seed=seed
        )
        for name in names
    }


def fold_rows(per_video: Sequence[Fold]) -> list[dict[str, float]]:
    """One row per fold: `fold` (from 0), `videos`, then the mean of each metric; for `write_csv`.

    A video without a value is left out of that metric's mean.
    """
    names = dict.fromkeys(name for fold in per_video for metrics in fold.values() for name in metrics)
    return [
        {'fold': number, 'videos': len(fold)}
        | {n: evaluation.mean_defined([m.get(n, np.nan) for m in fold.values()]) for n in names}
        for number, fold in enumerate(per_video)
    ]


def render(rows: Mapping[str, Mapping[str, Mapping[str, float]]], caption: str = '') -> str:
    """A Markdown table of estimates, each as `cell` shows it.

    Args:
        rows: name of the row to metric to `estimate`.
        caption: a line above the table.

    Returns:
        The table; a value that could not be measured is shown as `–`.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    body = [
        [title, *(cell(name, row[name]) if name in row else '–' for name in names)]
        for title, row in rows.items()
    ]
    headers = ['', *(TITLES.get(name, name) for name in names)]
    table = tabulate.tabulate(body, headers, tablefmt='github', disable_numparse=True)
    return f'{caption}\n\n{table}' if caption else table


def render_over_random(found: Mapping[str, Mapping[str, float | None]]) -> str:
    """One line of F-scores over those of random scores.

    Args:
        found: from `comparison.over_random`; a NaN may be None.

    Returns:
        Such as `F over random's, in % (PoR; F avg, F max): scores 104, 101; human 173, 132.`; '' without F.
    """

    def shown(value: float | None) -> str:
        return '–' if value is None or np.isnan(value) else f'{100 * value:.0f}'

    rows = {name: ', '.join(shown(of[metric]) for metric in ('f_avg', 'f_max')) for name, of in found.items()}
    rows = {name: text for name, text in rows.items() if text != '–, –'}
    listed = '; '.join(f'{name} {text}' for name, text in rows.items())
    return f"F over random's, in % (PoR; F avg, F max): {listed}." if rows else ''


def title(metric: str) -> str:
    """A metric's name for people: `train_kendall_tau` to `train tau`."""
    for name, short in TITLES.items():
        metric = metric.replace(name, short)
    return metric.replace('_', ' ')


def cell(metric: str, value: Mapping[str, float | None]) -> str:
    """One estimate as text: F and mAP in percent, correlations with three decimals, `–` where there is none.

    Args:
        metric: its name.
        value: with `mean`, `low` and `high`, NaN or None where not measured.

    Returns:
        `mean [low, high]`, or the mean alone.
    """
    scale, digits = (100, 1) if metric.startswith(('f_', 'map_')) else (1, 3)

    def shown(number: float | None) -> str:
        if number is None or np.isnan(number):
            return ''
        # adding 0.0 turns a rounded -0.0 into 0.0
        return f'{round(scale * number, digits) + 0.0:.{digits}f}'

    mean, low, high = (shown(value[k]) for k in ('mean', 'low', 'high'))
    if not mean:
        return '–'
    return f'{mean} [{low}, {high}]' if low else mean
