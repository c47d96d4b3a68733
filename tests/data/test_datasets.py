"""Feature files: the field's layout in all its variants, merged and written."""

import dataclasses

import h5py
import numpy as np
import pytest
from feature_files import N_FRAMES, N_STEPS, WIDTH, field_video, unit_rows, write_raw

from trsum_jax.data import datasets
from trsum_jax.data.records import Dataset, Video
from trsum_jax.errors import InputError


def assert_same_video(found, expected):
    for field in dataclasses.fields(Video):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b, field.name


def test_reads_the_fields_layout_in_the_order_of_numbers(tmp_path):
    keys = ['video_10', 'video_2', 'video_1']
    path = write_raw(tmp_path / 'x.h5', {key: field_video(i) for i, key in enumerate(keys)})
    dataset = datasets.read_dataset(path)
    assert list(dataset.videos) == ['video_1', 'video_2', 'video_10']
    assert (dataset.notes, dataset.synthetic, dataset.encoder) == ((), False, None)
    video, raw = dataset.videos['video_10'], field_video(0)
    assert (video.key, video.n_frames, video.n_steps, video.name) == ('video_10', N_FRAMES, N_STEPS, None)
    for name, dtype in [
        ('features', np.float32), ('picks', np.int64), ('change_points', np.int64),
        ('user_summary', np.float32), ('gtscore', np.float32),
    ]:  # fmt: skip
        assert getattr(video, name).dtype == dtype
        np.testing.assert_array_equal(getattr(video, name), raw[name])


def test_types_do_not_matter(tmp_path):
    raw = field_video()
    variant = {name: np.asarray(value, np.float64) for name, value in raw.items()}
    variant |= {'n_frames': np.array([N_FRAMES], np.uint16), 'user_summary': raw['user_summary'].astype(bool)}
    write_raw(tmp_path / 'a.h5', {'video_1': {**raw, 'video_name': b'Air Force'}})
    write_raw(tmp_path / 'b.h5', {'video_1': {**variant, 'video_name': 'Air Force'}})
    a, b = (datasets.read_dataset(tmp_path / f'{name}.h5').videos['video_1'] for name in 'ab')
    assert a.name == 'Air Force'
    assert a.id == 'video_1 (Air Force)'
    assert_same_video(b, a)


def test_features_alone_are_enough(tmp_path):
    features = np.repeat(np.eye(3, dtype=np.float32), [10, 20, 10], axis=0)
    path = write_raw(tmp_path / 'x.h5', {f'clip {i}': {'features': features} for i in range(2)})
    dataset = datasets.read_dataset(path)
    video = dataset.videos['clip 1']
    np.testing.assert_array_equal(video.picks, 15 * np.arange(40))
    assert video.n_frames == 600
    np.testing.assert_array_equal(video.change_points, [[0, 149], [150, 449], [450, 599]])
    assert video.user_summary is None
    picks, users, shots = dataset.notes
    assert 'picks are missing in 2 of 2' in picks
    assert 'no F-score' in users
    assert 'change_points are missing in 2 of 2' in shots


def test_shots_from_elsewhere_than_the_file(tmp_path):
    raw = field_video() | {'features': np.repeat(np.eye(2, WIDTH, dtype=np.float32), 3, axis=0)}
    path = write_raw(tmp_path / 'x.h5', {'video_1': raw})
    uniform = datasets.read_dataset(path, shots='uniform')
    np.testing.assert_array_equal(uniform.videos['video_1'].change_points, [[0, 82]])
    kts = datasets.read_dataset(path, shots='kts')
    np.testing.assert_array_equal(kts.videos['video_1'].change_points[[0, -1], [0, 1]], [0, 82])
    assert all('not used' in dataset.notes[0] for dataset in (uniform, kts))
    with pytest.raises(InputError, match='uniform'):
        datasets.read_dataset(path, shots='none')


def test_norms_far_from_one_are_noted(tmp_path):
    raw = field_video()
    path = write_raw(tmp_path / 'x.h5', {'video_1': raw | {'features': 7 * raw['features']}})
    (note,) = datasets.read_dataset(path).notes
    assert 'mean L2 norm is 7' in note


