"""A grid in one process against a process a run, and a cold start: `python -m benchmarks.grid [--json=FILE]`.

The processes are real ones, `python -m trsum_jax.main`, timed from their start to their end.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import ml_collections
import numpy as np
from tqdm import tqdm

from benchmarks import measure
from benchmarks.measure import Work
from benchmarks.whole_epoch import compile_epoch

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDS, SEEDS = 5, (0, 1)
# The demo's own sizes and epochs; the paper's model on features of TVSum's shapes; a toy for the tests.
SIZES = {
    'demo': {},
    'paper': {
        'data.synthetic.videos': 50,
        'data.synthetic.width': 1024,
        'data.synthetic.steps': (470, 470),
        'data.synthetic.pool': 200,
        'decomposition.length': 128,
        'model.width': 1024,
        'model.heads': 8,
        'model.feed_forward': 4096,
        'model.layers': 3,
        'generator.batch': 8,
        'generator.epochs': 250,
        'summarizer.batch': 8,
        'summarizer.epochs': 100,
        'summarizer.episodes': 5,
    },
    'toy': {
        'data.synthetic.videos': 6,
        'data.synthetic.width': 6,
        'data.synthetic.steps': (10, 24),
        'data.synthetic.shot_steps': (2, 5),
        'decomposition.length': 8,
        'model.width': 8,
        'model.heads': 2,
        'model.feed_forward': 16,
        'model.layers': 1,
        'generator.epochs': 1,
        'summarizer.epochs': 1,
        'evaluation.baselines': False,
    },
}
_CACHED = {'off': 'compiled anew in every process', 'on': 'compilation cache, empty at first'}


def compare_grid(size: str, cache: str, folds: int = FOLDS, seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """All runs in one process, then one process a run, in turn; start, imports and compilation included.

    Args:
        size: one of `SIZES`.
        cache: `off`, every process compiles; `on`, as by default, from an empty cache on both sides.
        folds: of the grid.
        seeds: of the grid.

    Returns:
        `one_s`; `each_s`, [seeds x folds] seconds; `ratio` of `one_s` to their sum; `loss_differs_by`: the
        greatest relative difference of stage 1's losses between a grid's run and that run alone. Only of fold
        0: a run's random numbers depend on its seed and the index of its fold, which is 0 when alone.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shared = _write_data(folder, size, folds)
        one = [*shared, f'--config.data.folds={folds}', f'--config.seeds={seeds}']
        one_s = _timed(folder / 'one', one, _environment(cache, folder / 'cache_one'))
        each_s = []
        for seed in seeds:
            for fold in range(folds):
                alone = [*shared, f'--config.data.splits={folder}/{fold}.json', f'--config.seeds=({seed},)']
                environment = _environment(cache, folder / 'cache_each')
                each_s.append(_timed(folder / f'{seed}-{fold}', alone, environment))
        differences = [
            np.max(np.abs(np.subtract(_losses(folder / 'one', seed), (lone := _losses(path, seed)))) / lone)
            for seed in seeds
            for path in [folder / f'{seed}-0']
        ]
    return {
        'one_s': one_s,
        'each_s': each_s,
        'ratio': one_s / sum(each_s),
        'loss_differs_by': float(max(differences)),
    }


def cold_start(size: str, repetitions: int = 5) -> dict[str, Any]:
    """Seconds from a process's start until epoch 1 of the demo is done and logged, compilation cached.

    Args:
        size: one of `SIZES`.
        repetitions: after a first start, which fills the cache.

    Returns:
        `empty_s`, of that first start, and `cached_s`, [repetitions].
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        flags = [*_flags(SIZES[size]), '--config.layout.log_every=1']
        environment = _environment('on', folder / 'cache')
        times = [
            _until_first_epoch(folder / str(i), flags, environment)
            for i in tqdm(range(repetitions + 1), desc='cold start', leave=False)
        ]
    return {'empty_s': times[0], 'cached_s': times[1:]}


def compare_layouts(size: str, stage: str, repetitions: int = 7) -> dict[str, Any]:
    """An epoch of five folds in one program, as the backend lays it out, against fold after fold."""
    return measure.compare(
        {
            name: Work('benchmarks.grid:folds', {'size': size, 'stage': stage, 'how': how})
            for name, how in (('together', 'auto'), ('one after another', 'alone'))
        },
        repetitions,
        f'{stage} epoch, {FOLDS} folds, {size}',
    )


def setting(size: str) -> ml_collections.ConfigDict:
    """The demo's config at a size, one of `SIZES`."""
    from configs import demo

    config = demo.get_config('reconstruction')
    config.update_from_flattened_dict(SIZES[size])
    return config


