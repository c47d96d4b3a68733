"""Memory, arithmetic and communication of the paper's model: `python -m benchmarks.scaling [--json=FILE]`.

From the compiler's own account; nothing of that size runs. `--compiler=v5e:2x2` asks a TPU's compiler
instead (`pip install libtpu`; no TPU is needed), `--compiler=h100 --tables kernels` a GPU's. Only the table
`check`, at a small size, is measured.
"""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

import ml_collections

from benchmarks import measure, roofline
from benchmarks.measure import Work
from configs import default

# As TVSum at 2 steps a second: 40 of 50 videos are trained on.
VIDEOS, STEPS, WIDTH, FOLDS = 50, 470, 1024, 5
RUNS = (1, 5, 25, 100)
STAGES = ('generator', 'summarizer')
LAYOUTS = {
    'whole batch': {},
    'microbatch 2': {'microbatch': 2},
    'remat': {'remat': True},
    'microbatch 2, remat': {'microbatch': 2, 'remat': True},
}
_COPY_BYTES = 2**28


def paper(compiler: str, how: str, **layout: Any) -> ml_collections.ConfigDict:
    """The default config, laid out as on an accelerator: episodes as one product, the whole batch at once.

    Args:
        compiler: `here` or a TPU slice; arithmetic is float32 on a CPU, else bfloat16.
        how: `map` or `vmap`, over runs.
        **layout: fields of `layout` that differ.
    """
    config = default.get_config('reconstruction')
    if compiler != 'here':
        config.model.dtype = 'bfloat16'
    config.layout.update({'runs': how, 'episodes': 'vmap', 'microbatch': 0, **layout})
    return config


def memory_rows(
    compiler: str,
    runs: Sequence[int] = RUNS,
    hows: Sequence[str] = ('map', 'vmap'),
    layouts: Sequence[str] = tuple(LAYOUTS),
    names: Sequence[str] = STAGES,
    sizes: Any = None,
) -> list[dict[str, Any]]:
    """What a device holds in an epoch of every stage, in bytes.

    Args:
        compiler: `here` or a TPU slice.
        runs: numbers of runs.
        hows: some of `map` and `vmap`.
        layouts: some of `LAYOUTS`; those after the first for the first `how` and number of runs alone.
        names: some of `STAGES`.
        sizes: for tests, a function that changes the config and gives the corpus and a run's segments.

    Returns:
        Rows; `total` is None and `refused` the compiler's words where the device's memory does not do.
    """
    from benchmarks import programs

    found = []
    for name in names:
        for how in hows:
            for n_runs in runs:
                for layout in layouts if (how, n_runs) == (hows[0], runs[0]) else layouts[:1]:
                    config = paper(compiler, how, **LAYOUTS[layout])
                    corpus, training = (sizes or _tvsum)(config)
                    row = {'stage': name, 'how': how, 'runs': n_runs, 'layout': layout}
                    mesh = programs.mesh_of(compiler)
                    row |= programs.memory_or_refusal(config, name, corpus, n_runs, training, mesh)
                    found.append(row)
                    print(f'  {row}', file=sys.stderr, flush=True)
    return found


def step_costs(compiler: str) -> dict[str, dict[str, float]]:
    """FLOPs and bytes of one step of one run by stage: an epoch of one batch, the body of its loop."""
    from benchmarks import programs

    found = {}
    for name in STAGES:
        config = paper(compiler, 'vmap')
        corpus, _ = _tvsum(config)
        mesh = programs.mesh_of(compiler)
        compiled = programs.compile_stage(config, name, corpus, 1, config[name].batch, mesh)
        found[name] = programs.cost(compiled) | {'parameters': programs.parameters(config, name, corpus)}
    return found


