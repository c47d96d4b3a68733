"""The grid of runs: all folds and seeds of an experiment as one compiled program."""

import collections
import functools
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from trsum_jax.runtime import processes, profiling
from trsum_jax.runtime.sharding import BY_RUN, SHARED, like_placed, one_device, place, split
from trsum_jax.training import epoch
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.epoch import Span, Stage, Told
from trsum_jax.training.runs import Run

# Seconds that a dispatch should take, so that progress is seen and a stop is heard; and how many may be under
# way at once, so that the devices never wait for the host.
_PART_S = 1.0
_UNDER_WAY = 2


def init(stage: Stage, runs: Run, frozen: Any, mesh: Mesh | None = None) -> Any:
    """The states of all runs before the stage's first epoch, with a leading run axis."""
    return _compile_init(stage.init, mesh or one_device())(runs, frozen)


def _compile_init(init: Callable, mesh: Mesh) -> Callable:
    return jax.jit(split(jax.vmap(init), mesh, (BY_RUN, BY_RUN)))


def like(stage: Stage, runs: Run, frozen: Any) -> Any:
    """Shapes and types of `init`, a tree of `jax.ShapeDtypeStruct`."""
    return jax.eval_shape(jax.vmap(stage.init), runs, frozen)


def told_like(
    stage: Stage,
    states: Any,
    corpus: Corpus,
    runs: Run,
    frozen: Any,
    mesh: Mesh | None = None,
    passes: int = 1,
) -> epoch.Told:
    """Shapes and types of what an epoch of all runs tells, [R, …], a tree of `jax.ShapeDtypeStruct`.

    Args:
        stage: whose epoch.
        states: of all runs, or their shapes and types.
        corpus: of one pass.
        runs: of all runs.
        frozen: what the stage reads of each run.
        mesh: of the devices; the default one alone where there is none.
        passes: in an epoch.

    Returns:
        The tree.
    """
    one_run = functools.partial(epoch.blank_told, stage, passes=passes)
    specs = (BY_RUN, SHARED, BY_RUN, BY_RUN)
    all_runs = split(jax.vmap(one_run, (0, None, 0, 0)), mesh or one_device(), specs)
    return jax.eval_shape(all_runs, states, corpus, runs, frozen)


def compile_part(stage: Stage, how: str, mesh: Mesh | None = None) -> Callable:
    """Some steps of an epoch of all runs, compiled once; the states and what was told are donated.

    Args:
        stage: what to run.
        how: `map`, a device's runs one after another; `vmap`, all of them as one product.
        mesh: of the devices; the default one alone where there is none.

    Returns:
        (states, told, `epoch.Span`, corpus, runs, frozen) -> (states, told, metrics [R]).
    """
    specs = (BY_RUN, BY_RUN, SHARED, SHARED, BY_RUN, BY_RUN)
    part = functools.partial(part_of_runs, stage, how)
    return jax.jit(split(part, mesh or one_device(), specs), donate_argnums=(0, 1))


def part_of_runs(stage, how, states, told, span, corpus, runs, frozen):
    """`epoch.part` of all runs, whose leaves have a leading axis [R]; `how` as in `compile_part`."""
    one_run = functools.partial(epoch.part, stage)
    if how == 'vmap':
        return jax.vmap(one_run, (0, 0, None, None, 0, 0))(states, told, span, corpus, runs, frozen)

    # Carried and replaced in place: `lax.map` would hold all states a second time, on their way out.
    def one(carried, inputs):
        i, run, frozen = inputs
        own = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i, keepdims=False), carried)
        state, told, metrics = one_run(*own, span, corpus, run, frozen)
        put = functools.partial(jax.lax.dynamic_update_index_in_dim, index=i, axis=0)
        return jax.tree.map(put, carried, (state, told)), metrics

    inputs = jnp.arange(runs.key.shape[0]), runs, frozen
    (states, told), metrics = jax.lax.scan(one, (states, told), inputs)
    return states, told, metrics


class Program(NamedTuple):
    """A stage's program for one shape of corpus and runs.

    Attributes:
        part: as from `compile_part`, compiled.
        told: shapes and types of what an epoch tells, as `told_like`.
    """

    part: Callable
    told: Told


