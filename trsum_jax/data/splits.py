"""Which videos a fold trains on and which it is tested on."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from trsum_jax.data.foreign import split_files
from trsum_jax.data.foreign.split_files import Split
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


class _Names:
    """Which video each name of a splits file means."""

    def __init__(
        self,
        path: str,
        folds: Sequence[Split],
        known: set[str],
        dataset: str,
        extras: Mapping[str, Collection[str]] | None,
    ):
        """Finds out which of the files that names have before them is the dataset's own.

        Raises:
            InputError: tests on videos of several files, or of another of the field's datasets.
        """
        self._path, self._known, self._extras = path, known, extras
        self.wanted: dict[str, None] = {}
        held_out, trained = (
            dict.fromkeys(filter(None, (self._file(name) for fold in folds for name in side(fold))))
            for side in (lambda fold: [*fold.test, *fold.validation], lambda fold: fold.train)
        )
        files = sorted(held_out or trained)
        stem = pathlib.Path(dataset).stem
        named = [file for file in files if not held_out and pathlib.Path(file).stem == stem]
        if len(files) > 1 and len(named) != 1:
            what = 'videos of one dataset as test_keys and val_keys' if held_out else 'videos of one dataset'
            raise InputError(
                f'{path}: expected {what}, found keys of {len(files)}: {_listing(files, 4)}. Name the other '
                'files as extra training files (data.extra_files, data.setting augmented or transfer) and '
                'test on this dataset alone'
            )
        self._own = (named or files or [None])[0]
        ours, theirs = _sets_in(dataset), _sets_in(self._own or '')
        if ours and theirs and not ours & theirs:
            raise InputError(
                f'{path}: expected videos of {shown(dataset)}, found keys of {shown(self._own)}, by its name '
                'another dataset; give the splits of this one, or take the path from its keys'
            )

    def _file(self, name: str) -> str:
        """The file before a name, such as `x.h5` of `../x.h5/video_1`; none in a name as it is."""
        return name.split('/')[-2] if name not in self._known and '/' in name else ''

    def key(self, name: str) -> str:
        """The key of a video: the dataset's own, or `STEM/KEY` as `datasets.merge` names an extra file's."""
        file = self._file(name)
        if file in ('', self._own):
            return name if name in self._known else name.rsplit('/', 1)[-1]
        return f'{self._extra(file)}/{name.rsplit("/", 1)[-1]}'

    def is_known(self, key: str) -> bool:
        """Whether there is such a video; those of extra files are not looked for where there are none."""
        stem, divided, rest = key.rpartition('/')
        if key in self._known or not divided:
            return key in self._known
        return self._extras is None or stem in self.wanted or rest in self._extras[stem]

    def _extra(self, file: str) -> str:
        """The stem of the extra file that is meant: by its own name, or by its dataset's."""
        stem = pathlib.Path(file).stem
        if self._extras is None or stem in self._extras:
            return stem
        same = [one for one in self._extras if _sets_in(one) and _sets_in(one) == _sets_in(file)]
        if len(same) == 1:
            return same[0]
        self.wanted[file] = None
        return file


def _sets_in(name: str) -> set[str]:
    return {one for one in _FIELDS_SETS if one in name.lower()}


def _fold(split: Split, names: _Names, example: str) -> Fold:
    """One checked fold of a splits file."""
    sides = {}
    for side, told in (('train', split.train), ('test', split.test), ('validation', split.validation)):
        where = f'{split.where}, {"val" if side == "validation" else side}_keys'
        keys = tuple(map(names.key, told))
        unknown = [name for name, key in zip(told, keys, strict=True) if not names.is_known(key)]
        if unknown:
            found = f'{len(unknown)} unknown: {_listing(unknown)}'
            raise InputError(f'{where}: expected videos of the dataset, {example}, found {found}')
        twice = sorted(key for key, times in collections.Counter(keys).items() if times > 1)
        if twice:
            raise InputError(f'{where}: expected every video once, found twice: {_listing(twice)}')
        sides[side] = keys
    if not sides['train']:
        raise InputError(f'{split.where}, train_keys: expected at least one video, found none')
    held_out = {'test': 'test videos', 'validation': 'validation videos'}
    for side, words in held_out.items():
        if both := sorted(set(sides['train']) & set(sides[side])):
            expected = f'{words} that the fold does not train on'
            raise InputError(f'{split.where}: expected {expected}, found in both: {_listing(both)}')
    if both := sorted(set(sides['test']) & set(sides['validation'])):
        expected = 'validation videos that the fold does not test on'
        raise InputError(f'{split.where}: expected {expected}, found in both: {_listing(both)}')
    return Fold(**sides)


def read_splits(
    path: str | os.PathLike,
    dataset_keys: Iterable[str],
    *,
    dataset: str | os.PathLike = '',
    partial: bool = False,
    extras: Mapping[str, Collection[str]] | None = None,
) -> list[Fold]:
    """Reads a file of splits: JSON, YAML or lines of text, as `split_files.read_split_file` says.

    Args:
        path: the file; its keys may have a path before them (`../datasets/x.h5/video_1`). The file that test
            and validation keys name is the dataset, whatever it is called here; all others are extra files.
        dataset_keys: the videos that exist.
        dataset: their file; keys with the path of another of the field's datasets are not its.
        partial: whether videos may be left out of all folds. Otherwise a file that leaves some out is taken
            for another dataset's: SumMe's videos bear the names of half of TVSum's.
        extras: the videos of each extra training file, by the file's name without its ending; None where
            nobody trains, so that these videos need not be there.

    Returns:
        The folds, in the order of the file. Videos of extra files are called as `datasets.merge` calls them.

    Raises:
        InputError: no such file, another form, unknown videos, a fold that tests on a training video or
            trains on none, test keys of several datasets or of another one, an extra file that is not given,
            videos that no fold uses.
    """
    found, said = split_files.read_split_file(path), shown(path)
    keys = list(dataset_keys)
    known = set(keys)
    names = _Names(said, found, known, pathlib.Path(dataset).name, extras)
    example = f'such as {keys[0]}' if keys else 'of which there are none'
    folds = [_fold(split, names, example) for split in found]
    if names.wanted:
        setting = 'augmented' if any(known & set(fold.train) for fold in folds) else 'transfer'
        listed = ', '.join(map(repr, names.wanted))
        raise InputError(
            f'{said}: expected the files that its folds train on too, found no {_listing(list(names.wanted))}'
            f'; give their places with --config.data.extra_files="({listed},)" '
            f'--config.data.setting={setting}'
        )
    if (left := unused(folds, keys)) and not partial:
        raise InputError(
            f'{said}: expected folds of all {len(keys)} videos of the dataset, found that no fold uses '
            f'{len(left)}: {_listing(left, 50)}. If this is not the file of another dataset, say that it '
            'leaves videos out: --partial_splits (evaluate), --config.data.partial_splits=True (main)'
        )
    return folds


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
