"""Which frames the generator has to reconstruct, and what it sees in their place (paper, Table VII).

A strategy names *windows* of candidate frames in one segment; `corrupt` then masks, replaces or keeps
each window. Everything is a pure function of a key, with static shapes, for one segment: `jax.vmap` it.
In a segment the valid positions come first and the padding last.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

# Keeps ceil(0.1 * 30) at 3: float32 products land a little above the integer they mean.
_ROUNDING = 1e-4


class Corruption(NamedTuple):
    """What becomes of a segment's frames.

    Attributes:
        masked: [L] bool, hidden from the generator.
        replaced: [L] bool, shown as another frame of the same video.
        source: [L] int32, for replaced positions the step of the video that is shown.
    """

    masked: jax.Array
    replaced: jax.Array
    source: jax.Array


def dynamic_windows(
    key: chex.PRNGKey,
    valid: jax.Array,
    shot: jax.Array,
    *,
    window_ratio: float | jax.Array,
    mask_ratio: float | jax.Array,
) -> jax.Array:
    """One window in each of randomly ordered shots, until a share of the segment is reached [the paper's].

    A shot with `n` frames in the segment offers one window of `ceil(window_ratio * n)` consecutive
    frames at a random start. Shots are taken in random order until the candidates reach
    `mask_ratio` of the valid frames.

    Args:
        key: a typed key.
        valid: [L] bool.
        shot: [L] int32, the shot of each frame; never decreasing over the valid positions.
        window_ratio: D_R, in (0, 1].
        mask_ratio: M_R, in (0, 1].

    Returns:
        [L] int32, the window that a position belongs to, -1 where the frame is no candidate.
    """
    chex.assert_rank([valid, shot], 1)
    chex.assert_equal_shape([valid, shot])
    length = valid.shape[0]
    start_key, order_key = jax.random.split(key)
    changes = jnp.concatenate([jnp.zeros(1, bool), shot[1:] != shot[:-1]])
    rank = jnp.where(valid, jnp.cumsum(changes), length)
    size = jax.ops.segment_sum(valid.astype(jnp.int32), rank, num_segments=length)
    window = _ceil(window_ratio * size)
    offset = _below(jax.random.uniform(start_key, (length,)), size - window + 1)
    start = jnp.cumsum(size) - size + offset
    taken = _until_reached(order_key, window, _ceil(mask_ratio * jnp.sum(valid)))
    own = jnp.minimum(rank, length - 1)
    position = jnp.arange(length)
    inside = (position >= start[own]) & (position < start[own] + window[own])
    return jnp.where(valid & inside & taken[own], own, -1)


def fixed_windows(
    key: chex.PRNGKey,
    valid: jax.Array,
    shot: jax.Array,
    *,
    window_length: int,
    mask_ratio: float | jax.Array,
) -> jax.Array:
    """Randomly chosen windows of one length on a regular grid, blind to shots.

    Args:
        key: a typed key.
        valid: [L] bool.
        shot: [L] int32, not used: every strategy takes the same arguments.
        window_length: frames in a window.
        mask_ratio: M_R, in (0, 1].

    Returns:
        [L] int32, the window that a position belongs to, -1 where the frame is no candidate.
    """
    chex.assert_rank([valid, shot], 1)
    length = valid.shape[0]
    window = jnp.arange(length) // window_length
    size = jax.ops.segment_sum(valid.astype(jnp.int32), window, num_segments=length)
    taken = _until_reached(key, size, _ceil(mask_ratio * jnp.sum(valid)))
    return jnp.where(valid & taken[window], window, -1)


def random_frames(
    key: chex.PRNGKey, valid: jax.Array, shot: jax.Array, *, mask_ratio: float | jax.Array
) -> jax.Array:
    """Single frames at random, `ceil(mask_ratio * valid frames)` of them: windows of length 1.

    Args:
        key: a typed key.
        valid: [L] bool.
        shot: [L] int32, not used: every strategy takes the same arguments.
        mask_ratio: M_R, in (0, 1].

    Returns:
        [L] int32, the position of a candidate, -1 where the frame is none.
    """
    return fixed_windows(key, valid, shot, window_length=1, mask_ratio=mask_ratio)


def most_candidates(length: int, mask_ratio: float, longest: Callable[[int], float]) -> int:
    """The most candidates that a strategy above can name in one segment.

    It takes windows until `ceil(mask_ratio * length)` are reached. One frame short of that, as much as the
    frames that are left allow may still be added at once.

    Args:
        length: L.
        mask_ratio: M_R.
        longest: of that many frames, the length of the longest window within them.

    Returns:
        At most L.
    """
    short = math.ceil(mask_ratio * length) - 1
    return min(short + math.ceil(longest(length - short)), length)


def corrupt(
    key: chex.PRNGKey,
    window: jax.Array,
    n_steps: int | jax.Array,
    *,
    mask: float | jax.Array = 0.8,
    replace: float | jax.Array = 0.1,
) -> Corruption:
    """Masks, replaces or keeps every candidate window as a whole [the paper's 80 / 10 / 10].

    A replaced window shows as many consecutive steps of the same video from a random start.

    Args:
        key: a typed key.
        window: [L] int32 of a strategy above.
        n_steps: steps of the video; no window is longer.
        mask: probability that a window is masked.
        replace: probability that it is replaced; it is kept as it is otherwise.

    Returns:
        The segment's `Corruption`.
    """
    chex.assert_rank(window, 1)
    length = window.shape[0]
    fate_key, start_key = jax.random.split(key)
    candidate = window >= 0
    own = jnp.maximum(window, 0)
    size = jax.ops.segment_sum(candidate.astype(jnp.int32), own, num_segments=length)
    position = jnp.arange(length)
    first = jax.ops.segment_min(jnp.where(candidate, position, length), own, num_segments=length)
    fate = jax.random.uniform(fate_key, (length,))[own]
    start = _below(jax.random.uniform(start_key, (length,)), n_steps - size + 1)
    return Corruption(
        masked=candidate & (fate < mask),
        replaced=candidate & (fate >= mask) & (fate < mask + replace),
        source=jnp.where(candidate, start[own] + position - first[own], 0),
    )


def _until_reached(key: chex.PRNGKey, sizes: jax.Array, wanted: jax.Array) -> jax.Array:
    """[L] bool: takes the non-empty entries in random order until their sizes add up to `wanted`."""
    order = jnp.argsort(jnp.where(sizes > 0, jax.random.uniform(key, sizes.shape), jnp.inf))
    in_order = sizes[order]
    reached = jnp.cumsum(in_order) - in_order
    return jnp.zeros(sizes.shape, bool).at[order].set((reached < wanted) & (in_order > 0))


def _ceil(x: jax.Array) -> jax.Array:
    return jnp.ceil(x - _ROUNDING).astype(jnp.int32)


def _below(uniform: jax.Array, bound: jax.Array) -> jax.Array:
    """Integers in [0, bound) from uniform draws in [0, 1)."""
    return jnp.minimum((uniform * bound).astype(jnp.int32), bound - 1)
