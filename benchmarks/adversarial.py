"""The rivals' epoch over 40 videos: `python -m benchmarks.adversarial [--json=FILE]`.

Each worker is a process of its own with the whole machine; videos are as long, and features as wide, as
TVSum's: 490 steps of 1024. AC-SUM-GAN's own code is known to take about 22 s per video on 2 cores; ours has
the sizes and the batch of its settings. What makes ours fast is measured beside it: one LSTM layer, against
flax's cell.
"""

import sys
from collections.abc import Callable
from typing import Any

from benchmarks import measure
from benchmarks.measure import Work
from benchmarks.whole_epoch import compile_epoch

OWN_CODE_S = 22.0
# Videos, steps, features.
_SIZES = {'full': (40, 490, 1024), 'toy': (4, 20, 16)}
WORKERS = {
    'acsumgan': {'method': 'acsumgan'},
    'acsumgan, bfloat16': {'method': 'acsumgan', 'model.dtype': 'bfloat16'},
    'acsumgan, 1 layer': {'method': 'acsumgan', 'acsumgan.layers': 1},
    'drdsn': {'method': 'drdsn'},
}
LSTMS = ('ours', 'flax')


def epoch(size: str = 'full', **fields: Any) -> Callable[[], None]:
    """A worker: one epoch of one run, scanned over all batches.

    Args:
        size: `full` or `toy`.
        **fields: of the config that differ.

    Returns:
        Does the epoch and waits for it.
    """
    import jax
    import numpy as np

    from configs import default
    from trsum_jax.data.records import Video
    from trsum_jax.data.splits import Fold
    from trsum_jax.experiment import methods
    from trsum_jax.training import corpus, grid, runs

    n_videos, steps, width = _SIZES[size]
    config = default.get_config('reconstruction')
    config.update_from_flattened_dict(fields)
    rng = np.random.default_rng(0)
    videos = []
    for i in range(n_videos):
        features = rng.standard_normal((steps, width)).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        videos.append(
            Video(
                key=f'video_{i}',
                features=features,
                picks=np.arange(steps) * 15,
                n_frames=steps * 15,
                change_points=np.array([[0, steps * 15 - 1]]),
            )
        )
    keys = tuple(video.key for video in videos)
    whole = corpus.build(videos, steps, ('sequential',))
    (stage,) = methods.build(config, width, n_videos, steps).stages
    all_runs = runs.make_runs(runs.places((0,), 1), [Fold(keys, ())], keys, whole)
    step = compile_epoch(stage, 'map')
    states, number = grid.init(stage, all_runs, ()), 0

    def run() -> None:
        nonlocal states, number
        states, metrics = step(states, np.int32(number), whole, all_runs, ())
        number += 1
        jax.block_until_ready((states, metrics))

    return run


def lstm(size: str = 'full', whose: str = 'ours', videos: int = 40, width: int = 512) -> Callable[[], None]:
    """A worker: the gradient of one LSTM layer over a batch of videos, as ours or as flax's scanned cell.

    Args:
        size: `full` or `toy`.
        whose: one of `LSTMS`.
        videos: in the batch.
        width: of inputs and states.

    Returns:
        Does it once and waits for it.
    """
    import jax
    import jax.numpy as jnp
    from flax import linen as nn

    from trsum_jax.rivals.recurrent import Lstm

    x = jax.random.normal(jax.random.key(0), (videos, _SIZES[size][1], width))
    valid = jnp.ones(x.shape[:2], bool)
    if whose == 'ours':
        module, inputs = Lstm(width), (x, valid)
    else:
        module, inputs = nn.RNN(nn.OptimizedLSTMCell(width)), (x,)
    params = module.init(jax.random.key(1), *inputs)
    gradient = jax.jit(jax.grad(lambda params, inputs: jnp.sum(module.apply(params, *inputs) ** 2)))
    return lambda: jax.block_until_ready(gradient(params, inputs))


def main(argv: list[str]) -> None:
    """Times every worker, one after another, and prints the tables."""
    path = measure.parse_json_flag(argv, 'adversarial')
    layers = compare_lstms()
    print(measure.table(layers))
    rows = run()
    print(measure.table(rows))
    measure.write(path, 'adversarial', {'rows': rows, 'lstms': layers})


def compare_lstms(size: str = 'full', repetitions: int = 7) -> list[dict[str, Any]]:
    """Seconds of the gradient of one layer, ours beside flax's, in turn."""
    works = {name: Work('benchmarks.adversarial:lstm', {'size': size, 'whose': name}) for name in LSTMS}
    timings = measure.in_turn(works, repetitions, 'one LSTM layer')
    return [
        {'gradient of an LSTM layer': name, 'best, s': min(of.times), 'median, s': of.median}
        for name, of in timings.items()
    ]


def run(size: str = 'full', repetitions: int = 3) -> list[dict[str, Any]]:
    """Seconds of an epoch of each worker, and how that compares with the original's own code."""
    rows = []
    for name, fields in WORKERS.items():
        work = Work('benchmarks.adversarial:epoch', {'size': size, **fields})
        timing = measure.in_turn({name: work}, repetitions, name)[name]
        per_video = min(timing.times) / _SIZES[size][0]
        rows.append({
            'epoch of': name,
            'best, s': min(timing.times),
            'median, s': timing.median,
            'per video, s': per_video,
            'times faster than 22 s a video': OWN_CODE_S / per_video if 'acsumgan' in name else '–',
            'compile, s': timing.compile,
            'peak, MB': timing.peak / 2**20,
        })  # fmt: skip
    return rows


if __name__ == '__main__':
    main(sys.argv[1:])
