"""The scores of every frame, against numpy that goes through the segments one by one (`by_hand`)."""

import math
from fractions import Fraction

import by_hand
import jax
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.data.records import Video
from trsum_jax.method.decomposition import decompose
from trsum_jax.runtime import sharding
from trsum_jax.training import corpus, feed, scoring

LENGTH = 6


@pytest.fixture(scope='module')
def setting():
    config = tiny_config(**{
        'decomposition.length': LENGTH, 'model.width': 4, 'model.heads': by_hand.HEADS
    })  # fmt: skip
    return Setting(config, videos=by_hand.videos())


def averaged(setting, score):
    """`score(frames of a segment)`, for every frame averaged over the segments that hold it."""
    found = []
    for video in setting.videos:
        scores = [[] for _ in range(video.n_steps)]
        for row in decompose(video.n_steps, LENGTH):
            steps = row[row >= 0]
            for step, value in zip(steps, score(video.features[steps].astype(np.float64)), strict=True):
                scores[step].append(value)
        found += [np.mean(of_step) for of_step in scores]
    return np.array(found)


def params_of(setting, stage, frozen=()):
    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    return by_hand.moved(jax.jit(stage.init)(run, frozen).params, np.random.default_rng(0))


def test_a_frames_importance_is_its_mean_over_segments(setting):
    params = params_of(setting, setting.stage2, params_of(setting, setting.stage1))
    found = jax.jit(lambda p: scoring.importance(setting.summarizer, p, setting.corpus))(params)
    p = by_hand.exact(params)
    by_hand.assert_near(found, averaged(setting, lambda e: by_hand.sigmoid(by_hand.summarizer(p, e))))


@pytest.fixture(scope='module')
def one_out_loss(setting):
    """One program for windows of all sizes."""
    return jax.jit(lambda p, window: scoring.one_out_loss(setting.generator, p, setting.corpus, window))


@pytest.mark.parametrize('window', [1, 3, 4])
def test_a_frames_one_out_loss_hides_the_window_around_it(setting, one_out_loss, window):
    """Of three or four frames it is the second; at an end of the segment the window moves inwards."""
    params = params_of(setting, setting.stage1)
    found = one_out_loss(params, window)
    p = by_hand.exact(params)

    def losses(frames):
        places = np.arange(len(frames))
        for place in places:
            first = max(min(place - (window > 1), len(frames) - window), 0)
            hidden = (first <= places) & (places < first + window)
            yield by_hand.frame_losses(frames, by_hand.generator(p, frames, hidden))[place]

    by_hand.assert_near(found, averaged(setting, lambda frames: list(losses(frames))))


@pytest.mark.parametrize('how', ['map', 'vmap'])
def test_every_run_is_scored_by_its_own_parameters_where_it_stands(how):
    def score(params, corpus):
        return params['a'] * corpus['b']

    a, b = np.array([[1.0], [3.0]]), np.arange(4.0)
    for mesh, devices in ((None, 1), (sharding.make_mesh((2, 1)), 2)):
        every = scoring.jit_over_runs(score, how, mesh)
        found = every({'a': a}, {'b': b})
        np.testing.assert_array_equal(found, [b, 3 * b])
        assert len(found.devices()) == devices
        assert (' scan[' in str(jax.make_jaxpr(every)({'a': a}, {'b': b}))) == (how == 'map')


