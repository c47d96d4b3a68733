"""The reconstruction loss (paper, L_rec) and the two trivial reconstructions that it is compared with."""

import chex
import jax
import jax.numpy as jnp
import optax

_EPSILON = 1e-8


def frame_losses(frames: jax.Array, reconstruction: jax.Array) -> jax.Array:
    """`mean_d |e - ê| + 1 - cos(e, ê)` of every frame.

    Args:
        frames: [L, D], the original features.
        reconstruction: [L, D].

    Returns:
        [L] float32.
    """
    chex.assert_rank([frames, reconstruction], 2)
    chex.assert_equal_shape([frames, reconstruction])
    frames, reconstruction = frames.astype(jnp.float32), reconstruction.astype(jnp.float32)
    absolute = jnp.mean(jnp.abs(frames - reconstruction), axis=-1)
    # Divided at the end: a division of each frame is compiled in two ways, to other bits on other meshes.
    product = jnp.sum(frames * reconstruction, axis=-1)
    norms = [optax.safe_norm(x, _EPSILON, axis=-1) for x in (frames, reconstruction)]
    return absolute + 1.0 - product / (norms[0] * norms[1])


def mean_over(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Mean by weight; 0 where all weights are 0. A value of weight 0 may be anything, NaN included.

    Args:
        values: [K] float.
        weights: [K] bool or float.

    Returns:
        A float32 scalar.
    """
    chex.assert_equal_shape([values, weights])
    weights = weights.astype(jnp.float32)
    total = jnp.sum(weights)
    return jnp.sum(jnp.where(weights > 0, values, 0.0) * weights) / jnp.where(total > 0, total, 1.0)


def keep(frames: jax.Array, chosen: jax.Array) -> jax.Array:
    """The chosen frames, zeros elsewhere; in part where `chosen` is float, and differentiable by it.

    Args:
        frames: [..., L, D] float.
        chosen: [..., L] bool, or float in [0, 1].

    Returns:
        [..., L, D], of the frames' type.
    """
    if chosen.dtype == bool:
        # Not a product: what stands in a frame that is left out may be anything.
        return jnp.where(chosen[..., None], frames, 0.0)
    return frames * chosen[..., None]


def mean_frame(frames: jax.Array, chosen: jax.Array) -> jax.Array:
    """Mean feature of the chosen frames; zeros where none is chosen.

    Args:
        frames: [L, D] float.
        chosen: [L] bool, or float in [0, 1]; less than one frame in all counts as one.

    Returns:
        [D] float32.
    """
    chex.assert_rank([frames, chosen], [2, 1])
    total = jnp.maximum(jnp.sum(chosen), 1).astype(jnp.float32)
    return jnp.sum(keep(frames.astype(jnp.float32), chosen), axis=0) / total


def copy_nearest(frames: jax.Array, visible: jax.Array) -> jax.Array:
    """The reconstruction that copies, to every position, the nearest visible frame (the earlier on a tie).

    Args:
        frames: [L, D].
        visible: [L] bool.

    Returns:
        [L, D], zeros where no frame is visible.
    """
    chex.assert_rank([frames, visible], [2, 1])
    length = visible.shape[0]
    position = jnp.arange(length)
    distance = jnp.where(visible[None], jnp.abs(position[:, None] - position[None]), 2 * length)
    nearest = frames[jnp.argmin(distance, axis=1)]
    return jnp.where(jnp.any(visible), nearest, 0.0)


def entropy(logits: jax.Array, valid: jax.Array) -> jax.Array:
    """Mean over frames of `entropies`: what keeps a policy from deciding early.

    Args:
        logits: [L] float32.
        valid: [L] bool.

    Returns:
        A float32 scalar, from 0 to log 2.
    """
    chex.assert_rank([logits, valid], 1)
    return mean_over(entropies(logits), valid)


def entropies(logits: jax.Array) -> jax.Array:
    """`-p log p - (1 - p) log(1 - p)` of `p = sigmoid(logit)`, in nats.

    Args:
        logits: any shape, float32.

    Returns:
        The same shape, from 0 to log 2.
    """
    taken = jax.nn.sigmoid(logits) * jax.nn.log_sigmoid(logits)
    left = jax.nn.sigmoid(-logits) * jax.nn.log_sigmoid(-logits)
    return -(taken + left)
