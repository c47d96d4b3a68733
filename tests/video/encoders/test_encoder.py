import dataclasses
import inspect
import itertools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import threadpoolctl

pytest.importorskip('av')
pytest.importorskip('skimage')

from rendered import grey, scene, steady, write_video

from trsum_jax.errors import InputError
from trsum_jax.video import reading
from trsum_jax.video.encoders import loading
from trsum_jax.video.encoders.descriptor import descriptor
from trsum_jax.video.encoders.encoder import Encoder, encode_video, unit_rows
from trsum_jax.video.encoders.loading import load
from trsum_jax.video.reading import VideoReader, picture

UNEVEN = [0, 40, 500, 510, 520, 1700, 1750, 2000, 2499, 2501, 3333, 3400]


def levels(batch, clip=1, stride=1):
    """Features are the grey levels themselves, and each batch's size is checked."""

    def run(prepared):
        assert len(prepared) == batch
        return prepared.reshape(batch, clip).astype(np.float32)

    return Encoder('levels', batch, lambda picture: np.rint(picture.mean()), run, clip, stride)


def uneven(path):
    return write_video(path, [grey(40 + 16 * i) for i in range(12)], UNEVEN)


@pytest.mark.parametrize('n', [1, 4, 5, 8])
def test_batches_are_filled_up_and_the_filling_is_dropped(n):
    pictures = [grey(level) for level in range(n)]
    np.testing.assert_array_equal(levels(4).encode(pictures)[:, 0], np.arange(n))


@pytest.mark.parametrize(('batch', 'most'), [(6, 36), (40, 80)])
def test_pictures_are_asked_for_while_a_batch_runs_but_not_without_end(batch, most):
    asked, enough = 0, threading.Event()

    def given():
        nonlocal asked
        for level in range(240):
            asked += 1
            if asked == batch + 20:
                enough.set()
            yield np.array(float(level))

    def run(prepared):
        # The first batch runs until pictures of others are there.
        assert enough.wait(30)
        time.sleep(0.01)
        held.append(asked - prepared[0])
        return prepared[:, None]

    held = []
    rows = list(Encoder('e', batch, lambda picture: picture, run).batches(given()))
    np.testing.assert_array_equal(np.concatenate(rows)[:, 0], np.arange(240))
    # Those that run or wait; one batch more is on its way, and one being stacked.
    assert max(held) <= most + 2 * batch


def test_descriptor_is_an_encoder():
    pictures = [scene(seed) for seed in range(3)]
    encoder = load('descriptor')
    assert encoder.name == 'descriptor-1'
    np.testing.assert_array_equal(encoder.encode(pictures), [descriptor(picture) for picture in pictures])


def test_video_picture_by_picture(tmp_path):
    done = []
    with VideoReader(uneven(tmp_path / 'v.mkv')) as reader:
        picks, features = encode_video(reader, levels(4), progress=done.append)
    with VideoReader(tmp_path / 'v.mkv') as reader:
        expected = [(index, seconds) for index, seconds, _ in reader.sample(2.0)]
    assert list(zip(picks, done, strict=True)) == expected
    np.testing.assert_allclose(features[:, 0], 40 + 16 * picks, atol=3)
    assert picks.dtype == np.int64
    assert reader.n_frames == 12


