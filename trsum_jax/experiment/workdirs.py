"""What a workdir holds, whether it may be written to, and what it remembers between sessions.

`config.json` and `experiment.json` say what was trained on what; `checkpoints/about.json` holds both once
more, so that a training outlives the loss of either.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_collections

from trsum_jax.data import datasets
from trsum_jax.errors import InputError
from trsum_jax.experiment import check, methods
from trsum_jax.experiment.bench import functions
from trsum_jax.files import encodable, read_json, shown, write_json
from trsum_jax.results import filenames
from trsum_jax.runtime import checkpoint, processes


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _are_lists_of_numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(one, list) and one and all(isinstance(n, int) for n in one) for one in value
    )  # fmt: skip


# The fields of the record, and whether a value can be one's.
_FIELDS: Mapping[str, Callable[[object], bool]] = {
    'width': _is_count,
    'encoder': lambda value: value is None or _is_text(value),
    'n_videos': _is_count,
    'runs': lambda value: _are_lists_of_numbers(value) and all(len(one) == 2 for one in value),
    'data': _is_text,
    'videos': lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    'epochs': _are_lists_of_numbers,
}


def config_of(workdir: pathlib.Path) -> dict[str, Any] | None:
    """The config that a workdir was trained with.

    Args:
        workdir: any folder.

    Returns:
        What `config.json` holds, or the checkpoints' copy where it is lost; None where there is neither and
        nothing was trained.

    Raises:
        InputError: both are lost, and there are checkpoints.
    """
    found = _told(workdir, filenames.CONFIG, ())
    return found if found is None else check.of_this_version(found)


def record_of(workdir: pathlib.Path, *needed: str) -> dict[str, Any] | None:
    """What a workdir was trained on.

    Args:
        workdir: any folder.
        needed: the fields that have to be there; all of them where none is named.

    Returns:
        As `config_of`, of `experiment.json`.

    Raises:
        InputError: as `config_of`.
    """
    return _told(workdir, filenames.RECORD, needed or tuple(_FIELDS))


def is_of(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> bool:
    """Whether a folder holds a run of this very config."""
    there = config_of(workdir)
    return there is not None and not check.differences(config, there)


def _told(workdir: pathlib.Path, name: str, needed: Sequence[str]) -> dict[str, Any] | None:
    faults = []
    for place in (workdir / name, workdir / filenames.CHECKPOINTS / filenames.ABOUT):
        found, fault = _read(place, name, needed)
        if not fault:
            return found
        faults.append(fault)
    if not _is_trained(workdir):
        return None
    raise InputError(
        f'{faults[0]}. It says what the checkpoints are of. Restore it from a copy, or delete '
        f'{shown(workdir)} and train again.'
    )


def _read(place: pathlib.Path, name: str, needed: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a file tells, or the part of that name in the checkpoints' copy; and what is wrong with it."""
    try:
        found = read_json(place)
    except InputError as error:
        return {}, str(error)
    part = found.get(name) if place.name == filenames.ABOUT else found
    if not isinstance(part, dict) or not part:
        return {}, f'{shown(place)}: expected what a training leaves there, found nothing of it'
    off = [field for field in needed if not (field in part and _FIELDS[field](part[field]))]
    fault = f'{shown(place)}: expected what a training leaves there, found it not in {", ".join(off)}'
    return part, fault if off else ''


def _is_trained(workdir: pathlib.Path) -> bool:
    """Whether any stage has left a checkpoint."""
    return any(one.name.isdecimal() for one in (workdir / filenames.CHECKPOINTS).glob('*/*'))


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
    there = config_of(workdir)
    if there is None:
        # A run killed between its generated data and its config leaves the former alone.
        foreign = [
            name
            for name in filenames.WRITTEN
            if (workdir / name).exists()
            and not (name == filenames.SYNTHETIC and datasets.is_generated(workdir / name))
        ]
        if foreign:
            raise InputError(
                f'{shown(workdir)}: holds {", ".join(foreign)} but no sound {filenames.CONFIG}: this command '
                'did not leave it, and would overwrite it. Choose another --workdir.'
            )
        return
    for name in (filenames.CONFIG, *filenames.WRITTEN):
        if (workdir / name).exists() and (workdir / name).is_dir() != (name in filenames.FOLDERS):
            kinds = ('folder', 'file') if name in filenames.FOLDERS else ('file', 'folder')
            raise InputError(
                f'{shown(workdir / name)}: expected a {kinds[0]}, found a {kinds[1]}; move or delete it'
            )
    different = check.differences(config, there)
    if different:
        raise InputError(
            f'{shown(workdir)}: holds a run of another config, and nothing is overwritten. Choose another '
            '--workdir or delete it. The fields that differ:\n  ' + '\n  '.join(different)
        )


