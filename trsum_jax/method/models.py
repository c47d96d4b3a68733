"""Generator and summarizer: one transformer encoder, twice (paper, section III).

All modules take one segment, `[L, D]`, or any number of leading batch axes. The names of the parameters
under `encoder` are the same in both, so that the summarizer starts from the generator's weights.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from trsum_jax.method.encoder import Encoder
from trsum_jax.method.losses import entropy, keep, mean_frame

MASK_TOKENS = ('zero', 'learned')
# Standard deviation of `w_sc` at the start (ours).
_SCORE_STD = 0.02


class Generator(nn.Module):
    """Reconstructs the masked frames of a segment.

    Attributes:
        encoder: the module inside.
        mask_token: what stands for a masked frame, `zero` or `learned`.
        centred: subtract the mean of the visible frames going in and add it coming out, so that a zero
            frame means "the mean".
        feature_scale: factor on the features going in, divided out again coming out.
        hidden_alone: rebuild only what a bool mask hides, for less arithmetic as a rule; elsewhere anything
            may stand. It has no reverse derivative.
    """

    encoder: Encoder
    mask_token: str = 'zero'
    centred: bool = True
    feature_scale: float = 1.0
    hidden_alone: bool = False

    @nn.compact
    def __call__(
        self,
        frames: jax.Array,
        valid: jax.Array,
        masked: jax.Array,
        wanted: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Reconstructs frames from those that are not masked.

        Args:
            frames: [..., L, D] float32.
            valid: [..., L] bool.
            masked: [..., L] bool; what `frames` holds there has no influence. Float in [0, 1]: the share of
                the mask token in a frame, to differentiate by.
            wanted: [..., K] int32, different positions to reconstruct; all L by default.
            deterministic: no dropout.

        Returns:
            [..., K, D] float32.
        """
        visible = valid & ~masked if masked.dtype == bool else jnp.where(valid, 1.0 - masked, 0.0)
        mean = _mean_of(frames, visible) if self.centred else jnp.zeros(())
        x = keep((frames - mean) * self.feature_scale, visible)
        if self.mask_token == 'learned':
            token = self.param('mask_token', nn.initializers.normal(0.02), (frames.shape[-1],))
            hidden = valid & masked if masked.dtype == bool else jnp.where(valid, masked, 0.0)
            x = x + keep(jnp.broadcast_to(token, x.shape), hidden)
        if self.hidden_alone and masked.dtype == bool and not self.is_initializing():
            wanted = valid & masked
        x = self.encoder(x, valid, deterministic, wanted)
        if x.shape[-1] != frames.shape[-1]:
            x = nn.Dense(frames.shape[-1], dtype=self.encoder.config.dtype, name='map_out')(x)
        return x.astype(jnp.float32) / self.feature_scale + mean


class Summarizer(nn.Module):
    """Scores the frames of a segment: `p_t = sigmoid(h_t · w_sc)`, the probability of `a_t ~ Bernoulli(p_t)`.

    Attributes:
        encoder: the module inside, of the generator's sizes.
        centred: subtract the mean of the valid frames going in.
        feature_scale: factor on the features going in, the generator's.
        value: give, beside the logits, what the segment's reward is expected to be over its video's average.
            The head reads the encoder's mean output, teaches the encoder nothing, and begins at 0.
    """

    encoder: Encoder
    centred: bool = True
    feature_scale: float = 1.0
    value: bool = False

    def __call__(self, frames: jax.Array, valid: jax.Array, deterministic: bool = True) -> jax.Array:
        """Gives the logits of `p`.

        Args:
            frames: [..., L, D] float32.
            valid: [..., L] bool.
            deterministic: no dropout.

        Returns:
            [..., L] float32.
        """
        found = self.policy(frames, valid, deterministic)
        return self.scores(found[0] if self.value else found, valid)

    @nn.compact
    def policy(self, frames: jax.Array, valid: jax.Array, deterministic: bool = True) -> Any:
        """Gives what actions are drawn from, as `heads`, or with `value` a pair of it and [...] float32."""
        mean = _mean_of(frames, valid) if self.centred else jnp.zeros(())
        x = jnp.where(valid[..., None], (frames - mean) * self.feature_scale, 0.0)
        x = self.encoder(x, valid, deterministic).astype(jnp.float32)
        logits = self.heads(x)
        if not self.value:
            return logits
        pooled = jax.lax.stop_gradient(_mean_of(x, valid)[..., 0, :])
        pooled = nn.LayerNorm(use_bias=False, use_scale=False)(pooled)
        head = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros, name='value')
        # The mean and not the sum over the width: a step of Adam moves a value by about the rate at most.
        return logits, head(pooled)[..., 0] / pooled.shape[-1]

    def heads(self, x: jax.Array) -> jax.Array:
        """The policy's logits of the encoder's output [..., L, width]: here those of `p`, [..., L]."""
        score = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.normal(_SCORE_STD), name='score')
        return score(x)[..., 0]

    @staticmethod
    def scores(logits: jax.Array, valid: jax.Array) -> jax.Array:
        """The logits of `p`, [..., L], from the policy's."""
        del valid
        return logits

    @staticmethod
    def entropy(logits: jax.Array, valid: jax.Array) -> jax.Array:
        """Of the policy, nats a frame, a scalar, from one segment's logits."""
        return entropy(logits, valid)


def count_parameters(params: Any) -> int:
    """Number of scalars in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _mean_of(frames: jax.Array, chosen: jax.Array) -> jax.Array:
    """[..., L, D] and [..., L] to [..., 1, D]: `mean_frame` under leading axes."""
    return jnp.vectorize(mean_frame, signature='(l,d),(l)->(d)')(frames, chosen)[..., None, :]
