"""A generator that goes on learning in stage 2."""

import chex
import jax
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import check, config


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
    for name in config.RELAXED:
        with pytest.raises(InputError, match=f'expected False with estimator={name}'):
            check.check(tiny_config(**{'summarizer.train_generator': True, 'summarizer.estimator': name}))
