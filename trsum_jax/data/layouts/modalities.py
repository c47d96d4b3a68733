"""Further features of a dataset's videos: arrays by id, in files of their own, beside the file of the videos.

TripleSumm's family has one HDF5 file for each modality, VideoXum a folder of `.npz`, MSVA folders of `.npy`,
LLMVS HDF5 files beside the field's own.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from trsum_jax.data.layouts.rows import check_rows, resample
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import arrays as stored_arrays
from trsum_jax.data.stored import bounds, joining
from trsum_jax.data.stored.arrays import Arrays
from trsum_jax.data.stored.features import Stored
from trsum_jax.errors import InputError
from trsum_jax.files import at_home, shown

_SUFFIXES = ('.h5', '.hdf5', '.npz')


class _Modality(NamedTuple):
    """One of the files: as it was named, all its arrays, and the name of each video's by the video's key."""

    said: str
    arrays: Arrays
    of: dict[str, str]


class Joined(Stored):
    """A video's features of several files; `np.asarray` reads them anew each time, and nothing keeps them."""

    def __init__(self, parts: Sequence[Callable[[], np.ndarray]], shape: tuple[int, int]):
        """Notes how they are read.

        Args:
            parts: each gives the columns of one file, [n_steps, D_i] float32.
            shape: (n_steps, D), D the sum of them.
        """
        self._parts, self.shape = parts, shape

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """[n_steps, D] float32, or as asked for; InputError where a file is no longer what it was."""
        del copy
        features = np.concatenate([read() for read in self._parts], axis=1)
        if features.shape != self.shape:
            raise InputError(
                f'expected features {self.shape} of {len(self._parts)} files, as they were before, found '
                f'{features.shape}; a file has changed since the command began'
            )
        return features.astype(dtype or np.float32)


def is_file_of_arrays(side: str) -> bool:
    """Whether what names a second modality is a file or folder, and no key in each video's group.

    Args:
        side: such as `audio`, a key; `audio.h5` and `audio/` are none.
    """
    return '/' in side or pathlib.Path(side).suffix.lower() in _SUFFIXES


def add_features(dataset: Dataset, paths: Sequence[str], *, in_file: bool) -> tuple[Dataset, list[str]]:
    """Puts the columns of further files beside the features that the videos have.

    Where the videos have none, the first file is their features: it must have a row for each step. Rows of
    another number are else taken to the steps in time.

    Args:
        dataset: the videos.
        paths: of each modality a folder, a `.npz` or an HDF5 file (`stored.arrays.find_arrays`); or
            `PATH:NAME` where there are several arrays for a video.
        in_file: whether the features stay in their files.

    Returns:
        The dataset of the videos without a fault; and the faults, as `video/file: expected …, found …`.

    Raises:
        InputError: a file that cannot be read, or that lacks a video.
    """
    modalities, notes = _find(dataset, paths)
    videos, faults = {}, []
    widths: list[int | None] = [None] * len(paths)
    resampled = [0] * len(paths)
    for key, video in dataset.videos.items():
        own = video.features
        parts: list[Callable[[], np.ndarray]] = [] if own is None else [functools.partial(np.asarray, own)]
        columns = [] if own is None else [np.asarray(own)]
        for i, one in enumerate(modalities):
            read = functools.partial(_rows, one, video, exact=own is None and i == 0)
            rows, fault, taken = _as_wide(read(), widths[i])
            if rows is None:
                faults.append(f'{key}/{one.said}: {fault}')
                continue
            widths[i] = rows.shape[1]
            resampled[i] += taken
            columns.append(rows)
            parts.append(functools.partial(_again, read, one.said, key))
        if len(columns) == len(modalities) + (own is not None):
            features = np.concatenate(columns, axis=1)
            if features.shape[1] > bounds.MOST_WIDTH:
                faults.append(
                    f'{key}/features: expected at most {bounds.MOST_WIDTH} columns of all files, found '
                    f'{features.shape[1]}'
                )
                continue
            videos[key] = dataclasses.replace(
                video, features=Joined(parts, features.shape) if in_file else features
            )
        if len(faults) >= bounds.MOST_FAULTS:
            faults.append('/: found so many faults that the other videos are not looked at')
            break
    total = next((video.features.shape[1] for video in videos.values()), 0)
    first = [f'{total - sum(filter(None, widths))} of the file itself'] if _have_features(dataset) else []
    told = [f'{width} of {one.said}' for one, width in zip(modalities, widths, strict=True)]
    notes = [f'columns of the features: {", ".join(first + told)}', *notes]
    notes += [_how_many(one.said, n, len(videos)) for one, n in zip(modalities, resampled, strict=True) if n]
    # What made the file's own says nothing of the others.
    return dataclasses.replace(dataset, videos=videos, notes=(*dataset.notes, *notes), encoder=None), faults


