"""The main job's programs, compiled from shapes alone: nothing runs, and no array of their size exists.

For the machine's own devices, or for those that need not be there: a TPU's compiler comes with `libtpu`, an
H100's with `jax-cuda12-plugin` and NVIDIA's libraries (nvcc for `ptxas`, cuDNN).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding

from benchmarks.whole_epoch import compile_epoch
from trsum_jax.experiment.config import bind
from trsum_jax.method.decomposition import decompose
from trsum_jax.runtime import sharding
from trsum_jax.training import grid
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.epoch import Stage
from trsum_jax.training.runs import Run

COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')
_BYTES = {
    **{'token': 0, 'pred': 1, 's8': 1, 'u8': 1, 's16': 2, 'u16': 2, 'bf16': 2, 'f16': 2},
    **{'s32': 4, 'u32': 4, 'f32': 4, 's64': 8, 'u64': 8, 'f64': 8},
}


# What XLA asks of a GPU that is not there: NVIDIA's data sheet of the H100 SXM.
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024  threads_per_warp: 32  threads_per_core_limit: 2048
  shared_memory_per_block: 49152  shared_memory_per_block_optin: 232448  shared_memory_per_core: 233472
  core_count: 132  fpus_per_core: 128  clock_rate_ghz: 1.98
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  memory_bandwidth: 3352000000000  l2_cache_size: 52428800  device_memory_size: 80000000000
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
  cuda_compute_capability { major: 9  minor: 0  feature_extension: ACCELERATED_FEATURES }
}
platform_name: "CUDA"
dnn_version_info { major: 9  minor: 8  patch: 0 }
runtime_version { major: 12  minor: 9  patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
# Lines of a program that launch nothing.
_FREE = ('parameter', 'constant', 'bitcast', 'get-tuple-element', 'tuple', 'while', 'conditional', 'call')


def mesh_of(compiler: str, shape: tuple[int, int] = (1, 1)) -> Mesh:
    """A mesh of this machine's devices, or of a TPU's that are described and not there.

    Args:
        compiler: `here`; `cpu`, also where there is an accelerator; a TPU slice such as `v5e:2x2`, or `h100`.
        shape: devices for runs, and for the segments of a batch.

    Returns:
        The mesh, for compiling.
    """
    if compiler == 'here':
        return sharding.make_mesh(shape)
    if compiler == 'cpu':
        return _mesh(jax.devices('cpu'), shape)
    name, options = compiler, {'platform': 'tpu'}
    if compiler == 'h100':
        name = f'1x1x{shape[0] * shape[1]}'
        options = {'platform': 'cuda', 'topology': name, 'target_config': _H100}
    return _mesh(topologies.get_topology_desc(topology_name=name, **options).devices, shape)


def _mesh(devices: Sequence[Any], shape: tuple[int, int]) -> Mesh:
    chosen = np.array(devices[: shape[0] * shape[1]]).reshape(shape)
    return Mesh(chosen, (sharding.RUN, sharding.DATA), axis_types=(AxisType.Auto,) * 2)


def shapes_of(videos: int, steps: int, width: int, length: int, views: tuple[str, ...]) -> Corpus:
    """The shapes of a corpus of equally long videos.

    Args:
        videos: V.
        steps: in each.
        width: D.
        length: L.
        views: as in the config.

    Returns:
        A `Corpus` of `jax.ShapeDtypeStruct`.
    """
    segments = videos * len(decompose(steps, length, views))
    row = jax.ShapeDtypeStruct((segments,), jnp.int32)
    place = jax.ShapeDtypeStruct((segments, length), jnp.int32)
    return Corpus(
        frames=jax.ShapeDtypeStruct((videos * steps, width), jnp.float32),
        index=place,
        valid=jax.ShapeDtypeStruct((segments, length), jnp.bool_),
        shot=place,
        video=row,
        first=row,
        n_steps=row,
        change=jax.ShapeDtypeStruct((videos * steps,), jnp.float32),
        side=jax.ShapeDtypeStruct((videos * steps, 0), jnp.float32),
    )


def lower_stage(
    config: ml_collections.ConfigDict,
    name: str,
    corpus: Corpus,
    n_runs: int,
    training: int,
    mesh: Mesh,
) -> Any:
    """One epoch of a stage of all runs, as the main job has it, to be compiled.

    Args:
        config: the whole config; its `layout.runs` is `map` or `vmap`.
        name: `generator` or `summarizer`.
        corpus: its shapes.
        n_runs: R, over the whole mesh.
        training: segments in a run.
        mesh: from `mesh_of`.

    Returns:
        The program before its compilation.
    """
    stage, arguments = _stage(config, name, corpus, n_runs, training, mesh.shape[sharding.DATA])
    specs = (sharding.BY_RUN, sharding.SHARED, sharding.SHARED, sharding.BY_RUN, sharding.BY_RUN)
    placed = [
        jax.tree.map(
            lambda leaf, spec=spec: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec)
            ),
            argument,
        )
        for argument, spec in zip(arguments, specs, strict=True)
    ]
    return compile_epoch(stage, config.layout.runs, mesh).lower(*placed)


def compile_stage(*arguments: Any) -> Any:
    """`lower_stage`, compiled."""
    return lower_stage(*arguments).compile()


def parameters(config: ml_collections.ConfigDict, name: str, corpus: Corpus) -> int:
    """Numbers that a stage trains in one run."""
    _, (states, *_) = _stage(config, name, corpus, 1, 1, 1)
    return sum(leaf.size for leaf in jax.tree.leaves(states.params))


def memory(compiled: Any) -> dict[str, int]:
    """What a device holds while a program runs, by the compiler's own account, in bytes.

    Returns:
        `arguments`; `outputs`, those that do not take an argument's place; `temporary`; `total`.
    """
    found = compiled.memory_analysis()
    parts = {
        'arguments': found.argument_size_in_bytes,
        'outputs': found.output_size_in_bytes - found.alias_size_in_bytes,
        'temporary': found.temp_size_in_bytes,
    }
    return parts | {'total': sum(parts.values())}


def memory_or_refusal(
    config: ml_collections.ConfigDict, name: str, corpus: Corpus, n_runs: int, training: int, mesh: Mesh
) -> dict[str, Any]:
    """`memory` of `compile_stage`, and in `refused` what the compiler says where the device is too small."""
    try:
        return memory(compile_stage(config, name, corpus, n_runs, training, mesh)) | {'refused': ''}
    except jax.errors.JaxRuntimeError as error:
        found = re.search(r'Used \S+ of \S+ hbm|\(\S+\) exceeds available HBM \(\S+\)', str(error))
        if not found:
            raise
        return dict.fromkeys(('arguments', 'outputs', 'temporary', 'total')) | {'refused': found[0]}


def cost(compiled: Any) -> dict[str, float]:
    """`flops` and `bytes` that move, by the compiler's account; the body of a loop is counted once."""
    found = compiled.cost_analysis()
    return {'flops': float(found['flops']), 'bytes': float(found['bytes accessed'])}


