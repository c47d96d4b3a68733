import importlib

import pytest
from tiny import tiny_config

from trsum_jax.experiment import methods

SHAPE = {'width': 6, 'n_videos': 3, 'longest': 12}


@pytest.mark.parametrize('name', methods.NAMES)
def test_a_method_has_the_stages_of_its_part_of_the_config(name):
    config = tiny_config(method=name, **{'evaluation.one_out_windows': (3,)})
    method = methods.build(config, **SHAPE)
    assert tuple(stage.name for stage in method.stages) == methods.STAGES[name]
    assert set(methods.LEARNED[name]) == set(methods.STAGES[name])
    assert all(stage.batch == config[stage.name].batch for stage in method.stages)
    windows = {'one_out', 'one_out_3'} if name == 'trsum' else set()
    assert set(method.rows) == {'trsum', 'untrained', *windows}


def test_a_rival_reads_whole_videos_in_one_view():
    method = methods.build(tiny_config(method='drdsn'), **SHAPE)
    assert (method.length, method.views) == (12, ('sequential',))
    ours = methods.build(tiny_config(), **SHAPE)
    assert (ours.length, ours.views) == (8, ('sequential', 'dilated'))


def test_without_the_one_out_loss_its_rows_are_left_out():
    method = methods.build(tiny_config(**{'evaluation.one_out': False}), **SHAPE)
    assert set(method.rows) == {'trsum', 'untrained'}


@pytest.mark.parametrize('name', methods.RIVALS)
def test_a_rival_is_found_by_its_folder_and_brings_what_is_asked_of_it(name):
    rival = importlib.import_module(f'trsum_jax.rivals.{name}.training')
    assert {'epochs', 'batch', 'learning_rate'} <= set(rival.FIELDS)
    assert set(rival.LEARNED)
    assert set(rival.LOGGED)
    assert callable(rival.build)
