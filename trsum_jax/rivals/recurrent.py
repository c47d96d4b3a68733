"""A long short-term memory over padded sequences, for the rivals of this method, which are all built of it.

The products with the inputs, and in the gradient those that make the weights' gradients, are taken over all
steps at once. Only what truly depends on the step before stays in the loop, which on a CPU takes less time
than a cell that is scanned and differentiated as it is (`benchmarks/adversarial.py`). The gates of a step are
one `tanh` over adjacent numbers, since `sigmoid(x) = (1 + tanh(x / 2)) / 2`; split first, they are slow.
"""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

# Gates i, f, g, o are `_SCALE * tanh(_SCALE * x) + _SHIFT`: sigmoids but for the third.
_SCALE = np.array([0.5, 0.5, 1.0, 0.5], np.float32).reshape(1, 4, 1)
_SHIFT = np.array([0.5, 0.5, 0.0, 0.5], np.float32).reshape(1, 4, 1)

_dot = functools.partial(jnp.dot, preferred_element_type=jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(x: chex.Array, kernel: chex.Array, dtype: Any) -> chex.Array:
    """`x @ kernel` of operands rounded to a type, and so in the gradient; summed and returned in float32.

    Args:
        x: [..., A] float32.
        kernel: [A, B] float32.
        dtype: float32 or bfloat16.

    Returns:
        [..., B] float32.
    """
    return _dot(x.astype(dtype), kernel.astype(dtype))


def _turned(matrix, dtype):
    """The transpose, laid out anew: a CPU is slow at products that read a bfloat16 matrix across."""
    return jax.lax.optimization_barrier(matrix.astype(dtype).T)


def _kernel_gradient(x, g, dtype):
    """Of a kernel by which rows x [..., A] were multiplied, from the products' gradient [..., B]: [A, B]."""
    x, g = (rows.reshape(-1, rows.shape[-1]) for rows in (x, g))
    return _dot(_turned(x, dtype), g.astype(dtype))


def _product_forward(x, kernel, dtype):
    return product(x, kernel, dtype), (x, kernel)


def _product_backward(dtype, residuals, g):
    x, kernel = residuals
    return _dot(g.astype(dtype), _turned(kernel, dtype)), _kernel_gradient(x, g, dtype)


product.defvjp(_product_forward, _product_backward)


class Linear(nn.Module):
    """A linear map whose product is taken in a type of its choice.

    Attributes:
        width: of what comes out.
        dtype: of the product's operands.
    """

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: chex.Array, weights: chex.Array | None = None) -> chex.Array:
        """`(weights * x) @ kernel + bias`.

        Args:
            x: [..., D] float32.
            weights: [..., 1] float32, or None for 1. The product is that with `x`, so whoever maps this over
                weights alone pays for it once.

        Returns:
            [..., width] float32.
        """
        kernel = self.param('kernel', nn.initializers.xavier_uniform(), (x.shape[-1], self.width))
        bias = self.param('bias', nn.initializers.zeros_init(), (self.width,))
        out = product(x, kernel, self.dtype)
        return (out if weights is None else weights * out) + jnp.broadcast_to(bias, out.shape)


# Uniform within 1 / sqrt(H). Not orthogonal: as a grid begins, two of LAPACK's decompositions at once may
# wait for each other's threads for ever where there are two cores (jaxlib 0.10).
_within_a_root = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def _step(kernel, dtype, carry, inputs):
    hidden, cell = carry
    projected, valid = inputs
    pre = (projected + product(hidden, kernel, dtype)).reshape(-1, 4, kernel.shape[0])
    squashed = jnp.tanh(_SCALE * pre)
    i, f, g, o = _gates(squashed)
    moved = f * cell + i * g
    keep = valid[:, None]
    carry = jnp.where(keep, o * jnp.tanh(moved), hidden), jnp.where(keep, moved, cell)
    return carry, (*carry, squashed)