def folds(size: str, stage: str, how: str) -> Callable[[], None]:
    """A worker: an epoch of five folds, laid out by `how` (`auto`, `map`, `vmap`), or `alone`, in turn."""
    import jax

    from trsum_jax.data import splits
    from trsum_jax.data.made import synthetic
    from trsum_jax.experiment.config import bind, how_here
    from trsum_jax.training import corpus, grid, runs

    config = setting(size)
    videos = synthetic.generate(synthetic.Recipe(**config.data.synthetic))
    keys, width = [video.key for video in videos], config.data.synthetic.width
    segments = corpus.build(videos, config.decomposition.length, tuple(config.decomposition.views))
    chosen, places = splits.disjoint_folds(keys, FOLDS, 0), runs.places((0,), FOLDS)
    groups = [[place] for place in places] if how == 'alone' else [places]
    first, second = bind(config, width, len(videos)).stages
    one = first if stage == 'generator' else second
    epoch = compile_epoch(one, 'map' if how == 'alone' else how_here(how))
    kept = []
    for group in groups:
        all_runs = runs.make_runs(group, chosen, keys, segments)
        frozen = () if stage == 'generator' else grid.init(first, all_runs, ()).params
        kept.append((grid.init(one, all_runs, frozen), all_runs, frozen))

    def run():
        for i, (states, all_runs, frozen) in enumerate(kept):
            states, metrics = epoch(states, 1, segments, all_runs, frozen)
            jax.block_until_ready((states, metrics))
            kept[i] = states, all_runs, frozen

    return run


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a comparison, for the table; ratios are medians over the rounds, in brackets their range."""
    table = []
    for cache, rounds in found['processes'].items():
        ratios = [one['ratio'] for one in rounds]
        table.append({
            'work': f'one process against {len(rounds[0]["each_s"])} in turn, {_CACHED[cache]}',
            'ours, s': float(np.median([one['one_s'] for one in rounds])),
            'theirs, s': float(np.median([sum(one['each_s']) for one in rounds])),
            'ratio': f'{np.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]',
            'rounds': len(rounds),
        })  # fmt: skip
    for one in found['layouts']:
        ratio = one['ratios']['one after another']
        middle = '{ratio:.2f} [{low:.2f}, {high:.2f}]'.format(**ratio)
        table.append({
            'work': f'{one["label"]}, on {found["backend"]}: together against one after another',
            'ours, s': one['workers']['together']['median_s'],
            'theirs, s': one['workers']['one after another']['median_s'],
            'ratio': middle + (' (no difference)' if ratio['none'] else ''),
            'rounds': one['repetitions'],
        })  # fmt: skip
    start = found['start']
    table.append({
        'work': 'start until epoch 1 of the demo is done, compilation cached (theirs: not yet)',
        'ours, s': float(np.median(start['cached_s'])),
        'theirs, s': start['empty_s'],
        'ratio': f'{np.median(start["cached_s"]) / start["empty_s"]:.2f}',
        'rounds': len(start['cached_s']),
    })  # fmt: skip
    return table


def measure_all(size: str = 'demo', rounds: int = 1, repetitions: int = 7, **grid: Any) -> dict[str, Any]:
    """Everything that `rows` shows.

    Args:
        size: one of `SIZES`.
        rounds: of the processes, as each takes minutes.
        repetitions: of the rest.
        **grid: `folds` and `seeds` of the processes.
    """
    start = cold_start(size, repetitions)
    layouts = [
        compare_layouts(size, stage, repetitions) | {'repetitions': repetitions}
        for stage in ('generator', 'summarizer')
    ]
    processes = {
        cache: [compare_grid(size, cache, **grid) for _ in tqdm(range(rounds), desc=f'cache {cache}')]
        for cache in _CACHED
    }
    import jax

    return {
        'size': size,
        'backend': jax.default_backend(),
        'processes': processes,
        'layouts': layouts,
        'start': start,
    }


def _write_data(folder: pathlib.Path, size: str, n_folds: int) -> list[str]:
    """Writes the demo's videos, and each fold as a splits file of its own; the flags of every process."""
    from trsum_jax.data import datasets, splits
    from trsum_jax.data.made import synthetic

    config = setting(size)
    file = folder / 'videos.h5'
    datasets.write_dataset(
        file, synthetic.generate(synthetic.Recipe(**config.data.synthetic)), synthetic=True
    )
    keys = tuple(datasets.read_dataset(file).videos)
    for i, fold in enumerate(splits.disjoint_folds(keys, n_folds, config.data.split_seed)):
        entry = {'train_keys': list(fold.train), 'test_keys': list(fold.test)}
        (folder / f'{i}.json').write_text(json.dumps([entry]))
    return [*_flags(SIZES[size]), '--config.data.generate=False', f'--config.data.file={file}']


