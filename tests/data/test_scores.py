"""Damaged files end in a sentence, whatever the damage: a small draw of them, by seed."""

import json
import random
import sys

import h5py
import numpy as np
import pytest
from feature_files import N_STEPS, field_video, write_raw

from tests.data.test_annotations import RATINGS, rated_file, write_mat, write_tsv
from trsum_jax.data import annotations, datasets, splits
from trsum_jax.data.scores import read_scores
from trsum_jax.data.stored import text_files
from trsum_jax.errors import InputError

KEYS = ['video_1', 'video_2', 'video_3']
# Of 5,000 lists within each other, which Python reads since 3.12.
DEEP = 'too deep' if sys.version_info < (3, 12) else 'video_1: expected a plain list'


def damaged(data, seed):
    """Cut, bits flipped, zeros, noise, or the bytes after one of HDF5's signatures changed."""
    rng = random.Random(seed)
    data, start = bytearray(data), rng.randrange(len(data))
    if seed % 5 == 0:
        del data[start:]
    elif seed % 5 == 1:
        for _ in range(rng.choice((1, 4, 20))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif seed % 5 == 2:
        data[start : start + 64] = bytes(len(data[start : start + 64]))
    elif seed % 5 == 3:
        data[start : start + 16] = rng.randbytes(len(data[start : start + 16]))
    else:
        signs = (b'SNOD', b'TREE', b'HEAP', b'OHDR', b'GCOL')
        places = [i for i in range(len(data)) if data[i : i + 4] in signs] or [start]
        for _ in range(3):
            data[min(rng.choice(places) + rng.randrange(80), len(data) - 1)] = rng.choice((0, 1, 255))
    return bytes(data)


def written(kind, folder):
    """A sound file of the kind, and what reads it."""
    path = folder / f'sound.{kind}'
    videos = datasets.read_dataset(write_raw(folder / 'data.h5', {key: field_video() for key in KEYS})).videos
    if kind in ('scores', 'new scores'):
        with h5py.File(path, 'w', libver='latest' if kind == 'new scores' else None) as file:
            for key in KEYS:
                packed = {'compression': 'gzip'} if key == 'video_3' else {}
                file.create_dataset(f'{key}/scores', data=np.linspace(0, 1, N_STEPS), **packed)
        return path, lambda path: read_scores(path, videos, KEYS)
    if kind == 'json':
        path.write_text(json.dumps({key: list(range(N_STEPS)) for key in KEYS}))
        return path, lambda path: read_scores(path, videos, KEYS)
    if kind == 'features':
        return write_raw(path, {key: field_video() | {'video_name': 'a'} for key in KEYS}, encoder='e'), (
            datasets.read_dataset
        )
    if kind == 'splits':
        path.write_text(json.dumps([{'train_keys': KEYS[:2], 'test_keys': KEYS[2:]}]))
        return path, lambda path: splits.read_splits(path, KEYS)
    rated = datasets.read_dataset(rated_file(folder / 'rated.h5'))
    write = write_mat if kind == 'mat' else write_tsv
    return write(path), lambda path: annotations.merge_user_scores(rated, path)


@pytest.mark.parametrize('kind', ['scores', 'new scores', 'json', 'features', 'splits', 'mat', 'tsv'])
def test_no_damage_is_a_traceback(tmp_path, kind):
    sound, read = written(kind, tmp_path)
    read(sound)
    data, refused = sound.read_bytes(), 0
    for seed in range(40):
        path = tmp_path / f'{seed}{sound.suffix}'
        path.write_bytes(damaged(data, seed))
        try:
            read(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and '\n' not in str(error), seed
            str(error).encode()
    assert refused >= 10


def test_damage_in_a_group_of_scores(tmp_path):
    """The names of one video's group are gone."""
    path, read = written('scores', tmp_path)
    data = path.read_bytes()
    with h5py.File(path) as file:
        address = h5py.h5o.get_info(file['video_2'].id).addr
    place = data.index(b'SNOD', address)
    path.write_bytes(data[:place] + bytes(4) + data[place + 4 :])
    with pytest.raises(InputError, match=r'video_2: expected scores, found damaged data'):
        read(path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"video_1": [1, 2', 'expected an HDF5 or JSON file of scores, found a fault in it'),
        ('[1, 2]', 'found a JSON list'),
        ('{"video_1": [1, [2, 3]]}', 'video_1: expected a plain list'),
        ('{"video_1": [1]}', r'video_1: expected \[6\] or \[83\]'),
        ('{"video_1": [null, null]}', 'video_1: expected numbers, found NoneType'),
        ('{"video_1": ' + '[' * 5000 + ']' * 5000 + '}', DEEP),
        ('[' * 100_000, 'too deep'),
        ('{"video_1": [1' + '0' * 400 + ']}', 'video_1: expected numbers up to 1e'),
        ('{"video_1": [1' + '0' * 5000 + ']}', 'found a fault in it.*digits'),
        ('{"video_1": [0, 1, 2, 3, 4, 1e400]}', r'video_1\[5\]: expected finite'),
        ('{"video_1": [0, 1, 2, 3, 4, NaN]}', r'video_1\[5\]: expected finite'),
        ('{"video_1": [0, 1, 2, 3, 4, 1e300]}', r'video_1: expected scores up to'),
        ('{"video_1": [1], "video_1": [2]}', 'video_1 is given twice'),
        ('{"video_\\udc80\\n": [1]}', r'scores of video_\\x80\\n, which the dataset does not have'),
        ('{"video_1": "012345"}', 'video_1: expected a plain list'),
        ('{"video_1": ["' + 'a' * 100_000 + '"' + ', "b"' * 100_000 + ']}', 'expected numbers, found str'),
        ('{"video_1": ' + '[' * 80 + '1' + ']' * 80 + '}', 'video_1: expected a plain list'),
    ],
    ids=lambda value: value[:20],
)
def test_json_that_is_no_list_of_scores(tmp_path, content, message):
    videos = datasets.read_dataset(write_raw(tmp_path / 'x.h5', {'video_1': field_video()})).videos
    path = tmp_path / 'bad.json'
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_scores(path, videos, [])
    assert len(str(caught.value).encode()) < 1000
    with pytest.raises(InputError):
        splits.read_splits(path, KEYS)


def test_splits_that_are_deep_or_odd(tmp_path):
    path = tmp_path / 'splits.json'
    for names in ('[' * 900 + ']' * 900, '["\\udc80"]', '["a\\nb"]', '"' + 'x' * 9000 + '"'):
        path.write_text(f'[{{"train_keys": {names}, "test_keys": []}}]')
        with pytest.raises(InputError, match='fold 0') as caught:
            splits.read_splits(path, KEYS)
        assert len(str(caught.value).encode()) < 500 and '\n' not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_any_text(tmp_path):
    for kind in ('json', 'splits', 'tsv'):
        path, read = written(kind, tmp_path)
        before = read(path)
        path.write_text(path.read_text(), encoding='utf-8-sig')
        assert path.read_bytes().startswith(b'\xef\xbb\xbf')
        assert repr(read(path)) == repr(before)
    assert list(annotations.read_annotations(path)) == list(RATINGS)


def test_text_of_any_size_is_not_read(tmp_path):
    path = tmp_path / 'scores.json'
    with path.open('wb') as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=r'of at most 67108864 bytes, found 1099511627776'):
        text_files.read_json(path, 'scores')
    with pytest.raises(InputError, match=r'at most 268435456 bytes'):
        annotations.read_annotations(path)


@pytest.mark.parametrize('name', ['features', 'picks', 'n_frames', 'n_steps', 'fps', 'user_summary'])
def test_an_empty_data_space_is_a_fault(name, tmp_path):
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video(), 'video_2': field_video()})
    with h5py.File(path, 'a') as file:
        if name in file['video_2']:
            del file['video_2'][name]
        file['video_2'][name] = h5py.Empty('f4')
    _, faults = datasets.check_file(path)
    assert f'video_2/{name}: expected numbers, found an empty data space' in faults


def test_an_empty_data_space_is_no_text_no_scores_and_no_ratings(tmp_path):
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video()})
    with h5py.File(path, 'a') as file:
        file.attrs['encoder'] = file['video_1/video_name'] = h5py.Empty('S4')
    found = datasets.read_dataset(path)
    assert found.encoder is None and not found.videos['video_1'].name
    with h5py.File(tmp_path / 's.h5', 'w') as file:
        file['video_1/scores'] = h5py.Empty('f4')
    with pytest.raises(InputError, match=r'found damaged data \(an empty data space\)'):
        read_scores(tmp_path / 's.h5', found.videos, ['video_1'])
    with h5py.File(tmp_path / 's.mat', 'w') as file:
        for field in ('video', 'user_anno', 'nframes'):
            file[f'tvsum50/{field}'] = h5py.Empty('f4')
    with pytest.raises(InputError, match='found an empty data space as video'):
        annotations.read_annotations(tmp_path / 's.mat')
