"""The reward of an episode: how well the frozen generator rebuilds the video from the chosen frames."""

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.losses import frame_losses, mean_over

RECONSTRUCTIONS = ('composed', 'generator')
FRAMES = ('all', 'unselected')


def reconstruction_reward(
    frames: chex.Array,
    valid: chex.Array,
    action: chex.Array,
    reconstruction: chex.Array,
    *,
    reconstruct: str,
    over: str,
) -> chex.Array:
    """`R = sigmoid(-L_rec)` of one episode (paper).

    Args:
        frames: [L, D], the original features.
        valid: [L] bool.
        action: [L] bool, the frames that the episode selects.
        reconstruction: [L, D], what the generator makes of the selected frames.
        reconstruct: `generator` compares its output as it is; `composed` keeps the selected frames.
        over: `all` compares all valid frames, `unselected` those that the generator did not see.

    Returns:
        A float32 scalar in (0, 1/2].
    """
    chex.assert_rank([frames, reconstruction], 2)
    chex.assert_rank([valid, action], 1)
    losses = frame_losses(frames, reconstruction)
    if reconstruct == 'composed':
        losses = jnp.where(action, 0.0, losses)
    compared = valid & ~action if over == 'unselected' else valid
    return jax.nn.sigmoid(-mean_over(losses, compared))
