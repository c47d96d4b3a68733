"""Anybody's scores of a dataset's videos, from HDF5 or JSON."""

import os
import pathlib
from collections.abc import Collection, Mapping, Sequence

import h5py
import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.data.stored import bounds, hdf5, text_files
from trsum_jax.errors import InputError
from trsum_jax.files import at_home, shown

SCORE_KEYS = ('scores', 'frame_scores')
_LARGEST = bounds.LARGEST_NUMBER
_EXPECTED = 'an HDF5 or JSON file of scores'


def read_scores(
    path: str | os.PathLike, videos: Mapping[str, Video], needed: Sequence[str]
) -> dict[str, np.ndarray]:
    """Reads and checks the scores of videos, from HDF5 or JSON.

    Args:
        path: HDF5 with `video_N/scores`, `video_N/frame_scores` or an array `video_N`, or JSON
            `{video: [...]}`. `FILE.h5:GROUP` reads the videos of a group of the file.
        videos: every video of the dataset, by key.
        needed: the keys that must be there.

    Returns:
        Key to [n_steps] or [n_frames] float64, for every video of the file.

    Raises:
        InputError: where the file cannot be read, lacks a video, names one that the dataset does not have,
            or holds scores of another length or that are not finite numbers.
    """
    said, file = shown(path), file_of(path)
    hdf5.regular(file, _EXPECTED)
    raw = _read_h5(file, said, _group_of(path), videos) if hdf5.is_hdf5(file) else _read_json(file, said)
    if unknown := [key for key in raw if key not in videos]:
        raise InputError(
            f'{said}: scores of {listing(unknown)}, which the dataset does not have; it has '
            f'{listing(list(videos))}. Give the scores under the keys of the dataset'
        )
    if missing := [key for key in needed if key not in raw]:
        raise InputError(
            f'{said}: no scores of {listing(missing)}; all {len(needed)} videos to evaluate need some'
        )
    return {key: _checked(said, where, scores, videos[key]) for key, (where, scores) in raw.items()}


