import collections
import io
import os
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest

from trsum_jax.errors import InputError
from trsum_jax.video.encoders import torch_file

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {'protocol_version': 1001, 'little_endian': True, 'type_sizes': {'short': 2, 'int': 4, 'long': 4}}
LAYOUTS = pytest.mark.parametrize('layout', ['zip', 'legacy'])
NETWORK = 'a network of these tests'


def read(path, **shapes):
    """The tensors of those shapes, or of none."""
    return torch_file.read_weights(path, shapes, NETWORK)


class Evil:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


class Storage(tuple):
    """Stands for a storage; the pickler below writes it as the persistent id that it holds."""


class Named:
    """Pickles as a call of a global, by name, of a module that need not be installed."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class Pickler(pickle._Pickler):
    def persistent_id(self, obj):
        return tuple(obj) if isinstance(obj, Storage) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f'{obj.module}\n{obj.name}\n'.encode())
            if obj.arguments:
                super().save(obj.arguments[0])
                self.write(pickle.REDUCE)
            return
        super().save(obj, save_persistent_id)


def pickled(obj):
    file = io.BytesIO()
    Pickler(file, protocol=2).dump(obj)
    return file.getvalue()


def written(path, layout, obj, storages, *, place='object', evil=None):
    """A checkpoint in torch's layout, made without torch; `evil` goes to a place of the file, if given."""
    parts = {'magic': MAGIC, 'version': 1001, 'system': SYSTEM, 'object': obj, 'keys': list(storages)}
    if evil is not None:
        parts[place] = evil
    if layout == 'zip':
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('archive/data.pkl', pickled(parts['object']))
            archive.writestr('archive/byteorder', 'little')
            for key, numbers in storages.items():
                archive.writestr(f'archive/data/{key}', numbers.tobytes())
    else:
        raw = b''.join(pickled(part) for part in parts.values())
        for numbers in storages.values():
            raw += struct.pack('<q', numbers.size) + numbers.tobytes()
        path.write_bytes(raw)
    return path


def tensor(key, numbers, layout, *, offset=0, size=None, stride=None, numel=None):
    view = (None,) if layout == 'legacy' else ()
    numel = numbers.size if numel is None else numel
    storage = Storage(('storage', Named('torch', 'FloatStorage'), key, 'cpu', numel, *view))
    size = (numbers.size,) if size is None else size
    stride = (1,) if stride is None else stride
    hooks = Named('collections', 'OrderedDict', ())
    return Named('torch._utils', '_rebuild_tensor_v2', (storage, offset, size, stride, False, hooks))


@LAYOUTS
def test_reads_what_torch_saves(layout, tmp_path):
    torch = pytest.importorskip('torch')
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(4, 6, generator=generator)
    state = collections.OrderedDict(
        matrix=shared,
        turned=shared.T,
        part=shared[1:3, 2:],
        kernel=torch.nn.Parameter(torch.randn(2, 3, 5, 7, generator=generator)),
        counter=torch.tensor(12345678901),
        empty=torch.zeros(0, 3),
        half=torch.arange(5, dtype=torch.float16),
        flags=torch.tensor([True, False]),
    )
    state._metadata = collections.OrderedDict(version=1)
    torch.save(state, tmp_path / 'a.pth', _use_new_zipfile_serialization=layout == 'zip')
    found = read(tmp_path / 'a.pth', **{key: value.shape for key, value in state.items()})
    assert list(found) == list(state)
    for key, value in state.items():
        expected = value.detach().numpy()
        assert found[key].dtype == expected.dtype
        np.testing.assert_array_equal(found[key], expected)


@LAYOUTS
def test_reads_a_modules_state(layout, tmp_path):
    torch = pytest.importorskip('torch')
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.save(module.state_dict(), tmp_path / 'a.pth', _use_new_zipfile_serialization=layout == 'zip')
    found = read(tmp_path / 'a.pth', **{key: value.shape for key, value in module.state_dict().items()})
    assert sorted(found) == sorted(module.state_dict())
    np.testing.assert_array_equal(found['0.weight'], module[0].weight.detach().numpy())
    assert found['1.num_batches_tracked'].shape == ()


@LAYOUTS
def test_reads_the_layout_without_torch(layout, tmp_path):
    numbers = np.arange(24, dtype=np.float32)
    state = {'whole': tensor('0', numbers, layout, size=(4, 6), stride=(6, 1))}
    state['part'] = tensor('0', numbers, layout, offset=8, size=(2, 3), stride=(6, 2))
    found = read(written(tmp_path / 'a.pth', layout, state, {'0': numbers}), whole=(4, 6), part=(2, 3))
    np.testing.assert_array_equal(found['whole'], numbers.reshape(4, 6))
    np.testing.assert_array_equal(found['part'], [[8, 10, 12], [14, 16, 18]])


@pytest.mark.parametrize(
    ('layout', 'place'),
    [('zip', 'object'), *(('legacy', place) for place in ('magic', 'version', 'system', 'object', 'keys'))],
)
def test_hidden_code_is_never_run(layout, place, tmp_path):
    mark, numbers = tmp_path / 'it-ran', np.ones(3, np.float32)
    weights = {'w': tensor('0', numbers, layout)}
    evil = {**weights, 'x': Evil(mark)} if place == 'object' else Evil(mark)
    path = written(tmp_path / 'a.pth', layout, weights, {'0': numbers}, place=place, evil=evil)
    with pytest.raises(InputError, match=r'a\.pth: expected nothing but weights, .* posix\.system'):
        read(path)
    assert not mark.exists()
    # The trap is live: what Python does by itself runs it.
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()


