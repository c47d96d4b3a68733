"""People's ratings and summaries in MATLAB files: TVSum's `ydata-tvsum50.mat`, and those of SumMe's `GT`."""

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import h5py
import numpy as np

from trsum_jax.data.foreign import matlab_process
from trsum_jax.data.stored import bounds, hdf5
from trsum_jax.errors import InputError
from trsum_jax.files import shown

_EXPECTED = "the struct tvsum50 of TVSum's ydata-tvsum50.mat, or user_score of a file of SumMe's folder GT"
_USERS, _LENGTH, _RATE = matlab_process.SUMMARIES
# From a variable's name, or `i/FIELD` of the struct's i-th video, to its array.
_Variables = Mapping[str, np.ndarray]


class Judged(NamedTuple):
    """What people said of one video.

    Attributes:
        name: the video's own name.
        users: [n_users, n_frames] float32: ratings, or 0 and 1.
        is_summary: whether they are summaries of 0 and 1.
        fps: frames per second, where the file tells them.
    """

    name: str
    users: np.ndarray
    is_summary: bool
    fps: float | None


def is_mat(path: str | os.PathLike) -> bool:
    """Whether a regular file is MATLAB's: by its ending, or as it begins.

    Args:
        path: a file that exists.
    """
    if pathlib.Path(path).suffix.lower() == '.mat':
        return True
    with pathlib.Path(path).open('rb') as file:
        return file.read(7) == b'MATLAB '


def read_mats(paths: Sequence[str | os.PathLike]) -> list[list[Judged]]:
    """Reads MATLAB files of v5 (by scipy, in another process) or v7.3 (HDF5).

    Args:
        paths: TVSum's, with a struct array `tvsum50`, or SumMe's, with `user_score`; there what is above 0 is
            chosen.

    Returns:
        The videos of each file, in the order of the struct; of one of SumMe's, the one, named by the file.

    Raises:
        InputError: no such file, another kind of file, one that disagrees with itself.
    """
    files = [pathlib.Path(path) for path in paths]
    sizes = {path: hdf5.regular(path, 'a MATLAB file').st_size for path in files}
    old = [path for path in files if not hdf5.is_hdf5(path)]
    for path in old:
        if sizes[path] > bounds.LARGEST_TABLE:
            expected = f'a MATLAB file of at most {bounds.LARGEST_TABLE} bytes'
            raise InputError(f'{shown(path)}: expected {expected}, found {sizes[path]}')
    told = dict(zip(old, _of_process(old), strict=True)) if old else {}
    found = {path: told[path] if path in told else _of_hdf5(path) for path in files}
    return [
        [_summary(path, found[path])] if _USERS in found[path] else list(_ratings(path, found[path]))
        for path in files
    ]