def read_rows(
    named: Sequence[str], videos: Mapping[str, Video], needed: Sequence[str], taken: Collection[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Reads scores of any origin that are to stand in a table, each under a name.

    Args:
        named: `NAME=FILE`, each FILE as in `read_scores`.
        videos: every video of the dataset, by key.
        needed: the keys that each file must have.
        taken: names that a row cannot have.

    Returns:
        By name, as `read_scores`.

    Raises:
        InputError: no name, one that is taken or no line of text; as `read_scores`.
    """
    rows: dict[str, dict[str, np.ndarray]] = {}
    for one in named:
        name, divided, path = one.partition('=')
        if not (divided and name.strip() and path) or shown(name) != name or '|' in name:
            raise InputError(
                f'--rows={shown(one)}: expected NAME=FILE, a name for the table and a file of scores'
            )
        if name in taken or name in rows:
            found = 'one that the table has already' if name in taken else 'it twice'
            raise InputError(f'--rows={shown(one)}: expected a name of its own, found {found}')
        rows[name] = read_scores(path, videos, needed)
    return rows


def file_of(path: str | os.PathLike) -> pathlib.Path:
    """The file of `FILE.h5:GROUP`, `~` being the home folder; what is a file by its whole name is one.

    Args:
        path: as for `read_scores`.
    """
    whole, before = at_home(path), os.fspath(path).rpartition(':')[0]
    return at_home(before) if before and not whole.exists() and at_home(before).is_file() else whole


def _group_of(path: str | os.PathLike) -> str:
    file = file_of(path)
    return '' if file == at_home(path) else os.fspath(path).rpartition(':')[2]


def _read_h5(
    path: str | os.PathLike, said: str, within: str, videos: Mapping[str, Video]
) -> dict[str, tuple[str, np.ndarray]]:
    found = {}
    with hdf5.open_file(path) as file:
        try:
            held = list(file)
            file = file[within] if within else file
            if not isinstance(file, h5py.Group):
                raise KeyError('an array')
        except hdf5.DAMAGED as error:
            if not within:
                raise InputError(f'{said}: expected {_EXPECTED}, found a damaged one ({error})') from error
            raise InputError(
                f'{said}: expected a group of that name in {shown(path)}, found none; it has {listing(held)}'
            ) from error
        try:
            keys = list(file)
        except hdf5.DAMAGED as error:
            raise InputError(f'{said}: expected {_EXPECTED}, found a damaged one ({error})') from error
        for key in keys:
            if key not in videos:
                # It is refused by its name, whatever it holds.
                found[key] = shown(key), np.zeros(0)
                continue
            try:
                group = file[key]
                if isinstance(group, h5py.Dataset):
                    # Its length tells of what, as in JSON.
                    found[key] = key, _array(group)
                    continue
                held = sorted(group) if isinstance(group, h5py.Group) else None
                names = [name for name in SCORE_KEYS if held and isinstance(group.get(name), h5py.Dataset)]
                array = _array(group[names[0]]) if len(names) == 1 else None
            except hdf5.DAMAGED as error:
                raise InputError(f'{said}: {key}: expected scores, found damaged data ({error})') from error
            if array is None:
                raise InputError(
                    f'{said}: expected one of {key}/scores (one a step) and {key}/frame_scores (one a '
                    f'frame), or an array {key}, but {key} holds {listing(held or [])}'
                )
            found[key] = f'{key}/{names[0]}', array
    return found


def _array(item: h5py.Dataset) -> np.ndarray:
    """The numbers; of others only what they are, which `_checked` refuses."""
    if item.shape is None:
        raise ValueError('an empty data space')
    return item[()] if item.dtype.kind in 'fiub' else np.empty(item.shape, item.dtype)


def _read_json(path: str | os.PathLike, said: str) -> dict[str, tuple[str, np.ndarray]]:
    found = text_files.read_json(path, _EXPECTED)
    if not isinstance(found, dict):
        raise InputError(f'{said}: expected {{"video_N": [scores]}}, found a JSON {type(found).__name__}')
    arrays = {}
    for key, scores in found.items():
        if not isinstance(scores, list) or any(isinstance(score, list | dict) for score in scores):
            raise InputError(f'{said}: {shown(key)}: expected a plain list of numbers')
        for score in scores:
            if not isinstance(score, int | float):
                raise InputError(f'{said}: {shown(key)}: expected numbers, found {type(score).__name__}')
            # A float64 does not hold every integer that JSON does.
            if isinstance(score, int) and abs(score) > _LARGEST:
                raise InputError(f'{said}: {shown(key)}: expected numbers up to {_LARGEST:g}')
        arrays[key] = key, np.asarray(scores, np.float64)
    return arrays


def _checked(path: str, where: str, scores: np.ndarray, video: Video) -> np.ndarray:
    lengths = {'scores': [video.n_steps], 'frame_scores': [video.n_frames]}
    allowed = lengths.get(where.rpartition('/')[2], [video.n_steps, video.n_frames])
    if scores.ndim != 1 or len(scores) not in allowed:
        raise InputError(
            f'{path}: {where}: expected {" or ".join(f"[{n}]" for n in allowed)} '
            f'(n_steps {video.n_steps}, n_frames {video.n_frames}), found {list(scores.shape)}'
        )
    if scores.dtype.kind not in 'fiub':
        raise InputError(f'{path}: {where}: expected numbers, found {scores.dtype}')
    if not np.isfinite(scores).all():
        first = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise InputError(f'{path}: {where}[{first}]: expected finite scores, found {scores[first]}')
    scores = scores.astype(np.float64)
    if (greatest := np.abs(scores).max()) > _LARGEST:
        raise InputError(f'{path}: {where}: expected scores up to {_LARGEST:g}, found {greatest:g}')
    return scores


def listing(names: Sequence[str | bytes], most: int = 12) -> str:
    """Names as one line.

    Args:
        names: any; `nothing` where there are none.
        most: how many are named.
    """
    said = ', '.join(shown(name)[: bounds.LONGEST_TEXT] for name in names[:most]) or 'nothing'
    return f'{said} and {len(names) - most} more' if len(names) > most else said
