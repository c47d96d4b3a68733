"""What a finished experiment says in a study: every metric, by seed and video, or by seed and fold."""

import csv
import io
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.experiment import methods
from trsum_jax.files import read_json
from trsum_jax.protocol import comparison, evaluation, stability, tables
from trsum_jax.protocol.comparison import Cells
from trsum_jax.results import filenames, metric_log, planted_failures

_SETS = {'test': '', 'train': 'train_'}
# What is measured of runs, not of videos: in the last epoch of their stage.
_LOGGED = tuple(dict.fromkeys(name for names in methods.LOGGED.values() for name in names))
METRICS = (
    *(
        f'{part}{of}{metric}'
        for part in _SETS.values()
        for of in ('', 'one_out_')
        for metric in evaluation.METRICS
    ),
    *_LOGGED,
    *(f'{name}_{measure}' for name in _LOGGED for measure in stability.MEASURES),
    *planted_failures.METRICS,
)


def measure_run(workdir: pathlib.Path) -> dict[str, Cells]:
    """Every metric of one variant, by seed and video (or fold).

    Args:
        workdir: of a finished experiment.

    Returns:
        By metric: `kendall_tau` and the others of held-out videos, `train_…` of training videos,
        `one_out_…` of the generator's one-out loss as a score; what the log holds of the last epoch, and
        `reward_TVn` and the like of a curve of 3 epochs or more (`protocol.stability`); on planted data what
        `failures.json` holds. Metrics without a value are left out.
    """
    rows = _rows(workdir)
    model = read_json(workdir / filenames.RESULTS, 'method')['method']
    cells = {
        f'{prefix}{of}{metric}': comparison.from_folds(_chosen(rows, row, part), metric)
        for row, of in ((model, ''), ('one_out', 'one_out_'))
        for part, prefix in _SETS.items()
        for metric in evaluation.METRICS
    }
    cells |= _of_log(workdir, methods.STAGES[model])
    planted = workdir / f'{planted_failures.NAME}.json'
    if planted.exists():
        runs = [
            run
            | {name: float('nan' if run[name] is None else run[name]) for name in planted_failures.METRICS}
            for run in read_json(planted, 'runs')['runs']
        ]
        cells |= {name: comparison.from_folds(runs, name) for name in planted_failures.METRICS}
    return {name: of for name, of in cells.items() if of}


def rows(workdir: pathlib.Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rows that stand beside the model in one experiment.

    Args:
        workdir: of a finished experiment.
        names: of the rows, such as `one_out`.

    Returns:
        By row, where there is one, by metric: the interval.
    """
    found = _rows(workdir)
    there = {row['row'] for row in found}
    cells = {
        (row, f'{prefix}{metric}'): comparison.from_folds(_chosen(found, row, part), metric)
        for row in names
        if row in there
        for part, prefix in _SETS.items()
        for metric in evaluation.METRICS
    }
    told: dict[str, dict[str, Any]] = {}
    for (row, metric), one in comparison.intervals(cells).items():
        told.setdefault(row, {})[metric] = one
    return told


def videos(workdir: pathlib.Path) -> dict[str, Any]:
    """What makes one experiment's videos what they are: their features, and where people's judgement is from.

    Args:
        workdir: of a finished experiment.

    Returns:
        Equal for two experiments where their cells can be paired.
    """
    data = read_json(workdir / filenames.CONFIG, 'data')['data']
    people = {name: data[name] for name in ('file', 'generate', 'user_scores', 'synthetic')}
    return {'features': read_json(workdir / filenames.RECORD, 'videos')['videos'], 'people': people}


def in_percent(metric: str) -> bool:
    """Whether a metric, such as `train_f_avg` or `f_avg on NAME`, is an F-score."""
    return 'f_' in metric.split(' on ')[0]


def title(metric: str) -> str:
    """A metric's name for people; NAME of `METRIC on NAME` stays as it is."""
    own, *on = metric.split(' on ', 1)
    return ' on '.join([tables.title(own), *on])


def _of_log(workdir: pathlib.Path, stages: Sequence[str]) -> dict[str, Cells]:
    places = [(seed, f'fold {fold}') for seed, fold in read_json(workdir / filenames.RECORD, 'runs')['runs']]
    cells: dict[str, Cells] = {}
    for stage in stages:
        logged = metric_log.read(workdir / filenames.METRICS, stage)
        for name, every in ((name, logged[name]) for name in methods.LOGGED[stage] if name in logged):
            _, curves = metric_log.of_told(every)
            values = {name: curves[:, -1]}
            if curves.shape[1] >= 3:
                values |= {f'{name}_{key}': of(curves) for key, of in stability.MEASURES.items()}
            for metric, of_runs in values.items():
                cells[metric] = {
                    place: (float(value), 1.0)
                    for place, value in zip(places, of_runs, strict=True)
                    if not np.isnan(value)
                }
    return cells


def _rows(workdir: pathlib.Path) -> list[dict[str, Any]]:
    path = workdir / 'videos.csv'
    try:
        text = path.read_text(encoding='utf-8')
        if not text.endswith('\n') or 'seed' not in text.partition('\n')[0]:
            raise ValueError('no header, or an unfinished line')
        return [
            row
            | {name: int(row[name]) for name in ('seed', 'fold')}
            | {metric: float(row[metric] or 'nan') for metric in evaluation.METRICS}
            for row in csv.DictReader(io.StringIO(text, newline=''))
        ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f'{path}: expected the metrics of every video, found it damaged ({error}); delete it and start '
            'the same command again'
        ) from error


def _chosen(rows: Sequence[dict[str, Any]], row: str, part: str) -> list[dict[str, Any]]:
    return [one for one in rows if one['row'] == row and one['set'] == part]
