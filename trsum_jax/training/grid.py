"""The grid of runs: all folds and seeds of an experiment as one compiled program."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from trsum_jax.runtime.sharding import BY_RUN, SHARED, like_placed, one_device, split
from trsum_jax.training import epoch
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.epoch import Span, Stage, Told
from trsum_jax.training.runs import Run


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
