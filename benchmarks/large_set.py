"""From a file of tens of thousands of videos to scores, phase by phase: seconds, bytes read and peak memory.

python -m benchmarks.large_set [--videos=20000] [--folder=/tmp]

The made set is as large in numbers as Mr. HiSum: a step a second, features 1024 wide, one reference a video,
one split with validation. The features are noise and the model is tiny: only reading counts. Before each
phase the file is dropped from the system's cache, so that bytes come from the disk. What is made is deleted
at the end.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import tabulate
from tqdm import tqdm

from trsum_jax.data import datasets
from trsum_jax.data.records import Video

_SHOT_STEPS = 6
_BLOCK = 16 << 20


def made(videos: int, steps: tuple[int, int], width: int) -> Iterator[Video]:
    """Videos of random length and content, one at a time."""
    rng = np.random.default_rng(0)
    # Drawn once, since drawing takes longer than writing; each video begins elsewhere.
    pool = rng.standard_normal((4 * steps[1], width), np.float32) / np.float32(width**0.5)
    for number in tqdm(range(videos), desc='writing', unit='video', mininterval=5.0):
        n_steps, start = int(rng.integers(steps[0], steps[1] + 1)), int(rng.integers(0, 3 * steps[1]))
        first = np.arange(0, n_steps, _SHOT_STEPS)
        yield Video(
            f'video_{number + 1}',
            np.arange(n_steps),
            n_steps,
            pool[start : start + n_steps] * np.float32(1 + 0.1 * rng.random()),
            np.stack([first, np.append(first[1:], n_steps) - 1], axis=1),
            user_summary=(rng.random((1, n_steps)) < 0.15).astype(np.float32),
            fps=1.0,
        )


def drop(path: pathlib.Path) -> None:
    """Drops a file from the system's cache."""
    with path.open('rb') as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_through(path: pathlib.Path) -> None:
    """Reads a file from its first byte to its last and does nothing with it."""
    with path.open('rb', buffering=0) as file:
        while file.read(_BLOCK):
            pass


def bytes_read() -> int:
    """What this process and its ended children have asked the system for, in bytes."""
    told = dict(line.split(': ') for line in pathlib.Path('/proc/self/io').read_text().splitlines())
    return int(told['rchar'])


def processor_seconds() -> float:
    """Of this process, and of the one that looks through files before it."""
    ticks = 0
    for status in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            pid, parent = status.parent.name, status.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        if str(os.getpid()) in (pid, parent[1]):
            ticks += int(parent[11]) + int(parent[12])
    return ticks / os.sysconf('SC_CLK_TCK')


class Phases:
    """Runs one phase after another and notes what each took."""

    def __init__(self, path: pathlib.Path):
        self._path, self.rows = path, []

    def run(self, name: str, phase: Callable[[], object]) -> object:
        """The result of a phase, whose row is noted."""
        drop(self._path)
        before, started, busy = bytes_read(), time.perf_counter(), processor_seconds()
        found = phase()
        took = time.perf_counter() - started
        times = (bytes_read() - before) / self._path.stat().st_size
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        busy = processor_seconds() - busy
        row = {'s': took, 'processor s': busy, 'times the file': times, 'peak MB so far': peak}
        self.rows.append({'phase': name} | row)
        print(name, {key: round(value, 2) for key, value in row.items()}, flush=True)
        return found


def experiment_config(path: pathlib.Path, splits: pathlib.Path, stream_mb: float) -> object:
    """A tiny model on the large file, each stage for one epoch."""
    from trsum_jax.experiment import check, fields

    config = fields.get_config()
    config.data.update({'file': str(path), 'splits': str(splits), 'stream_mb': stream_mb})
    config.decomposition.length = 64
    config.model.update({'width': 16, 'heads': 2, 'feed_forward': 32, 'layers': 1})
    config.generator.update({'epochs': 1, 'batch': 256, 'aside': 0.0})
    config.summarizer.update({'epochs': 1, 'batch': 256, 'episodes': 2})
    check.check(config)
    return config


def write_splits(path: pathlib.Path, videos: int) -> None:
    """One split, in the shares of Mr. HiSum: 86%, 7%, 7%."""
    keys = [f'video_{i}' for i in np.random.default_rng(1).permutation(videos) + 1]
    first, second = round(0.86 * videos), round(0.93 * videos)
    parts = {'train_keys': keys[:first], 'val_keys': keys[first:second], 'test_keys': keys[second:]}
    path.write_text(json.dumps(parts))


def run_phases(
    path: pathlib.Path, splits: pathlib.Path, stream_mb: float, workdir: pathlib.Path
) -> list[dict]:
    """All phases, in this process."""
    from trsum_jax import evaluate
    from trsum_jax.experiment import preparation
    from trsum_jax.experiment.run import train_stage
    from trsum_jax.results import filenames, report, summaries
    from trsum_jax.training import runs

    phases, config = Phases(path), experiment_config(path, splits, stream_mb)
    phases.run('reading the bytes alone', lambda: read_through(path))
    given = phases.run('opening, checking, splits', lambda: preparation.load_recorded(config, workdir))
    places = runs.places(config.seeds, len(given.folds))
    start = phases.run('planning', lambda: preparation.assemble(config, workdir, given, places))
    logs, params = [[workdir / filenames.METRICS]], []
    for stage in start.method.stages:
        frozen = params[0] if params else ()
        trained = phases.run(
            f'an epoch of the {stage.name}', lambda s=stage, f=frozen: train_stage(start, s, f, logs=logs)
        )
        params.append(trained.params)
    scores = phases.run('scoring', lambda: start.score(tuple(params), False)[report.MODEL][0])
    phases.run('writing scores', lambda: summaries.write_scores(workdir / 'scores.h5', scores))
    dataset = phases.run(
        'evaluate: reading', lambda: datasets.read_dataset(path, require_features=False, in_file=True)
    )
    tested = [list(fold.test) for fold in given.folds]
    phases.run('evaluate: measuring', lambda: evaluate.evaluate(dataset, tested, scores, draws=1))
    return phases.rows


def main() -> None:
    """Makes the set, runs the phases and prints their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--videos', type=int, default=20_000)
    parser.add_argument('--steps', type=int, nargs=2, default=(80, 160), help='of a video, least and most')
    parser.add_argument('--width', type=int, default=1024)
    parser.add_argument('--stream_mb', type=float, default=512.0)
    parser.add_argument('--folder', default=None, help='where the set is made; it is deleted at the end')
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root = pathlib.Path(folder)
        path, splits, workdir = root / 'all.h5', root / 'splits.json', root / 'run'
        workdir.mkdir()
        started = time.perf_counter()
        datasets.write_dataset(path, made(given.videos, given.steps, given.width), synthetic=True)
        size = path.stat().st_size
        print(f'written: {size / 2**30:.2f} GB in {time.perf_counter() - started:.0f} s', flush=True)
        write_splits(splits, given.videos)
        rows = run_phases(path, splits, given.stream_mb, workdir)
    print(tabulate.tabulate(rows, headers='keys', tablefmt='github', floatfmt='.1f'))
    print(json.dumps({'videos': given.videos, 'bytes': size, 'rows': rows}))
    if rows[-1]['peak MB so far'] * 2**20 > max(size, 4 << 30):
        sys.exit('the memory grew to the size of the file')


if __name__ == '__main__':
    main()
