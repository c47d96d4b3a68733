"""Stage 2 that tells how noisy its policy gradient is: one batch, its actions drawn again and again.

With g_1 … g_R the gradients by the summarizer's parameters of one batch, ḡ their mean, and the parameters θ,
the generator and the baselines the same for all R:

    gradient_variance = Σ_r |g_r - ḡ|² / (R - 1)         estimates tr Cov[g | batch, θ], without bias
    gradient_signal   = |ḡ|² - gradient_variance / R     estimates |E[g | batch, θ]|², without bias
    gradient_snr      = gradient_signal / gradient_variance
"""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from trsum_jax.training import trsum
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.epoch import Batch, Span, Stage, batches
from trsum_jax.training.runs import Run
from trsum_jax.training.trsum import Reinforcement, SummarizerState

METRICS = ('gradient_variance', 'gradient_signal', 'gradient_snr')


def telling_noise(stage: Stage, setup: Reinforcement, every: int, draws: int) -> Stage:
    """A stage 2 that also measures its gradient; its training stays as it is, to the bit.

    Measured is the gradient of the epoch's first batch, of all that the loss has, with what the stage has
    learned by the end of the epoch, before the clip. Penalty and bonus do not depend on the actions and are
    in the signal alone: what the reward asks of all frames alike, the penalty mostly takes back. The variance
    is that of a step's draws given the batch: the actions, and the masks of dropout where there are some;
    which batch a step gets is no part of it. Of data in chunks it is the first batch of the last chunk.

    Args:
        stage: `trsum.summarizer_stage`, or a variation of it; of several updates the first is measured, and
            of a learned value the head's gradient too.
        setup: what it is made of.
        every: epochs from one measurement to the next.
        draws: R, at least 2; each costs the gradient of a step.

    Returns:
        The stage, whose epochs tell `METRICS` beside the others, every so many epochs.
    """
    close = functools.partial(_close, stage, setup, every, draws)
    return stage._replace(close=close, sometimes=METRICS, every=every)


def noise(gradient: Callable[[Any], Any], draws: Any) -> tuple[chex.Array, chex.Array]:
    """The variance of a gradient and the square of its mean's norm, without bias, one draw after another.

    Args:
        gradient: what is drawn -> gradient, a tree.
        draws: R of them, at least 2, [R, …].

    Returns:
        `gradient_variance` and `gradient_signal`, float32 scalars (Welford, 1962: only one mean is kept).
    """

    def add(carry, draw):
        count, mean, squares = carry
        found = gradient(draw)
        away = optax.tree.sub(found, mean)
        mean = optax.tree.add_scale(mean, 1 / (count + 1), away)
        squares += optax.tree.vdot(away, optax.tree.sub(found, mean))
        return (count + 1, mean, squares), None

    blank = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(gradient, jax.tree.map(lambda leaf: leaf[0], draws)),
    )
    (count, mean, squares), _ = jax.lax.scan(add, (jnp.float32(0), blank, jnp.float32(0)), draws)
    variance = squares / (count - 1)
    return variance, optax.tree.norm(mean, squared=True) - variance / count


def _close(
    stage: Stage,
    setup: Reinforcement,
    every: int,
    draws: int,
    state: SummarizerState,
    span: Span,
    corpus: Corpus,
    run: Run,
    frozen: Any,
):
    segments, weight, _, step_key = batches(stage, span.number, run)
    # As of a step that no epoch has.
    keys = jax.random.split(jax.random.fold_in(step_key, len(segments)), (draws, stage.batch))
    done = (span.number + 1) / span.passes
    generator = state.generator[0] if state.generator else frozen

    def gradient(keys):
        batch = Batch(segments[0], weight[0], keys, done)
        return trsum.policy_gradient(setup, state, batch, corpus, run, generator)[0]

    def measure():
        variance, signal = noise(gradient, keys)
        return jnp.stack([variance, signal, signal / jnp.where(variance > 0, variance, 1.0)])

    ends = span.row + span.last == span.passes * len(segments)
    due = ((span.number + 1) // span.passes) % every == 0
    told = jax.lax.cond(ends & due, measure, lambda: jnp.zeros(len(METRICS)))
    return state, dict(zip(METRICS, told, strict=True))
