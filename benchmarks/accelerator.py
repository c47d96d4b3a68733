"""Prediction beside measurement on a GPU or a TPU: `python -m benchmarks.accelerator [--json=FILE]`.

The prediction is made from two things. Of the program: the FLOPs of a step as it is written, and what the
compiled step reads and writes, launch by launch, as if no cache held anything. Of the device: its maker's
rates (`roofline.KINDS`); of another, and of a CPU, the rates that are measured here. A step of one run takes
the longer of arithmetic, at `roofline.EFFICIENCY` of the rate, and of memory, and the launches on top
(`roofline.LAUNCH`; elsewhere `roofline.OVERHEAD`). Five folds together do five times the work with the
launches of one. The constants are assumptions, and caches make a step faster: these are what the first
measurement should correct.

`--small` does all of it at a toy size, to see that it runs; its figures mean nothing.
"""

import argparse
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import measure, roofline
from benchmarks.grid import FOLDS

STAGES = ('generator', 'summarizer')
# The goals on an accelerator: share of the matrix rate and times faster at least, seconds of the protocol and
# ratio to PyTorch at most.
SHARE, SECONDS, RATIO, TIMES = 0.5, 90.0, 0.8, 4.0


def predict(size: str, device: roofline.Device) -> dict[str, dict[str, Any]]:
    """By stage, what a step costs and how long it should take; the program is compiled, and not run.

    Args:
        size: one of `grid.SIZES`.
        device: with its rates.

    Returns:
        `flops`, `bytes`, `launches` and library `calls` of a step of one run; its `seconds`, `together` those
        of five runs as they are laid out here; what it is `bound` by; `memory` bytes of one run's program.
    """
    import jax

    from benchmarks import grid, programs
    from trsum_jax.experiment.config import how_here

    config = grid.setting(size)
    # One batch as one product: of the epoch's loop the body is read, once.
    config.layout.update({'runs': 'vmap', 'episodes': 'vmap', 'microbatch': 0})
    video, length = config.data.synthetic, config.decomposition.length
    shapes = programs.shapes_of(
        video.videos, video.steps[1], video.width, length, tuple(config.decomposition.views)
    )
    found = {}
    for name in STAGES:
        here, cpu = (
            programs.lower_stage(config, name, shapes, 1, config[name].batch, programs.mesh_of(where))
            for where in ('here', 'cpu')
        )
        compiled = here.compile()
        step = programs.kernels(compiled.as_text())
        # JAX counts what is not compiled for a CPU alone; the program is the same.
        cost = roofline.Step(float(cpu.cost_analysis()['flops']), float(step['bytes']), 0.0)
        launches = step['launches'] * roofline.LAUNCH
        overhead = launches if jax.default_backend() == 'gpu' else roofline.OVERHEAD
        five = roofline.Step(FOLDS * cost.flops, FOLDS * cost.bytes, 0.0)
        alone = roofline.seconds(cost, device, overhead=overhead)
        at_once = roofline.seconds(five, device, overhead=overhead)
        found[name] = {
            'flops': cost.flops,
            **step,
            'seconds': alone,
            'together': at_once if how_here('auto') == 'vmap' else FOLDS * alone,
            'bound': roofline.bound(cost, device),
            'memory': programs.memory(compiled)['total'],
        }
    return found


def rates(matrix: int, repetitions: int) -> dict[str, float]:
    """Measured a second: `flops` of products in bfloat16 (float32 on a CPU), `bytes` of a copy as large."""
    import jax
    import jax.numpy as jnp

    block, copy = jnp.ones((matrix, matrix), jnp.float32), jax.jit(lambda x: x + 1)
    product = timed(measure.ceiling(matrix), repetitions)
    copied = timed(lambda: copy(block).block_until_ready(), repetitions)
    return {'flops': measure.ceiling_flops(matrix) / product, 'bytes': 2 * block.nbytes / copied}


def epochs(size: str, stage: str, repetitions: int) -> dict[str, float]:
    """Measured seconds of an epoch of five folds: `together` in one program, and `in turn`."""
    from benchmarks import grid

    return {
        name: timed(grid.folds(size, stage, how), repetitions)
        for name, how in (('together', 'auto'), ('in turn', 'alone'))
    }


