"""What a workdir holds, and whether it may be written to."""

import pathlib

import ml_collections

from trsum_jax.errors import InputError
from trsum_jax.training import inputs, settings

CONFIG, RECORD, METRICS, RESULTS, TABLE = (
    'config.json',
    'experiment.json',
    'metrics.jsonl',
    'results.json',
    'results.md',
)
CHECKPOINTS = 'checkpoints'
WRITTEN = (
    *(RECORD, METRICS, RESULTS, TABLE, CHECKPOINTS),
    *('pictures', 'scores.h5', 'summaries.json', 'videos.csv', 'folds.csv', inputs.SYNTHETIC),
)


def refuse_another(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Stops before anything in a workdir is overwritten.

    Args:
        config: of now.
        workdir: where it would go.

    Raises:
        InputError: the workdir holds a run of another config, or files that this command did not leave.
    """
    if workdir.exists() and not workdir.is_dir():
        raise InputError(f'--workdir: expected a folder, found a file: {workdir}')
    path = workdir / CONFIG
    if not path.exists():
        foreign = [name for name in WRITTEN if (workdir / name).exists()]
        if foreign:
            raise InputError(
                f'{workdir}: holds {", ".join(foreign)} but no {CONFIG}: this command did not leave it, and '
                'would overwrite it. Choose another --workdir.'
            )
        return
    different = settings.differences(config, path)
    if different:
        raise InputError(
            f'{workdir}: holds a run of another config, and nothing is overwritten. Choose another --workdir '
            'or delete it. The fields that differ:\n  ' + '\n  '.join(different)
        )
