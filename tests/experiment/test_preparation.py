import threading

import jax
import numpy as np
from tiny import tiny_config

from trsum_jax.experiment import run
from trsum_jax.experiment.preparation import compiling_ahead, prepare
from trsum_jax.training import grid, scoring


def test_programs_are_compiled_ahead_once_and_change_nothing(monkeypatch, tmp_path):
    made = []

    def noted(function, name_of):
        def call(what, *rest):
            made.append((name_of(what), threading.current_thread() is threading.main_thread()))
            return function(what, *rest)

        return call

    monkeypatch.setattr(grid, 'compile_part', noted(grid.compile_part, lambda stage: stage.name))
    monkeypatch.setattr(scoring, 'jit_over_runs', noted(scoring.jit_over_runs, lambda row: 'row'))
    experiment = prepare(tiny_config(), tmp_path)
    with compiling_ahead(experiment, labelled=False) as ahead:
        params = run.train(experiment, ahead=ahead)
        (found,) = experiment.score(params, labelled=False, ahead=ahead).values()
    assert made == [('generator', False), ('summarizer', False), ('row', False)]

    # The row by this thread gives the same bits; and where all is trained no stage is compiled.
    made.clear()
    (again,) = experiment.score(params, labelled=False).values()
    assert made == [('row', True)]
    for one, other in zip(found, again, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)
    with compiling_ahead(experiment, labelled=False) as ahead:
        assert not ahead.stages