def test_real_annotations(shared):
    summe = datasets.read_dataset(shared / 'data' / 'summe_annotations.h5', require_features=False)
    assert list(summe.videos) == [f'video_{i}' for i in range(1, 26)]
    assert summe.videos['video_1'].name == 'Air_Force_One'
    assert summe.videos['video_1'].user_summary.shape == (15, 4494)
    assert sum(len(video.user_summary) for video in summe.videos.values()) == 390
    tvsum = datasets.read_dataset(shared / 'data' / 'tvsum_annotations.h5', require_features=False)
    assert len(tvsum.videos) == 50
    assert all(v.change_points is None and v.user_scores.shape[0] == 20 for v in tvsum.videos.values())
    with pytest.raises(InputError, match=r'video_1/features.*49 more.*trsum_jax\.validate'):
        datasets.read_dataset(shared / 'data' / 'tvsum_annotations.h5')
    with pytest.raises(InputError, match='features to compute shots by KTS'):
        datasets.read_dataset(shared / 'data' / 'tvsum_annotations.h5', require_features=False, shots='kts')


def some_video(key='video_1', **changes):
    n_frames = 90
    return dataclasses.replace(
        Video(
            key=key,
            picks=np.arange(0, n_frames, 15),
            n_frames=n_frames,
            features=unit_rows(),
            change_points=np.array([[0, 44], [45, 89]]),
            user_summary=np.eye(2, n_frames, dtype=np.float32),
            user_scores=np.full((3, n_frames), 2.5, np.float32),
            gtscore=np.linspace(0, 1, 6, dtype=np.float32),
            name='Größe',
            fps=29.97,
            frame_times=np.arange(n_frames) / 29.97,
        ),
        **changes,
    )


def test_what_is_written_reads_back_equal(tmp_path):
    bare = Video(key='video_12', picks=np.arange(0, 90, 15), n_frames=90, features=unit_rows(seed=3))
    path = tmp_path / 'new' / 'x.h5'
    datasets.write_dataset(
        path, iter([bare, some_video('video_3')]), synthetic=True, encoder='e1', attributes={'kind': 'null'}
    )
    dataset = datasets.read_dataset(path)
    assert list(dataset.videos) == ['video_3', 'video_12']
    assert (dataset.synthetic, dataset.encoder) == (True, 'e1')
    assert 'synthetic' in dataset.notes[0]
    assert_same_video(dataset.videos['video_3'], some_video('video_3'))
    computed = dataset.videos['video_12'].change_points
    assert_same_video(dataset.videos['video_12'], dataclasses.replace(bare, change_points=computed))
    with h5py.File(path) as file:
        assert file.attrs['kind'] == 'null'
        assert file['video_3/n_steps'][()] == 6
        np.testing.assert_array_equal(file['video_3/n_frame_per_seg'], [45, 45])
        assert 'gtscore' not in file['video_12']


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / 'x.h5'
    datasets.write_dataset(path, [some_video()])
    before = path.read_bytes()

    def videos():
        yield some_video()
        raise RuntimeError('decoder')

    with pytest.raises(RuntimeError, match='decoder'):
        datasets.write_dataset(path, videos())
    with pytest.raises(InputError, match='used once, found video_1'):
        datasets.write_dataset(path, [some_video(), some_video()])
    with pytest.raises(InputError, match='a/b'):
        datasets.write_dataset(path, [some_video('a/b')])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_merge_names_extras_by_their_file():
    main = Dataset('in/tvsum.h5', {'video_1': some_video()}, encoder='e')
    extra = Dataset(
        'in/ovp.h5', {'video_1': some_video(name='other')}, notes=('a note',), synthetic=True, encoder='e'
    )
    both = datasets.merge(main, [extra])
    assert list(both.videos) == ['video_1', 'ovp/video_1']
    assert_same_video(both.videos['video_1'], some_video())
    assert_same_video(both.videos['ovp/video_1'], some_video('ovp/video_1', name='other'))
    assert (both.path, both.synthetic, both.notes) == ('in/tvsum.h5', True, ('ovp: a note',))
    foreign = dataclasses.replace(extra, encoder='f')
    assert 'another kind (encoder: f' in datasets.merge(main, [foreign]).notes[0]


def test_merge_refuses_equal_names_and_other_widths():
    main = Dataset('in/tvsum.h5', {'video_1': some_video()})
    extra = Dataset('in/ovp.h5', {'video_1': some_video()})
    with pytest.raises(InputError, match=r'elsewhere/tvsum\.h5: expected .*same name'):
        datasets.merge(main, [dataclasses.replace(main, path='elsewhere/tvsum.h5')])
    with pytest.raises(InputError, match='same name ovp'):
        datasets.merge(main, [extra, dataclasses.replace(extra, path='b/ovp.hdf5')])
    wide = Dataset('in/ovp.h5', {'video_1': some_video(features=unit_rows(width=7))})
    with pytest.raises(InputError, match=r'ovp\.h5: expected features of width 5.*found 7'):
        datasets.merge(main, [wide])
