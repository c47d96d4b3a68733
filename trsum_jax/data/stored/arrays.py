"""Arrays of any names: a folder of `.npy` and `.npz`, one `.npz`, or one HDF5 file, as names and readers."""

import collections
import functools
import itertools
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping

import h5py
import numpy as np

from trsum_jax.data.checks import text
from trsum_jax.data.stored import hdf5, numpy_files
from trsum_jax.errors import InputError
from trsum_jax.files import kind_of, shown

# From an array's name, without the file's ending, to what reads it.
Arrays = Mapping[str, Callable[[], np.ndarray]]


def without_ending(name: str) -> str:
    """A video's own name without the ending of a film, such as `.mp4`."""
    return re.sub(r'(?<=.)\.(mp4|webm|avi|mkv|mov)$', '', name.strip(), flags=re.IGNORECASE)


def find_arrays(path: str | os.PathLike, *, named: bool = False) -> Arrays:
    """All arrays of a folder, a `.npz` or an HDF5 file; none is read.

    Args:
        path: a folder of `.npy` and `.npz`, or of folders of these; one `.npz`; or one HDF5 file with arrays
            at its root, or in groups there.
        named: whether a group goes by the `video_name` that it holds: `video_1` of two files need not be one
            video.

    Returns:
        By name: `video_1` for `video_1.npy` and for an array of that name in a file, `ID/audio` for
        `ID/audio.npy`, for `audio` in `ID.npz`, and for `audio` in the group `ID`.

    Raises:
        InputError: none of these, a file that cannot be read, one name twice, no array at all.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        found = list(_in_folder(path))
    elif path.suffix.lower() == '.npz':
        found = list(_in_npz(path))
    elif path.is_file() and hdf5.is_hdf5(path):
        found = list(_in_hdf5(path, named))
    else:
        held = f'one ending in {shown(path.suffix)}' if path.is_file() and path.suffix else kind_of(path)
        raise InputError(
            f'{shown(path)}: expected a folder of .npy or .npz files, one .npz file, or an HDF5 file with an '
            f'array for each video, found {held}'
        )
    names = [name for name, _ in found]
    if twice := [name for name, times in collections.Counter(names).items() if times > 1]:
        raise InputError(
            f'{shown(path)}: expected one array of each name, found two of {shown(twice[0])}, as in .npy and '
            '.npz; keep one of them'
        )
    if not names:
        raise InputError(f'{shown(path)}: expected an array for each video, found none{_pickled(path)}')
    return dict(found)


def _in_folder(path: pathlib.Path) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    try:
        entries = sorted(path.iterdir())
        within = itertools.chain.from_iterable(sorted(one.iterdir()) for one in entries if one.is_dir())
        files = [one for one in (*entries, *within) if not one.name.startswith('.')]
    except OSError as error:
        raise InputError(f'{shown(path)}: expected a folder that can be read ({error})') from error
    for file in files:
        name = file.relative_to(path).with_suffix('').as_posix()
        if file.suffix.lower() == '.npy':
            yield name, functools.partial(numpy_files.read_npy, file)
        elif file.suffix.lower() == '.npz':
            for member, read in _in_npz(file):
                yield f'{name}/{member}', read


def _in_npz(path: pathlib.Path) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    for member in numpy_files.members(path):
        yield member, functools.partial(numpy_files.read_npz, path, member)


def _in_hdf5(path: pathlib.Path, named: bool) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    with hdf5.open_file(path) as file:
        try:
            # Names that are no text are nobody's id.
            for name in (one for one in file if isinstance(one, str)):
                item = file[name]
                if isinstance(item, h5py.Dataset):
                    yield name, functools.partial(_read_hdf5, path, name)
                    continue
                own = without_ending(text(item['video_name'])) if named and 'video_name' in item else ''
                for part in item:
                    yield f'{own or name}/{part}', functools.partial(_read_hdf5, path, f'{name}/{part}')
        except hdf5.DAMAGED as error:
            raise InputError(
                f'{shown(path)}: expected an HDF5 file, found a damaged one ({error})'
            ) from error


def _read_hdf5(path: pathlib.Path, name: str) -> np.ndarray:
    expected = f'{shown(path)}: expected an array of numbers as {shown(name)}, found'
    with hdf5.open_file(path) as file:
        try:
            item = file[name]
            numbers = isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in 'biuf'
            if numbers:
                return np.asarray(item[()])
        except hdf5.DAMAGED as error:
            raise InputError(f'{expected} a damaged part of the file ({error})') from error
    raise InputError(f'{expected} a group, text or another thing')


def _pickled(path: pathlib.Path) -> str:
    """Words on files of a folder that are not read."""
    endings = {'.p', '.pkl', '.pickle', '.pt', '.pth'}
    some = [one.name for one in path.iterdir() if one.suffix.lower() in endings] if path.is_dir() else []
    if not some:
        return ''
    return (
        f'; there is {shown(min(some))}, a pickle, which is a program and is not run. Save the numbers alone '
        'with np.save'
    )
