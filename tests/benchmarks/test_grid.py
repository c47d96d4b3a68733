"""The benchmark of whole grids at toy size; no figure is checked here."""

import json

import pytest

from benchmarks import grid
from trsum_jax.data.made import synthetic
from trsum_jax.experiment import check


def test_the_lone_runs_cover_the_folds_of_the_grid(tmp_path):
    flags = grid._write_data(tmp_path, 'toy', 2)
    entries = [json.loads((tmp_path / f'{i}.json').read_text()) for i in range(2)]
    assert all(len(entry) == 1 for entry in entries)
    tests = [key for (fold,) in entries for key in fold['test_keys']]
    assert sorted(tests) == [f'video_{i}' for i in range(1, 7)]
    assert '--config.model.width=8' in flags
    assert f'--config.data.file={tmp_path}/videos.h5' in flags


@pytest.mark.parametrize('size', grid.SIZES)
def test_of_every_size_the_config_runs_and_its_videos_can_be_made(size):
    config = grid.setting(size)
    check.check(config)
    synthetic.check(synthetic.Recipe(**config.data.synthetic))


def test_a_process_that_fails_is_named(tmp_path):
    with pytest.raises(RuntimeError, match='a divisor of'):
        grid._timed(tmp_path / 'w', ['--config.model.heads=3'], grid._environment('on', tmp_path))


@pytest.mark.parametrize('how', ['auto', 'alone'])
def test_five_folds_run_in_both_layouts(how):
    run = grid.folds('toy', 'summarizer', how)
    run()
    run()


def test_the_table_gives_medians_over_rounds_and_says_which_cache():
    rounds = [{'one_s': s, 'each_s': [4.0, 6.0], 'ratio': s / 10} for s in (2.0, 3.0, 4.0)]
    worker = {'median_s': 1.0}
    layout = {
        'label': 'generator epoch',
        'workers': {'together': worker, 'one after another': worker},
        'ratios': {'one after another': {'ratio': 1.0, 'low': 0.9, 'high': 1.1, 'none': True}},
        'repetitions': 7,
    }
    found = grid.rows({
        'backend': 'cpu',
        'processes': {'off': rounds, 'on': rounds[:1]},
        'layouts': [layout],
        'start': {'empty_s': 10.0, 'cached_s': [4.0, 5.0, 9.0]},
    })  # fmt: skip
    assert [row['ratio'] for row in found[::2]] == ['0.30 [0.20, 0.40]', '1.00 [0.90, 1.10] (no difference)']
    assert (found[0]['ours, s'], found[0]['theirs, s']) == (3.0, 10.0)
    assert 'anew' in found[0]['work']
    assert 'cache' in found[1]['work']
    assert (found[3]['ours, s'], found[3]['ratio']) == (5.0, '0.50')
