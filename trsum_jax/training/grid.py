"""The grid of runs: all folds and seeds of an experiment as one compiled program."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from trsum_jax.data.splits import Fold
from trsum_jax.errors import InputError
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.stages import Stage
from trsum_jax.training.steps import Run, over


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


def make_runs(grid: Sequence[Place], folds: Sequence[Fold], keys: Sequence[str], corpus: Corpus) -> Run:
    """The inputs of every run, stacked.

    A run's key depends on its seed and fold alone: run `i` of a grid draws what run `i` alone draws.

    Args:
        grid: R places.
        folds: the videos of each fold.
        keys: the videos in the corpus's order.
        corpus: the segments.

    Returns:
        A `Run` whose leaves have a leading axis [R], padded to the longest fold.
    """
    number = {key: i for i, key in enumerate(keys)}
    video = np.asarray(corpus.video)
    training = [np.isin(video, [number[key] for key in folds[place.fold].train]) for place in grid]
    longest = max(int(chosen.sum()) for chosen in training)
    segments = np.zeros((len(grid), longest), np.int32)
    weight = np.zeros((len(grid), longest), np.float32)
    for i, chosen in enumerate(training):
        own = np.flatnonzero(chosen)
        segments[i, : len(own)], weight[i, : len(own)] = own, 1.0
    key = [jax.random.fold_in(jax.random.key(place.seed), place.fold) for place in grid]
    return Run(jnp.stack(key), jnp.asarray(segments), jnp.asarray(weight))


def init(stage: Stage, runs: Run, frozen: Any) -> Any:
    """The states of all runs before the stage's first epoch, with a leading run axis."""
    return jax.jit(jax.vmap(stage.init))(runs, frozen)


def compile_epoch(stage: Stage, how: str) -> Callable:
    """One epoch of all runs, compiled once; the states that go in are donated.

    Args:
        stage: what to run.
        how: `map`, one run after another; `vmap`, all as one product.

    Returns:
        (states, number of the epoch, corpus, runs, frozen) -> (states, metrics [R]).
    """

    def epoch(states, number, corpus, runs, frozen):
        return over(how, lambda one: stage.epoch(one[0], number, corpus, *one[1:]), (states, runs, frozen))

    return jax.jit(epoch, donate_argnums=0)


def train(
    stage: Stage,
    states: Any,
    corpus: Corpus,
    runs: Run,
    frozen: Any,
    *,
    grid: Sequence[Place],
    epochs: int,
    how: str,
    log_every: int,
    on_metrics: Callable[[int, dict[str, np.ndarray]], None],
    last_good: str,
) -> Any:
    """Trains every run of the grid for a number of epochs, with a progress bar.

    Metrics stay on the device and are read every `log_every` epochs.

    Args:
        stage: what to train.
        states: of all runs; donated.
        corpus: the segments, shared by all runs.
        runs: inputs of all runs.
        frozen: what the stage reads of each run.
        grid: the runs' names, for messages.
        epochs: how many.
        how: `map` or `vmap`, over runs.
        log_every: epochs between two reads.
        on_metrics: called with each epoch's number (from 0) and its metrics, each [R].
        last_good: what to name as the last good checkpoint where training fails.

    Returns:
        The states after the last epoch.

    Raises:
        InputError: a metric or a parameter is not finite; names the epoch, the run and the last good
            checkpoint.
    """
    step = compile_epoch(stage, how)
    waiting: list[tuple[int, dict[str, jax.Array]]] = []
    segments = float(jnp.sum(runs.weight))
    bar = tqdm(total=epochs, desc=f'{stage.name}: {len(grid)} runs', unit='epoch', mininterval=1.0)
    started = time.perf_counter()
    with bar:
        for number in range(epochs):
            states, metrics = step(states, jnp.asarray(number, jnp.int32), corpus, runs, frozen)
            waiting.append((number, metrics))
            if (number + 1) % log_every == 0 or number + 1 == epochs:
                for done, on_device in waiting:
                    values = {name: np.asarray(value) for name, value in on_device.items()}
                    _check_finite(stage, done, values, grid, last_good)
                    on_metrics(done, values)
                rate = segments * len(waiting) / (time.perf_counter() - started)
                started = time.perf_counter()
                shown = ', '.join(f'{name} {values[name].mean():.3f}' for name in stage.shown)
                bar.set_postfix_str(f'{shown}, {rate:.0f} segments/s')
                bar.update(len(waiting))
                waiting = []
    finite = jax.tree.map(
        lambda leaf: np.isfinite(leaf).reshape(len(grid), -1).all(axis=1), jax.device_get(states.params)
    )
    _check_finite(
        stage,
        epochs - 1,
        {'a parameter': np.where(np.all(jax.tree.leaves(finite), axis=0), 0, np.nan)},
        grid,
        last_good,
    )
    return states


def _check_finite(
    stage: Stage, number: int, values: dict[str, np.ndarray], grid: Sequence[Place], last_good: str
) -> None:
    for name, value in values.items():
        bad = np.flatnonzero(~np.isfinite(value))
        if len(bad):
            runs = '; '.join(str(grid[i]) for i in bad)
            raise InputError(
                f'{stage.name}, epoch {number + 1}: {name} is {value[bad[0]]} in {runs}. Training stopped; '
                f'last good checkpoint: {last_good}. '
                f'A lower --config.{stage.name}.learning_rate usually helps.'
            )
