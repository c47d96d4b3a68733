"""Where the runs of a grid stand: the mesh of devices, and the one boundary at which it is put on.

The mesh has two axes. `run` splits the grid: nothing ever crosses it. `data` splits the segments of a batch:
`steps.gradients` adds up their gradients over it. What one device computes for a run is the program of a
lone device, so that without a split of a batch the results are the same bits on any mesh.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from trsum_jax.errors import InputError

RUN, DATA = 'run', 'data'
BY_RUN, SHARED = PartitionSpec(RUN), PartitionSpec()


def choose(wanted: Sequence[int], n_devices: int, n_runs: int, batches: Sequence[int]) -> tuple[int, int]:
    """How many devices go to the runs and how many to the segments of a batch.

    Left to itself it gives devices to runs first: as many as divide the devices and have a run each. Those
    left split every batch, as far as they divide it. All devices are used where the two can be chosen.

    Args:
        wanted: the config's `layout.mesh`, (runs, data); 0 is chosen here.
        n_devices: all devices of all processes.
        n_runs: R.
        batches: segments in a batch of every stage.

    Returns:
        (runs, data), whose product is at most `n_devices`.

    Raises:
        InputError: more devices than there are, or a batch that `data` does not divide.
    """
    runs, data = wanted
    common = math.gcd(*batches)
    if runs * max(data, 1) > n_devices or data > n_devices:
        raise InputError(
            f'config.layout.mesh: expected at most the {n_devices} devices that there are, '
            f'found {tuple(wanted)}'
        )
    if data and common % data:
        raise InputError(
            f'config.layout.mesh: expected its second number to divide the batches of both stages, '
            f'{" and ".join(map(str, batches))} segments, found {data}'
        )
    if not data:
        left = n_devices // (runs or max(d for d in _divisors(n_devices) if d <= n_runs))
        data = max(d for d in _divisors(left) if common % d == 0)
    return runs or n_devices // data, data


def make_mesh(shape: tuple[int, int]) -> Mesh:
    """A mesh of the first devices with the axes `run` and `data`.

    Args:
        shape: devices along each, from `choose`.

    Returns:
        The mesh.

    Raises:
        InputError: it leaves out devices of a process, which would then have nothing to do and wait.
    """
    n_devices, used = jax.device_count(), math.prod(shape)
    if jax.process_count() > 1 and used != n_devices:
        raise InputError(
            f'config.layout.mesh: with several processes expected all {n_devices} devices to be used, '
            f'found {shape[0]} x {shape[1]}'
        )
    return jax.make_mesh(shape, (RUN, DATA), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:used])


def describe(mesh: Mesh) -> str:
    """The mesh in words: how many devices of which kind, and what they share."""
    devices = mesh.devices.size
    text = (
        f'{devices} x {mesh.devices.flat[0].device_kind}' if devices > 1 else mesh.devices.flat[0].device_kind
    )
    if devices > 1:
        text += f' ({mesh.shape[RUN]} for runs, {mesh.shape[DATA]} for the segments of a batch)'
    if jax.process_count() > 1:
        text += f' in {jax.process_count()} processes'
    idle = jax.device_count() - devices
    return f'{text}; {idle} devices stay idle' if idle else text


def one_device() -> Mesh:
    """The mesh of the default device alone."""
    return jax.make_mesh((1, 1), (RUN, DATA), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:1])


def padded(n_runs: int, mesh: Mesh) -> int:
    """Runs in a grid filled up to a multiple of the mesh; those past the R-th are dropped in the end."""
    return -(-n_runs // mesh.shape[RUN]) * mesh.shape[RUN]


def place(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Puts host arrays, the same in every process, on the devices: each takes its part alone.

    Args:
        tree: of numpy arrays.
        mesh: where.
        spec: `BY_RUN`, with a leading run axis that the mesh divides, or `SHARED`.

    Returns:
        The tree of global arrays.
    """
    sharding = NamedSharding(mesh, spec)

    def put(leaf: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(put, tree)


def like_placed(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Shapes and types of what `place` gives, before it is there.

    Args:
        tree: of arrays, or of their shapes and types.
        mesh: where they are to be.
        spec: as in `place`.

    Returns:
        A tree of `jax.ShapeDtypeStruct`.
    """
    where = NamedSharding(mesh, spec)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree)


def split(function: Callable, mesh: Mesh, specs: Sequence[PartitionSpec]) -> Callable:
    """Puts the mesh on a function of arrays with a leading run axis: each device calls it on its own runs.

    Args:
        function: takes as many trees as there are specs, gives a tree with a leading run axis.
        mesh: of the devices.
        specs: `BY_RUN` or `SHARED` for every argument.

    Returns:
        The function over all runs, to be jitted.
    """
    specs = tuple(specs)

    # By its arguments' names the compiler calls what it is given.
    @functools.wraps(function)
    def on_mesh(*arguments):
        flat = [jax.tree.flatten(argument) for argument in arguments]

        def on_device(*full):
            trees = []
            for (leaves, tree), spec, own in zip(flat, specs, map(iter, full), strict=True):
                trees.append(
                    tree.unflatten([next(own) if leaf.size else empty(leaf, spec) for leaf in leaves])
                )
            return function(*trees)

        def empty(leaf, spec):
            return jnp.zeros(NamedSharding(mesh, spec).shard_shape(leaf.shape), leaf.dtype)

        # Empty arrays are made on the devices: one that came from outside ends the process (SIGSEGV) where
        # jax 0.11 compiles for several devices, as XLA drops the operand and keeps its sharding.
        full = [[leaf for leaf in leaves if leaf.size] for leaves, _ in flat]
        # What comes out is the same on all devices of the data axis because `gradients` adds up over it.
        return jax.shard_map(on_device, mesh=mesh, in_specs=specs, out_specs=BY_RUN, check_vma=False)(*full)

    return on_mesh


def own_part(tree: Any, shards: int) -> Any:
    """Within `split`: of a batch [B, …] this device's part along the data axis, [B / shards, …]."""
    mine = jax.lax.axis_index(DATA)
    return jax.tree.map(lambda x: x.reshape(shards, -1, *x.shape[1:])[mine], tree)


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
