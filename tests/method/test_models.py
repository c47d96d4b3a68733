import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import errors

from configs import default
from trsum_jax.experiment.config import bind
from trsum_jax.method import encoder, models, rewards


def encoder_of(**options):
    sizes = {'width': 8, 'layers': 2, 'heads': 2, 'feed_forward': 16}
    return encoder.Encoder(encoder.EncoderConfig(**sizes, **options))


ENCODER = encoder_of()
WIDTH = 6


def data(length=7, n_valid=5, seed=0):
    frames = jax.random.normal(jax.random.key(seed), (length, WIDTH))
    return frames, jnp.arange(length) < n_valid


def generator(**options):
    module = models.Generator(ENCODER, feature_scale=WIDTH**0.5, **options)
    frames, valid = data()
    return module, module.init(jax.random.key(1), frames, valid, ~valid)


def test_published_preset_has_the_papers_number_of_parameters():
    config = default.get_config('published')
    module = bind(config, 1024, 1).generator
    shapes = jax.eval_shape(
        lambda key: module.init(key, jnp.zeros((128, 1024)), jnp.ones(128, bool), jnp.zeros(128, bool)),
        jax.random.key(0),
    )
    assert models.count_parameters(shapes) == 37_788_672


@pytest.mark.parametrize('positions', encoder.POSITIONS)
@pytest.mark.parametrize('mask_token', models.MASK_TOKENS)
def test_a_longer_padding_changes_nothing(positions, mask_token):
    inside = encoder_of(positions=positions)
    # Centred, a masked frame without a position is a vector of zeros up to rounding, which norms blow up.
    centred = positions != 'none'
    module = models.Generator(inside, mask_token=mask_token, feature_scale=2.0, centred=centred)
    summarizer = models.Summarizer(inside, feature_scale=2.0)
    frames, valid = data(length=9, n_valid=5)
    masked = jnp.arange(9) == 2
    params = module.init(jax.random.key(1), frames, valid, masked)
    scores = summarizer.init(jax.random.key(2), frames, valid)

    garbage = frames.at[5:].set(1e3)
    long = module.apply(params, garbage, valid, masked)[:5]
    short = module.apply(params, frames[:6], valid[:6], masked[:6])[:5]
    np.testing.assert_allclose(long, short, atol=1e-5)
    long = summarizer.apply(scores, garbage, valid)[:5]
    short = summarizer.apply(scores, frames[:6], valid[:6])[:5]
    np.testing.assert_allclose(long, short, atol=1e-5)


@pytest.mark.parametrize('mask_token', models.MASK_TOKENS)
@pytest.mark.parametrize('centred', [True, False])
def test_what_a_masked_frame_shows_has_no_influence(mask_token, centred):
    module, params = generator(mask_token=mask_token, centred=centred)
    frames, valid = data()
    masked = jnp.arange(7) == 1
    before = module.apply(params, frames, valid, masked)
    after = module.apply(params, frames.at[1].set(jnp.nan), valid, masked)
    np.testing.assert_array_equal(before, after)


def test_a_learned_token_stands_where_a_frame_is_masked_and_begins_near_zero():
    module, params = generator(mask_token='learned', centred=False)
    token = params['params'].pop('mask_token')
    assert np.all((np.abs(token) > 1e-4) & (np.abs(token) < 0.1))
    frames, valid = data()
    hidden = jnp.arange(7) == 1
    batch = frames[None], valid[None], hidden[None]
    found = module.apply({'params': params['params'] | {'mask_token': token}}, *batch)[0]
    zero = models.Generator(ENCODER, feature_scale=WIDTH**0.5, centred=False)
    shown = frames.at[1].set(token / WIDTH**0.5)
    np.testing.assert_allclose(found[:5], zero.apply(params, shown, valid, ~valid)[:5], atol=1e-5)


def test_a_visible_frame_has_influence():
    module, params = generator()
    frames, valid = data()
    masked = jnp.arange(7) == 1
    before = module.apply(params, frames, valid, masked)
    after = module.apply(params, frames.at[3].add(1.0), valid, masked)
    assert np.max(np.abs(before - after)[:5]) > 1e-3


def test_a_centred_generator_follows_a_common_shift():
    module, params = generator(centred=True)
    frames, valid = data()
    masked = jnp.arange(7) == 1
    moved = module.apply(params, frames + 3.0, valid, masked)
    np.testing.assert_allclose(moved, module.apply(params, frames, valid, masked) + 3.0, atol=1e-4)


