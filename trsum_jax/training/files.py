"""What a workdir holds, whether it may be written to, and what it remembers between sessions."""

import json
import pathlib

import ml_collections

from trsum_jax.data import datasets
from trsum_jax.errors import InputError
from trsum_jax.files import encodable, shown, write_json
from trsum_jax.training import inputs, processes, settings

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
    *('human_alignment.json', 'failures.json'),
)


def refuse_place(workdir: pathlib.Path) -> None:
    """Stops before any work for a workdir that could never hold one.

    Args:
        workdir: there already, or not.

    Raises:
        InputError: it is a file, or its path has bytes that are no UTF-8, which checkpoints cannot have.
    """
    if workdir.exists() and not workdir.is_dir():
        raise InputError(f'--workdir: expected a folder, found a file: {shown(workdir)}')
    place = str(workdir.absolute())
    if place != encodable(place):
        raise InputError(
            f'--workdir={shown(place)}: expected a path in UTF-8, as checkpoints need, found other bytes; '
            'choose another folder'
        )


def refuse_another(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Stops before anything in a workdir is overwritten.

    Args:
        config: of now.
        workdir: where it would go.

    Raises:
        InputError: the workdir holds a run of another config, or files that this command did not leave.
    """
    refuse_place(workdir)
    path = workdir / CONFIG
    if not path.exists():
        # A run killed between its generated data and its config leaves the former alone.
        foreign = [
            name
            for name in WRITTEN
            if (workdir / name).exists()
            and not (name == inputs.SYNTHETIC and datasets.is_generated(workdir / name))
        ]
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


def remember(config: ml_collections.ConfigDict, workdir: pathlib.Path, record: dict, data: str) -> None:
    """Writes down what the workdir is for, or makes sure that it still is.

    Where the epochs to run have changed since, results of fewer epochs are renamed and stay.

    Args:
        config: of now, found to be the workdir's.
        workdir: of the experiment.
        record: in JSON's types: the runs, and digests of all data.
        data: the data's path, for messages.

    Raises:
        InputError: the data or folds are not those of the earlier session; more epochs of a generator on
            which a summarizer was trained already.
    """
    path = workdir / RECORD
    now = [config[stage].epochs for stage in settings.STAGES[config.method]]
    there = _record_of(workdir)
    told = there.get('epochs', [])
    # Else a slow process would find what the first one has just written.
    processes.wait('the workdir is read')
    if there:
        if {name: value for name, value in there.items() if name != 'epochs'} != record:
            raise InputError(
                f'{workdir}: the data or the folds are not those that this experiment began with '
                f'({data} has changed). Restore them, or choose another --workdir.'
            )
        if told[-1][0] != now[0] and (workdir / CHECKPOINTS / 'summarizer').exists():
            raise InputError(
                f'config.generator.epochs: expected {told[-1][0]}, after which {workdir} began to train its '
                f'summarizer, found {now[0]}. Choose another --workdir.'
            )
    if processes.first():
        if told and told[-1] != now:
            _set_aside(workdir, told[-1])
        if not told or told[-1] != now:
            told.append(now)
        write_json(workdir / CONFIG, config.to_dict())
        write_json(path, record | {'epochs': told})
    processes.wait('the workdir is ready')


def epochs_told(workdir: pathlib.Path) -> list[list[int]]:
    """Epochs of every stage that each session was told to train for, where they changed."""
    return _record_of(workdir).get('epochs', [])


def _record_of(workdir: pathlib.Path) -> dict:
    path = workdir / RECORD
    return json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}


def _set_aside(workdir: pathlib.Path, epochs: list[int]) -> None:
    for name in (RESULTS, TABLE):
        path = workdir / name
        if path.exists():
            path.rename(path.with_stem(f'{path.stem}-{"-".join(map(str, epochs))}-epochs'))