def _gates(squashed):
    gates = _SCALE * squashed + _SHIFT
    return tuple(gates[:, k] for k in range(4))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _scan(kernel, projected, valid, reverse, dtype):
    """[H, 4H], [T, B, 4H] and [T, B] bool to [T, B, H]: hidden states, from zero, held over padding."""
    return _forward(kernel, projected, valid, reverse, dtype)[0]


def _forward(kernel, projected, valid, reverse, dtype):
    zero = jnp.zeros((projected.shape[1], kernel.shape[0]), projected.dtype)
    _, (hidden, cell, squashed) = jax.lax.scan(
        functools.partial(_step, kernel, dtype), (zero, zero), (projected, valid), reverse=reverse
    )
    return hidden, (kernel, valid, hidden, cell, squashed)


def _before(states, reverse):
    """The states [T, B, H] that every step began with."""
    zero = jnp.zeros_like(states[:1])
    return jnp.concatenate([states[1:], zero] if reverse else [zero, states[:-1]])


def _backward(reverse, dtype, residuals, g_hidden):
    kernel, valid, hidden, cell, squashed = residuals
    turned = _turned(kernel, dtype)

    def step(carry, inputs):
        g_carried, g_cell = carry
        g, valid, cell, cell_before, squashed = inputs
        g = g + g_carried
        keep = valid[:, None]
        i, f, c, o = _gates(squashed)
        out = jnp.tanh(cell)
        g_moved = g * o * (1 - out**2) + g_cell
        slope = _SCALE**2 * (1 - squashed**2)
        g_pre = slope * jnp.stack([g_moved * c, g_moved * cell_before, g_moved * i, g * out], axis=1)
        g_pre = jnp.where(keep, g_pre.reshape(keep.shape[0], -1), 0.0)
        carry = jnp.where(keep, _dot(g_pre.astype(dtype), turned), g), jnp.where(keep, g_moved * f, g_cell)
        return carry, g_pre

    zero = jnp.zeros_like(g_hidden[0])
    inputs = g_hidden, valid, cell, _before(cell, reverse), squashed
    _, g_projected = jax.lax.scan(step, (zero, zero), inputs, reverse=not reverse)
    return _kernel_gradient(_before(hidden, reverse), g_projected, dtype), g_projected, None


_scan.defvjp(_forward, _backward)


class Lstm(nn.Module):
    """Layers of LSTM over a batch of padded sequences.

    Attributes:
        width: H of every layer and direction.
        layers: one on the other.
        bidirectional: run a second one from the end, and hand both on, side by side.
        dtype: of the operands of all products, float32 or bfloat16; states and gates are float32.
    """

    width: int
    layers: int = 1
    bidirectional: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: chex.Array, valid: chex.Array, weights: chex.Array | None = None) -> chex.Array:
        """Hidden states of the last layer at every step.

        Args:
            x: [B, T, D] float32, or [B, 1, D]: the same input at every step.
            valid: [B, T] bool, true up to a sequence's length; over padding the states stand still.
            weights: [B, T] float32, or None for 1: the first layer reads `weights * x` (see `Linear`).

        Returns:
            [B, T, H] float32, [B, T, 2H] where bidirectional; the last valid step's state over padding.
        """
        chex.assert_rank([x, valid], [3, 2])
        by_step = jnp.swapaxes(x, 0, 1)
        # A padded frame's content must not even reach a product: 0 * NaN is NaN.
        by_step = jnp.where(valid.T[: x.shape[1], :, None], by_step, 0.0)
        scale = None if weights is None else weights.T[..., None]
        for layer in range(self.layers):
            outs = []
            for direction in range(1 + self.bidirectional):
                linear = Linear(4 * self.width, self.dtype, name=f'input_{layer}_{direction}')
                kernel = self.param(
                    f'recurrent_{layer}_{direction}', _within_a_root, (self.width, 4 * self.width)
                )
                projected = linear(by_step, scale)
                projected = jnp.broadcast_to(projected, (valid.shape[1], *projected.shape[1:]))
                outs.append(_scan(kernel, projected, valid.T, bool(direction), self.dtype))
            by_step, scale = jnp.concatenate(outs, axis=-1), None
        return jnp.swapaxes(by_step, 0, 1)
