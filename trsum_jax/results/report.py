"""Scores of all runs to the results of an experiment: means, intervals, per-video and per-fold tables."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np
from tqdm import tqdm

from trsum_jax.data.folded import Inputs
from trsum_jax.data.records import Video
from trsum_jax.protocol import baselines, comparison, evaluation, highlights, tables
from trsum_jax.results import generators
from trsum_jax.training.runs import Place

# The row of the trained model, a rival's too.
MODEL = 'trsum'
# What may stand beside it, and in what else is written of them.
ROWS = (
    'untrained',
    'one_out',
    'rs_sum',
    'random',
    'uniform',
    'distance_to_mean',
    'change',
    'human',
    'people',
)
SETS = {'test': 'held-out videos', 'train': 'training videos'}
# Below the tables of planted people; the figures are those of docs/real.md.
REAL_PEOPLE = (
    'These people are planted. On 14 real SumMe videos, held out, tau is .045 [.011, .082] by the default, '
    'and .226 [.165, .292] between people (docs/real.md).'
)


@dataclasses.dataclass(frozen=True)
class Finished:
    """What results are made of, beside the scores.

    Attributes:
        config: the whole config, checked.
        workdir: where all files go.
        given: videos and folds.
        places: the grid, [R].
    """

    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    given: Inputs
    places: list[Place]


# For every run of the grid: video key -> metric -> value.
RunMetrics = list[dict[str, dict[str, float]]]


def measure_rows(
    inputs: Inputs, scores: dict[str, list[dict[str, np.ndarray]]], settings: Any, n_runs: int
) -> dict[str, RunMetrics]:
    """The metrics of every row of the table, for every run and video.

    Args:
        inputs: videos and folds.
        scores: by row, for every run, by video key, [n_steps] or [K, n_steps] (K heads, averaged).
        settings: the config's `evaluation`.
        n_runs: R.

    Returns:
        By row, R dictionaries of metrics by video key.
    """
    options = {'budget': settings.budget, 'rank_form': settings.rank}
    videos = [inputs.dataset.videos[key] for key in inputs.keys]
    rows: dict[str, RunMetrics] = {}
    # By `summary` random scores stand in every table: without them it cannot be read.
    if inputs.labelled and (settings.baselines or settings.rank == evaluation.SUMMARY):
        once: dict[str, dict[str, dict[str, float]]] = {}
        for video in tqdm(videos, desc='evaluation: baselines', unit='video', mininterval=1.0):
            told = options | {'draws': settings.random_draws}
            if settings.baselines:
                rows_of_video = baselines.without_model(video, **told)
            else:
                rows_of_video = {'random': baselines.random_row(video, **told)}
            for name, metrics in rows_of_video.items():
                once.setdefault(name, {})[video.key] = metrics
        rows |= {name: [metrics] * n_runs for name, metrics in once.items()}
    for name, of in inputs.rows.items():
        rows[name] = [{video.key: _mean_metrics(video, of[video.key], options) for video in videos}] * n_runs
    for name, runs in scores.items():
        rows[name] = [
            {video.key: _mean_metrics(video, run[video.key], options) for video in videos}
            for run in tqdm(runs, desc=f'evaluation: {name}', unit='run', mininterval=1.0)
        ]
    return rows


def results_of(
    inputs: Inputs, rows: dict[str, RunMetrics], grid: Sequence[Place], rank: str, header: dict[str, Any]
) -> dict[str, Any]:
    """Everything that `results.json` holds.

    Args:
        inputs: videos and folds.
        rows: from `measure`.
        grid: the run at each index.
        rank: the config's `evaluation.rank`.
        header: what else to record, first.

    Returns:
        `mean` and `train_mean` of the model, `baselines` and `train_baselines` by row, each by metric
        (`tables.estimate`); `over_random` and `train_over_random` (`comparison.over_random`); `differences`
        and `train_differences` of the model and each of them, by row (`comparison.differences`); `rows`:
        digests of those that are anybody's scores; `seeds` and `train_seeds`: mean and standard deviation
        over seeds of these means; `videos`: the model's metrics per held-out video, averaged over the runs
        that held it out (over all runs where no fold tests it).
    """
    sets = {part: {name: _folds(inputs, runs, grid, part) for name, runs in rows.items()} for part in SETS}
    estimates = {
        part: {name: tables.aggregate(folds) for name, folds in of_rows.items()}
        for part, of_rows in sets.items()
    }
    over_random = {
        part: comparison.over_random(of_rows) if 'random' in of_rows else {} for part, of_rows in sets.items()
    }
    empty = {metric: tables.estimate([]) for metric in evaluation.METRICS}
    held_out, training = estimates['test'], estimates['train']
    videos, (listed, _) = inputs.dataset.videos, csv_rows(inputs, rows, grid)
    evaluated = [videos[key] for key in inputs.keys]
    against = sorted({name for video in evaluated if (name := evaluation.rank_against(video, rank))})
    return header | {
        'split': inputs.split,
        'held_out': any(fold.test for fold in inputs.folds),
        'synthetic': inputs.dataset.synthetic,
        'notes': list(inputs.dataset.notes),
        'rank_against': ', '.join(against) or None,
        'rounding': 'down' if any(highlights.one_rating(v) is not None for v in evaluated) else None,
        'labelled': inputs.labelled,
        'constant_references': sum(evaluation.constant_references(v, rank) for v in evaluated),
        'mean': held_out[MODEL] or empty,
        'train_mean': training[MODEL] or empty,
        'seeds': _over_seeds(inputs, rows[MODEL], grid, 'test'),
        'train_seeds': _over_seeds(inputs, rows[MODEL], grid, 'train'),
        'baselines': {name: held_out[name] or empty for name in rows if name != MODEL},
        'train_baselines': {name: training[name] or empty for name in rows if name != MODEL},
        'over_random': over_random['test'],
        'train_over_random': over_random['train'],
        'differences': _differences(listed, 'test'),
        'train_differences': _differences(listed, 'train'),
        'rows': inputs.digests_of_rows(),
        'videos': per_video(inputs, rows[MODEL], grid),
    }


def render_results(results: dict[str, Any]) -> str:
    """The results as Markdown: a table for held-out videos and one for training videos.

    Args:
        results: from `summarize`.

    Returns:
        The text that the main job prints and writes to `results.md`.
    """
    data = 'synthetic data' if results['synthetic'] else str(results['dataset'])
    lines = [f'# {results["name"]} ({results["preset"]}): {data}, {results["split"]}']
    lines.append(f'\n{generators.render_selection(results["selection"])}')
    lines += [f'\nNote: {note}' for note in results['notes']]
    if results['empty_summaries']:
        empty = ', '.join(results['empty_summaries'])
        lines.append(f'\nWarning: no shot of positive score fits the budget, the summary is empty: {empty}')
    if not results['labelled']:
        return (
            '\n'.join([*lines, '\nThere are no people to compare with: no figures, only summaries.']) + '\n'
        )
    parts = [('train_', 'train')]
    if results['held_out']:
        parts.insert(0, ('', 'test'))
    for prefix, part in parts:
        mean, others = f'{prefix}mean', f'{prefix}baselines'
        rows = {results['method']: results[mean]} | results[others]
        caption = (
            f'\n## On {SETS[part]}\n\nMean [95% bootstrap interval over videos]; '
            f'rank correlation against: {results["rank_against"]}.'
        )
        caption += ' mAP: segments of 5 s, their number rounded down.' if results['rounding'] else ''
        lines.append(tables.render(rows, caption))
        if evaluation.SUMMARY in (results['rank_against'] or ''):
            lines.append(f'\n{evaluation.NOT_NEUTRAL}')
        if line := tables.render_over_random(results[f'{prefix}over_random']):
            lines.append(f'\n{line}')
        lines.append(_render_differences(results, prefix))
        # The uniform choice is a summary and has no ranks at all.
        unranked = {name: row['kendall_tau']['missing'] for name, row in rows.items() if name != 'uniform'}
        if any(unranked.values()):
            counts = ', '.join(f'{name} {count}' for name, count in unranked.items() if count)
            lines.append(f'\nLeft out of tau and rho (constant scores, or no users), videos: {counts}.')
        seeds = results['seeds' if part == 'test' else 'train_seeds']
        if seeds['count'] > 1:
            spread = ', '.join(
                f'{tables.TITLES[name].removesuffix(", %")} {of["mean"]:.3f} ± {of["std"]:.3f}'
                for name, of in seeds.items()
                if name in tables.TITLES
            )
            shares = 'F and mAP as shares' if results['rounding'] else 'F as a share'
            lines.append(
                f'\n{results["method"]} over {seeds["count"]} seeds, mean ± std ({shares}): {spread}.'
            )
    if results['constant_references']:
        lines.append(
            f'\n{results["constant_references"]} references rate all steps alike: they have no rank and are '
            "left out of their video's mean."
        )
    if results['synthetic']:
        lines.append(f'\n{REAL_PEOPLE}')
    return '\n'.join(lines) + '\n'


def _render_differences(results: dict[str, Any], prefix: str) -> str:
    found, method, seeds = results[f'{prefix}differences'], results['method'], results['seeds']['count']
    if not found:
        return ''
    over = f'{seeds} seeds and all videos' if seeds > 1 else 'videos alone, as there is one seed'
    caption = f'\n{method} less each other row, on the same seeds and videos [95% interval over {over}]:'
    return tables.render({f'less {name}': of for name, of in found.items()}, caption)


def per_video(inputs: Inputs, runs: RunMetrics, grid: Sequence[Place]) -> dict[str, dict[str, Any]]:
    """A row's metrics per video, over the runs that held it out; over all runs where none did."""
    found = {}
    for key in inputs.keys:
        tested = holding_out(inputs, key, grid)
        chosen = tested or range(len(grid))
        found[key] = {'held_out': bool(tested)} | {
            metric: evaluation.mean_defined([runs[i][key][metric] for i in chosen])
            for metric in evaluation.measured(run[key] for run in runs)
        }
    return found


