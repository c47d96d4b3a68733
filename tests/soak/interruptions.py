"""Kills `main` and `summarize` at random moments, and compares what they leave with a run in peace.

python -m tests.soak.interruptions [--kills=20] [--per_trial=5] [--commands=main,summarize] [--seed=0]
    [-- FLAGS OF THE MAIN JOB]

Run from the checkout; not part of the suite. Every trial is one experiment, killed by SIGKILL `--per_trial`
times, each time at the next kind of moment: while it starts and compiles, while it trains, while a checkpoint
is written, after training, while results are written. Then it may finish. Its final states, metrics log and
results must be the same bytes; no temporary file may be left. Half of `--kills` goes to each command; a line
for each trial is printed, and in the end the counts as JSON.
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

from trsum_jax.results import filenames
from trsum_jax.runtime import checkpoint

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import summarizing
import xla

# So small that a session takes seconds, so long that there is something to interrupt.
SHORT = (
    *('--config.generator.epochs=30', '--config.summarizer.epochs=30'),
    *('--config.layout.checkpoint_every=4', '--config.layout.log_every=3'),
)
_TEXTS = ('metrics.jsonl', 'results.json', 'summaries.json', 'videos.csv', 'folds.csv')
_POLL_S = 0.002


def start(config: str, workdir: pathlib.Path, flags: Sequence[str]) -> subprocess.Popen:
    """The main job as a process of its own."""
    return command('main', f'--config={config}', f'--workdir={workdir}', *flags)


def command(name: str, *flags: str) -> subprocess.Popen:
    """A command as a process of its own, all that it says in one pipe."""
    return subprocess.Popen(
        [sys.executable, '-m', f'trsum_jax.{name}', *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def moments(
    workdir: pathlib.Path, draw: random.Random, epochs: int = 30, results: Sequence[pathlib.Path] = ()
) -> dict[str, Callable[[], bool]]:
    """By name, whether the moment to kill has come, asked again and again; each lets a random time pass.

    Args:
        workdir: of the training.
        draw: the random times.
        epochs: of the last stage.
        results: what is written last, where that is not the main job's.
    """
    begun = time.monotonic()
    log, checkpoints = workdir / filenames.METRICS, workdir / filenames.CHECKPOINTS
    results = results or [workdir / name for name in ('videos.csv', 'folds.csv', 'scores.h5')]
    size = log.stat().st_size if log.exists() else 0
    there = {path: written(path) for path in results}

    def after(condition: Callable[[], bool], most: float) -> Callable[[], bool]:
        wait, since = draw.uniform(0, most), []

        def come() -> bool:
            if not since and condition():
                since.append(time.monotonic())
            return bool(since) and time.monotonic() - since[0] >= wait

        return come

    def being_written() -> bool:
        return any('tmp' in path.name for path in checkpoints.glob('*/*'))

    return {
        'start': after(lambda: time.monotonic() - begun >= 0, 6.0),
        'training': after(lambda: log.exists() and log.stat().st_size > size, 0.3),
        'checkpoint': after(being_written, 0.05),
        'evaluation': after(lambda: epochs in checkpoint.whole(checkpoints / 'summarizer'), 1.0),
        'results': after(lambda: any(written(path) != was for path, was in there.items()), 0.6),
    }


def written(path: pathlib.Path) -> int:
    """When a file was, 0 where there is none; one under a temporary name counts."""
    times = [one.stat().st_mtime_ns for one in path.parent.glob(f'*{path.name}*') if one.is_file()]
    return max(times, default=0)


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
    started: Callable[[], subprocess.Popen],
    names: Iterator[str],
    kills: int,
    come: Callable[[str], Callable[[], bool]],
    over: Callable[[], bool] = lambda: False,
) -> collections.Counter:
    """One experiment through `kills` kills to its end: how many there were of each kind."""
    done: collections.Counter = collections.Counter()
    for _ in range(kills):
        # A session may have come to its end before its moment.
        if over():
            break
        name = next(names)
        process = started()
        if kill_at(process, come(name)):
            done[name] += 1
    finish(started())
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
    """What two finished workdirs of the main job do not have in common, to the bit."""
    found = [name for name in _TEXTS if (one / name).read_bytes() != (other / name).read_bytes()]
    found += differences_in_training(one, other)
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


def differences_in_training(one: pathlib.Path, other: pathlib.Path) -> list[str]:
    """In the last states of both stages."""
    found = []
    for stage in ('generator', 'summarizer'):
        first, second = (states(folder / filenames.CHECKPOINTS / stage) for folder in (one, other))
        found += [
            f'{stage} {name}'
            for name in first.keys() | second.keys()
            if name not in first or name not in second or first[name].tobytes() != second[name].tobytes()
        ]
    return found


def left(folder: pathlib.Path) -> list[str]:
    """Temporary files that a finished command has left."""
    return [f'left: {path.name}' for path in folder.rglob('*') if 'tmp' in path.suffix or 'tmp-' in path.name]


def kill_main(root: pathlib.Path, given: argparse.Namespace, draw: random.Random) -> Iterator[tuple]:
    """Counts and differences of each trial of the main job."""
    flags = (*SHORT, *given.flags)
    finish(start(given.config, root / 'in_peace', flags))
    flags = (*flags, f'--config.data.file={root}/in_peace/synthetic.h5', '--config.data.generate=False')
    finish(start(given.config, root / 'reference', flags))
    names = itertools.cycle(moments(root, draw))
    for number in itertools.count():
        workdir = root / f'trial_{number}'
        killed = trial(
            lambda workdir=workdir: start(given.config, workdir, flags),
            names,
            given.per_trial,
            lambda name, workdir=workdir: moments(workdir, draw)[name],
            lambda workdir=workdir: (workdir / filenames.RESULTS).exists(),
        )
        yield killed, differences(root / 'reference', workdir) + left(workdir)


def kill_summarize(root: pathlib.Path, given: argparse.Namespace, draw: random.Random) -> Iterator[tuple]:
    """Counts and differences of each trial of `summarize --workdir`, its training included."""
    film = summarizing.film(root / 'film.mp4')

    def started(folder: pathlib.Path) -> subprocess.Popen:
        flags = (
            f'--video={film}',
            f'--workdir={folder / "work"}',
            f'--output={folder / "out" / "summary.mp4"}',
        )
        (folder / 'out').mkdir(parents=True, exist_ok=True)
        return command('summarize', *flags, '--overwrite')

    def outputs(folder: pathlib.Path) -> list[pathlib.Path]:
        return [folder / 'out' / f'summary{end}' for end in ('.mp4', '.html', '.json', '.png')]

    finish(started(root / 'reference'))
    epochs = checkpoint.whole(root / 'reference' / 'work' / filenames.CHECKPOINTS / 'summarizer')[-1]
    names = itertools.cycle(moments(root, draw))
    for number in itertools.count():
        folder = root / f'trial_{number}'
        killed = trial(
            lambda folder=folder: started(folder),
            names,
            given.per_trial,
            lambda name, folder=folder: moments(folder / 'work', draw, epochs, outputs(folder))[name],
        )
        different = differences_in_training(root / 'reference' / 'work', folder / 'work')
        pairs = zip(outputs(root / 'reference'), outputs(folder), strict=True)
        different += [one.name for one, other in pairs if one.read_bytes() != other.read_bytes()]
        yield killed, different + left(folder)


def main() -> None:
    """Prints one line a trial and the sum as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--per_trial', type=int, default=5)
    parser.add_argument('--commands', default='main,summarize')
    parser.add_argument('--config', default='tests/tiny.py')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('flags', nargs='*', help='of the main job, after --')
    given = parser.parse_args()
    os.environ['XLA_FLAGS'] = xla.flags(1)
    os.environ['PYTHONPATH'] = os.pathsep.join(['tests', '.', os.environ.get('PYTHONPATH', '')])
    names = given.commands.split(',')
    total: collections.Counter = collections.Counter()
    lost = []
    for name in names:
        draw = random.Random(given.seed)
        done = 0
        with tempfile.TemporaryDirectory() as folder:
            trials = {'main': kill_main, 'summarize': kill_summarize}[name]
            for number, (killed, different) in enumerate(trials(pathlib.Path(folder), given, draw), start=1):
                total += collections.Counter({f'{name}, {moment}': n for moment, n in killed.items()})
                lost += different
                done += killed.total()
                print(
                    f'{name}, trial {number}: {dict(killed)}, different: {different or "nothing"}', flush=True
                )
                if done >= given.kills / len(names):
                    break
    print(json.dumps({'seed': given.seed, 'kills': total.total(), 'by moment': total, 'different': lost}))
    sys.exit(bool(lost))


if __name__ == '__main__':
    main()
