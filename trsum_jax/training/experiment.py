"""One experiment: inputs, both stages over the whole grid, scores, results, all in one workdir."""

import functools
import pathlib
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
    metric_log,
    outcome,
    processes,
    settings,
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
        InputError: a config or data that cannot be used; a workdir that holds another experiment; processes
            that were given different ones.
        Preempted: SIGTERM came in between.
    """
    settings.check(config)
    processes.agree('the config', settings.flatten(config))
    files.refuse_another(config, workdir)
    compilation.remember()
    experiment = prepare(config, workdir)
    if (workdir / files.RESULTS).exists():
        processes.say(f'{workdir} holds the finished results of this very config; nothing was run again.')
        return (workdir / files.TABLE).read_text(encoding='utf-8') if processes.first() else ''
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
    config, log = experiment.config, experiment.workdir / files.METRICS
    frozen: Any = ()
    before = 0
    for stage in experiment.stages:
        epochs, folder = config[stage.name].epochs, experiment.folder(stage)
        found = checkpoint.restore(folder, grid.like(stage, experiment.runs, frozen), experiment.mesh)
        done, states = found or (0, grid.init(stage, experiment.runs, frozen, experiment.mesh))
        checkpoint.move_aside(folder, newer_than=done)
        if done > epochs:
            raise InputError(
                f'config.{stage.name}.epochs: expected {done} or more, since {folder} has them behind it, '
                f'found {epochs}. Choose another --workdir for a shorter training.'
            )
        if done:
            processes.say(f'{stage.name}: {done} of {epochs} epochs taken from {folder}')
        if done < epochs:
            size = count_parameters(states.params) // len(experiment.runs.weight)
            processes.say(f'{stage.name}: {size:,} parameters a run, {epochs} epochs')
            if processes.first():
                metric_log.keep(log, stage.name, done)
            with checkpoint.Saver(folder, config.layout.checkpoints) as saver:
                states = grid.train(
                    stage,
                    states,
                    experiment.corpus,
                    experiment.runs,
                    frozen,
                    grid=experiment.places,
                    mesh=experiment.mesh,
                    done=done,
                    epochs=epochs,
                    how=experiment.how,
                    log_every=config.layout.log_every,
                    on_metrics=functools.partial(_log, log, stage.name, experiment.places),
                    saver=saver,
                    save_every=config.layout.checkpoint_every,
                    before=before,
                )
        before += epochs
        if stage is experiment.stages[0]:
            frozen = states.params
    return frozen, states.params


def _log(
    log: pathlib.Path, stage: str, places: list[grid.Place], epoch: int, metrics: dict[str, np.ndarray]
) -> None:
    if processes.first():
        metric_log.append(log, stage, epoch + 1, metrics, places)
