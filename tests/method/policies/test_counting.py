import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.method import episodes, estimators
from trsum_jax.method.policies.counting import count_control

LOGITS = jnp.array([0.3, -1.2, 5.0, 0.8, 0.1])
VALID = jnp.array([True, True, False, True, True])  # padding within, with a logit that would choose it
ACTIONS = jnp.asarray(np.insert(list(itertools.product([False, True], repeat=4)), 2, False, axis=1))
SEEN = episodes.Baseline(jnp.array(0.4), jnp.array(True))
NEW = episodes.Baseline(jnp.array(9.0), jnp.array(False))
KINDS = {
    'moving_average': ('moving_average', SEEN),
    'a new video': ('moving_average', NEW),
    'leave_one_out': ('leave_one_out', SEEN),
    'greedy': ('greedy', SEEN),
    'none': ('none', SEEN),
}


def wavy(action):
    """Any function of all frames together; a reading of the padding would show."""
    return jnp.sin(jnp.dot(action, jnp.array([1.0, 2.0, 50.0, -0.5, 3.0]))) + 0.7 * action[0] * action[3]


def by_count(action):
    """Mostly the number of frames."""
    return 0.1 + 0.2 * jnp.sum(action) + 0.02 * wavy(action)


def outcomes(reward, actions):
    rewards = jax.vmap(reward)(actions.astype(jnp.float32))
    return estimators.Outcome(rewards, jnp.zeros(actions.shape))


def probability(logits):
    """Of each of the 16 actions."""
    p = jax.nn.sigmoid(logits)
    return jnp.prod(jnp.where(VALID, jnp.where(ACTIONS, p, 1 - p), 1.0), axis=1)


def exact(reward):
    return jax.grad(lambda x: probability(x) @ outcomes(reward, ACTIONS).rewards)(LOGITS)


def mean_and_variance(monkeypatch, estimator, reward, baseline, n_episodes):
    """Of the estimate, [5] and a scalar, over all tuples of episodes, each weighted by its probability."""
    # Actions are given where a key would be.
    monkeypatch.setattr(episodes, 'sample', lambda key, logits, valid, n: key)
    chosen = jnp.array(list(itertools.product(range(16), repeat=n_episodes)))
    weight = np.asarray(jnp.prod(probability(LOGITS)[chosen], axis=1), np.float64)

    @jax.jit
    @jax.vmap
    def one(which):
        def surrogate(x):
            rewards_of = functools.partial(outcomes, reward)
            return estimator(ACTIONS[which], x, VALID, rewards_of, baseline, n_episodes=n_episodes).surrogate

        return -jax.grad(surrogate)(LOGITS)

    found = np.asarray(one(chosen), np.float64)
    mean = weight @ found
    return mean, weight @ np.sum(np.square(found - mean), axis=1)


@pytest.mark.parametrize(
    ('name', 'n_episodes'), [*((name, 3) for name in KINDS), ('moving_average', 2), ('leave_one_out', 2)]
)
def test_over_all_tuples_of_episodes_its_mean_is_the_gradient(name, n_episodes, monkeypatch):
    kind, baseline = KINDS[name]
    estimator = functools.partial(count_control, kind=kind)
    mean, _ = mean_and_variance(monkeypatch, estimator, wavy, baseline, n_episodes)
    np.testing.assert_allclose(mean, exact(wavy), atol=2e-6)
    assert np.max(np.abs(exact(wavy))) > 0.1


def test_by_default_the_level_is_the_videos_average():
    """Of a new video the mean of the other episodes."""
    key, rewards_of = jax.random.key(1), functools.partial(outcomes, wavy)
    for baseline in (SEEN, NEW):
        given = key, LOGITS, VALID, rewards_of, baseline
        found = count_control(*given, n_episodes=4)
        expected = count_control(*given, n_episodes=4, kind='moving_average', reduction='sum')
        np.testing.assert_array_equal(found.advantages, expected.advantages)
        np.testing.assert_array_equal(found.surrogate, expected.surrogate)


def test_the_mean_over_frames_is_their_sum_divided_by_those_that_are_valid():
    def gradient(reduction):
        def surrogate(logits):
            given = jax.random.key(1), logits, VALID, functools.partial(outcomes, wavy), SEEN
            return count_control(*given, n_episodes=4, reduction=reduction).surrogate

        return jax.grad(surrogate)(LOGITS)

    total, mean = jax.jit(lambda: [gradient('sum'), gradient('mean')])()
    assert np.all((np.abs(total) > 0.01) == VALID)
    np.testing.assert_allclose(mean, total / 4, rtol=1e-5)


