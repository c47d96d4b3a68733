"""A stage of all runs, from where it is to its last epoch: the log, checkpoints, progress, and stopping."""

import contextlib
import functools
import itertools
import math
import pathlib
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from trsum_jax.errors import InputError, Preempted
from trsum_jax.runtime import checkpoint, interruption, processes
from trsum_jax.training import dispatches
from trsum_jax.training.dispatches import Position
from trsum_jax.training.epoch import Stage
from trsum_jax.training.grid import Program
from trsum_jax.training.runs import Place

# Beside a stage's folder of checkpoints, the one of a stop within an epoch.
WITHIN = '-within'
_BAR = '{desc}: {n:.4g} of {total:.0f} epochs |{bar}| {elapsed}, {remaining} left{postfix}'
# Seconds of steps that an estimate rests on, and of work that is worth announcing.
_MEASURED_S, _LONG_S = 2.0, 30.0

OnMetrics = Callable[[int, dict[str, np.ndarray]], None]


class Habits(NamedTuple):
    """How often a training is told and saved.

    Attributes:
        log_every: epochs from one reading of the metrics to the next.
        checkpoint_every: epochs from one checkpoint to the next.
        checkpoints: the newest ones that are kept.
        grace: seconds that an epoch may still take after a stop signal; a longer one stops within.
    """

    log_every: int
    checkpoint_every: int
    checkpoints: int
    grace: float


def train(
    stage: Stage,
    at: Position,
    feed: Any,
    frozen: Any,
    *,
    places: Sequence[Place],
    mesh: jax.sharding.Mesh,
    how: str,
    epochs: int,
    habits: Habits,
    on_metrics: OnMetrics,
    folder: pathlib.Path,
    words: str = '',
    trace: pathlib.Path | None = None,
    ahead: Callable[[], Program] | None = None,
) -> Any:
    """Trains every run of the grid to its last epoch, with a progress bar and checkpoints.

    Metrics stay on the device and are read every `log_every` epochs, and before every checkpoint, so
    that the log is never behind what training continues from. Where the stage has a patience, and all runs
    have reached it, it ends there: its states are saved as those of the last epoch.

    Args:
        stage: what to train.
        at: where it is; donated.
        feed: the segments of all runs, `feed.Whole` or `feed.Stream`.
        frozen: what the stage reads of each run.
        places: the R runs' names, for messages; what the mesh fills the grid up with has none.
        mesh: of the devices.
        how: `map` or `vmap`, over runs.
        epochs: how many in all, at most.
        habits: how often it is told and saved.
        on_metrics: called with each epoch's number (from 0) and its metrics, each [R].
        folder: of the stage's checkpoints.
        words: what is learned, for people who do not know the method: stands in the bar in place of names
            and metrics.
        trace: as of `dispatches.advance`.
        ahead: as of `dispatches.advance`.

    Returns:
        The states after the last epoch.

    Raises:
        InputError: a metric or a parameter is not finite (names the epoch, the run and the last good
            checkpoint), or a checkpoint cannot be written.
        Preempted: a stop signal came; the states are saved.
    """
    of_epoch = feed.passes * stage.steps(feed.runs)
    waiting: list[tuple[int, dict[str, jax.Array]]] = []
    stopping = False
    bar = tqdm(
        total=float(epochs), initial=at.epoch + at.steps / of_epoch, bar_format=_BAR, mininterval=0.5,
        desc=words or f'{stage.name}: {len(places)} runs', disable=not processes.first(),
    )  # fmt: skip
    pace = _Pace(feed.segments, of_epoch)
    to_end = {'mesh': mesh, 'epochs': epochs, 'how': how, 'trace': trace, 'ahead': ahead}
    under_way = dispatches.advance(stage, at, feed, frozen, **to_end)
    with contextlib.ExitStack() as stack:
        stack.enter_context(bar)
        saver = stack.enter_context(checkpoint.Saver(folder, habits.checkpoints))
        check = functools.partial(_check_finite, stage, places=places, saver=saver)
        # Until it is compiled there is nothing to save: a stop signal need not wait.
        begun = next(under_way)
        waits_for = f'this epoch, or within it where its end is more than {habits.grace:g} s away'
        stack.enter_context(interruption.in_training(waits_for))
        for at, metrics in itertools.chain([begun], under_way):
            pace.note(at)
            if told := pace.announcement(epochs, words or stage.name):
                bar.write(told)
            last = at.epoch == epochs
            stopping = stopping or interruption.requested()
            within = stopping and metrics is None and not _ends_soon(pace, at, of_epoch, habits.grace)
            if metrics is not None:
                waiting.append((at.epoch - 1, metrics))
            save = metrics is not None and (at.epoch % habits.checkpoint_every == 0 or last or stopping)
            if waiting and (len(waiting) == habits.log_every or save or within):
                for number, values in _read(stage, waiting, len(places)):
                    check(number, values)
                    on_metrics(number, values)
                    if settled := number + 1 < epochs and _has_settled(stage, values):
                        break
                if not words:
                    bar.set_postfix_str(_beside(stage, values, pace), refresh=False)
                waiting = []
                if settled:
                    last = save = True
                    if not words:
                        bar.write(f'{stage.name}: no run was the better for {stage.patience} epochs; it ends')
            bar.update(at.epoch + at.steps / of_epoch - bar.n)
            if save:
                # The metrics of a step are taken before its update: parameters may be worse than they tell.
                finite = processes.gather(_finite_runs(at.states.params))[: len(places)]
                check(at.epoch - 1, {'a parameter': np.where(finite, 0, np.nan)})
                saver.save(epochs if last else at.epoch, at.states)
            if within:
                _save_within(folder, at, of_epoch)
            if stopping and (within or (save and not last)):
                saver.wait()
                raise Preempted(_where(stage, at, of_epoch))
            if last:
                break
        saver.wait()
        if processes.first():
            shutil.rmtree(within_of(folder), ignore_errors=True)
    return at.states