@pytest.mark.parametrize('count', [1, 2, 6, 7, 13, 20, 100, 128])
def test_frames_are_dealt_into_sets_of_15_percent(count):
    valid = np.arange(128) < count
    masks = np.asarray(scoring.deal(jax.random.key(count), valid))
    size = math.ceil(Fraction(15, 100) * count)
    assert masks.sum(axis=1).tolist() == [size] * (count // size) + [0] * (6 - count // size)
    assert masks.sum(axis=0).max() == 1
    assert not masks[:, ~valid].any()
    if count == 128:
        other = np.asarray(scoring.deal(jax.random.key(0), valid))
        assert (other != masks).any()


def reward_of(frames, visible):
    """DR-DSN's reward of a selection, pairs 20 frames apart or more than that being wholly unlike."""
    chosen = np.flatnonzero(visible)
    unlike = [
        1 - frames[a] @ frames[b] / np.linalg.norm(frames[a]) / np.linalg.norm(frames[b])
        if abs(a - b) <= 20
        else 1
        for a in chosen
        for b in chosen
        if a != b
    ]
    nearest = [min(np.sum((frame - frames[b]) ** 2) for b in chosen) for frame in frames]
    return (np.mean(unlike) if unlike else 0) / 2 + np.exp(-np.mean(nearest)) / 2


@pytest.mark.parametrize('length', [2, LENGTH, 24])
def test_rs_sums_score_credits_what_is_hidden_to_what_is_seen(length):
    """Against loops over segments, passes and masks. Segments of 24 have pairs that are far apart.

    Of segments of 2 some hold one frame, which is never visible in them: its mean count is below 1.
    """
    config = tiny_config(**{
        'decomposition.length': length, 'model.width': 4, 'model.heads': by_hand.HEADS
    })  # fmt: skip
    videos, rng = by_hand.videos(), np.random.default_rng(1)
    if length > LENGTH:
        features, shots = rng.normal(size=(26, 5)).astype(np.float32), np.array([[0, 25]])
        videos = [videos[0], Video('long', np.arange(26), 26, features, shots)]
    videos = videos[:2] if length == 2 else videos
    setting = Setting(config, videos=videos)
    params, key, passes = params_of(setting, setting.stage1), jax.random.key(5), 1 + (length == LENGTH)
    found = jax.jit(lambda p: scoring.rs_sum(setting.generator, p, setting.corpus, key, passes))(params)
    p, expected = by_hand.exact(params), []
    for number, video in enumerate(videos):
        losses, rewards = ([[] for _ in range(video.n_steps)] for _ in range(2))
        for place, row in enumerate(decompose(video.n_steps, length)):
            steps = row[row >= 0]
            frames = video.features[steps].astype(np.float64)
            own = jax.random.fold_in(jax.random.fold_in(key, number), place)
            for i in range(passes):
                for hidden in np.asarray(scoring.deal(jax.random.fold_in(own, i), row >= 0))[:, row >= 0]:
                    if hidden.any():
                        lost = by_hand.frame_losses(frames, by_hand.generator(p, frames, hidden))[
                            hidden
                        ].mean()
                        for step in steps[~hidden]:
                            losses[step].append(lost)
                            rewards[step].append(reward_of(frames, ~hidden))
        expected += [by_hand.sigmoid(-np.mean(a)) + np.mean(b) for a, b in zip(losses, rewards, strict=True)]
    by_hand.assert_near(found, np.array(expected))


def test_rs_sum_deals_the_same_masks_in_a_corpus_that_is_filled_up(setting):
    # Of seven frames each: one of them is in no mask. The first video has five such segments, the second has
    # one. Filled up to the third one's eight their videos are 0 0 0 0 0 1 0 0, where bisection misses 1.
    features = np.random.default_rng(0).standard_normal((98, by_hand.WIDTH)).astype(np.float32)
    videos = [
        Video(f'video_{i}', np.arange(len(f)), len(f), f, np.array([[0, len(f) - 1]]))
        for i, f in enumerate((features[:35], features[35:42], features[42:]))
    ]
    given = 7, ('sequential',)
    _, filled = next(feed.chunks_of(videos, [[0, 1], [2]], *given))
    assert filled.video.tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    params, key = params_of(setting, setting.stage1), jax.random.key(1)
    score = jax.jit(lambda given: scoring.rs_sum(setting.generator, params, given, key, 1))
    expected = score(corpus.arrays(videos[:2], *given))
    np.testing.assert_allclose(score(filled)[:42], expected, rtol=1e-6)
