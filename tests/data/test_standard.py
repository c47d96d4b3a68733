"""What the features of a run are shifted and scaled by."""

import dataclasses

import by_hand
import numpy as np
import pytest
from peaks import peak_of

from trsum_jax.data.records import Video
from trsum_jax.data.shots import detect_short, frame_change
from trsum_jax.data.standard import in_float64, standards

VIDEOS = by_hand.videos()
TRAINED = np.array([[True, False, True, False], [False, True, True, True]])


def test_mean_and_spread_are_those_of_the_training_frames():
    found = standards(VIDEOS, TRAINED)
    for i, chosen in enumerate(TRAINED):
        frames = np.concatenate([VIDEOS[v].features.astype(np.float64) for v in np.flatnonzero(chosen)])
        seen = (frames - found.mean[i]) * found.scale[i]
        np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(np.mean(np.linalg.norm(seen, axis=1) ** 2), 1, rtol=1e-6)


def test_of_frames_near_one_another_and_in_half_precision_it_is_float32():
    """A variance below 1, whatever type the features have."""
    for kind in (np.float32, np.float16):
        near = [dataclasses.replace(video, features=(0.1 * video.features).astype(kind)) for video in VIDEOS]
        found = standards(near, TRAINED[:1])
        frames = np.concatenate([near[v].features.astype(np.float64) for v in (0, 2)])
        spread = np.sqrt(np.mean(np.sum((frames - frames.mean(axis=0)) ** 2, axis=1)))
        assert spread < 1
        np.testing.assert_allclose(found.scale, [1 / spread], rtol=1e-6)
        assert [found.mean.dtype, found.scale.dtype] == [np.float32] * 2


def test_a_video_may_be_of_one_frame():
    one = Video('one', np.arange(1), 1, np.full((1, by_hand.WIDTH), 2.0, np.float32), np.array([[0, 0]]))
    found = standards([one, *VIDEOS], np.array([[True, True, False, False, False]]))
    frames = np.concatenate([one.features, VIDEOS[0].features])
    np.testing.assert_allclose(found.mean, frames.mean(axis=0, keepdims=True), atol=1e-6)


def test_a_vector_added_and_a_factor_change_nothing():
    def seen(videos):
        found = standards(videos, TRAINED)
        return [(videos[1].features - mean) * scale for mean, scale in zip(*found, strict=True)]

    # 256 times what tells frames apart: 8 of the 24 bits of float32 are lost.
    shift = 256 * np.random.default_rng(3).standard_normal(by_hand.WIDTH).astype(np.float32)
    moved = [dataclasses.replace(video, features=8 * video.features + shift) for video in VIDEOS]
    np.testing.assert_allclose(seen(moved), seen(VIDEOS), atol=1e-4)


def test_frames_that_are_all_the_same_are_only_shifted():
    same = [dataclasses.replace(video, features=np.full_like(video.features, 3.0)) for video in VIDEOS]
    found = standards(same, TRAINED)
    np.testing.assert_array_equal(found.mean, 3.0)
    np.testing.assert_array_equal(found.scale, 1.0)


# Longer than what is taken at a time, by little: the last part is short.
LONG = np.random.default_rng(5).random((4100, 64), np.float32)
LONG[::3] = LONG[1]


def _of(features):
    return Video('long', np.arange(len(features)), len(features), features)


def test_a_long_video_is_the_same_in_parts():
    assert [len(part) for part in in_float64(LONG)] == [2048, 2048, 4]
    np.testing.assert_array_equal(np.concatenate(list(in_float64(LONG))), LONG)
    every = LONG.astype(np.float64)
    found = standards([_of(LONG)], np.array([[True]]))
    np.testing.assert_allclose(found.mean[0], every.mean(axis=0), rtol=1e-6)
    spread = np.mean(np.sum((every - every.mean(axis=0)) ** 2, axis=1))
    np.testing.assert_allclose(found.scale, spread**-0.5, rtol=1e-6)
    unit = every / np.linalg.norm(every, axis=1, keepdims=True)
    between = 1 - np.sum(unit[1:] * unit[:-1], axis=1)
    expected = np.maximum(np.append(between, 0), np.insert(between, 0, 0))
    np.testing.assert_allclose(frame_change(LONG), expected, atol=1e-7)


@pytest.mark.parametrize(
    ('work', 'most'),
    [
        (frame_change, 2),
        (lambda features: standards([_of(features)], np.array([[True]])), 2),
        # With the mean taken off; and room for sums, of which few are ever filled.
        (lambda features: detect_short(features, np.arange(len(features)), len(features)), 3.5),
    ],
)
def test_of_a_long_video_no_copy_is_made_in_float64(work, most):
    scenes = np.random.default_rng(6).random((400, 512), np.float32)
    features = np.repeat(scenes, 36, axis=0) + np.random.default_rng(7).random((14_400, 512), np.float32) / 8
    assert peak_of(lambda: work(features)) < most * features.nbytes
