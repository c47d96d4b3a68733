"""The pickles of PyTorch checkpoints: state dicts of views of storages, and nothing that runs or explodes."""

import dataclasses
import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.files import shown

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
# Bytes of all pickles of a file, and of a zip archive's list of members: ten times GoogLeNet's.
LONGEST = 1 << 20
# What `torch.save` writes for a state dict, from Python 2 and 3. Names and short tuples of them may be
# fetched back, nothing that holds more: so the whole is a tree, little larger than the file.
_LEAVES = {'BINUNICODE', 'BINSTRING', 'SHORT_BINSTRING', 'GLOBAL'}
_OPCODES = _LEAVES | {
    *('PROTO', 'STOP', 'MARK', 'NONE', 'NEWTRUE', 'NEWFALSE', 'BININT', 'BININT1', 'BININT2', 'LONG1'),
    *('BINFLOAT', 'EMPTY_DICT', 'EMPTY_LIST', 'EMPTY_TUPLE', 'TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3'),
    *('APPEND', 'APPENDS', 'SETITEM', 'SETITEMS', 'BINPUT', 'LONG_BINPUT', 'BINGET', 'LONG_BINGET'),
    *('REDUCE', 'BUILD', 'BINPERSID'),
}
_DEEPEST = 64
_FETCHED_WIDTH = 8


@dataclasses.dataclass(frozen=True)
class Storage:
    """Numbers in the file, of which none is read yet.

    Attributes:
        key: names it in the file.
        dtype: of its numbers, little-endian.
        numel: how many the pickle claims, at least 0.
    """

    key: str
    dtype: np.dtype
    numel: int

    @property
    def n_bytes(self) -> int:
        """Its size in the file."""
        return self.numel * self.dtype.itemsize


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage that lies within it.

    Attributes:
        storage: what is viewed.
        offset: the first number.
        size: the shape.
        stride: numbers from one to the next along each axis.
    """

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.size, *self.stride)
        if not isinstance(self.storage, Storage) or any(type(each) is not int for each in numbers):
            raise ValueError('a tensor that is no view of a storage')
        if len(self.size) != len(self.stride) or min(numbers) < 0:
            raise ValueError(f'a tensor {self.size} with offset {self.offset} and strides {self.stride}')
        reach = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True)) + 1
        # A stride of 0 would let a small file stand for an array of any size.
        if math.prod(self.size) > self.storage.numel or (0 not in self.size and reach > self.storage.numel):
            raise ValueError(f'a tensor {self.size} reaches outside its storage of {self.storage.numel}')

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The view.

        Args:
            numbers: [storage.numel], the storage's.

        Returns:
            [*size], of the same memory.
        """
        strides = tuple(step * numbers.itemsize for step in self.stride)
        return np.ndarray(self.size, numbers.dtype, numbers, self.offset * numbers.itemsize, strides)


class _StateDict(dict):
    """A dictionary that ignores the attributes (`_metadata`) which a pickle sets on an OrderedDict."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Knows the names that a state dict needs, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        # New functions every time: a pickle can set attributes on what it is given.
        if (module, name) == ('collections', 'OrderedDict'):
            return lambda *items: _StateDict(*items)
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return lambda storage, offset, size, stride, *_: Tensor(storage, offset, size, stride)
        if (module, name) == ('torch._utils', '_rebuild_parameter'):
            return lambda tensor, *_: tensor
        if module == 'torch' and name in _DTYPES:
            return name
        raise InputError(
            f'expected nothing but weights, found the name {shown(f"{module}.{name}")}, which no state dict '
            'needs: the file may hold code that runs on loading. Nothing was run. Take the file from its '
            'publisher'
        )

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _, numel, *view = pid
        if kind != 'storage' or [type(each) for each in (dtype, key, numel)] != [str, str, int] or numel < 0:
            raise ValueError('an unknown kind of storage')
        if any(part is not None for part in view):
            raise ValueError('storages that are views are not supported')
        return Storage(key, np.dtype(_DTYPES[dtype]), numel)


def unpickle(file: io.BytesIO) -> Any:
    """One pickle from a file in memory; the file then stands behind it.

    Args:
        file: at most `LONGEST` bytes.

    Returns:
        Numbers, strings, lists, tuples, dictionaries and `Tensor`s.

    Raises:
        InputError: the pickle names a function that no state dict needs.
        Exception: a damaged pickle can raise anything at all.
    """
    start = file.tell()
    _judge(file)
    file.seek(start)
    return _Unpickler(file, encoding='utf-8').load()


def _judge(file: io.BytesIO) -> None:
    """Refuses a pickle that no `torch.save` writes: too deep, too wide, or not a tree.

    Walks the opcodes without following them. Objects that hold one another are what exhausts memory or the
    stack when they are hashed or written.
    """
    depths, marks, fetchable, plain = [], [], {}, False
    for opcode, argument, _ in pickletools.genops(file):
        name, parts = opcode.name, []
        if name not in _OPCODES:
            raise ValueError(f'{name} in a pickle, which torch.save does not write by default')
        if name == 'MARK':
            marks.append(len(depths))
        elif name in ('BINPUT', 'LONG_BINPUT'):
            if argument > LONGEST:
                raise ValueError(f'place {argument} in a pickle of less than {LONGEST} bytes')
            fetchable[argument] = depths[-1] if plain else None
        elif name in ('BINGET', 'LONG_BINGET'):
            if fetchable.get(argument) is None:
                raise ValueError('a pickle that fetches an object a second time')
            depths.append(fetchable[argument])
        else:
            taken = [each for each in opcode.stack_before if each is not pickletools.stackslice]
            if pickletools.markobject in taken:
                taken.remove(pickletools.markobject)
                start = marks.pop()
                parts = depths[start:]
                del depths[start:]
            parts += [depths.pop() for _ in taken]
            depth = 1 + max(parts, default=0)
            if depth > _DEEPEST:
                raise ValueError(f'a pickle of objects more than {_DEEPEST} deep')
            depths += [depth] * len(opcode.stack_after)
            short = name.startswith('TUPLE') and depth <= 2 and len(parts) <= _FETCHED_WIDTH
            plain = name in _LEAVES or short
            continue
        plain = False
