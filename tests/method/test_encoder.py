import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from trsum_jax.method import encoder


@pytest.mark.parametrize('scale', [1.0, 30.0])
def test_attention_is_that_of_jax_however_far_its_logits_are_apart(scale):
    module = encoder.Attention(encoder.EncoderConfig(heads=2))
    x = scale * jax.random.normal(jax.random.key(0), (5, 8))
    valid = jnp.array([True, True, True, True, False])
    params = module.init(jax.random.key(1), x, valid, True)['params']
    kernel = params['query_key_value']['kernel']
    query, key, value = (part.reshape(5, 2, 4) for part in jnp.split(x @ kernel, 3, axis=1))
    mixed = jax.nn.dot_product_attention(query, key, value, mask=jnp.broadcast_to(valid, (1, 5, 5)))
    expected = mixed.reshape(5, 8) @ params['out']['kernel']
    found = module.apply({'params': params}, x, valid, True)
    np.testing.assert_allclose(found, expected, atol=1e-5 * scale)


def test_cosine_start_subtracts_an_average_of_similar_frames():
    module = encoder.Attention(encoder.EncoderConfig(heads=1, cosine_start=True), first=True)
    x = jax.random.normal(jax.random.key(0), (6, 4))
    valid = jnp.ones(6, bool)
    params = module.init(jax.random.key(1), x, valid, True)
    weights = jax.nn.softmax(0.49 * x @ x.T / 2.0, axis=-1)  # sqrt(4) = 2
    np.testing.assert_allclose(module.apply(params, x, valid, True), -weights @ x, atol=1e-5)


def test_sinusoids_by_hand():
    table = encoder.sinusoids(3, 4)
    assert table.dtype == np.float32
    np.testing.assert_allclose(table[0], [0, 1, 0, 1], atol=1e-7)
    np.testing.assert_allclose(table[2], [np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)], atol=2e-7)


def test_every_product_is_of_the_type_that_is_asked_for():
    module = encoder.Encoder(encoder.EncoderConfig(8, 2, 2, 16, dtype=jnp.bfloat16))
    x, valid = jnp.ones((5, 6)), jnp.ones(5, bool)
    params = jax.eval_shape(module.init, jax.random.key(0), x, valid)
    text = str(jax.make_jaxpr(module.apply)(params, x, valid))
    products = re.findall(r':(\w+)\[[\d,]*\] = dot_general', text)
    # The map in, and in each of two blocks four products with parameters and two of the attention.
    assert products == ['bf16'] * (1 + 2 * 6)
    # So is what every module inside gives, norms and residual paths too, but for the attention's weights.
    _, state = jax.eval_shape(lambda p: module.apply(p, x, valid, capture_intermediates=True), params)
    given = jax.tree.leaves(state['intermediates'])
    assert [leaf.shape for leaf in given if leaf.dtype != jnp.bfloat16] == [(1, 2, 5, 5)] * 2


@pytest.mark.parametrize('remat', [False, True])
def test_blocks_are_computed_anew_where_that_is_asked_for(remat):
    module = encoder.Encoder(encoder.EncoderConfig(8, 2, 2, 16, dropout=0.5, remat=remat))
    x, valid, key = jnp.ones((5, 6)), jnp.ones(5, bool), jax.random.key(0)
    params = jax.eval_shape(module.init, key, x, valid)
    text = str(jax.make_jaxpr(lambda p: module.apply(p, x, valid, False, rngs={'dropout': key}))(params))
    assert len(re.findall(r'(?:checkpoint|remat)\w*\[', text)) == 2 * remat
    # By default nothing is dropped: no key is asked for.
    assert jax.eval_shape(module.apply, params, x, valid).shape == (5, 8)


def test_parameters_have_the_names_that_checkpoints_have():
    module = encoder.Encoder(encoder.EncoderConfig(8, 1, 2, 16))
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.ones((5, 6)), jnp.ones(5, bool))['params']
    assert set(params) == {'map_in', 'block_0'}
    assert set(params['block_0']) == {'attention', 'norm_attention', 'norm_feed_forward', 'widen', 'narrow'}
    assert set(params['block_0']['attention']) == {'query_key_value', 'out'}


def test_features_of_the_models_width_are_not_mapped_in_however_long_the_segments_are():
    module = encoder.Encoder(encoder.EncoderConfig(8, 1, 2, 16))
    for length, width in ((5, 8), (8, 6)):
        given = jnp.ones((3, length, width)), jnp.ones((3, length), bool)
        params = jax.eval_shape(module.init, jax.random.key(0), *given)['params']
        assert ('map_in' in params) == (width != 8)


class CountingBlock(nn.Module):
    """Tells how many rows of a segment it computes, when it does, and gives ones."""

    config: encoder.EncoderConfig
    first: bool
    tell = None

    def __call__(self, x, valid, deterministic, rows=None):
        n_rows = len(x) if rows is None else len(rows)
        jax.debug.callback(self.tell, n_rows)
        return jnp.ones((n_rows, x.shape[1]))


def test_the_last_block_is_computed_once_and_for_as_many_frames_as_any_segment_wants(monkeypatch):
    told = []
    monkeypatch.setattr(CountingBlock, 'tell', told.append)
    monkeypatch.setattr(encoder, 'Block', CountingBlock)
    module = encoder.Encoder(encoder.EncoderConfig(4, 1))
    x, valid = jnp.ones((16, 4)), jnp.ones(16, bool)

    def episode(wanted):
        return module.apply({'params': {'block_0': {}}}, x, valid, wanted=wanted)

    one_by_one, at_once = (
        jax.jit(jax.vmap(layout)) for layout in (functools.partial(jax.lax.map, episode), jax.vmap(episode))
    )
    # Of 16 frames, by three segments of two episodes: 5/8 are 10, 3/4 are 12.
    for counts, of_each, of_all in (
        ([[3, 12], [10, 9], [1, 0]], {10, 12}, {12}),
        ([[3, 11], [10, 9], [13, 0]], {12, 16}, {16}),
    ):
        # The last frames are wanted.
        wanted = np.arange(16) >= 16 - np.array(counts)[..., None]
        for layout, expected in ((one_by_one, of_each), (at_once, of_all)):
            found = layout(wanted)
            jax.effects_barrier()
            np.testing.assert_array_equal(found, np.broadcast_to(wanted[..., None], found.shape))
            assert {int(n) for n in told} == expected
            told.clear()
