"""Stage 1 and stage 2 steps, and scoring, against PyTorch: `python -m benchmarks.steps [--json=FILE]`."""

import functools
import sys
from typing import Any

from benchmarks import measure, workers
from benchmarks.measure import Work

# Batches in one repetition, so that one takes about a second.
STEPS = {'toy': 1, 'small': 2, 'paper': 1}


def compare_steps(size: str, stage: str, repetitions: int = 7) -> dict[str, Any]:
    """Our step against both opponents, with the machine's ceiling and the share of it that we reach.

    Args:
        size: one of `workers.SIZES`.
        stage: one of `workers.STAGES`.
        repetitions: of every worker.

    Returns:
        What `measure.compare` gives, with `flops` of a repetition and `share` of the ceiling.
    """
    steps = STEPS[size]
    same = {'size': size, 'stage': stage, 'steps': steps}
    # Ours has its defaults; the opponent the best of its options, microbatches of 8 and `torch.compile`.
    theirs = {'microbatch': 8} | ({'compile': 'default'} if size != 'toy' else {})
    found = measure.compare(
        {
            'ours': Work('benchmarks.workers:ours', same),
            'torch_best': Work('benchmarks.workers:opponent', {**same, 'name': 'torch_best', **theirs}),
            'torch_field': Work('benchmarks.workers:opponent', {**same, 'name': 'torch_field'}),
            'ceiling': Work('benchmarks.measure:ceiling'),
        },
        repetitions,
        f'{stage} step, {size}',
    )
    flops = steps * workers.step_flops(size, stage)
    ceiling = measure.ceiling_flops() / found['workers']['ceiling']['median_s']
    del found['ratios']['ceiling']
    share = flops / found['workers']['ours']['median_s'] / ceiling
    return found | {'flops': flops, 'ceiling_flops_per_s': ceiling, 'share': share}


def compare_scoring(size: str, repetitions: int = 7) -> dict[str, Any]:
    """Scoring videos with a trained model, against `torch_best`."""
    return measure.compare(
        {
            name: Work('benchmarks.workers:scorer', {'size': size, 'name': name})
            for name in ('ours', 'torch_best')
        },
        repetitions,
        f'scoring, {size}',
    )


def rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an opponent, for the table."""
    return [
        {
            'work': one['label'],
            'against': name,
            'ours, s': one['workers']['ours']['median_s'],
            'theirs, s': one['workers'][name]['median_s'],
            'ratio': f'{ratio["ratio"]:.2f} [{ratio["low"]:.2f}, {ratio["high"]:.2f}]',
            'twins differ by': one['twin_spread'],
            'faster': 'no difference' if ratio['none'] else 'ours' if ratio['ratio'] < 1 else 'theirs',
            'share of the ceiling': one.get('share', '–'),
            'ours, compile s': one['workers']['ours']['compile_s'],
            'ours / theirs, peak MB': '{:.0f} / {:.0f}'.format(
                *(one['workers'][worker]['peak_mb'] for worker in ('ours', name))
            ),
        }
        for one in found
        for name, ratio in one['ratios'].items()
    ]


def main(argv: list[str]) -> None:
    """Measures all sizes and prints the table."""
    path = measure.parse_json_flag(argv, 'steps')
    print('\n'.join(f'{name}: {value}' for name, value in measure.machine().items()), flush=True)
    found = []
    for compare in (
        *(
            functools.partial(compare_steps, size, stage)
            for size in ('small', 'paper')
            for stage in workers.STAGES
        ),
        *(functools.partial(compare_scoring, size) for size in ('small', 'paper')),
    ):
        found.append(compare())
        # Each takes minutes: what is measured is shown at once.
        print(f'\n{measure.table(rows(found[-1:]))}', flush=True)
    measure.write(path, 'steps', {'comparisons': found})


if __name__ == '__main__':
    main(sys.argv[1:])
