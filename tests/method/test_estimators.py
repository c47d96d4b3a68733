import functools
import itertools
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Setting, shorten, tiny_config

from configs.studies import estimators as study
from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.config import BY_FRAME, ESTIMATORS
from trsum_jax.method import episodes, estimators, relaxations, rewards
from trsum_jax.studies.variants import expand

LOGITS = jnp.array([0.3, -1.2, 0.8, 5.0])
VALID = jnp.array([True, True, True, False])  # padding last, with a logit that would choose it
ACTIONS = jnp.array(list(itertools.product([0.0, 1.0], repeat=3)))
SEEN = episodes.Baseline(jnp.array(0.4), jnp.array(True))
DRAWS = 40_000
reinforce = {
    kind: functools.partial(estimators.reinforce, kind=kind)
    for kind in ('moving_average', 'leave_one_out', 'greedy', 'none')
}
UNBIASED = reinforce | {
    'antithetic': estimators.antithetic,
    'arm': estimators.arm,
    'disarm': estimators.disarm,
}
concrete = functools.partial(relaxations.gumbel, temperature=1.0)
BIASED = {
    'local_credit': functools.partial(estimators.local_credit, radius=0),
    'straight_through': relaxations.straight_through,
    'gumbel': concrete,
    'gumbel_straight_through': functools.partial(concrete, hard=True),
}


def wavy(a):
    """Any function of all three frames together; a reading of the padding would show."""
    return jnp.sin(jnp.dot(a, jnp.array([1.0, 2.0, 3.0, 50.0]))) + 0.7 * a[0] * a[2]


def multilinear(a):
    return a[0] - 2.0 * a[1] + 3.0 * a[0] * a[2] - a[0] * a[1] * a[2]


def outcomes(reward, parts, actions):
    actions = actions.astype(jnp.float32)
    return estimators.Outcome(jax.vmap(reward)(actions), jax.vmap(parts)(actions))


def spread(reward):
    """Parts that share a reward equally over the valid frames."""
    return lambda a: jnp.where(VALID, reward(a) / 3, 0.0)


def exact(reward):
    """The gradient of the expected reward over all actions, by enumeration."""

    def expected(logits):
        p = jax.nn.sigmoid(logits[:3])
        probability = jnp.prod(jnp.where(ACTIONS > 0, p, 1 - p), axis=1)
        return jnp.sum(probability * jax.vmap(reward)(jnp.pad(ACTIONS, ((0, 0), (0, 1)))))

    return np.asarray(jax.grad(expected)(LOGITS))


def draws(estimator, reward, parts=None, n_draws=DRAWS, n_episodes=2):
    rewards_of = functools.partial(outcomes, reward, parts or spread(reward))

    @jax.jit
    @jax.vmap
    def one(key):
        def surrogate(logits):
            return estimator(key, logits, VALID, rewards_of, SEEN, n_episodes=n_episodes).surrogate

        return -jax.grad(surrogate)(LOGITS)

    return np.asarray(one(jax.random.split(jax.random.key(3), n_draws)))


def z_scores(found, truth):
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(error < 0.02), 'the test could not see a bias'
    return np.abs(found.mean(axis=0) - truth)[:3] / error[:3]


@pytest.mark.parametrize('name', UNBIASED)
def test_an_unbiased_estimator_agrees_with_enumeration(name):
    found = draws(UNBIASED[name], wavy)
    assert np.all(z_scores(found, exact(wavy)) < 4.5)


@pytest.mark.parametrize('name', BIASED)
def test_a_biased_estimator_differs_from_enumeration(name):
    found = draws(BIASED[name], wavy)
    assert np.any(z_scores(found, exact(wavy)) > 6)


@pytest.mark.parametrize('name', [*UNBIASED, *BIASED])
def test_padding_gets_no_gradient(name):
    found = draws((UNBIASED | BIASED)[name], wavy, n_draws=8)
    assert not found[:, 3].any()
    assert found[:, :3].any()


def test_the_estimator_that_the_documentation_adds_is_unbiased():
    text = (pathlib.Path(__file__).parents[2] / 'docs' / 'estimators.md').read_text(encoding='utf-8')
    (block,) = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    names = {}
    exec(block, names)
    found = draws(names['flip'], wavy)
    assert np.all(z_scores(found, exact(wavy)) < 4.5)
    assert not found[:, 3].any()


def test_straight_through_is_unbiased_for_a_multilinear_reward():
    found = draws(relaxations.straight_through, multilinear)
    assert np.all(z_scores(found, exact(multilinear)) < 4.5)


