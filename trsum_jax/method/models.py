"""Generator and summarizer: one transformer encoder, twice (paper, section III).

All modules take one segment, `[L, D]`, or any number of leading batch axes. The names of the parameters
under `encoder` are the same in both, so that the summarizer starts from the generator's weights.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from trsum_jax.method.losses import keep, mean_frame

POSITIONS = ('sinusoidal', 'learned', 'none')
NORMS = ('pre', 'post')
ACTIVATIONS = ('gelu', 'relu', 'silu')
MASK_TOKENS = ('zero', 'learned')
# A comparison of each frame with the rest: softmax(0.49 x·y) averages similar frames, and -I subtracts them.
_COSINE_QUERY = 0.7


@jax.custom_vjp
def _product(a: chex.Array, b: chex.Array) -> chex.Array:
    """`jnp.matmul` whose gradient copies the smaller factor where it needs it transposed.

    Left to itself the compiler takes a slow product for `a.T @ g` with leading axes on a CPU, three times the
    cost of the copy and the fast one.
    """
    return jnp.matmul(a, b)


def _product_gradients(factors, g):
    def turned(x):
        return jax.lax.optimization_barrier(jnp.swapaxes(x, -1, -2))

    a, b = factors
    by_b = jnp.swapaxes(turned(g) @ a, -1, -2) if a.size > g.size else turned(a) @ g
    return g @ jnp.swapaxes(b, -1, -2), by_b


_product.defvjp(lambda a, b: (_product(a, b), (a, b)), _product_gradients)


class Attention(nn.Module):
    """Multi-head self-attention with one fused query-key-value product.

    Attributes:
        heads: number of heads; divides the width.
        dropout: rate on the attention weights.
        cosine_start: start as `q = k = 0.7 I`, `v = I`, `out = -I`.
        dtype: of the products; the softmax is float32.
    """

    heads: int
    dropout: float
    cosine_start: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, x: chex.Array, valid: chex.Array, deterministic: bool, rows: chex.Array | None = None
    ) -> chex.Array:
        """[B * L, W] and [B, L] bool to [B * L, W], B of any rank; padded positions are never attended to.

        With `rows`, [B * K] int32, only these look at the others: [B * K, W] comes out.
        """
        width = x.shape[-1]
        inner, outer = nn.initializers.xavier_uniform(), nn.initializers.xavier_uniform()
        if self.cosine_start:
            inner, outer = _identity(_COSINE_QUERY, _COSINE_QUERY, 1.0), _identity(-1.0)
        fused = nn.Dense(3 * width, kernel_init=inner, dtype=self.dtype, name='query_key_value')(x)
        query, key, value = jnp.split(fused, 3, axis=-1)
        by_head = (*valid.shape[:-1], -1, self.heads, width // self.heads)
        query, key, value = (
            jnp.swapaxes(part.reshape(by_head), -2, -3) for part in (_at(query, rows), key, value)
        )
        logits = _product(query * (width // self.heads) ** -0.5, jnp.swapaxes(key, -1, -2))
        padding = jnp.where(valid, 0.0, -1e30)[..., None, None, :]
        logits = logits.astype(jnp.float32) + padding
        # A softmax whose division waits for the product with the values, where it has L / d times less to do.
        # By the reciprocal, because XLA replaces such a division by it on some meshes and not on others.
        odds = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True)))
        total = jnp.sum(odds, axis=-1, keepdims=True)
        odds = nn.Dropout(self.dropout, name='weights')(odds, deterministic)
        mixed = (_product(odds.astype(value.dtype), value) * (1.0 / total)).astype(self.dtype)
        mixed = jnp.swapaxes(mixed, -2, -3).reshape(-1, width)
        return nn.Dense(width, kernel_init=outer, dtype=self.dtype, name='out')(mixed)


class Block(nn.Module):
    """Self-attention and a feed-forward network, each with a residual path and a layer norm.

    Attributes:
        heads, dropout, cosine_start, dtype: as in `Attention`; dropout also on both residual branches.
        feed_forward: inner width of the feed-forward network.
        norm: `pre` or `post`.
        activation: one of `ACTIVATIONS`.
    """

    heads: int
    feed_forward: int
    norm: str
    activation: str
    dropout: float
    cosine_start: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, x: chex.Array, valid: chex.Array, deterministic: bool, rows: chex.Array | None = None
    ) -> chex.Array:
        """[B * L, W] and [B, L] bool to [B * L, W], or with `rows`, [B * K] int32, to [B * K, W]."""
        attention = Attention(self.heads, self.dropout, self.cosine_start, self.dtype, name='attention')
        widen = nn.Dense(self.feed_forward, dtype=self.dtype, name='widen')
        narrow = nn.Dense(x.shape[-1], dtype=self.dtype, name='narrow')
        activation = getattr(nn, self.activation)
        drop = nn.Dropout(self.dropout)
        norms = [
            nn.LayerNorm(dtype=self.dtype, name=f'norm_{name}') for name in ('attention', 'feed_forward')
        ]
        if self.norm == 'pre':
            x = _at(x, rows) + drop(attention(norms[0](x), valid, deterministic, rows), deterministic)
            return x + drop(narrow(activation(widen(norms[1](x)))), deterministic)
        x = norms[0](_at(x, rows) + drop(attention(x, valid, deterministic, rows), deterministic))
        return norms[1](x + drop(narrow(activation(widen(x))), deterministic))


class Encoder(nn.Module):
    """A transformer encoder without a final norm; a linear map in where the features are not `width` wide.

    Attributes:
        width, layers, heads, feed_forward: sizes (the paper's: 1024, 3, 8; 4096 gives its 37.8M).
        norm: `pre` or `post`.
        positions: one of `POSITIONS`.
        activation: one of `ACTIVATIONS`.
        dropout: rate, 0 for none.
        cosine_start: the first attention starts as a comparison of each frame with the rest.
        dtype: of the arithmetic; parameters are float32.
        remat: gradients compute each block anew instead of keeping what is inside it.
    """

    width: int = 1024
    layers: int = 3
    heads: int = 8
    feed_forward: int = 4096
    norm: str = 'pre'
    positions: str = 'sinusoidal'
    activation: str = 'gelu'
    dropout: float = 0.0
    cosine_start: bool = False
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        x: chex.Array,
        valid: chex.Array,
        deterministic: bool = True,
        wanted: chex.Array | None = None,
    ) -> chex.Array:
        """[..., L, D] and [..., L] bool to [..., L, width].

        With `wanted`, [..., K] int32 different positions, to [..., K, width]: the last block leaves out the
        others, which nothing reads.
        """
        chex.assert_shape(valid, x.shape[:-1])
        if x.shape[-1] != self.width:
            x = nn.Dense(self.width, dtype=self.dtype, name='map_in')(x)
        length = x.shape[-2]
        if self.positions == 'sinusoidal':
            x = x + jnp.broadcast_to(sinusoids(length, self.width), x.shape)
        elif self.positions == 'learned':
            table = self.param('positions', nn.initializers.normal(0.02), (length, self.width))
            x = x + jnp.broadcast_to(table, x.shape)
        # One row a frame: the gradient of a product by three-dimensional input is 3 times as slow on a CPU.
        shape, valid = x.shape, valid.reshape(-1, length)
        x = x.astype(self.dtype).reshape(-1, self.width)
        rows = None
        if wanted is not None:
            shape = (*wanted.shape, self.width)
            rows = wanted.reshape(len(valid), -1) + length * jnp.arange(len(valid), dtype=jnp.int32)[:, None]
            rows = rows.ravel()
        # `deterministic` is argument 3, the module itself being 0.
        block = nn.remat(Block, static_argnums=(3,)) if self.remat else Block
        for i in range(self.layers):
            x = block(
                self.heads,
                self.feed_forward,
                self.norm,
                self.activation,
                self.dropout,
                self.cosine_start and i == 0,
                self.dtype,
                name=f'block_{i}',
            )(x, valid, deterministic, rows if i == self.layers - 1 else None)
        return x.reshape(shape)


class Generator(nn.Module):
    """Reconstructs the masked frames of a segment.

    Attributes:
        encoder: its sizes.
        mask_token: what stands for a masked frame, `zero` or `learned`.
        centred: subtract the mean of the visible frames going in and add it coming out, so that a zero
            frame means "the mean".
        feature_scale: factor on the features going in, divided out again coming out.
    """

    encoder: Encoder
    mask_token: str = 'zero'
    centred: bool = True
    feature_scale: float = 1.0

    @nn.compact
    def __call__(
        self,
        frames: chex.Array,
        valid: chex.Array,
        masked: chex.Array,
        wanted: chex.Array | None = None,
        deterministic: bool = True,
    ) -> chex.Array:
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
        x = self.encoder(x, valid, deterministic, wanted)
        if x.shape[-1] != frames.shape[-1]:
            x = nn.Dense(frames.shape[-1], dtype=self.encoder.dtype, name='map_out')(x)
        return x.astype(jnp.float32) / self.feature_scale + mean


class Summarizer(nn.Module):
    """Scores the frames of a segment: `p_t = sigmoid(h_t · w_sc)`.

    Attributes:
        encoder: its sizes, the generator's.
        centred: subtract the mean of the valid frames going in.
        feature_scale: factor on the features going in, the generator's.
        score_std: standard deviation of `w_sc` at the start.
    """

    encoder: Encoder
    centred: bool = True
    feature_scale: float = 1.0
    score_std: float = 0.02

    @nn.compact
    def __call__(self, frames: chex.Array, valid: chex.Array, deterministic: bool = True) -> chex.Array:
        """Gives the logits of `p`.

        Args:
            frames: [..., L, D] float32.
            valid: [..., L] bool.
            deterministic: no dropout.

        Returns:
            [..., L] float32.
        """
        mean = _mean_of(frames, valid) if self.centred else jnp.zeros(())
        x = jnp.where(valid[..., None], (frames - mean) * self.feature_scale, 0.0)
        x = self.encoder(x, valid, deterministic)
        score = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.normal(self.score_std), name='score')
        return score(x.astype(jnp.float32))[..., 0]


def sinusoids(length: int, width: int) -> np.ndarray:
    """Sinusoidal positions (Vaswani et al., 2017): sines in the even columns, cosines in the odd ones.

    Args:
        length: positions.
        width: columns.

    Returns:
        [length, width] float32.
    """
    columns = np.arange(width)
    angle = np.arange(length)[:, None] / 10000.0 ** (2 * (columns // 2) / width)
    return np.where(columns % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


def count_parameters(params: Any) -> int:
    """Number of scalars in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _at(x: chex.Array, rows: chex.Array | None) -> chex.Array:
    """`x[rows]` of different rows within bounds; `x` where there are none."""
    return x if rows is None else x.at[rows].get(mode='promise_in_bounds', unique_indices=True)


def _mean_of(frames: chex.Array, chosen: chex.Array) -> chex.Array:
    """[..., L, D] and [..., L] to [..., 1, D]: `mean_frame` under leading axes."""
    return jnp.vectorize(mean_frame, signature='(l,d),(l)->(d)')(frames, chosen)[..., None, :]


def _identity(*scales: float):
    """Initializer of a square kernel, or of several side by side, each a multiple of the identity."""

    def init(key: chex.PRNGKey, shape: tuple[int, int], dtype: Any = jnp.float32) -> chex.Array:
        del key
        return jnp.concatenate([scale * jnp.eye(shape[0], dtype=dtype) for scale in scales], axis=1)

    return init
