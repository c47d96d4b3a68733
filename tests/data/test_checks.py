"""What is wrong with a feature file is named: file, key, expected, found."""

import re

import h5py
import numpy as np
import pytest
from feature_files import N_STEPS, field_video, unit_rows, write_raw

from trsum_jax.data import datasets
from trsum_jax.errors import InputError


def _with_value(name, index, value):
    array = np.array(field_video()[name])
    array[index] = value
    return array


# What is wrong, the faulty keys (None: removed), and what every expected fault must say.
FAULTS = {
    'no features': ({'features': None}, [r'features: expected .*no such key']),
    'NaN': (
        {'features': _with_value('features', (2, 3), np.nan)},
        [r'features: .*1 NaN or infinite.*\(2, 3\)'],
    ),
    'infinite': ({'features': _with_value('features', (0, 0), np.inf)}, ['features: .*NaN or infinite']),
    'too large for float32': ({'features': np.full((N_STEPS, 2), 1e300)}, ['features: .*12 NaN or infinite']),
    'one-dimensional': ({'features': np.zeros(N_STEPS, np.float32)}, [r'features: expected shape .*\(6,\)']),
    'text': ({'features': np.array([b'a', b'b'])}, ['features: expected numbers']),
    'no width': ({'features': np.zeros((N_STEPS, 0), np.float32)}, ['features: expected at least 1 feature']),
    'fewer features': (
        {'features': unit_rows(5)},
        [
            'n_steps: expected 5.*found 6',
            'picks: expected length 5.*found 6',
            'gtscore: .*5',
            'gtsummary: .*5',
        ],
    ),
    'other n_steps': ({'n_steps': 7}, ['n_steps: expected 6 as in features, found 7']),
    'no n_frames': (
        {'n_frames': None},
        ['n_frames: expected .*picks, change_points, user_summary.*no such key'],
    ),
    'n_frames of 0.5': ({'n_frames': 0.5}, ['n_frames: expected whole numbers']),
    'shorter n_frames': (
        {'n_frames': 70},
        [
            'picks: expected frames from 0 to 69, found 75',
            'change_points: .*69.*past the end',
            'user_summary: .*83',
        ],
    ),
    'no picks that fit': ({'picks': None, 'n_frames': 200}, ['picks: .*no such key.*14 steps', '.*', '.*']),
    'equal picks': (
        {'picks': _with_value('picks', 3, 30)},
        ['picks: expected increasing.*30 then 30 at step 3'],
    ),
    'falling picks': ({'picks': _with_value('picks', 3, 20)}, ['picks: expected increasing.*30 then 20']),
    'negative pick': (
        {'picks': _with_value('picks', 0, -1)},
        ['picks: expected frames from 0 to 82, found -1'],
    ),
    'pick past the end': ({'picks': _with_value('picks', 5, 83)}, ['picks: expected .* 0 to 82, found 83']),
    'two gtscores': ({'gtscore': np.zeros(2)}, ['gtscore: expected length 6.*found 2']),
    'users of other length': (
        {'user_summary': np.zeros((3, 80))},
        ['user_summary: expected 83 frames.*found 80'],
    ),
    'one user as a row': ({'user_summary': np.zeros(83)}, [r'user_summary: expected shape .*\(83,\)']),
    'no users': ({'user_summary': np.zeros((0, 83))}, ['user_summary: expected at least 1 user']),
    'not 0 or 1': (
        {'user_summary': np.eye(3, 83) / 2},
        ['only 0 and 1, found 0.5 .user 0, frame 0. and 2 more'],
    ),
    'scores of other length': (
        {'user_scores': np.ones((2, 84))},
        ['user_scores: expected 83 frames.*found 84'],
    ),
    'NaN score': ({'user_scores': np.full((1, 83), np.nan)}, ['user_scores: expected finite numbers']),
    'times of other length': ({'frame_times': np.arange(5.0)}, ['frame_times: expected length 83.*found 5']),
    'falling times': ({'frame_times': -np.arange(83.0)}, ['frame_times: .*fall at frame 1']),
    'fps 0': ({'fps': 0.0}, ['fps: expected above 0']),
    'overlap': (
        {'change_points': _with_value('change_points', (0, 1), 34), 'n_frame_per_seg': None},
        [r'change_points: expected shot 1 to start at 35.*shot 1 \[30, 60\]: overlap of 5 frames'],
    ),
    'gap': (
        {'change_points': _with_value('change_points', (1, 0), 40), 'n_frame_per_seg': None},
        [r'change_points: expected shot 1 to start at 30.*gap of 10 frames'],
    ),
    'gap at the start': (
        {'change_points': _with_value('change_points', (0, 0), 3), 'n_frame_per_seg': None},
        [r'change_points: .*gap before shot 0 \[3, 29\]'],
    ),
    'gap at the end': (
        {'change_points': _with_value('change_points', (2, 1), 70), 'n_frame_per_seg': None},
        ['change_points: expected the last frame 82.*gap at the end'],
    ),
    'exclusive ends': (
        {'change_points': np.array([[0, 30], [30, 61], [61, 83]]), 'n_frame_per_seg': None},
        ['overlap of 1 ', 'overlap of 1 ', 'last frame 82 .*past the end'],
    ),
    'unsorted shots': (
        {'change_points': np.array([[30, 60], [0, 29], [61, 82]]), 'n_frame_per_seg': None},
        [r'change_points: expected shots sorted by time, found shot 1 \[0, 29\] after shot 0 \[30, 60\]'],
    ),
    'backward shot': (
        {'change_points': np.array([[0, 30], [31, 30], [31, 82]]), 'n_frame_per_seg': None},
        ['change_points: expected first frame <= last frame, found shot 1'],
    ),
    'no shots': ({'change_points': np.zeros((0, 2), int)}, ['change_points: expected .*at least 1 shot']),
    'shots of three': (
        {'change_points': np.zeros((2, 3), int)},
        [r'change_points: expected shape .*\(2, 3\)'],
    ),
    'lengths that disagree': (
        {'n_frame_per_seg': np.array([30, 30, 23])},
        [r'n_frame_per_seg: expected 31 frames for shot 1 \[30, 60\], found 30'],
    ),
    'lengths of two shots': ({'n_frame_per_seg': np.array([30, 53])}, ['n_frame_per_seg: expected length 3']),
    '1e12 frames': (
        {'n_frames': 1e12, 'picks': None, 'change_points': None, 'user_summary': None},
        [r'n_frames: expected at most 10000000, found 1000000000000'],
    ),
    'numbers out of this world': (
        {'features': _with_value('features', (0, 0), 1e30), 'fps': 1e200},
        [r'features: expected numbers up to 1e\+12', r'fps: expected numbers up to 1e\+12'],
    ),
    'very wide': (
        {'features': np.zeros((N_STEPS, 131_073), np.float32)},
        [r'features: expected at most 131072 features a step, found shape \(6, 131073\)'],
    ),
    'very many users': (
        {'user_summary': np.zeros((1001, 83))},
        ['user_summary: expected at most 1000 users'],
    ),
    'more shots than a knapsack holds': (
        {
            'n_frames': 10_000_000,
            'user_summary': None,
            'n_frame_per_seg': None,
            'change_points': np.stack([np.arange(0, 10**7, 800), np.arange(799, 10**7, 800)], axis=1),
        },
        ['change_points: expected at most 10000 shots of 10000000 frames, found 12500'],
    ),
    'a name of a million letters': ({'video_name': 'x' * 10**6}, ['video_name: expected text.*1000000 char']),
    'one step': (
        {name: value[:1] for name, value in field_video().items() if name in ('features', 'picks', 'gtscore')}
        | {'n_steps': 1, 'gtsummary': None},
        ['features: expected at least 2 steps, found 1: the video is too short'],
    ),
}


