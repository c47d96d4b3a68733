"""Parts of a step by hand: the gradient of a batch, Adam with L2, and the draws of dropout."""

import types

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.runtime import sharding
from trsum_jax.training import steps
from trsum_jax.training.epoch import Batch

# All frames are hidden candidates whatever is drawn, so that the loss depends on nothing else that is random.
ALL_HIDDEN = {'masking.mask_ratio': 1.0, 'masking.window_ratio': 1.0, 'masking.mask': 1.0}


@pytest.mark.parametrize(('stage', 'metric'), [('stage1', 'loss'), ('stage2', 'p_mean')])
def test_what_is_dropped_depends_on_the_segments_key_alone(stage, metric):
    config = tiny_config(**ALL_HIDDEN, **{'model.dropout': 0.5, 'decomposition.length': 6})
    setting = Setting(config, videos=by_hand.videos())
    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    one, other, third = jax.random.split(jax.random.key(0), 3)
    batch = Batch(jnp.full(4, 6), jnp.ones(4), jnp.stack([one, other, third, one]), jnp.float32(1))

    @jax.jit
    def told(run):
        frozen, stages = (), {'stage1': setting.stage1, 'stage2': setting.stage2}
        if stage == 'stage2':
            frozen = setting.stage1.init(run, ()).params
        state = stages[stage].init(run, frozen)
        # The score's weights are tiny at first.
        state = state._replace(params=jax.tree.map(lambda leaf: 3 * leaf, state.params))
        return stages[stage].step(state, batch, setting.corpus, run, frozen)[1][metric]

    found = np.asarray(told(run))
    assert found[3] == found[0]
    assert len(np.unique(np.round(found, 4))) == 3


@pytest.mark.parametrize(('microbatch', 'shards'), [(4, 1), (2, 1), (1, 1), (2, 2), (1, 2)])
def test_the_gradient_of_a_batch_by_hand(microbatch, shards):
    """Of `w · x_b` for segment b it is the weighted mean of the x_b; one segment alone is its own mean."""
    x, beside = np.random.default_rng(0).random((2, 4, 3), np.float32)

    def loss(w, x, beside):
        values = x @ w['w']
        return values, {'value': values, 'beside': 2 * beside}

    def of(w, x, beside, weight):
        more = () if shards == 1 else (shards,)
        return jax.tree.map(
            lambda leaf: leaf[None], steps.gradients(loss, w, (x, beside), weight, microbatch, *more)
        )

    mesh = sharding.make_mesh((1, shards))
    whole = jax.jit(sharding.split(of, mesh, (sharding.SHARED,) * 4))
    w = {'w': np.float32([1, -2, 3])}
    for weight in ([1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]):
        weight = np.float32(weight)
        gradient, told = jax.tree.map(lambda leaf: np.asarray(leaf)[0], whole(w, x, beside, weight))
        expected = x[weight > 0].mean(axis=0) if weight.any() else np.zeros(3)
        np.testing.assert_allclose(gradient['w'], expected, rtol=1e-6)
        np.testing.assert_allclose(told['value'], x @ w['w'], rtol=1e-5)
        np.testing.assert_array_equal(told['beside'], 2 * beside)
    text = str(jax.make_jaxpr(whole)(w, x, beside, weight))
    assert (' scan[' in text, ' psum' in text) == (microbatch * shards < 4, shards > 1)


def test_adam_with_l2_by_hand():
    rng = np.random.default_rng(0)
    params = {'a': rng.random(3, np.float32), 'b': rng.random((2, 2), np.float32)}
    settings = types.SimpleNamespace(weight_decay=0.3, clip=0.5)
    optimizer = steps.adam(learning_rate=0.1, weight_decay=0.3, clip=0.5)
    state = optimizer.init(params)
    expected, moments = by_hand.exact(params), by_hand.moments_of(state)
    # The first gradient is clipped, the second one is short enough.
    for scale in (3.0, 0.1):
        grads = jax.tree.map(lambda leaf, scale=scale: scale * leaf[::-1], params)
        params, state = optimizer.update(params, state, grads, 0.0)
        expected, moments = by_hand.adam_l2(expected, by_hand.exact(grads), moments, settings, 0.1)
        by_hand.assert_near(params, expected)


def test_over_lays_loops_out():
    items = jnp.arange(6.0).reshape(3, 2)
    for how, loops in (('map', True), ('vmap', False)):
        text = str(jax.make_jaxpr(lambda items, how=how: steps.over(how, jnp.sum, items))(items))
        assert (' scan[' in text) == loops
        np.testing.assert_array_equal(steps.over(how, jnp.sum, items), [1, 5, 9])
