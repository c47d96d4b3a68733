"""The runs of a grid by hand: their keys, streams, segments, and the numbers in which they differ."""

import dataclasses

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trsum_jax.data.splits import Fold
from trsum_jax.runtime import sharding
from trsum_jax.training import corpus, runs

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


def test_a_share_of_a_runs_training_videos_is_held_aside():
    trained = np.ones((2, 8), bool)
    trained[0, [1, 4, 7]] = False
    grid = [runs.Place(3, 0), runs.Place(3, 1)]
    found = {share: runs.held_aside(grid, trained, share) for share in (0.0, 0.01, 0.3, 0.5, 0.9, 0.95)}
    assert {share: kept.sum(axis=1).tolist() for share, kept in found.items()} == {
        0.0: [0, 0], 0.01: [1, 1], 0.3: [2, 2], 0.5: [2, 4],
        # Something is left to train on.
        0.9: [4, 7], 0.95: [4, 7],
    }  # fmt: skip
    assert not any(np.any(kept & ~trained) for kept in found.values())
    # The same in every grid, whatever other runs it has.
    np.testing.assert_array_equal(runs.held_aside(grid[1:], trained[1:], 0.5), found[0.5][1:])
    # Of four training videos in one run nothing is held aside in any.
    trained[0, 0] = False
    assert not runs.held_aside(grid, trained, 0.5).any()


def test_every_video_is_held_aside_as_often_and_seeds_and_folds_draw_apart():
    grid = [runs.Place(seed, fold) for seed in range(150) for fold in range(2)]
    kept = runs.held_aside(grid, np.ones((len(grid), 6), bool), 1 / 3)
    # 100 expected of each, standard deviation 8.
    assert np.all(np.abs(kept.sum(axis=0) - 100) < 4 * 8)
    # Of 15 pairs a seed's folds have the same in 10 cases of 150, as do the seeds after one another.
    for rows, others in ((kept[::2], kept[1::2]), (kept[:-2], kept[2:])):
        assert np.mean(np.all(rows == others, axis=1)) < 0.2


def test_runs_that_hold_videos_aside_by_hand():
    """Of five and six training videos of eight; the third run fills up a mesh of two."""
    videos = [*VIDEOS, *(dataclasses.replace(video, key=f'{video.key}_again') for video in VIDEOS)]
    keys = [video.key for video in videos]
    segments = corpus.arrays(videos, 6, ('sequential', 'dilated'))
    chosen = [0, 1, 3, 6, 7], [0, 2, 3, 4, 5, 6]
    folds = [Fold(tuple(keys[i] for i in own), ()) for own in chosen]
    grid, mesh = [runs.Place(5, 1), runs.Place(5, 0), runs.Place(8, 1)], sharding.make_mesh((2, 1))
    found = runs.make_runs(grid, folds, keys, segments, mesh, videos=videos, aside=0.4)
    assert all(leaf.sharding.spec == sharding.BY_RUN for leaf in jax.tree.leaves(found))
    assert [leaf.shape[0] for leaf in jax.tree.leaves(found)] == [4] * 7
    joined = runs.whole(found)
    trained = np.array([[i in chosen[fold] for i in range(8)] for fold in (1, 0, 1, 1)])
    filled = [*grid, grid[-1]]
    kept = runs.held_aside(filled, trained, 0.4)
    assert kept.sum(axis=1).tolist() == [2] * 4
    for i in range(4):
        for numbers, weight, of in (
            (found.segments[i], found.weight[i], trained[i] & ~kept[i]),
            (*(leaf[i] for leaf in found.aside), kept[i]),
            (joined.segments[i], joined.weight[i], trained[i]),
        ):
            own = np.asarray(numbers)[np.asarray(weight) == 1]
            assert sorted(own.tolist()) == np.flatnonzero(of[segments.video]).tolist()
            assert np.all(np.isin(weight, (0, 1)))
        frames = np.concatenate([videos[v].features for v in np.flatnonzero(trained[i])])
        np.testing.assert_allclose(found.standard.mean[i], frames.mean(axis=0), atol=1e-6)
    # No longer than the longest run needs.
    for weight in (found.weight, found.aside[1]):
        assert weight.shape[1] == np.sum(weight, axis=1).max()
    assert joined.aside == found.aside
    by_default = runs.make_runs(grid, folds, keys, segments)
    assert (by_default.aside, by_default.standard) == ((), ())


