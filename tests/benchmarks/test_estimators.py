"""What the estimators' benchmark measures at toy size; no figure is checked here."""

import itertools
import re

import numpy as np
import pytest

from benchmarks import agreeing, estimators
from configs.studies.estimators import VARIANTS


@pytest.mark.parametrize(
    ('name', 'biased'), [('leave-one-out', False), ('subsets', False), ('markov', False), ('gumbel', True)]
)
def test_bias_is_seen_where_theory_has_it(name, biased, monkeypatch):
    monkeypatch.setattr(estimators, 'SMALL_DRAWS', 20_000)
    found = estimators.bias(VARIANTS[name])
    assert (found['bias'] > 5 * found['bias_se']) == biased


def test_an_estimator_of_ones_own_is_measured_and_what_there_is_not_is_refused(tmp_path, monkeypatch, capsys):
    text = 'from trsum_jax.method.estimators import antithetic as flip\n'
    (tmp_path / 'flips_of_mine.py').write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    measured, args = [], ['--only=antithetic,flips_of_mine:flip']

    class Measured(Exception):
        pass

    def of_bias(fields):
        measured.append(bias(fields))
        if len(measured) == 2:
            raise Measured
        return measured[-1]

    bias = estimators.bias
    monkeypatch.setattr(estimators, 'SMALL_DRAWS', 100)
    monkeypatch.setattr(estimators, 'bias', of_bias)
    with pytest.raises(Measured):
        estimators.main(args)
    # It is the same function.
    assert measured[0] == measured[1]
    for name, words in {
        'antithetc': 'expected names of reinforce, .*, or MODULE:NAME of your own, found antithetc',
        'flips_of_mine:flop': r'expected a function flop in .*flips_of_mine\.py, found',
        'absent:flip': 'expected a module absent, found none',
    }.items():
        with pytest.raises(SystemExit) as stopped:
            estimators.main([f'--only=antithetic,{name}'])
        assert stopped.value.code == 2
        assert re.search(words, capsys.readouterr().err)


def test_the_gradient_by_flips_is_that_of_enumeration(monkeypatch):
    monkeypatch.setattr(estimators, 'LENGTH', 3)
    monkeypatch.setattr(estimators, 'REFERENCE', 4000)
    weights = np.array([0.5, -0.25, 1.0], np.float32)

    def outcome(action):
        return estimators.estimators.Outcome(action @ weights, action * weights)

    logits = np.array([0.3, -1.0, 0.0], np.float32)
    slopes, level = estimators._by_flips(outcome, logits, np.ones(3, bool))
    p = 1 / (1 + np.exp(-logits))
    # Of a reward that is linear in the actions every draw has the same slope.
    np.testing.assert_allclose(slopes, np.tile(weights * p * (1 - p), (4000, 1)), rtol=1e-5)
    assert level == pytest.approx(float(p @ weights), abs=0.05)


def test_the_gradient_by_episodes_is_that_of_a_policy_of_one_size(monkeypatch):
    monkeypatch.setattr(estimators, 'LENGTH', 64)
    monkeypatch.setattr(estimators, 'REFERENCE', 500)
    weights = np.array([0.5, -0.25, 1.0, 0.0], np.float32)

    def rewards_of(actions):
        return estimators.estimators.Outcome(actions @ weights, actions * weights[None])

    logits = np.array([0.3, -1.0, 0.0, 0.2], np.float32)
    slopes, level = estimators._by_episodes(VARIANTS['subsets'], rewards_of, logits, np.ones(4, bool))
    # All pairs of frames: the gradient is the reward's covariance with each frame's choice.
    pairs = np.array([np.isin(range(4), pair) for pair in itertools.combinations(range(4), 2)])
    probability = np.exp(pairs @ logits)
    probability /= probability.sum()
    rewards = pairs @ weights
    expected = (probability * (rewards - probability @ rewards)) @ pairs
    np.testing.assert_allclose(slopes.mean(axis=0), expected, atol=4 * slopes.std(axis=0).max() / 500**0.5)
    assert slopes.std(axis=0).max() / 500**0.5 < 0.005
    assert level == pytest.approx(probability @ rewards, abs=0.1)


def test_a_constant_agrees_with_a_gradient_that_hardly_varies_and_not_once_centred():
    truth = np.array([1.0, 1.1, 0.9, 1.0])
    order = np.array([[0.0, 0.5, -0.5, 0.0]])
    # A constant with the order reversed, and the order alone under a constant of the other sign.
    wrong = agreeing.agreement(np.repeat(1 - 0.2 * order, 2, axis=0), truth)
    assert wrong['cosine'] > 0.98
    assert wrong['centred_cosine'] == pytest.approx(-1)
    right = agreeing.agreement(np.repeat(order - 1, 2, axis=0), truth)
    assert right['cosine'] < -0.7
    assert right['centred_cosine'] == right['centred_mean_cosine'] == pytest.approx(1)


def test_the_centred_variance_leaves_out_what_all_frames_share():
    truth = np.array([1.0, 2.0, 3.0])
    # The mean over frames alone differs from one estimate to the other.
    found = agreeing.agreement(np.stack([truth - 1, truth + 1]), truth)
    assert found['variance'] == pytest.approx(3 * 2 / 14)
    assert found['centred_variance'] == pytest.approx(0)


def test_the_gradient_is_known_as_well_as_its_halves_agree():
    slopes = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [4.0, 5.0, 7.0], [6.0, 7.0, 7.0]])
    found = agreeing.of_truth(slopes)
    # Halves, centred: (-1, 0, 1) and (-1, 0, 1) once their means (5, 6, 7) are taken off.
    assert found['halves'] == pytest.approx(1)
    assert found['known'] == pytest.approx(1)
    assert found['constant'] == pytest.approx(12 / np.sqrt(3 * (9 + 16 + 25)))
    # One half's (0, -1, 1) beside (-1, 0, 1): a cosine of 1/2, which for twice as many is 2/3.
    half = agreeing.of_truth(np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]))
    assert half['halves'] == pytest.approx(0.5)
    assert half['known'] == pytest.approx(np.sqrt(2 / 3))
