"""The grid of runs: all folds and seeds of an experiment as one compiled program."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from trsum_jax.data.splits import Fold
from trsum_jax.errors import InputError, Preempted
from trsum_jax.training import checkpoint, interruption, processes
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.sharding import BY_RUN, SHARED, one_device, padded, place, split
from trsum_jax.training.stages import Stage
from trsum_jax.training.steps import Run


@dataclasses.dataclass(frozen=True)
class Place:
    """Which run stands at an index of the grid.

    Attributes:
        seed: its seed.
        fold: its fold, from 0.
    """

    seed: int
    fold: int

    def __str__(self) -> str:
        return f'seed {self.seed}, fold {self.fold}'


def places(seeds: Sequence[int], n_folds: int) -> list[Place]:
    """All runs of a grid, seed by seed."""
    return [Place(seed, fold) for seed in seeds for fold in range(n_folds)]


def make_runs(
    grid: Sequence[Place],
    folds: Sequence[Fold],
    keys: Sequence[str],
    corpus: Corpus,
    mesh: Mesh | None = None,
    dials: Mapping[str, Sequence[float]] | None = None,
) -> Run:
    """The inputs of every run, stacked, on the mesh.

    A run's key depends on its seed and fold alone: run `i` of a grid draws what run `i` alone draws. A grid
    that does not divide the mesh is filled up with its last run.

    Args:
        grid: R places.
        folds: the videos of each fold.
        keys: the videos in the corpus's order.
        corpus: the segments.
        mesh: of the devices; the default one alone where there is none.
        dials: by name, the number of every run [R]; none where there are none.

    Returns:
        A `Run` whose leaves have a leading axis [R] (filled up), padded to the longest fold.
    """
    mesh = mesh or one_device()
    number = {key: i for i, key in enumerate(keys)}
    video = np.asarray(corpus.video)
    trained = [np.isin(video, [number[key] for key in fold.train]) for fold in folds]
    chosen = np.stack([trained[one.fold] for one in filled(grid, mesh)])
    segments, weight = place(members(chosen, int(chosen.sum(axis=1).max())), mesh, BY_RUN)
    return Run(keys_of(grid, mesh), segments, weight, dials_of(dials, len(chosen), mesh))


def filled(grid: Sequence[Place], mesh: Mesh) -> list[Place]:
    """The grid, filled up with its last run to what the mesh divides."""
    return [*grid, *grid[-1:] * (padded(len(grid), mesh) - len(grid))]


def members(chosen: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Every run's segments as a list of numbers.

    Args:
        chosen: [R, S] bool, whether a run trains on a segment.
        longest: M, at least the most segments of a run.

    Returns:
        [R, M] int32 numbers and [R, M] float32 weights, 0 where padded.
    """
    segments = np.zeros((len(chosen), longest), np.int32)
    weight = np.zeros((len(chosen), longest), np.float32)
    for i, of_run in enumerate(chosen):
        own = np.flatnonzero(of_run)
        segments[i, : len(own)], weight[i, : len(own)] = own, 1.0
    return segments, weight


def keys_of(grid: Sequence[Place], mesh: Mesh) -> jax.Array:
    """[R] (filled up) typed keys on the mesh, each of its run's seed and fold alone."""
    keys = [jax.random.fold_in(jax.random.key(one.seed), one.fold) for one in filled(grid, mesh)]
    data = place(np.stack([jax.random.key_data(key) for key in keys]), mesh, BY_RUN)
    return jax.jit(jax.random.wrap_key_data)(data)


def dials_of(dials: Mapping[str, Sequence[float]] | None, rows: int, mesh: Mesh) -> dict[str, jax.Array]:
    """Every run's numbers on the mesh, [R] (filled up to `rows`) float32 each; none where there are none."""
    numbers = {
        name: np.asarray([*values, *[values[-1]] * (rows - len(values))], np.float32)
        for name, values in (dials or {}).items()
    }
    return place(numbers, mesh, BY_RUN)


def init(stage: Stage, runs: Run, frozen: Any, mesh: Mesh | None = None) -> Any:
    """The states of all runs before the stage's first epoch, with a leading run axis."""
    return jax.jit(split(jax.vmap(stage.init), mesh or one_device(), (BY_RUN, BY_RUN)))(runs, frozen)


def like(stage: Stage, runs: Run, frozen: Any) -> Any:
    """Shapes and types of `init`, a tree of `jax.ShapeDtypeStruct`."""
    return jax.eval_shape(jax.vmap(stage.init), runs, frozen)


def compile_epoch(stage: Stage, how: str, mesh: Mesh | None = None) -> Callable:
    """One epoch of all runs, compiled once; the states that go in are donated.

    Args:
        stage: what to run.
        how: `map`, a device's runs one after another; `vmap`, all of them as one product.
        mesh: of the devices; the default one alone where there is none.

    Returns:
        (states, number of the epoch, corpus, runs, frozen) -> (states, metrics [R]).
    """

    def epoch(states, number, corpus, runs, frozen):
        if how == 'vmap':
            return jax.vmap(stage.epoch, (0, None, None, 0, 0))(states, number, corpus, runs, frozen)

        # Carried and replaced in place: `lax.map` would hold all states a second time, on their way out.
        def one(states, inputs):
            i, run, frozen = inputs
            own = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i, keepdims=False), states)
            own, metrics = stage.epoch(own, number, corpus, run, frozen)
            put = functools.partial(jax.lax.dynamic_update_index_in_dim, index=i, axis=0)
            return jax.tree.map(put, states, own), metrics

        return jax.lax.scan(one, states, (jnp.arange(runs.key.shape[0]), runs, frozen))

    specs = (BY_RUN, SHARED, SHARED, BY_RUN, BY_RUN)
    return jax.jit(split(epoch, mesh or one_device(), specs), donate_argnums=0)


