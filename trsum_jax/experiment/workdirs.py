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
from trsum_jax.files import encodable, read_json, sha256, shown, write_json
from trsum_jax.results import filenames
from trsum_jax.runtime import processes


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

    Where the epochs to run have changed since, results of fewer epochs are renamed and stay.

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
    told = there.get('epochs', [])
    # Else a slow process would find what the first one has just written.
    processes.wait('the workdir is read')
    if there:
        _refuse_other_code(workdir, record.get('code', {}), there.get('code', {}))
        if {name: value for name, value in there.items() if name != 'epochs'} != record:
            raise InputError(
                f'{workdir}: the data or the folds are not those that this experiment began with '
                f'({data} has changed). Restore them, or choose another --workdir.'
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
        told_now = {filenames.CONFIG: config.to_dict(), filenames.RECORD: record | {'epochs': told}}
        for name, content in told_now.items():
            if there and _read(workdir / name, name, ())[1]:
                processes.say(f'note: {shown(workdir / name)} was lost or damaged; written again')
            write_json(workdir / name, content)
        write_json(workdir / filenames.CHECKPOINTS / filenames.ABOUT, told_now)
    processes.wait('the workdir is ready')


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


def seal(workdir: pathlib.Path) -> None:
    """Notes the files that were made from the checkpoints, for `finished` to see what is lost.

    Args:
        workdir: of an experiment whose results are all there.
    """
    names = [filenames.RESULTS, *filenames.DIGESTED, 'human_alignment.json', 'failures.json']
    made = [workdir / name for name in names if (workdir / name).is_file()]
    made += [path for path in sorted((workdir / filenames.PICTURES).rglob('*')) if path.is_file()]
    digests = {path.relative_to(workdir).as_posix(): sha256(path) for path in made}
    write_json(workdir / filenames.CHECKPOINTS / filenames.MADE, digests)


def finished(workdir: pathlib.Path, complete: bool, rows: Mapping[str, str]) -> str:
    """The table of a finished experiment.

    Args:
        workdir: of an experiment.
        complete: whether the last checkpoints of all stages are there.
        rows: digests of anybody's scores that are to stand in it.

    Returns:
        The text; '' where the results have to be made, or to be made again, which is said.

    Raises:
        InputError: the table is lost, and the checkpoints that it is made from are gone.
    """
    if not (workdir / filenames.RESULTS).exists():
        return ''
    lost, text = _lost(workdir), _table(workdir)
    lost += [] if text else [filenames.TABLE]
    if filenames.RESULTS not in lost and read_json(workdir / filenames.RESULTS).get('rows', {}) != rows:
        if complete:
            processes.say(
                f'note: {shown(workdir)} has a table of other rows; made again from the checkpoints'
            )
            return ''
        raise InputError(
            f'{shown(workdir)}: expected the same further rows as in its table, since the checkpoints that a '
            'table is made from are gone, found others; leave --rows as it was. '
            f'trsum evaluate --rows=NAME=FILE compares with its {filenames.SCORES}'
        )
    if not lost:
        return text
    told = f'{shown(workdir)}: {", ".join(lost)}: lost or changed since written'
    if complete or filenames.RESULTS in lost:
        processes.say(f'note: {told}; made again from the checkpoints')
        return ''
    if not text:
        raise InputError(
            f'{told}, and the checkpoints that it is made from are gone. All its figures are in '
            f'{filenames.RESULTS}; without that file the same command trains again.'
        )
    processes.say(f'note: {told}; without checkpoints it cannot be made again')
    return text


def _lost(workdir: pathlib.Path) -> list[str]:
    """Names of the results that are not what they were; the table apart, which people may edit."""
    try:
        read_json(workdir / filenames.RESULTS)
    except InputError:
        return [filenames.RESULTS]
    try:
        digests = read_json(workdir / filenames.CHECKPOINTS / filenames.MADE)
    except InputError:
        digests = {}
    names = dict.fromkeys([*filenames.DIGESTED, *digests])
    return [
        name
        for name in names
        if not (path := workdir / name).is_file() or digests.get(name) not in (None, sha256(path))
    ]


def _table(workdir: pathlib.Path) -> str:
    """The text of the table; '' where it is not whole."""
    try:
        text = (workdir / filenames.TABLE).read_text(encoding='utf-8')
    except (OSError, ValueError):
        return ''
    return text if text.startswith('# ') and f'{filenames.SCORES}.' in text else ''


def _set_aside(workdir: pathlib.Path, epochs: list[int]) -> None:
    for name in (filenames.RESULTS, filenames.TABLE):
        path = workdir / name
        if path.exists():
            path.rename(path.with_stem(f'{path.stem}-{"-".join(map(str, epochs))}-epochs'))