@pytest.mark.parametrize('share', [0.2, 0.0])
def test_validation_videos_judge_in_the_place_of_videos_held_aside(share):
    """Nothing is drawn, no stage trains on them, no standard knows them; at a share of 0 they do nothing."""
    videos = [*VIDEOS, *(dataclasses.replace(video, key=f'{video.key}_again') for video in VIDEOS)]
    keys = [video.key for video in videos]
    segments = corpus.arrays(videos, 6, ('sequential', 'dilated'))
    folds = [
        Fold(tuple(keys[:5]), tuple(keys[7:]), tuple(keys[5:7])),
        Fold(tuple(keys[1:7]), (), tuple(keys[:1])),
    ]
    grid = runs.places((3,), 2)
    found = runs.make_runs(grid, folds, keys, segments, videos=videos, aside=share)
    plain = runs.make_runs(grid, [Fold(f.train, f.test) for f in folds], keys, segments, videos=videos)
    for name in ('segments', 'weight'):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
        assert getattr(runs.whole(found), name) is getattr(found, name)
    np.testing.assert_array_equal(found.standard.mean, plain.standard.mean)
    assert found.aside == ()
    if not share:
        assert (found.validation, runs.judging(found)) == ((), ())
        return
    assert runs.judging(found) == found.validation
    for i, judges in enumerate(([5, 6], [0])):
        own = np.asarray(found.validation[0][i])[np.asarray(found.validation[1][i]) == 1]
        assert sorted(own.tolist()) == np.flatnonzero(np.isin(segments.video, judges)).tolist()


def test_what_is_held_aside_comes_after_the_segments():
    def run(aside):
        return runs.Run(None, jnp.array([[4, 2], [1, 0]]), jnp.array([[1.0, 1], [1, 0]]), aside=aside)

    aside = jnp.array([[3], [5]]), jnp.array([[1.0], [1]])
    found = runs.whole(run(aside))
    assert found.segments.tolist() == [[4, 2, 3], [1, 0, 5]]
    assert found.weight.tolist() == [[1, 1, 1], [1, 0, 1]]
    one = runs.whole(jax.tree.map(lambda leaf: leaf[1], run(aside)))
    assert [one.segments.tolist(), one.weight.tolist()] == [[1, 0, 5], [1, 0, 1]]
    without = run(())
    assert runs.whole(without) is without


def test_a_stream_is_its_place_in_the_list_which_checkpoints_rely_on():
    key = jax.random.key(3)
    names = 'generator init', 'generator', 'summarizer init', 'summarizer', 'untrained heads', 'rival init'
    for i, name in enumerate((*names, 'rival', 'rs_sum', 'aside')):
        assert runs.stream(key, name) == jax.random.fold_in(key, i)
    with pytest.raises(ValueError, match='not in'):
        runs.stream(key, 'rivals')


def test_a_run_takes_its_own_numbers_before_those_of_all():
    dials = {'summarizer.share': 0.4, 'masking.mask': 0.7}
    run = runs.Run(key=None, segments=None, weight=None, dials=dials)
    policy, fates = runs.PolicyNumbers(0.15, *range(7)), runs.MaskingNumbers(0.5, 0.25, 0.8, 0.1)
    assert runs.own(policy, 'summarizer', run) == runs.PolicyNumbers(0.4, *range(7))
    assert runs.own(fates, 'masking', run) == runs.MaskingNumbers(0.5, 0.25, 0.7, 0.1)
    assert runs.own(policy, 'masking', run) == policy
    assert runs.own(fates, 'masking', runs.Run(None, None, None)) == fates
