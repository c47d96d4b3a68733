"""Workers in turn: each in a process of its own, timed A B A B …, beside the machine's ceiling.

A worker is a function that builds its work and returns another, which does it once. Each lives in its own
process, so that thread pools and memory are its own, and only one works at a time. Every comparison runs a
twin of the first worker too: a difference below the twins' spread is none.
"""

import argparse
import dataclasses
import importlib
import multiprocessing
import os
import pathlib
import platform
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tabulate
from tqdm import tqdm

from trsum_jax.files import write_json

# OpenMP's threads spin for 0.2 s after their work, and would take a core from the next worker.
_PAUSE = 0.3
_ROOT = pathlib.Path(__file__).parents[1]
# Linux's list of processors.
_LISTED = pathlib.Path('/proc/cpuinfo')
TWIN = 'twin'


@dataclasses.dataclass(frozen=True)
class Work:
    """What a worker does.

    Attributes:
        build: `package.module:function`; called with `options`, returns a function without arguments that
            does the work once and waits for it.
        options: keyword arguments, picklable.
    """

    build: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Timing:
    """What was measured of one worker.

    Attributes:
        start: seconds to import and build.
        compile: seconds of the first repetition over the median one.
        times: seconds of every later repetition.
        peak: bytes, the process's greatest resident size.
    """

    start: float
    compile: float
    times: tuple[float, ...]
    peak: int

    @property
    def median(self) -> float:
        """Seconds."""
        return float(np.median(self.times))


