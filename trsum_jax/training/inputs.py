"""From the config to the videos and folds of an experiment."""

import dataclasses
import hashlib
import pathlib

import ml_collections
import numpy as np

from trsum_jax.data import datasets, splits, synthetic
from trsum_jax.data.records import Dataset
from trsum_jax.data.splits import Fold
from trsum_jax.errors import InputError

OBTAIN = """
  It is an HDF5 file with one group `video_N` a video: features [n_steps, D], and, as far as there are any,
  picks, n_frames, change_points and user_summary. The field shares GoogLeNet features of its datasets as
  eccv16_dataset_{tvsum,summe,ovp,youtube}_google_pool5.h5, with the code of its papers.
  Give the file's place with --config.data.file=PATH. For a run without any file: --config=configs/demo.py.
  For your own videos: python -m trsum_jax.extract --videos=DIR --output=FILE.h5 makes such a file."""


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

    def fingerprint(self) -> str:
        """SHA-256 of everything that training and evaluation read: a changed file is another experiment."""
        digest = hashlib.sha256()
        for key, video in self.dataset.videos.items():
            digest.update(key.encode())
            for array in (
                video.features,
                video.picks,
                video.change_points,
                video.user_summary,
                video.user_scores,
            ):
                digest.update(b'-' if array is None else np.ascontiguousarray(array).tobytes())
        digest.update(repr(self.folds).encode())
        return digest.hexdigest()


def load(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> Inputs:
    """Reads (or generates) the data of an experiment and makes its folds.

    Args:
        config: the whole config, checked.
        workdir: where generated data are written, as `synthetic.h5`.

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
    if settings.splits:
        folds = splits.read_splits(settings.splits, keys)
    elif settings.folds == 0:
        folds = splits.train_on_all(keys)
    else:
        folds = splits.disjoint_folds(keys, settings.folds, settings.split_seed)
    if settings.setting != 'canonical':
        extras = [
            datasets.read_dataset(_existing(path), shots=settings.shots) for path in settings.extra_files
        ]
        dataset = datasets.merge(dataset, extras)
        extra_keys = tuple(key for key in dataset.videos if key not in keys)
        if settings.setting == 'augmented':
            folds = splits.augment(folds, extra_keys)
        else:
            folds = splits.transfer(keys, extra_keys)
    split = splits.describe(folds)
    if settings.setting != 'canonical':
        split = f'{settings.setting}, {split}'
    return Inputs(dataset, keys, folds, split)


def _read(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> Dataset:
    settings = config.data
    if settings.file:
        return datasets.read_dataset(
            _existing(settings.file), shots=settings.shots, user_scores=settings.user_scores or None
        )
    if not settings.synthetic:
        raise InputError('config.data.file: no feature file is named.' + OBTAIN)
    path = workdir / 'synthetic.h5'
    recipe = {
        name: tuple(value) if isinstance(value, list | tuple) else value
        for name, value in settings.synthetic.items()
    }
    datasets.write_dataset(path, synthetic.generate(synthetic.Recipe(**recipe)), synthetic=True)
    return datasets.read_dataset(path, shots=settings.shots)


def _existing(path: str) -> pathlib.Path:
    file = pathlib.Path(path).expanduser()
    if not file.exists():
        raise InputError(f'{path}: no such file (looked for at {file.absolute()}).' + OBTAIN)
    return file