@pytest.mark.parametrize('case', FAULTS)
def test_every_fault_is_named(tmp_path, case):
    changes, expected = FAULTS[case]
    raw = {name: value for name, value in (field_video() | changes).items() if value is not None}
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video(1), 'video_2': raw})
    dataset, faults = datasets.check_file(path)
    faults = [fault for fault in faults if 'expected width' not in fault]
    assert len(faults) == len(expected), faults
    for fault, pattern in zip(faults, expected, strict=True):
        assert re.search(rf'^video_2/.*{pattern}', fault), fault
    assert list(dataset.videos) == ['video_1']
    with pytest.raises(InputError, match=re.escape(f'{path}: {faults[0]}')):
        datasets.read_dataset(path)


def test_widths_that_differ(tmp_path):
    raw = field_video()
    videos = {f'video_{i}': raw for i in range(1, 4)}
    videos['video_2'] = raw | {'features': unit_rows(width=9)}
    _, faults = datasets.check_file(write_raw(tmp_path / 'x.h5', videos))
    assert faults == ['video_2/features: expected width 5 as in video_1, found 9']


def test_names_that_are_no_text_are_faults_and_names_of_videos_one_line(tmp_path):
    raw = field_video() | {'video_name': 'first\nsecond'}
    path = write_raw(tmp_path / 'x.h5', {'video_1': raw, b'video_\xff': raw, 'a\nb': raw, 'x' * 1001: raw})
    dataset, faults = datasets.check_file(path)
    assert len(faults) == 3
    assert all('expected a name that is plain text' in fault for fault in faults)
    assert any(r'video_\xff:' in fault for fault in faults)
    ''.join(faults).encode()
    assert dataset.videos['video_1'].name == r'first\nsecond'


