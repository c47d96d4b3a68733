"""`trsum import`: layouts that are in use, to feature files that `validate` accepts; real ones to the bit."""

import h5py
import numpy as np
import pytest
from feature_files import N_FRAMES, WIDTH, field_video, unit_rows, write_raw
from forked import run_all

from trsum_jax import importing
from trsum_jax.data import datasets
from trsum_jax.data.stored.joining import Steps
from trsum_jax.errors import InputError

TITLES = {'video_1': 'Jumps', 'video_2': 'Bike Polo', 'video_3': 'St Maarten Landing'}


@pytest.fixture
def people(tmp_path):
    """Annotations in the field's layout, without features, with names and frames per second."""
    videos = {}
    for seed, (key, title) in enumerate(TITLES.items()):
        parts = {name: value for name, value in field_video(seed).items() if name != 'features'}
        videos[key] = parts | {'video_name': title, 'fps': 30.0}
    return write_raw(tmp_path / 'people.h5', videos)


def features_of(steps):
    return {key: unit_rows(steps, seed=seed) for seed, key in enumerate(TITLES)}


def check(path, people, features, picks):
    """The file is sound, has the arrays as they were, and the people as they were."""
    dataset, faults = datasets.check_file(path)
    before, _ = datasets.check_file(people, require_features=False)
    assert faults == []
    assert list(dataset.videos) == list(features)
    for key, video in dataset.videos.items():
        np.testing.assert_array_equal(video.features, features[key])
        np.testing.assert_array_equal(video.picks, picks)
        for name in ('user_summary', 'change_points'):
            np.testing.assert_array_equal(getattr(video, name), getattr(before.videos[key], name))
        assert (video.n_frames, video.name, video.fps) == (N_FRAMES, TITLES[key], 30.0)


def test_files_of_titles_with_the_sampled_frames_beside_them(people, tmp_path):
    """As `TITLE_embeddings.npy` and `TITLE_samples.npy`, with a projection beside them."""
    features, samples = features_of(11), np.arange(0, N_FRAMES - 3, 7)[:11]
    folder = tmp_path / 'cls'
    folder.mkdir()
    for key, title in TITLES.items():
        np.save(folder / f'{title}_embeddings.npy', features[key])
        np.save(folder / f'{title}_samples.npy', samples)
        np.save(folder / f'{title}_reduced.npy', features[key][:, :2])
    output = tmp_path / 'out.h5'
    _, notes = importing.import_arrays(
        folder, people, output, Steps(picks='samples'), array='embeddings', encoder='dino'
    )
    check(output, people, features, samples)
    assert 'not used: arrays called reduced' in notes
    assert datasets.read_dataset(output).encoder == 'dino'


def test_a_folder_for_each_video_at_a_step_of_whole_frames(people, tmp_path):
    """As `ID/audio.npy` beside `ID/visual.npy`, one row every 3rd frame without the last part of one."""
    features = {key: rows.astype(np.float16) for key, rows in features_of(27).items()}
    for key, title in TITLES.items():
        (tmp_path / 'processed' / title).mkdir(parents=True)
        np.save(tmp_path / 'processed' / title / 'audio.npy', features[key])
        np.save(tmp_path / 'processed' / title / 'visual.npy', np.zeros((1, 2048)))
    output = tmp_path / 'out.h5'
    importing.import_arrays(tmp_path / 'processed', people, output, Steps(every='fit'), array='audio')
    check(output, people, features, 3 * np.arange(27))


def test_further_features_at_the_steps_of_the_annotations(people, tmp_path):
    """As a second encoder's `video_N` beside the field's own file: here `.npz`, there pickles."""
    features = features_of(6)
    (tmp_path / 'places').mkdir()
    for key, rows in features.items():
        np.savez(tmp_path / 'places' / f'{key}.npz', rows)
    output = tmp_path / 'out.h5'
    importing.import_arrays(tmp_path / 'places', people, output)
    check(output, people, features, 15 * np.arange(6))
    with h5py.File(people) as before, h5py.File(output) as after:
        np.testing.assert_array_equal(before['video_1/gtscore'], after['video_1/gtscore'])


@pytest.mark.parametrize('kind', ['h5', 'npz'])
def test_one_file_with_an_array_for_each_id(people, tmp_path, kind):
    features, path = features_of(6), tmp_path / f'all.{kind}'
    if kind == 'npz':
        np.savez(path, **features)
    else:
        with h5py.File(path, 'w') as file:
            for key, rows in features.items():
                file.create_dataset(key, data=rows, compression='gzip')
    importing.import_arrays(path, people, tmp_path / 'out.h5', Steps(rate=2.0))
    check(tmp_path / 'out.h5', people, features, 15 * np.arange(6))


