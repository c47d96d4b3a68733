import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rivals_setting import FOLDS, RivalSetting

from trsum_jax.rivals.acsumgan import game, net, training
from trsum_jax.rivals.acsumgan.net import PARTS, AcSumGan
from trsum_jax.training import corpus, grid
from trsum_jax.training.epoch import Batch
from trsum_jax.training.steps import adam

T, WIDTH, FRAGMENTS = 11, 6, 4
FAST = {
    'acsumgan.learning_rate': 3e-3,
    'acsumgan.discriminator_learning_rate': 1e-2,
    'acsumgan.share': 0.3,
}


@pytest.mark.parametrize(('n', 'fragments'), [(11, 4), (8, 4), (3, 5), (1, 2), (11, 11)])
def test_fragments_partition_the_frames_into_runs_of_even_length(n, fragments):
    found = np.asarray(net.fragments_of(jnp.arange(T) < n, fragments))[:n]
    assert np.all(np.diff(found) >= 0)
    counts = np.bincount(found, minlength=fragments)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1


def test_a_fragments_score_is_the_mean_of_its_frames():
    scores = jnp.array([0.1, 0.3, 0.5, 0.9, 7.0, 7.0])
    fragment, valid = jnp.array([0, 0, 2, 2, 2, 2]), jnp.arange(6) < 4
    state, present = net.fragment_scores(scores, fragment, valid, 3)
    np.testing.assert_allclose(state, [0.2, 0.0, 0.7], rtol=1e-6)
    assert present.tolist() == [True, False, True]


def test_the_divergence_from_the_prior_by_hand():
    # KL(N(1, 4) || N(0, 1)) = (4 + 1 - 1 - ln 4) / 2; that of the prior itself is 0.
    found = net.prior_loss(jnp.array([1.0, 0.0]), jnp.log(jnp.array([4.0, 1.0])))
    assert float(found) == pytest.approx((4 - np.log(4)) / 2 / 2, rel=1e-6)


def test_sparsity_is_the_distance_of_the_mean_score_from_its_share():
    found = net.sparsity_loss(jnp.array([0.2, 0.4, 9.0]), jnp.arange(3) < 2, 0.5)
    assert float(found) == pytest.approx(0.2)


def test_the_actor_picks_every_present_fragment_once_and_sees_what_it_has_picked():
    present = jnp.array([True, False, True, True])
    scores = jnp.array([0.2, 0.0, 0.3, 0.4])
    played = game.play(jax.random.key(3), jnp.zeros_like, scores, present, 5)
    assert played.live.tolist() == [True] * 3 + [False] * 2
    picks = np.asarray(played.picks)[:3]
    assert sorted(picks) == [0, 2, 3]
    for n in range(3):
        before = [f in picks[:n] for f in range(4)]
        np.testing.assert_allclose(played.states[n], np.where(before, 1.0, scores))
        assert played.free[n].tolist() == [bool(present[f]) and not before[f] for f in range(4)]
        assert played.taken[n].tolist() == [f in picks[: n + 1] for f in range(4)]
    np.testing.assert_array_equal(played.taken[4], played.taken[2])


def test_the_actor_picks_by_its_probabilities():
    logits = jnp.log(jnp.array([0.2, 0.5, 0.3]))
    play = functools.partial(game.play, actor=lambda _: logits, n_picks=1)
    games = jax.vmap(lambda key: play(key, scores=jnp.zeros(3), present=jnp.ones(3, bool)))(
        jax.random.split(jax.random.key(0), 20_000)
    )
    shares = np.bincount(np.asarray(games.picks)[:, 0], minlength=3) / 20_000
    # Three standard errors of a share.
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=3 * 0.5 / 20_000**0.5)


def test_returns_are_discounted_sums_of_what_follows():
    found = game.returns(jnp.array([1.0, 2.0, 4.0, 8.0]), jnp.arange(4) < 3, 0.5)
    np.testing.assert_allclose(found, [1 + 1 + 1, 2 + 2, 4, 0])


def all_first_picks(n):
    """A game of one pick for each of n fragments, all free."""
    return game.Game(
        jnp.zeros((n, 1, n)), jnp.ones((n, 1, n), bool), jnp.arange(n)[:, None], jnp.ones((n, 1), bool),
        jnp.eye(n, dtype=bool)[:, None],
    )  # fmt: skip