def _flags(fields: dict[str, Any]) -> list[str]:
    return [f'--config.{name}={value}' for name, value in fields.items()]


def _environment(cache: str, folder: pathlib.Path) -> dict[str, str]:
    """A user's environment, with a cache of our own or none."""
    mine = ('JAX_COMPILATION_CACHE_DIR', 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS')
    kept = {name: value for name, value in os.environ.items() if name not in mine}
    return kept | {'XDG_CACHE_HOME': str(folder), 'JAX_ENABLE_COMPILATION_CACHE': str(cache == 'on').lower()}


def _command(workdir: pathlib.Path, flags: list[str]) -> list[str]:
    main = [sys.executable, '-m', 'trsum_jax.main', '--config=configs/demo.py']
    return [*main, f'--workdir={workdir}', *flags]


def _timed(workdir: pathlib.Path, flags: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        _command(workdir, flags), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f'{" ".join(done.args)}\n{done.stderr}')
    return seconds


def _until_first_epoch(workdir: pathlib.Path, flags: list[str], environment: dict[str, str]) -> float:
    log, errors = workdir / 'metrics.jsonl', workdir.with_suffix('.txt')
    started = time.perf_counter()
    with errors.open('w') as file:
        process = subprocess.Popen(
            _command(workdir, flags), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=file
        )
    try:
        while not (log.exists() and log.stat().st_size):
            if process.poll() is not None:
                raise RuntimeError(f'{" ".join(process.args)}\n{errors.read_text()}')
            time.sleep(0.01)
        return time.perf_counter() - started
    finally:
        process.kill()
        process.wait()


def _losses(workdir: pathlib.Path, seed: int) -> np.ndarray:
    """[epochs], stage 1's losses of the run of fold 0."""
    lines = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
    place = ('generator', seed, 0)
    return np.array([x['loss'] for x in lines if (x['stage'], x['seed'], x['fold']) == place])


def main(argv: list[str]) -> None:
    """Measures everything and prints the table."""
    path = measure.parse_json_flag(argv, 'grid')
    found = measure_all()
    print(f'\n{measure.table(rows(found))}')
    alike = max(one['loss_differs_by'] for of in found['processes'].values() for one in of)
    print(f'\nLosses of a run in the grid and alone differ by {alike:.1g} at most, relatively.')
    measure.write(path, 'grid', found)


if __name__ == '__main__':
    main(sys.argv[1:])
