"""What the estimators' benchmark measures at toy size; no figure is checked here."""

import numpy as np
import pytest

from benchmarks import estimators
from configs.studies.estimators import VARIANTS


@pytest.mark.parametrize(('name', 'biased'), [('leave-one-out', False), ('gumbel', True)])
def test_bias_is_seen_where_theory_has_it(name, biased, monkeypatch):
    monkeypatch.setattr(estimators, 'SMALL_DRAWS', 20_000)
    found = estimators.bias(VARIANTS[name])
    assert (found['bias'] > 5 * found['bias_se']) == biased


def test_the_gradient_by_flips_is_that_of_enumeration(monkeypatch):
    monkeypatch.setattr(estimators, 'LENGTH', 3)
    monkeypatch.setattr(estimators, 'REFERENCE', 4000)
    weights = np.array([0.5, -0.25, 1.0], np.float32)

    def outcome(action):
        return estimators.estimators.Outcome(action @ weights, action * weights)

    logits = np.array([0.3, -1.0, 0.0], np.float32)
    gradient, level = estimators._by_flips(outcome, logits, np.ones(3, bool))
    p = 1 / (1 + np.exp(-logits))
    # Of a reward that is linear in the actions every draw has the same slope.
    np.testing.assert_allclose(gradient, weights * p * (1 - p), rtol=1e-5)
    assert level == pytest.approx(float(p @ weights), abs=0.05)
