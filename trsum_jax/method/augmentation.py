"""The same segment in other coordinates: what frames are to each other stays, what each shows does not."""

import chex
import jax


def permuted(key: chex.PRNGKey, frames: chex.Array) -> chex.Array:
    """A random order and random signs of the features, the same for all frames of a segment (ours).

    Inner products and distances between frames stay, so that nothing else can be learned from.

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
