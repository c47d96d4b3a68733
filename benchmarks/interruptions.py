"""Kills the main job at random moments, and compares what it leaves in the end with a run in peace.

python -m benchmarks.interruptions [--trials=20] [--config=tests/tiny.py] [-- FLAGS OF THE MAIN JOB]

Every trial is one experiment, killed by SIGKILL again and again (`--kills` times), each time at the next kind
of moment: while it starts and compiles, while it trains, while a checkpoint is written, after training, while
results are written. Then it may finish. Its final states, metrics log and results must be the same bytes.
"""

import argparse
import collections
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import h5py
import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from trsum_jax.training import checkpoint, files

# So small that a session takes seconds, so long that there is something to interrupt.
SHORT = (
    *('--config.generator.epochs=30', '--config.summarizer.epochs=30'),
    *('--config.layout.checkpoint_every=4', '--config.layout.log_every=3'),
)
_TEXTS = ('metrics.jsonl', 'results.json', 'summaries.json', 'videos.csv', 'folds.csv')
_POLL_S = 0.002


def start(config: str, workdir: pathlib.Path, flags: Sequence[str]) -> subprocess.Popen:
    """The main job as a process of its own."""
    command = [sys.executable, '-m', 'trsum_jax.main', f'--config={config}', f'--workdir={workdir}', *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def moments(workdir: pathlib.Path, draw: random.Random) -> dict[str, Callable[[], bool]]:
    """By name, whether the moment to kill has come, asked again and again; each lets a random time pass."""
    begun = time.monotonic()
    log, checkpoints = workdir / files.METRICS, workdir / files.CHECKPOINTS
    size = log.stat().st_size if log.exists() else 0
    there = {path: path.stat().st_mtime_ns for path in workdir.rglob('*') if path.is_file()}

    def after(condition: Callable[[], bool], most: float) -> Callable[[], bool]:
        wait, since = draw.uniform(0, most), []

        def come() -> bool:
            if not since and condition():
                since.append(time.monotonic())
            return bool(since) and time.monotonic() - since[0] >= wait

        return come

    def being_written() -> bool:
        return any('tmp' in path.name for path in checkpoints.glob('*/*'))

    def rewritten(*names: str) -> bool:
        return any(
            (workdir / name).exists() and (workdir / name).stat().st_mtime_ns != there.get(workdir / name)
            for name in names
        )

    return {
        'start': after(lambda: time.monotonic() - begun >= 0, 6.0),
        'training': after(lambda: log.exists() and log.stat().st_size > size, 0.3),
        'checkpoint': after(being_written, 0.05),
        'evaluation': after(lambda: 30 in checkpoint.whole(checkpoints / 'summarizer'), 1.0),
        'results': after(lambda: rewritten('videos.csv', 'folds.csv', 'scores.h5'), 0.6),
    }


def kill_at(process: subprocess.Popen, come: Callable[[], bool]) -> bool:
    """Waits for the moment and kills; False where the process finished before."""
    while process.poll() is None:
        if come():
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(_POLL_S)
    finish(process)
    return False


def finish(process: subprocess.Popen) -> None:
    """Lets a session end in peace."""
    told, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f'exit code {process.returncode}:\n{told}')


def trial(
    config: str,
    workdir: pathlib.Path,
    flags: Sequence[str],
    names: Iterator[str],
    kills: int,
    draw: random.Random,
) -> collections.Counter:
    """One experiment through `kills` kills to its end: how many there were of each kind."""
    done: collections.Counter = collections.Counter()
    for _ in range(kills):
        if (workdir / files.RESULTS).exists():
            break
        name = next(names)
        process = start(config, workdir, flags)
        come = moments(workdir, draw)[name]
        if kill_at(process, come):
            done[name] += 1
    finish(start(config, workdir, flags))
    return done


def states(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The newest checkpoint of a stage, by leaf."""
    epoch, here = checkpoint.whole(folder)[-1], jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with ocp.training.Checkpointer(folder.resolve()) as checkpointer:
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here),
            checkpointer.metadata(epoch).metadata,
        )
        tree = checkpointer.load(epoch, abstract)
    found = {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    return found | {'epochs': np.asarray(epoch)}


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
    """What two finished workdirs do not have in common, to the bit."""
    found = [name for name in _TEXTS if (one / name).read_bytes() != (other / name).read_bytes()]
    for stage in ('generator', 'summarizer'):
        first, second = (states(folder / files.CHECKPOINTS / stage) for folder in (one, other))
        found += [
            f'{stage} {name}'
            for name in first.keys() | second.keys()
            if name not in first or name not in second or first[name].tobytes() != second[name].tobytes()
        ]
    with h5py.File(one / 'scores.h5') as first, h5py.File(other / 'scores.h5') as second:
        found += [
            f'scores of {key}'
            for key in first.keys() | second.keys()
            if key not in first
            or key not in second
            or np.any(first[key]['scores'][()] != second[key]['scores'][()])
        ]
    for path in (one / 'pictures').iterdir():
        if path.read_bytes() != (other / 'pictures' / path.name).read_bytes():
            found.append(path.name)
    return found


def main() -> None:
    """Prints one line a trial and the sum as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--trials', type=int, default=20)
    parser.add_argument('--kills', type=int, default=5)
    parser.add_argument('--config', default='tests/tiny.py')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('flags', nargs='*', help='of the main job, after --')
    given = parser.parse_args()
    os.environ['PYTHONPATH'] = os.pathsep.join(['tests', os.environ.get('PYTHONPATH', '')])
    draw = random.Random(given.seed)
    total: collections.Counter = collections.Counter()
    lost = []
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        flags = (*SHORT, *given.flags)
        finish(start(given.config, root / 'in_peace', flags))
        flags = (*flags, f'--config.data.file={root}/in_peace/synthetic.h5', '--config.data.generate=False')
        finish(start(given.config, root / 'reference', flags))
        names = itertools.cycle(moments(root, draw))
        for number in range(given.trials):
            workdir = root / f'trial_{number}'
            killed = trial(given.config, workdir, flags, names, given.kills, draw)
            different = differences(root / 'reference', workdir)
            total += killed
            lost += different
            print(
                f'trial {number + 1} of {given.trials}: {dict(killed)}, different: {different or "nothing"}',
                flush=True,
            )
    print(json.dumps({'kills': total.total(), 'by moment': dict(total), 'different': lost}))
    sys.exit(bool(lost))


if __name__ == '__main__':
    main()
