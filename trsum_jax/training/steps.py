"""What every stage's step is made of: gradients, the optimizer, and how loops are laid out."""

import math
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import ml_collections
import optax

from trsum_jax.training import sharding


class Run(NamedTuple):
    """What tells one run from another.

    Attributes:
        key: a typed key, made of the seed and the fold alone.
        segments: [M] int32, the segments of its training videos, padded to the longest fold.
        weight: [M] float32, 1 for a segment, 0 for padding.
        dials: float32 scalars by name of a config field, where the runs of a grid differ in its number
            (`joint.DIALS`); a number that all of them share is a constant of the program.
    """

    key: chex.PRNGKey
    segments: chex.Array
    weight: chex.Array
    dials: Mapping[str, chex.Array] = {}


def own(config: ml_collections.ConfigDict, part: str, run: Run) -> types.SimpleNamespace:
    """A part of the config with the numbers in which a run differs from the others of its grid.

    Args:
        config: the whole config.
        part: such as `summarizer`.
        run: whose `dials` are taken before the config's numbers.

    Returns:
        The part's fields.
    """
    return types.SimpleNamespace(
        **{name: run.dials.get(f'{part}.{name}', value) for name, value in config[part].items()}
    )


def over(how: str, function: Callable, items: chex.ArrayTree) -> chex.ArrayTree:
    """Applies a function over the leading axis: `vmap`, one big product; `map`, one after another."""
    return jax.vmap(function)(items) if how == 'vmap' else jax.lax.map(function, items)


def how_here(how: str) -> str:
    """What `auto` means here: `map` on a CPU, where big temporaries cost more than loops; else `vmap`."""
    if how != 'auto':
        return how
    return 'map' if jax.default_backend() == 'cpu' else 'vmap'


def dtype_here(config: ml_collections.ConfigDict) -> Any:
    """The type that `config.model.dtype` asks for: for `auto`, float32 on a CPU and bfloat16 elsewhere."""
    dtype = config.model.dtype
    if dtype == 'auto':
        dtype = 'float32' if jax.default_backend() == 'cpu' else 'bfloat16'
    return jnp.dtype(dtype)


def microbatch_here(microbatch: int, batch: int) -> int:
    """Segments at a time: what `layout.microbatch` means here for a device's `batch` segments.

    -1 stands for the whole batch, but on a CPU for 8, or the next smaller divisor: there the temporaries of
    a large batch do not fit the caches. 0 stands for the whole batch everywhere. A number that does not
    divide a device's part of the batch becomes their greatest common divisor.
    """
    if microbatch > 0:
        return math.gcd(microbatch, batch)
    if microbatch == 0 or jax.default_backend() != 'cpu':
        return batch
    return max(size for size in range(1, 9) if batch % size == 0)


def stream(key: chex.PRNGKey, name: str) -> chex.PRNGKey:
    """A run's named stream of random numbers."""
    names = (
        *('generator init', 'generator', 'summarizer init', 'summarizer', 'untrained heads'),
        *('rival init', 'rival'),
    )
    return jax.random.fold_in(key, names.index(name))


def adamw(settings: ml_collections.ConfigDict) -> optax.GradientTransformation:
    """AdamW behind a gradient clip, without its learning rate: `update` knows how far the run is."""
    return optax.chain(
        optax.clip_by_global_norm(settings.clip),
        optax.scale_by_adam(),
        optax.add_decayed_weights(settings.weight_decay),
    )


def adam(settings: ml_collections.ConfigDict) -> optax.GradientTransformation:
    """Adam at a constant rate behind a gradient clip, with the weight decay that is called L2."""
    return optax.chain(
        optax.clip_by_global_norm(settings.clip),
        optax.add_decayed_weights(settings.weight_decay),
        optax.scale_by_adam(),
        optax.scale(-settings.learning_rate),
    )


def update(settings, optimizer, params, moments, grads, progress):
    """One step at a learning rate that warms up and then falls along a cosine.

    `progress` counts epochs, with fractions: runs of different length share one schedule, whatever the
    number of steps that the grid's padding gives them.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, settings.learning_rate, settings.warmup * settings.epochs, settings.epochs
    )
    updates, moments = optimizer.update(grads, moments, params)
    rate = schedule(progress)
    return jax.tree.map(lambda p, u: p - rate * u, params, updates), moments


def apply(module: Any, params: Any, keys: chex.PRNGKey, *inputs: chex.Array) -> chex.Array:
    """A module in training on a batch of segments at once, with a dropout key for each.

    Args:
        module: a `Generator` or `Summarizer`.
        params: its parameters.
        keys: [B] typed keys.
        *inputs: its inputs, [B, …] each.

    Returns:
        What the module gives, [B, …].
    """
    if module.encoder.dropout == 0:
        return module.apply({'params': params}, *inputs)

    def one(key, *inputs):
        return module.apply({'params': params}, *inputs, False, rngs={'dropout': key})

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
