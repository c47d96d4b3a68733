"""One epoch of any stage: its segments shuffled and cut into batches, and a step for each of them.

An epoch is dispatched in parts, so that a long one shows how far it is and can be stopped within. Whatever
the parts, the steps, their draws and so the bits are the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from trsum_jax.training.corpus import Corpus, weighted_mean
from trsum_jax.training.runs import Run, stream, whole


class Batch(NamedTuple):
    """What one step of one run works on.

    Attributes:
        segments: [B] int32, numbers in the corpus.
        weight: [B] float32, 1 for a segment, 0 for padding.
        keys: [B] typed keys, one for each segment.
        progress: float32 scalar, epochs done so far, with fractions.
    """

    segments: chex.Array
    weight: chex.Array
    keys: chex.PRNGKey
    progress: chex.Array


class Stage(NamedTuple):
    """A stage of one run, as pure functions.

    Attributes:
        name: `generator`, `summarizer`, or a rival's.
        draws: its stream of random numbers, a name of `runs.stream`.
        batch: B, segments in a step.
        init: (run, frozen) -> state. `frozen` is what the stage reads and never changes: `()` in stage 1, the
            generator's parameters in stage 2.
        step: (state, batch, corpus, run, frozen) -> (state, every segment's metrics, [B] each).
        shown: the metrics that stand beside the progress bar.
        roots: metrics that a step gives squared; the root of their mean is told.
        sees: run -> run with the segments that it is trained on: all, or not what is held aside.
        close: (state, span, corpus, run, frozen) -> (state, more metrics), after the steps of a span; none:
            nothing.
        patience: epochs after which it ends before its last, where the metric `epochs_since_best` of every
            run has reached them; 0: never.
        sometimes: metrics that are told in every `every`th epoch only.
    """

    name: str
    draws: str
    batch: int
    init: Callable[..., Any]
    step: Callable[..., tuple[Any, dict[str, chex.Array]]]
    shown: tuple[str, ...]
    roots: tuple[str, ...] = ()
    sees: Callable[[Run], Run] = whole
    close: Callable[..., tuple[Any, dict[str, chex.Array]]] | None = None
    patience: int = 0
    sometimes: tuple[str, ...] = ()
    every: int = 1

    def steps(self, run: Run) -> int:
        """Steps in a pass over a run's segments, the same for all of a grid; an epoch is one pass or more."""
        return -(-self.sees(run).segments.shape[-1] // self.batch)


class Span(NamedTuple):
    """Some steps of a pass over a run's segments; an epoch is one pass, or several (`feed`).

    Attributes:
        number: of the pass, in all epochs.
        first: step of the pass to begin with.
        last: the one after the last.
        row: of the pass's first step among all steps of its epoch.
        passes: in an epoch.
    """

    number: chex.Numeric
    first: chex.Numeric
    last: chex.Numeric
    row: chex.Numeric
    passes: chex.Numeric = 1


class Told(NamedTuple):
    """What the steps of an epoch have told so far.

    Attributes:
        metrics: by name, [steps of the epoch, B].
        weight: [steps of the epoch, B] float32, that of each segment.
    """

    metrics: Mapping[str, chex.Array]
    weight: chex.Array


def blank_told(stage: Stage, state: Any, corpus: Corpus, run: Run, frozen: Any, passes: int = 1) -> Told:
    """What an epoch has told before its first step.

    Args:
        stage: whose epoch.
        state: of one run.
        corpus: of one pass.
        run: one.
        frozen: what the stage reads of it.
        passes: in an epoch.

    Returns:
        Zeros; of the arguments only shapes and types count.
    """

    def one_step(state, corpus, run, frozen):
        weight = jnp.ones(stage.batch)
        keys = jax.random.split(run.key, stage.batch)
        batch = Batch(jnp.zeros(stage.batch, jnp.int32), weight, keys, jnp.float32(0))
        return Told(stage.step(state, batch, corpus, run, frozen)[1], weight)

    of_step = jax.eval_shape(one_step, state, corpus, run, frozen)
    rows = passes * stage.steps(run)
    return jax.tree.map(lambda leaf: jnp.zeros((rows, *leaf.shape), leaf.dtype), of_step)


def part(stage: Stage, state: Any, told: Told, span: Span, corpus: Corpus, run: Run, frozen: Any):
    """Some steps of an epoch, jit-able; for a batch of padding alone no step is made.

    Args:
        stage: whose.
        state: before them.
        told: by the steps before them; rows of steps to come may hold anything.
        span: which steps; traced, so that one program serves all.
        corpus: the segments.
        run: one.
        frozen: what the stage reads of it.

    Returns:
        The state and what was told after them, and the epoch's metrics, scalars: means over its segments,
        which mean something once its last step is done.
    """
    segments, weight, own_steps, step_key = batches(stage, span.number, run)
    weights = jax.lax.dynamic_update_slice_in_dim(told.weight, weight, span.row, 0)

    def one(i, carry):
        state, rows = carry
        keys = jax.random.split(jax.random.fold_in(step_key, i), stage.batch)
        progress = (span.number + i / own_steps) / span.passes
        batch = Batch(segments[i], weight[i], keys, progress)
        state, metrics = stage.step(state, batch, corpus, run, frozen)
        return state, jax.tree.map(lambda all, own: all.at[span.row + i].set(own), rows, metrics)

    # Padding comes last, and the loop ends before it. A choice in each step between the states before it and
    # after it would have the moments of mapped runs copied, not replaced in place.
    last = jnp.minimum(span.last, own_steps)
    state, rows = jax.lax.fori_loop(span.first, last, one, (state, told.metrics))
    told = Told(rows, weights)
    metrics = weighted_mean(jax.tree.map(jnp.ravel, told.metrics), told.weight.ravel())
    roots = {name: jnp.sqrt(value) for name, value in metrics.items() if name in stage.roots}
    state, beside = stage.close(state, span, corpus, run, frozen) if stage.close else (state, {})
    return state, told, {**metrics, **roots, **beside}


def batches(stage: Stage, number: chex.Numeric, run: Run):
    """[steps, B] segments in the pass's order and their weights, the run's own steps, and the steps' key."""
    steps, run = stage.steps(run), stage.sees(run)
    order_key, step_key = jax.random.split(jax.random.fold_in(stream(run.key, stage.draws), number))
    draws = jax.vmap(lambda s: jax.random.uniform(jax.random.fold_in(order_key, s)))(run.segments)
    order = jnp.argsort(jnp.where(run.weight > 0, draws, jnp.inf))
    padding = steps * stage.batch - order.shape[0]
    segments = jnp.pad(run.segments[order], (0, padding)).reshape(steps, stage.batch)
    weight = jnp.pad(run.weight[order], (0, padding)).reshape(steps, stage.batch)
    # Whole numbers: a float's division is by the reciprocal, and 21 / 7 is more than 3.
    return segments, weight, -(-jnp.sum(run.weight > 0) // stage.batch), step_key
