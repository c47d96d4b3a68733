"""PyTorch checkpoint files to numpy arrays, without PyTorch, and without running anything that they hold.

A checkpoint is a pickle beside raw numbers, and unpickling calls whatever functions the pickle names. Here it
may name only those of `_Unpickler.find_class`; anything else is refused. Two layouts exist: a zip archive
(`data.pkl` and one `data/KEY` per storage; PyTorch 1.6 and later) and, before, five pickles in a row (magic
number, version, system, object, storage keys) followed by every storage's length and numbers.
"""

import io
import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from trsum_jax.errors import InputError

_ZIP = b'PK\x03\x04'
_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_DTYPES = {
    'DoubleStorage': '<f8',
    'FloatStorage': '<f4',
    'HalfStorage': '<f2',
    'LongStorage': '<i8',
    'IntStorage': '<i4',
    'ShortStorage': '<i2',
    'CharStorage': '<i1',
    'ByteStorage': '<u1',
    'BoolStorage': '?',
}


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict, of either layout.

    Args:
        path: what `torch.save(module.state_dict(), path)` wrote.

    Returns:
        By name, arrays in the file's dtypes.

    Raises:
        InputError: no such file, not a checkpoint, damaged or cut short, something other than a flat
            dictionary of tensors, or a pickle that names a function which weights do not need.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(
            f'{path}: expected a PyTorch checkpoint, found {"a folder" if path.is_dir() else "nothing"}'
        )
    try:
        with path.open('rb') as file:
            found = _read_zip(file) if file.peek(4)[:4] == _ZIP else _read_legacy(file)
    except InputError as error:
        raise InputError(f'{path}: {error}') from None
    except OSError:
        raise
    # A damaged pickle can raise anything at all.
    except Exception as error:
        raise InputError(
            f'{path}: expected a PyTorch checkpoint, found one that is damaged or cut short '
            f'({type(error).__name__}: {error}); fetch it again'
        ) from error
    if not isinstance(found, dict):
        raise InputError(
            f'{path}: expected a dictionary of tensors (a state dict), found {type(found).__name__}'
        )
    odd = [
        key for key, value in found.items() if not (isinstance(key, str) and isinstance(value, np.ndarray))
    ]
    if odd:
        kind = type(found[odd[0]]).__name__
        raise InputError(f'{path}: expected a flat dictionary of tensors, found {kind} under {odd[0]!r}')
    return dict(found)


class _StateDict(dict):
    """A dictionary that ignores the attributes (`_metadata`) which a pickle sets on an OrderedDict."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Knows the names that a state dict needs, and no others."""

    def __init__(self, file: BinaryIO, storage: Callable[[str, np.dtype, int], np.ndarray]):
        super().__init__(file, encoding='utf-8')
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        # New functions every time: a pickle can set attributes on what it is given.
        if (module, name) == ('collections', 'OrderedDict'):
            return lambda *items: _StateDict(*items)
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return lambda *parts: _tensor(*parts)
        if (module, name) == ('torch._utils', '_rebuild_parameter'):
            return lambda array, *_: array
        if module == 'torch' and name in _DTYPES:
            return name
        raise InputError(
            f'expected nothing but weights, found the name {module}.{name}, which no state dict needs: the '
            'file may hold code that runs on loading. Nothing was run. Take the file from its publisher'
        )

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, dtype, key, _, numel, *view = pid
        if kind != 'storage' or type(key) is not str or type(numel) is not int:
            raise ValueError(f'unknown storage {pid!r}')
        if any(part is not None for part in view):
            raise ValueError('storages that are views are not supported')
        return self._storage(key, np.dtype(_DTYPES[dtype]), numel)


def _tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, *_: Any) -> np.ndarray:
    """A view of a storage; numpy refuses one that would reach outside."""
    strides = tuple(step * storage.itemsize for step in stride)
    array = np.ndarray(size, storage.dtype, storage, offset * storage.itemsize, strides)
    # A stride of 0 would let a small file stand for an array of any size.
    if array.size > storage.size:
        raise ValueError(f'a tensor {size} of {array.size} numbers in a storage of {storage.size}')
    return array


def _none_here(key: str, dtype: np.dtype, numel: int) -> np.ndarray:
    raise ValueError(f'storage {key} where none belongs')


def _read_zip(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.endswith('/data.pkl') and name.count('/') == 1]
        if len(pickles) != 1:
            raise InputError('expected a PyTorch checkpoint, found a zip archive of something else')
        top = pickles[0].removesuffix('data.pkl')
        if f'{top}byteorder' in archive.namelist() and archive.read(f'{top}byteorder') != b'little':
            raise InputError('expected little-endian numbers, found another byte order')
        storages = {}

        def storage(key: str, dtype: np.dtype, numel: int) -> np.ndarray:
            if key not in storages:
                info = archive.getinfo(f'{top}data/{key}')
                if info.compress_type != zipfile.ZIP_STORED or info.file_size != numel * dtype.itemsize:
                    raise ValueError(f'storage {key} is not {numel} numbers {dtype}')
                storages[key] = np.frombuffer(archive.read(info), dtype)
            return storages[key]

        return _Unpickler(io.BytesIO(archive.read(pickles[0])), storage).load()


def _read_legacy(file: BinaryIO) -> Any:
    file_size = os.fstat(file.fileno()).st_size
    file.seek(0)
    try:
        magic = _Unpickler(file, _none_here).load()
    except InputError:
        raise
    except Exception:
        magic = None
    if magic != _MAGIC:
        raise InputError('expected a PyTorch checkpoint (.pth), found another kind of file, or one cut short')
    version, system = (_Unpickler(file, _none_here).load() for _ in range(2))
    if version != _LEGACY_VERSION or system['little_endian'] is not True:
        raise InputError(f'expected layout {_LEGACY_VERSION}, little-endian; found {version}, {system}')
    storages = {}

    def storage(key: str, dtype: np.dtype, numel: int) -> np.ndarray:
        if key not in storages:
            claimed = numel * dtype.itemsize + sum(each.nbytes for each in storages.values())
            if not 0 <= claimed <= file_size:
                raise ValueError(f'storage {key} of {numel} numbers {dtype} is larger than the file')
            storages[key] = np.zeros(numel, dtype)
        return storages[key]

    found = _Unpickler(file, storage).load()
    for key in _Unpickler(file, _none_here).load():
        numbers = storages.pop(key)
        if int.from_bytes(file.read(8), 'little') != numbers.size:
            raise ValueError(f'storage {key} is not {numbers.size} numbers')
        if file.readinto(numbers.view(np.uint8)) != numbers.nbytes:
            raise EOFError(f'ends within storage {key}')
    if storages:
        raise EOFError(f'{len(storages)} storages are missing, such as {min(storages)}')
    return found
