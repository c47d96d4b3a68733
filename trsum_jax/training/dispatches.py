"""The grid's training in dispatches of about a second, so that its progress is seen and a stop is heard."""

import collections
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from trsum_jax.runtime import processes, profiling
from trsum_jax.runtime.sharding import BY_RUN, place
from trsum_jax.training import grid
from trsum_jax.training.epoch import Span, Stage, Told
from trsum_jax.training.grid import Program

# Seconds that a dispatch should take; and how many may be under way at once, so that the devices never wait
# for the host.
_PART_S = 1.0
_UNDER_WAY = 2


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
        ahead: gives the stage's `grid.program`, where that is compiled elsewhere.

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
                    compiled = ahead() if ahead else grid.program(stage, *shapes, **options)
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
