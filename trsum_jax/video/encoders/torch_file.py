"""PyTorch checkpoint files to numpy arrays, without PyTorch, and without running anything that they hold.

A checkpoint is a pickle beside raw numbers, and unpickling calls whatever functions the pickle names. Here it
may name only those that a state dict needs (`torch_pickle.py`); anything else is refused. Two layouts exist:
a zip archive (`data.pkl` and one `data/KEY` per storage; PyTorch 1.6 and later) and, before, five pickles in
a row (magic number, version, system, object, storage keys) followed by every storage's length and numbers.

A file is a stranger's. What the network needs is known beforehand, so that everything is judged by its header
first: nothing is made room for but numbers that the network needs and that stand in the file.

A network's variables in Flax are those tensors under other names, which a rule translates.
"""

import io
import math
import os
import pathlib
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import jax
import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.files import kind_of, shown
from trsum_jax.video.encoders import torch_pickle
from trsum_jax.video.encoders.torch_pickle import LONGEST, Tensor

_ZIP = b'PK\x03\x04'
_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
# A file holds other heads beside the network, and may hold all in double precision.
_TIMES = 8
# By Flax's names of the last parts of a variable's.
_LEAVES = {
    'kernel': 'weight',
    'scale': 'weight',
    'bias': 'bias',
    'mean': 'running_mean',
    'var': 'running_var',
}
# A module's name in Flax to its name in PyTorch.
Naming = Callable[[str], str]


def read_weights(
    path: str | os.PathLike, shapes: Mapping[str, Sequence[int]], network: str
) -> dict[str, np.ndarray]:
    """Reads those tensors of a state dict, of either layout, that a network needs.

    Args:
        path: what `torch.save(module.state_dict(), path)` wrote.
        shapes: the network's tensors, by name; others in the file are not read.
        network: its name and origin, for messages.

    Returns:
        By name, arrays in the file's dtypes.

    Raises:
        InputError: no such file, not a checkpoint, damaged or cut short, something other than a flat
            dictionary of tensors, a tensor that is missing or of another shape, a pickle that names a
            function which weights do not need, or a file that claims more than the network can need.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f'{shown(path)}: expected a PyTorch checkpoint, found {kind_of(path)}')
    most = _TIMES * sum(4 * math.prod(shape) for shape in shapes.values()) + LONGEST
    if (size := path.stat().st_size) > most:
        raise InputError(
            f'{shown(path)}: expected {network}, in a file of at most {most:,} bytes; found {size:,}'
        )
    try:
        with path.open('rb') as file:
            reader = _read_zip if file.peek(4)[:4] == _ZIP else _read_legacy
            return reader(file, lambda found: _wanted(found, shapes, network))
    except InputError as error:
        raise InputError(f'{shown(path)}: {error}') from None
    except OSError:
        raise
    # A damaged pickle can raise anything at all.
    except Exception as error:
        raise InputError(
            f'{shown(path)}: expected a PyTorch checkpoint, found one that is damaged or cut short '
            f'({type(error).__name__}: {shown(str(error)[:200])}); fetch it again'
        ) from error


def _wanted(found: Any, shapes: Mapping[str, Sequence[int]], network: str) -> dict[str, Tensor]:
    """The network's tensors among those of the file, judged before any number is read."""
    if not isinstance(found, dict):
        raise InputError(f'expected a dictionary of tensors (a state dict), found {type(found).__name__}')
    for key, value in found.items():
        if not (isinstance(key, str) and isinstance(value, Tensor)):
            under = repr(key) if isinstance(key, str) else f'a {type(key).__name__}'
            raise InputError(
                f'expected a flat dictionary of tensors, found {type(value).__name__} under {under}'
            )
    for key, shape in shapes.items():
        if key not in found:
            some = ', '.join(shown(name) for name in sorted(found)[:3])
            raise InputError(f'expected {network}; found no {key} (but {some}, …)')
        if found[key].size != tuple(shape):
            raise InputError(f'{key}: expected shape {list(shape)}, found {list(found[key].size)}')
    storages, needed = {}, {}
    for tensor in found.values():
        storage = tensor.storage
        if storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f'storage {storage.key} is told of in two ways')
        needed[storage.key] = needed.get(storage.key, 0) + math.prod(tensor.size)
    for key in shapes:
        storage = found[key].storage
        if storage.numel > needed[storage.key]:
            raise InputError(
                f'{key}: expected a storage of {needed[storage.key]:,} numbers, all that the tensors in it '
                f'need, found {storage.numel:,}; save clones of the tensors'
            )
    return {key: found[key] for key in shapes}


