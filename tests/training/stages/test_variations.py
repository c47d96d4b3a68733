"""What single variants of studies change: features in another order, whole shots, a generator that learns."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.data.standard import Standard
from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.bench import estimating
from trsum_jax.method import episodes, estimators, relaxations
from trsum_jax.training.stages.variations import over_shots, permuted


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


LOGITS = jnp.array([0.3, -1.2, 0.8, 0.1, 5.0])
SHOT = jnp.array([4, 4, 7, 7, 4])  # padding says the number of a real shot
VALID = jnp.array([True, True, True, True, False])
SEEN = episodes.Baseline(jnp.array(0.4), jnp.array(True))
DRAWS = 40_000


def reward(a):
    """Any function of all frames together; a reading of the padding would show."""
    return jnp.sin(jnp.dot(a, jnp.array([1.0, 0.5, 3.0, -1.0, 50.0]))) + 0.7 * a[0] * a[3]


def outcomes(actions):
    actions = actions.astype(jnp.float32)
    return estimators.Outcome(jax.vmap(reward)(actions), jnp.ones(actions.shape))


def exact(logits):
    """The gradient over the four ways to take the two shots, by enumeration."""

    def expected(logits):
        total = 0.0
        p = jax.nn.sigmoid(jnp.array([logits[:2].mean(), logits[2:4].mean()]))
        for one, other in itertools.product([0.0, 1.0], repeat=2):
            a = jnp.array([one, one, other, other, 0.0])
            total += (p[0] if one else 1 - p[0]) * (p[1] if other else 1 - p[1]) * reward(a)
        return total

    return jax.grad(expected)(logits)


@pytest.mark.parametrize('estimator', [
    functools.partial(estimators.reinforce, kind='leave_one_out'), estimators.arm, estimators.disarm,
], ids=['leave_one_out', 'arm', 'disarm'])  # fmt: skip
def test_the_gradient_is_that_of_a_policy_over_shots(estimator):
    whole = over_shots(functools.partial(estimator, n_episodes=4), SHOT)

    def one(key):
        return -jax.grad(lambda x: whole(key, x, VALID, outcomes, SEEN).surrogate)(LOGITS)

    drawn = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), DRAWS)))
    error = drawn.mean(axis=0) - exact(LOGITS)
    assert np.all(np.abs(error) <= 4.5 * drawn.std(axis=0) / DRAWS**0.5 + 1e-6)
    assert drawn[:, 4].tolist() == [0.0] * DRAWS


def test_a_shot_is_taken_whole_and_padding_never():
    seen = []

    def rewards_of(actions):
        seen.append(actions)
        return outcomes(actions)

    over_shots(functools.partial(estimators.reinforce, n_episodes=64), SHOT)(
        jax.random.key(0), LOGITS, VALID, rewards_of, SEEN
    )
    (actions,) = seen
    assert actions.dtype == bool
    assert {tuple(row) for row in np.asarray(actions).astype(int).tolist()} == {
        (one, one, other, other, 0) for one, other in itertools.product([0, 1], repeat=2)
    }


@pytest.mark.parametrize('estimator', [
    estimators.reinforce, functools.partial(estimators.local_credit, radius=1),
    functools.partial(relaxations.gumbel, temperature=1.0),
])  # fmt: skip
def test_where_every_frame_is_a_shot_nothing_changes(estimator):
    plain = functools.partial(estimator, n_episodes=4)
    every = jnp.arange(5)
    for decide in (plain, over_shots(plain, every)):
        found = decide(jax.random.key(3), LOGITS, VALID, outcomes, SEEN)
        if decide is plain:
            expected = found
    for one, other in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_stage_2_trains_with_it():
    setting = Setting(tiny_config(**{'summarizer.actions': 'shots'}))
    frozen = setting.train(setting.stage1, epochs=1)[0].params
    _, history = setting.train(setting.stage2, frozen, epochs=1)
    assert all(np.isfinite(value).all() for value in history[0].values())
    # Of few shots, each of several frames, draws differ more than of single frames.
    other = Setting(tiny_config())
    _, frames = other.train(other.stage2, frozen, epochs=1)
    assert np.all(history[0]['reward_std'] > frames[0]['reward_std'])


def setting_of(unfrozen):
    """A step an epoch; the same program for all tests."""
    fields = {'batch': 64, 'warmup': 0.0, 'learning_rate': 1e-2, 'epochs': 20}
    return Setting(
        tiny_config(
            **{'summarizer.train_generator': unfrozen, 'layout.microbatch': 0},
            **{f'summarizer.{name}': value for name, value in fields.items()},
        )
    )


@pytest.fixture(scope='module')
def generator():
    setting = setting_of(False)
    return setting.train(setting.stage1)[0].params


def test_the_first_step_of_the_summarizer_is_the_same_and_only_the_copy_moves(generator):
    before = jax.tree.map(np.array, generator)
    after = {}
    for unfrozen in (False, True):
        setting = setting_of(unfrozen)
        after[unfrozen], _ = setting.train(setting.stage2, generator, epochs=1)
    # In one step the rewards are those of the generator that both begin with.
    chex.assert_trees_all_close(after[True].params, after[False].params, atol=1e-6)
    assert after[False].generator == ()
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, generator), before)
    moved = jax.tree.map(lambda new, old: np.any(new != old), after[True].generator[0], before)
    assert all(jax.tree.leaves(moved))
    # It sees the frames by the run's standard: twice as far apart, by half the scale, they are the same.
    mean, scale = setting.runs.standard
    setting.corpus = setting.corpus._replace(frames=2 * setting.corpus.frames)
    runs = setting.runs._replace(standard=Standard(2 * mean, scale / 2))
    again, _ = setting.train(setting.stage2, generator, epochs=1, runs=runs)
    chex.assert_trees_all_close(again.generator[0], after[True].generator[0], atol=1e-6)


def test_it_learns_to_rebuild_what_the_episodes_hide(generator):
    rewards = {}
    for unfrozen in (False, True):
        setting = setting_of(unfrozen)
        _, history = setting.train(setting.stage2, generator, epochs=20)
        rewards[unfrozen] = np.mean([epoch['reward'] for epoch in history[-5:]], axis=0)
    assert np.all(rewards[True] > rewards[False] + 1e-3)


def test_without_a_reconstruction_to_learn_by_it_is_refused():
    fields = {'summarizer.train_generator': True, 'summarizer.reward_terms.coverage': 1.0}
    for weight in (0.0, -1.0):
        with pytest.raises(InputError, match=r'expected False, or reward_terms\.reconstruction over 0'):
            check.check(tiny_config(**fields, **{'summarizer.reward_terms.reconstruction': weight}))


def test_with_a_relaxation_it_is_refused():
    for name in estimating.RELAXED:
        with pytest.raises(InputError, match=f'expected False with estimator={name}'):
            check.check(tiny_config(**{'summarizer.train_generator': True, 'summarizer.estimator': name}))