def _ratings(path: pathlib.Path, found: _Variables) -> Iterable[Judged]:
    for i in range(len(found) // len(matlab_process.FIELDS)):
        name, users, length = (found[f'{i}/{field}'] for field in matlab_process.FIELDS)
        where = f'{shown(path)}, video {shown(_text(name))}, user_anno'
        yield Judged(_text(name), _by_user(users, _number(where, 'nframes', length), where), False, None)


def _summary(path: pathlib.Path, found: _Variables) -> Judged:
    where, users = f'{shown(path)}, {_USERS}', found[_USERS]
    # A video has more frames than people.
    length = _number(where, _LENGTH, found[_LENGTH]) if _LENGTH in found else max(users.shape)
    fps = _number(where, _RATE, found[_RATE]) if _RATE in found else None
    marks = _by_user(users, length, where)
    return Judged(path.stem, (marks > 0).astype(np.float32), True, fps or None)


def _text(codes: np.ndarray) -> str:
    """Text as v5 has it, or as v7.3 has it, in UTF-16."""
    flat = np.ravel(codes)
    if codes.dtype.kind == 'U':
        return ''.join(flat.tolist())
    return b''.join(int(code).to_bytes(2, 'little') for code in flat).decode('utf-16-le', 'replace')


def _number(where: str, name: str, value: np.ndarray) -> float:
    if value.size != 1 or value.dtype.kind not in 'biuf' or not np.isfinite(value).all():
        raise InputError(f'{where}: expected one number as {name}, found shape {value.shape}')
    return float(value.reshape(()))


def _by_user(users: np.ndarray, n_frames: float, where: str) -> np.ndarray:
    """[n_users, n_frames] float32, of either order."""
    if users.ndim != 2 or users.dtype.kind not in 'biuf' or n_frames not in users.shape:
        expected = f'[users, {n_frames:g}] (nframes)'
        raise InputError(f'{where}: expected {expected}, found shape {users.shape}')
    with np.errstate(over='ignore'):
        found = (users if users.shape[1] == n_frames else users.T).astype(np.float32)
    if not np.isfinite(found).all():
        raise InputError(f'{where}: expected finite scores, found NaN or infinity')
    return found


def _of_process(paths: Sequence[pathlib.Path]) -> Iterable[_Variables]:
    """The variables of files before v7.3, from a process that may end in one of them."""
    root = str(pathlib.Path(__file__).resolve().parents[3])
    within = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
    # Each thread of numpy's products would take address space, and it multiplies nothing.
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(within), 'OPENBLAS_NUM_THREADS': '1'}
    done = subprocess.run(
        [sys.executable, '-m', matlab_process.__name__],
        input=''.join(f'{os.fsencode(path.absolute()).hex()}\n' for path in paths).encode(),
        capture_output=True,
        env=environment,
        check=False,
    )
    answers = io.BytesIO(done.stdout)
    for path in paths:
        line = answers.readline()
        if line:
            fault, size = json.loads(line)
        else:
            code = done.returncode
            how = signal.strsignal(-code) if code < 0 else f'code {code}'
            fault = f'found one that ends its reader ({how}): it is damaged; copy it again'
        if fault:
            kind = f'a MATLAB file (v5 or v7.3) with {_EXPECTED}'
            raise InputError(f'{shown(path)}: expected {kind}, {shown(fault)}')
        with np.load(io.BytesIO(answers.read(size)), allow_pickle=False) as found:
            yield dict(found)


def _of_hdf5(path: pathlib.Path) -> _Variables:
    with hdf5.open_file(path) as file:
        try:
            if matlab_process.STRUCT in file:
                return _of_struct(file)
            if _USERS in file:
                numbers = {name: file[name] for name in matlab_process.SUMMARIES if name in file}
                return {name: _read(name, item, set()) for name, item in numbers.items()}
            names = ', '.join(shown(name) for name in list(file)[:10] if not str(name).startswith('#'))
            raise ValueError(f'the variables {names}')
        except hdf5.DAMAGED as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f'{shown(path)}: expected {_EXPECTED}, found {error}') from error


def _of_struct(file: h5py.File) -> _Variables:
    seen: set[int] = set()
    fields = {name: list(_referred(file, name, seen)) for name in matlab_process.FIELDS}
    counts = {len(items) for items in fields.values()}
    if len(counts) > 1:
        raise ValueError('fields of different lengths')
    return {f'{i}/{name}': item for name, items in fields.items() for i, item in enumerate(items)}


def _referred(file: h5py.File, field: str, seen: set[int]) -> Iterable[np.ndarray]:
    """What the struct's references refer to: each array once, so that all fit where each does."""
    references = file[matlab_process.STRUCT][field]
    if references.shape is None:
        raise ValueError(f'an empty data space as {field}')
    if references.size > bounds.MOST_REFERENCES:
        raise ValueError(f'{references.size} videos')
    if references.dtype.kind != 'O':
        # MATLAB writes the one video of a struct that is no array without references.
        yield _read(field, references, seen)
        return
    for reference in references[()].flat:
        yield _read(field, file[reference], seen)


def _read(field: str, item: object, seen: set[int]) -> np.ndarray:
    most = bounds.LONGEST_TEXT
    if field in ('user_anno', _USERS):
        most = bounds.MOST_USERS * bounds.MOST_FRAMES
    if isinstance(item, h5py.Dataset) and item.shape is None:
        raise ValueError(f'an empty data space as {field}')
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in 'biuf' or item.size > most:
        raise ValueError(f'{field} other than numbers')
    if (address := h5py.h5o.get_info(item.id).addr) in seen and field == 'user_anno':
        raise ValueError('one user_anno for two videos')
    seen.add(address)
    return np.asarray(item[()])
