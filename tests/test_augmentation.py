import jax
import jax.numpy as jnp
import numpy as np
from tiny import Setting, tiny_config

from trsum_jax.training.variations import permuted


def test_what_frames_are_to_each_other_stays_and_nothing_else():
    frames = jax.random.normal(jax.random.key(1), (7, 5))
    found = permuted(jax.random.key(2), frames)
    np.testing.assert_allclose(found @ found.T, frames @ frames.T, rtol=1e-5, atol=1e-5)
    # Every column is one of the old ones or its opposite.
    columns = {tuple(column) for column in np.abs(np.asarray(frames)).T}
    assert {tuple(column) for column in np.abs(np.asarray(found)).T} == columns
    assert np.any(np.asarray(found) != np.asarray(frames))


def test_every_order_and_sign_is_drawn_equally_often():
    draws = 12_000
    found = jax.vmap(permuted, (0, None))(
        jax.random.split(jax.random.key(0), draws), jnp.array([[1.0, 2, 3]])
    )
    kinds, counts = np.unique(np.asarray(found[:, 0]), axis=0, return_counts=True)
    assert len(kinds) == 6 * 8
    # 250 expected of each, standard deviation 16.
    assert np.all(np.abs(counts - draws / 48) < 5 * 16)


def test_the_summarizer_alone_sees_it():
    one, other = (Setting(tiny_config(**{'summarizer.permute_features': on})) for on in (False, True))
    frozen = one.train(one.stage1, epochs=1)[0].params
    for leaf, same in zip(
        jax.tree.leaves(frozen), jax.tree.leaves(other.train(other.stage1, epochs=1)[0].params), strict=True
    ):
        np.testing.assert_array_equal(leaf, same)
    first, second = (setting.train(setting.stage2, frozen, epochs=1)[1][0] for setting in (one, other))
    # With heads of .02 the first draws are nearly the same, and so is what the generator makes of them.
    np.testing.assert_allclose(first['reward'], second['reward'], atol=5e-3)
    assert np.any(first['p_std'] != second['p_std'])
