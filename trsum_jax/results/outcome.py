"""Everything that an experiment leaves to read: tables, scores, summaries, pictures."""

import csv
import os
from collections.abc import Mapping, Sequence

import numpy as np

from trsum_jax.files import replacing, to_json, write_json, write_text
from trsum_jax.results import (
    filenames,
    generators,
    human_alignment,
    metric_log,
    pictures,
    planted_failures,
    report,
    summaries,
)
from trsum_jax.training.stages.gradient_noise import METRICS

_DRAWN_VIDEOS = 4


def write_results(
    of: report.Finished,
    scores: dict[str, list[dict[str, np.ndarray]]],
    stages: Sequence[str],
    epochs: Sequence[Sequence[int]],
) -> str:
    """Writes tables, scores, summaries and pictures; `results.json` last, as the mark of a finished run.

    Args:
        of: the experiment.
        scores: by row, for every run, by video key, from `Experiment.score`.
        stages: their names.
        epochs: of every stage that each session was told to train for.

    Returns:
        The results as Markdown, with where the pictures are.
    """
    config, given, workdir = of.config, of.given, of.workdir
    of_model = report.mean_scores(given, scores[report.MODEL], of.places)
    empty = [
        key
        for key, values in of_model.items()
        if not summaries.describe_summary(given.dataset.videos[key], values, config.evaluation.budget)[
            'summary_frames'
        ]
    ]
    rows = report.measure_rows(given, scores, config.evaluation, len(of.places))
    named = {config.method if name == report.MODEL else name: row for name, row in rows.items()}
    header = {
        'name': config.name,
        'preset': config.preset,
        'method': config.method,
        'dataset': given.dataset.path,
        'empty_summaries': empty,
        'epochs': epochs,
    }
    curves = {name: metric_log.read(workdir / filenames.METRICS, name) for name in stages}
    validation = any(fold.validation for fold in given.folds)
    header['selection'] = generators.selection(curves, validation)
    if len(curves) == 2:
        rewards = bool(config.summarizer.reward_terms.get('reconstruction'))
        header['generator'] = generators.standing(curves[stages[0]], validation) | {'rewards': rewards}
        header['policy'] = generators.run_off(curves[stages[1]])
    results = report.results_of(given, rows, of.places, config.evaluation.rank, header)
    videos, folds = report.csv_rows(given, named, of.places)
    write_csv(workdir / 'videos.csv', videos)
    write_csv(workdir / 'folds.csv', folds)
    summaries.write_scores(workdir / filenames.SCORES, of_model)
    summaries.write_summaries(
        workdir / filenames.SUMMARIES, given.dataset, of_model, config.evaluation.budget
    )
    drawn = workdir / filenames.PICTURES
    if len(curves) == 2:
        pictures.learning_curves(drawn / 'learning_curves.png', *curves.values())
        if noise := {name: curves[stages[1]][name] for name in METRICS if name in curves[stages[1]]}:
            pictures.every_curve(drawn / 'gradient_noise.png', 'policy gradient of a batch', noise)
    else:
        pictures.every_curve(drawn / 'learning_curves.png', config.method, curves[config.method])
    if given.labelled:
        pictures.results_of_rows(drawn / 'results.png', results)
    pictures.timelines(
        drawn / 'timelines.png',
        [given.dataset.videos[key] for key in given.keys[:_DRAWN_VIDEOS]],
        of_model,
        config.evaluation.budget,
    )
    text = report.render_results(results)
    if len(curves) == 2:
        text += generators.render_standing(results['generator'])
        text += generators.render_run_off(results['policy'])
    if given.labelled and config.evaluation.agreement:
        text += human_alignment.write_agreement(of, scores)
    if given.labelled and config.data.generate and config.data.synthetic.plant:
        text += planted_failures.write_failures(of, scores)
    if not given.labelled:
        text += f'\n{summaries.render_summaries(given.dataset, of_model, config.evaluation.budget)}\n'
    text += f'\nPictures: {drawn}/ ({", ".join(sorted(path.stem for path in drawn.iterdir()))}). '
    text += f'Chosen shots: {workdir}/{filenames.SUMMARIES}. Scores: {workdir}/{filenames.SCORES}.\n'
    write_text(workdir / filenames.TABLE, text)
    write_json(workdir / filenames.RESULTS, results)
    return text


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