@pytest.mark.parametrize('rate', [0.7, 2.0, 3.0, 1000.0])
@pytest.mark.parametrize(('clip', 'stride'), [(2, 1), (3, 1), (4, 2), (5, 3), (40, 1)])
def test_clips_surround_the_sampled_frames(rate, clip, stride, tmp_path):
    with VideoReader(uneven(tmp_path / 'v.mkv')) as reader:
        picks, features = encode_video(reader, levels(4, clip, stride), rate)
    with VideoReader(tmp_path / 'v.mkv') as reader:
        assert list(picks) == [index for index, _, _ in reader.sample(rate)]
    wanted = np.clip(picks[:, None] + (np.arange(clip) - clip // 2) * stride, 0, 11)
    np.testing.assert_allclose(features, 40 + 16 * wanted, atol=3)


@pytest.mark.parametrize('clip', [1, 3])
def test_the_same_bits_in_the_same_order_as_one_after_the_other(clip, tmp_path):
    path = write_video(tmp_path / 'v.mkv', [scene(seed) for seed in range(12)], UNEVEN)
    seen = []
    calls = itertools.count()

    def prepare(rgb):
        time.sleep(0.02 * (next(calls) % 3 == 0))
        seen.append(rgb.mean())
        return descriptor(rgb)

    encoder = Encoder('e', 5, prepare, lambda rows: rows.reshape(5, -1), clip)
    with VideoReader(path) as reader:
        picks, features = encode_video(reader, encoder, 2.0)
    with VideoReader(path) as reader:
        pictures = [picture(frame) for _, _, frame in reader.frames()]
    around = np.clip(picks[:, None] + np.arange(clip) - clip // 2, 0, 11)
    expected = [np.concatenate([descriptor(pictures[i]) for i in row]) for row in around]
    np.testing.assert_array_equal(features, expected)
    assert seen == [pictures[i].mean() for i in (picks if clip == 1 else range(12))]


@pytest.mark.parametrize('clip', [1, 3])
def test_reading_waits_for_what_is_not_yet_prepared(clip, tmp_path, monkeypatch):
    taken = 0
    most = []

    def counted(frame):
        nonlocal taken
        taken += 1
        return picture(frame)

    def prepare(rgb):
        time.sleep(0.005)
        most.append(taken - len(most))
        return rgb.mean()

    monkeypatch.setattr(reading, 'picture', counted)
    encoder = Encoder('slow', 4, prepare, lambda rows: rows.reshape(4, -1), clip)
    with VideoReader(steady(tmp_path / 'v.mp4', 60, 10)) as reader:
        encode_video(reader, encoder, 10.0)
    assert len(most) == 60
    assert 1 < max(most) <= 4


@pytest.mark.parametrize('error', [InputError, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize('place', ['prepare', 'run', 'progress', 'reading'])
def test_what_goes_wrong_is_raised_and_no_thread_stays(error, place, tmp_path, monkeypatch):
    calls = []

    def failing(at, value=None):
        calls.append(at)
        if at == place and calls.count(at) == 7:
            # As on a busy machine: meanwhile the other threads go as far as they may.
            time.sleep(0.1)
            raise error(place)
        return value

    monkeypatch.setattr(reading, 'picture', lambda frame: failing('reading', picture(frame)))
    encoder = Encoder(
        'e', 1, lambda rgb: failing('prepare', rgb.mean()), lambda rows: failing('run', rows[:, None])
    )
    threads = threading.active_count()
    with (
        VideoReader(steady(tmp_path / 'v.mp4', 60, 10)) as reader,
        pytest.raises(error, match=place),
    ):
        encode_video(reader, encoder, 10.0, progress=lambda _: failing('progress'))
    assert threading.active_count() == threads
    # Of 60: what was on its way is still prepared, 3 pictures, and up to 33 batches of one where they run.
    assert calls.count('prepare') <= 7 + 3 + (33 if place == 'run' else 0)


@pytest.mark.parametrize('threads', [1, 2, 4])
def test_features_do_not_depend_on_the_number_of_cores(threads, tmp_path):
    # 854 is no multiple of what BLAS takes at once: its threads share such a picture out at other places.
    path = write_video(
        tmp_path / 'v.mkv', [scene(seed, height=480, width=854) for seed in range(3)], range(3)
    )
    encoder = load('descriptor')
    with threadpoolctl.threadpool_limits(threads, 'blas'), VideoReader(path) as reader:
        features = encode_video(reader, encoder, 1000.0)[1]
    with threadpoolctl.threadpool_limits(1, 'blas'), VideoReader(path) as reader:
        expected = encoder.encode([rgb for _, _, rgb in reader.sample(1000.0)])
    np.testing.assert_array_equal(features, expected)


def test_clips_given_as_arrays():
    clips = np.stack([[grey(1), grey(2)], [grey(3), grey(4)], [grey(5), grey(6)]])
    np.testing.assert_array_equal(levels(2, clip=2).encode(clips), [[1, 2], [3, 4], [5, 6]])


def test_features_that_are_no_numbers_are_refused(tmp_path):
    def run(prepared):
        return np.where(prepared[:, None] > 60, np.nan, 1.0)

    broken = dataclasses.replace(levels(4), run=run)
    with (
        VideoReader(steady(tmp_path / 'v.mp4', 60, 10)) as reader,
        pytest.raises(
            InputError,
            match=r'v\.mp4: expected finite features, found NaN or .* frame 25 \(second 2\.50\) from levels',
        ),
    ):
        encode_video(reader, broken)


def test_rows_of_length_one():
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [1, 0]])


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('clip', {}, '--encoder=clip: expected one of descriptor, googlenet, efficientnet_lite0, onnx'),
        (
            'descriptor',
            {'weights': 'a.pth'},
            '--weights is an option of --encoder=googlenet or efficientnet_lite0, found with',
        ),
        ('descriptor', {'model': 'a.onnx'}, '--onnx is an option of --encoder=onnx, found with'),
        (
            'googlenet',
            {'clip': 3},
            '--onnx_clip is an option of --encoder=onnx, found with --encoder=googlenet',
        ),
    ],
)
def test_options_of_another_encoder(name, options, message):
    with pytest.raises(InputError, match=message):
        load(name, **options)


def test_every_option_of_an_encoder_is_a_flag():
    pytest.importorskip('platformdirs')
    pytest.importorskip('onnxruntime')
    from trsum_jax.video.encoders import efficientnet, googlenet, onnx

    alike = (googlenet.load_googlenet, efficientnet.load_efficientnet_lite0)
    wanted = {
        ('googlenet or efficientnet_lite0', name) for f in alike for name in inspect.signature(f).parameters
    }
    wanted |= {('onnx', name) for name in inspect.signature(onnx.load_onnx).parameters}
    assert set(loading._FLAGS.values()) == wanted


@pytest.mark.parametrize(
    ('name', 'package', 'extra'),
    [
        ('descriptor', 'skimage', 'video'),
        ('googlenet', 'platformdirs', 'video'),
        ('onnx', 'onnxruntime', 'onnx'),
    ],
)
def test_a_package_that_is_missing_is_named(name, package, extra):
    program = (
        f'import sys; sys.modules[{package!r}] = None\n'
        'from trsum_jax.errors import InputError\n'
        'from trsum_jax.video.encoders.loading import load\n'
        f'try: load({name!r})\nexcept InputError as error: print(error)'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=False)
    assert f'package {package}, which is not installed; run: pip install "trsum_jax[{extra}]"' in done.stdout
