import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy import special, stats
from tiny import tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.method import episodes, estimators
from trsum_jax.method.models import Summarizer
from trsum_jax.method.policies import chains

# φ and κ; padding within, with logits that would choose it, and a coupling at the first that must not count.
LOGITS = jnp.array([[0.3, 7.0], [-1.2, -1.0], [5.0, 9.0], [0.8, 0.7], [0.1, 1.5]])
VALID = jnp.array([True, True, False, True, True])
ACTIONS = np.insert(list(itertools.product([False, True], repeat=4)), 2, False, axis=1)
SEEN = episodes.Baseline(jnp.array(0.4), jnp.array(True))


def probability(logits, xp):
    """Of each of the 16 actions, frame by frame, from the odds after what went before."""
    total, before = 1.0, 0.0
    for t in (0, 1, 3, 4):
        odds = xp.exp(logits[t, 0] + before * logits[t, 1])
        total *= xp.where(ACTIONS[:, t], odds, 1.0) / (1.0 + odds)
        before = np.where(ACTIONS[:, t], 1.0, -1.0)
    return total


PROBABILITY = probability(np.asarray(LOGITS, np.float64), np)


def outcomes(actions):
    """Any function of all frames together; a reading of the padding would show."""
    x = actions.astype(jnp.float32)
    rewards = jnp.sin(x @ jnp.array([1.0, 2.0, 50.0, -0.5, 3.0])) + 0.7 * x[:, 0] * x[:, 3]
    return estimators.Outcome(rewards, jnp.zeros(actions.shape))


@pytest.fixture(scope='module')
def known():
    """What the chain says of itself: of all actions the log-probability, marginals, entropy."""

    @jax.jit
    def of(logits):
        every = jax.vmap(chains.log_probability_of_chain, (None, 0, None))(logits, ACTIONS, VALID)
        return every, chains.marginal_logits(logits, VALID), chains.entropy_of_chain(logits, VALID)

    return [np.asarray(value, np.float64) for value in of(LOGITS)]


def test_log_probabilities_are_those_of_all_actions_and_sum_to_one(known):
    np.testing.assert_allclose(known[0], np.log(PROBABILITY), atol=1e-5)
    assert np.exp(known[0]).sum() == pytest.approx(1, abs=1e-6)


def test_marginals_and_entropy_are_those_of_all_actions(known):
    marginal = PROBABILITY @ ACTIONS
    np.testing.assert_allclose(np.delete(special.expit(known[1]), 2), np.delete(marginal, 2), atol=1e-6)
    # Without the coupling they would be others.
    assert np.abs(marginal - special.expit(LOGITS[:, 0]))[4] > 0.05
    assert known[2] == pytest.approx(-(PROBABILITY @ np.log(PROBABILITY)) / 4, abs=1e-6)


def test_draws_follow_the_policy():
    uniform = jax.random.uniform(jax.random.key(1), (20_000, 5))
    drawn = np.asarray(chains.follow(LOGITS, VALID, uniform))
    assert not drawn[:, 2].any()
    seen = (drawn[:, None] == ACTIONS[None]).all(axis=2).sum(axis=0)
    assert stats.chisquare(seen, 20_000 * PROBABILITY).pvalue > 1e-3


@pytest.mark.parametrize('kind', episodes.BASELINES)
def test_over_all_pairs_of_episodes_its_mean_is_the_gradient_by_both_logits(kind, monkeypatch):
    # Actions are given where a key would be; the greedy path is another walk.
    walk = chains.follow
    monkeypatch.setattr(jax.random, 'uniform', lambda key, shape: key)
    monkeypatch.setattr(chains, 'follow', lambda x, v, u: u if u.dtype == bool else walk(x, v, u))
    pairs = np.array(list(itertools.product(range(16), repeat=2)))

    @jax.jit
    @jax.vmap
    def one(actions):
        def surrogate(x):
            return chains.markov(actions, x, VALID, outcomes, SEEN, n_episodes=2, kind=kind).surrogate

        return -jax.grad(surrogate)(LOGITS)

    found = np.asarray(one(ACTIONS[pairs]), np.float64)
    mean = np.einsum('k,kld->ld', PROBABILITY[pairs].prod(axis=1), found)
    exact = jax.grad(lambda x: probability(x, jnp) @ outcomes(ACTIONS).rewards)(LOGITS)
    np.testing.assert_allclose(mean, exact, atol=2e-6)
    assert np.all(np.abs(mean)[jnp.array([1, 3, 4])] > 0.005)
    # Padding, and the coupling of the first frame to none before it.
    assert not mean[2].any()
    assert mean[0, 1] == 0