def test_the_enumeration_sees_a_bias(monkeypatch):
    mean, _ = mean_and_variance(monkeypatch, estimators.reinforce, wavy, NEW, 3)
    # A mean that holds the own reward shrinks the gradient by (N - 1) / N.
    np.testing.assert_allclose(mean, 2 / 3 * exact(wavy), atol=2e-6)


@pytest.mark.parametrize(('name', 'times'), [('moving_average', 3), ('leave_one_out', 1.3)])
def test_of_a_reward_that_follows_the_count_it_has_less_variance(name, times, monkeypatch):
    kind, baseline = KINDS[name]
    level = episodes.Baseline(probability(LOGITS) @ outcomes(by_count, ACTIONS).rewards, baseline.seen)
    variance = [
        mean_and_variance(monkeypatch, functools.partial(of, kind=kind), by_count, level, 3)[1]
        for of in (estimators.reinforce, count_control)
    ]
    assert variance[0] > times * variance[1]


def test_of_many_frames_only_what_is_not_count_is_left():
    logits, valid = jnp.linspace(-1.0, 1.0, 40), jnp.ones(40, bool)
    # The order of frames counts for a twentieth of what their number does.
    signs = jnp.where(jnp.arange(40) % 2 == 0, 1.0, -1.0)

    def rewards_of(actions):
        taken = actions - jax.nn.sigmoid(logits)[None]
        return estimators.Outcome(taken @ (1.0 + 0.05 * signs), jnp.zeros(actions.shape))

    @functools.partial(jax.jit, static_argnums=0)
    def drawn(of):
        def one(key):
            zero = episodes.Baseline(jnp.array(0.0), jnp.array(True))
            return -jax.grad(lambda x: of(key, x, valid, rewards_of, zero, n_episodes=5).surrogate)(logits)

        return jax.vmap(one)(jax.random.split(jax.random.key(0), 1000))

    variance = [float(jnp.var(drawn(of), axis=0).sum()) for of in (estimators.reinforce, count_control)]
    # The slope is shrunk by a quarter in 4 to 5: its square is left of the count, and a little more.
    assert variance[0] > 50 * variance[1]


@pytest.fixture(scope='module')
def estimates():
    """Of every kind, from the same draws."""
    rewards_of = functools.partial(outcomes, by_count)

    @jax.jit
    def every(key):
        return {
            name: count_control(key, LOGITS, VALID, rewards_of, baseline, n_episodes=4, kind=kind)
            for name, (kind, baseline) in KINDS.items()
        }

    return every(jax.random.key(4))


@pytest.mark.parametrize('name', KINDS)
def test_advantages_by_hand(name, estimates):
    kind, found = KINDS[name][0], estimates[name]
    rewards = np.asarray(found.rewards, np.float64)
    actions = np.asarray(episodes.sample(jax.random.key(4), LOGITS, VALID, 4))
    counts = actions.sum(axis=1)
    assert len(set(counts)) > 2, 'the test could not see a slope'
    p = np.delete(1 / (1 + np.exp(-np.asarray(LOGITS, np.float64))), 2)
    greedy = float(by_count(jnp.array([1.0, 0.0, 0.0, 1.0, 1.0])))
    for n in range(4):
        others = [m for m in range(4) if m != n]
        level, usual = {'none': 0.0, 'greedy': greedy}.get(kind, 0.4), p.sum()
        if name in ('leave_one_out', 'a new video'):
            level, usual = rewards[others].mean(), counts[others].mean()
        better, longer = rewards[others] - level, counts[others] - usual
        slope = (better * longer).sum() / ((longer**2).sum() + (p * (1 - p)).sum() / 4)
        expected = rewards[n] - level - slope * (counts[n] - usual)
        assert found.advantages[n] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize('logit', [-200.0, 200.0])
def test_where_no_count_varies_it_stays_finite(logit):
    def surrogate(x):
        rewards_of = functools.partial(outcomes, wavy)
        return count_control(jax.random.key(0), x, VALID, rewards_of, SEEN, n_episodes=5).surrogate

    value, gradient = jax.jit(jax.value_and_grad(surrogate))(jnp.full(5, logit))
    assert np.isfinite(value)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


@pytest.mark.parametrize(('baseline', 'n', 'least'), [
    ('moving_average', 1, 2), ('none', 1, 2), ('leave_one_out', 2, 3),
])  # fmt: skip
def test_too_few_other_episodes_are_refused(baseline, n, least):
    fields = {'summarizer.estimator': 'count_control', 'summarizer.baseline': baseline}
    check.check(tiny_config(**fields, **{'summarizer.episodes': least}))
    with pytest.raises(InputError, match=rf'count_control needs .*episodes of {least} or more, found {n}'):
        check.check(tiny_config(**fields, **{'summarizer.episodes': n}))
