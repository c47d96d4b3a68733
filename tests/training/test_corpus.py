"""A dataset as frames and indices into them, against the videos that it was made of."""

import dataclasses

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import RECIPE, tiny_config

from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.shots import frame_change
from trsum_jax.data.standard import Standard
from trsum_jax.runtime import sharding
from trsum_jax.training import corpus

VIDEOS = by_hand.videos()
VIEWS = 'sequential', 'dilated'


def test_the_corpus_holds_every_step_of_every_video():
    config = tiny_config()
    videos = generate(Recipe(**RECIPE))
    segments = corpus.build(videos, 8, tuple(config.decomposition.views))
    for i, video in enumerate(videos):
        own = np.flatnonzero(np.asarray(segments.video) == i)
        seen = set()
        for s in own:
            one = jax.tree.map(np.asarray, corpus.gather(segments, s))
            rows = np.asarray(segments.index)[s] - one.first
            seen |= set(rows[one.valid])
            np.testing.assert_array_equal(one.frames[one.valid], video.features[rows[one.valid]])
            assert not one.frames[~one.valid].any()
            # The planted shots begin at sampled frames.
            starts, ends = video.change_points[one.shot[one.valid]].T
            picks = video.picks[rows[one.valid]]
            assert np.all((starts <= picks) & (picks <= ends))
        assert seen == set(range(video.n_steps))


@pytest.mark.parametrize(('n', 'rounded'), [(1, 1), (7, 7), (8, 8), (9, 10), (13, 14), (257, 320)])
def test_round_numbers_by_hand(n, rounded):
    assert corpus.roomy(n) == rounded


def test_average_per_frame_by_hand():
    videos = generate(Recipe(**RECIPE | {'videos': 1}))
    segments = corpus.build(videos, 8, ('sequential', 'dilated'))
    index, valid = np.asarray(segments.index), np.asarray(segments.valid)
    values = np.random.default_rng(0).random(index.shape).astype(np.float32)
    expected = [values[(index == f) & valid].mean() for f in range(videos[0].n_steps)]
    np.testing.assert_allclose(corpus.average_per_frame(segments, jnp.asarray(values)), expected, rtol=1e-5)


@pytest.mark.parametrize('columns', [0, 2])
def test_segments_by_hand(columns):
    """Videos of 5 and 8 frames in segments of 6: of the second one 0 to 5, 2 to 7, the even, the odd."""
    side = [np.full((video.n_steps, columns), i + 0.5, np.float32) for i, video in enumerate(VIDEOS)]
    given = [dataclasses.replace(v, side=s if columns else None) for v, s in zip(VIDEOS, side, strict=True)]
    found = corpus.arrays(given[:2], 6, VIEWS)
    rows = [
        [0, 1, 2, 3, 4, 0],
        [5, 6, 7, 8, 9, 10],
        [7, 8, 9, 10, 11, 12],
        [5, 7, 9, 11, 0, 0],
        [6, 8, 10, 12, 0, 0],
    ]
    lengths = np.array([[5], [6], [6], [4], [4]])
    # Video 0 has shots of 2 and 3 steps, video 1 of 2, 3 and 3.
    shots = [
        [0, 0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1, 2],
        [1, 1, 1, 2, 2, 2],
        [0, 1, 1, 2, 0, 0],
        [0, 1, 2, 2, 0, 0],
    ]
    expected = corpus.Corpus(
        frames=np.concatenate([video.features for video in given[:2]]), index=np.int32(rows),
        valid=np.arange(6) < lengths, shot=np.int32(shots), video=np.int32([0, 1, 1, 1, 1]),
        first=np.int32([0, 5, 5, 5, 5]), n_steps=np.int32([5, 8, 8, 8, 8]),
        change=np.concatenate([frame_change(v.features - v.features.mean(axis=0)) for v in given[:2]]),
        side=np.concatenate(side[:2]),
    )  # fmt: skip
    assert found.standard == ()
    for name, one, other in zip(found._fields[:-1], found[:-1], expected[:-1], strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name, strict=True)
    assert found.n_segments == 5
    for on, devices in ((None, 1), (sharding.make_mesh((2, 1)), 2)):
        placed = corpus.build(given[:2], 6, VIEWS, on)
        for one, other in zip(placed[:-1], expected[:-1], strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
            assert len(one.devices()) == devices
    one = jax.jit(corpus.gather)(placed, 3)
    assert one.side.shape == (6, columns)
    for values, of in ((one.frames, found.frames), (one.side, found.side), (one.change, found.change)):
        np.testing.assert_array_equal(values[:4], of[[5, 7, 9, 11]])
        assert not np.any(values[4:])
    assert [int(one.video), int(one.first), int(one.n_steps)] == [1, 5, 8]


def test_of_one_view_there_are_its_segments_alone():
    both, dilated = (corpus.arrays(VIDEOS, 6, views) for views in (VIEWS, ('dilated',)))
    np.testing.assert_array_equal(dilated.index, both.index[[0, 3, 4, 5, 8, 9]])


def test_features_of_half_precision_become_float32():
    half = [dataclasses.replace(video, features=video.features.astype(np.float16)) for video in VIDEOS]
    assert corpus.arrays(half, 6, VIEWS).frames.dtype == np.float32


def test_frames_are_seen_by_the_standard_and_padding_is_zero():
    whole = corpus.arrays(VIDEOS, 6, VIEWS)
    mean, scale = np.arange(5.0, dtype=np.float32), np.float32(0.25)
    seen = corpus.gather(whole._replace(standard=Standard(mean, scale)), 0)
    # The first video has 5 frames.
    np.testing.assert_allclose(seen.frames[:5], (VIDEOS[0].features - mean) / 4, rtol=1e-6)
    assert not np.any(seen.frames[5:])


def test_a_frame_that_no_segment_holds_has_no_value():
    full = corpus.arrays(VIDEOS, 6, VIEWS)
    first = full._replace(**{name: getattr(full, name)[:1] for name in ('index', 'valid')})
    found = corpus.average_per_frame(first, jnp.full((1, 6), 7.0))
    np.testing.assert_array_equal(found, np.repeat([7.0, 0.0], [5, 21]))


def test_values_of_all_frames_are_cut_into_videos():
    values = np.arange(2 * 26).reshape(2, 26)
    found = corpus.per_video(VIDEOS, values)
    assert list(found) == ['video_0', 'video_1', 'video_2', 'video_3']
    ends = {'video_0': (0, 5), 'video_1': (5, 13), 'video_2': (13, 17), 'video_3': (17, 26)}
    for key, (first, end) in ends.items():
        np.testing.assert_array_equal(found[key], values[:, first:end])
        np.testing.assert_array_equal(corpus.per_video(VIDEOS, values[0])[key], values[0, first:end])


def test_every_leaf_is_averaged_by_weight():
    found = corpus.weighted_mean(
        {'a': jnp.array([1.0, 2, 9]), 'b': jnp.array([4.0, 0, 9])}, jnp.array([3.0, 1, 0])
    )
    assert found == {'a': 1.25, 'b': 3.0}
