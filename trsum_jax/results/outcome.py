"""What an experiment leaves to read: tables, scores, summaries, pictures; and whether all of it is there."""

import csv
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.files import numbered, read_json, replacing, sha256, shown, to_json, write_json, write_text
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
from trsum_jax.runtime import processes
from trsum_jax.training.stages.gradient_noise import METRICS

_DRAWN_VIDEOS = 4


def write_results(
    of: report.Finished,
    scores: dict[str, list[dict[str, np.ndarray]]],
    stages: Sequence[str],
    epochs: Sequence[Sequence[int]],
) -> str:
    """Writes tables, scores, summaries and pictures; `results.json` last, as the mark of a finished run.

    Results of another evaluation are moved into a folder `before`, and stay.

    Args:
        of: the experiment.
        scores: by row, for every run, by video key, from `Experiment.score`.
        stages: their names.
        epochs: of every stage that each session was told to train for.

    Returns:
        The results as Markdown, with where the pictures are.
    """
    config, given, workdir = of.config, of.given, of.workdir
    evaluation = evaluation_of(config)
    _keep_others(workdir, evaluation)
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
        'evaluation': evaluation,
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


def evaluation_of(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """What results are made by, in JSON's types: the config's `evaluation`, but further rows."""
    return to_json({name: value for name, value in config.evaluation.items() if name != 'rows'})


def _keep_others(workdir: pathlib.Path, evaluation: Mapping[str, Any]) -> None:
    """Moves results of another evaluation into a folder of their own."""
    try:
        there = read_json(workdir / filenames.RESULTS)
    except InputError:
        return
    if not _evaluated_otherwise(there, evaluation):
        return
    folder = next(one for one in numbered(workdir / filenames.BEFORE) if not one.exists())
    folder.mkdir()
    # The last one is the mark of results that are all there.
    tables = filenames.TABLE, *filenames.DIGESTED, *filenames.BESIDE, filenames.PICTURES, filenames.RESULTS
    for name in tables:
        if (workdir / name).exists():
            (workdir / name).rename(folder / name)


def _evaluated_otherwise(results: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[str]:
    """Lines for what results are made by and should not be; fields that they do not tell are as they were."""
    there = results.get('evaluation', {})
    return [
        f'evaluation.{name}: {there[name]} there, {value} now'
        for name, value in evaluation.items()
        if there.get(name, value) != value
    ]


def seal(workdir: pathlib.Path) -> None:
    """Notes the files that were made from the checkpoints, for `finished` to see what is lost.

    Args:
        workdir: of an experiment whose results are all there.
    """
    names = [filenames.RESULTS, *filenames.DIGESTED, *filenames.BESIDE]
    made = [workdir / name for name in names if (workdir / name).is_file()]
    made += [path for path in sorted((workdir / filenames.PICTURES).rglob('*')) if path.is_file()]
    digests = {path.relative_to(workdir).as_posix(): sha256(path) for path in made}
    write_json(workdir / filenames.CHECKPOINTS / filenames.MADE, digests)


def finished(
    workdir: pathlib.Path, complete: bool, rows: Mapping[str, str], evaluation: Mapping[str, Any]
) -> str:
    """The table of a finished experiment.

    Args:
        workdir: of an experiment.
        complete: whether the last checkpoints of all stages are there.
        rows: digests of anybody's scores that are to stand in it.
        evaluation: what it is to be made by, from `evaluation_of`.

    Returns:
        The text; '' where the results have to be made, or to be made again, which is said.

    Raises:
        InputError: the table is lost, or of other rows or another evaluation, and the checkpoints that it is
            made from are gone.
    """
    if not (workdir / filenames.RESULTS).exists():
        return ''
    lost, text = _lost(workdir), _table(workdir)
    lost += [] if text else [filenames.TABLE]
    there = {} if filenames.RESULTS in lost else read_json(workdir / filenames.RESULTS)
    otherwise = _evaluated_otherwise(there, evaluation)
    if there and there.get('rows', {}) != rows:
        otherwise.append('other rows')
    if otherwise and complete:
        processes.say(
            f'note: {shown(workdir)} has a table of another evaluation ({"; ".join(otherwise)}); made again '
            'from the checkpoints'
        )
        return ''
    if otherwise:
        raise InputError(
            f'{shown(workdir)}: expected the evaluation and the further rows of its table, since the '
            f'checkpoints that a table is made from are gone, found others ({"; ".join(otherwise)}). '
            f'trsum evaluate --dataset=FILE --scores={shown(workdir / filenames.SCORES)} evaluates its '
            'scores, and --rows=NAME=FILE compares with them'
        )
    if not lost:
        return text
    told = f'{shown(workdir)}: {", ".join(lost)}: lost or changed since written'
    if complete or filenames.RESULTS in lost:
        processes.say(f'note: {told}; made again from the checkpoints')
        return ''
    if not text:
        raise InputError(
            f'{told}, and the checkpoints that it is made from are gone. All its figures are in '
            f'{filenames.RESULTS}; without that file the same command trains again.'
        )
    processes.say(f'note: {told}; without checkpoints it cannot be made again')
    return text


def _lost(workdir: pathlib.Path) -> list[str]:
    """Names of the results that are not what they were; the table apart, which people may edit."""
    try:
        read_json(workdir / filenames.RESULTS)
    except InputError:
        return [filenames.RESULTS]
    try:
        digests = read_json(workdir / filenames.CHECKPOINTS / filenames.MADE)
    except InputError:
        digests = {}
    names = dict.fromkeys([*filenames.DIGESTED, *digests])
    return [
        name
        for name in names
        if not (path := workdir / name).is_file() or digests.get(name) not in (None, sha256(path))
    ]


def _table(workdir: pathlib.Path) -> str:
    """The text of the table; '' where it is not whole."""
    try:
        text = (workdir / filenames.TABLE).read_text(encoding='utf-8')
    except (OSError, ValueError):
        return ''
    return text if text.startswith('# ') and f'{filenames.SCORES}.' in text else ''