def mean_scores(
    inputs: Inputs, runs: Sequence[dict[str, np.ndarray]], grid: Sequence[Place]
) -> dict[str, np.ndarray]:
    """Every evaluated video's scores, averaged over the runs that held it out; over all where none did.

    Args:
        inputs: videos and folds.
        runs: for every run, by video key, [..., n_steps].
        grid: the run at each index.

    Returns:
        By video key, [..., n_steps].
    """
    return {
        key: np.mean([runs[i][key] for i in holding_out(inputs, key, grid) or range(len(grid))], axis=0)
        for key in inputs.keys
    }


def holding_out(inputs: Inputs, key: str, grid: Sequence[Place]) -> list[int]:
    """The runs in which a video is a test video."""
    return [i for i, place in enumerate(grid) if key in inputs.tested[place.fold]]


def csv_rows(
    inputs: Inputs, rows: dict[str, RunMetrics], grid: Sequence[Place]
) -> tuple[list[dict], list[dict]]:
    """Rows of the per-video and of the per-fold file: row, seed, set, fold, video, metrics."""
    videos, folds = [], []
    for name, runs in rows.items():
        for metrics, place in zip(runs, grid, strict=True):
            for part in SETS:
                chosen = {key: metrics[key] for key in _members(inputs, place.fold, part)}
                at = {'row': name, 'set': part, 'seed': place.seed, 'fold': place.fold}
                videos += [at | {'video': key} | values for key, values in chosen.items()]
                folds += [at | {'videos': len(chosen)} | _mean_over(chosen.values())] if chosen else []
    return videos, folds


