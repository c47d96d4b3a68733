"""Scores of every frame of a corpus from trained parameters of one run, without gradients."""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from trsum_jax.method import reward_terms
from trsum_jax.method.losses import frame_losses, mean_over
from trsum_jax.method.models import Generator, Summarizer
from trsum_jax.runtime import sharding
from trsum_jax.training.corpus import Corpus, average_per_frame, gather
from trsum_jax.training.steps import over

# Segments scored at a time: enough to fill a device, few enough for a CPU's caches.
_AT_ONCE = 8
# Of RS-SUM [A]: the share of a segment that a mask hides, and the distance in frames from which on a pair
# counts as unlike. With this share no more masks than `_MOST_MASKS` leave no frame twice.
_HIDDEN, _FAR, _MOST_MASKS = 0.15, 20, 6
# Of the visible frames' reward beside the loss. RS-SUM prints .1 to 1 side by side; both count alike here.
_REWARD_WEIGHT = 1.0


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

    return average_per_frame(corpus, in_batches(score, corpus.n_segments))


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

        return in_batches(without, length)

    return average_per_frame(corpus, jax.lax.map(losses, jnp.arange(corpus.n_segments)))


def rs_sum(generator: Generator, params: Any, corpus: Corpus, key: chex.PRNGKey, passes: int) -> chex.Array:
    """RS-SUM's score of every frame, from our generator (Abbasi and Saeedi, ICIP 2023; by its released code).

    In each pass the frames of a segment are dealt at random into sets of 15%, rounded up; what is left over
    is in none. Each set is hidden in turn. The mean loss of the hidden frames, and the reward of the visible
    ones, are credited to every frame that is visible. A frame's score is `sigmoid(-L) + R`, with the means
    over all masks, passes and segments that have credited it.

    Args:
        generator: the module.
        params: of one run.
        corpus: the videos.
        key: of the masks, by video and by segment in it.
        passes: 100 in RS-SUM.

    Returns:
        [F] float32.
    """

    def credit(number):
        one = gather(corpus, number)
        place = number - jnp.argmax(corpus.video == one.video)
        own = jax.random.fold_in(jax.random.fold_in(key, one.video), place)
        parts = _parts_of_reward(one.frames)

        def of_mask(hidden):
            rebuilt = generator.apply({'params': params}, one.frames, one.valid, hidden)
            loss = mean_over(frame_losses(one.frames, rebuilt), hidden)
            return loss, _visible_reward(parts, one.valid, one.valid & ~hidden)

        def of_pass(total, number):
            hidden = deal(jax.random.fold_in(own, number), one.valid)
            used = jnp.any(hidden, axis=1)
            credited = used[:, None] & one.valid[None] & ~hidden
            values = jnp.stack([*jax.vmap(of_mask)(hidden), jnp.ones(_MOST_MASKS)])
            return total + values @ credited.astype(jnp.float32), None

        return jax.lax.scan(of_pass, jnp.zeros((3, *one.valid.shape)), jnp.arange(passes))[0]

    totals = jax.lax.map(credit, jnp.arange(corpus.n_segments))
    loss, reward, count = (average_per_frame(corpus, totals[:, i]) for i in range(3))
    # A frame of a segment of one is visible in no mask.
    count = jnp.maximum(count, 1e-9)
    return jax.nn.sigmoid(-loss / count) + _REWARD_WEIGHT * reward / count


def deal(key: chex.PRNGKey, valid: chex.Array) -> chex.Array:
    """The masks of one pass: disjoint sets of 15% of the frames, at random.

    Args:
        key: of the order.
        valid: [L] bool.

    Returns:
        [6, L] bool, the hidden frames of each mask; those that there is no set for hide nothing.
    """
    chex.assert_rank(valid, 1)
    count = jnp.sum(valid)
    # Padding comes last.
    order = jnp.argsort(jnp.where(valid, jax.random.uniform(key, valid.shape), 2.0))
    rank = jnp.argsort(order)
    # In hundredths, which are exact.
    size = jnp.maximum((count * round(100 * _HIDDEN) + 99) // 100, 1)
    number = jnp.where(valid & (rank < count // size * size), rank // size, _MOST_MASKS)
    return number[None] == jnp.arange(_MOST_MASKS)[:, None]


def _parts_of_reward(frames: chex.Array) -> tuple[chex.Array, chex.Array]:
    """[L, L] float32 of all pairs: how unlike they are, where far apart in time wholly; squared distances."""
    norms = jnp.maximum(jnp.linalg.norm(frames, axis=1, keepdims=True), 1e-8)
    unit, place = frames / norms, jnp.arange(len(frames))
    apart = jnp.abs(place[:, None] - place[None])
    unlike = jnp.where(apart > _FAR, 1.0, 1.0 - unit @ unit.T)
    return jnp.where(apart == 0, 0.0, unlike), jnp.square(reward_terms.distances(frames))


def _visible_reward(
    parts: tuple[chex.Array, chex.Array], valid: chex.Array, visible: chex.Array
) -> chex.Array:
    """Half the mean unlikeness of visible pairs, half `exp(-mean distance² to the nearest visible frame)`."""
    unlike, distance = parts
    weight = visible.astype(jnp.float32)
    count = jnp.sum(weight)
    diversity = weight @ unlike @ weight / jnp.maximum(count * (count - 1), 1.0)
    return (diversity + reward_terms.nearness(distance, valid, visible)) / 2


def in_batches(function: Callable, count: int) -> chex.Array:
    """`function` of 0..count - 1, some at a time.

    Args:
        function: [n] int32 -> [n, …].
        count: a last batch is filled up from the start.

    Returns:
        [count, …].
    """
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
