"""`.npy` and `.npz`: what numpy writes is read; objects, damage and absurd claims are refused in words."""

import pathlib
import random
import zipfile

import numpy as np
import pytest

from tests.data.test_scores import damaged
from trsum_jax.data.stored import numpy_files
from trsum_jax.errors import InputError

ARRAYS = {
    'rows': np.arange(12, dtype=np.float32).reshape(4, 3),
    'columns': np.asfortranarray(np.arange(12, dtype='>i4').reshape(4, 3)),
    'half': np.linspace(0, 1, 7).astype(np.float16),
    'flags': np.array([True, False]),
    'one': np.array(5.5),
    'none': np.zeros((0, 3)),
}


@pytest.mark.parametrize('name', ARRAYS)
def test_what_numpy_writes_is_read(tmp_path, name):
    np.save(tmp_path / 'x.npy', ARRAYS[name])
    np.savez(tmp_path / 'plain.npz', **ARRAYS)
    np.savez_compressed(tmp_path / 'packed.npz', **ARRAYS)
    for found in (
        numpy_files.read_npy(tmp_path / 'x.npy'),
        *(numpy_files.read_npz(tmp_path / f'{kind}.npz', name) for kind in ('plain', 'packed')),
    ):
        np.testing.assert_array_equal(found, ARRAYS[name])
        assert found.dtype == ARRAYS[name].dtype
    assert numpy_files.members(tmp_path / 'packed.npz') == list(ARRAYS)


class Planted:
    """Writes a file where it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return pathlib.Path.touch, (self.place,)


def test_objects_are_not_unpickled(tmp_path):
    planted = np.array([Planted(tmp_path / 'ran'), 1], object)
    np.save(tmp_path / 'x.npy', planted, allow_pickle=True)
    np.savez(tmp_path / 'x.npz', a=planted)
    for read in (
        lambda: numpy_files.read_npy(tmp_path / 'x.npy'),
        lambda: numpy_files.read_npz(tmp_path / 'x.npz', 'a'),
    ):
        with pytest.raises(InputError, match=r'found Python objects, a pickle: it is a program'):
            read()
    assert not (tmp_path / 'ran').exists()
    # And would have been.
    np.load(tmp_path / 'x.npy', allow_pickle=True)
    assert (tmp_path / 'ran').exists()


def test_claims_of_a_header_are_looked_at_before_memory_is_taken(tmp_path):
    np.save(tmp_path / 'x.npy', np.zeros(8))
    content = (tmp_path / 'x.npy').read_bytes()
    (tmp_path / 'x.npy').write_bytes(content.replace(b'(8,), }' + b' ' * 12, b'(8000000000000,), }'))
    with pytest.raises(InputError, match=r'a header that promises 64000000000000 bytes of 64'):
        numpy_files.read_npy(tmp_path / 'x.npy')
    np.savez_compressed(tmp_path / 'x.npz', a=np.zeros((1 << 14, 1 << 14), np.uint8))
    with pytest.raises(InputError, match=r'as a, found one that claims 268435584 of \d+ bytes'):
        numpy_files.read_npz(tmp_path / 'x.npz', 'a')


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match='no such file'):
        numpy_files.read_npy(tmp_path / 'x.npy')
    np.save(tmp_path / 'x.npy', np.array(['a', 'b']))
    with pytest.raises(InputError, match='found type <U1'):
        numpy_files.read_npy(tmp_path / 'x.npy')
    (tmp_path / 'x.npz').write_bytes(b'no zip')
    with pytest.raises(InputError, match=r'expected a \.npz file, found File is not a zip file'):
        numpy_files.members(tmp_path / 'x.npz')
    with zipfile.ZipFile(tmp_path / 'x.npz', 'w') as archive:
        archive.writestr('notes.txt', 'hello')
    with pytest.raises(InputError, match=r'arrays alone in a \.npz file, found notes\.txt'):
        numpy_files.members(tmp_path / 'x.npz')


@pytest.mark.parametrize('kind', ['npy', 'npz', 'packed'])
def test_no_damage_is_a_traceback(tmp_path, kind):
    path = tmp_path / f'sound.{kind[:3]}'
    rng = np.random.default_rng(0)
    if kind == 'npy':
        np.save(path, rng.random((6, 3)))
    else:
        path = tmp_path / 'sound.npz'
        (np.savez if kind == 'npz' else np.savez_compressed)(path, a=rng.random((6, 3)))
    data, refused = path.read_bytes(), 0
    for seed in range(60):
        path.write_bytes(damaged(data, seed))
        try:
            for _ in [numpy_files.read_npy(path)] if kind == 'npy' else numpy_files.members(path):
                if kind != 'npy':
                    numpy_files.read_npz(path, 'a')
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and '\n' not in str(error), seed
    assert refused >= 10


def test_a_header_of_any_bytes_is_no_traceback(tmp_path):
    """Headers are Python literals: noise in them, and brackets without end."""
    np.save(tmp_path / 'x.npy', np.zeros(8))
    content, rng = (tmp_path / 'x.npy').read_bytes(), random.Random(0)
    for seed in range(40):
        middle = bytes(rng.choice(b'([{"\'\\\n ,:#0L') for _ in range(118)) if seed else b'(' * 118
        (tmp_path / 'x.npy').write_bytes(content[:10] + middle + content[128:])
        with pytest.raises(InputError, match='expected an array of numbers'):
            numpy_files.read_npy(tmp_path / 'x.npy')
