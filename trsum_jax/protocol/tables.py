"""Metrics of videos to means with intervals, and those to Markdown, JSON and CSV."""

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tabulate
from scipy import stats

from trsum_jax.errors import InputError
from trsum_jax.protocol import evaluation

TITLES = {'f_avg': 'F avg, %', 'f_max': 'F max, %', 'kendall_tau': 'tau', 'spearman_rho': 'rho'}

Metrics = Mapping[str, float]
Fold = Mapping[str, Metrics]


def estimate(folds: Sequence[Sequence[float]], *, seed: int = 0, resamples: int = 9999) -> dict[str, float]:
    """The mean over each fold's videos, then over folds, with a 95% bootstrap interval over videos.

    Videos are resampled within their fold (percentile bootstrap, stratified). Folds of one video cannot be
    resampled within, so that all of these form one stratum together. A video in several folds counts as
    several.

    Args:
        folds: one value per video for every fold; NaN where the video has none.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Returns:
        `mean`, `low`, `high`, the number of values used (`videos`) and of NaNs left out (`missing`). The
        interval is NaN where no stratum has two videos; so is the mean where there is none.
    """
    values = [np.asarray(fold, np.float64) for fold in folds]
    used = [fold[~np.isnan(fold)] for fold in values]
    videos = sum(map(len, used))
    result = {'mean': float('nan'), 'low': float('nan'), 'high': float('nan'), 'videos': videos}
    result['missing'] = sum(map(len, values)) - videos
    used = [fold for fold in used if len(fold)]
    if not used:
        return result
    result['mean'] = float(np.mean([fold.mean() for fold in used]))

    strata = [(fold, 1) for fold in used if len(fold) > 1]
    single = np.concatenate([fold for fold in used if len(fold) == 1] or [np.zeros(0)])
    fixed = single.sum() if len(single) == 1 else 0.0
    if len(single) > 1:
        strata.append((single, len(single)))
    if not strata:
        return result

    def mean_of_folds(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
        sums = [n * sample.mean(axis=axis) for sample, (_, n) in zip(samples, strata, strict=True)]
        return (sum(sums) + fixed) / len(used)

    interval = stats.bootstrap(
        [stratum for stratum, _ in strata],
        mean_of_folds,
        n_resamples=resamples,
        method='percentile',
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return result | {'low': float(interval.low), 'high': float(interval.high)}


def aggregate(per_video: Sequence[Fold], *, seed: int = 0) -> dict[str, dict[str, float]]:
    """The estimate of every metric from the metrics of every fold's videos.

    Args:
        per_video: for every fold, video key to metric to value; an absent metric counts as NaN.
        seed: of the resampling.

    Returns:
        Metric to `estimate`, in the order of first appearance.
    """
    names = dict.fromkeys(name for fold in per_video for metrics in fold.values() for name in metrics)
    return {
        name: estimate([[m.get(name, np.nan) for m in fold.values()] for fold in per_video], seed=seed)
        for name in names
    }


def video_rows(per_video: Sequence[Fold]) -> list[dict]:
    """One row per fold and video: `fold` (from 0), `video`, then its metrics; for `write_csv`."""
    return [
        {'fold': number, 'video': key, **metrics}
        for number, fold in enumerate(per_video)
        for key, metrics in fold.items()
    ]


def fold_rows(per_video: Sequence[Fold]) -> list[dict]:
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
    """A Markdown table of estimates: `mean [low, high]`, F in percent, correlations with three decimals.

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


def cell(metric: str, value: Mapping[str, float | None]) -> str:
    """One estimate as text: F in percent, correlations with three decimals, `–` where there is none.

    Args:
        metric: its name.
        value: with `mean`, `low` and `high`, NaN or None where not measured.

    Returns:
        `mean [low, high]`, or the mean alone.
    """
    if _unknown(value['mean']):
        return '–'
    scale, digits = (100, 1) if metric.startswith('f_') else (1, 3)
    # adding 0.0 turns a rounded -0.0 into 0.0
    mean, low, high = (
        '' if _unknown(value[k]) else f'{round(scale * value[k], digits) + 0.0:.{digits}f}'
        for k in ('mean', 'low', 'high')
    )
    return mean if _unknown(value['low']) else f'{mean} [{low}, {high}]'


def _unknown(value: float | None) -> bool:
    return value is None or bool(np.isnan(value))


def to_json(obj: object) -> object:
    """The same tree in plain types that strict JSON knows; NaN and infinities, unknown to it, become null.

    Args:
        obj: mappings, sequences, arrays, numpy and Python scalars, paths.

    Returns:
        dicts with string keys, lists, str, int, float, bool and None.
    """
    if isinstance(obj, Mapping):
        return {str(key): to_json(value) for key, value in obj.items()}
    if isinstance(obj, np.ndarray | np.generic):
        return to_json(obj.tolist())
    if isinstance(obj, list | tuple):
        return [to_json(value) for value in obj]
    if isinstance(obj, float):
        return obj if np.isfinite(obj) else None
    return str(obj) if isinstance(obj, pathlib.PurePath) else obj


def write_json(path: str | os.PathLike, obj: object) -> None:
    """Writes strict JSON (see `to_json`), whole or not at all.

    Args:
        path: the file; replaced where it exists.
        obj: what `to_json` takes.
    """
    with replacing(path) as temporary:
        text = json.dumps(to_json(obj), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(f'{text}\n', encoding='utf-8')


def write_csv(path: str | os.PathLike, rows: Sequence[Mapping[str, object]]) -> None:
    """Writes rows as CSV with a header, whole or not at all; a NaN is an empty cell.

    Args:
        path: the file; replaced where it exists.
        rows: column to value; the columns are those of all rows, in the order of first appearance.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with replacing(path) as temporary, temporary.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(to_json(rows))


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary name in the file's folder, which takes the file's place if all goes well.

    Args:
        path: the file to write; its folder is made where it is missing.

    Raises:
        InputError: where the file cannot be written.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(f'{path}: cannot be written ({error})') from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
