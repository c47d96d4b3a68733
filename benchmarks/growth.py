"""How time and memory grow: `python -m benchmarks.growth [--json=FILE]`, and a picture beside the JSON.

Every point is a process of its own, at the demo's model; exponents are fitted to all points of a table.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.measure import Work
from benchmarks.whole_epoch import compile_epoch


@dataclasses.dataclass(frozen=True)
class Table:
    """What is varied.

    Attributes:
        title: what is timed.
        unit: what is counted.
        build: the worker's name in this module; takes `size` and `n`.
        points: the counts.
        repetitions: timed ones.
    """

    title: str
    unit: str
    build: str
    points: tuple[int, ...]
    repetitions: int = 3


# 10, 30 and 100 minutes, 5 and 10 hours at 2 steps a second.
_LENGTHS = (1_200, 3_600, 12_000, 36_000, 72_000)
_VIDEOS = (50, 500, 5_000)
TABLES = (
    Table('an epoch of both stages, by runs', 'run', 'train_runs', (1, 5, 25)),
    Table('a step of both stages, by segments in it', 'segment', 'train_segments', (8, 16, 32, 64, 128)),
    Table('a stage 2 epoch, by episodes', 'episode', 'train_episodes', (1, 4, 16, 64)),
    Table('scoring one video, by length', 'step', 'score_length', _LENGTHS),
    Table('shots, knapsack, F and ranks of one video, by length', 'step', 'evaluate_length', _LENGTHS),
    Table('building the corpus, by videos', 'video', 'build_videos', _VIDEOS),
    Table('scoring, by videos', 'video', 'score_videos', _VIDEOS),
    Table('a stage 1 epoch, by videos', 'video', 'train_videos', _VIDEOS, 1),
)
# Steps in a video where their number is not what is varied: the demo's mean.
_STEPS = 150
_USERS = 3
_SHOT = 10
# What the peaks of one and the same work differ by.
_NOISE_MB = 32


def run_table(table: Table, size: str = 'demo', points: Sequence[int] = ()) -> dict[str, Any]:
    """Measures one table.

    Args:
        table: what to vary.
        size: `demo` or `toy`.
        points: other counts than the table's.

    Returns:
        `points`: by count, seconds (median, least, greatest) and peak MB; `time`: the fitted growth of the
        median; `memory`: of the peak above the first point's, against what was added to its count, since
        imports and compilation take a few hundred MB whatever the work.
    """
    found = []
    for n in points or table.points:
        work = Work(f'benchmarks.growth:{table.build}', {'size': size, 'n': n})
        timing = measure.in_turn({'point': work}, table.repetitions, f'{table.title}: {n}')['point']
        found.append({
            'n': n,
            's': timing.median,
            'low_s': min(timing.times),
            'high_s': max(timing.times),
            'compile_s': timing.compile,
            'peak_mb': timing.peak / 2**20,
        })  # fmt: skip
    first = found[0]
    shown = [one for one in found if one['peak_mb'] - first['peak_mb'] > _NOISE_MB]
    return {
        'title': table.title,
        'unit': table.unit,
        'points': found,
        'time': fit([one['n'] for one in found], [one['s'] for one in found]),
        'memory': fit(
            [one['n'] - first['n'] for one in shown], [one['peak_mb'] - first['peak_mb'] for one in shown]
        ),
    }


def fit(n: Sequence[int], values: Sequence[float]) -> dict[str, float]:
    """The exponent `e` of `value = c n^e`, by least squares on logarithms.

    Args:
        n: counts.
        values: positive.

    Returns:
        `exponent` and its `standard_error`; NaN for either where there are too few points for it.
    """
    from scipy import stats

    if len(n) < 2:
        return {'exponent': float('nan'), 'standard_error': float('nan')}
    line = stats.linregress(np.log(n), np.log(values))
    error = float(line.stderr) if len(n) > 2 else float('nan')
    return {'exponent': float(line.slope), 'standard_error': error}


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a point, for the table."""
    return [
        {
            f'{found["unit"]}s': f'{one["n"]:,}',
            'seconds': one['s'],
            'ms each': 1e3 * one['s'] / one['n'],
            'compile s': one['compile_s'],
            'peak MB': f'{one["peak_mb"]:.0f}',
        }
        for one in found['points']
    ]


