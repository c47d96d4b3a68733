"""The reward of an episode: how well the frozen generator rebuilds the video from the chosen frames."""

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.losses import frame_losses, mean_over

RECONSTRUCTIONS = ('composed', 'generator')
FRAMES = ('all', 'unselected')


def unselected(action: jax.Array) -> jax.Array:
    """`1 - a`: the frames that an action hides, bool or float as the action is."""
    return ~action if action.dtype == bool else 1.0 - action


def reward_and_parts(
    frames: jax.Array,
    valid: jax.Array,
    action: jax.Array,
    reconstruction: jax.Array,
    *,
    reconstruct: str,
    over: str,
) -> tuple[jax.Array, jax.Array]:
    """`R = sigmoid(-L_rec)` of one episode (paper), and each frame's part in it.

    With a float action a frame's loss is multiplied by `1 - a` (`composed`), and so is its weight in the mean
    (`unselected`). At 0 and 1 that is what a bool action gives.

    Args:
        frames: [L, D], the original features.
        valid: [L] bool.
        action: [L] bool, the frames that the episode selects; or float in [0, 1], to differentiate by.
        reconstruction: [L, D], what the generator makes of the selected frames.
        reconstruct: `generator` compares its output as it is; `composed` keeps the selected frames.
        over: `all` compares all valid frames, `unselected` those that the generator did not see.

    Returns:
        A float32 scalar in (0, 1/2], and [L] float32, `-R (1 - R)` times a frame's share in `L_rec`: what the
        frame adds to the reward, to first order.
    """
    chex.assert_rank([frames, reconstruction], 2)
    chex.assert_rank([valid, action], 1)
    losses, hidden = frame_losses(frames, reconstruction), unselected(action)
    if reconstruct == 'composed':
        losses = jnp.where(hidden, losses, 0.0) if hidden.dtype == bool else hidden * losses
    compared = valid
    if over == 'unselected':
        compared = valid & hidden if hidden.dtype == bool else jnp.where(valid, hidden, 0.0)
    weights = compared.astype(jnp.float32)
    shares = weights * jnp.where(valid, losses, 0.0) / jnp.maximum(jnp.sum(weights), 1.0)
    # `mean_over` does not differentiate by a weight of 0, which a hard float action has.
    total = mean_over(losses, compared) if compared.dtype == bool else jnp.sum(shares)
    reward = jax.nn.sigmoid(-total)
    return reward, -reward * (1.0 - reward) * shares
