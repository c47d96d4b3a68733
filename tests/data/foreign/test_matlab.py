"""MATLAB's files of TVSum and SumMe, of v5 and v7.3, as these datasets distribute them."""

import h5py
import numpy as np
import pytest
import scipy.io
from feature_files import unit_rows, write_raw

from trsum_jax.data import annotations, datasets
from trsum_jax.data.foreign import matlab, matlab_process
from trsum_jax.data.stored import bounds
from trsum_jax.data.stored.joining import Steps
from trsum_jax.errors import InputError
from trsum_jax.importing import import_arrays

# As in SumMe: not 0 is chosen, the number being that of the segment.
CHOSEN = {
    'Air_Force_One': np.array([[0, 2, 2, 0, 1], [1, 1, 0, 0, 0]]),
    'Bike Polo': np.array([[0, 0, 0, 3], [4, 0, 0, 0], [0, 0, 1, 1]]),
}
RATINGS = {
    '-esJrBWj2d8': np.array([[1, 2, 3], [5, 5, 1]]),
    'AwmHb44_ouw': np.array([[2, 2, 3, 3], [1, 1, 4, 1]]),
}


def v5_of_summe(path, users, **more):
    """GT/NAME.mat: a column for each user."""
    n_users, n_frames = users.shape
    ids, segments = np.empty((1, n_users), object), np.empty((1, n_users), object)
    for i in range(n_users):
        ids[0, i], segments[0, i] = f'user{i}', np.array([[0.0, 1.5], [4.0, 6.0]])
    scipy.io.savemat(path, {
        'all_userIDs': ids, 'segments': segments, 'nFrames': n_frames, 'video_duration': n_frames / 25.0,
        'FPS': 25.0, 'gt_score': users.mean(axis=0)[:, None], 'user_score': users.T.astype(float), **more,
    }, do_compression=True)  # fmt: skip


def v5_of_tvsum(path):
    """One struct array, a row for each video."""
    table = np.empty(
        (1, len(RATINGS)), [(name, object) for name in ('video', 'category', 'user_anno', 'nframes')]
    )
    for i, (name, users) in enumerate(RATINGS.items()):
        table[0, i] = name, 'VT', users.T.astype(float), users.shape[1]
    scipy.io.savemat(path, {'tvsum50': table})


def matlabs_header(path):
    text = b'MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Wed Mar 25 2015 HDF5 schema 1.00 .'
    with path.open('r+b') as file:
        file.write(text.ljust(124) + b'\x00\x02IM')


def v73_of_summe(path, users):
    """What MATLAB has as [frames, users] stands in the file as [users, frames]."""
    with h5py.File(path, 'w', userblock_size=512) as file:
        file['user_score'] = users.astype(float)
        file['nFrames'], file['FPS'] = np.array([[users.shape[1]]], float), np.array([[25.0]])
    matlabs_header(path)