def describe(found: dict[str, Any]) -> str:
    """The fitted exponents of a table, as a sentence."""

    def power(name: str) -> str:
        return 'n^{exponent:.2f} (± {standard_error:.2f})'.format(**found[name])

    peaks = [one['peak_mb'] for one in found['points']]
    memory = f'does not, beyond {_NOISE_MB} MB'
    if max(peaks) - peaks[0] > _NOISE_MB:
        memory = f'by {max(peaks) - peaks[0]:.0f} MB'
    # Two points always lie on a line.
    if np.isfinite(found['memory']['standard_error']):
        memory += f', as {power("memory")}'
    return f'Time grows as {power("time")}; memory above the first {peaks[0]:.0f} MB {memory}.'


def draw(path: pathlib.Path, tables: Sequence[dict[str, Any]]) -> None:
    """Draws every table, both axes logarithmic: seconds, and the peak in MB.

    Args:
        path: the PNG.
        tables: from `run_table`.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    from trsum_jax.files import replacing

    columns = min(4, len(tables))
    height = -(-len(tables) // columns)
    figure, axes = plt.subplots(
        height, columns, figsize=(4.2 * columns, 3.4 * height), layout='constrained', squeeze=False
    )
    for axis in axes.flat[len(tables) :]:
        axis.remove()
    for axis, found in zip(axes.flat, tables, strict=False):
        n = [one['n'] for one in found['points']]
        time = f'seconds, n^{found["time"]["exponent"]:.2f}'
        for name, colour, label in (('s', '#c1440e', time), ('peak_mb', '#4a6fa5', 'peak MB')):
            axis.loglog(n, [one[name] for one in found['points']], 'o-', color=colour, label=label)
        axis.set(title=found['title'], xlabel=f'{found["unit"]}s')
        axis.title.set_fontsize(9)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format='png')
    plt.close(figure)


def train_runs(size: str, n: int) -> Callable[[], None]:
    """An epoch of both stages of `n` runs at once, on the demo's number of videos."""
    return _training(_config(size), _videos(24, _STEPS, 64), n)


def train_segments(size: str, n: int) -> Callable[[], None]:
    """One batch of `n` segments in both stages."""
    config = _config(size)
    config.generator.batch = config.summarizer.batch = n
    return _training(config, _videos(n, _STEPS, 64), 1, segments=n)


def train_episodes(size: str, n: int) -> Callable[[], None]:
    """A stage 2 epoch with `n` episodes a segment."""
    config = _config(size)
    config.summarizer.episodes = n
    return _training(config, _videos(24, _STEPS, 64), 1, ('summarizer',))


def train_videos(size: str, n: int) -> Callable[[], None]:
    """A stage 1 epoch over `n` videos, with a model a quarter as wide as the demo's."""
    config = _config(size)
    config.model.update({'width': 16, 'feed_forward': 64, 'heads': 2})
    return _training(config, _videos(n, _STEPS, 16), 1, ('generator',))


def build_videos(size: str, n: int) -> Callable[[], None]:
    """The corpus of `n` videos, on the device."""
    import jax

    from trsum_jax.training import corpus

    config, videos = _config(size), _videos(n, _STEPS, 64)
    decomposition = config.decomposition
    return lambda: jax.block_until_ready(
        corpus.build(videos, decomposition.length, tuple(decomposition.views))
    )


def score_videos(size: str, n: int) -> Callable[[], None]:
    """The scores of `n` videos, the corpus built before."""
    return _scoring(_config(size), _videos(n, _STEPS, 64))


def score_length(size: str, n: int) -> Callable[[], None]:
    """The scores of one video of `n` steps, the corpus built before."""
    return _scoring(_config(size), _videos(1, n, 64))


def evaluate_length(size: str, n: int) -> Callable[[], None]:
    """From scores to a summary by the knapsack, F and rank correlations of one video of `n` steps."""
    from trsum_jax.protocol import evaluation

    del size
    (video,) = _videos(1, n, 1, users=_USERS)
    scores = np.random.default_rng(1).random(n)
    return lambda: evaluation.evaluate_video(video, scores)


