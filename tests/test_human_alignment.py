"""What an experiment leaves about agreement with people, and the one-out loss of windows behind it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json
from trsum_jax.method import losses
from trsum_jax.training import corpus, scoring


def test_a_window_masks_its_frames_and_no_others():
    setting = Setting(tiny_config())
    params = jax.tree.map(lambda leaf: leaf[0], setting.train(setting.stage1, epochs=1)[0].params)
    scores = np.asarray(scoring.one_out_loss(setting.generator, params, setting.corpus, window=3))
    index, valid = np.asarray(setting.corpus.index), np.asarray(setting.corpus.valid)
    edges = 0
    for frame in (0, 2, int(index[0][valid[0]][-1])):
        found = []
        for segment, position in zip(*np.nonzero((index == frame) & valid), strict=True):
            one = corpus.gather(setting.corpus, segment)
            n = int(valid[segment].sum())
            first = min(max(position - 1, 0), n - 3)
            edges += first != position - 1
            masked = jnp.zeros(len(one.valid), bool).at[first : first + 3].set(True)
            rebuilt = setting.generator.apply({'params': params}, one.frames, one.valid, masked)
            found.append(float(losses.frame_losses(one.frames, rebuilt)[position]))
        assert scores[frame] == pytest.approx(np.mean(found), abs=1e-5)
    assert edges >= 2


def test_an_experiment_leaves_its_agreement_with_people(tmp_path):
    config = tiny_config(**{'evaluation.agreement': True})
    config.evaluation.one_out_windows = (3,)
    text = run_experiment(config, tmp_path)
    assert '## Agreement with people' in text
    results = read_json(tmp_path / 'results.json')
    found = read_json(tmp_path / 'human_alignment.json')
    assert set(found['rows']) == {'trsum', 'one_out', 'one_out_3', 'distance_to_mean'}
    assert found['rank_against'] == 'annotator scores'
    assert found['synthetic']
    # One seed: the held-out table and this one rest on the same scores.
    for row in ('one_out', 'one_out_3', 'distance_to_mean'):
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
