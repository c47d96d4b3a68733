"""Which videos a fold trains on and which it is tested on."""

import collections
import dataclasses
import os
import pathlib
import reprlib
from collections.abc import Iterable, Sequence

import numpy as np

from trsum_jax.data.stored import text_files
from trsum_jax.errors import InputError
from trsum_jax.files import shown

# As the field's files are named: eccv16_dataset_summe_google_pool5.h5.
_FIELDS_SETS = ('summe', 'tvsum', 'ovp', 'youtube')


@dataclasses.dataclass(frozen=True)
class Fold:
    """Keys of the videos of one fold.

    Attributes:
        train: keys that both stages train on.
        test: keys that neither stage sees; empty where all videos train.
        validation: keys that are neither trained on nor tested; empty where the folds name none.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    # Not in the text of a fold, by which workdirs know theirs again.
    validation: tuple[str, ...] = dataclasses.field(default=(), repr=False)


def _fold(entry: object, known: set[str], where: str) -> Fold:
    """One checked entry of a splits file."""
    if not isinstance(entry, dict) or not {'train_keys', 'test_keys'} <= entry.keys():
        found = f'the keys {sorted(entry)[:10]}' if isinstance(entry, dict) else type(entry).__name__
        expected = 'an object with train_keys and test_keys'
        raise InputError(f'{where}: expected {expected}, found {shown(found)}')
    sides = []
    for side in ('train_keys', 'test_keys'):
        names = entry[side]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            found = shown(reprlib.repr(names))
            raise InputError(f'{where}, {side}: expected a list of video keys, found {found}')
        keys = tuple(name if name in known else name.rsplit('/', 1)[-1] for name in names)
        unknown = [name for name, key in zip(names, keys, strict=True) if key not in known]
        if unknown:
            example = f'such as {min(known)}' if known else 'of which there are none'
            found = f'{len(unknown)} unknown: {_listing(unknown)}'
            raise InputError(f'{where}, {side}: expected videos of the dataset, {example}, found {found}')
        twice = sorted(key for key, times in collections.Counter(keys).items() if times > 1)
        if twice:
            raise InputError(f'{where}, {side}: expected every video once, found twice: {_listing(twice)}')
        sides.append(keys)
    train, test = sides
    if not train:
        raise InputError(f'{where}, train_keys: expected at least one video, found none')
    both = sorted(set(train) & set(test))
    if both:
        expected = 'test videos that the fold does not train on'
        raise InputError(f'{where}: expected {expected}, found in both: {", ".join(both[:5])}')
    return Fold(train, test)


def read_splits(
    path: str | os.PathLike,
    dataset_keys: Iterable[str],
    *,
    dataset: str | os.PathLike = '',
    partial: bool = False,
) -> list[Fold]:
    """Reads the field's JSON of splits, `[{"train_keys": [...], "test_keys": [...]}, …]`.

    Args:
        path: the file; its keys may have a path before them (`../datasets/x.h5/video_1`).
        dataset_keys: the videos that exist.
        dataset: their file; keys with the path of another of the field's datasets are not its.
        partial: whether videos may be left out of all folds. Otherwise a file that leaves some out is taken
            for another dataset's: SumMe's videos bear the names of half of TVSum's.

    Returns:
        The folds, in the order of the file.

    Raises:
        InputError: no such file, another form, unknown videos, a fold that tests on a training video or
            trains on none, keys of several datasets or of another one, videos that no fold uses.
    """
    entries = text_files.read_json(path, 'a JSON file of splits')
    path = shown(path)
    if not isinstance(entries, list) or not entries:
        found = 'an empty list' if entries == [] else type(entries).__name__
        raise InputError(f'{path}: expected a list of folds, found {found}')
    keys = list(dataset_keys)
    _refuse_other_sets(entries, set(keys), path, pathlib.Path(dataset).name)
    folds = [_fold(entry, set(keys), f'{path}, fold {i} (counted from 0)') for i, entry in enumerate(entries)]
    if (left := unused(folds, keys)) and not partial:
        raise InputError(
            f'{path}: expected folds of all {len(keys)} videos of the dataset, found that no fold uses '
            f'{len(left)}: {_listing(left, 50)}. If this is not the file of another dataset, say that it '
            'leaves videos out: --partial_splits (evaluate), --config.data.partial_splits=True (main)'
        )
    return folds


def _refuse_other_sets(entries: list, known: set[str], path: str, dataset: str) -> None:
    """Looks at the files that keys name before the videos."""
    names = [
        name
        for entry in entries
        if isinstance(entry, dict)
        for side in ('train_keys', 'test_keys')
        for name in (entry[side] if isinstance(entry.get(side), list) else [])
        if isinstance(name, str) and name not in known and '/' in name
    ]
    files = sorted({name.split('/')[-2] for name in names})
    if len(files) > 1:
        raise InputError(
            f'{path}: expected videos of one dataset, found keys of {len(files)}: '
            f'{_listing(files, 4)}. Name the other files as extra training files '
            '(data.extra_files, data.setting augmented or transfer) and only this dataset in the splits.'
        )
    ours = {name for name in _FIELDS_SETS if name in dataset.lower()}
    theirs = {name for name in _FIELDS_SETS if name in ''.join(files).lower()}
    if ours and theirs and not ours & theirs:
        raise InputError(
            f'{path}: expected videos of {shown(dataset)}, found keys of {shown(files[0])}, by its name '
            'another dataset; give the splits of this one, or take the path from its keys'
        )


def _listing(names: Sequence[str], most: int = 5) -> str:
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(shown(name)[:200] for name in names[:most]) + more


def unused(folds: Iterable[Fold], keys: Iterable[str]) -> list[str]:
    """The videos that no fold trains on, tests on, or names for validation.

    Args:
        folds: the folds.
        keys: all videos.

    Returns:
        Keys, in their order.
    """
    used = {key for fold in folds for key in (*fold.train, *fold.validation, *fold.test)}
    return [key for key in keys if key not in used]


def unused_note(folds: Iterable[Fold], keys: Sequence[str]) -> tuple[str, ...]:
    """One sentence that names the videos that no fold uses, or none.

    Args:
        folds: the folds.
        keys: all videos.
    """
    left = unused(folds, keys)
    return (f'no fold uses {len(left)} of {len(keys)} videos: {_listing(left, 50)}',) if left else ()


def disjoint_folds(keys: Sequence[str], n_folds: int, seed: int) -> list[Fold]:
    """Splits the videos into folds whose test sets are disjoint and cover all of them.

    Args:
        keys: the videos, in an order that does not change from run to run.
        n_folds: number of folds, 2 or more.
        seed: of the permutation.

    Returns:
        The folds; test sets differ in size by one at most, keys keep their order within a set.

    Raises:
        InputError: fewer than 2 folds, or more than there are videos.
    """
    if not 2 <= n_folds <= len(keys):
        raise InputError(f'folds: expected 2 to {len(keys)} (the number of videos), found {n_folds}')
    parts = np.array_split(np.random.default_rng(seed).permutation(len(keys)), n_folds)
    tests = [{keys[i] for i in part} for part in parts]
    return [
        Fold(tuple(key for key in keys if key not in test), tuple(key for key in keys if key in test))
        for test in tests
    ]


def train_on_all(keys: Sequence[str]) -> list[Fold]:
    """One fold that trains on every video and tests on none.

    Args:
        keys: the videos.

    Returns:
        The fold, in a list.

    Raises:
        InputError: no videos.
    """
    if not keys:
        raise InputError('training on all videos: expected at least one video, found none')
    return [Fold(tuple(keys), ())]


def _checked_extra(keys: Iterable[str], extra_keys: Sequence[str]) -> tuple[str, ...]:
    both = sorted(set(keys) & set(extra_keys))
    if both:
        raise InputError(
            f"extra training videos: expected other videos than the dataset's, found {both[0]} in both"
        )
    if not extra_keys:
        raise InputError('extra training videos: expected at least one, found none')
    return tuple(extra_keys)


def augment(folds: Sequence[Fold], extra_keys: Sequence[str]) -> list[Fold]:
    """The field's *augmented* setting: the videos of other datasets join the training set of every fold.

    Args:
        folds: the folds of the dataset that is evaluated.
        extra_keys: the other datasets' videos, as `datasets.merge` names them.

    Returns:
        The folds with longer training sets.

    Raises:
        InputError: no extra videos, or one that the folds hold already.
    """
    own = (key for fold in folds for key in (*fold.train, *fold.validation, *fold.test))
    extra = _checked_extra(own, extra_keys)
    return [dataclasses.replace(fold, train=(*fold.train, *extra)) for fold in folds]


def transfer(keys: Sequence[str], extra_keys: Sequence[str]) -> list[Fold]:
    """The field's *transfer* setting: training on other datasets alone, test on the whole dataset.

    Args:
        keys: the videos of the dataset that is evaluated.
        extra_keys: the other datasets' videos, as `datasets.merge` names them.

    Returns:
        One fold, in a list.

    Raises:
        InputError: no extra videos, or one that is also tested.
    """
    return [Fold(_checked_extra(keys, extra_keys), tuple(keys))]


def describe(folds: Sequence[Fold]) -> str:
    """Says in a few words what the folds are, for a results table.

    Args:
        folds: the folds; keys with a `/` are videos of other datasets (`datasets.merge`).

    Returns:
        Such as `disjoint 5-fold: all 9 videos tested`, or `5 overlapping draws: 18 of 25 videos ever tested`.
    """
    everything = {key for fold in folds for key in (*fold.train, *fold.validation, *fold.test)}
    tested = {key for fold in folds for key in fold.test}
    extra = {key for key in everything - tested if '/' in key}
    own = everything - extra
    validation = {key for fold in folds for key in fold.validation}
    beside = f', {len(validation)} for validation' if validation else ''
    if not tested:
        return f'trained on all {len(everything - validation)} videos, no test videos{beside}'
    if extra and all(set(fold.train) <= extra for fold in folds):
        return f'transfer: trained on {len(extra)} videos of other datasets, tested on {len(tested)}'
    beside += f', augmented by {len(extra)} videos of other datasets' if extra else ''
    if sum(len(fold.test) for fold in folds) > len(tested):
        return f'{len(folds)} overlapping draws: {len(tested)} of {len(own)} videos ever tested{beside}'
    if len(folds) > 1 and tested == own:
        return f'disjoint {len(folds)}-fold: all {len(own)} videos tested{beside}'
    sets = 'one split' if len(folds) == 1 else f'{len(folds)} disjoint test sets'
    return f'{sets}: {len(tested)} of {len(own)} videos tested{beside}'
