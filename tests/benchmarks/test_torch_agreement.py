"""The PyTorch opponents compute what we compute: losses, gradients, steps, masks and scores."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from by_hand import reconstruction_reward
from tiny import Setting, tiny_config

from trsum_jax.method import episodes, losses, masking
from trsum_jax.training import corpus as corpora
from trsum_jax.training import scoring, steps

torch = pytest.importorskip('torch')
torch_model = pytest.importorskip('benchmarks.torch_model')
torch_best = pytest.importorskip('benchmarks.torch_best')
torch_field = pytest.importorskip('benchmarks.torch_field')

OPPONENTS = [torch_best, torch_field]
# The plain model; the default one; the default one with features as wide as the model, so without maps.
CASES = {
    'plain': {'model.centred': False, 'model.cosine_start': False, 'model.scale_features': False}
    | {'summarizer.reward_reconstruction': 'generator', 'summarizer.baseline_start': 'zero'},
    'default': {},
    'default without maps': {'model.width': 6, 'model.heads': 3},
}


class Case:
    """A toy corpus, parameters away from their start, and a batch with padded segments in it."""

    def __init__(self, name):
        self.config = tiny_config(**CASES[name])
        self.config.decomposition.length = 12
        setting = Setting(self.config)
        self.generator, self.summarizer, self.corpus = setting.generator, setting.summarizer, setting.corpus
        one = jax.tree.map(lambda x: x[0], setting.runs)
        start = setting.stage1.init(one, ()).params
        self.frozen = moved(start, 1)
        self.params = moved(setting.stage2.init(one, start).params, 2)
        full = np.asarray(self.corpus.valid).all(1)
        self.segments = np.concatenate([np.flatnonzero(full)[:3], np.flatnonzero(~full)[:5]])
        self.batch = jax.vmap(functools.partial(corpora.gather, self.corpus))(self.segments)
        assert not self.batch.valid.all(1).all() and self.batch.valid.all(1).any()

    def corrupted(self):
        """Our corruption of the batch, by name, and the keys that drew it."""
        settings = self.config.masking

        def one(key, segment):
            window_key, fate_key = jax.random.split(key)
            ratios = {'window_ratio': settings.window_ratio, 'mask_ratio': settings.mask_ratio}
            window = masking.dynamic_windows(window_key, segment.valid, segment.shot, **ratios)
            fate = masking.corrupt(fate_key, window, segment.n_steps)
            other = self.corpus.frames[segment.first + fate.source]
            shown = jnp.where(fate.replaced[:, None], other, segment.frames)
            fate = {'masked': fate.masked, 'replaced': fate.replaced, 'source': fate.source}
            return fate | {'shown': shown, 'candidate': window >= 0}

        keys = jax.random.split(jax.random.key(3), len(self.segments))
        return jax.vmap(one)(keys, self.batch), keys

    def actions(self):
        shape = len(self.segments), self.config.summarizer.episodes, self.batch.valid.shape[1]
        return jax.random.bernoulli(jax.random.key(4), shape=shape) & self.batch.valid[:, None]

    def loss1(self, params, fate):
        def one(frames, valid, fate):
            rebuilt = self.generator.apply({'params': params}, fate['shown'], valid, fate['masked'])
            visible = valid & ~fate['masked']
            flat = jnp.broadcast_to(losses.mean_frame(fate['shown'], visible), frames.shape)
            nearest = losses.copy_nearest(fate['shown'], visible)
            return [
                losses.mean_over(losses.frame_losses(frames, x), fate['candidate'])
                for x in (rebuilt, flat, nearest)
            ]

        values = jax.vmap(one)(self.batch.frames, self.batch.valid, fate)
        means = [jnp.mean(x) for x in values]
        return means[0], dict(zip(('loss', 'loss_segment_mean', 'loss_copy_nearest'), means, strict=True))

    def loss2(self, params, actions, baseline):
        settings = self.config.summarizer

        def one(frames, valid, video, actions):
            logits = self.summarizer.apply({'params': params}, frames, valid)

            def reward_of(action):
                rebuilt = self.generator.apply({'params': self.frozen}, frames, valid, ~action)
                how = {'reconstruct': settings.reward_reconstruction, 'over': settings.reward_frames}
                return reconstruction_reward(frames, valid, action, rebuilt, **how)

            rewards = jax.lax.stop_gradient(jax.vmap(reward_of)(actions))
            advantages = rewards - episodes.current_baseline(
                episodes.baseline_of(baseline, video), jnp.mean(rewards)
            )
            policy = episodes.surrogate(logits, actions, advantages, valid, settings.log_probability)
            penalty = episodes.length_penalty(logits, valid, settings.share, settings.penalty)
            p = jax.nn.sigmoid(logits)
            p_mean = losses.mean_over(p, valid)
            return policy + settings.penalty_weight * penalty, {
                'reward': jnp.mean(rewards),
                'reward_std': jnp.std(rewards),
                'advantage_square': jnp.mean(jnp.square(advantages)),
                'p_mean': p_mean,
                'p_std': jnp.sqrt(losses.mean_over(jnp.square(p - p_mean), valid)),
                'penalty': penalty,
            }

        batch = self.batch
        values, metrics = jax.vmap(one)(batch.frames, batch.valid, batch.video, actions)
        rewards = metrics['reward']
        moved = episodes.update_baseline(
            baseline, batch.video, rewards, jnp.ones(len(rewards)), settings.baseline_momentum
        )
        return jnp.mean(values), (jax.tree.map(jnp.mean, metrics | {'loss': values}), moved)


def moved(params, seed):
    """Parameters with noise, so that no bias is 0 and no layer norm the identity."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noisy = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, noisy)


