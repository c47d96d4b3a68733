"""TVSum's per-user scores from the files as distributed."""

import dataclasses

import h5py
import numpy as np
import pytest
from feature_files import field_video, unit_rows, write_raw

from trsum_jax.data import annotations, datasets
from trsum_jax.errors import InputError

# Ids in no alphabetical order, as in TVSum: `video_k` is the k-th id of the file.
RATINGS = {
    'zz-Top_1': np.array([[1, 2, 3, 4], [5, 5, 1, 1], [1, 1, 1, 2]]),
    'AwmHb44': np.array([[2, 2, 3, 3, 4, 5], [1, 1, 1, 1, 1, 3], [3, 4, 3, 4, 3, 4]]),
}


def write_tsv(path):
    lines = [
        f'{video}\tVT\t{",".join(map(str, row))}'
        for video, users in RATINGS.items()
        for row in users.tolist()
    ]
    path.write_text('\n'.join(lines) + '\n')
    return path


def write_mat(path, transposed=False):
    """MATLAB v7.3's layout: a group of fields, each an array of references to the values."""
    with h5py.File(path, 'w', userblock_size=512) as file:
        table = file.create_group('tvsum50')
        fields = {name: [] for name in ('video', 'category', 'nframes', 'user_anno')}
        for i, (video, users) in enumerate(RATINGS.items()):
            values = {
                'video': np.array([[ord(char)] for char in video], np.uint16),
                'category': np.array([[ord(char)] for char in 'VT'], np.uint16),
                'nframes': np.array([[users.shape[1]]], np.float64),
                'user_anno': (users.T if transposed else users).astype(np.float64),
            }
            for name, value in values.items():
                fields[name].append(file.create_dataset(f'#refs#/{name}{i}', data=value).ref)
        for name, refs in fields.items():
            table.create_dataset(name, data=np.array(refs, h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype)
    return path


def rated_file(path, lengths=(4, 6), **names):
    videos = {}
    for i, n_frames in enumerate(lengths, start=1):
        key = f'video_{i}'
        picks = np.arange(0, n_frames, 2)
        videos[key] = {'features': unit_rows(len(picks)), 'picks': picks, 'n_frames': n_frames}
        if key in names:
            videos[key]['video_name'] = names[key]
    return write_raw(path, videos)


@pytest.mark.parametrize('kind', ['tsv', 'mat', 'transposed mat'])
def test_user_scores_from_tvsums_files(tmp_path, kind):
    suffix = kind.rsplit(maxsplit=1)[-1]
    path = tmp_path / f'ydata.{suffix}'
    scores = write_tsv(path) if suffix == 'tsv' else write_mat(path, transposed=kind != 'mat')
    dataset = datasets.read_dataset(rated_file(tmp_path / 'x.h5'), user_scores=scores)
    for video, ratings in zip(dataset.videos.values(), RATINGS.values(), strict=True):
        assert video.user_scores.dtype == np.float32
        np.testing.assert_array_equal(video.user_scores, ratings)


def test_user_scores_by_name_where_the_file_has_names(tmp_path):
    swapped = rated_file(tmp_path / 'x.h5', (6, 4), video_1='AwmHb44', video_2='zz-Top_1')
    dataset = datasets.read_dataset(swapped, user_scores=write_tsv(tmp_path / 'y.tsv'))
    np.testing.assert_array_equal(dataset.videos['video_1'].user_scores, RATINGS['AwmHb44'])


@pytest.mark.parametrize(
    'names',
    [
        ('AwmHb44.mp4', 'zz-Top_1.webm'),
        ('AwmHb44.MP4', b'videos/tvsum/zz-Top_1.mp4'),
        ('C:\\videos\\AwmHb44.mpeg', ' zz-Top_1 '),
        ('AwmHb44', 'zz-Top_1.3gp'),
    ],
)
@pytest.mark.parametrize('kind', ['tsv', 'mat'])
def test_a_folder_and_a_suffix_are_no_part_of_a_name(tmp_path, names, kind):
    swapped = rated_file(tmp_path / 'x.h5', (6, 4), video_1=names[0], video_2=names[1])
    scores = (write_mat if kind == 'mat' else write_tsv)(tmp_path / f'y.{kind}')
    dataset = datasets.read_dataset(swapped, user_scores=scores)
    np.testing.assert_array_equal(dataset.videos['video_1'].user_scores, RATINGS['AwmHb44'])
    np.testing.assert_array_equal(dataset.videos['video_2'].user_scores, RATINGS['zz-Top_1'])
    assert not any('position' in note for note in dataset.notes)


def test_the_score_file_may_have_suffixes_and_the_group_the_name(tmp_path):
    rows = [f'{video}.mp4\tVT\t{",".join(map(str, range(n)))}' for video, n in (('b', 4), ('a.x', 6))]
    scores = tmp_path / 'y.tsv'
    scores.write_text('\n'.join(rows))
    picks = {'features': unit_rows(2), 'picks': np.array([0, 2])}
    path = write_raw(tmp_path / 'x.h5', {'a.x': picks | {'n_frames': 6}, 'b': picks | {'n_frames': 4}})
    with pytest.raises(InputError, match=r'none of 1 of 2: a\.x'):
        # a.x loses its own end, a.x.mp4 only the suffix: not the same name for certain.
        datasets.read_dataset(path, user_scores=scores)
    path = write_raw(path, {'a.x.mkv': picks | {'n_frames': 6}, 'b': picks | {'n_frames': 4}})
    videos = datasets.read_dataset(path, user_scores=scores).videos
    assert [video.user_scores.shape[1] for video in videos.values()] == [6, 4]


def test_by_position_only_where_no_video_has_a_name_and_said(tmp_path):
    scores = write_tsv(tmp_path / 'y.tsv')
    for names in ({}, {'video_1': 'video_1', 'video_2': ''}):
        dataset = datasets.read_dataset(rated_file(tmp_path / 'a.h5', **names), user_scores=scores)
        np.testing.assert_array_equal(dataset.videos['video_1'].user_scores, RATINGS['zz-Top_1'])
        assert any('by position' in note for note in dataset.notes)
    video = {'features': unit_rows(2), 'picks': np.array([0, 2]), 'n_frames': 6}
    dataset = datasets.read_dataset(write_raw(tmp_path / 'c.h5', {'video_2 ': video}), user_scores=scores)
    np.testing.assert_array_equal(dataset.videos['video_2 '].user_scores, RATINGS['AwmHb44'])
    with pytest.raises(InputError, match=r'expected scores of  .* as video_1 to video_2, found none'):
        datasets.read_dataset(write_raw(tmp_path / 'c.h5', {' ': video}), user_scores=scores)
    for names, missing in [
        ({'video_1': 'zz-Top_1.mp4', 'video_2': 'holiday.mp4'}, r'1 of 2: video_2 \(holiday'),
        ({'video_1': 'zz-Top_1.mp4'}, '1 of 2: video_2'),
        ({'video_1': 'holiday.mp4', 'video_2': 'party.mp4'}, r'2 of 2: video_1 \(holiday'),
    ]:
        path = rated_file(tmp_path / 'b.h5', **names)
        with pytest.raises(InputError, match=f'none of {missing}.*only where no video has a name'):
            datasets.read_dataset(path, user_scores=scores)


def test_one_name_with_two_suffixes_is_nobodys(tmp_path):
    scores = tmp_path / 'y.tsv'
    scores.write_text('a.mp4\tVT\t1,2,3,4\na.mkv\tVT\t4,3,2,1\n')
    with pytest.raises(InputError, match='none of 1 of 1'):
        datasets.read_dataset(rated_file(tmp_path / 'x.h5', (4,), video_1='a'), user_scores=scores)
    dataset = datasets.read_dataset(rated_file(tmp_path / 'x.h5', (4,), video_1='a.mkv'), user_scores=scores)
    np.testing.assert_array_equal(dataset.videos['video_1'].user_scores, [[4, 3, 2, 1]])


def test_references_that_multiply(tmp_path):
    path = write_mat(tmp_path / 'y.mat')
    with h5py.File(path, 'r+') as file:
        file['tvsum50/user_anno'][1, 0] = file['tvsum50/user_anno'][0, 0]
    with pytest.raises(InputError, match='one user_anno for two videos'):
        annotations.read_annotations(path)


def test_real_scores_written_as_a_tsv_come_back(shared, tmp_path):
    path = shared / 'data' / 'tvsum_annotations.h5'
    known = datasets.read_dataset(path, require_features=False)
    three = [known.videos[f'video_{i}'] for i in (1, 2, 3)]
    with (tmp_path / 'ydata-anno.tsv').open('w') as file:
        for video in three:
            for row in video.user_scores.astype(int):
                file.write(f'{video.name}\tVT\t{",".join(map(str, row))}\n')
    bare = [dataclasses.replace(video, user_scores=None, name=None) for video in three]
    datasets.write_dataset(tmp_path / 'x.h5', bare)
    merged = datasets.read_dataset(
        tmp_path / 'x.h5', require_features=False, user_scores=tmp_path / 'ydata-anno.tsv'
    )
    for video in three:
        np.testing.assert_array_equal(merged.videos[video.key].user_scores, video.user_scores)


def test_user_scores_that_do_not_fit(tmp_path):
    scores = write_tsv(tmp_path / 'ydata-anno.tsv')
    with pytest.raises(InputError, match=r'expected 5 scores a user for video_2.*found 6 under AwmHb44'):
        datasets.read_dataset(rated_file(tmp_path / 'a.h5', (4, 5)), user_scores=scores)
    with pytest.raises(InputError, match=r'scores of video_3 of .*found none'):
        datasets.read_dataset(rated_file(tmp_path / 'b.h5', (4, 6, 6)), user_scores=scores)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.tsv', 'id\tVT\n', 'line 1: expected three fields'),
        ('a.tsv', 'id\tVT\t1,2\nid\tVT\t1,x\n', "line 2: expected scores divided by commas.*'x'"),
        ('a.tsv', 'id\tVT\t1,2\nid\tVT\t1,2,3\n', 'line 2: expected 2 scores as in .*found 3'),
        ('a.tsv', 'id\tVT\t1,nan\n', 'line 1: expected finite'),
        ('a.tsv', '\n', 'at least one video'),
        (
            'a.mat',
            'MATLAB 5.0 MAT-file',
            r'MATLAB file \(v5 or v7\.3\) with .*, found one that cannot be read',
        ),
    ],
)
def test_score_files_that_are_wrong(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        annotations.read_annotations(path)
    assert str(path) in str(caught.value)


def test_mat_files_that_are_wrong(tmp_path):
    with pytest.raises(InputError, match='no such file'):
        annotations.read_annotations(tmp_path / 'ydata-tvsum50.mat')
    with pytest.raises(InputError, match='struct tvsum50'):
        annotations.read_annotations(write_raw(tmp_path / 'other.mat', {'video_1': field_video()}))
    path = write_mat(tmp_path / 'bad.mat')
    with h5py.File(path, 'r+') as file:
        file['#refs#/nframes1'][...] = 7
    with pytest.raises(InputError, match=r'AwmHb44, user_anno: expected \[users, 7\].*\(3, 6\)'):
        annotations.read_annotations(path)


def test_two_videos_do_not_share_ones_ratings(tmp_path):
    name, users = next(iter(RATINGS.items()))
    path = rated_file(tmp_path / 'x.h5', (users.shape[1],) * 2, video_1=f'{name}.mp4', video_2=f'{name}.mov')
    with pytest.raises(InputError, match=r'found one name for video_1 \(.*\.mp4\) and video_2 \(.*\.mov\)'):
        datasets.read_dataset(path, user_scores=write_tsv(tmp_path / 'y.tsv'))