def test_a_file_of_faults_is_not_read_to_its_end(tmp_path):
    path = write_raw(tmp_path / 'x.h5', {f'group {i}': {} for i in range(1200)})
    _, faults = datasets.check_file(path)
    assert 1000 <= len(faults) <= 1003
    assert 'more groups are not looked at' in faults[-1]
    shots = np.zeros((20_000, 2), int)
    path = write_raw(tmp_path / 'y.h5', {'video_1': field_video() | {'change_points': shots}})
    assert len(datasets.check_file(path)[1]) < 1010


def test_the_case_of_1e12_frames(shared):
    _, faults = datasets.check_file(shared / 'cases' / 'n_frames-bare-1e12.h5')
    assert faults == ['video_1/n_frames: expected at most 10000000, found 1000000000000']


def test_files_that_are_none(tmp_path):
    def message(path):
        with pytest.raises(InputError) as caught:
            datasets.read_dataset(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert 'no such file' in message(tmp_path / 'absent.h5')
    assert 'folder' in message(tmp_path)
    (tmp_path / 'text.h5').write_text('features')
    assert 'a file of another kind' in message(tmp_path / 'text.h5')
    (tmp_path / 'empty.h5').touch()
    assert 'empty file' in message(tmp_path / 'empty.h5')
    assert 'no videos' in message(write_raw(tmp_path / 'none.h5', {}))
    whole = write_raw(tmp_path / 'whole.h5', {'video_1': field_video()}).read_bytes()
    (tmp_path / 'cut.h5').write_bytes(whole[: len(whole) // 2])
    assert 'truncated' in message(tmp_path / 'cut.h5')
    with h5py.File(tmp_path / 'flat.h5', 'w') as file:
        file['features'] = unit_rows()
    assert 'features: expected a group of one video, found an array' in message(tmp_path / 'flat.h5')


def test_damage_within_a_file_is_a_fault(tmp_path):
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        for key in ('video_1', 'video_2'):
            group = file.create_group(key)
            group.create_dataset('features', data=np.tile(unit_rows(64), 20), compression='gzip')
        offset = file['video_2/features'].id.get_chunk_info(0).byte_offset
    data = bytearray((tmp_path / 'x.h5').read_bytes())
    data[offset : offset + 50] = bytes(50)
    (tmp_path / 'x.h5').write_bytes(data)
    dataset, faults = datasets.check_file(tmp_path / 'x.h5')
    assert list(dataset.videos) == ['video_1']
    assert len(faults) == 1
    assert faults[0].startswith('video_2/features: expected readable data')
