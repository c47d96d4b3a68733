"""The table of rewards from hand-made results; no figure is checked here."""

import pytest
from tiny import tiny_config

from trsum_jax.errors import InputError
from trsum_jax.files import write_json
from trsum_jax.protocol import tables
from trsum_jax.studies.pages import rewards

VALUES = {'reconstruction': (0.8, 0.6, 0.7), 'coverage': (0.5, 0.3, 0.1)}


def results(values, measure):
    """A `failures.json` and the part of `results.json` that the table needs."""
    videos = {f'video_{i}': {measure: value} for i, value in enumerate(values)}
    estimate = tables.estimate([values])
    row = {choice: {measure: estimate} for choice in ('frames', 'summary')}
    names = ('trsum', *rewards.BESIDE)
    tau = {'kendall_tau': {'mean': 0.25, 'low': 0.2, 'high': 0.3}}
    baselines = {name: tau for name in (*rewards.BESIDE, 'human')}
    return {
        'rows': dict.fromkeys(names, row),
        'videos': {'trsum': {'frames': videos, 'summary': videos}},
        'results': {'train_mean': tau, 'train_baselines': baselines},
    }


def found():
    return {
        plant: {name: results(values, measure) for name, values in VALUES.items()}
        for plant, measure in rewards.OWN.items()
    }


def test_the_change_is_paired_by_video():
    of = found()['brief']
    change = rewards.difference(of['coverage'], of['reconstruction'], 'frames', 'missed_events')
    assert change['mean'] == pytest.approx(-0.4)
    # Of -.3, -.3, -.6 no resample lies outside.
    assert -0.6 <= change['low'] <= change['high'] <= -0.3


def test_the_table_puts_the_first_reward_first_and_the_rows_beside_last():
    body = rewards.rows('brief', found()['brief'])
    assert [row[0] for row in body[:2]] == ['reconstruction', 'coverage']
    assert body[1][1].startswith('30.0 [')
    assert body[1][2].startswith('-40.0 [')
    assert body[0][2] == ''
    assert body[-1][0] == '(people)'


def test_all_is_printed_and_drawn(tmp_path, capsys):
    for plant, variants in found().items():
        for name, content in variants.items():
            folder = tmp_path / (plant if name == rewards.FIRST else f'{plant}-{name}')
            write_json(folder / 'failures.json', {k: v for k, v in content.items() if k != 'results'})
            write_json(folder / 'results.json', content['results'])
    rewards.main([f'--workdir={tmp_path}', f'--picture={tmp_path}/x.png'])
    assert capsys.readouterr().out.count('###') == 3
    assert (tmp_path / 'x.png').stat().st_size > 5000


def test_the_spread_of_a_correlation_is_that_of_chance():
    config = tiny_config(**{'data.synthetic.plant': 'brief', 'decomposition.length': 16})
    config.data.synthetic.steps = (20, 24)
    config.decomposition.views = ('sequential',)
    # A random action's correlation with a fixed column of 16 steps has variance 1 / 15.
    assert rewards.spreads(config, n_episodes=256)['side'] == pytest.approx(15**-0.5, rel=0.05)


def test_an_unfinished_study_is_named(tmp_path):
    with pytest.raises(InputError, match='expected a finished repetitive,'):
        rewards.read(tmp_path)
