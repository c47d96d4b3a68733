"""numpy's files, `.npy` and `.npz`: numbers alone, no larger than their bytes in the file; no pickles."""

import math
import os
import pathlib
import tokenize
import zipfile
import zlib
from typing import IO

import numpy as np

from trsum_jax.data.stored import bounds, hdf5
from trsum_jax.errors import InputError
from trsum_jax.files import shown

# What zipfile and numpy raise where bytes of a file were changed.
_DAMAGED = (
    OSError, EOFError, ValueError, TypeError, KeyError, LookupError, RuntimeError, NotImplementedError,
    ArithmeticError, MemoryError, SyntaxError, zipfile.BadZipFile, zlib.error,
    tokenize.TokenError,
)  # fmt: skip
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_SUFFIX = '.npy'


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """The array of a `.npy` file.

    Args:
        path: the file.

    Returns:
        Of any shape; booleans, integers or floats of any width.

    Raises:
        InputError: no such file, no `.npy`; objects (which numpy keeps as a pickle, a program), or other
            than numbers; fewer or more bytes than the header promises.
    """
    size = hdf5.regular(path, 'a .npy file').st_size
    try:
        with pathlib.Path(path).open('rb') as file:
            return _array(file, size)
    except _DAMAGED as error:
        raise _fault(path, 'an array of numbers in a .npy file', error) from error


def members(path: str | os.PathLike) -> list[str]:
    """Names of the arrays in a `.npz` file.

    Args:
        path: the file.

    Raises:
        InputError: no such file, no `.npz`, members that are no arrays.
    """
    hdf5.regular(path, 'a .npz file')
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _DAMAGED as error:
        raise _fault(path, 'a .npz file', error) from error
    if foreign := [name for name in names if not name.endswith(_SUFFIX)]:
        raise InputError(f'{shown(path)}: expected arrays alone in a .npz file, found {shown(foreign[0])}')
    if len(names) > bounds.MOST_NAMES or len(set(names)) < len(names):
        raise InputError(
            f'{shown(path)}: expected at most {bounds.MOST_NAMES} arrays, each name once, found others'
        )
    return [name.removesuffix(_SUFFIX) for name in names]


def read_npz(path: str | os.PathLike, member: str) -> np.ndarray:
    """One array of a `.npz` file.

    Args:
        path: the file.
        member: as `members` names it.

    Returns:
        As `read_npy`.

    Raises:
        InputError: as `read_npy`; a member that unpacks to absurdly more than it takes.
    """
    hdf5.regular(path, 'a .npz file')
    try:
        with zipfile.ZipFile(path) as archive:
            told = archive.getinfo(member + _SUFFIX)
            if told.file_size > max(bounds.FREE_DATASET, bounds.MOST_PACKED * told.compress_size):
                raise ValueError(f'one that claims {told.file_size} of {told.compress_size} bytes')
            with archive.open(told) as file:
                return _array(file, told.file_size)
    except _DAMAGED as error:
        raise _fault(path, f'an array of numbers as {shown(member)}', error) from error


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an open `.npy`, of so many bytes; ValueError says what else was found."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f'version {".".join(map(str, version))} of the format')
    shape, by_column, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError(
            'Python objects, a pickle: it is a program, and is not run. Save the numbers alone: '
            'np.save(FILE, np.asarray(VALUES, np.float32))'
        )
    if dtype.kind not in 'biuf':
        raise ValueError(f'type {dtype}')
    promised, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if promised != held:
        raise ValueError(f'a header that promises {promised} bytes of {held}: copy or make it again')
    content = file.read(held)
    return np.frombuffer(content, dtype).reshape(shape, order='F' if by_column else 'C')


def _fault(path: str | os.PathLike, expected: str, error: BaseException) -> InputError:
    found = ' '.join(str(error).split())[:400] or type(error).__name__
    return InputError(f'{shown(path)}: expected {expected}, found {shown(found)}')