def v73_of_tvsum(path):
    """A column of references for each field; text is UTF-16, one character a row."""
    with h5py.File(path, 'w', userblock_size=512) as file:
        columns = {name: [] for name in ('video', 'category', 'user_anno', 'nframes')}
        for i, (name, users) in enumerate(RATINGS.items()):
            codes = (np.array([[ord(char)] for char in text], np.uint16) for text in (name, 'VT'))
            values = *codes, users.astype(float), np.array([[users.shape[1]]], float)
            for column, value in zip(columns, values, strict=True):
                columns[column].append(file.create_dataset(f'#refs#/{column}{i}', data=value).ref)
        for name, refs in columns.items():
            file.create_dataset(
                f'tvsum50/{name}', data=np.array(refs, h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype
            )
    matlabs_header(path)


def folder_of(tmp_path, *writers):
    folder = tmp_path / 'GT'
    folder.mkdir()
    for write, (name, users) in zip(writers, CHOSEN.items(), strict=True):
        write(folder / f'{name}.mat', users)
    return folder


def without_users(path, names=('Air Force One.mp4', 'Bike_Polo')):
    videos = {}
    for i, (name, users) in enumerate(zip(names, CHOSEN.values(), strict=True), 1):
        picks = np.arange(0, users.shape[1], 2)
        videos[f'video_{i}'] = {'features': unit_rows(len(picks)), 'picks': picks, 'n_frames': users.shape[1]}
        if name:
            videos[f'video_{i}']['video_name'] = name
    return write_raw(path, videos)


@pytest.mark.parametrize('writers', [(v5_of_summe, v5_of_summe), (v73_of_summe, v5_of_summe)])
def test_the_summaries_of_summes_folder(tmp_path, writers):
    folder = folder_of(tmp_path, *writers)
    dataset = datasets.read_dataset(without_users(tmp_path / 'x.h5'), user_scores=folder)
    for video, users in zip(dataset.videos.values(), CHOSEN.values(), strict=True):
        assert video.user_summary.dtype == np.float32 and video.user_scores is None
        np.testing.assert_array_equal(video.user_summary, users > 0)
    assert f'user summaries are taken from {folder}' in dataset.notes


@pytest.mark.parametrize('write', [v5_of_tvsum, v73_of_tvsum])
def test_the_ratings_of_tvsum(tmp_path, write):
    write(tmp_path / 'ydata-tvsum50.mat')
    # By any name: it is known by how it begins.
    path = (tmp_path / 'ydata-tvsum50.mat').rename(tmp_path / 'ratings')
    found = annotations.read_annotations(path)
    assert list(found) == list(RATINGS)
    for video, users in zip(found.values(), RATINGS.values(), strict=True):
        np.testing.assert_array_equal(video.user_scores, users)
        assert video.user_summary is None and video.n_frames == users.shape[1]


def test_arrays_join_what_summe_distributes(tmp_path):
    folder, rows = folder_of(tmp_path, v5_of_summe, v5_of_summe), tmp_path / 'rows'
    rows.mkdir()
    for name, users in CHOSEN.items():
        np.save(rows / f'{name}.npy', unit_rows(users.shape[1]))
    with pytest.raises(InputError, match='the annotations have no picks; give --picks, --rate or --every'):
        import_arrays(rows, folder, tmp_path / 'x.h5')
    import_arrays(rows, folder, tmp_path / 'x.h5', Steps(rate=25.0))
    dataset = datasets.read_dataset(tmp_path / 'x.h5')
    assert list(dataset.videos) == list(CHOSEN)
    for key, users in CHOSEN.items():
        video = dataset.videos[key]
        np.testing.assert_array_equal(video.user_summary, users > 0)
        assert video.fps == 25.0 and video.picks.tolist() == list(range(users.shape[1]))


def test_the_message_for_the_wrong_file_names_the_right_one(tmp_path):
    folder = folder_of(tmp_path, v5_of_summe, v73_of_summe)
    data = without_users(tmp_path / 'x.h5')
    nameless = without_users(tmp_path / 'y.h5', (None, None))
    cases = [
        (data, folder / 'Air_Force_One.mat', r'none of 1 of 2: video_2 \(Bike_Polo\).*give the folder GT'),
        (nameless, folder, r'none of 2 of 2: video_1, video_2.*SumMe has no order to go by'),
        (data, tmp_path, r'expected SumMe.s folder GT, .*found no such file in it; give its folder GT'),
    ]
    for dataset, given, words in cases:
        with pytest.raises(InputError, match=words):
            datasets.read_dataset(dataset, user_scores=given)
    v73_of_tvsum(folder / 'Excavators.mat')
    with pytest.raises(InputError, match=r'Excavators\.mat: .*found TVSum.s struct tvsum50; give that file'):
        annotations.read_annotations(folder)


def other_variables(path):
    scipy.io.savemat(path, {'a': np.eye(2), 'gt_score': [[1.0]]})


def other_variables_of_v73(path):
    with h5py.File(path, 'w') as file:
        file['a'], file['gt_score'] = np.eye(2), 1.0


def a_struct_of_others(path):
    scipy.io.savemat(path, {'tvsum50': {'video': 'x'}})


def cells(path):
    v5_of_summe(path, CHOSEN['Bike Polo'], user_score=np.array([[np.eye(2), 'x']], object))


def another_length(path):
    v5_of_summe(path, CHOSEN['Bike Polo'], nFrames=7)


def not_a_number(path):
    v5_of_summe(path, CHOSEN['Bike Polo'], user_score=np.full((4, 2), np.nan))


def cut_short(path):
    v5_of_tvsum(path)
    path.write_bytes(path.read_bytes()[:300])


def no_mat(path):
    path.write_bytes(b'id\tVT\t1,2\n' * 20)


BY_SCIPY = {
    other_variables: 'found the variables a, gt_score',
    a_struct_of_others: 'found tvsum50 without the fields video, user_anno, nframes',
    cells: 'found user_score other than numbers and text',
    cut_short: 'found one that cannot be read',
    no_mat: 'found one that cannot be read',
}
OF_FILES = {
    other_variables: r'the struct tvsum50 of .*, or user_score of .*, found the variables a, gt_score',
    other_variables_of_v73: r'the struct tvsum50 of .*, or user_score of .*, found the variables a, gt_score',
    another_length: r'x\.mat, user_score: expected \[users, 7\] .*, found shape \(4, 3\)',
    not_a_number: 'user_score: expected finite scores',
}


def test_what_cannot_be_used_is_one_sentence(tmp_path, monkeypatch):
    path = tmp_path / 'x.mat'
    for write, words in OF_FILES.items():
        write(path)
        with pytest.raises(InputError, match=words) as caught:
            matlab.read_mats([path])
        assert str(path) in str(caught.value) and '\n' not in str(caught.value), write
    # As the other process says it.
    for write, words in BY_SCIPY.items():
        write(path)
        fault, packed = matlab_process.answer(path)
        assert fault.startswith(words) and packed == b''
    # Zeros pack to a thousandth.
    v5_of_summe(path, np.zeros((3, 10_000)))
    assert matlab_process.answer(path)[0] is None
    monkeypatch.setattr(bounds, 'FREE_DATASET', 1000)
    assert matlab_process.answer(path)[0].startswith('found 240016 bytes of numbers in a file of')


def test_a_file_that_ends_its_reader_is_named(tmp_path, monkeypatch):
    good, bad = tmp_path / 'a.mat', tmp_path / 'b.mat'
    for path in (good, bad):
        v5_of_summe(path, CHOSEN['Bike Polo'])
    program = tmp_path / 'dies.py'
    program.write_text(
        'import os, sys\nfrom trsum_jax.data.foreign import matlab_process\n'
        'def parts(path):\n    if path.stem == "b": os.kill(os.getpid(), 11)\n    return whole(path)\n'
        'whole, matlab_process.parts = matlab_process.parts, parts\nmatlab_process.main()\n'
    )
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    monkeypatch.setattr(matlab_process, '__name__', 'dies')
    with pytest.raises(InputError, match=r'b\.mat: .* ends its reader \(Segmentation fault\): it is damaged'):
        matlab.read_mats([good, bad])