def add_side(dataset: Dataset, path: str) -> tuple[Dataset, list[str]]:
    """Gives the videos a second modality, `side`, from a file of arrays by id.

    Args:
        dataset: the videos.
        path: as one of those of `add_features`; arrays [n_rows] or [n_rows, K].

    Returns:
        As `add_features`.

    Raises:
        InputError: as `add_features`.
    """
    (one,), notes = _find(dataset, [path])
    videos, faults, width, resampled = {}, [], None, 0
    for key, video in dataset.videos.items():
        rows, fault, taken = _as_wide(_rows(one, video, exact=False), width)
        if rows is None:
            faults.append(f'{key}/{one.said}: {fault}')
            continue
        width, resampled = rows.shape[1], resampled + taken
        videos[key] = dataclasses.replace(video, side=rows)
    notes = [f'second modality: {width} columns of {one.said}', *notes]
    notes += [_how_many(one.said, resampled, len(videos))] if resampled else []
    return dataclasses.replace(dataset, videos=videos, notes=(*dataset.notes, *notes)), faults


def _have_features(dataset: Dataset) -> bool:
    return any(video.features is not None for video in dataset.videos.values())


def _how_many(said: str, n: int, of: int) -> str:
    return f'{said}: rows of another number than the steps, taken to the steps in time, in {n} of {of} videos'


def _find(dataset: Dataset, paths: Sequence[str]) -> tuple[list[_Modality], list[str]]:
    """The array of each video in each file, and what is to be said of the others."""
    found, notes = [], []
    for path in paths:
        file, name = _divided(path)
        arrays = stored_arrays.find_arrays(file, named=dataset.named)
        steps = joining.Steps(every=1)
        chosen, told = joining.choose(arrays, dataset, shown(file), steps, array=name, beside=True)
        found.append(_Modality(shown(path), arrays, {one.video.key: one.features for one in chosen}))
        notes += [f'{shown(path)}: {note}' for note in told]
    return found, notes


def _divided(path: str) -> tuple[pathlib.Path, str | None]:
    """`PATH:NAME` in two; what is there by its whole name has none."""
    whole = at_home(path)
    before, _, name = path.rpartition(':')
    if whole.exists() or not before or not at_home(before).exists():
        return whole, None
    return at_home(before), name


def _rows(one: _Modality, video: Video, *, exact: bool) -> tuple[np.ndarray | None, str, bool]:
    """The rows of a video at its steps, [n_steps, D]; what is wrong; whether they are taken to the steps."""
    try:
        array = one.arrays[one.of[video.key]]()
    except InputError as error:
        return None, str(error), False
    rows, fault = check_rows(array[:, None] if array.ndim == 1 else array)
    if rows is None or len(rows) == video.n_steps:
        return rows, fault, False
    if exact or len(rows) < 2:
        least = f'{video.n_steps} rows, one for each step of the video' if exact else 'at least 2 rows'
        return None, f'expected {least}, found {len(rows)}', False
    return resample(rows, video.picks, video.n_frames), '', True


def _as_wide(
    found: tuple[np.ndarray | None, str, bool], width: int | None
) -> tuple[np.ndarray | None, str, bool]:
    """What `_rows` found, or a fault where it has not the columns of the videos before."""
    rows = found[0]
    if rows is None or width in (None, rows.shape[1]):
        return found
    return None, f'expected {width} columns as in the videos before, found {rows.shape[1]}', False


def _again(read: Callable, said: str, key: str) -> np.ndarray:
    rows, fault, _ = read()
    if rows is None:
        raise InputError(f'{said}: {key}: {fault}; the file has changed since the command began')
    return rows