def test_a_centred_summarizer_ignores_a_common_shift():
    module = models.Summarizer(ENCODER)
    frames, valid = data()
    params = module.init(jax.random.key(0), frames, valid)
    # At the start every frame is as likely as not.
    kernel = np.abs(params['params']['score']['kernel'])
    assert np.all((kernel > 1e-5) & (kernel < 0.1))
    moved = module.apply(params, frames + 3.0, valid)
    np.testing.assert_allclose(moved[:5], module.apply(params, frames, valid)[:5], atol=1e-4)


def test_wanted_frames_are_those_of_the_whole_segment():
    module = models.Generator(ENCODER, feature_scale=2.0)
    frames = jax.random.normal(jax.random.key(0), (3, 7, WIDTH))
    valid = jnp.arange(7)[None] < jnp.array([[7], [5], [2]])
    masked = jnp.zeros((3, 7), bool).at[:, 1].set(True)
    wanted = jnp.array([[1, 6, 0], [4, 1, 2], [1, 0, 3]])
    params = module.init(jax.random.key(1), frames, valid, masked)

    def whole(params):
        rebuilt = module.apply(params, frames, valid, masked)
        return jnp.take_along_axis(rebuilt, wanted[..., None], axis=1)

    def alone(params):
        return module.apply(params, frames, valid, masked, wanted)

    np.testing.assert_allclose(alone(params), whole(params), atol=1e-5)
    expected, found = (jax.grad(lambda p, f=f: jnp.sum(jnp.sin(f(p))))(params) for f in (whole, alone))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, expected)


# What the reward reads of a reconstruction, in all ways that leave out the selected frames.
HOW = [('composed', 'all'), ('composed', 'unselected'), ('generator', 'unselected')]


def test_rewards_are_those_of_the_whole_segment_where_hidden_frames_alone_are_rebuilt():
    # Three batches; of 16 frames 10 are rebuilt, or 12, or all. The fourth segment is padded.
    hidden = np.array([[3, 10, 10, 0], [11, 10, 3, 2], [13, 3, 12, 16]])
    valid = np.arange(16) < np.array([16, 16, 16, 9])[:, None]
    frames = jax.random.normal(jax.random.key(0), (4, 16, WIDTH))
    # Anywhere in the segment.
    places = np.argsort(np.random.default_rng(2).random((3, 4, 16)))
    actions = places >= hidden[..., None]
    whole = models.Generator(ENCODER, mask_token='learned', feature_scale=2.0)
    params = jax.jit(whole.init)(jax.random.key(1), frames[0], valid[0], valid[0])

    def segment(module, frames, valid, action):
        rebuilt = module.apply(params, frames, valid, ~action)
        told = functools.partial(rewards.reward_and_parts, frames, valid, action, rebuilt)
        return [told(reconstruct=reconstruct, over=over) for reconstruct, over in HOW]

    def batch(action):
        given, alone = (frames, valid, action), whole.clone(hidden_alone=True)
        one_by_one = jax.lax.map(lambda one: segment(alone, *one), given)
        return one_by_one, *(jax.vmap(functools.partial(segment, m))(*given) for m in (alone, whole))

    *found, expected = jax.jit(lambda: jax.lax.map(batch, actions))()
    for told in found:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), told, expected)


def test_hidden_frames_alone_begin_with_the_same_parameters():
    frames, valid = data()
    modules = models.Generator(ENCODER), models.Generator(ENCODER, hidden_alone=True)
    begun = [module.init(jax.random.key(1), frames, valid, ~valid) for module in modules]
    jax.tree.map(np.testing.assert_array_equal, *begun)


def test_hidden_frames_alone_are_not_differentiated_in_silence():
    module = models.Generator(ENCODER, hidden_alone=True)
    frames, valid = np.ones((7, WIDTH), np.float32), np.ones(7, bool)
    params = jax.eval_shape(module.init, jax.random.key(0), frames, valid, valid.astype(float))

    def gradient(masked):
        total = jax.grad(lambda params: jnp.sum(module.apply(params, frames, valid, masked)))
        return jax.eval_shape(total, params)

    with pytest.raises(ValueError, match='reverse-mode'):
        gradient(valid)
    # By a float mask all are rebuilt.
    assert gradient(valid.astype(float)).keys() == params.keys()


