"""What trained parameters come to: scores of all videos, and everything that an experiment leaves to read."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
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
    stages,
)
from trsum_jax.training.preparation import Experiment
from trsum_jax.training.steps import Run, over, stream

_DRAWN_VIDEOS = 4


def score(
    experiment: Experiment, generator: Any, summarizer: Any, labelled: bool
) -> dict[str, list[dict[str, np.ndarray]]]:
    """Scores all videos with every run: the model, its untrained heads, and the one-out loss.

    Args:
        experiment: from `prepare`.
        generator: parameters of all runs.
        summarizer: parameters of all runs.
        labelled: whether there are people to compare with; without them the model alone is scored.

    Returns:
        By row, for every run, by video key: [n_steps] float32, for `untrained` [heads, n_steps].
    """
    evaluated = experiment.config.evaluation
    beside = labelled and evaluated.baselines
    videos = list(experiment.given.dataset.videos.values())
    importance = functools.partial(scoring.importance, experiment.summarizer)
    scored: dict[str, tuple[Callable, Any]] = {report.MODEL: (importance, summarizer)}
    if beside:
        untrained = functools.partial(_untrained, experiment, importance, videos[0].features.shape[1])
        scored['untrained'] = untrained, (experiment.runs.key, generator)
    if beside and evaluated.one_out and experiment.generator is not None:
        for window in (1, *evaluated.one_out_windows):
            one_out = functools.partial(scoring.one_out_loss, experiment.generator, window=window)
            scored['one_out' if window == 1 else f'one_out_{window}'] = one_out, generator
    rows = {}
    silent = len(scored) == 1 or not processes.first()
    with tqdm(total=len(scored), unit='row', mininterval=1.0, disable=silent) as bar:
        for name, (function, params) in scored.items():
            bar.set_description(f'scoring all videos: {name}')
            every = scoring.jit_over_runs(function, experiment.how, experiment.mesh)
            rows[name] = experiment.feed.score(every, params)
            bar.update()
    n_runs = len(experiment.places)
    return {
        name: [corpus.per_video(videos, of_run) for of_run in np.asarray(values)[:n_runs]]
        for name, values in rows.items()
    }


def _untrained(experiment: Experiment, importance: Callable, width: int, one: Any, corpus: Any) -> jax.Array:
    """Scores by untrained heads on one run's generator, [heads, F]."""
    key, generator = one
    keys = jax.random.split(stream(key, 'untrained heads'), experiment.config.evaluation.untrained_heads)

    def head(key):
        if experiment.generator is None:
            run = Run(key, jnp.zeros(1, jnp.int32), jnp.ones(1))
            return importance(experiment.stages[0].init(run, ()).params, corpus)
        params = stages.init_summarizer(experiment.config, experiment.summarizer, key, generator, width)
        return importance(params, corpus)

    return over('map', head, keys)


def write(experiment: Experiment, generator: Any, summarizer: Any) -> str:
    """Writes tables, scores, summaries and pictures; `results.json` last, as the mark of a finished run.

    Args:
        experiment: from `prepare`.
        generator: parameters of all runs.
        summarizer: parameters of all runs.

    Returns:
        The results as Markdown, with where the pictures are; '' in all processes but the first.
    """
    config, given, workdir = experiment.config, experiment.given, experiment.workdir
    scores = score(experiment, generator, summarizer, given.labelled)
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
    curves = {stage.name: metric_log.read(workdir / files.METRICS, stage.name) for stage in experiment.stages}
    if config.method == 'trsum':
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
