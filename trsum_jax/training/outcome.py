"""What trained parameters come to: scores of all videos, and everything that an experiment leaves to read."""

import functools
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from trsum_jax.files import write_csv, write_json, write_text
from trsum_jax.training import (
    corpus,
    files,
    human_alignment,
    metric_log,
    outputs,
    pictures,
    planted_failures,
    processes,
    report,
    scoring,
)
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.methods import Row
from trsum_jax.training.preparation import Experiment

_DRAWN_VIDEOS = 4


def score(
    experiment: Experiment, params: tuple[Any, ...], labelled: bool
) -> dict[str, list[dict[str, np.ndarray]]]:
    """Scores all videos with every run: the model, and what the method compares it with.

    Args:
        experiment: from `prepare`.
        params: of each stage, of all runs.
        labelled: whether there are people to compare with; without them the model alone is scored.

    Returns:
        By row, for every run, by video key: [n_steps] float32, for `untrained` [heads, n_steps].
    """
    videos, rows = list(experiment.given.dataset.videos.values()), experiment.method.rows
    beside = labelled and experiment.config.evaluation.baselines
    names = list(rows) if beside else [report.MODEL]
    found = {}
    silent = len(names) == 1 or not processes.first()
    with tqdm(total=len(names), unit='row', mininterval=1.0, disable=silent) as bar:
        for name in names:
            bar.set_description(f'scoring all videos: {name}')
            one = functools.partial(_row, rows[name])
            every = scoring.jit_over_runs(one, experiment.how, experiment.mesh)
            found[name] = experiment.feed.score(every, (experiment.runs.key, params))
            bar.update()
    n_runs = len(experiment.places)
    return {
        name: [corpus.per_video(videos, of_run) for of_run in np.asarray(values)[:n_runs]]
        for name, values in found.items()
    }


def _row(row: Row, key_and_params: tuple[Any, tuple[Any, ...]], corpus: Corpus) -> jax.Array:
    return row(*key_and_params, corpus)


def write(experiment: Experiment, params: tuple[Any, ...]) -> str:
    """Writes tables, scores, summaries and pictures; `results.json` last, as the mark of a finished run.

    Args:
        experiment: from `prepare`.
        params: of each stage, of all runs.

    Returns:
        The results as Markdown, with where the pictures are; '' in all processes but the first.
    """
    config, given, workdir = experiment.config, experiment.given, experiment.workdir
    scores = score(experiment, params, given.labelled)
    if not processes.first():
        return ''
    of_model = report.mean_scores(given, scores[report.MODEL], experiment.places)
    empty = [
        key
        for key, values in of_model.items()
        if not outputs.describe_summary(given.dataset.videos[key], values, config.evaluation.budget)[
            'summary_frames'
        ]
    ]
    rows = report.measure(given, scores, config.evaluation, len(experiment.places))
    named = {config.method if name == report.MODEL else name: row for name, row in rows.items()}
    header = {
        'name': config.name,
        'preset': config.preset,
        'method': config.method,
        'dataset': given.dataset.path,
        'empty_summaries': empty,
        'epochs': files.epochs_told(workdir),
    }
    results = report.summarize(given, rows, experiment.places, config.evaluation.rank, header)
    videos, folds = report.csv_rows(given, named, experiment.places)
    write_csv(workdir / 'videos.csv', videos)
    write_csv(workdir / 'folds.csv', folds)
    outputs.write_scores(workdir / files.SCORES, of_model)
    outputs.write_summaries(workdir / files.SUMMARIES, given.dataset, of_model, config.evaluation.budget)
    drawn = workdir / files.PICTURES
    curves = {
        stage.name: metric_log.read(workdir / files.METRICS, stage.name) for stage in experiment.method.stages
    }
    if len(curves) == 2:
        pictures.learning_curves(drawn / 'learning_curves.png', *curves.values())
    else:
        pictures.every_curve(drawn / 'learning_curves.png', config.method, curves[config.method])
    if given.labelled:
        pictures.results(drawn / 'results.png', results)
    pictures.timelines(
        drawn / 'timelines.png',
        [given.dataset.videos[key] for key in given.keys[:_DRAWN_VIDEOS]],
        of_model,
        config.evaluation.budget,
    )
    text = report.render(results)
    if given.labelled and config.evaluation.agreement:
        text += human_alignment.write(experiment, scores)
    if given.labelled and config.data.generate and config.data.synthetic.plant:
        text += planted_failures.write(experiment, scores)
    if not given.labelled:
        text += f'\n{outputs.render_summaries(given.dataset, of_model, config.evaluation.budget)}\n'
    text += f'\nPictures: {drawn}/ ({", ".join(sorted(path.stem for path in drawn.iterdir()))}). '
    text += f'Chosen shots: {workdir}/{files.SUMMARIES}. Scores: {workdir}/{files.SCORES}.\n'
    write_text(workdir / files.TABLE, text)
    write_json(workdir / files.RESULTS, results)
    files.seal(workdir)
    return text
