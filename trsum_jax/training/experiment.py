"""One experiment: inputs, both stages over the whole grid, scores, results, all in one workdir."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.method.models import Generator, Summarizer, count_parameters
from trsum_jax.protocol import tables
from trsum_jax.training import (
    checkpoint,
    compilation,
    corpus,
    files,
    grid,
    inputs,
    metric_log,
    outputs,
    pictures,
    report,
    scoring,
    settings,
    stages,
)
from trsum_jax.training.steps import Run, how_here, over, stream

_DRAWN_VIDEOS = 4


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that training and scoring share.

    Attributes:
        config: the whole config, checked.
        workdir: where all files go.
        given: videos and folds.
        corpus: their segments on the device.
        places: the grid, [R].
        runs: the inputs of every run, stacked [R].
        generator, summarizer: the modules.
        stages: stage 1 and stage 2.
        how: the runs' layout, `map` or `vmap`.
    """

    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    given: inputs.Inputs
    corpus: corpus.Corpus
    places: list[grid.Place]
    runs: Run
    generator: Generator
    summarizer: Summarizer
    stages: tuple[stages.Stage, stages.Stage]
    how: str

    def folder(self, stage: stages.Stage) -> pathlib.Path:
        """Where a stage's checkpoints are."""
        return self.workdir / files.CHECKPOINTS / stage.name


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> str:
    """Runs an experiment to its results, or reports those of a finished one.

    A stage whose checkpoint is in the workdir is not trained again.

    Args:
        config: the whole config.
        workdir: made where it does not exist.

    Returns:
        The results as Markdown.

    Raises:
        InputError: a config or data that cannot be used; a workdir that holds another experiment.
    """
    settings.check(config)
    files.refuse_another(config, workdir)
    compilation.remember()
    experiment = prepare(config, workdir)
    if (workdir / files.RESULTS).exists():
        print(f'{workdir} holds the finished results of this very config; nothing was run again.')
        return (workdir / files.TABLE).read_text(encoding='utf-8')
    generator, summarizer = train(experiment)
    return evaluate(experiment, generator, summarizer)


