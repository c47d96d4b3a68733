"""What single variants of studies change in stage 2, beside the core: no branch there knows of them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.episodes import Baseline
from trsum_jax.method.estimators import Estimate, Outcome, RewardsOf
from trsum_jax.training import trsum
from trsum_jax.training.corpus import Corpus, gather
from trsum_jax.training.epoch import Batch, Stage
from trsum_jax.training.runs import Run, own
from trsum_jax.training.steps import gradients
from trsum_jax.training.trsum import Reinforcement, SummarizerState

ACTIONS = ('frames', 'shots')


def permuted(key: chex.PRNGKey, frames: chex.Array) -> chex.Array:
    """A random order and random signs of the features, the same for all frames of a segment (ours).

    What frames are to each other stays, inner products and distances; what each shows does not: nothing else
    can be learned from.

    Args:
        key: a typed key.
        frames: [L, D] float.

    Returns:
        [L, D], of the same type.
    """
    chex.assert_rank(frames, 2)
    order_key, sign_key = jax.random.split(key)
    width = frames.shape[1]
    signs = jax.random.rademacher(sign_key, (width,), frames.dtype)
    return frames[:, jax.random.permutation(order_key, width)] * signs[None]


def permuted_view(keys: chex.PRNGKey, frames: chex.Array) -> chex.Array:
    """`Reinforcement.view`: every segment `permuted`, [B, L, D]."""
    # Another stream than the actions' and the dropout's, which both stay as they are.
    return jax.vmap(permuted)(jax.vmap(jax.random.fold_in, (0, None))(keys, 2), frames)


def over_shots(estimate: Callable[..., Estimate], shot: chex.Array) -> Callable[..., Estimate]:
    """An estimator whose every draw decides on all frames that a shot has in the segment (ours).

    A shot's logit is the mean of its frames', so that the gradient of its frames is the same.

    Args:
        estimate: (key, logits, valid, rewards_of, baseline) -> `Estimate`, as of `method.estimators`.
        shot: [L] int32, the shot of each frame.

    Returns:
        The same, for frames' logits [L]. What an estimator has by frame stands at the first frame of a shot,
        zeros elsewhere; `local_credit`'s radius is between first frames, so that 0 is a shot's own loss.
    """

    def decide(
        key: chex.PRNGKey, logits: chex.Array, valid: chex.Array, rewards_of: RewardsOf, baseline: Baseline
    ) -> Estimate:
        chex.assert_rank([logits, valid, shot], 1)
        length = logits.shape[0]
        same = (shot[:, None] == shot[None]) & valid[:, None] & valid[None]
        # A shot stands at its first frame; padding, at itself, is none.
        first = jnp.where(valid, jnp.argmax(same, axis=1), jnp.arange(length))
        stands = valid & (first == jnp.arange(length))

        def summed(values):
            return jax.ops.segment_sum(jnp.where(valid, values, 0.0), first, num_segments=length)

        def rewards_of_shots(actions):
            taken = actions[:, first]
            hard = taken.dtype == bool
            outcome = rewards_of(taken & valid[None] if hard else jnp.where(valid[None], taken, 0.0))
            return Outcome(outcome.rewards, jax.vmap(summed)(outcome.parts))

        of_shots = summed(logits) / jnp.maximum(summed(jnp.ones(length)), 1.0)
        return estimate(key, of_shots, stands, rewards_of_shots, baseline)

    return decide


def unfrozen(setup: Reinforcement) -> Stage:
    """Stage 2 in which a copy of the generator goes on learning to rebuild what the episodes do not select.

    The actions do not depend on the generator: it learns by the mean reward, at the summarizer's rates. The
    frozen one stays as it was.

    Args:
        setup: what stage 2 is made of.

    Returns:
        The stage, with the metrics of `trsum.summarizer_stage`.
    """
    init, step = functools.partial(_start, setup), functools.partial(_step, setup)
    return trsum.summarizer_stage(setup)._replace(init=init, step=step)


def _start(setup: Reinforcement, run: Run, frozen: Any) -> SummarizerState:
    return trsum.start_summarizer(setup, run, frozen)._replace(
        generator=(frozen, setup.optimizer.init(frozen))
    )


def _step(setup: Reinforcement, state: SummarizerState, batch: Batch, corpus: Corpus, run: Run, frozen: Any):
    del frozen
    generator, moments = state.generator
    after, metrics = trsum.summarizer_step(setup, state, batch, corpus, run, generator)
    # Of all frames its output can be differentiated.
    whole = dataclasses.replace(setup, generator=setup.generator.clone(hidden_alone=False))

    def loss(generator, chosen, keys):
        segments = jax.vmap(gather, (None, 0))(corpus._replace(standard=run.standard), chosen)
        now = generator, state, batch.progress
        _, told = trsum.policy_losses(whole, state.params, segments, keys, *now, run)
        return -told['reward'], {}

    items = batch.segments, batch.keys
    grads, _ = gradients(loss, generator, items, batch.weight, setup.at_once, setup.shards)
    rates = own(setup.optimizer.rates, 'summarizer', run)
    return after._replace(
        generator=setup.optimizer.update(generator, moments, grads, batch.progress, rates)
    ), metrics
