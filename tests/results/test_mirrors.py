"""Mirrors of a log that is damaged or already told, and of libraries that are missing; see also test_loop."""

import json
import sys
import types

import mirrored
import pytest

from trsum_jax.errors import InputError
from trsum_jax.results import filenames, metric_log, mirrors
from trsum_jax.training.runs import Place

LINE = {'stage': 'generator', 'epoch': 1, 'seed': 0, 'fold': 0, 'loss': 0.5}


def open_mirrors(folder, wandb='lab', tensorboard=False):
    layout = types.SimpleNamespace(tensorboard=tensorboard, wandb=wandb)
    return mirrors.mirrored(layout, [folder / filenames.METRICS], 'generator')


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / filenames.CONFIG).write_text('{"name": "tiny"}')
    return tmp_path


def write_log(workdir, *lines):
    (workdir / filenames.METRICS).write_text(''.join(f'{json.dumps(line)}\n' for line in lines))


@pytest.mark.parametrize(
    ('asked', 'module', 'flag'),
    [
        ({'wandb': 'lab'}, 'wandb', r'--wandb=lab: .*trsum_jax\[wandb\]'),
        ({'tensorboard': True, 'wandb': ''}, 'tensorboardX', r'--tensorboard: .*trsum_jax\[tensorboard\]'),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_extra(asked, module, flag, workdir, monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=flag), open_mirrors(workdir, **asked):
        pass


def test_a_folder_that_wandb_left_behind_is_not_the_library(workdir, monkeypatch):
    (workdir / 'wandb').mkdir()
    monkeypatch.delitem(sys.modules, 'wandb', raising=False)
    # Alone: an installed library goes before a mere folder.
    monkeypatch.setattr(sys, 'path', [str(workdir)])
    write_log(workdir, LINE)
    with (
        pytest.raises(InputError, match='--wandb=lab: expected wandb to be inst'),
        open_mirrors(workdir),
    ):
        pass
    sys.modules.pop('wandb', None)


def test_what_a_damaged_log_holds_twice_is_told_once_and_what_is_no_number_is_not(workdir, monkeypatch):
    wandb = mirrored.Wandb()
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    odd = LINE | {'fold': 1, 'loss': 'much', 'other': None, 'more': 3}
    write_log(workdir, LINE, LINE | {'loss': 0.25}, odd, LINE | {'stage': 'summarizer'})
    with open_mirrors(workdir):
        pass
    (run,) = wandb.runs.values()
    assert run['rows'] == [(1, {'loss/seed-0-fold-0': 0.25, 'loss/mean': 0.25, 'more/seed-0-fold-1': 3})]
    assert run['told']['config'] == {'name': 'tiny'}
    # A further session tells what is new.
    with open_mirrors(workdir) as mirror:
        log = workdir / filenames.METRICS
        mirror(log, metric_log.append(log, 'generator', 2, {'loss': [0.125]}, [Place(0, 0)]))
    assert [epoch for epoch, _ in run['rows']] == [1, 2] and len(wandb.runs) == 1


def test_nothing_is_told_where_nothing_is_asked_for(workdir):
    write_log(workdir, LINE)
    before = sorted(workdir.iterdir())
    with open_mirrors(workdir, wandb='') as mirror:
        mirror(workdir / filenames.METRICS, [LINE])
    assert sorted(workdir.iterdir()) == before


@pytest.mark.parametrize('note', ['[]', '{"generator": 3}', '{"generator": {"id": "x"}}', '{'])
def test_a_damaged_note_of_what_was_sent_is_named(note, workdir, monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', mirrored.Wandb())
    (workdir / filenames.WANDB).write_text(note)
    with pytest.raises(InputError, match=r'wandb\.json: .*expected'), open_mirrors(workdir):
        pass
