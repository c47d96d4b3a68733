"""Mr. HiSum's file and TripleSumm's annotations: steps are frames, and one reference stands for people."""

import re

import h5py
import numpy as np
import pytest
from feature_files import N_FRAMES, field_video, hisum_video, one_reference, write_raw

from trsum_jax.data import datasets
from trsum_jax.errors import InputError

STEPS = {'video_1': 12, 'video_2': 9}


def hisum(tmp_path, **changes):
    videos = {key: hisum_video(n, seed=n) for key, n in STEPS.items()}
    videos['video_2'] = {k: v for k, v in (videos['video_2'] | changes).items() if v is not None}
    return write_raw(tmp_path / 'mr_hisum.h5', videos)


def test_mr_hisum_is_read_as_it_is(tmp_path):
    dataset = datasets.read_dataset(hisum(tmp_path))
    raw, video = hisum_video(12, seed=12), dataset.videos['video_1']
    assert (video.n_frames, video.n_steps, video.fps) == (12, 12, 1.0)
    np.testing.assert_array_equal(video.picks, np.arange(12))
    np.testing.assert_array_equal(video.change_points, [[0, 3], [4, 7], [8, 11]])
    np.testing.assert_array_equal(video.user_scores, raw['gtscore'][None])
    np.testing.assert_array_equal(video.user_summary, raw['gt_summary'][None])
    told = '; '.join(dataset.notes)
    for part in (
        'every step is taken for a frame',
        'half-open, [a, b)',
        'one rating (gtscore) and one summary',
    ):
        assert part in told


def test_the_other_name_of_the_summary(tmp_path):
    summary = hisum_video(9, seed=9)['gt_summary']
    path = hisum(tmp_path, gt_summary=None, gtsummary=summary)
    np.testing.assert_array_equal(datasets.read_dataset(path).videos['video_2'].user_summary, summary[None])


def test_triplesumms_annotations_are_inclusive_and_have_no_features(tmp_path):
    annotations = {key: one_reference(n, seed=n, half_open=False) for key, n in STEPS.items()}
    path = write_raw(tmp_path / 'mosu_gt.h5', annotations)
    dataset = datasets.read_dataset(path, require_features=False)
    video = dataset.videos['video_2']
    assert (video.n_frames, video.n_steps, video.features) == (9, 9, None)
    np.testing.assert_array_equal(video.change_points, [[0, 2], [3, 5], [6, 8]])
    np.testing.assert_array_equal(video.user_scores[0], annotations['video_2']['gt_score'])
    assert 'half-open' not in '; '.join(dataset.notes)
    with pytest.raises(InputError, match=r'/features: .*own are named by data\.features, or --features'):
        datasets.read_dataset(path)


def test_half_open_shots_of_the_fields_own_layout(tmp_path):
    raw = field_video()
    half_open = raw | {'change_points': raw['change_points'] + [0, 1]}
    found = datasets.read_dataset(write_raw(tmp_path / 'x.h5', {'video_1': half_open, 'video_2': half_open}))
    np.testing.assert_array_equal(found.videos['video_2'].change_points, raw['change_points'])
    assert any('half-open' in note for note in found.notes)
    # People are there: the file's own mean stays what it was.
    assert found.videos['video_1'].user_scores is None


def test_one_reference_by_steps_holds_until_the_next_step(tmp_path):
    raw = {name: value for name, value in field_video().items() if name != 'user_summary'}
    raw['gtsummary'] = np.array([0, 1, 0, 0, 1, 1])
    video = datasets.read_dataset(write_raw(tmp_path / 'x.h5', {'video_1': raw})).videos['video_1']
    for name, values in (('user_scores', raw['gtscore']), ('user_summary', raw['gtsummary'])):
        held = [values[frame // 15] for frame in range(N_FRAMES)]
        np.testing.assert_array_equal(getattr(video, name), [held])
    mixed = write_raw(tmp_path / 'y.h5', {'video_1': raw, 'video_2': field_video()})
    assert datasets.read_dataset(mixed).videos['video_1'].user_summary is None


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'features': None}, r'video_2/features: expected .*no such key'),
        ({'gtscore': np.zeros(8)}, 'video_2/gtscore: expected length 9 as in features, found 8'),
        ({'gt_summary': np.zeros(10)}, 'video_2/gt_summary: expected length 9 as in features, found 10'),
        ({'gtscore': np.full(9, np.nan)}, 'video_2/gtscore: expected finite numbers'),
        ({'gt_summary': np.full(9, 0.5)}, 'video_2/gt_summary: expected only 0 and 1, .*found 0.5'),
        (
            {'change_points': np.array([[0, 4], [4, 7]])},
            r'video_2/change_points: expected the last frame 8 .*found shot 1 \[4, 7\): leaves a gap',
        ),
        (
            {'change_points': np.array([[0, 90], [90, 135]])},
            r'video_2/change_points: expected the last frame 8 .*steps are the frames.*past the end',
        ),
        (
            {'user_summary': np.zeros((3, 135))},
            'video_2/user_summary: expected 9 frames a user .*steps are the frames.*found 135',
        ),
        ({'change_points': np.array([[0, 4], [5, 9]])}, r'shot 1 \[5, 9\): gap of 1 frames'),
    ],
)
def test_wrong_variants_are_a_sentence_each(tmp_path, changes, expected):
    _, (fault,) = datasets.check_file(hisum(tmp_path, **changes))
    assert re.search(expected, fault), fault


def test_a_file_of_arrays_says_where_it_belongs(tmp_path):
    path = write_raw(tmp_path / 'x.h5', {'video_1': hisum_video(9)})
    with h5py.File(path, 'r+') as file:
        file['aBcDeFgHiJk'] = np.zeros((9, 5))
    _, (fault,) = datasets.check_file(path)
    assert 'aBcDeFgHiJk: expected a group of one video, found an array; arrays by id go beside' in fault
