"""Files of splits as projects of the field write them: JSON, YAML, and lines of text."""

import os
import pathlib
import reprlib
from typing import NamedTuple

import yaml

from trsum_jax.data.stored import bounds, text_files
from trsum_jax.errors import InputError
from trsum_jax.files import shown

_EXPECTED = 'a file of splits'
# Lists of names in objects in a list are 3 deep.
_DEEPEST_YAML = 8
_KEYS = {'train': 'train_keys', 'test': 'test_keys', 'validation': 'val_keys'}
_FORMS = 'an object with train_keys, test_keys and, where there are some, val_keys'


class Split(NamedTuple):
    """One fold as its file has it; nothing is known yet of the videos.

    Attributes:
        where: the file and the fold, for messages.
        train: names of videos, which may have a file's path before them.
        test: likewise.
        validation: likewise; empty where the file names none.
    """

    where: str
    train: list[str]
    test: list[str]
    validation: list[str]


def read_split_file(path: str | os.PathLike) -> list[Split]:
    """Reads a file of splits by its ending: `.yml` and `.yaml`, `.txt`, or else JSON.

    JSON and YAML hold a list of objects with `train_keys`, `test_keys` and, where there are some,
    `val_keys`, each a list of names, or one such object. Text has a line for each fold,
    `SumMe/split0/video_1,video_3/video_2`: the dataset, the fold, the training and the test videos.

    Args:
        path: the file.

    Returns:
        The folds, in the order of the file. Names of text files have the dataset before them, as
        `SumMe/video_1`.

    Raises:
        InputError: no such file, a larger one than splits are, another form.
    """
    ending = pathlib.Path(path).suffix.lower()
    if ending == '.txt':
        return _from_lines(path)
    if ending in ('.yml', '.yaml'):
        content = _read_yaml(path)
    else:
        content = text_files.read_json(path, f'{_EXPECTED} in JSON (.yml and .txt are read by their endings)')
    said = shown(path)
    if isinstance(content, dict):
        return [_split(content, said)]
    if not isinstance(content, list) or not content:
        found = 'an empty list' if content == [] else type(content).__name__
        raise InputError(f'{said}: expected a list of folds, or one {_FORMS[3:]}; found {found}')
    return [_split(entry, f'{said}, fold {i} (counted from 0)') for i, entry in enumerate(content)]


def _split(entry: object, where: str) -> Split:
    if not isinstance(entry, dict) or not {'train_keys', 'test_keys'} <= entry.keys():
        found = f'the keys {sorted(entry)[:10]}' if isinstance(entry, dict) else type(entry).__name__
        raise InputError(f'{where}: expected {_FORMS}, found {shown(found)}')
    sides = {}
    for side, key in _KEYS.items():
        names = entry.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            found = shown(reprlib.repr(names))
            raise InputError(f'{where}, {key}: expected a list of video keys, found {found}')
        sides[side] = names
    return Split(where, **sides)


def _from_lines(path: str | os.PathLike) -> list[Split]:
    form = 'DATASET/FOLD/training videos by commas/test videos by commas'
    folds = []
    for number, line in enumerate(text_files.read_text(path, _EXPECTED, bounds.LARGEST_JSON).splitlines(), 1):
        if not line.strip():
            continue
        where = f'{shown(path)}, line {number}'
        parts = line.strip().split('/')
        if len(parts) != 4:
            raise InputError(f'{where}: expected {form}, found {len(parts)} parts divided by /')
        dataset, _, *sides = parts
        train, test = ([name.strip() for name in side.split(',')] if side else [] for side in sides)
        if not dataset or not all([*train, *test]):
            raise InputError(f'{where}: expected {form}, found an empty name')
        folds.append(Split(where, *([f'{dataset}/{name}' for name in side] for side in (train, test)), []))
    if not folds:
        raise InputError(f'{shown(path)}: expected lines such as {form}, found none')
    return folds


# libyaml where there is one. Nothing but text, lists and objects is made: an id such as 1e5 stays text.
class _Plain(getattr(yaml, 'CBaseLoader', yaml.BaseLoader)):
    """Refuses a key that is given twice, as the reader of JSON does."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict:
        found = super().construct_mapping(node, deep=deep)
        if len(found) < len(node.value):
            raise yaml.YAMLError(f'a key is given twice ({node.start_mark})')
        return found


def _read_yaml(path: str | os.PathLike) -> object:
    text = text_files.read_text(path, f'{_EXPECTED} in YAML', bounds.LARGEST_YAML)
    expected = f'{shown(path)}: expected {_EXPECTED} in YAML'
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Plain):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise InputError(
                    f'{expected} with every list in full, found a reference to another part '
                    f'(*{shown(event.anchor)}), which can stand for more than fits anywhere'
                )
            if depth > _DEEPEST_YAML:
                raise InputError(f'{expected}, found lists or objects within each other, too deep to read')
        return yaml.load(text, Loader=_Plain)
    except (yaml.YAMLError, ValueError) as error:
        fault = ' '.join(str(error).split())[:300]
        raise InputError(f'{expected}, found a fault in it: {shown(fault)}') from error