def in_turn(works: Mapping[str, Work], repetitions: int = 7, label: str = '') -> dict[str, Timing]:
    """Runs all workers, one repetition each in turn.

    Args:
        works: by name.
        repetitions: timed ones, after a first that compiles and warms up.
        label: for the progress bar.

    Returns:
        By name, the timing.
    """
    context = multiprocessing.get_context('spawn')
    pipes, processes = {}, {}
    for name, work in works.items():
        pipes[name], theirs = context.Pipe()
        processes[name] = context.Process(target=_serve, args=(theirs, work), daemon=True)
        processes[name].start()
        # Its own end alone keeps the pipe open: a worker that dies ends the wait.
        theirs.close()
    try:
        start = {name: _ask(pipe, 'build', name) for name, pipe in pipes.items()}
        first = {name: _ask(pipe, 'run', name) for name, pipe in pipes.items()}
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in tqdm(range(repetitions), desc=label, unit='round', leave=False):
            for name, pipe in pipes.items():
                time.sleep(_PAUSE)
                times[name].append(_ask(pipe, 'run', name))
        peak = {name: _ask(pipe, 'peak', name) for name, pipe in pipes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.join()
    return {
        name: Timing(start[name], first[name] - float(np.median(of)), tuple(of), int(peak[name]))
        for name, of in times.items()
    }


def compare(works: Mapping[str, Work], repetitions: int = 7, label: str = '') -> dict[str, Any]:
    """Times the first worker, its twin, and its opponents; ratios below 1 mean that the first is faster.

    Args:
        works: the first is ours, the others its opponents.
        repetitions: at least 7 for a figure that is reported.
        label: what is compared.

    Returns:
        `workers`: by name, median and quartiles in seconds, compile and start seconds, peak MB; `ratios`: by
        opponent, the median of the paired ratios, their quartiles, and `none` where the difference is below
        `twin_spread`, the ratio that three in four pairs of twins stay within.
    """
    ours = next(iter(works))
    timings = in_turn({**works, TWIN: works[ours]}, repetitions, label)
    own = np.array(timings[ours].times)
    # What three in four pairs of twins stay within, as the quartiles that are given of every ratio.
    noise = float(np.quantile(np.abs(np.log(own / np.array(timings[TWIN].times))), 0.75))
    ratios = {}
    for name in works:
        if name != ours:
            paired = own / np.array(timings[name].times)
            middle = float(np.median(paired))
            ratios[name] = {
                'ratio': middle,
                'low': float(np.quantile(paired, 0.25)),
                'high': float(np.quantile(paired, 0.75)),
                'none': abs(np.log(middle)) < noise,
            }
    return {
        'label': label,
        'workers': {
            name: {
                'median_s': timing.median,
                'low_s': float(np.quantile(timing.times, 0.25)),
                'high_s': float(np.quantile(timing.times, 0.75)),
                'compile_s': timing.compile,
                'start_s': timing.start,
                'peak_mb': timing.peak / 2**20,
            }
            for name, timing in timings.items()
        },
        'ratios': ratios,
        'twin_spread': float(np.exp(noise)),
    }


def ceiling(size: int = 2048, repeats: int = 5) -> Callable[[], None]:
    """A worker: large float32 matrix products (bfloat16 on an accelerator), `ceiling_flops` of them."""
    import jax
    import jax.numpy as jnp

    dtype = jnp.float32 if jax.default_backend() == 'cpu' else jnp.bfloat16
    x = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(lambda x: x @ x)

    def run():
        for _ in range(repeats):
            y = product(x)
        y.block_until_ready()

    return run


def ceiling_flops(size: int = 2048, repeats: int = 5) -> float:
    """Floating-point operations of one repetition of `ceiling`."""
    return 2.0 * size**3 * repeats


def machine() -> dict[str, Any]:
    """What a figure has to be read with: processor, cores, commit, versions."""
    import jax

    describe = ['-C', str(_ROOT), 'describe', '--always', '--dirty', '--abbrev=7', '--exclude=*']
    git = shutil.which('git')
    commit = git and subprocess.run([git, *describe], capture_output=True, text=True, check=False).stdout
    return {
        'processor': _processor(),
        'commit': (commit or '').strip(),
        'cores': os.cpu_count(),
        'device': jax.devices()[0].device_kind,
        'python': platform.python_version(),
        'jax': jax.__version__,
        'numpy': np.__version__,
    }


def _processor() -> str:
    """Its name, with the family and model that tell apart what bears one name where Linux lists them."""
    if not _LISTED.exists():
        return platform.processor() or platform.machine()
    first = _LISTED.read_text('utf-8').partition('\n\n')[0]
    pairs = (line.partition(':') for line in first.splitlines())
    told = {name.strip(): value.strip() for name, _, value in pairs}
    words = {'model name': '', 'cpu family': 'family ', 'model': 'model '}
    return ', '.join(word + told[name] for name, word in words.items() if name in told) or platform.machine()


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; numbers with three significant digits."""
    return tabulate.tabulate(
        [[f'{v:.3g}' if isinstance(v, float) else v for v in row.values()] for row in rows],
        list(rows[0]) if rows else [],
        tablefmt='github',
        disable_numparse=True,
    )


def write(path: str, name: str, found: Any) -> None:
    """Writes a benchmark's figures with the machine's description, as JSON; no path, no file."""
    if path:
        write_json(path, {'benchmark': name, 'machine': machine(), **found})


def _serve(pipe: Any, work: Work) -> None:
    """The worker's process: answers `build`, `run` and `peak`."""
    run: Callable[[], None] | None = None
    while True:
        question = pipe.recv()
        started = time.perf_counter()
        if question == 'build':
            module, function = work.build.split(':')
            run = getattr(importlib.import_module(module), function)(**work.options)
        elif question == 'run':
            run()
        elif question == 'peak':
            # Kilobytes on Linux, bytes on macOS.
            unit = 1 if platform.system() == 'Darwin' else 1024
            pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
            continue
        pipe.send(time.perf_counter() - started)


def _ask(pipe: Any, question: str, name: str) -> float:
    pipe.send(question)
    try:
        return pipe.recv()
    except EOFError as error:
        raise RuntimeError(f'the worker {name} died at {question!r}; its own message is above') from error


def parse_json_flag(argv: Sequence[str], name: str) -> str:
    """The value of `--json=FILE`; other arguments are refused."""
    parser = argparse.ArgumentParser(prog=f'python -m benchmarks.{name}')
    parser.add_argument('--json', default='', help='write the figures here too')
    return parser.parse_args(argv).json
