import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats
from tiny import Setting, tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.method import episodes, estimators
from trsum_jax.method.policies import subsets
from trsum_jax.training import trsum
from trsum_jax.training.corpus import gather

LOGITS = jnp.array([0.3, -1.2, 5.0, 0.8, 2.1, -0.4])
VALID = jnp.array([True, True, False, True, True, True])  # padding within, with a logit that would choose it
SEEN = episodes.Baseline(jnp.array(0.4), jnp.array(True))


def of_size(size, valid=VALID):
    """All selections of so many valid frames, [K, L]."""
    chosen = itertools.combinations(np.flatnonzero(valid), size)
    return np.array([np.isin(np.arange(len(valid)), one) for one in chosen])


def brute(logits, actions):
    """The policy's probabilities by enumeration, float64."""
    energy = np.where(actions, np.asarray(logits, np.float64), 0.0).sum(axis=1)
    return np.exp(energy - special.logsumexp(energy))


def wavy(action):
    """Any function of all frames together; a reading of the padding would show."""
    return jnp.sin(jnp.dot(action, jnp.array([1.0, 2.0, 50.0, -0.5, 3.0, 1.3]))) + 0.7 * action[0] * action[3]


def outcomes(actions):
    actions = actions.astype(jnp.float32)
    return estimators.Outcome(jax.vmap(wavy)(actions), jnp.zeros(actions.shape))


def log_symmetric(logits):
    """`log Σ_|b|=j exp(b · φ)` for all j, the plain recursion in float64: [..., K] to [..., K + 1]."""
    found = np.full((*logits.shape[:-1], logits.shape[-1] + 1), -np.inf)
    found[..., 0] = 0.0
    for t in range(logits.shape[-1]):
        found[..., 1:] = np.logaddexp(found[..., 1:], logits[..., t : t + 1] + found[..., :-1])
    return found


def test_levelled_logits_take_k_valid_frames_on_average():
    levelled = jax.jit(subsets._levelled)
    for size in (1, 3, 5):
        found = np.asarray(levelled(LOGITS, VALID, size))
        np.testing.assert_allclose(found - LOGITS, np.full(6, found[0] - LOGITS[0]), atol=1e-5)
        assert special.expit(found[VALID]).sum() == pytest.approx(size, abs=1e-4)


def test_log_probabilities_and_their_gradients_are_those_of_all_subsets():
    """The gradient is the action less how often each frame is taken."""
    by_size = {size: of_size(size) for size in range(1, 6)}
    sizes = np.repeat(list(by_size), [len(actions) for actions in by_size.values()])
    of_one = jax.value_and_grad(subsets.log_probability_of_subset)
    every = jax.jit(jax.vmap(of_one, (None, 0, None, 0)))
    value, gradient = map(np.asarray, every(LOGITS, np.concatenate(list(by_size.values())), VALID, sizes))
    for size, actions in by_size.items():
        found, expected = value[sizes == size], brute(LOGITS, actions)
        assert np.exp(found).sum() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(found, np.log(expected), atol=1e-5)
        np.testing.assert_allclose(gradient[sizes == size], actions - expected @ actions, atol=1e-6)


@pytest.mark.parametrize('size', [1, 3, 5])
def test_draws_follow_the_policy(size):
    actions = of_size(size)
    drawn = np.asarray(subsets.sample_subsets(jax.random.key(1), LOGITS, VALID, size, 20_000))
    assert not drawn[:, 2].any()
    assert np.all(drawn.sum(axis=1) == size)
    seen = (drawn[:, None] == actions[None]).all(axis=2).sum(axis=0)
    if size < 5:
        assert stats.chisquare(seen, 20_000 * brute(LOGITS, actions)).pvalue > 1e-3


@pytest.mark.parametrize(('u', 'expected'), [(0.0, [4, 5]), (1.0, [0, 1])])
def test_the_ends_of_the_uniform_draws_take_neither_more_nor_less(u, expected, monkeypatch):
    monkeypatch.setattr(jax.random, 'uniform', lambda key, shape: jnp.full(shape, u))
    drawn = subsets.sample_subsets(jax.random.key(0), LOGITS, VALID, 2, 1)
    assert np.flatnonzero(drawn[0]).tolist() == expected