def _differences(videos: Sequence[dict], part: str) -> dict:
    """Of the model and each other row, from the rows of the per-video file."""
    by_row: dict[str, list[dict]] = {}
    for one in videos:
        if one['set'] == part:
            by_row.setdefault(one['row'], []).append(one)
    return comparison.differences(by_row, MODEL) if by_row else {}


def _mean_metrics(video: Video, scores: np.ndarray, options: dict[str, Any]) -> dict[str, float]:
    return _mean_over([evaluation.evaluate_video(video, one, **options) for one in np.atleast_2d(scores)])


def _mean_over(several: Any) -> dict[str, float]:
    several = list(several)
    return {
        name: evaluation.mean_defined([metrics.get(name, np.nan) for metrics in several])
        for name in evaluation.measured(several)
    }


def _members(inputs: Inputs, fold: int, part: str) -> list[str]:
    chosen = inputs.tested[fold] if part == 'test' else frozenset(inputs.folds[fold].train)
    return [key for key in inputs.keys if key in chosen]


def _folds(inputs: Inputs, runs: RunMetrics, grid: Sequence[Place], part: str) -> list[dict]:
    """For every fold its videos' metrics, averaged over seeds; folds without such videos are left out."""
    folds = []
    for fold in range(len(inputs.folds)):
        same = [runs[i] for i, place in enumerate(grid) if place.fold == fold]
        members = _members(inputs, fold, part)
        if members:
            folds.append({key: _mean_over(run[key] for run in same) for key in members})
    return folds


def _over_seeds(inputs: Inputs, runs: RunMetrics, grid: Sequence[Place], part: str) -> dict[str, Any]:
    seeds = list(dict.fromkeys(place.seed for place in grid))
    means = []
    for seed in seeds:
        own = [i for i, place in enumerate(grid) if place.seed == seed]
        folds = _folds(inputs, [runs[i] for i in own], [grid[i] for i in own], part)
        means.append(_mean_over(_mean_over(fold.values()) for fold in folds))
    spread = {
        metric: {
            'mean': float(np.mean([mean[metric] for mean in means])),
            'std': float(np.std([mean[metric] for mean in means], ddof=1))
            if len(seeds) > 1
            else float('nan'),
        }
        for metric in evaluation.measured(means)
    }
    return {'count': len(seeds)} | spread
