"""The transformer encoder that generator and summarizer share (paper, section III)."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

POSITIONS = ('sinusoidal', 'none')
# A comparison of each frame with the rest: softmax(0.49 x·y) averages similar frames, and -I subtracts them.
_COSINE_QUERY = 0.7
# Shares of a segment's frames that the last block is computed for: the least that holds all wanted ones.
_SHARES = (5 / 8, 3 / 4)


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """What an encoder is made of (the paper's sizes: 1024, 3, 8; 4096 gives its 37.8M).

    Attributes:
        width: W, columns of the hidden states.
        layers: blocks.
        heads: of the attention; a divisor of the width.
        feed_forward: inner width of the feed-forward networks.
        positions: one of `POSITIONS`.
        dropout: rate on the attention weights and on both residual branches, 0 for none.
        cosine_start: the first attention starts as a comparison of each frame with the rest:
            `q = k = 0.7 I`, `v = I`, `out = -I`.
        dtype: of the products; parameters and the softmax are float32.
        remat: gradients compute each block anew instead of keeping what is inside it.
    """

    width: int = 1024
    layers: int = 3
    heads: int = 8
    feed_forward: int = 4096
    positions: str = 'sinusoidal'
    dropout: float = 0.0
    cosine_start: bool = False
    dtype: Any = jnp.float32
    remat: bool = False


@jax.custom_vjp
def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """`jnp.matmul` whose gradient copies the smaller factor where it needs it transposed.

    Left to itself the compiler takes a slow product for `a.T @ g` with leading axes on a CPU, three times the
    cost of the copy and the fast one.
    """
    return jnp.matmul(a, b)


def _product_gradients(factors: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    def turned(x: jax.Array) -> jax.Array:
        return jax.lax.optimization_barrier(jnp.swapaxes(x, -1, -2))

    a, b = factors
    by_b = jnp.swapaxes(turned(g) @ a, -1, -2) if a.size > g.size else turned(a) @ g
    return g @ jnp.swapaxes(b, -1, -2), by_b


_product.defvjp(lambda a, b: (_product(a, b), (a, b)), _product_gradients)


class Attention(nn.Module):
    """Multi-head self-attention with one fused query-key-value product.

    Attributes:
        config: the encoder's.
        first: whether it is the encoder's first, which `cosine_start` concerns.
    """

    config: EncoderConfig
    first: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, valid: jax.Array, deterministic: bool, rows: jax.Array | None = None
    ) -> jax.Array:
        """[B * L, W] and [B, L] bool to [B * L, W], B of any rank; padded positions are never attended to.

        With `rows`, [B * K] int32, only these look at the others: [B * K, W] comes out.
        """
        width, heads, dtype = x.shape[-1], self.config.heads, self.config.dtype
        inner, outer = nn.initializers.xavier_uniform(), nn.initializers.xavier_uniform()
        if self.config.cosine_start and self.first:
            inner, outer = _identity(_COSINE_QUERY, _COSINE_QUERY, 1.0), _identity(-1.0)
        fused = nn.Dense(3 * width, kernel_init=inner, dtype=dtype, name='query_key_value')(x)
        query, key, value = jnp.split(fused, 3, axis=-1)
        by_head = (*valid.shape[:-1], -1, heads, width // heads)
        query, key, value = (
            jnp.swapaxes(part.reshape(by_head), -2, -3) for part in (_at(query, rows), key, value)
        )
        out = nn.Dense(width, kernel_init=outer, dtype=dtype, name='out')
        logits = _product(query * (width // heads) ** -0.5, jnp.swapaxes(key, -1, -2))
        padding = jnp.where(valid, 0.0, -1e30)[..., None, None, :]
        logits = logits.astype(jnp.float32) + padding
        # A softmax whose division waits for the product with the values, where it has L / d times less to do.
        # By the reciprocal, because XLA replaces such a division by it on some meshes and not on others.
        odds = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True)))
        total = jnp.sum(odds, axis=-1, keepdims=True)
        odds = nn.Dropout(self.config.dropout, name='weights')(odds, deterministic)
        mixed = (_product(odds.astype(value.dtype), value) * (1.0 / total)).astype(dtype)
        return out(jnp.swapaxes(mixed, -2, -3).reshape(-1, width))


class Block(nn.Module):
    """Self-attention and a feed-forward network (GELU), each behind a layer norm and with a residual path.

    Attributes:
        config: the encoder's.
        first: as in `Attention`.
    """

    config: EncoderConfig
    first: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, valid: jax.Array, deterministic: bool, rows: jax.Array | None = None
    ) -> jax.Array:
        """[B * L, W] and [B, L] bool to [B * L, W], or with `rows`, [B * K] int32, to [B * K, W]."""
        dtype, drop = self.config.dtype, nn.Dropout(self.config.dropout)
        attention = Attention(self.config, self.first, name='attention')
        widen = nn.Dense(self.config.feed_forward, dtype=dtype, name='widen')
        narrow = nn.Dense(x.shape[-1], dtype=dtype, name='narrow')
        norms = [nn.LayerNorm(dtype=dtype, name=f'norm_{name}') for name in ('attention', 'feed_forward')]
        x = _at(x, rows) + drop(attention(norms[0](x), valid, deterministic, rows), deterministic)
        return x + drop(narrow(nn.gelu(widen(norms[1](x)))), deterministic)


class Encoder(nn.Module):
    """A transformer encoder without a final norm; a linear map in where the features are not `width` wide.

    Attributes:
        config: what it is made of.
    """

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        valid: jax.Array,
        deterministic: bool = True,
        wanted: jax.Array | None = None,
    ) -> jax.Array:
        """[..., L, D] and [..., L] bool to [..., L, width].

        With `wanted`, [..., K] int32 different positions, to [..., K, width]: the last block leaves out the
        others, which nothing reads. With `wanted` [..., L] bool there are zeros at the others, of which the
        last block leaves out some where few are wanted in all of a batch; this has no reverse derivative.
        """
        chex.assert_shape(valid, x.shape[:-1])
        config = self.config
        if x.shape[-1] != config.width:
            x = nn.Dense(config.width, dtype=config.dtype, name='map_in')(x)
        length = x.shape[-2]
        if config.positions == 'sinusoidal':
            x = x + jnp.broadcast_to(sinusoids(length, config.width), x.shape)
        # One row a frame: the gradient of a product by three-dimensional input is 3 times as slow on a CPU.
        shape, valid = x.shape, valid.reshape(-1, length)
        x = x.astype(config.dtype).reshape(-1, config.width)
        # `deterministic` is argument 3, the module itself being 0.
        block = nn.remat(Block, static_argnums=(3,)) if config.remat else Block
        for i in range(config.layers - 1):
            x = block(config, i == 0, name=f'block_{i}')(x, valid, deterministic)
        first, name, rows = config.layers == 1, f'block_{config.layers - 1}', None
        if wanted is not None and wanted.dtype == bool:
            last = functools.partial(Block(config, first, parent=None).apply, deterministic=deterministic)
            params = {'params': self.variables['params'][name]}
            return _where(wanted.reshape(-1, length), last, params, x, valid).reshape(shape)
        if wanted is not None:
            shape = (*wanted.shape, config.width)
            rows = _rows(wanted.reshape(len(valid), -1), length)
        return block(config, first, name=name)(x, valid, deterministic, rows).reshape(shape)


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


def _where(
    wanted: jax.Array, block: Callable[..., Any], params: Any, x: jax.Array, valid: jax.Array
) -> jax.Array:
    """A block's [B * L, W] at the wanted frames, [B, L] bool, and zeros elsewhere.

    Of every segment so many frames are computed as that with the most wanted ones needs: one of `_SHARES`, or
    all. Where each of 128 frames is as likely wanted as not, one segment of 590 has more than 80, one batch
    of 40 in 15, and none more than 96.
    """
    length = wanted.shape[-1]
    few = [most for most in sorted({math.ceil(share * length) for share in _SHARES}) if most < length]

    def some(most: int, params: Any, x: jax.Array, valid: jax.Array, wanted: jax.Array) -> jax.Array:
        chosen = jnp.argsort(~wanted, axis=-1)[:, :most]
        found = block(params, x, valid, rows=_rows(chosen, length))
        back = jnp.minimum(jnp.cumsum(wanted, axis=-1) - wanted, most - 1)
        return found.at[_rows(back, most)].get(mode='promise_in_bounds')

    def all_(params: Any, x: jax.Array, valid: jax.Array, wanted: jax.Array) -> jax.Array:
        del wanted
        return block(params, x, valid)

    size = jnp.sum(jnp.max(jnp.sum(wanted, axis=-1)) > np.array(few))
    found = _chosen([*(functools.partial(some, most) for most in few), all_])(size, params, x, valid, wanted)
    return jnp.where(wanted.reshape(-1, 1), found, 0.0)


def _chosen(branches: Sequence[Callable[..., jax.Array]]) -> Callable[..., jax.Array]:
    """`lax.switch` that stays one under `vmap`, where it goes by the greatest index of all.

    Left to itself it becomes a choice between the results of all branches.
    """
    call = jax.custom_batching.custom_vmap(lambda index, *inputs: jax.lax.switch(index, branches, *inputs))

    @call.def_vmap
    def rule(size: int, batched: list[Any], index: jax.Array, *inputs: Any) -> tuple[jax.Array, bool]:
        axes = jax.tree.map(lambda own: 0 if own else None, tuple(batched[1:]))
        each = [jax.vmap(branch, axes, axis_size=size) for branch in branches]
        return _chosen(each)(jnp.max(index), *inputs), True

    return call


def _rows(positions: jax.Array, length: int) -> jax.Array:
    """[B, K] int32 positions in segments of a length, as rows [B * K] of all of them."""
    return (positions + length * jnp.arange(len(positions), dtype=jnp.int32)[:, None]).ravel()


def _at(x: jax.Array, rows: jax.Array | None) -> jax.Array:
    """`x[rows]` of different rows within bounds; `x` where there are none."""
    return x if rows is None else x.at[rows].get(mode='promise_in_bounds', unique_indices=True)


def _identity(*scales: float) -> nn.initializers.Initializer:
    """Initializer of a square kernel, or of several side by side, each a multiple of the identity."""

    def init(key: chex.PRNGKey, shape: tuple[int, int], dtype: Any = jnp.float32) -> jax.Array:
        del key
        return jnp.concatenate([scale * jnp.eye(shape[0], dtype=dtype) for scale in scales], axis=1)

    return init
