"""VideoXum's JSON: people at one frame a second, features in a folder of `.npz`."""

import json

import numpy as np
import pytest
from feature_files import unit_rows

from trsum_jax.data import datasets
from trsum_jax.errors import InputError

STEPS = {'v_QOlSCBRmfWY': 12, 'v_00Dk03Jr70M': 9}


def entry(key, n, **changes):
    people = np.random.default_rng(n).integers(0, 2, (10, n)).tolist()
    told = {'video_id': key, 'duration': n - 0.27, 'sampled_frames': n, 'vsum_onehot': people}
    return {name: value for name, value in (told | changes).items() if value is not None}


@pytest.fixture
def files(tmp_path):
    (tmp_path / 'blip').mkdir()
    for seed, (key, n) in enumerate((STEPS | {'v_of_another_split': 5}).items()):
        np.savez(tmp_path / 'blip' / f'{key}.npz', features=unit_rows(n, 4, seed).astype(np.float16))
    path = tmp_path / 'test_videoxum.json'
    path.write_text(json.dumps([entry(key, n) for key, n in STEPS.items()]))
    return path, tmp_path / 'blip'


def test_people_and_features_meet_by_id(files):
    path, folder = files
    dataset = datasets.read_dataset(path, features=[str(folder)])
    assert list(dataset.videos) == list(STEPS)
    video = dataset.videos['v_QOlSCBRmfWY']
    assert (video.n_frames, video.n_steps, video.fps) == (12, 12, 1.0)
    assert video.user_summary.tolist() == entry('', 12)['vsum_onehot']
    np.testing.assert_allclose(video.features, unit_rows(12, 4, 0), atol=1e-3)
    assert video.change_points[-1, 1] == 11
    told = '; '.join(dataset.notes)
    assert 'every step is a frame, one a second' in told
    assert 'left out: arrays of no video, v_of_another_split/features' in told
    alone = datasets.read_dataset(path, require_features=False)
    assert alone.videos['v_00Dk03Jr70M'].features is None
    with pytest.raises(InputError, match='expected features of each video in files of their own'):
        datasets.read_dataset(path)


def test_of_two_arrays_in_a_file_one_is_named(files):
    path, folder = files
    for key, n in STEPS.items():
        np.savez(folder / f'{key}.npz', vision=unit_rows(n, 4), text=unit_rows(1, 4))
    (folder / 'v_of_another_split.npz').unlink()
    with pytest.raises(InputError, match=r'found several: vision, text\. .*blip:NAME says which'):
        datasets.read_dataset(path, features=[str(folder)])
    dataset = datasets.read_dataset(path, features=[f'{folder}:vision'])
    np.testing.assert_array_equal(dataset.videos['v_00Dk03Jr70M'].features, unit_rows(9, 4))


@pytest.mark.parametrize(
    ('told', 'expected'),
    [
        ({}, '/: expected a list of videos with video_id and vsum_onehot, found a JSON dict'),
        ([entry(None, 5)], 'video 0 (counted from 0)/video_id: expected a name of its own, found none'),
        ([entry(['a'], 5)], "video 0 (counted from 0)/video_id: expected a name of its own, found ['a']"),
        ([entry('a', 5), entry('a', 5)], "found 'a' twice"),
        (
            [entry('a', 5, vsum_onehot=None)],
            'a/vsum_onehot: expected 0 and 1, [n_users, T], found no such key',
        ),
        ([entry('a', 5, vsum_onehot=[[0, 1], [1]])], 'found rows of different lengths'),
        ([entry('a', 5, vsum_onehot=[0, 1])], 'found shape (2,)'),
        ([entry('a', 2, vsum_onehot=[['yes', 'no']])], 'found others than numbers'),
        ([entry('a', 2, vsum_onehot=[[0, float('nan')]])], 'found nan (user 0, step 1)'),
        ([entry('a', 5, sampled_frames=6)], 'a/vsum_onehot: expected 6 steps (sampled_frames), found 5'),
    ],
)
def test_every_fault_is_a_sentence(tmp_path, told, expected):
    (tmp_path / 'x.json').write_text(json.dumps(told))
    _, (fault,) = datasets.check_file(tmp_path / 'x.json', require_features=False)
    assert expected in fault
    with pytest.raises(InputError, match=r'x\.json: '):
        datasets.read_dataset(tmp_path / 'x.json', require_features=False)