def remember(config: ml_collections.ConfigDict, workdir: pathlib.Path, record: dict, data: str) -> None:
    """Writes down what the workdir is for, or makes sure that it still is.

    Where the epochs to run have changed since, results of fewer epochs are renamed and stay. Those of another
    evaluation are for `outcome` to find.

    Args:
        config: of now, found to be the workdir's.
        workdir: of the experiment.
        record: in JSON's types: the runs, and digests of all data and of functions from outside.
        data: the data's path, for messages.

    Raises:
        InputError: data, folds or code are not those of the earlier session; more epochs of a generator
            on which a summarizer was trained already.
    """
    now = [config[stage].epochs for stage in methods.STAGES[config.method]]
    there = record_of(workdir) or {}
    told, before = there.get('epochs', []), config_of(workdir) or config
    changed = check.changes(config, before)
    # Else a slow process would find what the first one has just written.
    processes.wait('the workdir is read')
    if there:
        _refuse_other_code(workdir, record.get('code', {}), there.get('code', {}))
        if {name: value for name, value in there.items() if name != 'epochs'} != record:
            places = '; '.join(changed[name] for name in check.PLACES if name in changed)
            raise InputError(
                f'{workdir}: the data or the folds are not those that this experiment began with '
                f'({places or f"{data} has changed"}). Restore them, or choose another --workdir.'
            )
        if told[-1][0] != now[0] and (workdir / filenames.CHECKPOINTS / 'summarizer').exists():
            raise InputError(
                f'config.generator.epochs: expected {told[-1][0]}, after which {workdir} began to train its '
                f'summarizer, found {now[0]}. Choose another --workdir.'
            )
    if processes.first():
        if told and told[-1] != now:
            _set_aside(workdir, told[-1])
        if not told or told[-1] != now:
            told.append(now)
        if any(name.startswith('evaluation.') for name in changed):
            _tell_evaluation(workdir, before)
        told_now = {filenames.CONFIG: config.to_dict(), filenames.RECORD: record | {'epochs': told}}
        for name, content in told_now.items():
            if there and _read(workdir / name, name, ())[1]:
                processes.say(f'note: {shown(workdir / name)} was lost or damaged; written again')
            write_json(workdir / name, content)
        write_json(workdir / filenames.CHECKPOINTS / filenames.ABOUT, told_now)
    processes.wait('the workdir is ready')


def _tell_evaluation(workdir: pathlib.Path, before: Mapping[str, Any]) -> None:
    """Results of before they told it: what they are evaluated by, as long as `config.json` knows."""
    results, fault = _read(workdir / filenames.RESULTS, filenames.RESULTS, ())
    if not fault and 'evaluation' not in results:
        write_json(workdir / filenames.RESULTS, results | {'evaluation': before['evaluation']})


def is_complete(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> bool:
    """Whether the last checkpoints of all stages are there."""
    folder = workdir / filenames.CHECKPOINTS
    stages = methods.STAGES[config.method]
    return all(config[stage].epochs in checkpoint.whole(folder / stage) for stage in stages)


def _refuse_other_code(workdir: pathlib.Path, now: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Stops where a function by import path has another source than it had; paths are in the config."""
    changed = [f'{path} of {shown(functions.source(path))}' for path in now if now[path] != there.get(path)]
    if changed:
        raise InputError(
            f'{shown(workdir)}: holds a training by other code: expected the source that it began with, '
            f'found another one of {", ".join(changed)}. Restore it, or choose another --workdir.'
        )


def epochs_told(workdir: pathlib.Path) -> list[list[int]]:
    """Epochs of every stage that each session was told to train for, where they changed."""
    return (record_of(workdir) or {}).get('epochs', [])


def _set_aside(workdir: pathlib.Path, epochs: list[int]) -> None:
    for name in (filenames.RESULTS, filenames.TABLE):
        path = workdir / name
        if path.exists():
            path.rename(path.with_stem(f'{path.stem}-{"-".join(map(str, epochs))}-epochs'))