@pytest.mark.parametrize(('preset', 'fields', 'alone'), [
    ('default', {}, False), ('reconstruction', {}, True), ('published', {}, False),
    ('published', {'summarizer.reward_frames': 'unselected'}, True),
])  # fmt: skip
def test_hidden_frames_alone_are_rebuilt_where_the_reward_reads_no_others(preset, fields, alone):
    config = default.get_config(preset)
    config.update_from_flattened_dict(fields)
    bound = bind(config, 1024, 1)
    assert bound.second.generator == bound.generator.clone(hidden_alone=alone)
    assert not bound.generator.hidden_alone


def test_only_the_first_attention_starts_as_a_comparison():
    frames, valid = data()
    for cosine_start in (True, False):
        module = models.Generator(encoder_of(cosine_start=cosine_start))
        encoder = module.init(jax.random.key(0), frames, valid, ~valid)['params']['encoder']
        first, second = (encoder[f'block_{i}']['attention']['out']['kernel'] for i in range(2))
        assert np.all(first == -np.eye(8)) == cosine_start
        assert np.any(second != -np.eye(8))


def test_dropout_is_random_in_training_only():
    module = models.Summarizer(encoder_of(dropout=0.5))
    frames, valid = data()
    params = module.init(jax.random.key(0), frames, valid)
    quiet = module.apply(params, frames, valid)
    one, two = (
        module.apply(params, frames, valid, False, rngs={'dropout': jax.random.key(i)}) for i in range(2)
    )
    np.testing.assert_array_equal(quiet, module.apply(params, frames, valid))
    assert np.any(one != two)
    # The generator is quiet by default too: in training it would ask for a key.
    module = models.Generator(encoder_of(dropout=0.5))
    init = jax.eval_shape(module.init, jax.random.key(0), frames, valid, ~valid)
    assert jax.eval_shape(module.apply, init, frames, valid, ~valid).shape == frames.shape
    with pytest.raises(errors.InvalidRngError):
        jax.eval_shape(lambda p: module.apply(p, frames, valid, ~valid, None, False), init)


def test_with_everything_dropped_a_block_is_its_residual_path_and_no_attention_is_paid():
    x, valid = jax.random.normal(jax.random.key(0), (5, 8)), jnp.ones(5, bool)
    sizes = encoder.EncoderConfig(heads=2, feed_forward=16, dropout=1.0)
    block, attention = encoder.Block(sizes), encoder.Attention(sizes)
    for module, expected in ((block, x), (attention, jnp.full((5, 8), 0.5))):
        # With a bias of 0.5 in each product, whatever else is at work is seen.
        init = jax.jit(lambda key, module=module: module.init(key, x, valid, True))
        params = jax.tree.map(lambda leaf: leaf + 0.5, init(jax.random.key(1)))
        found = module.apply(params, x, valid, False, rngs={'dropout': jax.random.key(2)})
        np.testing.assert_array_equal(found, expected)


def test_bfloat16_stays_near_float32_and_gives_float32():
    frames, valid = data()
    exact = models.Generator(ENCODER)
    rough = models.Generator(encoder_of(dtype=jnp.bfloat16))
    params = exact.init(jax.random.key(0), frames, valid, ~valid)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    output = rough.apply(params, frames, valid, ~valid)
    assert output.dtype == jnp.float32
    np.testing.assert_allclose(output[:5], exact.apply(params, frames, valid, ~valid)[:5], atol=0.1)


@pytest.mark.parametrize(('module', 'last', 'types'), [
    (models.Generator, 'map_out', ['bf16', 'bf16']), (models.Summarizer, 'score', ['bf16', 'f32']),
])  # fmt: skip
def test_the_last_product_has_a_name_in_checkpoints_and_a_type(module, last, types):
    whole = module(encoder_of(dtype=jnp.bfloat16))
    frames, valid = data()
    given = (frames, valid, ~valid) if last == 'map_out' else (frames, valid)
    params = jax.eval_shape(whole.init, jax.random.key(0), *given)
    assert set(params['params']) == {'encoder', last}
    shapes = {name: leaf.shape for name, leaf in params['params'][last].items()}
    assert shapes == ({'kernel': (8, 6), 'bias': (6,)} if last == 'map_out' else {'kernel': (8, 1)})
    text = str(jax.make_jaxpr(whole.apply)(params, *given))
    assert re.findall(r':(\w+)\[[\d,]*\] = dot_general', text)[-2:] == types


def test_features_as_wide_as_the_model_are_not_mapped():
    frames, valid = jnp.zeros((2, 7, 8)), jnp.ones((2, 7), bool)
    params = jax.eval_shape(models.Generator(ENCODER).init, jax.random.key(0), frames, valid, valid)
    assert set(params['params']) == {'encoder'}
    assert set(params['params']['encoder']) == {'block_0', 'block_1'}