def within_of(folder: pathlib.Path) -> pathlib.Path:
    """Where a stop within an epoch leaves its checkpoint: a folder named after all steps done.

    Args:
        folder: of the stage's checkpoints.

    Returns:
        The folder beside it.
    """
    return folder.with_name(folder.name + WITHIN)


def _save_within(folder: pathlib.Path, at: Position, of_epoch: int) -> None:
    with checkpoint.Saver(within_of(folder), 1) as saver:
        saver.save(at.epoch * of_epoch + at.steps, (at.states, at.told))


class _Pace:
    """How fast the steps go, on this machine."""

    def __init__(self, segments: float, of_epoch: int):
        self._segments, self._of_epoch = segments, of_epoch
        self._begun: tuple[float, int] | None = None
        self._now, self._done, self._announced = 0.0, 0, False

    def note(self, at: Position) -> None:
        """Takes the time after a dispatch; compilation and the first one are before the first."""
        self._now = time.perf_counter()
        self._done = at.epoch * self._of_epoch + at.steps - at.coming
        self._begun = self._begun or (self._now, self._done)

    def seconds_per_step(self) -> float:
        """Mean so far; NaN before the second dispatch."""
        begun, done = self._begun
        return (self._now - begun) / (self._done - done) if self._done > done else math.nan

    def segments_per_second(self) -> float:
        """Of all runs together."""
        return self._segments / self._of_epoch / self.seconds_per_step()

    def announcement(self, epochs: int, what: str) -> str:
        """Once, when it can be told and the work is long: how long it will take."""
        begun, done = self._begun
        if self._announced or self._now - begun < _MEASURED_S or self._done == done:
            return ''
        self._announced = True
        left = (epochs * self._of_epoch - self._done) * self.seconds_per_step()
        if left < _LONG_S:
            return ''
        told = tqdm.format_interval(left)
        return f'{what}: about {told} left, as measured on its first {self._now - begun:.0f} s'


def _ends_soon(pace: _Pace, at: Position, of_epoch: int, grace: float) -> bool:
    """Whether the epoch under way ends within the time that a stop may take; the same in every process."""
    left = (of_epoch - at.steps) * pace.seconds_per_step()
    heard = interruption.heard()
    since = 0.0 if heard is None else time.monotonic() - heard
    # What is not known before a second dispatch is no reason to stop.
    return bool(processes.from_first(int(not since + left > grace)))


def _has_settled(stage: Stage, values: dict[str, np.ndarray]) -> bool:
    """Whether no run was the better for the stage's patience, after which its state stays as it is."""
    since = values.get('epochs_since_best')
    return bool(stage.patience) and since is not None and bool(np.all(since >= stage.patience))


def _beside(stage: Stage, values: dict[str, np.ndarray], pace: _Pace) -> str:
    shown = [f'{name} {values[name].mean():.3f}' for name in stage.shown]
    rate = pace.segments_per_second()
    return ', '.join(shown if math.isnan(rate) else [*shown, f'{rate:.0f} segments/s'])


def _where(stage: Stage, at: Position, of_epoch: int) -> str:
    done = f'epoch {at.epoch}' if not at.steps else f'step {at.steps} of {of_epoch} in epoch {at.epoch + 1}'
    return f'stopped by {interruption.name()}; {stage.name} is saved after {done}'


@jax.jit
def _finite_runs(params: Any) -> jax.Array:
    """[R] bool: whether all parameters of a run are finite."""
    each = [jnp.all(jnp.isfinite(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(params)]
    return functools.reduce(jnp.logical_and, each)


def _read(
    stage: Stage, waiting: Sequence[tuple[int, dict[str, jax.Array]]], n_runs: int
) -> list[tuple[int, dict[str, np.ndarray]]]:
    """Epochs and what each tells, [R] each, without the runs that fill up the grid."""
    values = processes.gather([metrics for _, metrics in waiting])
    values = jax.tree.map(lambda value: np.asarray(value)[:n_runs], values)

    def due(name: str, number: int) -> bool:
        return name not in stage.sometimes or (number + 1) % stage.every == 0

    return [
        (number, {name: value for name, value in told.items() if due(name, number)})
        for (number, _), told in zip(waiting, values, strict=True)
    ]


def _check_finite(
    stage: Stage,
    number: int,
    values: dict[str, np.ndarray],
    *,
    places: Sequence[Place],
    saver: checkpoint.Saver,
) -> None:
    for name, value in values.items():
        bad = np.flatnonzero(~np.isfinite(value))
        if len(bad):
            runs = '; '.join(str(places[i]) for i in bad)
            raise InputError(
                f'{stage.name}, epoch {number + 1}: {name} is {value[bad[0]]} in {runs}. Training stopped; '
                f'last good checkpoint: {saver.last_good()}. '
                f'A lower --config.{stage.name}.learning_rate usually helps.'
            )