@pytest.mark.parametrize(
    ('module', 'name'),
    [
        ('builtins', 'eval'),
        ('builtins', 'getattr'),
        ('torch', 'load'),
        ('torch._utils', 'os'),
        ('collections', 'OrderedDict.fromkeys'),
        ('trsum_jax.video.encoders.torch_file', 'read'),
        ('numpy', 'dtype'),
    ],
)
@LAYOUTS
def test_no_other_name_is_known(layout, module, name, tmp_path):
    path = written(tmp_path / 'a.pth', layout, {'w': Named(module, name)}, {})
    with pytest.raises(InputError, match=f'found the name {re.escape(f"{module}.{name}")}, which'):
        read(path)


@LAYOUTS
def test_a_pickle_cannot_change_the_reader(layout, tmp_path):
    # BUILD sets attributes: here the defaults of the function that makes tensors, and of OrderedDict.
    for module, name in (('torch._utils', '_rebuild_tensor_v2'), ('collections', 'OrderedDict')):
        build = b''.join(
            [
                pickle.PROTO + b'\x02' + pickle.GLOBAL + f'{module}\n{name}\n'.encode(),
                pickle.NONE + pickle.EMPTY_DICT,
                pickled('__defaults__')[2:-1] + pickled((1, 2, 3, 4))[2:-1] + pickle.SETITEM,
                pickle.TUPLE2 + pickle.BUILD + pickle.STOP,
            ]
        )
        path = written(tmp_path / 'a.pth', layout, {}, {})
        if layout == 'zip':
            with zipfile.ZipFile(path, 'w') as archive:
                archive.writestr('archive/data.pkl', build)
        else:
            start = b''.join(pickled(part) for part in (MAGIC, 1001, SYSTEM))
            path.write_bytes(start + build + pickled([]))
        with pytest.raises(InputError):
            read(path)
    numbers = np.ones(3, np.float32)
    path = written(tmp_path / 'b.pth', layout, {'w': tensor('0', numbers, layout)}, {'0': numbers})
    np.testing.assert_array_equal(read(path, w=(3,))['w'], numbers)


@LAYOUTS
@pytest.mark.parametrize(
    'fault',
    [
        {'size': (4,)},
        {'offset': 1},
        {'offset': -1},
        {'stride': (2,)},
        {'stride': (-1,)},
        {'size': (10**9,), 'stride': (0,)},
        {'numel': 10**15},
        {'numel': -1},
    ],
)
def test_tensors_outside_their_storage(layout, fault, tmp_path):
    numbers = np.arange(3, dtype=np.float32)
    state = {'w': tensor('0', numbers, layout, **fault)}
    with pytest.raises(InputError, match=r'damaged or cut short|expected a storage of 3 numbers'):
        read(written(tmp_path / 'a.pth', layout, state, {'0': numbers}), w=fault.get('size', (3,)))


@LAYOUTS
def test_cut_short_anywhere(layout, tmp_path):
    numbers = np.arange(50, dtype=np.float32)
    state = {'w': tensor('0', numbers, layout), 'v': tensor('1', numbers, layout)}
    path = written(tmp_path / 'a.pth', layout, state, {'0': numbers, '1': numbers})
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r'PyTorch checkpoint.*found.*(damaged|cut short|another kind)'):
            read(path, w=(50,), v=(50,))


def test_a_changed_number_in_a_zip_is_noticed(tmp_path):
    numbers = np.arange(50, dtype=np.float32)
    path = written(tmp_path / 'a.pth', 'zip', {'w': tensor('0', numbers, 'zip')}, {'0': numbers})
    raw = bytearray(path.read_bytes())
    raw[raw.index(numbers[10:20].tobytes())] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match='damaged'):
        read(path, w=(50,))


@LAYOUTS
def test_other_contents(layout, tmp_path):
    for state, message in (
        ({1: 2}, 'expected a flat dictionary of tensors, found int under a int'),
        ([1, 2], 'expected a dictionary of tensors .* found list'),
        ({'model': {'w': 1}}, "expected a flat dictionary of tensors, found dict under 'model'"),
        ({'w': Named('__main__', 'Net')}, r'found the name __main__\.Net'),
    ):
        with pytest.raises(InputError, match=message):
            read(written(tmp_path / 'a.pth', layout, state, {}))


def test_other_files(tmp_path):
    with pytest.raises(InputError, match='expected a PyTorch checkpoint, found nothing'):
        read(tmp_path / 'absent.pth')
    with pytest.raises(InputError, match='expected a PyTorch checkpoint, found a folder'):
        read(tmp_path)
    os.mkfifo(tmp_path / 'pipe.pth')
    with pytest.raises(InputError, match='expected a PyTorch checkpoint, found a pipe or a device'):
        read(tmp_path / 'pipe.pth')
    path = tmp_path / 'page.pth'
    path.write_text('<html>404</html>')
    with pytest.raises(InputError, match='found another kind of file'):
        read(path)
    path.write_bytes(pickle.dumps({'w': [1.0]}))
    with pytest.raises(InputError, match='found another kind of file'):
        read(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('readme.txt', 'hello')
    with pytest.raises(InputError, match='found a zip archive of something else'):
        read(path)
