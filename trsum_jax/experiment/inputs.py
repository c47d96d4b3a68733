"""From the config to the videos and folds of an experiment."""

import dataclasses
import pathlib

import ml_collections

from trsum_jax.data import datasets, folded, scores, splits
from trsum_jax.data.made import planted, synthetic
from trsum_jax.data.records import Dataset
from trsum_jax.errors import InputError
from trsum_jax.experiment import methods
from trsum_jax.files import at_home
from trsum_jax.results import filenames, report
from trsum_jax.runtime import processes

OBTAIN = """
  It is an HDF5 file with one group `video_N` a video: features [n_steps, D], and, as far as there are any,
  picks, n_frames, change_points and user_summary. The field shares GoogLeNet features of its datasets as
  eccv16_dataset_{tvsum,summe,ovp,youtube}_google_pool5.h5, with the code of its papers.
  Give the file's place with --config.data.file=PATH. For a run without any file: --config=configs/demo.py.
  For your own videos: python -m trsum_jax.extract --videos=DIR --output=FILE.h5 makes such a file."""


def load_inputs(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> folded.Inputs:
    """Reads (or generates) the data of an experiment and makes its folds.

    Args:
        config: the whole config, checked.
        workdir: where generated data are written, as `filenames.SYNTHETIC`.

    Returns:
        The inputs.

    Raises:
        InputError: a missing or faulty file, splits or further rows' scores that do not fit.
    """
    settings = config.data
    dataset = _read(config, workdir)
    keys = tuple(dataset.videos)
    if settings.setting != 'canonical' and not settings.extra_files:
        raise InputError(
            f'config.data.setting: {settings.setting} trains on other files too; name them with '
            '--config.data.extra_files="(\'FILE.h5\',)"'
        )
    if settings.setting == 'canonical' and settings.extra_files:
        raise InputError(
            'config.data.extra_files: the canonical setting trains on the dataset alone; set '
            '--config.data.setting=augmented or transfer, or name no extra files'
        )
    extra_keys: tuple[str, ...] = ()
    if settings.setting != 'canonical':
        extras = [datasets.read_dataset(_existing(path), **_how(settings)) for path in settings.extra_files]
        dataset = datasets.merge(dataset, extras)
        extra_keys = tuple(list(dataset.videos)[len(keys) :])
        _refuse_copies(dataset, keys, extra_keys)
    folds, named = _folds(settings, dataset.path, keys, extra_keys)
    if named:
        right = 'augmented' if any(set(fold.train) - set(extra_keys) for fold in folds) else 'transfer'
        if settings.setting != right:
            raise InputError(
                f'config.data.setting: expected {right}, as {settings.splits} names the extra videos '
                f'that its folds train on, found {settings.setting}'
            )
    elif settings.setting == 'augmented':
        folds = splits.augment(folds, extra_keys)
    elif settings.setting == 'transfer':
        folds = splits.transfer(keys, extra_keys)
    if settings.splits:
        unused = splits.unused_note(folds, tuple(dataset.videos))
        dataset = dataclasses.replace(dataset, notes=(*dataset.notes, *unused))
    given = folded.Inputs(dataset, keys, folds, splits.describe(folds))
    return dataclasses.replace(given, rows=_rows(config, given)) if config.evaluation.rows else given


def _folds(
    settings: ml_collections.ConfigDict, path: str, keys: tuple[str, ...], extra_keys: tuple[str, ...]
) -> tuple[list[splits.Fold], bool]:
    """The folds of the dataset, and whether they name the extra videos that they train on themselves."""
    if not settings.splits:
        if settings.folds == 0:
            return splits.train_on_all(keys), False
        return splits.disjoint_folds(keys, settings.folds, settings.split_seed), False
    extras: dict[str, set[str]] = {pathlib.Path(file).stem: set() for file in settings.extra_files}
    for key in extra_keys:
        stem, _, own = key.partition('/')
        extras[stem].add(own)
    folds = splits.read_splits(
        at_home(settings.splits), keys, dataset=path, partial=settings.partial_splits, extras=extras
    )
    return folds, any(set(fold.train) & set(extra_keys) for fold in folds)


def _rows(config: ml_collections.ConfigDict, given: folded.Inputs) -> dict:
    if not given.labelled:
        raise InputError(
            'config.evaluation.rows: expected people in the data, which scores are compared with, found none'
        )
    windows = config.evaluation.one_out_windows
    taken = {*report.ROWS, *methods.NAMES, *(f'one_out_{window}' for window in windows)}
    videos = {key: given.dataset.videos[key] for key in given.keys}
    return scores.read_rows(config.evaluation.rows, videos, given.keys, taken)


def _refuse_copies(dataset: Dataset, keys: tuple[str, ...], extra_keys: tuple[str, ...]) -> None:
    """Training on a copy of a test video would leak it."""
    own = {folded.digest(dataset.videos[key]): key for key in keys}
    for key in extra_keys:
        if (twin := own.get(folded.digest(dataset.videos[key]))) is not None:
            raise InputError(
                f'config.data.extra_files: expected other videos, found that {key} has the very features of '
                f'{twin} of {dataset.path}: training on it would leak a test video'
            )


def _read(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> Dataset:
    settings = config.data
    if settings.file and settings.generate:
        raise InputError(
            f'config.data.generate: expected a file or generated data, found both; add '
            f'--config.data.generate=False to use {settings.file}'
        )
    if settings.user_scores and settings.generate:
        raise InputError(
            f'config.data.user_scores: expected none with generated data, which have their own, found '
            f'{settings.user_scores}'
        )
    if settings.file:
        return datasets.read_dataset(
            _existing(settings.file),
            user_scores=at_home(settings.user_scores) if settings.user_scores else None,
            **_how(settings),
        )
    if not settings.generate:
        raise InputError('config.data.file: no feature file is named.' + OBTAIN)
    path = workdir / filenames.SYNTHETIC
    if processes.first():
        datasets.write_dataset(
            path, planted.videos_of(synthetic.recipe_of(settings.synthetic)), synthetic=True
        )
    processes.wait('the generated data are there')
    return datasets.read_dataset(path, **_how(settings))


def _how(settings: ml_collections.ConfigDict) -> dict:
    """How every feature file is read."""
    return {
        'shots': settings.shots,
        'side': settings.side,
        'in_file': settings.stream_mb > 0,
        'features': tuple(settings.features),
    }


def _existing(path: str) -> pathlib.Path:
    file = at_home(path)
    if not file.exists():
        raise InputError(f'{path}: no such file (looked for at {file.absolute()}).' + OBTAIN)
    return file
