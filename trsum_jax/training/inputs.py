"""From the config to the videos and folds of an experiment."""

import dataclasses
import hashlib
import pathlib

import ml_collections
import numpy as np

from trsum_jax.data import datasets, planted, splits
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.splits import Fold
from trsum_jax.data.stored import Stored
from trsum_jax.data.synthetic import Recipe
from trsum_jax.errors import InputError
from trsum_jax.training import processes

OBTAIN = """
  It is an HDF5 file with one group `video_N` a video: features [n_steps, D], and, as far as there are any,
  picks, n_frames, change_points and user_summary. The field shares GoogLeNet features of its datasets as
  eccv16_dataset_{tvsum,summe,ovp,youtube}_google_pool5.h5, with the code of its papers.
  Give the file's place with --config.data.file=PATH. For a run without any file: --config=configs/demo.py.
  For your own videos: python -m trsum_jax.extract --videos=DIR --output=FILE.h5 makes such a file."""


SYNTHETIC = 'synthetic.h5'


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What an experiment works on.

    Attributes:
        dataset: the videos, those of extra files included.
        keys: of the videos that are evaluated (extra files only train).
        folds: training and test videos of each fold.
        split: how the folds came about, in words.
    """

    dataset: Dataset
    keys: tuple[str, ...]
    folds: list[Fold]
    split: str

    @property
    def labelled(self) -> bool:
        """Whether there are people to compare with; without them there are no baselines."""
        return any(self.dataset.videos[key].has_users for key in self.keys)

    def fingerprint(self) -> str:
        """SHA-256 of everything that training and evaluation read: a changed file is another experiment."""
        sha = hashlib.sha256()
        for video in self.dataset.videos.values():
            for field in dataclasses.fields(video):
                value = getattr(video, field.name)
                value = np.asarray(value) if isinstance(value, Stored) else value
                array = isinstance(value, np.ndarray)
                sha.update(f'{field.name}: {value.shape if array else value}\n'.encode())
                sha.update(np.ascontiguousarray(value).tobytes() if array else b'')
        sha.update(repr(self.folds).encode())
        return sha.hexdigest()


def digest(video: Video) -> str:
    """SHA-256 of a video's features: the same video in another file has the same."""
    return hashlib.sha256(np.ascontiguousarray(np.asarray(video.features)).tobytes()).hexdigest()


def load(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> Inputs:
    """Reads (or generates) the data of an experiment and makes its folds.

    Args:
        config: the whole config, checked.
        workdir: where generated data are written, as `SYNTHETIC`.

    Returns:
        The inputs.

    Raises:
        InputError: a missing or faulty file, splits that do not fit.
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
    if settings.splits:
        folds = splits.read_splits(
            settings.splits, keys, dataset=dataset.path, partial=settings.partial_splits
        )
        dataset = dataclasses.replace(dataset, notes=(*dataset.notes, *splits.unused_note(folds, keys)))
    elif settings.folds == 0:
        folds = splits.train_on_all(keys)
    else:
        folds = splits.disjoint_folds(keys, settings.folds, settings.split_seed)
    if settings.setting != 'canonical':
        extras = [datasets.read_dataset(_existing(path), **_how(settings)) for path in settings.extra_files]
        dataset = datasets.merge(dataset, extras)
        extra_keys = tuple(key for key in dataset.videos if key not in keys)
        _refuse_copies(dataset, keys, extra_keys)
        if settings.setting == 'augmented':
            folds = splits.augment(folds, extra_keys)
        else:
            folds = splits.transfer(keys, extra_keys)
    return Inputs(dataset, keys, folds, splits.describe(folds))


def _refuse_copies(dataset: Dataset, keys: tuple[str, ...], extra_keys: tuple[str, ...]) -> None:
    """Training on a copy of a test video would leak it."""
    own = {digest(dataset.videos[key]): key for key in keys}
    for key in extra_keys:
        if (twin := own.get(digest(dataset.videos[key]))) is not None:
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
            _existing(settings.file), user_scores=settings.user_scores or None, **_how(settings)
        )
    if not settings.generate:
        raise InputError('config.data.file: no feature file is named.' + OBTAIN)
    path = workdir / SYNTHETIC
    if processes.first():
        datasets.write_dataset(path, planted.generate(Recipe(**plain(settings.synthetic))), synthetic=True)
    processes.wait('the generated data are there')
    return datasets.read_dataset(path, **_how(settings))


def _how(settings: ml_collections.ConfigDict) -> dict:
    """How every feature file is read."""
    return {'shots': settings.shots, 'side': settings.side, 'in_file': settings.stream_mb > 0}


def plain(recipe: ml_collections.ConfigDict) -> dict:
    """The fields of a `Recipe` as a config holds them, lists as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in recipe.items()}


def _existing(path: str) -> pathlib.Path:
    file = pathlib.Path(path).expanduser()
    if not file.exists():
        raise InputError(f'{path}: no such file (looked for at {file.absolute()}).' + OBTAIN)
    return file
