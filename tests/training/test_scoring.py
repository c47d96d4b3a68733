"""The scores of every frame, against numpy that goes through the segments one by one (`by_hand`)."""

import by_hand
import jax
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.method.decomposition import decompose
from trsum_jax.runtime import sharding
from trsum_jax.training import scoring

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