def test_the_actors_gradient_is_that_of_the_expected_reward():
    """Exact enumeration: Σ_a π(a) ∇ loss_a against ∇ of -Σ_a π(a) r(a) - δ H(π)."""
    rewards, logits = jnp.array([0.3, 1.0, 0.1, 0.6]), jnp.array([0.5, -0.2, 0.1, 0.9])
    policy, games = jax.nn.softmax(logits), all_first_picks(4)

    def of_pick(logits, played, reward):
        # A constant baseline changes nothing in the mean.
        return game.actor_loss(logits[None], played, reward[None] - 0.4, 0.1)[0]

    each = jax.vmap(jax.grad(of_pick), (None, 0, 0))(logits, games, rewards)

    def expected(logits):
        p = jax.nn.softmax(logits)
        return -jnp.sum(p * rewards) + 0.1 * jnp.sum(p * jnp.log(p))

    np.testing.assert_allclose(policy @ each, jax.grad(expected)(logits), atol=1e-6)


def test_fragments_that_cannot_be_picked_have_no_gradient_and_no_entropy():
    played = jax.tree.map(lambda leaf: leaf[0], all_first_picks(3))
    played = played._replace(free=jnp.array([[True, True, False]]))
    loss = functools.partial(game.actor_loss, game=played, advantages=jnp.ones(1), entropy_weight=0.1)
    grads, entropy = jax.grad(loss, has_aux=True)(jnp.zeros((1, 3)))
    assert float(entropy) == pytest.approx(np.log(2), rel=1e-6)
    np.testing.assert_allclose(grads, [[-0.5, 0.5, 0.0]], atol=1e-6)


def test_the_critic_learns_a_constant_reward():
    """Of 1 a pick, undiscounted, 3 picks: values 3, 2 and 1 from states that tell them apart."""
    returned = game.returns(jnp.ones(3), jnp.ones(3, bool), 1.0)
    critic = net.Perceptron(16, 1)
    states = jnp.tril(jnp.ones((3, 3)), -1)
    params = critic.init(jax.random.key(0), states)

    def loss(params):
        return game.critic_loss(critic.apply(params, states)[:, 0], returned, jnp.ones(3, bool))

    @jax.jit
    def step(_, params):
        return jax.tree.map(lambda p, g: p - 0.05 * g, params, jax.grad(loss)(params))

    params = jax.lax.fori_loop(0, 400, step, params)
    np.testing.assert_allclose(critic.apply(params, states)[:, 0], [3, 2, 1], atol=0.05)


@pytest.mark.parametrize('method', ['acsumgan', 'drdsn'])
def test_a_grid_begins_without_lapack(method):
    """Whose decompositions, two at once, wait for each other for ever where there are two cores."""
    rival = RivalSetting(method)
    program = jax.jit(lambda runs: grid.init(rival.stage, runs, ())).lower(rival.runs).as_text()
    assert 'while' in program
    assert 'lapack' not in program


@pytest.fixture(scope='module')
def setting():
    return RivalSetting('acsumgan', seeds=(0, 7), **FAST)


@pytest.fixture(scope='module')
def learnt(setting):
    return setting.train(epochs=60)


@pytest.fixture(scope='module')
def alone(learnt):
    """The parameters of run 0."""
    return jax.tree.map(lambda leaf: leaf[0], learnt[0].params)


def alternate(setting, params, rates, rows, weight, key):
    """The parameters after one step, with a rate for each update."""
    optimizers = {
        name: adam(learning_rate=rates[name], weight_decay=0.0, clip=1e9) for name in training.UPDATES
    }
    moments = {
        name: optimizers[name].init({part: params[part] for part in parts})
        for name, parts in training.UPDATES.items()
    }
    videos = jax.vmap(corpus.gather, (None, 0))(setting.corpus, rows)
    state = training.GanState(params, moments)
    batch = Batch(rows, weight, jax.random.split(key, len(rows)), jnp.float32(0))
    fields = setting.config.acsumgan
    return training.alternate(setting.module, fields, optimizers, state, videos, batch)[0].params


@pytest.fixture(scope='module')
def step(setting, alone):
    """(rates, rows [3], weight [3]) -> the parameters after a step from those of run 0; one compilation."""
    return jax.jit(
        lambda rates, rows, weight: alternate(setting, alone, rates, rows, weight, jax.random.key(0))
    )


@pytest.mark.parametrize('name', training.UPDATES)
def test_an_update_moves_its_own_parts_and_no_other(step, alone, name):
    rates = {one: 1e-2 if one == name else 0.0 for one in training.UPDATES}
    after = step(rates, jnp.arange(3), jnp.ones(3))
    moved = {
        part
        for part in PARTS
        if any(jax.tree.leaves(jax.tree.map(lambda a, b: bool(np.any(a != b)), after[part], alone[part])))
    }
    assert moved == set(training.UPDATES[name])


def test_the_updates_together_move_every_part():
    assert sorted(part for parts in training.UPDATES.values() for part in parts) == sorted(PARTS)