def test_straight_through_has_the_bias_that_enumeration_gives():
    """Its expectation is `E[∂R/∂a_t] p_t (1 - p_t)`."""
    p = jax.nn.sigmoid(LOGITS)[:3]
    probability = jnp.prod(jnp.where(ACTIONS > 0, p, 1 - p), axis=1)
    slopes = jax.vmap(jax.grad(wavy))(jnp.pad(ACTIONS, ((0, 0), (0, 1))))[:, :3]
    expected = jnp.pad(probability @ slopes * p * (1 - p), (0, 1))
    found = draws(relaxations.straight_through, wavy)
    assert np.all(z_scores(found, np.asarray(expected)) < 4.5)


def test_a_colder_relaxation_is_less_biased_and_noisier():
    warm, cold = (draws(functools.partial(relaxations.gumbel, temperature=t), wavy) for t in (1.0, 0.1))
    truth = exact(wavy)
    errors = [np.linalg.norm(found.mean(axis=0) - truth) for found in (warm, cold)]
    assert errors[1] < 0.3 * errors[0]
    assert cold.var(axis=0).sum() > 2 * warm.var(axis=0).sum()


def test_local_credit_of_parts_that_depend_on_their_own_frame_alone_is_unbiased_and_quieter():
    weights = jnp.array([1.0, -2.0, 3.0, 0.0])
    found = draws(BIASED['local_credit'], lambda a: jnp.dot(a, weights), lambda a: a * weights)
    truth = exact(lambda a: jnp.dot(a, weights))
    assert np.all(z_scores(found, truth) < 4.5)
    other = draws(reinforce['leave_one_out'], lambda a: jnp.dot(a, weights))
    assert found.var(axis=0).sum() < 0.5 * other.var(axis=0).sum()


def test_local_credit_with_all_frames_near_is_leave_one_out():
    found = draws(functools.partial(estimators.local_credit, radius=4), wavy, n_draws=50)
    np.testing.assert_allclose(found, draws(reinforce['leave_one_out'], wavy, n_draws=50), atol=1e-5)


@pytest.mark.parametrize('name', ['leave_one_out', 'greedy', 'arm', 'disarm', *BIASED])
def test_a_constant_reward_teaches_nothing(name):
    found = draws((UNBIASED | BIASED)[name], lambda a: 0.3 + 0.0 * a[0], n_draws=50)
    np.testing.assert_allclose(found, 0.0, atol=1e-7)


def test_disarm_is_arm_averaged_over_what_the_pair_leaves_open():
    found = [draws(UNBIASED[name], wavy) for name in ('arm', 'disarm')]
    assert found[1].var(axis=0).sum() < found[0].var(axis=0).sum()


