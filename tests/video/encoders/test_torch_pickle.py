"""Small checkpoints that would fill the memory, the stack or the day of who reads them."""

import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tests.video.encoders.test_torch_file import LAYOUTS, MAGIC, SYSTEM, pickled, read, tensor, written
from trsum_jax.errors import InputError
from trsum_jax.video.encoders import torch_pickle

NUMBERS = np.arange(3, dtype=np.float32)


def with_object(path, layout, raw):
    """A checkpoint whose object is a pickle of these bytes."""
    if layout == 'zip':
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('archive/data.pkl', raw)
    else:
        path.write_bytes(b''.join(pickled(part) for part in (MAGIC, 1001, SYSTEM)) + raw + pickled([]))
    return path


def doubled(times):
    """A tuple that holds the one before twice, over and over: small to write, endless to hash."""
    raw = b'K\x01K\x01\x86q\x00'
    return raw + b''.join(b'h%ch%c\x86q%c' % (i, i, i + 1) for i in range(times))


BOMBS = {
    'place in the memo': (b'}r\xff\xff\xff\x0f', 'place 268435455'),
    'doubled key': (b'}' + doubled(60) + b'K\x01s', 'fetches an object a second time'),
    'deep key': (b'}K\x01' + b'\x85' * 500_000 + b'K\x01s', 'more than 64 deep'),
    'deep value': (b'}K\x01' + b']' * 100_000 + b'a' * 99_999 + b's', 'more than 64 deep'),
    'claimed bytes': (b'}C\xff', 'ValueError'),
    'claimed long bytes': (b'}\x8e' + struct.pack('<Q', 1 << 40), r'\d'),
    'claimed text': (b'}X' + struct.pack('<I', 1 << 31), r'\d'),
    'nothing on the stack': (b'\x86', 'IndexError'),
    'marks that never were': (b't', 'IndexError'),
}


@LAYOUTS
@pytest.mark.parametrize('name', BOMBS)
def test_a_pickle_that_explodes(layout, name, tmp_path):
    raw, message = BOMBS[name]
    path = with_object(tmp_path / 'a.pth', layout, b'\x80\x02' + raw + b'.')
    with pytest.raises(InputError, match=rf'a\.pth: .*damaged or cut short .*{message}'):
        read(path, w=(3,))


def test_the_trap_of_the_doubled_key_is_live():
    # Twenty times double is a million; sixty would never end.
    value = pickle.loads(b'\x80\x02' + doubled(20) + b'.')
    leaves = 0
    stack = [value]
    while stack:
        each = stack.pop()
        stack.extend(each if isinstance(each, tuple) else ())
        leaves += not isinstance(each, tuple)
    assert leaves == 2**21


def test_a_packed_member_is_never_unpacked(tmp_path):
    path = tmp_path / 'a.pth'
    parts = {
        'data.pkl': pickled({'w': tensor('0', NUMBERS, 'zip')}),
        'byteorder': b'little',
        'data/0': NUMBERS.tobytes(),
        'more': b'',
    }
    for packed in parts:
        with zipfile.ZipFile(path, 'w') as archive:
            for name, raw in parts.items():
                method = zipfile.ZIP_DEFLATED if name == packed else zipfile.ZIP_STORED
                archive.writestr(f'archive/{name}', raw, method)
        with pytest.raises(InputError, match=f'archive/{packed} is packed, which torch.save does not do'):
            read(path, w=(3,))


def zipped(path, *, members=None, change=None):
    """A sound checkpoint in a zip, its members more or its bytes changed."""
    written(path, 'zip', {'w': tensor('0', NUMBERS, 'zip')}, {'0': NUMBERS})
    if members:
        with zipfile.ZipFile(path, 'a') as archive:
            for name, raw in members:
                archive.writestr(name, raw)
    raw = bytearray(path.read_bytes())
    if change:
        change(raw)
    path.write_bytes(raw)
    return path


def entry(raw, name):
    """Where the central directory's entry of a member begins."""
    return raw.rindex(name) - 46