@pytest.mark.parametrize('kind', episodes.BASELINES)
def test_over_all_pairs_of_episodes_its_mean_is_the_gradient(kind, monkeypatch):
    # Actions are given where a key would be. Of 5 valid frames .4 are 2.
    monkeypatch.setattr(subsets, 'sample_subsets', lambda key, logits, valid, size, n: key)
    actions = jnp.array(of_size(2))
    pairs = jnp.array(list(itertools.product(range(len(actions)), repeat=2)))
    probability = brute(LOGITS, actions)

    def expected(x):
        energy = jnp.where(actions, x, 0.0).sum(axis=1)
        return jax.nn.softmax(energy) @ outcomes(actions).rewards

    @jax.jit
    @jax.vmap
    def one(which):
        def surrogate(x):
            how = {'n_episodes': 2, 'share': 0.4, 'kind': kind}
            return subsets.subsets(actions[which], x, VALID, outcomes, SEEN, **how).surrogate

        return -jax.grad(surrogate)(LOGITS)

    found = probability[pairs].prod(axis=1) @ np.asarray(one(pairs), np.float64)
    np.testing.assert_allclose(found, jax.grad(expected)(LOGITS), atol=2e-6)
    assert np.abs(found).max() > 0.05
    assert found[2] == 0


@pytest.fixture(scope='module')
def estimates():
    """Of every kind, from the same draws."""

    @jax.jit
    def every(key):
        how = {'n_episodes': 3, 'share': 0.6}
        return {
            kind: subsets.subsets(key, LOGITS, VALID, outcomes, SEEN, kind=kind, **how)
            for kind in episodes.BASELINES
        }

    return every(jax.random.key(8))


@pytest.mark.parametrize('kind', episodes.BASELINES)
def test_advantages_by_hand(kind, estimates):
    found = estimates[kind]
    drawn = subsets.sample_subsets(jax.random.key(8), LOGITS, VALID, 3, 3)
    rewards = np.asarray(outcomes(drawn).rewards)
    assert len(set(rewards)) == 3, 'the test could not tell one episode from another'
    np.testing.assert_allclose(found.rewards, rewards, atol=1e-6)
    level = {
        'none': 0.0,
        # The three largest logits of valid frames.
        'greedy': float(wavy(jnp.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0]))),
        'leave_one_out': (rewards.sum() - rewards) / 2,
    }.get(kind, 0.4)
    np.testing.assert_allclose(found.advantages, rewards - level, atol=1e-6)


def surrogate_of(logits, valid=VALID, share=0.6, reduction='sum'):
    how = {'n_episodes': 4, 'share': share, 'reduction': reduction}
    return subsets.subsets(jax.random.key(4), logits, valid, outcomes, SEEN, **how).surrogate


value_and_gradient = jax.jit(jax.value_and_grad(surrogate_of), static_argnames='reduction')


def gradient_of(*arguments, **options):
    return value_and_gradient(*arguments, **options)[1]


def test_a_mean_over_frames_is_the_sum_by_their_number():
    total, mean = (gradient_of(LOGITS, reduction=reduction) for reduction in ('sum', 'mean'))
    np.testing.assert_allclose(5 * mean, total, atol=1e-5)


def test_a_number_added_to_all_logits_changes_nothing_and_has_no_gradient():
    found = [gradient_of(LOGITS + added) for added in (0.0, 7.0, -20.0)]
    assert np.abs(found[0]).max() > 0.01
    for one in found:
        np.testing.assert_allclose(one, found[0], atol=1e-4)
        assert np.sum(one) == pytest.approx(0, abs=1e-5)


def test_the_penalty_alone_holds_the_mean_of_p_and_costs_no_reward():
    actions = jnp.array(of_size(3))
    of_one = jax.vmap(subsets.log_probability_of_subset, (None, 0, None, None))

    def reward(x):
        return jnp.exp(of_one(x, actions, VALID, 3)) @ outcomes(actions).rewards

    def loss(x, weight):
        return -reward(x) + weight * episodes.length_penalty(x, VALID, 0.6, 'square')

    @jax.jit
    def descended(level, weight):
        start = jnp.where(VALID, LOGITS / 4 + level, 0.0)
        return jax.lax.fori_loop(0, 300, lambda _, x: x - 0.5 * jax.grad(loss)(x, weight), start)

    def mean_of(x):
        return float(jnp.mean(jax.nn.sigmoid(x[VALID])))

    free, held = ([descended(level, weight) for level in (2.0, -2.0)] for weight in (0.0, 5.0))
    assert mean_of(free[0]) > mean_of(free[1]) + 0.2
    for one in held:
        assert mean_of(one) == pytest.approx(0.6, abs=0.03)
        assert float(reward(one)) == pytest.approx(float(reward(free[0])), abs=0.01)
    assert float(reward(free[0])) > float(reward(LOGITS / 4)) + 1


