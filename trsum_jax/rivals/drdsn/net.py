"""DR-DSN, the summarizer whose handcrafted reward this method replaces (Zhou et al., AAAI 2018).

A bidirectional LSTM scores the frames of a whole video; REINFORCE rewards a summary that is diverse and
representative: `R = R_div + R_rep`. The equations are the paper's as they are known; its full text was not at
hand, and that the two parts are added and not averaged could not be confirmed [O]. A summary of fewer than
one frame (two for `R_div`) is worth 0 [O].
"""

from typing import Any

import chex
import jax.numpy as jnp
from flax import linen as nn

from trsum_jax.rivals.recurrent import Lstm

_EPSILON = 1e-8


class Dsn(nn.Module):
    """The deep summarization network: bidirectional LSTM, then one linear unit per frame.

    Attributes:
        width: H of each direction; 256 in the paper.
        dtype: of the operands of the LSTM's products.
    """

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: chex.Array, valid: chex.Array) -> chex.Array:
        """Logits of `p_t`.

        Args:
            frames: [T, D] float32, or [B, T, D].
            valid: [T] bool, or [B, T]; padding never reaches a valid frame.

        Returns:
            [T] float32, or [B, T].
        """
        chex.assert_equal_shape_prefix([frames, valid], valid.ndim)
        single = frames.ndim == 2
        if single:
            frames, valid = frames[None], valid[None]
        hidden = Lstm(self.width, bidirectional=True, dtype=self.dtype, name='lstm')(frames, valid)
        logits = nn.Dense(1, name='score')(hidden)[..., 0]
        return logits[0] if single else logits


def dissimilarities(frames: chex.Array, window: int) -> chex.Array:
    """`d(x_t, x_t') = 1 - cos(x_t, x_t')`, and 1 where the two are more than `window` frames apart.

    Args:
        frames: [T, D] float32.
        window: λ, 20 in the paper.

    Returns:
        [T, T] float32.
    """
    chex.assert_rank(frames, 2)
    unit = frames / jnp.maximum(jnp.linalg.norm(frames, axis=-1, keepdims=True), _EPSILON)
    step = jnp.arange(frames.shape[0])
    far = jnp.abs(step[:, None] - step[None]) > window
    return jnp.where(far, 1.0, 1.0 - unit @ unit.T)


def diversity(dissimilarity: chex.Array, action: chex.Array) -> chex.Array:
    """`R_div`: the mean dissimilarity over all pairs of selected frames.

    Args:
        dissimilarity: [T, T] float32.
        action: [T] bool, the selected frames.

    Returns:
        A float32 scalar; 0 where fewer than two frames are selected.
    """
    chex.assert_rank([dissimilarity, action], [2, 1])
    chosen = action.astype(jnp.float32)
    count = jnp.sum(chosen)
    pairs = chosen @ (dissimilarity @ chosen) - chosen @ jnp.diagonal(dissimilarity)
    return jnp.where(count > 1, pairs / jnp.maximum(count * (count - 1), 1.0), 0.0)