def test_reinforce_is_the_surrogate_of_episodes_bit_for_bit():
    key, wanted = jax.random.key(5), functools.partial(outcomes, wavy, spread(wavy))

    def by_hand(logits):
        actions = episodes.sample(key, jax.lax.stop_gradient(logits), VALID, 5)
        advantages = wanted(actions).rewards - SEEN.value
        return episodes.surrogate(logits, actions, advantages, VALID, 'sum')

    def ours(logits):
        return estimators.reinforce(key, logits, VALID, wanted, SEEN, n_episodes=5).surrogate

    for one, other in zip(*(jax.value_and_grad(f)(LOGITS) for f in (by_hand, ours)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_new_video_starts_at_its_own_mean_reward():
    new = episodes.Baseline(jnp.array(0.0), jnp.array(False))
    wanted = functools.partial(outcomes, wavy, spread(wavy))
    found = estimators.reinforce(jax.random.key(0), LOGITS, VALID, wanted, new, n_episodes=5)
    assert float(jnp.mean(found.advantages)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('share', [1.0, 0.25])
def test_the_clip_shortens_the_estimate_whatever_the_batch_makes_of_it(share):
    plain = functools.partial(relaxations.straight_through, n_episodes=3)
    wanted = functools.partial(outcomes, multilinear, spread(multilinear))

    def of(estimator):
        def loss(x):
            return share * estimator(jax.random.key(2), x, VALID, wanted, SEEN).surrogate

        return np.asarray(jax.grad(loss)(LOGITS))

    whole = of(plain)
    length = np.linalg.norm(whole) / share
    half = of(functools.partial(estimators.clipped, plain, length / 2))
    np.testing.assert_allclose(half, whole / 2, rtol=1e-5)
    np.testing.assert_allclose(of(functools.partial(estimators.clipped, plain, 2 * length)), whole, rtol=1e-5)


@pytest.mark.parametrize('name', ['moving_average', 'none', 'greedy', 'leave_one_out', 'antithetic'])
def test_advantages_by_hand(name):
    wanted = functools.partial(outcomes, wavy, spread(wavy))
    found = UNBIASED[name](jax.random.key(5), LOGITS, VALID, wanted, SEEN, n_episodes=3)
    rewards = np.asarray(found.rewards)
    assert len(set(rewards[-3:])) == 3, 'the test could not tell one episode from another'
    assert rewards.shape == ((6,) if name == 'antithetic' else (3,))
    level = {
        'none': 0.0,
        # The likeliest action takes frames 0 and 2, and never the padding.
        'greedy': float(wavy(jnp.array([1.0, 0, 1, 0]))),
        'leave_one_out': (rewards.sum() - rewards) / 2,
    }.get(name, 0.4)
    np.testing.assert_allclose(found.advantages, rewards - level, atol=1e-6)


@pytest.mark.parametrize('name', [*UNBIASED, *BIASED])
def test_what_the_episodes_bring_is_told(name):
    seen = []

    def rewards_of(actions):
        seen.append(outcomes(wavy, lambda a: jnp.where(VALID, a + 1.0, 9.0), actions))
        return seen[0]

    found = (UNBIASED | BIASED)[name](jax.random.key(5), LOGITS, VALID, rewards_of, SEEN, n_episodes=3)
    rewards, parts = map(np.asarray, seen[0])
    np.testing.assert_array_equal(found.rewards, rewards[:3] if name == 'greedy' else rewards)
    assert np.shape(found.surrogate) == ()
    if name in ('arm', 'disarm'):
        np.testing.assert_array_equal(found.advantages, rewards[:3] - rewards[3:])
    elif name == 'local_credit':
        # Each frame's own part, less the mean of the other two episodes at it.
        expected = np.where(VALID, parts - (parts.sum(axis=0) - parts) / 2, 0)
        np.testing.assert_allclose(found.advantages, expected, atol=1e-6)
        assert np.any(expected != 0)
    elif name in BIASED:
        np.testing.assert_array_equal(found.advantages, np.zeros(3))


def test_a_new_videos_baseline_is_its_mean_reward():
    wanted = functools.partial(outcomes, wavy, spread(wavy))
    new = episodes.Baseline(jnp.array(0.4), jnp.array(False))
    for name in ('moving_average', 'antithetic'):
        found = UNBIASED[name](jax.random.key(5), LOGITS, VALID, wanted, new, n_episodes=3)
        np.testing.assert_allclose(found.advantages, found.rewards - found.rewards.mean(), atol=1e-6)


def test_a_reduction_divides_by_the_valid_frames():
    for valid, expected in (([True, False], 1), ([True, True], 2), ([False, False], 1)):
        assert estimators.per('mean', jnp.array(valid)) == expected
        assert estimators.per('sum', jnp.array(valid)) == 1


@pytest.mark.parametrize('name', [*UNBIASED, *BIASED])
def test_a_mean_over_frames_is_the_sum_by_their_number(name):
    of = [functools.partial((UNBIASED | BIASED)[name], reduction=reduction) for reduction in ('sum', 'mean')]
    total, mean = (draws(estimator, wavy, n_draws=8) for estimator in of)
    np.testing.assert_allclose(3 * mean, total, atol=1e-5)


def relaxed_actions(logits=LOGITS, **options):
    seen = []

    def rewards_of(actions):
        seen.append(np.asarray(actions))
        return outcomes(wavy, spread(wavy), actions)

    concrete(jax.random.key(0), logits, VALID, rewards_of, SEEN, n_episodes=64, **options)
    return seen[0]


def test_a_relaxation_is_soft_and_a_hard_one_rounds_it():
    soft, hard = relaxed_actions(), relaxed_actions(hard=True)
    assert np.all((soft[:, :3] > 0) & (soft[:, :3] < 1))
    np.testing.assert_array_equal(hard, soft > 0.5)
    assert len(np.unique(hard[:, :3], axis=0)) == 8


@pytest.mark.parametrize(('end', 'logit'), [('minval', 16.0), ('maxval', -16.0)])
def test_the_ends_of_the_uniform_draws_have_finite_logarithms(end, logit, monkeypatch):
    def uniform(key, shape, minval=0.0, maxval=1.0):
        return jnp.full(shape, {'minval': minval, 'maxval': maxval}[end], jnp.float32)

    monkeypatch.setattr(jax.random, 'uniform', uniform)
    # An infinite draw would make it 0 or 1 whatever the logit.
    np.testing.assert_allclose(relaxed_actions(jnp.full(4, logit))[:, :3], 0.5, atol=0.05)


def test_a_clipped_estimate_still_tells_the_rewards():
    plain = functools.partial(estimators.reinforce, n_episodes=3)
    wanted = functools.partial(outcomes, wavy, spread(wavy))
    arguments = jax.random.key(2), LOGITS, VALID, wanted, SEEN
    found = estimators.clipped(plain, 1e-3, *arguments)
    np.testing.assert_array_equal(found.rewards, plain(*arguments).rewards)


def test_temperature_falls_in_equal_ratios():
    found = [relaxations.temperature_at(at, 10, 2.0, 0.02) for at in (-1, 0, 5, 10, 11)]
    np.testing.assert_allclose(found, [2.0, 2.0, 0.2, 0.02, 0.02], rtol=1e-5)


@pytest.mark.parametrize('over', rewards.FRAMES)
@pytest.mark.parametrize('reconstruct', rewards.RECONSTRUCTIONS)
@pytest.mark.parametrize('token', ['zero', 'learned'])
def test_a_soft_mask_at_0_and_1_is_the_hard_one_and_has_a_slope_at_every_frame(reconstruct, over, token):
    setting = Setting(tiny_config(**{'model.mask_token': token}))
    frames = jax.random.normal(jax.random.key(1), (8, 6))
    valid, action = jnp.arange(8) < 6, jnp.array([1, 0, 0, 1, 1, 0, 0, 0], bool)
    params = setting.generator.init(jax.random.key(0), frames, valid, ~action)

    def reward(action):
        rebuilt = setting.generator.apply(params, frames, valid, rewards.unselected(action))
        how = {'reconstruct': reconstruct, 'over': over}
        return rewards.reward_and_parts(frames, valid, action, rebuilt, **how)[0]

    soft = action.astype(jnp.float32)
    assert float(reward(soft)) == pytest.approx(float(reward(action)), abs=1e-6)
    slope = np.asarray(jax.grad(reward)(soft))
    assert np.all(slope[:6] != 0)
    assert not slope[6:].any()
    # Of a selected frame, whose loss weighs nothing yet, and of another.
    for place in (0, 1):
        moved = [float(reward(soft.at[place].add(step))) for step in (0.01, -0.01)]
        assert slope[place] == pytest.approx((moved[0] - moved[1]) / 0.02, rel=0.05, abs=2e-4)


@pytest.fixture(scope='module')
def generator():
    setting = Setting(tiny_config())
    return setting.train(setting.stage1, epochs=1)[0].params


@pytest.mark.parametrize('name', ['greedy', *ESTIMATORS])
def test_stage_2_trains_with_every_estimator(name, generator):
    field = {'summarizer.baseline': name} if name == 'greedy' else {'summarizer.estimator': name}
    clip = {'summarizer.estimate_clip': 0.01, 'summarizer.temperature_end': 0.5}
    setting = Setting(tiny_config(**field, **clip))
    before = np.asarray(jax.tree.leaves(generator['encoder'])[0]).copy()
    states, history = setting.train(setting.stage2, generator, epochs=1)
    assert all(np.isfinite(value).all() for value in history[0].values())
    assert np.all(history[0]['gradient_norm'] > 0)
    assert np.any(np.asarray(jax.tree.leaves(states.params['encoder'])[0]) != before)


def test_local_credit_of_one_episode_is_refused():
    config = tiny_config(**{'summarizer.estimator': 'local_credit', 'summarizer.episodes': 1})
    with pytest.raises(InputError, match='local_credit needs'):
        check.check(config)


@pytest.mark.parametrize('name', BY_FRAME)
def test_an_estimator_that_needs_more_of_a_reward_than_its_value_is_refused_other_terms(name):
    fields = {'summarizer.estimator': name, 'summarizer.reward_terms.coverage': 0.5}
    with pytest.raises(InputError, match=f'{name} needs .* expected 0 for reward_terms coverage'):
        check.check(tiny_config(**fields))


def test_every_variant_of_the_study_can_run_and_no_two_are_the_same():
    variants = expand(shorten(study.get_config()))
    for config in variants.values():
        check.check(config)
    told = [str(check.flatten(config.summarizer)) for config in variants.values()]
    assert len(set(told)) == len(told) > 10
    assert {config.summarizer.estimator for config in variants.values()} == set(ESTIMATORS)
