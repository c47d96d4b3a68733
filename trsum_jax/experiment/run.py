"""One experiment: inputs, all stages over the whole grid, scores, results, all in one workdir."""

import functools
import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections

from trsum_jax.errors import InputError
from trsum_jax.experiment import check, workdirs
from trsum_jax.experiment.bench import trials
from trsum_jax.experiment.preparation import NOTHING, Ahead, Experiment, compiling_ahead, prepare
from trsum_jax.files import at_home
from trsum_jax.method.models import count_parameters
from trsum_jax.results import filenames, metric_log, mirrors, outcome
from trsum_jax.runtime import checkpoint, compilation, locking, processes
from trsum_jax.training import dispatches, grid, loop
from trsum_jax.training.epoch import Stage


def run_experiment(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> str:
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
        Preempted: a signal came in between.
    """
    check.check(config)
    trials.try_functions(config)
    processes.agree('the config', check.flatten(config))
    with locking.held(workdir):
        return run_locked(config, workdir)


def run_locked(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> str:
    """As `run_experiment`, in a workdir that this process holds, with a config that was checked.

    Args:
        config: the whole config.
        workdir: of the experiment.

    Returns:
        As `run_experiment`.

    Raises:
        InputError, Preempted: as `run_experiment`.
    """
    workdirs.refuse_another(config, workdir)
    compilation.remember()
    experiment = prepare(config, workdir)
    complete, rows = workdirs.is_complete(config, workdir), experiment.given.digests_of_rows()
    if text := outcome.finished(workdir, complete, rows, outcome.evaluation_of(config)):
        processes.say(f'{workdir} holds the finished results of this very config; nothing was run again.')
        return text if processes.first() else ''
    with compiling_ahead(experiment, labelled := experiment.given.labelled) as ahead:
        scores = experiment.score(train(experiment, ahead=ahead), labelled, ahead)
    if not processes.first():
        return ''
    stages = [stage.name for stage in experiment.method.stages]
    text = outcome.write_results(experiment, scores, stages, workdirs.epochs_told(workdir))
    outcome.seal(workdir)
    return text


def train(experiment: Experiment, *, words: str = '', ahead: Ahead = NOTHING) -> tuple[Any, ...]:
    """Trains all stages of every run, or what is left of them, with checkpoints on the way.

    Args:
        experiment: from `prepare`.
        words: what is learned, for people who do not know the method; see `loop.train`.
        ahead: what is compiled elsewhere.

    Returns:
        The parameters of each stage, of all runs, with a leading run axis.

    Raises:
        InputError: training diverges; a checkpoint cannot be read or written; more epochs are done than
            asked for.
        Preempted: a signal came; all is saved.
    """
    stages, trained = experiment.method.stages, []
    for number, stage in enumerate(stages, start=1):
        logs = [[experiment.workdir / filenames.METRICS]]
        part = f'{words}, part {number} of {len(stages)}' if words else ''
        frozen = trained[0] if trained else ()
        told = {'logs': logs, 'words': part, 'ahead': ahead.stages.get(stage.name)}
        trained.append(train_stage(experiment, stage, frozen, **told).params)
    return tuple(trained)


def train_stage(
    experiment: Experiment,
    stage: Stage,
    frozen: Any,
    *,
    logs: Sequence[Sequence[pathlib.Path]],
    words: str = '',
    ahead: Callable[[], grid.Program] | None = None,
) -> Any:
    """Trains one stage of every run, or what is left of it, with checkpoints on the way.

    Args:
        experiment: from `prepare`.
        stage: one of its stages.
        frozen: what the stage reads of each run.
        logs: where metrics go: the grid is cut into as many equal parts, each goes to all of its files.
        words: as in `train`.
        ahead: as of `dispatches.advance`.

    Returns:
        The states of all runs after the last epoch.

    Raises:
        InputError, Preempted: as `train`.
    """
    config, folder = experiment.config, experiment.folder(stage)
    epochs = config[stage.name].epochs
    at = _position(experiment, stage, frozen)
    if at.epoch + bool(at.steps) > epochs:
        raise InputError(
            f'config.{stage.name}.epochs: expected {at.epoch + bool(at.steps)} or more, since {folder} has '
            f'done them, found {epochs}. Choose another --workdir for a shorter training.'
        )
    own, later = _saved(experiment, stage)
    if at.epoch or at.steps:
        for log in itertools.chain(*logs):
            metric_log.refuse_a_gap(log, stage.name, at.epoch, [*own, *later], stage.patience)
        within, place = (f' and {at.steps} steps', loop.within_of(folder)) if at.steps else ('', folder)
        processes.say(f'{words or stage.name}: {at.epoch} of {epochs} epochs{within} taken from {place}')
    elif later:
        raise InputError(
            f'{folder}: expected checkpoints of the {stage.name}, after which {later[0]} was trained, found '
            f'none. Restore them from a copy, or delete {" and ".join(map(str, later))} and train both anew.'
        )
    left, layout, places = at.epoch < epochs, config.layout, experiment.places
    every_log = [*itertools.chain(*logs)]
    if left and not words:
        size = count_parameters(at.states.params) // len(experiment.runs.weight)
        processes.say(f'{stage.name}: {size:,} parameters a run, {epochs} epochs')
    if left and processes.first():
        for log in every_log:
            metric_log.keep(log, stage.name, at.epoch)
    with mirrors.mirrored(layout, every_log, stage.name) as mirror:
        if not left:
            return at.states
        return loop.train(
            stage,
            at,
            experiment.feed,
            frozen,
            places=places,
            mesh=experiment.mesh,
            how=experiment.how,
            epochs=epochs,
            habits=loop.Habits(**{name: layout[name] for name in loop.Habits._fields}),
            on_metrics=functools.partial(metric_log.append_parts, logs, mirror, stage.name, places),
            folder=folder,
            words=words,
            trace=at_home(layout.profile) / stage.name if layout.profile else None,
            ahead=ahead,
        )


def _saved(experiment: Experiment, stage: Stage) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """Folders with checkpoints: of a stage, and of those after it, which learned from what it had learned."""
    stages = experiment.method.stages
    folders = [experiment.folder(one) for one in stages[stages.index(stage) :]]
    every = [[one for one in (of, loop.within_of(of)) if checkpoint.whole(one)] for of in folders]
    return every[0], list(itertools.chain(*every[1:]))


def _position(experiment: Experiment, stage: Stage, frozen: Any) -> dispatches.Position:
    """Where a stage is: at its beginning, after a saved epoch, or within one where it was stopped."""
    folder, fed, mesh = experiment.folder(stage), experiment.feed, experiment.mesh
    like = grid.like(stage, experiment.runs, frozen)
    of_epoch = fed.passes * stage.steps(experiment.runs)
    saved, within = checkpoint.whole(folder), checkpoint.whole(loop.within_of(folder))
    if within and within[-1] // of_epoch >= (saved or [0])[-1]:
        some = next(iter(next(fed.epochs(0, 1))))
        told = grid.told_like(stage, like, some.corpus, experiment.runs, frozen, mesh, fed.passes)
        found = checkpoint.restore(loop.within_of(folder), (like, told), mesh, needed=False)
        if found:
            steps, (states, told) = found
            return dispatches.Position(states, told, *divmod(steps, of_epoch))
    found = checkpoint.restore(folder, like, mesh)
    done, states = found or (0, grid.init(stage, experiment.runs, frozen, mesh))
    checkpoint.move_aside(folder, newer_than=done)
    return dispatches.Position(states, None, done)