def kernels(text: str) -> dict[str, Any]:
    """What one pass through a program launches, by its text: a loop's body once, a choice's first branch.

    Args:
        text: the compiled program's.

    Returns:
        `launches`; `bytes`, of every launch what it reads and writes as if no cache held anything;
        `products`, launches that are or hold a matrix product; `calls`, of libraries, by name.
    """
    inside = dict(re.findall(r'\n(?:ENTRY )?%(\S+) \(.*?\{\n(.*?)\n\}', text, re.S))
    with_product = {name for name, inner in inside.items() if ' dot(' in inner}
    found: dict[str, Any] = {'launches': 0, 'bytes': 0, 'products': 0, 'calls': {}}
    waiting = re.findall(r'\nENTRY %(\S+)', text)
    while waiting:
        sizes: dict[str, int] = {}
        for line in inside[waiting.pop()].splitlines():
            parts = re.match(r'\s+(?:ROOT )?%(\S+) = (.*?) ([\w-]+)\((.*?)\)', line)
            if not parts:
                continue
            name, shape, kind, operands = parts.groups()
            sizes[name] = sum(_sizes(shape))
            if kind in _FREE:
                first = r'(?:body=|to_apply=|branch_computations=\{|true_computation=)%([\w.-]+)'
                waiting += re.findall(first, line)
                continue
            read = re.findall(r'%([\w.-]+)', operands)
            found['launches'] += 1
            found['bytes'] += sizes[name] + sum(sizes.get(one, 0) for one in read)
            called = re.search(r'calls=%([\w.-]+)', line)
            library = re.search(r'custom_call_target="(.*?)"', line)
            found['products'] += bool(called and called[1] in with_product) or 'gemm' in (library or '  ')[1]
            if library:
                found['calls'][library[1]] = found['calls'].get(library[1], 0) + 1
    return found


def collectives(text: str) -> dict[str, int]:
    """Bytes that come out of a program's collectives on one device, by kind, each instruction once.

    Args:
        text: the compiled program's.

    Returns:
        By kind, for those that there are.
    """
    total: dict[str, int] = {}
    for line in text.splitlines():
        found = re.search(rf'= (.*?) ({"|".join(COLLECTIVES)})(-start)?\(', line)
        if found:
            result, kind, _ = found.groups()
            total[kind] = total.get(kind, 0) + sum(_sizes(result))
    return total


def _sizes(shape: str) -> Iterator[int]:
    """Bytes of every array in a shape as programs write it."""
    for dtype, size in re.findall(r'(\w+)\[([\d,]*)\]', shape):
        yield _BYTES[dtype] * int(np.prod([int(n) for n in size.split(',') if n]))


def _stage(
    config: ml_collections.ConfigDict, name: str, corpus: Corpus, n_runs: int, training: int, shards: int
) -> tuple[Stage, tuple[Any, ...]]:
    """A stage, and the shapes of what its epoch takes."""
    width = corpus.frames.shape[1]
    # One baseline a video; their number is nothing beside the parameters.
    first, second = bind(config, width, corpus.n_segments, shards).stages
    chosen = jax.ShapeDtypeStruct((n_runs, training), jnp.int32)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), n_runs))
    runs = Run(keys, chosen, jax.ShapeDtypeStruct(chosen.shape, jnp.float32))
    stage, frozen = first, ()
    states = grid.like(stage, runs, frozen)
    if name == 'summarizer':
        stage, frozen = second, states.params
        states = grid.like(stage, runs, frozen)
    return stage, (states, jax.ShapeDtypeStruct((), jnp.int32), corpus, runs, frozen)
