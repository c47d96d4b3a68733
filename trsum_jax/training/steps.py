"""What the steps of all stages are made of: gradients, optimizers, and how loops are laid out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from trsum_jax.runtime import sharding
from trsum_jax.training.runs import Rates


class Optimizer(NamedTuple):
    """An optimizer with its learning rate.

    Attributes:
        init: params -> moments.
        update: (params, moments, gradient, epochs done so far) -> (params, moments), of `adamw` with a run's
            own `Rates` behind them.
        rates: of `adamw`, those that runs without their own have.
    """

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]
    rates: Rates | tuple[()] = ()


def over(how: str, function: Callable, items: chex.ArrayTree) -> chex.ArrayTree:
    """Applies a function over the leading axis: `vmap`, one big product; `map`, one after another."""
    return jax.vmap(function)(items) if how == 'vmap' else jax.lax.map(function, items)


def adamw(*, learning_rate: float, warmup: float, epochs: int, weight_decay: float, clip: float) -> Optimizer:
    """AdamW behind a gradient clip, at a learning rate that warms up and then falls along a cosine.

    The rate goes by epochs with fractions, not by steps: runs of different length share one schedule,
    whatever the number of steps that the grid's padding gives them.

    Args:
        learning_rate: the highest.
        warmup: share of the epochs in which it rises from 0.
        epochs: at whose end it is 0.
        weight_decay: times the rate, off every parameter at each step.
        clip: largest norm of the gradient.

    Returns:
        The optimizer.
    """
    usual, rise = Rates(learning_rate, weight_decay, clip), warmup * epochs

    def chain(rates):
        return optax.chain(
            optax.clip_by_global_norm(rates.clip),
            optax.scale_by_adam(),
            optax.add_decayed_weights(rates.weight_decay),
        )

    def rate_at(progress, highest):
        # `optax.warmup_cosine_decay_schedule` is the same, and asks whether the highest is 0.
        rising = optax.linear_schedule(0.0, highest, rise)
        falling = optax.cosine_decay_schedule(highest, epochs - rise)
        return optax.join_schedules([rising, falling], [rise])(progress)

    def update(params, moments, grads, progress, rates=usual):
        updates, moments = chain(rates).update(grads, moments, params)
        rate = rate_at(progress, rates.learning_rate)
        return jax.tree.map(lambda p, u: p - rate * u, params, updates), moments

    return Optimizer(chain(usual).init, update, usual)


def adam(*, learning_rate: float, weight_decay: float, clip: float) -> Optimizer:
    """Adam at a constant rate behind a gradient clip, with the weight decay that is called L2."""
    chain = optax.chain(
        optax.clip_by_global_norm(clip),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_adam(),
        optax.scale(-learning_rate),
    )

    def update(params, moments, grads, progress):
        del progress
        updates, moments = chain.update(grads, moments, params)
        return optax.apply_updates(params, updates), moments

    return Optimizer(chain.init, update)


def apply(
    module: Any, params: Any, keys: chex.PRNGKey, *inputs: chex.Array, method: str = '__call__'
) -> chex.Array:
    """A module in training on a batch of segments at once, with a dropout key for each.

    Args:
        module: a `Generator` or `Summarizer`.
        params: its parameters.
        keys: [B] typed keys.
        *inputs: its inputs, [B, …] each.
        method: of the module.

    Returns:
        What the module gives, [B, …].
    """
    if module.encoder.config.dropout == 0:
        return module.apply({'params': params}, *inputs, method=method)

    def one(key, *inputs):
        return module.apply({'params': params}, *inputs, False, rngs={'dropout': key}, method=method)

    # What is dropped in a segment must not depend on those beside it.
    return jax.vmap(one)(keys, *inputs)


def gradients(
    loss: Callable, params: Any, items: tuple, weight: chex.Array, microbatch: int, shards: int = 1
):
    """Gradient of the weighted mean loss over a batch, and every segment's metrics.

    Args:
        loss: (params, *items) -> ([B], metrics [B, …]), the loss of every segment.
        params: to differentiate by.
        items: [B, …] arrays.
        weight: [B] float32.
        microbatch: segments at a time, a divisor of B / shards. Only float rounding depends on it.
        shards: devices along the mesh's data axis; each takes its part of the batch, and they add up.

    Returns:
        The gradient, and the metrics with a leading axis [B].
    """
    share = weight / jnp.maximum(jnp.sum(weight), 1.0)
    if shards > 1:
        own = sharding.own_part((items, share), shards)
        grads, metrics = _own_gradients(loss, params, *own, microbatch)
        # One reduction a step, not one a microbatch.
        grads = jax.lax.psum(grads, sharding.DATA)
        return grads, jax.lax.all_gather(metrics, sharding.DATA, tiled=True)
    return _own_gradients(loss, params, items, share, microbatch)


def _own_gradients(loss: Callable, params: Any, items: tuple, share: chex.Array, microbatch: int):
    batch = share.shape[0]

    def chunk_loss(params, items, share):
        values, metrics = loss(params, *items)
        return jnp.sum(jnp.where(share > 0, values, 0.0) * share), metrics

    gradient = jax.grad(chunk_loss, has_aux=True)
    if microbatch == batch:
        return gradient(params, items, share)

    def add(total, chunk):
        grads, metrics = gradient(params, *chunk)
        return jax.tree.map(jnp.add, total, grads), metrics

    chunks = jax.tree.map(lambda x: x.reshape(batch // microbatch, microbatch, *x.shape[1:]), (items, share))
    total, metrics = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), chunks)
    return total, jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), metrics)
