"""A whole epoch of all runs as one program, by itself: to be measured, and to be looked at."""

import functools
from collections.abc import Callable

import jax
from jax.sharding import Mesh

from trsum_jax.runtime.sharding import BY_RUN, SHARED, one_device, split
from trsum_jax.training import epoch, grid
from trsum_jax.training.epoch import Span, Stage


def compile_epoch(stage: Stage, how: str, mesh: Mesh | None = None) -> Callable:
    """The program, compiled at its first call.

    Args:
        stage: what to run.
        how: as in `grid.compile_part`.
        mesh: of the devices; the default one alone where there is none.

    Returns:
        (states, number of the epoch, corpus, runs, frozen) -> (states, metrics [R]); the states are donated.
    """

    def whole(states, number, corpus, runs, frozen):
        one_run = functools.partial(epoch.blank_told, stage)
        told = jax.vmap(one_run, (0, None, 0, 0))(states, corpus, runs, frozen)
        span = Span(number, 0, stage.steps(runs), 0)
        states, _, metrics = grid.part_of_runs(stage, how, states, told, span, corpus, runs, frozen)
        return states, metrics

    specs = (BY_RUN, SHARED, SHARED, BY_RUN, BY_RUN)
    return jax.jit(split(whole, mesh or one_device(), specs), donate_argnums=0)
