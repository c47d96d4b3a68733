"""No fold's training depends on its test video, wherever in the dataset that stands."""

import dataclasses
import functools

import by_hand
import jax
import numpy as np
import pytest
from tiny import Setting, tiny_config

from benchmarks.whole_epoch import compile_epoch
from trsum_jax.data.splits import Fold

# The first one is long: its fold is padded, and where a run is padded stands segment 0, its test video's.
PLAIN = by_hand.videos()[::-1]
KEYS = [video.key for video in PLAIN]
# Fold i tests video i: the first, two in the middle, the last. It trains on 6 or 9 segments, 4 a step.
FOLDS = [Fold(tuple(k for k in KEYS if k != key), (key,)) for key in KEYS]


def with_labels(video, seed):
    rng = np.random.default_rng(seed)
    scores = rng.random((3, video.n_steps)).astype(np.float32)
    return dataclasses.replace(
        video, user_scores=scores, user_summary=np.round(scores), gtscore=scores.mean(axis=0)
    )


def another(video):
    """As long, but for its length nothing is as it was."""
    rng = np.random.default_rng(9)
    features = rng.standard_normal(video.features.shape).astype(np.float32)
    shots = np.array([[0, video.n_steps - 1]])
    return with_labels(dataclasses.replace(video, features=features, change_points=shots), seed=1)


VIDEOS = [with_labels(video, seed=0) for video in PLAIN]


@pytest.fixture(scope='module')
def train():
    """Videos to the states of all folds after an epoch of each stage, by programs that are compiled once."""
    # Many replaced frames, which are looked up among the frames of all videos.
    fates = {'masking.mask': 0.5, 'masking.replace': 0.5}
    config = tiny_config(**fates, **{'decomposition.length': 6, 'model.width': 4})
    first = Setting(config, videos=VIDEOS, folds=FOLDS)
    stages = first.stage1, first.stage2
    inits = [jax.jit(jax.vmap(stage.init)) for stage in stages]
    epochs = [compile_epoch(stage, 'map', first.mesh) for stage in stages]

    def of(videos):
        setting, frozen, found = Setting(config, videos=videos, folds=FOLDS), (), []
        for init, epoch in zip(inits, epochs, strict=True):
            states, _ = epoch(init(setting.runs, frozen), 0, setting.corpus, setting.runs, frozen)
            frozen = states.params
            found.append(jax.tree.map(np.array, states))
        return found

    return of


@pytest.fixture(scope='module')
def trained(train):
    return train(VIDEOS)


def changed(one, other):
    """By fold, whether any number differs in two trees of all folds."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return np.any([(a != b).reshape(len(FOLDS), -1).any(axis=1) for a, b in pairs], axis=0).tolist()


@pytest.mark.parametrize('i', range(len(KEYS)), ids=['first', 'second', 'third', 'last'])
def test_a_video_leaves_a_trace_in_every_fold_but_the_one_that_tests_it(train, trained, i):
    videos = [another(video) if video.key == KEYS[i] else video for video in VIDEOS]
    for before, after in zip(trained, train(videos), strict=True):
        expected = [fold != i for fold in range(len(FOLDS))]
        assert changed(before.params, after.params) == expected
        assert changed(before, after) == expected


def test_labels_leave_no_trace_in_any_fold(train, trained):
    relabelled = train([with_labels(video, seed=1) for video in VIDEOS])
    assert changed(trained, relabelled) == [False] * len(FOLDS)


def test_a_vector_added_to_all_features_and_a_factor_change_nothing(train):
    shift = 16 * np.random.default_rng(7).standard_normal(by_hand.WIDTH).astype(np.float32)
    moved = [dataclasses.replace(video, features=4 * video.features + shift) for video in VIDEOS]
    near = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-4)
    for before, after in zip(train(VIDEOS), train(moved), strict=True):
        jax.tree.map(near, after.params, before.params)