class _Bounded:
    """A file for `zipfile` that gives at most `LONGEST` bytes at once: the list of members at most."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        raw = self._file.read(min(size, LONGEST + 1) if size >= 0 else LONGEST + 1)
        if len(raw) > LONGEST:
            raise ValueError(f'an archive that lists its members in more than {LONGEST} bytes')
        return raw


def _read_zip(file: BinaryIO, wanted: Callable[[Any], dict[str, Tensor]]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(_Bounded(file)) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if name.endswith('/data.pkl') and name.count('/') == 1]
        if len(pickles) != 1:
            raise InputError('expected a PyTorch checkpoint, found a zip archive of something else')
        _judge_members(archive.infolist(), os.fstat(file.fileno()).st_size)
        top = pickles[0].removesuffix('data.pkl')
        order = f'{top}byteorder'
        if order in members and (members[order].file_size != 6 or archive.read(order) != b'little'):
            raise InputError('expected little-endian numbers, found another byte order')
        tensors = wanted(torch_pickle.unpickle(io.BytesIO(_member(archive, members[pickles[0]], LONGEST))))
        storages = {}
        for tensor in tensors.values():
            storage = tensor.storage
            if storage.key not in storages:
                info = members[f'{top}data/{storage.key}']
                if info.file_size != storage.n_bytes:
                    raise ValueError(f'storage {storage.key} is not {storage.numel} numbers {storage.dtype}')
                numbers = np.frombuffer(_member(archive, info, storage.n_bytes), storage.dtype)
                storages[storage.key] = numbers
        return {key: tensor.of(storages[tensor.storage.key]) for key, tensor in tensors.items()}


def _judge_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuses members that no checkpoint has: packed, twice of one name, or over one another."""
    if len({info.filename for info in members}) != len(members):
        raise ValueError('two members of one name')
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError(f'{info.filename} is packed, which torch.save does not do')
        if info.header_offset < end:
            raise ValueError(f'{info.filename} lies over another member')
        end = info.header_offset + zipfile.sizeFileHeader + info.compress_size
    if end > size:
        raise ValueError('members larger than the file')


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    if info.file_size > most:
        raise ValueError(f'{info.filename} of {info.file_size} bytes, more than {most}')
    # In pieces, for `_Bounded`; `zipfile` checks the sum over all of them.
    with archive.open(info) as member:
        return b''.join(iter(lambda: member.read(LONGEST), b''))


def _read_legacy(file: BinaryIO, wanted: Callable[[Any], dict[str, Tensor]]) -> dict[str, np.ndarray]:
    size = os.fstat(file.fileno()).st_size
    head = io.BytesIO(file.read(LONGEST))
    try:
        magic = torch_pickle.unpickle(head)
    except InputError:
        raise
    except Exception:
        magic = None
    if type(magic) is not int or magic != _MAGIC:
        raise InputError('expected a PyTorch checkpoint (.pth), found another kind of file, or one cut short')
    version, system = torch_pickle.unpickle(head), torch_pickle.unpickle(head)
    if type(version) is not int or version != _LEGACY_VERSION or system['little_endian'] is not True:
        raise InputError(f'expected layout {_LEGACY_VERSION}, little-endian numbers; found another layout')
    found = torch_pickle.unpickle(head)
    tensors = wanted(found)
    needed = {tensor.storage.key for tensor in tensors.values()}
    told = {tensor.storage.key: tensor.storage for tensor in found.values()}
    storages, place = {}, head.tell()
    keys = torch_pickle.unpickle(head)
    place = head.tell()
    for key in keys:
        storage = told.pop(key)
        file.seek(place)
        if struct.unpack('<q', file.read(8)) != (storage.numel,):
            raise ValueError(f'storage {key} is not {storage.numel} numbers')
        place += 8 + storage.n_bytes
        if place > size:
            raise EOFError(f'ends within storage {key}')
        if key in needed:
            storages[key] = np.empty(storage.numel, storage.dtype)
            file.readinto(storages[key].view(np.uint8))
    if told:
        raise EOFError(f'{len(told)} storages are missing, such as {min(told)}')
    return {key: tensor.of(storages[tensor.storage.key]) for key, tensor in tensors.items()}


def _key(path: tuple, naming: Naming) -> str:
    """The name in PyTorch of a variable: Flax has the collection first, and other names for its leaves."""
    _, *modules, leaf = (part.key for part in path)
    return '.'.join([*map(naming, modules), _LEAVES[leaf]])


def shapes_of(variables: Any, naming: Naming) -> dict[str, tuple[int, ...]]:
    """The shapes of PyTorch's tensors by their names.

    Args:
        variables: what the module's `init` gives, or its shapes.
        naming: of modules.

    Returns:
        By name; kernels with their outputs first.
    """
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        kernel = leaf.ndim == 4
        found[_key(path, naming)] = tuple(leaf.shape[i] for i in (3, 2, 0, 1)) if kernel else leaf.shape
    return found


def from_tensors(
    variables: Any, naming: Naming, tensors: Mapping[str, np.ndarray], source: str | os.PathLike
) -> Any:
    """The module's variables with PyTorch's numbers.

    Args:
        variables: what the module's `init` gives, or its shapes.
        naming: of modules.
        tensors: by name, of `shapes_of`; others are ignored.
        source: where they are from, for messages.

    Returns:
        As `variables`, float32.

    Raises:
        InputError: a tensor that is not of finite floats, or a variance below 0.
    """

    def of(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        key = _key(path, naming)
        tensor = tensors[key]
        if tensor.dtype.kind != 'f':
            raise InputError(f'{shown(source)}: {key}: expected floats, found {tensor.dtype}')
        with np.errstate(over='ignore'):
            tensor = np.asarray(tensor, np.float32)
        if not np.isfinite(tensor).all():
            raise InputError(f'{shown(source)}: {key}: expected finite numbers, found NaN or infinity')
        if key.endswith('running_var') and (tensor < 0).any():
            raise InputError(f'{shown(source)}: {key}: expected variances, found numbers below 0')
        return tensor.transpose(2, 3, 1, 0) if leaf.ndim == 4 else tensor

    return jax.tree_util.tree_map_with_path(of, variables)