def prepare(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> Experiment:
    """Reads the inputs, puts them on the device, and records what the workdir is for.

    Args:
        config: the whole config, checked.
        workdir: an existing folder.

    Returns:
        The experiment.

    Raises:
        InputError: as `inputs.load`, and where the data are not those of the workdir's earlier session.
    """
    given = inputs.load(config, workdir)
    tables.write_json(workdir / files.CONFIG, config.to_dict())
    for note in given.dataset.notes:
        print(f'note: {note}')
    videos = list(given.dataset.videos.values())
    segments = corpus.build(videos, config.decomposition.length, tuple(config.decomposition.views))
    width = videos[0].features.shape[1]
    generator, summarizer = stages.build_models(config, width)
    places = grid.places(config.seeds, len(given.folds))
    experiment = Experiment(
        config=config,
        workdir=workdir,
        given=given,
        corpus=segments,
        places=places,
        runs=grid.make_runs(places, given.folds, list(given.dataset.videos), segments),
        generator=generator,
        summarizer=summarizer,
        stages=(
            stages.generator_stage(config, generator, width),
            stages.summarizer_stage(config, generator, summarizer, width, len(videos)),
        ),
        how=how_here(config.layout.runs),
    )
    record = {
        'width': width,
        'encoder': given.dataset.encoder,
        'n_videos': len(videos),
        'runs': [dataclasses.astuple(place) for place in places],
        'data': given.fingerprint(),
        'videos': {key: inputs.digest(video) for key, video in given.dataset.videos.items()},
    }
    path = workdir / files.RECORD
    if path.exists() and outputs.read_json(path) != tables.to_json(record):
        raise InputError(
            f'{workdir}: the data or the folds are not those that this experiment began with '
            f'({given.dataset.path} has changed). Restore them, or choose another --workdir.'
        )
    tables.write_json(path, record)
    print(
        f'{len(videos)} videos, {sum(v.n_steps for v in videos)} frames, {segments.n_segments} segments; '
        f'{given.split}; {len(places)} runs on {jax.devices()[0].device_kind}'
    )
    return experiment


def train(experiment: Experiment) -> tuple[Any, Any]:
    """Trains both stages of every run, each ending in a checkpoint.

    Args:
        experiment: from `prepare`.

    Returns:
        The parameters of all generators and of all summarizers, with a leading run axis.
    """
    frozen: Any = ()
    for stage in experiment.stages:
        settings_of_stage = experiment.config[stage.name]
        states = _states(experiment, stage, frozen)
        if states is None:
            states = grid.init(stage, experiment.runs, frozen)
            size = count_parameters(states.params) // len(experiment.places)
            print(f'{stage.name}: {size:,} parameters a run, {settings_of_stage.epochs} epochs')
            log = experiment.workdir / files.METRICS
            metric_log.drop_stage(log, stage.name)
            states = grid.train(
                stage,
                states,
                experiment.corpus,
                experiment.runs,
                frozen,
                grid=experiment.places,
                epochs=settings_of_stage.epochs,
                how=experiment.how,
                log_every=experiment.config.layout.log_every,
                on_metrics=functools.partial(_log, log, stage.name, experiment.places),
                last_good=_last_good(experiment),
            )
            checkpoint.save(experiment.folder(stage), settings_of_stage.epochs, states)
        if stage is experiment.stages[0]:
            frozen = states.params
    return frozen, states.params


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
    settings_of_evaluation = experiment.config.evaluation
    beside = labelled and settings_of_evaluation.baselines
    videos = list(experiment.given.dataset.videos.values())
    importance = functools.partial(scoring.importance, experiment.summarizer)
    rows = {report.MODEL: scoring.jit_over_runs(importance, experiment.how)(summarizer, experiment.corpus)}
    if beside:
        width = videos[0].features.shape[1]

        def untrained(one, corpus):
            key, generator = one
            keys = jax.random.split(stream(key, 'untrained heads'), settings_of_evaluation.untrained_heads)

            def head(key):
                params = stages.init_summarizer(
                    experiment.config, experiment.summarizer, key, generator, width
                )
                return importance(params, corpus)

            return over('map', head, keys)

        heads = scoring.jit_over_runs(untrained, experiment.how)
        rows['untrained'] = heads((experiment.runs.key, generator), experiment.corpus)
    if beside and settings_of_evaluation.one_out:
        one_out = functools.partial(scoring.one_out_loss, experiment.generator)
        rows['one_out'] = scoring.jit_over_runs(one_out, experiment.how)(generator, experiment.corpus)
    return {
        name: [corpus.per_video(videos, of_run) for of_run in np.asarray(values)]
        for name, values in rows.items()
    }


def evaluate(experiment: Experiment, generator: Any, summarizer: Any) -> str:
    """Writes tables, scores, summaries and pictures; `results.json` last, as the mark of a finished run.

    Args:
        experiment: from `prepare`.
        generator: parameters of all runs.
        summarizer: parameters of all runs.

    Returns:
        The results as Markdown, with where the pictures are.
    """
    config, given, workdir = experiment.config, experiment.given, experiment.workdir
    scores = score(experiment, generator, summarizer, given.labelled)
    of_model = {
        key: np.mean(
            [
                scores[report.MODEL][i][key]
                for i in report.holding_out(given, key, experiment.places) or range(len(experiment.places))
            ],
            axis=0,
        )
        for key in given.keys
    }
    empty = [
        key
        for key, values in of_model.items()
        if not outputs.describe_summary(given.dataset.videos[key], values, config.evaluation.budget)[
            'summary_frames'
        ]
    ]
    rows = report.measure(given, scores, config.evaluation, len(experiment.places))
    header = {
        'name': config.name,
        'preset': config.preset,
        'dataset': given.dataset.path,
        'empty_summaries': empty,
    }
    results = report.summarize(given, rows, experiment.places, config.evaluation.rank, header)
    videos, folds = report.csv_rows(given, rows, experiment.places)
    tables.write_csv(workdir / 'videos.csv', videos)
    tables.write_csv(workdir / 'folds.csv', folds)
    outputs.write_scores(workdir / 'scores.h5', of_model)
    outputs.write_summaries(workdir / 'summaries.json', given.dataset, of_model, config.evaluation.budget)
    drawn = workdir / 'pictures'
    pictures.learning_curves(
        drawn / 'learning_curves.png',
        *(metric_log.read(workdir / files.METRICS, stage.name) for stage in experiment.stages),
    )
    if given.labelled:
        pictures.results(drawn / 'results.png', results)
    pictures.timelines(
        drawn / 'timelines.png',
        [given.dataset.videos[key] for key in given.keys[:_DRAWN_VIDEOS]],
        of_model,
        config.evaluation.budget,
    )
    text = report.render(results)
    if not given.labelled:
        text += f'\n{outputs.render_summaries(given.dataset, of_model, config.evaluation.budget)}\n'
    text += f'\nPictures: {drawn}/ ({", ".join(sorted(path.stem for path in drawn.iterdir()))}). '
    text += f'Chosen shots: {workdir}/summaries.json. Scores: {workdir}/scores.h5.\n'
    with tables.replacing(workdir / files.TABLE) as temporary:
        temporary.write_text(text, encoding='utf-8')
    tables.write_json(workdir / files.RESULTS, results)
    return text


def _states(experiment: Experiment, stage: stages.Stage, frozen: Any) -> Any | None:
    """The states of a stage that is done, or None."""
    if checkpoint.latest(experiment.folder(stage)) != experiment.config[stage.name].epochs:
        return None
    print(f'{stage.name}: taken from {experiment.folder(stage)}')
    like = jax.eval_shape(jax.vmap(stage.init), experiment.runs, frozen)
    return checkpoint.restore(experiment.folder(stage), like)


def _log(log: pathlib.Path, stage: str, places: list[grid.Place], epoch: int, metrics: Any) -> None:
    metric_log.append(log, stage, epoch + 1, metrics, places)


def _last_good(experiment: Experiment) -> str:
    done = [stage for stage in experiment.stages if checkpoint.latest(experiment.folder(stage)) is not None]
    return str(experiment.folder(done[-1])) if done else 'none yet'