def kernel_rows(compiler: str) -> list[dict[str, Any]]:
    """What a step of one run launches, reads and writes by the compiled program.

    Args:
        compiler: `here`, a TPU slice, or `h100`.
    """
    from benchmarks import programs

    found = []
    for name in STAGES:
        config, mesh = paper(compiler, 'vmap'), programs.mesh_of(compiler)
        corpus, _ = _tvsum(config)
        compiled = programs.compile_stage(config, name, corpus, 1, config[name].batch, mesh)
        row = {'stage': name, 'total, bytes': programs.memory(compiled)['total']}
        found.append(row | programs.kernels(compiled.as_text()))
    return found


def collective_rows(
    compiler: str, shape: tuple[int, int] = (2, 4), sizes: Any = None
) -> list[dict[str, Any]]:
    """Bytes of a step's collectives on a mesh, beside `4 bytes x parameters`."""
    from benchmarks import programs

    found = []
    for name in STAGES:
        config = paper(compiler, 'map')
        corpus, _ = (sizes or _tvsum)(config)
        mesh = programs.mesh_of(compiler, shape)
        # A batch of its own for every run, and one step: each collective stands in the program once.
        batch = config[name].batch
        compiled = programs.compile_stage(config, name, corpus, shape[0], batch, mesh)
        found.append({
            'stage': name,
            'mesh': f'{shape[0]} x {shape[1]}',
            **{kind: 0 for kind in ('all-reduce', 'all-gather')},
            **programs.collectives(compiled.as_text()),
            'derived': 4 * programs.parameters(config, name, corpus),
        })  # fmt: skip
    return found


