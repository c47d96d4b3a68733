import json

import numpy as np
import pytest
from tiny import tiny_config

from benchmarks import adversarial
from trsum_jax.errors import InputError
from trsum_jax.experiment.methods import LEARNED
from trsum_jax.files import read_json
from trsum_jax.results import filenames
from trsum_jax.studies import stability
from trsum_jax.studies.pages import stability as command
from trsum_jax.studies.variants import run_variants

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_laid_out')


def write_training(folder, method, stages, seeds=(0, 0, 5, 5)):
    """What `measure` reads of a finished training: `stages[stage][metric]` is [R][epochs]."""
    folder.mkdir()
    (folder / filenames.CONFIG).write_text(json.dumps({'method': method}))
    (folder / filenames.RECORD).write_text(
        json.dumps({'runs': [[seed, i % 2] for i, seed in enumerate(seeds)]})
    )
    (folder / filenames.RESULTS).write_text(json.dumps({'synthetic': True}))
    lines = [
        {'stage': stage, 'epoch': epoch + 1, 'seed': seed, 'fold': i % 2}
        | {name: curves[i][epoch] for name, curves in metrics.items()}
        for stage, metrics in stages.items()
        for epoch in range(len(next(iter(metrics.values()))[0]))
        for i, seed in enumerate(seeds)
    ]
    (folder / filenames.METRICS).write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return folder


# Runs of seed 0 are monotone (TVn 1); of seed 5 they go up and down over their range (TVn 3).
REWARD = [[0.0, 0.2, 0.4, 1.0], [5.0, 4.0, 3.0, 2.0], [0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]]
FLAT = [[1.0] * 4] * 4


def test_runs_are_measured_and_averaged_by_their_seed(tmp_path):
    made = write_training(tmp_path / 'made', 'drdsn', {'drdsn': {'p_mean': FLAT, 'reward': REWARD}})
    found = stability.measure_curves(made)
    assert set(found) == {'drdsn: reward'}
    one = found['drdsn: reward']
    assert one['TVn']['mean'] == pytest.approx(2)
    assert one['TVn']['seeds'] == 2
    # Seeds' means 1 and 3: half of their distance times t(.975, 1) = 12.7062.
    assert one['TVn']['high'] - 2 == pytest.approx(12.7062, rel=1e-5)
    np.testing.assert_array_equal(one['curves'], REWARD)


def test_a_constant_curve_is_counted_and_named(tmp_path):
    stages = {'generator': {'loss': REWARD}, 'summarizer': {'reward': FLAT}}
    made = write_training(tmp_path / 'made', 'trsum', stages)
    text = stability.compare_curves({'a': made}, tmp_path)
    assert '| –' in text
    assert 'left out: a, summarizer: reward: 4' in text
    assert '(synthetic data)' in text


def test_curves_of_different_length_are_warned_of(tmp_path):
    stages = {'generator': {'loss': REWARD}, 'summarizer': {'reward': [row[:3] for row in REWARD]}}
    text = stability.render_curves(
        {'a': stability.measure_curves(write_training(tmp_path / 'a', 'trsum', stages))}, True
    )
    assert 'Curves of 3 and 4 epochs' in text


def test_what_cannot_be_measured_is_refused(tmp_path):
    with pytest.raises(InputError, match='finished training'):
        stability.measure_curves(tmp_path)
    short = {'drdsn': {'reward': [row[:2] for row in REWARD]}}
    with pytest.raises(InputError, match=r'drdsn: a curve.*Train for more epochs'):
        stability.measure_curves(write_training(tmp_path / 'short', 'drdsn', short))
    with pytest.raises(InputError, match='finished suite'):
        command.main([f'--workdir={tmp_path}'])
    with pytest.raises(InputError, match='lone experiment'):
        command.main([f'--workdir={tmp_path / "short"}'])


def test_a_study_of_two_methods_from_training_to_table(tmp_path, capsys):
    config = tiny_config(**{'evaluation.one_out': False})
    methods = {name: LEARNED[name] for name in ('trsum', 'drdsn')}
    for method in methods:
        config.variants[method] = {'method': method}
        for stage in methods[method]:
            config[stage].epochs = 3
    run_variants(config, tmp_path)
    command.main([f'--workdir={tmp_path}'])
    assert '| drdsn ' in capsys.readouterr().out
    found = read_json(tmp_path / stability.JSON)['variants']
    assert set(found) == set(methods)
    for method, stages in methods.items():
        assert set(found[method]) == {f'{stage}: {name}' for stage, names in stages.items() for name in names}
        for one in found[method].values():
            assert one['TVn']['mean'] >= 1
            assert np.shape(one['curves']) == (2, 3)
    assert (tmp_path / stability.PICTURE).stat().st_size > 1000


@pytest.mark.parametrize('name', ['drdsn'])
def test_the_benchmarks_workers_train(name):
    small = {'acsumgan.width': 4, 'acsumgan.fragments': 4, 'acsumgan.picks': 2, 'drdsn.width': 4}
    adversarial.epoch('toy', **small | adversarial.WORKERS[name])()


@pytest.mark.parametrize('whose', adversarial.LSTMS)
def test_the_benchmarks_lstms_run(whose):
    adversarial.lstm('toy', whose, videos=2, width=4)()