def _config(size: str) -> Any:
    """The demo's config, or a toy's."""
    from configs import demo

    config = demo.get_config('reconstruction')
    if size == 'toy':
        config.decomposition.length = 16
        config.model.update({'width': 8, 'heads': 2, 'feed_forward': 16, 'layers': 1})
    return config


def _videos(n: int, steps: int, width: int, users: int = 0) -> list[Any]:
    """Videos of random features in shots of equal length: what they show does not matter to their cost."""
    from trsum_jax.data.records import Video

    rng = np.random.default_rng(0)
    first = np.arange(0, steps, _SHOT) * 15
    shots = np.stack([first, np.append(first[1:], steps * 15) - 1], axis=1)
    videos = []
    for i in range(n):
        features = rng.standard_normal((steps, width)).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        videos.append(Video(f'video_{i}', np.arange(steps) * 15, steps * 15, features, shots))
    if users:
        taken = np.repeat(rng.random((users, len(shots))) < 0.15, np.diff(shots)[:, 0] + 1, axis=1)
        ratings = np.repeat(rng.integers(1, 6, (users, len(shots))), np.diff(shots)[:, 0] + 1, axis=1)
        people = {'user_summary': taken.astype(np.float32), 'user_scores': ratings.astype(np.float32)}
        videos = [dataclasses.replace(video, **people) for video in videos]
    return videos


def _training(
    config: Any,
    videos: list[Any],
    n_runs: int,
    names: Sequence[str] = ('generator', 'summarizer'),
    segments: int = 0,
) -> Callable[[], None]:
    """An epoch of the named stages over all segments, or the first ones, in every run."""
    import jax
    import jax.numpy as jnp

    from trsum_jax.experiment.config import bind, how_here
    from trsum_jax.training import corpus, grid
    from trsum_jax.training.runs import Run

    everything = corpus.build(videos, config.decomposition.length, tuple(config.decomposition.views))
    width = videos[0].features.shape[1]
    both = bind(config, width, len(videos)).stages
    chosen = jnp.tile(jnp.arange(segments or everything.n_segments, dtype=jnp.int32), (n_runs, 1))
    runs = Run(jax.random.split(jax.random.key(0), n_runs), chosen, jnp.ones(chosen.shape))
    start = grid.init(both[0], runs, ())
    # The states are donated, what stage 2 reads must not be.
    frozen = jax.tree.map(jnp.copy, start.params)
    kept = {}
    for stage in both:
        if stage.name in names:
            reads = () if stage is both[0] else frozen
            states = start if stage is both[0] else grid.init(stage, runs, frozen)
            kept[stage.name] = [compile_epoch(stage, how_here(config.layout.runs)), states, reads]

    def run():
        for one in kept.values():
            epoch, states, reads = one
            one[1], metrics = epoch(states, 1, everything, runs, reads)
            jax.block_until_ready((one[1], metrics))

    return run


def _scoring(config: Any, videos: list[Any]) -> Callable[[], None]:
    import jax

    from trsum_jax.experiment.config import bind
    from trsum_jax.training import corpus, scoring

    segments = corpus.build(videos, config.decomposition.length, tuple(config.decomposition.views))
    summarizer = bind(config, videos[0].features.shape[1], len(videos)).summarizer
    params = summarizer.init(jax.random.key(0), segments.frames[segments.index[0]], segments.valid[0])
    score = jax.jit(lambda params, segments: scoring.importance(summarizer, params, segments))
    return lambda: score(params['params'], segments).block_until_ready()


def main(argv: list[str]) -> None:
    """Measures all tables, printing each when it is done; draws them beside the JSON."""
    path = measure.parse_json_flag(argv, 'growth')
    tables = []
    for table in TABLES:
        tables.append(found := run_table(table))
        print(f'\n{found["title"]}\n\n{measure.table(rows(found))}\n\n{describe(found)}', flush=True)
    measure.write(path, 'growth', {'tables': tables})
    if path:
        draw(pathlib.Path(path).with_suffix('.png'), tables)


if __name__ == '__main__':
    main(sys.argv[1:])