def time_rows(costs: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Derived times of the paper's protocol on three machines: seconds an epoch, hours in all."""
    config = default.get_config('reconstruction')
    steps = VIDEOS // FOLDS * (FOLDS - 1) * 2 * math.ceil(STEPS / config.decomposition.length)
    steps = {name: math.ceil(steps / config[name].batch) for name in costs}
    machines = (
        ('1 H200', roofline.H200, 1, 1, 5),
        ('8 H200', roofline.H200, 8, 1, 5),
        ('8 H200', roofline.H200, 4, 2, 5),
        ('8 H200', roofline.H200, 8, 1, 40),
        ('v5e-256', roofline.V5E, 5, 8, 5),
        ('v5e-256', roofline.V5E, 256, 1, 255),
    )
    found = []
    for name, device, for_runs, shards, n_runs in machines:
        row: dict[str, Any] = {'machine': name, 'mesh': f'{for_runs} x {shards}', 'runs': n_runs}
        total = 0.0
        for stage, cost in costs.items():
            step = roofline.Step(cost['flops'], cost['bytes'], 4 * cost['parameters'])
            epoch = steps[stage] * roofline.seconds(step, device, shards)
            epoch *= roofline.in_turn(n_runs, for_runs)
            row[f'{stage}, s an epoch'] = epoch
            row[f'{stage} bound by'] = roofline.bound(step, device, shards)
            total += epoch * config[stage].epochs
        found.append(row | {'protocol, h': total / 3600, 'runs an hour': n_runs * 3600 / total})
    return found


def copying() -> Any:
    """A worker: copies `_COPY_BYTES` of memory, once read and once written."""
    import numpy as np

    source = np.ones(_COPY_BYTES // 8)
    target = np.empty_like(source)
    return lambda: np.copyto(target, source)


def check_rows(size: str = 'small', repetitions: int = 7) -> list[dict[str, Any]]:
    """The model of time against the clock of this machine, by its own measured rates.

    Args:
        size: one of `workers.SIZES`.
        repetitions: timed ones.

    Returns:
        A row a stage: measured seconds a step, and those of the arithmetic, of the bytes and of the model.
    """
    from benchmarks import workers

    found = []
    for stage in workers.STAGES:
        timings = measure.in_turn(
            {
                'ours': Work('benchmarks.workers:ours', {'size': size, 'stage': stage}),
                'ceiling': Work('benchmarks.measure:ceiling'),
                'copy': Work('benchmarks.scaling:copying'),
            },
            repetitions,
            f'{stage} step, {size}',
        )
        rate = measure.ceiling_flops() / timings['ceiling'].median
        bandwidth = 2 * _COPY_BYTES / timings['copy'].median
        here = roofline.Device('here', rate, bandwidth, math.inf, math.inf)
        step = roofline.Step(workers.step_flops(size, stage), 0.0, 0.0)
        model = roofline.seconds(step, here, efficiency=1.0, overhead=0.0)
        measured = timings['ours'].median
        found.append({
            'stage': stage,
            'matrix rate, GFLOP/s': rate / 1e9,
            'copying, GB/s': bandwidth / 1e9,
            'GFLOP': step.flops / 1e9,
            'model at efficiency 1, s': model,
            'measured, s': measured,
            'efficiency': model / measured,
        })  # fmt: skip
    return found


def _tvsum(config: ml_collections.ConfigDict) -> tuple[Any, int]:
    """The shapes of TVSum's corpus, and the segments that a run trains on."""
    from benchmarks import programs

    decomposition = config.decomposition
    corpus = programs.shapes_of(VIDEOS, STEPS, WIDTH, decomposition.length, tuple(decomposition.views))
    return corpus, corpus.n_segments * (FOLDS - 1) // FOLDS


def _show_memory(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bytes as GB; what the compiler refuses in its own words."""
    shown = []
    for row in rows:
        parts = {
            f'{part}, GB': '–' if row[part] is None else f'{row[part] / 1e9:.2f}'
            for part in ('arguments', 'outputs', 'temporary', 'total')
        }
        shown.append({**{k: row[k] for k in ('stage', 'how', 'runs', 'layout')}, **parts} | {
            'a run, GB': '–' if row['total'] is None else f'{row["total"] / row["runs"] / 1e9:.2f}',
            'refused': row['refused'] or '–',
        })  # fmt: skip
    return shown


def main(argv: list[str]) -> None:
    """Prints the tables one after another, as they come."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.scaling')
    parser.add_argument('--json', default='', help='write the figures here too')
    parser.add_argument('--compiler', default='here', help='here, h100, or a TPU slice such as v5e:2x2')
    parser.add_argument('--tables', nargs='+', default=['memory', 'costs', 'collectives', 'check'])
    parser.add_argument('--runs', nargs='+', type=int, default=list(RUNS))
    parser.add_argument('--how', nargs='+', default=['map', 'vmap'])
    parser.add_argument('--layouts', nargs='+', choices=list(LAYOUTS), default=list(LAYOUTS))
    parser.add_argument('--stages', nargs='+', choices=STAGES, default=list(STAGES))
    flags = parser.parse_args(argv)
    # Before jax is imported; without it the TPU's library asks a server for the machine it is on.
    os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
    import jax

    if flags.compiler == 'here':
        jax.config.update('jax_num_cpu_devices', 8)
    found: dict[str, Any] = {'compiler': flags.compiler}

    def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
        print(f'\n{title}\n\n{measure.table(rows)}', flush=True)

    if 'memory' in flags.tables:
        found['memory'] = memory_rows(flags.compiler, flags.runs, flags.how, flags.layouts, flags.stages)
        show('Memory of a device', _show_memory(found['memory']))
    if 'costs' in flags.tables:
        found['costs'] = step_costs(flags.compiler)
        show('A step of one run', [{'stage': name, **cost} for name, cost in found['costs'].items()])
        found['times'] = time_rows(found['costs'])
        show('Times, derived', found['times'])
    if 'collectives' in flags.tables:
        found['collectives'] = collective_rows(flags.compiler)
        show('Collectives of a step, bytes', found['collectives'])
    if 'kernels' in flags.tables:
        found['kernels'] = kernel_rows(flags.compiler)
        show('What a step launches', found['kernels'])
    if 'check' in flags.tables:
        found['check'] = check_rows()
        show('The model of time on this machine, measured', found['check'])
    measure.write(flags.json, 'scaling', found)


if __name__ == '__main__':
    main(sys.argv[1:])