def against_torch(stage: str, repetitions: int) -> float | None:
    """Our step over that of `torch_best` with `torch.compile` and bfloat16; None without PyTorch on CUDA."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    from benchmarks import workers

    theirs = timed(workers.opponent('paper', stage, 'torch_best', steps=10, compile='default'), repetitions)
    return timed(workers.ours('paper', stage, steps=10), repetitions) / theirs


def timed(run: Callable[[], Any], repetitions: int) -> float:
    """Median seconds of `run`, which waits for the device, after a first time that compiles."""
    run()
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a figure: predicted, measured, and the goal where there is one."""
    table = []

    def add(what: str, predicted: Any, measured: Any, goal: str = '–', reached: bool | None = None) -> None:
        table.append({
            'what': what,
            'predicted': '–' if predicted is None else predicted,
            'measured': '–' if measured is None else measured,
            'goal': goal,
            'reached': '–' if reached is None else 'yes' if reached else 'no',
        })  # fmt: skip

    flops, moved = found['rates']['flops'], found['rates']['bytes']
    device = found['device']
    add('matrix products, TFLOP/s', device and device['flops'] / 1e12, flops / 1e12)
    add('copying, GB/s', device and device['bandwidth'] / 1e9, moved / 1e9)
    protocol = {'predicted': 0.0, 'measured': 0.0}
    for stage, step in found['predicted'].items():
        epoch, steps = found['epochs'][stage], found['steps'][stage]
        measured = epoch['in turn'] / FOLDS / steps
        rate = device['flops'] if device else flops
        share = step['flops'] / measured / flops
        add(f'{stage}: a step, ms ({step["bound"]})', 1e3 * step['seconds'], 1e3 * measured)
        add(
            f'{stage}: share of the matrix rate',
            step['flops'] / step['seconds'] / rate,
            share,
            f'≥ {SHARE}',
            share >= SHARE,
        )
        times = epoch['in turn'] / epoch['together']
        expected = FOLDS * step['seconds'] / step['together']
        add(f'{stage}: five folds together, times faster', expected, times, f'≥ {TIMES:g}', times >= TIMES)
        ratio = found['torch'][stage]
        reached = None if ratio is None else ratio <= RATIO
        add(f'{stage}: a step beside torch_best', None, ratio, f'≤ {RATIO}', reached)
        protocol['predicted'] += step['together'] * steps * found['length'][stage]
        protocol['measured'] += epoch['together'] * found['length'][stage]
    add(
        'the protocol of five folds, s (from its epochs)',
        protocol['predicted'],
        protocol['measured'],
        f'< {SECONDS:g}',
        protocol['measured'] < SECONDS,
    )
    greatest = max(step['memory'] for step in found['predicted'].values()) / 1e9
    peak = found['peak'] and found['peak'] / 1e9
    add("memory, GB (one run's program; the peak of all)", greatest, peak)
    return table


def measure_all(
    size: str = 'paper', matrix: int = 8192, repetitions: int = 7, path: str = ''
) -> dict[str, Any]:
    """Everything that `rows` shows.

    Args:
        size: one of `grid.SIZES`.
        matrix: side of the product that the matrix rate is measured by.
        repetitions: timed ones of everything.
        path: a JSON that gets every part when it is measured; empty for none. What it has of this machine and
            commit is not measured again, so that what was stopped goes on.
    """
    import jax

    from benchmarks import grid
    from trsum_jax.method.decomposition import decompose

    device = jax.devices()[0]
    maker = roofline.published(device.device_kind)
    parts = _measured(path, size)
    # Only the paper's size is compared with PyTorch.
    compared = STAGES if size == 'paper' else ()
    with tqdm(total=2 + len(STAGES) + len(compared), unit='part') as bar:

        def part(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
            bar.set_description(name)
            if name not in parts:
                parts[name] = function(*arguments)
                measure.write(path, 'accelerator', {'size': size, 'parts': parts})
            bar.update()
            return parts[name]

        found = part('rates', rates, matrix, repetitions)
        here = maker or roofline.Device('here', found['flops'], found['bytes'], math.inf, math.inf)
        predicted = part('predicting', predict, size, here)
        shown = ', '.join(f'{name} {1e3 * step["seconds"]:.3g} ms' for name, step in predicted.items())
        tqdm.write(f'{device.device_kind}; predicted, a step: {shown}', file=sys.stderr)
        epochs_of = {stage: part(f'{stage}, epochs', epochs, size, stage, repetitions) for stage in STAGES}
        torch = dict.fromkeys(STAGES) | {
            stage: part(f'{stage}, PyTorch', against_torch, stage, repetitions) for stage in compared
        }
    config = grid.setting(size)
    video, views = config.data.synthetic, tuple(config.decomposition.views)
    per_video = len(decompose(video.steps[1], config.decomposition.length, views))
    training = video.videos * (FOLDS - 1) // FOLDS * per_video
    return {
        'device': vars(maker) if maker else None,
        'rates': found,
        'predicted': predicted,
        'epochs': epochs_of,
        'torch': torch,
        'steps': {stage: -(-training // config[stage].batch) for stage in STAGES},
        'length': {stage: config[stage].epochs for stage in STAGES},
        'peak': (device.memory_stats() or {}).get('peak_bytes_in_use'),
    }


def _measured(path: str, size: str) -> dict[str, Any]:
    """The parts that a file has of this size, machine and commit."""
    if not path or not pathlib.Path(path).exists():
        return {}
    found = json.loads(pathlib.Path(path).read_text())
    same = (found.get('size'), found.get('machine')) == (size, measure.machine())
    return found.get('parts', {}) if same else {}


def main(argv: list[str]) -> None:
    """Predicts, measures, and prints one beside the other."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.accelerator')
    parser.add_argument('--json', default='', help='write the figures here too')
    parser.add_argument('--small', action='store_true', help='a toy size, to see that it runs')
    flags = parser.parse_args(argv)
    # PyTorch has to find room beside JAX.
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
    found = measure_all('toy', 256, 2) if flags.small else measure_all(path=flags.json)
    print(f'\n{measure.table(rows(found))}')
    measure.write(flags.json, 'accelerator', found)


if __name__ == '__main__':
    main(sys.argv[1:])
