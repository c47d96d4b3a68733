"""What the features of a run are shifted and scaled by."""

import dataclasses

import by_hand
import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.data.standard import standards

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
