"""Scores of every frame of a corpus from trained parameters of one run, without gradients."""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from trsum_jax.method.losses import frame_losses
from trsum_jax.method.models import Generator, Summarizer
from trsum_jax.runtime import sharding
from trsum_jax.training.corpus import Corpus, average_per_frame, gather
from trsum_jax.training.steps import over

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

    def score(segments):
        batch = jax.vmap(gather, (None, 0))(corpus, segments)
        return jax.nn.sigmoid(summarizer.apply({'params': params}, batch.frames, batch.valid))

    return average_per_frame(corpus, _in_batches(score, corpus.n_segments))


def one_out_loss(generator: Generator, params: Any, corpus: Corpus, window: int) -> chex.Array:
    """Reconstruction loss of every frame when it, or a window around it, is masked, averaged over segments.

    The frames that are hard to tell from the others are the informative ones (the paper's Fig. 11). With a
    window its nearest neighbours cannot give a frame away.

    Args:
        generator: the module.
        params: of one run.
        corpus: the videos.
        window: consecutive positions of the segment that are masked, the frame in their middle (of an even
            number, the one before it); at an end of the segment the window moves inwards.

    Returns:
        [F] float32.
    """

    def losses(segment):
        one = gather(corpus, segment)
        length = one.valid.shape[0]
        last_start = jnp.maximum(jnp.sum(one.valid) - window, 0)

        def without(positions):
            frames, valid = (jnp.broadcast_to(x, (_AT_ONCE, *x.shape)) for x in (one.frames, one.valid))
            start = jnp.clip(positions - (window - 1) // 2, 0, last_start)[:, None]
            place = jnp.arange(length)[None]
            masked = (start <= place) & (place < start + window)
            rebuilt = generator.apply({'params': params}, frames, valid, masked, positions[:, None])
            return frame_losses(one.frames[positions], rebuilt[:, 0])

        return _in_batches(without, length)

    return average_per_frame(corpus, jax.lax.map(losses, jnp.arange(corpus.n_segments)))


def _in_batches(function: Callable, count: int) -> chex.Array:
    """`function` of 0..count - 1, `_AT_ONCE` at a time; the last batch is filled up from the start."""
    batches = jnp.arange(-(-count // _AT_ONCE) * _AT_ONCE) % count
    found = jax.lax.map(function, batches.reshape(-1, _AT_ONCE))
    return found.reshape(-1, *found.shape[2:])[:count]


def jit_over_runs(function: Callable, how: str, mesh: Mesh | None = None) -> Callable:
    """`function(params, corpus)` compiled over a leading run axis of the parameters.

    Args:
        function: (params of one run, corpus) -> array.
        how: `map` or `vmap`.
        mesh: of the devices; the default one alone where there is none.

    Returns:
        (params of all runs, corpus) -> array with a leading run axis.
    """

    def every(params, corpus):
        return over(how, functools.partial(function, corpus=corpus), params)

    specs = (sharding.BY_RUN, sharding.SHARED)
    return jax.jit(sharding.split(every, mesh or sharding.one_device(), specs))