def test_members_that_lie(tmp_path):
    def over(raw):
        # The storage's member begins where the pickle's does.
        raw[entry(raw, b'archive/data/0') + 42 :][:4] = b''
        place = entry(raw, b'archive/data/0') + 42
        raw[place : place + 4] = raw[entry(raw, b'archive/data.pkl') + 42 :][:4]

    def large(raw):
        place = entry(raw, b'archive/data/0') + 20
        raw[place : place + 8] = struct.pack('<II', 1 << 30, 1 << 30)

    def sixty_four(raw):
        # Sizes of 64 bits, and no field that holds them.
        place = entry(raw, b'archive/data/0') + 20
        raw[place : place + 8] = b'\xff' * 8

    def locked(raw):
        raw[entry(raw, b'archive/data.pkl') + 8] |= 1

    for change in (over, large, sixty_four, locked):
        with pytest.raises(InputError, match='damaged or cut short'):
            read(zipped(tmp_path / 'a.pth', change=change), w=(3,))
    with pytest.warns(UserWarning, match='Duplicate name'):
        path = zipped(tmp_path / 'a.pth', members=[('archive/data/0', NUMBERS[::-1].tobytes())])
    with pytest.raises(InputError, match='two members of one name'):
        read(path, w=(3,))
    assert read(zipped(tmp_path / 'a.pth'), w=(3,))['w'].tolist() == [0, 1, 2]


def test_a_list_of_members_too_long_to_read(tmp_path, monkeypatch):
    path = zipped(tmp_path / 'a.pth', members=[(f'archive/{i}', '') for i in range(200)])
    assert read(path, w=(3,))['w'].tolist() == [0, 1, 2]
    monkeypatch.setattr('trsum_jax.video.encoders.torch_file.LONGEST', 8000)
    monkeypatch.setattr('trsum_jax.video.encoders.torch_file._TIMES', 1 << 20)
    with pytest.raises(InputError, match='lists its members in more than 8000 bytes'):
        read(path, w=(3,))


@LAYOUTS
def test_more_than_the_network_needs(layout, tmp_path):
    large = np.zeros(100, np.float32)
    state = {'w': tensor('0', large, layout, size=(3,))}
    path = written(tmp_path / 'a.pth', layout, state, {'0': large})
    with pytest.raises(InputError, match=r'w: expected a storage of 3 numbers, .* found 100; save clones'):
        read(path, w=(3,))
    with pytest.raises(InputError, match=r'w: expected shape \[100\], found \[3\]'):
        read(path, w=(100,))
    with pytest.raises(InputError, match=r'expected a network of these tests; found no v \(but w, …\)'):
        read(path, v=(3,))
    with path.open('r+b') as file:
        file.truncate(torch_pickle.LONGEST + 1000)
    with pytest.raises(InputError, match=r'in a file of at most 1,048,672 bytes; found 1,049,576'):
        read(path, w=(3,))


@LAYOUTS
def test_what_the_network_does_not_need_is_not_read(layout, tmp_path):
    head = np.full(50_000, 7, np.float32)
    state = {'head': tensor('0', head, layout), 'w': tensor('1', NUMBERS, layout)}
    path = written(tmp_path / 'a.pth', layout, state, {'0': head, '1': NUMBERS})
    raw = bytearray(path.read_bytes())
    raw[raw.index(head.tobytes()) + 1000] ^= 1
    path.write_bytes(raw)
    found = read(path, w=(3,))
    assert {key: value.tolist() for key, value in found.items()} == {'w': [0, 1, 2]}


@LAYOUTS
def test_a_storage_told_of_in_two_ways(layout, tmp_path):
    state = {'w': tensor('0', NUMBERS, layout), 'v': tensor('0', NUMBERS, layout, size=(2,), numel=2)}
    with pytest.raises(InputError, match='storage 0 is told of in two ways'):
        read(written(tmp_path / 'a.pth', layout, state, {'0': NUMBERS}), w=(3,), v=(2,))


def test_a_gigabyte_of_zeros_in_a_megabyte_takes_no_memory(tmp_path):
    path = tmp_path / 'a.pth'
    with (
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open('archive/data.pkl', 'w') as member,
    ):
        for _ in range(16):
            member.write(bytes(1 << 24))
    program = (
        'import resource, sys\n'
        'from trsum_jax.video.encoders import torch_file\n'
        'before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
        'try: torch_file.read_weights(sys.argv[1], {"w": (1 << 20,)}, "a network")\n'
        'except ValueError as error: print(error)\n'
        'print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)'
    )
    done = subprocess.run([sys.executable, '-c', program, path], capture_output=True, text=True, check=True)
    said, grown = done.stdout.splitlines()
    assert 'is packed' in said
    assert int(grown) < 50_000