def train(
    stage: Stage,
    states: Any,
    feed: Any,
    frozen: Any,
    *,
    grid: Sequence[Place],
    mesh: Mesh,
    done: int,
    epochs: int,
    how: str,
    log_every: int,
    on_metrics: Callable[[int, dict[str, np.ndarray]], None],
    saver: checkpoint.Saver,
    save_every: int,
    before: int = 0,
) -> Any:
    """Trains every run of the grid for a number of epochs, with a progress bar and checkpoints.

    Metrics stay on the device and are read every `log_every` epochs, and before every checkpoint, so that the
    log is never behind what training continues from.

    Args:
        stage: what to train.
        states: of all runs; donated.
        feed: the segments of all runs, `feed.Whole` or `feed.Stream`.
        frozen: what the stage reads of each run.
        grid: the R runs' names, for messages; what the mesh fills the grid up with has none.
        mesh: of the devices.
        done: epochs that the states have behind them.
        epochs: how many in all.
        how: `map` or `vmap`, over runs.
        log_every: epochs between two reads.
        on_metrics: called with each epoch's number (from 0) and its metrics, each [R].
        saver: keeps the states, the last ones too.
        save_every: epochs between two checkpoints.
        before: epochs of the stages before this one.

    Returns:
        The states after the last epoch.

    Raises:
        InputError: a metric or a parameter is not finite (names the epoch, the run and the last good
            checkpoint), or a checkpoint cannot be written.
        Preempted: a signal came; the states are saved.
    """
    step = compile_epoch(stage, how, mesh)
    waiting: list[tuple[int, list[tuple[np.ndarray, dict[str, jax.Array]]]]] = []
    check = functools.partial(_check_finite, stage, grid=grid, saver=saver)
    bar = tqdm(
        total=epochs, initial=done, desc=f'{stage.name}: {len(grid)} runs', unit='epoch', mininterval=1.0,
        disable=not processes.first(),
    )  # fmt: skip
    started = time.perf_counter()
    with bar, interruption.in_training():
        for number, passes in enumerate(feed.epochs(done, epochs), start=done):
            found = []
            for one in passes:
                states, metrics = step(states, np.int32(one.number), one.corpus, one.runs, frozen)
                found.append((one.weight, metrics))
            waiting.append((number, found))
            last = number + 1 == epochs
            stop = interruption.requested(before + number + 1) and not last
            save = (number + 1) % save_every == 0 or last or stop
            if (number + 1) % log_every == 0 or save:
                for at, values in _read(waiting, len(grid)):
                    check(at, values)
                    on_metrics(at, values)
                rate = feed.segments * len(waiting) / (time.perf_counter() - started)
                started = time.perf_counter()
                shown = ', '.join(f'{name} {values[name].mean():.3f}' for name in stage.shown)
                bar.set_postfix_str(f'{shown}, {rate:.0f} segments/s')
                bar.update(len(waiting))
                waiting = []
            if save:
                # The metrics of a step are taken before its update: parameters may be worse than they tell.
                finite = processes.gather(_finite_runs(states.params))[: len(grid)]
                check(number, {'a parameter': np.where(finite, 0, np.nan)})
                saver.save(number + 1, states)
            if stop:
                saver.wait()
                raise Preempted(
                    f'stopped by {interruption.name()}; {stage.name} is saved after epoch {number + 1}'
                )
        saver.wait()
    return states


@jax.jit
def _finite_runs(params: Any) -> jax.Array:
    """[R] bool: whether all parameters of a run are finite."""
    each = [jnp.all(jnp.isfinite(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(params)]
    return functools.reduce(jnp.logical_and, each)


def _read(
    waiting: Sequence[tuple[int, list[tuple[np.ndarray, dict[str, jax.Array]]]]], n_runs: int
) -> list[tuple[int, dict[str, np.ndarray]]]:
    """Epochs and their metrics, [R] each: means over the passes, without the runs that fill up the grid."""
    values = processes.gather([[metrics for _, metrics in passes] for _, passes in waiting])
    values = jax.tree.map(lambda value: np.asarray(value)[:n_runs], values)
    return [
        (number, _mean([weight for weight, _ in passes], of_epoch))
        for (number, passes), of_epoch in zip(waiting, values, strict=True)
    ]


def _mean(weights: list[np.ndarray], passes: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if len(passes) == 1:
        return passes[0]
    share = np.stack(weights) / np.maximum(np.sum(weights, axis=0), 1)
    return {name: np.sum(share * [one[name] for one in passes], axis=0) for name in passes[0]}


def _check_finite(
    stage: Stage,
    number: int,
    values: dict[str, np.ndarray],
    *,
    grid: Sequence[Place],
    saver: checkpoint.Saver,
) -> None:
    for name, value in values.items():
        bad = np.flatnonzero(~np.isfinite(value))
        if len(bad):
            runs = '; '.join(str(grid[i]) for i in bad)
            raise InputError(
                f'{stage.name}, epoch {number + 1}: {name} is {value[bad[0]]} in {runs}. Training stopped; '
                f'last good checkpoint: {saver.last_good()}. '
                f'A lower --config.{stage.name}.learning_rate usually helps.'
            )
