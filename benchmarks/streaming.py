"""Trains and scores on a dataset far larger than what may stand on a device, and says what memory that took.

python -m benchmarks.streaming [--videos=20000] [--width=32] [--stream_mb=32]

Each line of the table is a process of its own: the same small model on the whole file in chunks, and, for
comparison, on a twentieth of it in chunks and as a whole. The features are noise: only memory and time count.
"""

import argparse
import json
import multiprocessing
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import tabulate
from tqdm import tqdm

from trsum_jax.data import datasets
from trsum_jax.data.records import Video

STEPS = (120, 480)
_STEP_FRAMES, _SHOT_STEPS = 15, 10
_SMALL = 20


def noise(videos: int, width: int) -> Iterator[Video]:
    """Videos of random length with random features and shots of equal length, one at a time."""
    rng = np.random.default_rng(0)
    for number in tqdm(range(videos), desc='writing', unit='video', mininterval=5.0):
        n_steps = int(rng.integers(STEPS[0], STEPS[1] + 1))
        features = rng.standard_normal((n_steps, width), np.float32) / np.float32(width**0.5)
        first = np.arange(0, n_steps, _SHOT_STEPS) * _STEP_FRAMES
        last = np.append(first[1:], n_steps * _STEP_FRAMES) - 1
        yield Video(
            f'video_{number + 1}',
            np.arange(n_steps) * _STEP_FRAMES,
            n_steps * _STEP_FRAMES,
            features,
            np.stack([first, last], axis=1),
        )


def measure(file: str, stream_mb: float, workdir: str, answers: multiprocessing.Queue) -> None:
    """Both stages for an epoch and the scores of all videos, in this process: seconds and peak memory."""
    from trsum_jax.experiment import check, fields, preparation
    from trsum_jax.experiment.run import train

    config = fields.get_config('reconstruction')
    config.data.update({'file': file, 'folds': 0, 'stream_mb': stream_mb})
    config.decomposition.length = 64
    config.model.update({'width': 16, 'heads': 2, 'feed_forward': 32, 'layers': 1})
    config.generator.update({'epochs': 1, 'batch': 64})
    config.summarizer.update({'epochs': 1, 'batch': 64, 'episodes': 2})
    check.check(config)
    started = time.perf_counter()
    pathlib.Path(workdir).mkdir()
    start = preparation.prepare(config, pathlib.Path(workdir))
    read = time.perf_counter()
    trained = train(start)
    learned = time.perf_counter()
    scores = start.score(trained, False)['trsum'][0]
    done = time.perf_counter()
    assert len(scores) == len(start.given.dataset.videos)
    numbers = sum(np.prod(video.features.shape) for video in start.given.dataset.videos.values())
    answers.put({
        'videos': len(scores),
        'features MB': 4 * numbers / 2**20,
        'chunks': start.feed.passes,
        'peak MB': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        'reading s': read - started,
        'training s': learned - read,
        'segments/s': 2 * start.feed.segments / (learned - read),
        'scoring s': done - learned,
    })  # fmt: skip


def apart(file: pathlib.Path, stream_mb: float, workdir: pathlib.Path) -> dict[str, float]:
    """`measure` in a new process."""
    context = multiprocessing.get_context('spawn')
    answers = context.Queue()
    process = context.Process(target=measure, args=(str(file), stream_mb, str(workdir), answers))
    process.start()
    while answers.empty() and process.is_alive():
        time.sleep(0.2)
    process.join(10.0)
    if answers.empty():
        sys.exit(f'the measuring process ended with {process.exitcode}')
    found = answers.get()
    return {'stream_mb': stream_mb} | found


def main() -> None:
    """Prints the table and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--videos', type=int, default=20_000)
    parser.add_argument('--width', type=int, default=32)
    parser.add_argument('--stream_mb', type=float, default=32.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, count in (('all', given.videos), ('part', max(given.videos // _SMALL, 1))):
            datasets.write_dataset(root / f'{name}.h5', noise(count, given.width), synthetic=True)
        rows = [
            apart(root / 'all.h5', given.stream_mb, root / 'one'),
            apart(root / 'part.h5', given.stream_mb, root / 'two'),
            apart(root / 'part.h5', 0.0, root / 'three'),
        ]
    print(tabulate.tabulate(rows, headers='keys', tablefmt='github', floatfmt='.0f'))
    print(json.dumps(rows))
    grown = rows[0]['peak MB'] - rows[1]['peak MB']
    if grown > rows[0]['features MB']:
        sys.exit(f'memory grew by {grown:.0f} MB with the videos: as much as their features take')


if __name__ == '__main__':
    main()
