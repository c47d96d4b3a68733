"""A long short-term memory over padded sequences, for the rivals of this method, which are all built of it.

The products with the inputs, and in the gradient those that make the weights' gradients, are taken over all
steps at once. Only what truly depends on the step before stays in the loop: on a CPU that halves the time of
a cell that is scanned and differentiated as it is (`benchmarks/adversarial.py`).
"""

import functools

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn


def _step(kernel, carry, inputs):
    hidden, cell = carry
    projected, valid = inputs
    gates = projected + hidden @ kernel
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    i, f, g, o = nn.sigmoid(i), nn.sigmoid(f), jnp.tanh(g), nn.sigmoid(o)
    moved = f * cell + i * g
    squashed = jnp.tanh(moved)
    keep = valid[:, None]
    carry = jnp.where(keep, o * squashed, hidden), jnp.where(keep, moved, cell)
    return carry, (carry[0], (i, f, g, o, squashed, cell, hidden))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _scan(kernel, projected, valid, reverse):
    """[H, 4H], [T, B, 4H] and [T, B] bool to [T, B, H]: hidden states, from zero, held over padding."""
    return _forward(kernel, projected, valid, reverse)[0]


def _forward(kernel, projected, valid, reverse):
    zero = jnp.zeros((projected.shape[1], kernel.shape[0]), projected.dtype)
    _, (hidden, kept) = jax.lax.scan(
        functools.partial(_step, kernel), (zero, zero), (projected, valid), reverse=reverse
    )
    return hidden, (kernel, valid, kept)


def _backward(reverse, residuals, g_hidden):
    kernel, valid, kept = residuals
    turned = kernel.T

    def step(carry, inputs):
        g_carried, g_cell = carry
        g, valid, (i, f, c, o, squashed, cell, _) = inputs
        g = g + g_carried
        keep = valid[:, None]
        g_moved = g * o * (1 - squashed**2) + g_cell
        g_gates = jnp.concatenate(
            [
                g_moved * c * i * (1 - i),
                g_moved * cell * f * (1 - f),
                g_moved * i * (1 - c**2),
                g * squashed * o * (1 - o),
            ],
            axis=-1,
        )
        g_gates = jnp.where(keep, g_gates, 0.0)
        carry = jnp.where(keep, g_gates @ turned, g), jnp.where(keep, g_moved * f, g_cell)
        return carry, g_gates

    zero = jnp.zeros_like(g_hidden[0])
    _, g_projected = jax.lax.scan(step, (zero, zero), (g_hidden, valid, kept), reverse=not reverse)
    before = kept[-1]
    g_kernel = before.reshape(-1, before.shape[-1]).T @ g_projected.reshape(-1, g_projected.shape[-1])
    return g_kernel, g_projected, None


_scan.defvjp(_forward, _backward)


class Lstm(nn.Module):
    """Layers of LSTM over a batch of padded sequences.

    Attributes:
        width: H of every layer and direction.
        layers: one on the other.
        bidirectional: run a second one from the end, and hand both on, side by side.
    """

    width: int
    layers: int = 1
    bidirectional: bool = False

    @nn.compact
    def __call__(self, x: chex.Array, valid: chex.Array) -> chex.Array:
        """Hidden states of the last layer at every step.

        Args:
            x: [B, T, D] float32, or [B, 1, D]: the same input at every step.
            valid: [B, T] bool, true up to a sequence's length; over padding the states stand still.

        Returns:
            [B, T, H] float32, [B, T, 2H] where bidirectional; the last valid step's state over padding.
        """
        chex.assert_rank([x, valid], [3, 2])
        by_step = jnp.swapaxes(x, 0, 1)
        # A padded frame's content must not even reach a product: 0 * NaN is NaN.
        by_step = jnp.where(valid.T[: x.shape[1], :, None], by_step, 0.0)
        for layer in range(self.layers):
            outs = []
            for direction in range(1 + self.bidirectional):
                dense = nn.Dense(
                    4 * self.width,
                    kernel_init=nn.initializers.xavier_uniform(),
                    name=f'input_{layer}_{direction}',
                )
                kernel = self.param(
                    f'recurrent_{layer}_{direction}',
                    nn.initializers.orthogonal(),
                    (self.width, 4 * self.width),
                )
                projected = dense(by_step)
                projected = jnp.broadcast_to(projected, (valid.shape[1], *projected.shape[1:]))
                outs.append(_scan(kernel, projected, valid.T, bool(direction)))
            by_step = jnp.concatenate(outs, axis=-1)
        return jnp.swapaxes(by_step, 0, 1)
