import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from trsum_jax.rivals.recurrent import Lstm

BATCH, STEPS, WIDTH, HIDDEN = 3, 7, 5, 4
LENGTHS = np.array([7, 4, 1])


@pytest.fixture(scope='module')
def given():
    x = jax.random.normal(jax.random.key(0), (BATCH, STEPS, WIDTH))
    valid = jnp.arange(STEPS)[None] < LENGTHS[:, None]
    return x, valid


def flax_output(params, x, direction):
    """What flax's own cell makes of the same weights."""
    cell = {}
    kernels = zip(
        'ifgo',
        jnp.split(params[f'input_0_{direction}']['kernel'], 4, axis=1),
        jnp.split(params[f'recurrent_0_{direction}'], 4, axis=1),
        jnp.split(params[f'input_0_{direction}']['bias'], 4),
        strict=True,
    )
    for gate, inner, recurrent, bias in kernels:
        cell |= {f'i{gate}': {'kernel': inner}, f'h{gate}': {'kernel': recurrent, 'bias': bias}}
    rnn = nn.RNN(nn.OptimizedLSTMCell(HIDDEN), reverse=bool(direction), keep_order=True)
    return rnn.apply({'params': {'cell': cell}}, x, seq_lengths=jnp.asarray(LENGTHS))


def test_values_and_gradients_are_those_of_the_cell_of_flax(given):
    x, valid = given
    module = Lstm(HIDDEN, bidirectional=True)
    params = module.init(jax.random.key(1), x, valid)['params']
    weight = jax.random.normal(jax.random.key(2), (BATCH, STEPS, 2 * HIDDEN)) * valid[..., None]

    def ours(params, x):
        return jnp.sum(module.apply({'params': params}, x, valid) * weight)

    def theirs(params, x):
        return jnp.sum(jnp.concatenate([flax_output(params, x, d) for d in (0, 1)], axis=-1) * weight)

    assert float(ours(params, x)) == pytest.approx(float(theirs(params, x)), rel=1e-5)
    found, expected = (jax.grad(f, argnums=(0, 1))(params, x) for f in (ours, theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


def test_weighted_frames_read_as_frames_weighted_before(given):
    x, valid = given
    module = Lstm(HIDDEN, layers=2)
    params = module.init(jax.random.key(1), x, valid)
    weights = jax.random.uniform(jax.random.key(2), (3, BATCH, STEPS))

    def inside(weights, x):
        return jnp.sum(module.apply(params, x, valid, weights) * valid[..., None])

    def before(weights, x):
        return jnp.sum(module.apply(params, x * weights[..., None], valid) * valid[..., None])

    found, expected = (
        jax.vmap(jax.grad(total, argnums=(0, 1)), (0, None))(weights, x) for total in (inside, before)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


def test_bfloat16_products_stay_near_float32_and_give_float32(given):
    x, valid = given
    exact, rough = (Lstm(HIDDEN, layers=2, bidirectional=True, dtype=d) for d in (jnp.float32, jnp.bfloat16))
    params = exact.init(jax.random.key(1), x, valid)

    def total(params, x, module):
        out = module.apply(params, x, valid)
        return jnp.sum(jnp.square(out) * valid[..., None]), out

    (expected, out), (found, rough_out) = (
        jax.grad(functools.partial(total, module=module), argnums=(0, 1), has_aux=True)(params, x)
        for module in (exact, rough)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves((found, rough_out))} == {jnp.dtype('float32')}
    assert np.any(out != rough_out)
    # A rounding to 8 bits, through four products one after another.
    np.testing.assert_allclose(rough_out, out, atol=0.03)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(one - other) < 0.03 * np.linalg.norm(other)


def test_one_input_for_all_steps_is_that_input_at_every_step(given):
    x, valid = given
    module = Lstm(HIDDEN, layers=2)
    params = module.init(jax.random.key(1), x, valid)
    repeated = jnp.repeat(x[:, :1], STEPS, axis=1)
    np.testing.assert_allclose(
        module.apply(params, x[:, :1], valid)[valid], module.apply(params, repeated, valid)[valid], atol=1e-6
    )


def test_over_padding_the_state_stands_still_and_what_stands_there_does_not_matter(given):
    x, valid = given
    module = Lstm(HIDDEN, layers=2, bidirectional=True)
    params = module.init(jax.random.key(1), x, valid)
    out = module.apply(params, x, valid)
    forward = out[..., :HIDDEN]
    np.testing.assert_array_equal(forward[1, 3], forward[1, -1])
    spoilt = jnp.where(valid[..., None], x, jnp.nan)
    longer = jnp.pad(spoilt, ((0, 0), (0, 5), (0, 0)), constant_values=jnp.nan)
    other = module.apply(params, longer, jnp.pad(valid, ((0, 0), (0, 5))))
    np.testing.assert_array_equal(out[valid], other[:, :STEPS][valid])
