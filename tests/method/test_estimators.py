import functools

import jax
import jax.numpy as jnp
import numpy as np
import page_blocks
import pytest
from three_frames import LOGITS, SEEN, VALID, draws, exact, multilinear, outcomes, spread, wavy, z_scores
from tiny import Setting, shorten, tiny_config

from configs.studies import estimators as study
from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.bench.estimating import BY_FRAME, ESTIMATORS
from trsum_jax.method import episodes, estimators, relaxations
from trsum_jax.method.policies.counting import count_control
from trsum_jax.studies.variants import expand

reinforce = {
    kind: functools.partial(estimators.reinforce, kind=kind)
    for kind in ('moving_average', 'leave_one_out', 'greedy', 'none')
}
UNBIASED = reinforce | {
    'antithetic': estimators.antithetic,
    'arm': estimators.arm,
    'disarm': estimators.disarm,
    'count_control': count_control,
}
concrete = functools.partial(relaxations.gumbel, temperature=1.0)
BIASED = {
    'local_credit': functools.partial(estimators.local_credit, radius=0),
    'straight_through': relaxations.straight_through,
    'gumbel': concrete,
    'gumbel_straight_through': functools.partial(concrete, hard=True),
}


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
    found = draws(page_blocks.function('estimators.md', 'flip'), wavy)
    assert np.all(z_scores(found, exact(wavy)) < 4.5)
    assert not found[:, 3].any()


def test_the_baseline_that_the_documentation_adds_is_the_median_of_the_others_and_unbiased():
    level = page_blocks.function('estimators.md', 'median_of_others')
    rewards = jnp.array([5.0, 1.0, 2.0, 9.0])
    np.testing.assert_allclose(level(rewards, None, None, None), [2, 5, 5, 2])
    found = draws(functools.partial(estimators.reinforce, kind=level), wavy)
    assert np.all(z_scores(found, exact(wavy)) < 4.5)


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
    key = jax.random.key(5 if name == 'antithetic' else 19)
    found = UNBIASED[name](key, LOGITS, VALID, wanted, SEEN, n_episodes=3)
    rewards = np.asarray(found.rewards)
    # The likeliest action takes frames 0 and 2, and never the padding.
    likeliest = float(wavy(jnp.array([1.0, 0, 1, 0])))
    seen = {*rewards[-3:].tolist(), *([] if name == 'antithetic' else [likeliest])}
    assert len(seen) == 3 + (name != 'antithetic'), 'the test could not tell one action from another'
    assert rewards.shape == ((6,) if name == 'antithetic' else (3,))
    level = {
        'none': 0.0,
        'greedy': likeliest,
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


@pytest.mark.parametrize('name', ['arm', 'disarm'])
def test_pairs_by_hand(name):
    """Two episodes of u < p and of 1 - u < p; a larger noise of the same mean would be unbiased too."""
    key, wanted = jax.random.key(5), functools.partial(outcomes, wavy, spread(wavy))
    found = -jax.grad(lambda x: UNBIASED[name](key, x, VALID, wanted, SEEN, n_episodes=3).surrogate)(LOGITS)
    u, p = np.asarray(jax.random.uniform(key, (3, 4))), np.asarray(jax.nn.sigmoid(LOGITS))
    one, other = ((draw < p) & np.asarray(VALID) for draw in (u, 1 - u))
    difference = np.asarray(wanted(jnp.asarray(other)).rewards - wanted(jnp.asarray(one)).rewards)[:, None]
    # ARM takes the second action for its first.
    by_frame = u - 0.5
    if name == 'disarm':
        by_frame = -0.5 * np.where(other, -1, 1) * (one != other) * np.maximum(p, 1 - p)
    expected = np.where(VALID, (difference * by_frame).mean(axis=0), 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.any(expected != 0)


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


def test_a_clipped_estimate_still_tells_the_rewards():
    plain = functools.partial(estimators.reinforce, n_episodes=3)
    wanted = functools.partial(outcomes, wavy, spread(wavy))
    arguments = jax.random.key(2), LOGITS, VALID, wanted, SEEN
    found = estimators.clipped(plain, 1e-3, *arguments)
    np.testing.assert_array_equal(found.rewards, plain(*arguments).rewards)


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
