"""Stage 1 that keeps the generator of the least loss on videos that it does not train on.

They are training videos that are held aside, or the folds' validation videos. A generator that is trained for
too short rebuilds worse than the nearest frame, and one that is trained for too long knows its videos by
heart. No label is looked at.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.models import Generator
from trsum_jax.training import scoring, trsum
from trsum_jax.training.corpus import Corpus, gather
from trsum_jax.training.epoch import Batch, Span, Stage
from trsum_jax.training.runs import Run, judging, own, stream
from trsum_jax.training.trsum import LOSSES, Pretraining

# The same losses on what is held aside.
ASIDE = tuple(name.replace('loss', 'loss_aside', 1) for name in LOSSES)


class Kept(NamedTuple):
    """Stage 1 with the best that it had so far.

    Attributes:
        params: of the least loss on what is held aside, at the end of an epoch.
        loss: that loss, float32.
        since: int32, epochs since then; at the patience the state stays as it is.
        sums: [4] float32, of the epoch under way: the three losses on what is held aside, times its segments,
            and their number.
        learner: the state that goes on learning.
    """

    params: Any
    loss: chex.Array
    since: chex.Array
    sums: chex.Array
    learner: trsum.GeneratorState


def keeping_the_best(setup: Pretraining, patience: int) -> Stage:
    """`trsum.generator_stage`, judged after every epoch on what its runs hold aside.

    The masks are the same every time, and nothing is dropped out. The stage's own metrics come first, those
    on what is held aside beside them: `loss_aside`, `loss_aside_segment_mean`, `loss_aside_copy_nearest`, and
    `epochs_since_best`. Of data in chunks, each chunk's part is judged at the end of its pass. A run that
    holds nothing aside is trained as without this.

    Args:
        setup: what stage 1 is made of.
        patience: epochs without a lesser loss after which a run need not go on.

    Returns:
        The stage; its states are `Kept`, whose `params` are the best.
    """
    stage = trsum.generator_stage(setup)
    judge = dataclasses.replace(setup, generator=_without_dropout(setup.generator))
    return stage._replace(
        init=functools.partial(_start, stage),
        step=functools.partial(_step, stage, patience),
        close=functools.partial(_close, stage, judge, patience),
        patience=patience,
    )


def _without_dropout(generator: Generator) -> Generator:
    encoder = generator.encoder
    return generator.clone(encoder=encoder.clone(config=dataclasses.replace(encoder.config, dropout=0.0)))


def _start(stage: Stage, run: Run, frozen: tuple[()]):
    learner = stage.init(run, frozen)
    if not judging(run):
        return learner
    return Kept(learner.params, jnp.float32(jnp.inf), jnp.int32(0), jnp.zeros(4), learner)


def _step(stage: Stage, patience: int, state: Any, batch: Batch, corpus: Corpus, run: Run, frozen: tuple[()]):
    if not judging(run):
        return stage.step(state, batch, corpus, run, frozen)
    after, metrics = stage.step(state.learner, batch, corpus, run, frozen)
    # Else its end would depend on when it is noticed.
    learns = state.since < patience
    learner = jax.tree.map(lambda new, old: jnp.where(learns, new, old), after, state.learner)
    return state._replace(learner=learner), metrics


def _close(
    stage: Stage, judge: Pretraining, patience: int, state: Any, span: Span, corpus: Corpus, run: Run, frozen
):
    del frozen
    if not judging(run):
        return state, {}

    def look(state: Kept) -> Kept:
        before = jnp.where(span.row == 0, 0.0, state.sums)
        sums = before + _judged(judge, state.learner.params, corpus, run)
        loss = sums[0] / jnp.maximum(sums[-1], 1.0)
        over = (span.row + span.last == span.passes * steps) & (state.since < patience)
        better = over & (loss < state.loss)
        params = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), state.learner.params, state.params
        )
        since = jnp.where(better, 0, state.since + over)
        return Kept(params, jnp.where(better, loss, state.loss), since, sums, state.learner)

    steps = stage.steps(run)
    state = jax.lax.cond(span.last == steps, look, lambda state: state, state)
    losses = state.sums[:-1] / jnp.maximum(state.sums[-1], 1.0)
    return state, {**dict(zip(ASIDE, losses, strict=True)), 'epochs_since_best': state.since}


def _judged(judge: Pretraining, params: Any, corpus: Corpus, run: Run) -> chex.Array:
    """[4]: the sums of the three losses over the segments that are held aside, and their number."""
    segments, weight = judging(run)
    corpus, numbers = corpus._replace(standard=run.standard), own(judge.numbers, 'masking', run)
    key = stream(run.key, 'aside')

    def losses(places):
        chosen = segments[places]
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, chosen)
        batch = jax.vmap(gather, (None, 0))(corpus, chosen)
        _, metrics = trsum.reconstruction_losses(judge, params, batch, keys, corpus, numbers)
        return jnp.stack([*(metrics[name] for name in LOSSES), jnp.ones(len(places))], axis=1)

    found = scoring.in_batches(losses, segments.shape[0])
    return jnp.sum(jnp.where(weight[:, None] > 0, found, 0.0), axis=0)