def test_the_faults_of_all_videos_are_listed_and_nothing_is_written(people, tmp_path):
    output, features = tmp_path / 'out.h5', features_of(6)
    (tmp_path / 'in').mkdir()
    features['video_1'][2, 1] = np.nan
    features['video_3'] = unit_rows(6, WIDTH + 1)
    for key, rows in features.items():
        np.save(tmp_path / 'in' / f'{key}.npy', rows)
    np.save(tmp_path / 'in' / 'video_2.npy', np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / 'in' / 'video_1.npy', features['video_1'])
    with pytest.raises(InputError) as told:
        importing.import_arrays(tmp_path / 'in', people, output)
    lines = str(told.value).splitlines()
    assert lines[0].endswith('nothing was written:')
    assert 'video_1: features: expected finite numbers, found 1 NaN or infinite, first at (2, 1)' in lines[1]
    assert 'video_2.npy: expected an array of numbers in a .npy file, found Python objects' in lines[2]
    np.save(tmp_path / 'in' / 'video_1.npy', unit_rows(6))
    np.save(tmp_path / 'in' / 'video_2.npy', unit_rows(6))
    with pytest.raises(
        InputError, match=r'video_3: expected 5 features a row as in video_1 \(Jumps\), found 6'
    ):
        importing.import_arrays(tmp_path / 'in', people, output)
    assert not [path for path in tmp_path.iterdir() if 'out' in path.name]


def test_a_file_that_exists_stays_and_the_inputs_are_never_replaced(people, tmp_path):
    path = tmp_path / 'all.npz'
    np.savez(path, **features_of(6))
    importing.import_arrays(path, people, tmp_path / 'out.h5')
    before = people.read_bytes()
    with pytest.raises(InputError, match='exists already'):
        importing.import_arrays(path, people, tmp_path / 'out.h5')
    importing.import_arrays(path, people, tmp_path / 'out.h5', overwrite=True)
    with pytest.raises(InputError, match='found the file of --annotations'):
        importing.import_arrays(path, people, people, overwrite=True)
    assert people.read_bytes() == before


def test_faulty_annotations_are_told_as_such(people, tmp_path):
    with h5py.File(people, 'r+') as file:
        file['video_2/change_points'][0, 1] += 1
    np.savez(tmp_path / 'all.npz', **features_of(6))
    with pytest.raises(InputError, match=r'people\.h5: video_2/.*trsum validate --annotations_only'):
        importing.import_arrays(tmp_path / 'all.npz', people, tmp_path / 'out.h5')


def test_the_command(people, tmp_path):
    np.savez(tmp_path / 'all.npz', **features_of(6))
    line = ['trsum_jax.importing', str(tmp_path / 'all.npz'), str(people), f'--output={tmp_path}/out.h5']
    more = [
        ['--rate=2', '--every=3'],
        ['--every=0'],
        ['--every=often'],
        ['--rate=nan'],
        ['--fps=-1', '--rate=2'],
        ['--rate=2'],
    ]
    *faulty, sound = run_all([[*line, *one] for one in more])
    words = [
        'error: --rate and --every: expected one of them',
        'error: --every=0: expected a whole number of frames from 1, or fit',
        'error: --every=often: expected',
        'error: --rate: expected a number above 0, found nan',
        'error: --fps: expected a number above 0, found -1',
    ]
    for (code, out, told), expected in zip(faulty, words, strict=True):
        assert (code, out) == (1, '')
        assert told.startswith(expected)
        assert told.count('\n') == 1
    code, out, told = sound
    assert (code, told) == (0, '')
    assert 'video_2  Bike Polo' in out
    assert f'trsum validate {tmp_path}/out.h5' in out
    check(tmp_path / 'out.h5', people, features_of(6), 15 * np.arange(6))


def same_parts(ours, theirs):
    """The parts that differ; `gtscore` is by the annotations' own steps, and not carried over."""
    with h5py.File(ours) as one, h5py.File(theirs) as other:
        assert sorted(one) == sorted(other)
        for key in other:
            for name in set(other[key]) - {'gtscore'}:
                np.testing.assert_array_equal(
                    one[key][name][()], other[key][name][()], err_msg=f'{key}/{name}'
                )


def test_real_pictures_taken_apart_come_together_again(shared, tmp_path):
    """SumMe with DINO: titles and sampled frames; 14 of 25 videos."""
    real = shared / 'data' / 'real' / 'summe14_dino_vitb16_full768.h5'
    if not real.exists():
        pytest.skip(f'needs {real.name}')
    (tmp_path / 'cls').mkdir()
    with h5py.File(real) as file:
        for group in file.values():
            title = group['video_name'][()].decode()
            np.save(tmp_path / 'cls' / f'{title}_embeddings.npy', group['features'][()])
            np.save(tmp_path / 'cls' / f'{title}_samples.npy', group['picks'][()])
    people, output = shared / 'data' / 'summe_annotations.h5', tmp_path / 'out.h5'
    steps = Steps(picks='samples')
    importing.import_arrays(tmp_path / 'cls', people, output, steps, array='embeddings', partial=True)
    same_parts(output, real)


def test_real_sound_taken_apart_comes_together_again(shared, tmp_path):
    """TVSum's sound: a folder for each id, steps of whole numbers of frames, 11 to 15."""
    real = shared / 'data' / 'real' / 'tvsum50_audio384.h5'
    if not real.exists():
        pytest.skip(f'needs {real.name}')
    with h5py.File(real) as file:
        for group in file.values():
            folder = tmp_path / 'processed' / group['video_name'][()].decode()
            folder.mkdir(parents=True)
            np.save(folder / 'audio.npy', group['features'][()])
    people, output = shared / 'data' / 'tvsum_annotations.h5', tmp_path / 'out.h5'
    importing.import_arrays(tmp_path / 'processed', people, output, Steps(every='fit'))
    same_parts(output, real)
