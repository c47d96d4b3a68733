"""Tables as files, and another evaluation of what was trained; all else that is left: `test_main`."""

import csv
import shutil

import pytest
from tiny import tiny_config, write_data

from trsum_jax.errors import InputError
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json, write_json
from trsum_jax.results import filenames, outcome
from trsum_jax.training import loop

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_drawn')
OTHER = {'budget': 0.4, 'baselines': True, 'random_draws': 3, 'agreement': True}


def evaluated_by(config, **fields):
    other = config.copy_and_resolve_references()
    other.evaluation.update(fields)
    return other


@pytest.fixture(scope='module')
def one_and_other(tmp_path_factory):
    """An experiment on a file of its own, and where it was trained twice, with either evaluation."""
    folder = tmp_path_factory.mktemp('outcome')
    flat = {'data.file': str(write_data(folder)), 'data.generate': False, 'evaluation.baselines': False}
    config = tiny_config(**flat, **{'model.layers': 1})
    run_experiment(config, folder / 'one')
    run_experiment(evaluated_by(config, **OTHER), folder / 'other')
    return config, folder / 'one', folder / 'other'


@pytest.fixture
def trained(one_and_other, tmp_path, monkeypatch):
    """A copy of the first; nothing trains any more."""
    config, one, _ = one_and_other
    monkeypatch.delattr(loop, 'train')
    return config, shutil.copytree(one, tmp_path / 'run')


def results_in(folder, workdir):
    """What tables and lists hold, but for the place of the workdir."""
    names = [path.name for path in folder.iterdir() if path.suffix in ('.md', '.json', '.csv', '.png')]
    names += [path.relative_to(folder).as_posix() for path in (folder / 'pictures').rglob('*.png')]
    return {
        name: (folder / name).read_bytes().replace(str(workdir).encode(), b'WORKDIR')
        for name in names
        if name not in (filenames.RECORD, filenames.CONFIG)
    }


def test_csv(tmp_path):
    path = tmp_path / 'videos.csv'
    outcome.write_csv(path, [{'video': 'a, b', 'tau': 0.5}, {'video': 'c', 'tau': float('nan'), 'more': 1}])
    with path.open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert rows == [{'video': 'a, b', 'tau': '0.5', 'more': ''}, {'video': 'c', 'tau': '', 'more': '1'}]


def test_another_evaluation_is_made_from_the_checkpoints_and_the_earlier_stays(
    one_and_other, trained, capsys
):
    _, one, other = one_and_other
    config, workdir = trained
    run_experiment(evaluated_by(config, **OTHER), workdir)
    assert 'evaluation.budget: 0.15 there, 0.4 now' in capsys.readouterr().out
    assert results_in(workdir, workdir) == results_in(other, other)
    assert results_in(workdir / 'before', one) == results_in(one, one)
    run_experiment(evaluated_by(config, **OTHER), workdir)
    assert 'nothing was run again' in capsys.readouterr().out
    run_experiment(config, workdir)
    assert results_in(workdir, workdir) == results_in(one, one)
    assert results_in(workdir / 'before-2', workdir) == results_in(other, other)


def stopped(*args, **options):
    raise KeyboardInterrupt


@pytest.mark.parametrize('at', ['mean_scores', 'render_results'])
def test_what_is_stopped_on_the_way_to_another_evaluation_takes_no_table_for_it(
    at, one_and_other, trained, monkeypatch
):
    """As results of before told no evaluation: `config.json` alone knew."""
    _, one, other = one_and_other
    config, workdir = trained
    results = read_json(workdir / filenames.RESULTS)
    del results['evaluation']
    write_json(workdir / filenames.RESULTS, results)
    outcome.seal(workdir)
    with monkeypatch.context() as patch:
        patch.setattr(outcome.report, at, stopped)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(evaluated_by(config, **OTHER), workdir)
    run_experiment(evaluated_by(config, **OTHER), workdir)
    assert results_in(workdir, workdir) == results_in(other, other)
    assert (workdir / 'before' / filenames.TABLE).read_bytes() == (one / filenames.TABLE).read_bytes()


def test_another_evaluation_without_checkpoints_is_refused_and_the_table_stays(trained):
    config, workdir = trained
    shutil.rmtree(workdir / filenames.CHECKPOINTS)
    before = results_in(workdir, workdir)
    with pytest.raises(InputError, match=r'are gone, .*evaluation\.budget: 0\.15 there, 0\.4 now'):
        run_experiment(evaluated_by(config, **OTHER), workdir)
    assert results_in(workdir, workdir) == before
    assert run_experiment(config, workdir) == (workdir / filenames.TABLE).read_text()
