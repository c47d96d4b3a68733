"""Variance and signal of the policy gradient, against the enumeration of all that may be drawn."""

import functools
import itertools

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.method import episodes
from trsum_jax.results import metric_log
from trsum_jax.training import loop, trsum
from trsum_jax.training.corpus import gather
from trsum_jax.training.epoch import Span, Stage, batches
from trsum_jax.training.runs import Place
from trsum_jax.training.stages.gradient_noise import METRICS, noise, telling_noise

ACTIONS = np.array(list(itertools.product([False, True], repeat=4)))


def moments(gradients, probabilities):
    """tr Cov and |mean|² of gradients [K, P] with their probabilities [K], and the spread of |g - mean|²."""
    gradients, probabilities = np.asarray(gradients, np.float64), np.asarray(probabilities, np.float64)
    mean = probabilities @ gradients
    squares = ((gradients - mean) ** 2).sum(axis=1)
    variance = probabilities @ squares
    return variance, (mean**2).sum(), np.sqrt(probabilities @ (squares - variance) ** 2)


@pytest.mark.parametrize('draws', [2, 3])
def test_over_all_that_may_be_drawn_their_means_are_exact(draws):
    logits, valid = jnp.array([0.3, -1.2, 0.8, 2.0]), jnp.ones(4, bool)

    def gradient(action):
        """Of REINFORCE by one action, in two parts as parameters stand in a tree."""
        reward = jnp.sin(action @ jnp.array([1.0, 2.0, 3.0, 4.0])) + 0.5 * action[0]

        def surrogate(parts):
            joined = jnp.concatenate([parts['a'], parts['b']])
            return episodes.surrogate(joined, action[None], reward[None], valid, 'sum')

        return jax.grad(surrogate)({'a': logits[:1], 'b': logits[1:]})

    every = jnp.array(list(itertools.product(ACTIONS, repeat=draws)))
    found = np.asarray(jax.jit(jax.vmap(functools.partial(noise, gradient)))(every), np.float64)
    p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    each = np.where(ACTIONS, p, 1 - p).prod(axis=1)
    together = np.array([np.prod(one) for one in itertools.product(each, repeat=draws)])
    by_action = jax.vmap(gradient)(jnp.array(ACTIONS))
    expected = moments(np.concatenate([by_action['a'], by_action['b']], axis=1), each)
    np.testing.assert_allclose(found @ together, expected[:2], rtol=1e-5)
    assert min(expected) > 0.05


def test_what_is_told_now_and_then_stands_in_those_epochs_alone(tmp_path):
    log, places = tmp_path / 'metrics.jsonl', [Place(0, 0), Place(0, 1)]
    for epoch in range(1, 5):
        usual = {'reward': np.array([epoch, 2.0 * epoch])}
        noisy = {name: 10 * usual['reward'] for name in METRICS} if epoch % 2 == 0 else {}
        metric_log.append(log, 'summarizer', epoch, usual | noisy, places)
    curves = metric_log.read(log, 'summarizer')
    assert list(curves) == ['reward', *METRICS]
    np.testing.assert_array_equal(
        curves['gradient_snr'], [[np.nan, 20, np.nan, 40], [np.nan, 40, np.nan, 80]]
    )
    epochs, values = metric_log.of_told(curves['gradient_snr'])
    assert (epochs.tolist(), values.tolist()) == ([2, 4], [[20, 40], [40, 80]])
    stage = Stage('telling', 'generator', 4, None, None, (), sometimes=METRICS, every=2)
    waiting = [(number, {'reward': jnp.ones(3), 'gradient_snr': jnp.ones(3)}) for number in range(4)]
    told = loop._read(stage, waiting, 2)
    assert [(number, 'reward' in of, 'gradient_snr' in of) for number, of in told] == [
        (number, True, number % 2 == 1) for number in range(4)
    ]
    assert told[1][1]['gradient_snr'].shape == (2,)


def test_a_stage_tells_those_of_its_own_gradient():
    """One segment of four frames in a batch, one episode: sixteen actions are all that may be drawn."""
    config = tiny_config(**{
        'decomposition.length': 4, 'summarizer.batch': 1, 'summarizer.episodes': 1,
        'summarizer.penalty_weight': 0.5, 'summarizer.share': 0.9,
    })  # fmt: skip
    setting = Setting(config, videos=by_hand.videos())
    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    # Stage 2 trains on these as well.
    aside = run.segments[:2], run.weight[:2]
    run = run._replace(segments=run.segments[2:], weight=run.weight[2:], aside=aside)
    setup, frozen = setting.bound.second, setting.stage1.init(run, ()).params
    stage = telling_noise(setting.bound.stages[1], setup, every=3, draws=1000)
    assert (stage.sometimes, stage.every) == (METRICS, 3)
    state = jax.jit(stage.init)(run, frozen)
    baseline = episodes.Baseline(jnp.full(4, 0.4), jnp.ones(4, bool))
    state = state._replace(baseline=baseline)
    steps = stage.steps(run)
    close = jax.jit(lambda span: stage.close(state, span, setting.corpus, run, frozen)[1])
    for number, last, passes in ((2, steps - 1, 1), (1, steps, 1), (2, steps, 2)):
        assert not any(close(Span(number, 0, last, 0, passes)).values())
    told = close(Span(2, 0, steps, 0, 1))

    number = batches(stage, 2, run)[0][0, 0]
    segment = jax.jit(gather)(setting.corpus._replace(standard=run.standard), number)
    assert segment.valid.all()

    def logits_of(params):
        return setup.summarizer.apply({'params': params}, segment.frames, segment.valid)

    @jax.jit
    @jax.vmap
    def of_action(action):
        reward = trsum.outcome_of(setup, frozen, segment, action).rewards

        def loss(params):
            logits = logits_of(params)
            penalty = jnp.square(jnp.mean(jax.nn.sigmoid(logits)) - 0.9)
            likelihood = episodes.log_probability(logits, action, segment.valid, 'sum')
            return 0.5 * penalty - (reward - 0.4) * likelihood

        gradient = jax.grad(loss)(state.params)
        likelihood = episodes.log_probability(logits_of(state.params), action, segment.valid, 'sum')
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient)]), jnp.exp(likelihood)

    gradients, probabilities = of_action(jnp.array(ACTIONS))
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
    variance, signal, spread = moments(gradients, probabilities)
    # Of 1000 draws: four standard errors.
    error = 4 * spread / np.sqrt(1000)
    assert told['gradient_variance'] == pytest.approx(variance, abs=error)
    assert error < 0.2 * variance
    of_mean = np.sqrt(variance / 1000)
    assert abs(np.sqrt(max(told['gradient_signal'], 0)) - np.sqrt(signal)) < 4 * of_mean < np.sqrt(signal)
    assert told['gradient_snr'] == told['gradient_signal'] / told['gradient_variance']
