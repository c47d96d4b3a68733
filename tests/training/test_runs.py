"""The runs of a grid by hand: their keys, streams, segments, and the numbers in which they differ."""

import by_hand
import jax
import numpy as np
import pytest

from trsum_jax.data.splits import Fold
from trsum_jax.runtime import sharding
from trsum_jax.training import corpus, runs
from trsum_jax.training.trsum import MaskingNumbers, PolicyNumbers

VIDEOS = by_hand.videos()
KEYS = [video.key for video in VIDEOS]
# One segment of videos 0 and 2 each, four of videos 1 and 3.
SEGMENTS = corpus.arrays(VIDEOS, 6, ('sequential', 'dilated'))
FOLDS = [Fold(('video_0', 'video_3'), ()), Fold(('video_2',), ('video_0',))]


def test_places_go_seed_by_seed():
    assert [str(place) for place in runs.places((4, 2), 2)] == [
        'seed 4, fold 0', 'seed 4, fold 1', 'seed 2, fold 0', 'seed 2, fold 1',
    ]  # fmt: skip


def test_runs_by_hand_and_a_grid_is_filled_up_with_its_last_run():
    grid = [runs.Place(5, 1), runs.Place(5, 0), runs.Place(8, 1)]
    dials = {'summarizer.share': [0.1, 0.2, 0.3]}
    found = runs.make_runs(grid, FOLDS, KEYS, SEGMENTS, sharding.make_mesh((2, 1)), dials)
    of_fold = [np.flatnonzero(np.isin(SEGMENTS.video, videos)).tolist() for videos in ((0, 3), (2,))]
    padded = [*of_fold[1], *[0] * (len(of_fold[0]) - 1)]
    np.testing.assert_array_equal(found.segments, [padded, of_fold[0], padded, padded])
    once = [1] + [0] * (len(padded) - 1)
    np.testing.assert_array_equal(found.weight, [once, np.ones(len(padded)), once, once])
    keys = [jax.random.fold_in(jax.random.key(seed), fold) for seed, fold in ((5, 1), (5, 0), (8, 1), (8, 1))]
    assert [key.tolist() for key in jax.random.key_data(found.key)] == [
        jax.random.key_data(key).tolist() for key in keys
    ]
    np.testing.assert_array_equal(found.dials['summarizer.share'], np.float32([0.1, 0.2, 0.3, 0.3]))
    for leaf, kind in ((found.segments, 'int32'), (found.weight, 'float32'), (found.dials, 'float32')):
        assert [str(one.dtype) for one in jax.tree.leaves(leaf)] == [kind]
    assert all(leaf.sharding.spec == sharding.BY_RUN for leaf in jax.tree.leaves(found))


def test_members_by_hand():
    segments, weight = runs.members(np.array([[1, 0, 1], [0, 1, 0]], bool), 3)
    np.testing.assert_array_equal(segments, np.int32([[0, 2, 0], [1, 0, 0]]), strict=True)
    np.testing.assert_array_equal(weight, np.float32([[1, 1, 0], [1, 0, 0]]), strict=True)


def test_by_default_a_grid_stands_on_one_device_and_its_runs_differ_in_no_number():
    found = runs.make_runs([runs.Place(5, 0)] * 3, FOLDS, KEYS, SEGMENTS)
    assert found.segments.shape == (3, 5)
    assert len(found.weight.devices()) == 1
    assert found.dials == {}


def test_a_stream_is_its_place_in_the_list_which_checkpoints_rely_on():
    key = jax.random.key(3)
    names = 'generator init', 'generator', 'summarizer init', 'summarizer', 'untrained heads', 'rival init'
    for i, name in enumerate((*names, 'rival', 'rs_sum')):
        assert runs.stream(key, name) == jax.random.fold_in(key, i)
    with pytest.raises(ValueError, match='not in'):
        runs.stream(key, 'rivals')


def test_a_run_takes_its_own_numbers_before_those_of_all():
    dials = {'summarizer.share': 0.4, 'masking.mask': 0.7}
    run = runs.Run(key=None, segments=None, weight=None, dials=dials)
    policy, fates = PolicyNumbers(0.15, 0.5, 0.9), MaskingNumbers(0.5, 0.25, 0.8, 0.1)
    assert runs.own(policy, 'summarizer', run) == PolicyNumbers(0.4, 0.5, 0.9)
    assert runs.own(fates, 'masking', run) == MaskingNumbers(0.5, 0.25, 0.7, 0.1)
    assert runs.own(policy, 'masking', run) == policy
    assert runs.own(fates, 'masking', runs.Run(None, None, None)) == fates