def test_advantages_by_hand_and_the_mean_over_frames():
    # The likelier choices, one after another: .3, -1.2 - 1, .8 - .7, .1 + 1.5.
    likelier = jnp.array([[True, False, False, True, True]])

    @jax.jit
    def found(key):
        estimate = functools.partial(chains.markov, key, LOGITS, VALID, outcomes, SEEN, n_episodes=3)
        drawn = chains.follow(LOGITS, VALID, jax.random.uniform(key, (3, 5)))
        estimates = estimate(), estimate(reduction='mean'), estimate(kind='greedy')
        return *estimates, outcomes(drawn).rewards, outcomes(likelier).rewards

    total, mean, greedy, rewards, of_likelier = found(jax.random.key(3))
    assert len({*rewards.tolist(), *of_likelier.tolist()}) > 2
    np.testing.assert_allclose(total.advantages, rewards - 0.4, atol=1e-6)
    np.testing.assert_allclose(greedy.advantages, rewards - of_likelier, atol=1e-6)
    assert 4 * float(mean.surrogate) == pytest.approx(float(total.surrogate), abs=1e-5)


@jax.jit
@functools.partial(jax.grad, has_aux=True)
def slopes_of_all(logits):
    found = (
        chains.marginal_logits(logits, jnp.ones(128, bool)),
        chains.entropy_of_chain(logits, jnp.ones(128, bool)),
    )
    return jnp.mean(found[0]) + found[1], found


def test_of_128_frames_that_are_all_but_decided_it_stays_finite():
    logits = jnp.stack([jnp.full(128, 40.0), jnp.tile(jnp.array([60.0, -60.0]), 64)], axis=1)
    for value in jax.tree.leaves(slopes_of_all(logits)):
        assert np.isfinite(value).all()


class Nothing(nn.Module):
    """An encoder that gives what it gets."""

    def __call__(self, x, valid, deterministic):
        return x


def test_a_new_summarizer_is_the_bernoulli_policys_and_its_scores_are_marginals_once_it_is_not():
    valid = np.stack([VALID, np.arange(5) < 2])
    plain, chain = Summarizer(Nothing()), chains.ChainSummarizer(Nothing())

    @jax.jit
    def found(frames):
        of_plain = plain.init(jax.random.key(0), frames, valid)
        start = chain.init(jax.random.key(0), frames, valid)['params']
        moved = {'params': {**start, 'coupling': {'kernel': jnp.array([[1.0], [-2.0], [0.5]])}}}
        given = chain.apply(moved, frames, valid, method='policy')
        return (
            *(plain.apply(of_plain, frames, valid), chain.apply({'params': start}, frames, valid)),
            *(given, chain.apply(moved, frames, valid), jax.vmap(chains.marginal_logits)(given, valid)),
        )

    before, at_start, given, after, marginal = map(
        np.asarray, found(jnp.sin(jnp.arange(30.0)).reshape(2, 5, 3))
    )
    np.testing.assert_allclose(at_start[valid], before[valid], atol=1e-6)
    np.testing.assert_allclose(given[..., 0], before, atol=1e-6)
    np.testing.assert_allclose(after, marginal, atol=1e-6)
    assert np.abs(after - before)[valid].max() > 0.01


def test_whole_shots_are_refused():
    with pytest.raises(InputError, match=r'actions: expected frames with markov.*found shots'):
        check.check(tiny_config(**{'summarizer.estimator': 'markov', 'summarizer.actions': 'shots'}))