def test_padding_reaches_no_valid_frame(setting, alone):
    """Longer rows with rubbish behind the video: the same scores, latent, reconstruction and verdict."""
    frames = jax.random.normal(jax.random.key(0), (2, T, WIDTH))
    valid = jnp.arange(T)[None] < jnp.array([[T], [6]])
    noise = jax.random.normal(jax.random.key(1), (2, setting.config.acsumgan.width))

    @jax.jit
    def through(frames, valid):
        call = functools.partial(setting.module.apply, {'params': alone})
        compressed, scores = call(frames, valid, method=AcSumGan.score)
        *_, latent = call(compressed, scores, valid, noise, method=AcSumGan.encode)
        rebuilt = call(latent, valid, method=AcSumGan.decode)
        judged = call(rebuilt, valid, method=AcSumGan.judge), call(compressed, valid, method=AcSumGan.judge)
        return (scores, rebuilt, call(frames, valid)), (latent, judged)

    by_frame, by_video = through(frames, valid)
    rubbish = jnp.pad(
        jnp.where(valid[..., None], frames, 99.0), ((0, 0), (0, 5), (0, 0)), constant_values=99.0
    )
    by_frame_too, by_video_too = through(rubbish, jnp.pad(valid, ((0, 0), (0, 5))))
    chex.assert_trees_all_close(by_video, by_video_too, atol=1e-6)
    for one, other in zip(by_frame, by_frame_too, strict=True):
        np.testing.assert_allclose(one[valid], other[:, :T][valid], atol=1e-5)


def test_a_row_that_is_no_video_changes_nothing(step):
    rates, weight = dict.fromkeys(training.UPDATES, 1e-2), jnp.array([1.0, 1.0, 0.0])
    one, other = (step(rates, jnp.array([1, 2, row]), weight) for row in (0, 3))
    chex.assert_trees_all_equal(one, other)
    third = step(rates, jnp.array([1, 2, 3]), jnp.ones(3))
    assert np.any(third['encoder']['mean']['kernel'] != one['encoder']['mean']['kernel'])


def test_run_i_of_the_grid_is_run_i_alone(setting, learnt):
    i = 2
    assert setting.places[i].fold == 0
    lone = RivalSetting('acsumgan', folds=FOLDS[:1], **FAST)
    states, _ = lone.train(runs=lone.runs._replace(key=setting.runs.key[i : i + 1]), epochs=60)
    chex.assert_trees_all_equal(states, jax.tree.map(lambda leaf: leaf[i : i + 1], learnt[0]))


def test_importance_is_the_score_times_the_fragments_probability(setting, alone):
    row, n = 0, int(setting.corpus.n_steps[0])
    frames, valid = setting.corpus.frames[setting.corpus.index[row]][None], setting.corpus.valid[row][None]
    call = functools.partial(setting.module.apply, {'params': alone})
    scores = np.asarray(call(frames, valid, method=AcSumGan.score)[1])[0, :n]
    fragments = [
        list(range(n))[-(-k * n // FRAGMENTS) : -(-(k + 1) * n // FRAGMENTS)] for k in range(FRAGMENTS)
    ]
    state = jnp.array([scores[frames].mean() for frames in fragments])
    policy = np.asarray(jax.nn.softmax(call(state, method=AcSumGan.act)))
    expected = np.concatenate([scores[own] * policy[k] / policy.max() for k, own in enumerate(fragments)])
    np.testing.assert_allclose(jax.nn.sigmoid(call(frames, valid))[0, :n], expected, rtol=1e-4)


def test_the_discriminator_learns_to_tell_and_the_scores_come_near_their_share(learnt):
    _, history = learnt
    first, last = history[0], {name: np.mean([h[name] for h in history[-5:]], axis=0) for name in history[0]}
    assert np.all(last['loss_sparsity'] < 0.1)
    assert np.all(first['loss_sparsity'] > 0.15)
    assert np.all(last['loss_critic'] < 0.5 * first['loss_critic'])
    told_apart = np.min([h['loss_orig'] + h['loss_sum'] for h in history], axis=0)
    assert np.all(told_apart < 0.9 * (first['loss_orig'] + first['loss_sum']))


def test_bfloat16_products_learn_as_those_of_float32_do(learnt):
    rough = RivalSetting('acsumgan', seeds=(0, 7), **FAST, **{'model.dtype': 'bfloat16'})
    _, (found,) = rough.train(epochs=1)
    expected = learnt[1][0]
    assert np.any(found['loss_sparsity'] != expected['loss_sparsity'])
    for name in ('loss_recon', 'loss_prior', 'loss_sparsity', 'loss_gen', 'loss_orig', 'reward'):
        np.testing.assert_allclose(found[name], expected[name], rtol=0.05, atol=0.01, err_msg=name)
