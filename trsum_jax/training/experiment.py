"""One experiment: inputs, both stages over the whole grid, scores, results, all in one workdir."""

import functools
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.method.models import count_parameters
from trsum_jax.training import (
    checkpoint,
    compilation,
    files,
    grid,
    locking,
    metric_log,
    outcome,
    processes,
    settings,
    stages,
)
from trsum_jax.training.preparation import Experiment, prepare


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> str:
    """Runs an experiment to its results, or reports those of a finished one.

    What an earlier, interrupted session has saved is not trained again.

    Args:
        config: the whole config.
        workdir: made where it does not exist.

    Returns:
        The results as Markdown; '' in all processes but the first.

    Raises:
        InputError: a config or data that cannot be used; a workdir that holds another experiment, or that
            another process works in; processes that were given different ones.
        Preempted: SIGTERM came in between.
    """
    settings.check(config)
    processes.agree('the config', settings.flatten(config))
    with locking.held(workdir):
        return run_locked(config, workdir)


def run_locked(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> str:
    """As `run`, in a workdir that this process holds, with a config that was checked.

    Args:
        config: the whole config.
        workdir: of the experiment.

    Returns:
        As `run`.

    Raises:
        InputError, Preempted: as `run`.
    """
    files.refuse_another(config, workdir)
    compilation.remember()
    experiment = prepare(config, workdir)
    complete = all(
        config[stage.name].epochs in checkpoint.whole(experiment.folder(stage)) for stage in experiment.stages
    )
    if text := files.finished(workdir, complete):
        processes.say(f'{workdir} holds the finished results of this very config; nothing was run again.')
        return text if processes.first() else ''
    generator, summarizer = train(experiment)
    return outcome.write(experiment, generator, summarizer)


def train(experiment: Experiment) -> tuple[Any, Any]:
    """Trains both stages of every run, or what is left of them, with checkpoints on the way.

    Args:
        experiment: from `prepare`.

    Returns:
        The parameters of all generators and of all summarizers, with a leading run axis; both a rival's own.

    Raises:
        InputError: training diverges; a checkpoint cannot be read or written; more epochs are done than
            asked for.
        Preempted: SIGTERM came; all is saved.
    """
    frozen: Any = ()
    before = 0
    for stage in experiment.stages:
        logs = [[experiment.workdir / files.METRICS]]
        states = train_stage(experiment, stage, frozen, logs=logs, before=before)
        before += experiment.config[stage.name].epochs
        if stage is experiment.stages[0]:
            frozen = states.params
    return frozen, states.params


def train_stage(
    experiment: Experiment,
    stage: stages.Stage,
    frozen: Any,
    *,
    logs: Sequence[Sequence[pathlib.Path]],
    before: int,
) -> Any:
    """Trains one stage of every run, or what is left of it, with checkpoints on the way.

    Args:
        experiment: from `prepare`.
        stage: one of its stages.
        frozen: what the stage reads of each run.
        logs: where metrics go: the grid is cut into as many equal parts, each goes to all of its files.
        before: epochs of the stages trained before this one, for several processes to count by.

    Returns:
        The states of all runs after the last epoch.

    Raises:
        InputError, Preempted: as `train`.
    """
    config, folder = experiment.config, experiment.folder(stage)
    epochs = config[stage.name].epochs
    found = checkpoint.restore(folder, grid.like(stage, experiment.runs, frozen), experiment.mesh)
    done, states = found or (0, grid.init(stage, experiment.runs, frozen, experiment.mesh))
    checkpoint.move_aside(folder, newer_than=done)
    if done > epochs:
        raise InputError(
            f'config.{stage.name}.epochs: expected {done} or more, since {folder} has them behind it, '
            f'found {epochs}. Choose another --workdir for a shorter training.'
        )
    if done:
        for log in itertools.chain(*logs):
            metric_log.refuse_a_gap(log, stage.name, done, folder)
        processes.say(f'{stage.name}: {done} of {epochs} epochs taken from {folder}')
    if done == epochs:
        return states
    size = count_parameters(states.params) // len(experiment.runs.weight)
    processes.say(f'{stage.name}: {size:,} parameters a run, {epochs} epochs')
    if processes.first():
        for log in itertools.chain(*logs):
            metric_log.keep(log, stage.name, done)
    with checkpoint.Saver(folder, config.layout.checkpoints) as saver:
        return grid.train(
            stage,
            states,
            experiment.feed,
            frozen,
            grid=experiment.places,
            mesh=experiment.mesh,
            done=done,
            epochs=epochs,
            how=experiment.how,
            log_every=config.layout.log_every,
            on_metrics=functools.partial(_log, logs, stage.name, experiment.places),
            saver=saver,
            save_every=config.layout.checkpoint_every,
            before=before,
        )


def _log(
    logs: Sequence[Sequence[pathlib.Path]],
    stage: str,
    places: Sequence[grid.Place],
    epoch: int,
    metrics: dict[str, np.ndarray],
) -> None:
    if not processes.first():
        return
    size = len(places) // len(logs)
    for part, paths in enumerate(logs):
        own = slice(part * size, (part + 1) * size)
        for log in paths:
            values = {name: value[own] for name, value in metrics.items()}
            metric_log.append(log, stage, epoch + 1, values, places[own])