def assert_near(theirs, ours):
    assert set(theirs) == set(ours)
    for name, value in ours.items():
        np.testing.assert_allclose(float(theirs[name]), float(value), rtol=1e-5, atol=2e-6, err_msg=name)


def assert_gradients(stage, ours):
    """To 3e-5 of the largest entry of the whole gradient: keys' biases have a gradient of rounding alone."""
    expected = torch_model.torch_names(ours)
    found = {name: p.grad for name, p in stage.model.named_parameters()}
    assert set(found) == set(expected)
    largest = max(float(g.abs().max()) for g in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-4, atol=3e-5 * largest, msg=lambda m, n=name: f'{n}: {m}'
        )


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    """At toy size more threads only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module', params=list(CASES))
def case(request):
    return Case(request.param)


def tensors_of(case, **more):
    return torch_model.tensors(case.batch._asdict() | more, 'cpu')


def items_or_batch(opponent, batch):
    return torch_field.cut(batch) if opponent is torch_field else batch


@pytest.fixture(scope='module')
def ours1(case):
    fate, _ = case.corrupted()
    gradient = jax.jit(jax.value_and_grad(case.loss1, has_aux=True))
    return fate, gradient


@pytest.fixture(scope='module')
def ours2(case):
    return case.actions(), jax.jit(jax.value_and_grad(case.loss2, has_aux=True))


@pytest.mark.parametrize('opponent', OPPONENTS)
def test_stage_1_agrees(case, ours1, opponent):
    fate, gradient = ours1
    (_, metrics), expected = gradient(case.frozen, fate)
    stage = opponent.Stage1(case.frozen, case.config, case.corpus._asdict())
    batch = tensors_of(case, **fate)
    found = stage.backward(items_or_batch(opponent, batch))
    assert_near(found, metrics)
    assert_gradients(stage, expected)


@pytest.mark.parametrize('opponent', OPPONENTS)
def test_stage_2_agrees_before_and_after_the_baseline_has_moved(case, ours2, opponent):
    actions, gradient = ours2
    stage = opponent.Stage2(case.params, case.frozen, case.config, case.corpus._asdict())
    batch = tensors_of(case, actions=actions)
    baseline = episodes.start_baseline(6, case.config.summarizer.baseline_start)
    for chosen in (actions, actions[::-1] & case.batch.valid[:, None]):
        batch = tensors_of(case, actions=chosen)
        (_, (metrics, baseline)), expected = gradient(case.params, chosen, baseline)
        assert_near(stage.backward(items_or_batch(opponent, batch)), metrics)
        assert_gradients(stage, expected)
    moved_on = stage.baselines if opponent is torch_field else dict(enumerate(stage.baseline.tolist()))
    for video in set(case.batch.video.tolist()):
        assert moved_on[video] == pytest.approx(float(baseline.value[video]), abs=1e-6)


def test_microbatches_leave_the_gradient_as_it_is(case, ours1, ours2):
    fate, gradient1 = ours1
    actions, gradient2 = ours2
    stage = torch_best.Stage1(case.frozen, case.config, case.corpus._asdict(), microbatch=3)
    (_, metrics), expected = gradient1(case.frozen, fate)
    assert_near(stage.backward(tensors_of(case, **fate)), metrics)
    assert_gradients(stage, expected)
    stage = torch_best.Stage2(case.params, case.frozen, case.config, case.corpus._asdict(), microbatch=3)
    baseline = episodes.start_baseline(6, case.config.summarizer.baseline_start)
    (_, (metrics, _)), expected = gradient2(case.params, actions, baseline)
    assert_near(stage.backward(tensors_of(case, actions=actions)), metrics)
    assert_gradients(stage, expected)


@pytest.mark.parametrize('opponent', OPPONENTS)
@pytest.mark.parametrize('norm', [0.5, 50.0])
def test_optimizer_steps_agree(case, opponent, norm):
    """Three steps on given gradients, shorter and longer than the clip of 5, through warm-up and after."""
    settings = case.config.generator
    stage = opponent.Stage1(case.frozen, case.config, case.corpus._asdict())
    params, optimizer = case.frozen, adamw_of(settings)
    moments = optimizer.init(params)
    for seed, progress in enumerate((0.05, 0.1, 1.3)):
        grads = jax.tree.map(lambda new, old: new - old, moved(case.frozen, seed), case.frozen)
        factor = norm / float(optax.tree.norm(grads))
        grads = jax.tree.map(lambda g, by=factor: g * by, grads)
        params, moments = optimizer.update(params, moments, grads, progress)
        for name, gradient in torch_model.torch_names(grads).items():
            stage.model.get_parameter(name).grad = gradient
        torch_model.apply_gradients(stage.optimizer, settings, progress)
    change = max(
        float(jnp.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (params, case.frozen)), strict=True)
    )
    for name, expected in torch_model.torch_names(params).items():
        torch.testing.assert_close(
            stage.model.get_parameter(name).data, expected, rtol=1e-6, atol=1e-3 * change
        )


def adamw_of(settings):
    names = ('learning_rate', 'warmup', 'epochs', 'weight_decay', 'clip')
    return steps.adamw(**{name: settings[name] for name in names})


@pytest.mark.parametrize('opponent', OPPONENTS)
def test_a_few_steps_lead_to_the_same_loss(case, ours1, opponent):
    fate, gradient = ours1
    case.config.generator.learning_rate = 1e-2
    optimizer = adamw_of(case.config.generator)
    params, moments = case.frozen, optimizer.init(case.frozen)
    stage = opponent.Stage1(case.frozen, case.config, case.corpus._asdict())
    batch, ours, theirs = tensors_of(case, **fate), [], []
    for progress in (0.1, 0.6, 1.0, 1.4):
        (loss, _), grads = gradient(params, fate)
        params, moments = optimizer.update(params, moments, grads, progress)
        ours.append(float(loss))
        theirs.append(float(stage.step_on(batch, progress)['loss']))
    assert ours[-1] < 0.95 * ours[0]
    np.testing.assert_allclose(theirs, ours, rtol=1e-5)


@pytest.mark.parametrize('opponent', OPPONENTS)
def test_scores_agree(case, opponent):
    expected = np.asarray(
        jax.jit(functools.partial(scoring.importance, case.summarizer))(case.params, case.corpus)
    )
    scorer = opponent.Scorer(case.params, case.config, case.batch.frames.shape[-1])
    found = scorer.importance(torch_model.tensors(case.corpus._asdict(), 'cpu'))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_batched_corruption_from_the_same_draws_is_ours():
    case = Case('default')
    fate, keys = case.corrupted()
    length = case.batch.valid.shape[1]
    pairs = [[jax.random.split(k) for k in jax.random.split(key)] for key in keys]
    draws = np.array([[jax.random.uniform(k, (length,)) for pair in both for k in pair] for both in pairs])
    batch, settings = tensors_of(case), case.config.masking
    found = torch_best.corrupt(
        batch['valid'],
        batch['shot'],
        batch['n_steps'],
        torch.tensor(draws).transpose(0, 1),
        *(settings[name] for name in ('window_ratio', 'mask_ratio', 'mask', 'replace')),
    )
    for name, value in found.items():
        np.testing.assert_array_equal(value, np.asarray(fate[name]), err_msg=name)


def test_corruption_shot_by_shot_keeps_the_rule():
    settings = tiny_config().masking
    shot, fates = [0] * 7 + [2] * 4 + [3] * 9 + [5], np.zeros(3)
    for _ in range(600):
        candidate, masked, source = torch_field.corrupt(shot, 30, settings)
        windows = {}
        for number in dict.fromkeys(shot):
            inside = [i for i, own in enumerate(shot) if own == number and candidate[i]]
            if inside:
                assert len(inside) == -(-shot.count(number) // 2)
                assert inside == list(range(inside[0], inside[0] + len(inside)))
                windows[number] = inside
        sizes = [len(window) for window in windows.values()]
        assert sum(sizes) >= 6 > sum(sizes) - max(sizes)
        for window in windows.values():
            kinds = {(masked[i], i in source) for i in window}
            assert len(kinds) == 1
            hidden, replaced = kinds.pop()
            fates += hidden, replaced, not hidden and not replaced
            if replaced:
                steps_shown = [source[i] for i in window]
                assert steps_shown == list(range(steps_shown[0], steps_shown[0] + len(window)))
                assert min(steps_shown) >= 0 and max(steps_shown) < 30
    np.testing.assert_allclose(fates / fates.sum(), [0.8, 0.1, 0.1], atol=0.05)


@pytest.mark.parametrize('opponent', OPPONENTS)
def test_timed_steps_learn_and_keep_the_generator(opponent):
    """The steps that the harness times draw masks and actions themselves."""
    torch.manual_seed(0)
    case = Case('default')
    case.config.generator.learning_rate = 1e-2
    segments, arrays = torch.tensor(case.segments), case.corpus._asdict()
    stage = opponent.Stage1(case.frozen, case.config, arrays)
    curve = [float(stage.step(segments, 0.5)['loss']) for _ in range(40)]
    assert np.mean(curve[-5:]) < 0.9 * np.mean(curve[:5])
    stage = opponent.Stage2(case.params, case.frozen, case.config, arrays)
    before = {name: value.clone() for name, value in stage.frozen.state_dict().items()}
    start = [p.detach().clone() for p in stage.model.parameters()]
    metrics = [stage.step(segments, 0.5) for _ in range(2)]
    assert all(np.isfinite(float(value)) for one in metrics for value in one.values())
    assert float(metrics[0]['reward']) != float(metrics[1]['reward'])
    assert all(torch.equal(value, before[name]) for name, value in stage.frozen.state_dict().items())
    assert not all(torch.equal(a, b) for a, b in zip(start, stage.model.parameters(), strict=True))


def test_a_config_that_they_do_not_compute_is_refused():
    with pytest.raises(ValueError, match=r'model\.dropout'):
        torch_model.check(tiny_config(**{'model.dropout': 0.5}))