def program(
    stage: Stage, states: Any, corpus: Corpus, runs: Run, frozen: Any, *, mesh: Mesh, how: str, passes: int
) -> Program:
    """Compiles what trains a stage; of the states and of `frozen` only shapes and types count.

    Args:
        stage: what to train.
        states: of all runs, or their shapes and types.
        corpus: of one pass.
        runs: of all runs.
        frozen: what the stage reads of each run, or its shapes and types.
        mesh: of the devices.
        how: `map` or `vmap`, over runs.
        passes: in an epoch.

    Returns:
        The program.
    """
    # Traced once for the shapes of what it tells and for the program.
    stage = stage._replace(step=jax.jit(stage.step, inline=True))
    told = told_like(stage, states, corpus, runs, frozen, mesh, passes)
    states, placed_told, frozen = like_placed((states, told, frozen), mesh, BY_RUN)
    span = Span(*np.zeros(len(Span._fields), np.int32))
    given = states, placed_told, span, corpus, runs, frozen
    return Program(compile_part(stage, how, mesh).lower(*given).compile(), told)


class Position(NamedTuple):
    """Where the training of all runs is.

    Attributes:
        states: of all runs, [R, …].
        told: by the steps of the epoch under way, [R, …]; None before the first.
        epoch: epochs done.
        steps: of the epoch under way that are done, in all of its passes.
        coming: how many of these steps, the newest, the devices may not have finished yet.
    """

    states: Any
    told: Told | None = None
    epoch: int = 0
    steps: int = 0
    coming: int = 0


def advance(
    stage: Stage,
    at: Position,
    feed: Any,
    frozen: Any,
    *,
    mesh: Mesh,
    epochs: int,
    how: str,
    trace: pathlib.Path | None = None,
    ahead: Callable[[], Program] | None = None,
) -> Iterator[tuple[Position, dict[str, jax.Array] | None]]:
    """Trains every run of the grid, dispatch by dispatch.

    The first dispatch is one step, by whose time the others are made about a second long, or an epoch where
    that is shorter. A few are under way at once: what is yielded may not be finished yet.

    Args:
        stage: what to train.
        at: where to begin; donated.
        feed: the segments of all runs, `feed.Whole` or `feed.Stream`.
        frozen: what the stage reads of each run.
        mesh: of the devices.
        epochs: how many in all.
        how: `map` or `vmap`, over runs.
        trace: a folder that gets a trace of the first dispatch, which then is of a few steps.
        ahead: gives the stage's `program`, where that is compiled elsewhere.

    Yields:
        The position after a dispatch, whose arrays the next dispatch takes; and the epoch's metrics, [R]
        each, where the epoch is done, else None.
    """
    compiled, most = None, profiling.STEPS if trace else 1
    of_pass = stage.steps(feed.runs)
    under_way: collections.deque[Any] = collections.deque()
    states, told, number, steps, _ = at
    for passes in feed.epochs(number, epochs, steps // of_pass):
        for one in passes:
            while True:
                begun = compiled is None
                if begun:
                    # Before the clock starts.
                    shapes = states, one.corpus, one.runs, frozen
                    options = {'mesh': mesh, 'how': how, 'passes': feed.passes}
                    compiled = ahead() if ahead else program(stage, *shapes, **options)
                if told is None:
                    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), compiled.told)
                    told = place(blank, mesh, BY_RUN)
                first = steps % of_pass
                last = min(first + most, of_pass)
                where = one.number, first, last, steps - first, feed.passes
                span = Span(*map(np.int32, where))
                given = states, told, span, one.corpus, one.runs, frozen
                with profiling.traced(trace if begun else None):
                    started = time.perf_counter()
                    states, told, metrics = compiled.part(*given)
                    if begun:
                        jax.block_until_ready(metrics)
                        seconds = (time.perf_counter() - started) / (last - first)
                if begun:
                    most = max(1, processes.from_first(int(_PART_S / seconds)))
                under_way.append((last - first, metrics))
                while under_way and (len(under_way) > _UNDER_WAY or _is_ready(under_way[0][1])):
                    jax.block_until_ready(under_way.popleft()[1])
                coming = sum(count for count, _ in under_way)
                steps += last - first
                if last == of_pass:
                    break
                yield Position(states, told, number, steps, coming), None
            if steps < of_pass * feed.passes:
                yield Position(states, told, number, steps, coming), None
        number, steps = number + 1, 0
        yield Position(states, told, number, steps, coming), metrics


def _is_ready(metrics: dict[str, jax.Array]) -> bool:
    return all(value.is_ready() for value in metrics.values())
