"""The command `python -m trsum_jax.validate`: every fault, exit codes."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from trsum_jax.data import datasets
from trsum_jax.data.records import Video
from trsum_jax.errors import InputError


def sound_file(path):
    video = Video(
        key='video_1',
        picks=np.arange(0, 60, 15),
        n_frames=60,
        features=np.eye(4, 8, dtype=np.float32),
        change_points=np.array([[0, 19], [20, 59]]),
        user_summary=np.eye(5, 60, dtype=np.float32),
    )
    datasets.write_dataset(path, [video, Video('video_2', video.picks, 60, video.features)])
    return path


def validate(*arguments):
    command = [sys.executable, '-m', 'trsum_jax.validate', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_sound_file_is_described(tmp_path):
    done = validate(sound_file(tmp_path / 'x.h5'))
    assert done.returncode == 0, done.stderr
    rows = {line.split('  ')[0]: line.split('  ')[-1].strip() for line in done.stdout.splitlines()}
    assert rows['videos'] == '2'
    assert rows['steps'] == '4; 8 in all'
    assert rows['feature width'] == '8'
    assert rows["one of the field's four"] == 'no'
    assert rows['shots'] == '2 (in 1 of 2 videos)'
    assert rows['users (user_summary)'] == '5 (in 1 of 2 videos)'
    assert 'note: user_summary is missing in 1 of 2 videos (video_2)' in done.stdout


def test_every_fault_of_every_file_is_listed(tmp_path):
    good, bad, text = sound_file(tmp_path / 'good.h5'), sound_file(tmp_path / 'bad.h5'), tmp_path / 'text.h5'
    text.write_text('no')
    with h5py.File(bad, 'r+') as file:
        file['video_1/features'][1, 2] = np.nan
        file['video_1/picks'][3] = 60
        file['video_2/n_steps'][...] = 9
        del file['video_2/features']
    done = validate(bad, good, text, tmp_path / 'absent.h5')
    assert done.returncode == 1
    assert done.stderr == ''
    assert f'{bad}: 4 faults' in done.stdout
    for fault in (
        'video_1/features: expected finite numbers, found 1 NaN or infinite, first at (1, 2)',
        'video_1/picks: expected frames from 0 to 59, found 60',
        'video_2/features: expected [n_steps, D] float32, found no such key',
        'video_2/n_steps: expected 4 as in picks, found 9',
    ):
        assert fault in done.stdout
    assert f'{good}: sound' in done.stdout
    assert f'{text}: 1 fault\n  expected an HDF5 file, found a file of another kind' in done.stdout
    assert 'found no such file' in done.stdout


def test_a_pointer_in_the_files_place_is_told(tmp_path):
    path = tmp_path / 'eccv16_dataset_summe_google_pool5.h5'
    # As the documents of git-lfs have it.
    path.write_text(f'version https://git-lfs.github.com/spec/v1\noid sha256:{"4d7a" * 16}\nsize 12345\n')
    with pytest.raises(
        InputError, match=r'found the pointer that Git LFS leaves in its place: .* trsum fetch'
    ):
        datasets.read_dataset(path)


def test_annotations_without_features(shared):
    path = shared / 'data' / 'summe_annotations.h5'
    done = validate('--annotations_only', path)
    assert done.returncode == 0
    assert '15 to 18' in done.stdout
    done = validate(path)
    assert done.returncode == 1
    assert done.stdout.count('/features: expected') == 25
    assert '--annotations_only' in done.stdout


def test_no_file_is_an_error():
    done = validate()
    assert done.returncode == 1
    assert done.stderr.startswith('error: expected at least one file')