def test_segments_of_other_lengths_and_shares_go_through_one_program():
    logits = jax.random.normal(jax.random.key(0), (3, 6))
    valid = jnp.array([[True] * 6, [True] * 4 + [False] * 2, [False, True, False, True, True, False]])
    share = jnp.array([0.5, 0.25, 1.0])
    together = jax.jit(jax.vmap(gradient_of))(logits, valid, share)
    for one, *arguments in zip(together, logits, valid, share, strict=True):
        np.testing.assert_allclose(one, gradient_of(*arguments), atol=1e-5)


def test_the_size_by_hand():
    for frames, share, expected in (
        *((10, 0.5, 5), (10, 0.26, 3), (10, 0.0, 1), (10, 1.0, 10), (1, 0.3, 1)),
        *((5, 0.5, 2), (7, 0.5, 4)),  # halves to the even number
    ):
        found = subsets.subset_size(jnp.arange(10) < frames, share)
        assert (int(found), found.dtype) == (expected, jnp.int32)


EXTREMES = {
    'spread': lambda key: 3.0 * jax.random.normal(key, (128,)),
    'ends': lambda key: 30.0 * jax.random.rademacher(key, (128,), jnp.float32),
    'equal': lambda key: jnp.full(128, 30.0),
}


@pytest.fixture(scope='module')
def at_length():
    """Log-probability and gradient of an action, and draws, of 128 frames; compiled once for all sizes."""
    valid = jnp.ones(128, bool)

    @jax.jit
    def found(logits, action, size):
        return (
            *jax.value_and_grad(subsets.log_probability_of_subset)(logits, action, valid, size),
            subsets.sample_subsets(jax.random.key(1), logits, valid, size, 200),
        )

    return found


@pytest.mark.parametrize('name', EXTREMES)
@pytest.mark.parametrize('size', [1, 64, 127, 128])
def test_of_128_frames_float32_agrees_with_float64(name, size, at_length):
    logits = EXTREMES[name](jax.random.key(0))
    action = np.arange(128) < size
    value, gradient, drawn = at_length(logits, action, size)
    exact = np.asarray(logits, np.float64)
    total = log_symmetric(exact)[size]
    assert float(value) == pytest.approx(exact[action].sum() - total, rel=1e-6, abs=2e-5)
    less = log_symmetric(np.array([np.delete(exact, t) for t in range(128)]))[:, size - 1]
    taken = np.minimum(np.exp(exact + less - total), 1.0)
    np.testing.assert_allclose(gradient, action - taken, atol=1e-5)
    assert np.all(np.asarray(drawn).sum(axis=1) == size)
    # How often each frame is taken, in the noise of 200 draws.
    assert np.all(np.abs(np.mean(drawn, axis=0) - taken) < 5 * np.sqrt(taken * (1 - taken) / 200) + 0.01)


def test_padding_alone_is_nothing():
    none = jnp.zeros(6, bool)
    value, gradient = value_and_gradient(LOGITS, none)
    assert value == 0
    assert not gradient.any()


def test_the_runs_of_a_grid_may_differ_in_the_share():
    setting = Setting(tiny_config(**{'summarizer.estimator': 'subsets'}))

    def share_taken(frames, valid, action, *beside):
        return jnp.sum(action) / jnp.sum(valid), jnp.zeros(action.shape)

    setup = dataclasses.replace(setting.bound.second, reward=share_taken)
    segment = gather(setting.corpus, int(np.flatnonzero(np.asarray(setting.corpus.valid).all(axis=1))[0]))
    blank = segment.frames, segment.valid, ~segment.valid
    shapes = jax.eval_shape(setting.generator.init, jax.random.key(0), *blank)['params']
    frozen = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)

    @jax.jit
    def of_share(share):
        numbers = setup.numbers._replace(share=share)
        state = trsum.SummarizerState((), (), episodes.start_baseline(6, 'first'))
        of_logits = functools.partial(trsum.policy_loss, setup, frozen, state, 0.0, numbers, segment)
        return of_logits(jax.random.key(0), jnp.zeros(8))[1]

    for share in (0.25, 0.75):
        metrics = of_share(share)
        assert metrics['reward'] == share
        assert metrics['reward_std'] == 0


def test_one_episode_has_no_others():
    fields = {'summarizer.estimator': 'subsets', 'summarizer.episodes': 1}
    check.check(tiny_config(**fields))
    with pytest.raises(InputError, match=r'leave_one_out needs .*episodes of 2 or more, found 1'):
        check.check(tiny_config(**fields, **{'summarizer.baseline': 'leave_one_out'}))
