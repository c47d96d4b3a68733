"""Scores of every frame of a corpus from trained parameters of one run, without gradients."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.losses import frame_losses
from trsum_jax.method.models import Generator, Summarizer
from trsum_jax.training.corpus import Corpus, average_per_frame, gather

# Segments scored at a time: enough to fill a device, few enough for a CPU's caches.
_AT_ONCE = 8


def importance(summarizer: Summarizer, params: Any, corpus: Corpus) -> chex.Array:
    """`p` of every frame, averaged over all segments that hold it (paper, inference).

    Args:
        summarizer: the module.
        params: of one run.
        corpus: the videos.

    Returns:
        [F] float32 in (0, 1).
    """

    def score(segment):
        one = gather(corpus, segment)
        return jax.nn.sigmoid(summarizer.apply({'params': params}, one.frames, one.valid))

    every = jnp.arange(corpus.n_segments)
    return average_per_frame(corpus, jax.lax.map(score, every, batch_size=_AT_ONCE))


def one_out_loss(generator: Generator, params: Any, corpus: Corpus) -> chex.Array:
    """Reconstruction loss of every frame when it alone is masked, averaged over its segments.

    The frames that are hard to tell from the others are the informative ones: RS-SUM's score, and the
    paper's Fig. 11.

    Args:
        generator: the module.
        params: of one run.
        corpus: the videos.

    Returns:
        [F] float32.
    """

    def losses(segment):
        one = gather(corpus, segment)

        def without(position):
            masked = jnp.arange(one.valid.shape[0]) == position
            rebuilt = generator.apply({'params': params}, one.frames, one.valid, masked)
            return frame_losses(one.frames[position][None], rebuilt[position][None])[0]

        return jax.lax.map(without, jnp.arange(one.valid.shape[0]), batch_size=_AT_ONCE)

    return average_per_frame(corpus, jax.lax.map(losses, jnp.arange(corpus.n_segments)))


def jit_over_runs(function, how: str):
    """`function(params, corpus)` compiled over a leading run axis of the parameters.

    Args:
        function: (params of one run, corpus) -> array.
        how: `map` or `vmap`.

    Returns:
        (params of all runs, corpus) -> array with a leading run axis.
    """

    @jax.jit
    def every(params, corpus):
        one = functools.partial(function, corpus=corpus)
        return jax.vmap(one)(params) if how == 'vmap' else jax.lax.map(one, params)

    return every
