"""What an experiment leaves about agreement with people."""

import functools

import pytest
from tiny import tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json
from trsum_jax.protocol import agreement


def test_an_experiment_leaves_its_agreement_with_people(tmp_path, monkeypatch):
    few = functools.partial(agreement.measure_agreement, resamples=50, permutations=99)
    monkeypatch.setattr(agreement, 'measure_agreement', few)
    config = tiny_config(**{'evaluation.agreement': True})
    config.evaluation.update({'one_out_windows': (3,), 'rs_sum_passes': 1})
    text = run_experiment(config, tmp_path)
    assert '## Agreement with people' in text
    for row in ('one_out_3', 'rs_sum', 'less one_out_3', 'less rs_sum'):
        assert f'\n| {row} ' in text
    results = read_json(tmp_path / 'results.json')
    found = read_json(tmp_path / 'human_alignment.json')
    assert set(found['rows']) == {'trsum', 'one_out', 'one_out_3', 'rs_sum', 'distance_to_mean', 'change'}
    assert found['rank_against'] == 'annotator scores'
    assert found['synthetic']
    # One seed: the held-out table and this one rest on the same scores.
    for row in ('one_out', 'one_out_3', 'rs_sum', 'distance_to_mean', 'change'):
        for key, video in found['rows'][row]['videos'].items():
            assert -1 <= video['per_user']['kendall_tau'] <= 1
            assert (tmp_path / 'pictures' / 'one_out_and_people' / f'{key}.png').stat().st_size > 5000
        folds_mean = results['baselines'][row]['kendall_tau']['mean']
        assert found['rows'][row]['per_user']['kendall_tau']['mean'] == pytest.approx(folds_mean, abs=1e-6)
    assert found['rows']['one_out'] != found['rows']['one_out_3']
    assert (tmp_path / 'pictures' / 'human_alignment.png').stat().st_size > 5000


def test_a_window_of_one_is_refused_as_it_stands_there_anyway():
    config = tiny_config()
    config.evaluation.one_out_windows = (3, 1)
    with pytest.raises(InputError, match='one_out_windows'):
        check.check(config)
