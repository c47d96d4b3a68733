import numpy as np
import pytest

pytest.importorskip('skimage')

from rendered import scene
from skimage import transform

from trsum_jax.video.encoders import descriptor as module
from trsum_jax.video.encoders.descriptor import descriptor

SEEDS = range(8)
PARTS = {'layout': (0, 192), 'colour': (192, 352), 'gradient': (352, 864), 'texture': (864, 1024)}


def distance(a, b):
    return float(np.linalg.norm(a - b))


def between_scenes():
    vectors = [descriptor(scene(seed, height=240, width=320)) for seed in SEEDS]
    return [distance(a, b) for i, a in enumerate(vectors) for b in vectors[:i]]


def test_width_length_and_repeatability():
    picture = scene(0, height=120, width=90)
    vector = descriptor(picture)
    assert vector.shape == (1024,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(vector, descriptor(picture.copy()))


def test_every_part_weighs_the_same():
    vector = descriptor(scene(1, height=240, width=320))
    squares = [np.sum(vector[start:stop] ** 2) for start, stop in PARTS.values()]
    np.testing.assert_allclose(squares, 0.25, atol=0.05)


@pytest.mark.parametrize('level', [0, 1, 119, 255])
def test_plain_frames(level):
    vector = descriptor(np.full((60, 80, 3), level, np.uint8))
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(vector[slice(*PARTS['gradient'])], 0, atol=1e-4)


def test_noise_on_black_is_still_black():
    rng = np.random.default_rng(0)
    noisy = descriptor(rng.integers(0, 3, (480, 640, 3), np.uint8))
    black = descriptor(np.zeros((480, 640, 3), np.uint8))
    white = descriptor(np.full((480, 640, 3), 255, np.uint8))
    assert distance(noisy, black) < 0.6 * distance(white, black)


@pytest.mark.parametrize('seed', SEEDS)
def test_same_picture_at_other_sizes(seed):
    large = scene(seed, height=960, width=1280)
    half = large.reshape(480, 2, 640, 2, 3).mean((1, 3)).round().astype(np.uint8)
    nearest = min(between_scenes())
    assert distance(descriptor(large), descriptor(half)) < 0.02
    assert distance(descriptor(large), descriptor(scene(seed, height=243, width=431))) < 0.5 * nearest


@pytest.mark.parametrize('seed', SEEDS)
def test_brightness_matters_less_than_the_scene(seed):
    picture = scene(seed, height=240, width=320)
    darker = (picture * 0.9).astype(np.uint8)
    assert 0 < distance(descriptor(picture), descriptor(darker)) < 0.3 * min(between_scenes())


def test_where_and_what_colour_both_matter():
    picture = scene(3, height=240, width=320)
    assert distance(descriptor(picture), descriptor(picture[:, ::-1])) > 0.2
    assert distance(descriptor(picture), descriptor(picture[..., ::-1])) > 0.2


def test_layout_is_the_mean_colour_of_cells():
    # CIELAB of sRGB white, black and red, from the standard's formulas (D65).
    picture = np.zeros((96, 96, 3), np.uint8)
    picture[:48, :48] = 255
    picture[48:, :48] = (255, 0, 0)
    layout = descriptor(picture)[:192].reshape(8, 8, 3)
    expected = {(0, 0): (50, 0, 0), (0, 7): (-50, 0, 0), (7, 0): (3.24, 80.09, 67.20)}
    scale = layout[0, 0, 0] / 50
    for cell, colour in expected.items():
        np.testing.assert_allclose(layout[cell] / scale, colour, atol=0.05)


def test_gradient_says_the_direction():
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, (np.arange(96) // 4) % 2 == 0] = 255
    upright = descriptor(stripes)[352:864].reshape(8, 8, 8).sum((0, 1))
    lying = descriptor(stripes.transpose(1, 0, 2).copy())[352:864].reshape(8, 8, 8).sum((0, 1))
    assert upright.argmax() != lying.argmax()
    assert upright.max() > 0.9 * upright.sum()
    assert lying.max() > 0.9 * lying.sum()


@pytest.mark.parametrize('shape', [(1, 1), (95, 97), (96, 400), (1080, 300)])
def test_small_frame_is_that_of_the_library(shape):
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    how = {'preserve_range': True, 'channel_axis': -1}
    whole = transform.resize_local_mean(rgb.astype(np.float32), (96, 96), **how)
    np.testing.assert_allclose(module._small(rgb), whole, atol=1e-4)


@pytest.mark.parametrize('shape', [(1, 1), (2, 300), (95, 97)])
def test_odd_sizes(shape):
    vector = descriptor(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8))
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize('frame', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_refuses_what_is_no_frame(frame):
    with pytest.raises(ValueError, match='expected a frame'):
        descriptor(frame)
