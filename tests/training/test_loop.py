"""Stopped in any way, a training continues to the same bits."""

import json
import random
import resource
import shutil
import signal
import sys
import time

import mirrored
import numpy as np
import pytest
import several
import stopping
from soak import interruptions
from tiny import tiny_config, write_data

from trsum_jax.errors import PREEMPTED, InputError, Preempted
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json
from trsum_jax.results import filenames, metric_log
from trsum_jax.runtime import checkpoint
from trsum_jax.training import runs

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_drawn')
# Checkpoints after 2, 4 and 5 epochs of both stages, of which the last two stay.
SHORT = {
    'generator.epochs': 5,
    'summarizer.epochs': 5,
    'layout.checkpoint_every': 2,
    'layout.log_every': 3,
    'evaluation.baselines': False,
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def config(data):
    return tiny_config(**SHORT, **{'data.file': str(data), 'data.generate': False})


@pytest.fixture(scope='module')
def in_peace(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('in_peace') / 'run'
    run_experiment(config, workdir)
    return workdir


def stop_after(epochs, config, workdir, monkeypatch):
    """As SIGTERM does, after so many epochs of both stages together."""
    with monkeypatch.context() as patch:
        stopping.stop_after(patch, epochs=epochs)
        with pytest.raises(Preempted, match='is saved after epoch'):
            run_experiment(config, workdir)


def stop_within(steps, config, workdir, monkeypatch):
    """As SIGTERM does after so many steps of both stages together, where an epoch may not end first."""
    config = config.copy_and_resolve_references()
    config.layout.grace = 0.0
    with monkeypatch.context() as patch:
        stopping.stop_after(patch, steps=steps)
        with pytest.raises(Preempted, match=r'is saved after step \d of \d in epoch \d'):
            run_experiment(config, workdir)


def start(workdir, flags):
    return several.start(0, 1, 0, workdir, *flags, devices=2)


def test_killed_at_moments_of_three_kinds_it_ends_in_the_same_bytes(tmp_path, data):
    flags = (*interruptions.SHORT, f'--config.data.file={data}', '--config.data.generate=False')
    flags += ('--config.evaluation.baselines=False', '--config.model.layers=1')
    interruptions.finish(start(tmp_path / 'in_peace', flags))
    draw = random.Random(5)
    # Those of the start and of the evaluation are tried by tests.soak.interruptions.
    names = ['training', 'checkpoint', 'results']
    workdir = tmp_path / 'killed'
    killed = interruptions.trial(
        lambda: start(workdir, flags),
        iter(names),
        len(names),
        lambda name: interruptions.moments(workdir, draw)[name],
        (workdir / filenames.RESULTS).exists,
    )
    # A session may be over before its moment; most are not.
    assert killed.total() >= 2
    assert interruptions.differences(tmp_path / 'in_peace', workdir) == []


def test_sigterm_saves_and_exits_with_its_own_code_and_the_same_command_continues(tmp_path, config, data):
    flags = [f'--config.{name}={value}' for name, value in SHORT.items()]
    flags += [f'--config.data.file={data}', '--config.data.generate=False', '--config.generator.epochs=3000']
    process = start(tmp_path, flags)
    wait_for(tmp_path / filenames.METRICS, process)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == PREEMPTED
    assert 'SIGTERM heard: stopping after this epoch' in told
    assert 'stopped by SIGTERM; generator is saved after epoch' in told
    assert 'the same command continues' in told
    assert 'Traceback' not in told
    lines = [json.loads(line) for line in (tmp_path / filenames.METRICS).read_text().splitlines()]
    done = checkpoint.whole(tmp_path / filenames.CHECKPOINTS / 'generator')[-1]
    assert [line['epoch'] for line in lines[::2]] == list(range(1, done + 1))
    # Fewer epochs than are done are refused; a few more are trained, and then the rest.
    config = config.copy_and_resolve_references()
    config.generator.epochs = done - 1
    with pytest.raises(InputError, match=rf'generator\.epochs: expected {done} or more'):
        run_experiment(config, tmp_path)
    config.generator.epochs = done + 1
    run_experiment(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / filenames.METRICS).read_text().splitlines()]
    epochs = [line['epoch'] for line in lines if line['stage'] == 'generator']
    assert epochs[::2] == epochs[1::2] == list(range(1, done + 2))


def wait_for(path, process):
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize('epochs', [1, 4, 5, 8])
def test_continued_from_any_epoch_equals_in_peace(epochs, config, in_peace, tmp_path, monkeypatch):
    if epochs != 5:
        stop_after(epochs, config, tmp_path, monkeypatch)
    else:
        # Between the stages: the generator's last epoch is saved, and the summarizer has not begun.
        with monkeypatch.context() as patch:
            patch.setattr(metric_log, 'append', refuse_the_summarizer(metric_log.append))
            with pytest.raises(InterruptedError):
                run_experiment(config, tmp_path)
    run_experiment(config, tmp_path)
    assert interruptions.differences(in_peace, tmp_path) == []


# Of 4 steps an epoch: within the second one, before any is saved, and the second of the other stage.
@pytest.mark.parametrize('steps', [6, 27])
def test_stopped_within_an_epoch_it_continues_there_to_the_same_bits(
    steps, config, in_peace, tmp_path, monkeypatch, capsys
):
    stop_within(steps, config, tmp_path, monkeypatch)
    run_experiment(config, tmp_path)
    epochs, rest = divmod(steps % 20, 4)
    assert f'{epochs} of 5 epochs and {rest} steps taken from' in capsys.readouterr().out
    assert interruptions.differences(in_peace, tmp_path) == []
    assert not list((tmp_path / filenames.CHECKPOINTS).glob('*within'))


def test_an_epoch_that_ends_within_the_grace_period_is_ended(config, tmp_path, monkeypatch):
    config = config.copy_and_resolve_references()
    config.layout.grace = 3600.0
    with monkeypatch.context() as patch:
        stopping.stop_after(patch, steps=7)
        with pytest.raises(Preempted, match='generator is saved after epoch 2'):
            run_experiment(config, tmp_path)


def test_what_an_older_stop_within_an_epoch_left_is_not_taken(config, in_peace, tmp_path):
    """As where a session was killed between its next checkpoint and its end."""
    workdir = tmp_path / 'run'
    shutil.copytree(in_peace, workdir)
    (workdir / filenames.RESULTS).unlink()
    left = workdir / filenames.CHECKPOINTS / 'summarizer-within' / '7'
    left.mkdir(parents=True)
    run_experiment(config, workdir)
    assert interruptions.differences(in_peace, workdir) == []


def test_a_damaged_stop_within_an_epoch_leads_back_to_the_last_whole_epoch(
    config, in_peace, tmp_path, monkeypatch, capsys
):
    stop_within(13, config, tmp_path, monkeypatch)
    spoil(tmp_path / filenames.CHECKPOINTS / 'generator-within' / '13', 'cut')
    run_experiment(config, tmp_path)
    told = capsys.readouterr().out
    assert 'generator-within/13: damaged' in told and '0 of 5' not in told
    assert interruptions.differences(in_peace, tmp_path) == []


def test_killed_it_is_told_to_mirrors_once_and_stays_the_same_bits(config, in_peace, tmp_path, monkeypatch):
    """Epochs 1 and 2 of stage 2 are in the log, and not saved: they are trained, and told, again."""
    config, wandb, workdir = config.copy_and_resolve_references(), mirrored.Wandb(), tmp_path / 'run'
    config.layout.update({'tensorboard': True, 'wandb': 'lab', 'profile': str(tmp_path / 'trace')})
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Saver, 'save', refuse_the_summarizer(checkpoint.Saver.save))
        with pytest.raises(InterruptedError):
            run_experiment(config, workdir)
    run_experiment(config, workdir)
    assert interruptions.differences(in_peace, workdir) == []
    assert mirrored.traces(tmp_path / 'trace') == {'generator', 'summarizer'}
    mirrored.check_rows(workdir, wandb, 'lab')
    # As of a project that nobody may use.
    wandb.refuses = True
    with pytest.raises(InputError, match=r'--wandb=lab: .*no API key.*WANDB_MODE=offline'):
        run_experiment(config, tmp_path / 'other')


def refuse_the_summarizer(function):
    def refusing(of, stage, *rest):
        if 'summarizer' in (stage, getattr(of, '_folder', of).name):
            raise InterruptedError
        return function(of, stage, *rest)

    return refusing


def test_the_last_few_checkpoints_are_kept(in_peace):
    for stage in ('generator', 'summarizer'):
        assert checkpoint.whole(in_peace / filenames.CHECKPOINTS / stage) == [4, 5]


@pytest.mark.parametrize('damage', ['changed', 'cut', 'missing', 'unlisted and cut'])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_taken(
    damage, config, in_peace, tmp_path, monkeypatch, capsys
):
    stop_after(5 + 4, config, tmp_path, monkeypatch)
    folder = tmp_path / filenames.CHECKPOINTS / 'summarizer'
    assert checkpoint.whole(folder) == [2, 4]
    spoil(folder / '4', damage)
    capsys.readouterr()
    run_experiment(config, tmp_path)
    told = capsys.readouterr().out
    assert f'note: {folder}/4: damaged' in told
    assert '2 of 5 epochs taken' in told
    assert (tmp_path / filenames.CHECKPOINTS / 'damaged-4-summarizer').is_dir()
    assert interruptions.differences(in_peace, tmp_path) == []


def spoil(folder, damage):
    largest = max(
        (path for path in folder.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size
    )
    content = bytearray(largest.read_bytes())
    if damage == 'changed':
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
    elif damage == 'missing':
        largest.unlink()
    else:
        largest.write_bytes(content[: len(content) // 2])
    if damage == 'unlisted and cut':
        (folder / 'files.sha256.json').unlink()


def test_a_checkpoint_killed_half_way_is_no_checkpoint(config, in_peace, tmp_path, monkeypatch):
    """Orbax writes under another name; what is left under it is cleared away."""
    stop_after(4, config, tmp_path, monkeypatch)
    folder = tmp_path / filenames.CHECKPOINTS / 'generator'
    (folder / '4').rename(folder / '4.orbax-checkpoint-tmp')
    assert checkpoint.whole(folder) == [2]
    run_experiment(config, tmp_path)
    assert interruptions.differences(in_peace, tmp_path) == []
    assert not list(folder.glob('*tmp*'))


def test_no_good_checkpoint_left_is_explained(config, tmp_path, monkeypatch):
    stop_after(4, config, tmp_path, monkeypatch)
    folder = tmp_path / filenames.CHECKPOINTS / 'generator'
    for epoch in checkpoint.whole(folder):
        spoil(folder / str(epoch), 'cut')
    with pytest.raises(
        InputError, match=r'(?s)none of the checkpoints can be read.*/4: .*/2: .*Delete'
    ) as error:
        run_experiment(config, tmp_path)
    assert str(folder) in str(error.value)
    assert checkpoint.whole(folder) == [2, 4]


def test_a_checkpoint_of_another_model_is_named(config, tmp_path, monkeypatch):
    stop_after(4, config, tmp_path, monkeypatch)
    (tmp_path / filenames.CONFIG).write_text(
        json.dumps(read_json(tmp_path / filenames.CONFIG) | {'model': config.model.to_dict() | {'width': 16}})
    )
    config = config.copy_and_resolve_references()
    config.model.width = 16
    with pytest.raises(InputError, match=r'generator/4: the checkpoint is of another model: expected .*'):
        run_experiment(config, tmp_path)


def test_a_full_disk_stops_with_the_last_good_checkpoint_named_and_whole(
    config, in_peace, tmp_path, monkeypatch
):
    """A limit on the size of files stands for the disk."""
    stop_after(2, config, tmp_path, monkeypatch)
    folder = tmp_path / filenames.CHECKPOINTS / 'generator'
    largest = max(path.stat().st_size for path in (folder / '2').rglob('*') if path.is_file())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, before[1]))
    try:
        with pytest.raises(InputError, match=r'/4: the checkpoint could not be written .*Last good .*/2\.$'):
            run_experiment(config, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)
    assert checkpoint.whole(folder) == [2]
    run_experiment(config, tmp_path)
    assert interruptions.differences(in_peace, tmp_path) == []


def test_a_finished_training_of_more_epochs_keeps_the_results_of_fewer(config, in_peace, tmp_path):
    workdir = tmp_path / 'more'
    shutil.copytree(in_peace, workdir)
    before = (workdir / filenames.TABLE).read_text()
    config = config.copy_and_resolve_references()
    config.summarizer.epochs = 6
    run_experiment(config, workdir)
    assert (workdir / 'results-5-5-epochs.md').read_text() == before
    assert read_json(workdir / filenames.RESULTS)['epochs'] == [[5, 5], [5, 6]]
    config.generator.epochs = 6
    with pytest.raises(InputError, match=r'generator\.epochs: expected 5'):
        run_experiment(config, workdir)


def test_a_log_without_the_epochs_of_its_checkpoint_is_named(config, in_peace, tmp_path):
    workdir = tmp_path / 'run'
    shutil.copytree(in_peace, workdir)
    for name in (filenames.RESULTS, filenames.TABLE):
        (workdir / name).unlink()
    log = workdir / filenames.METRICS
    kept = [line for line in log.read_text().splitlines() if json.loads(line)['epoch'] != 3]
    for lines, missing in ((kept, 1), ([], 5)):
        log.write_text(''.join(f'{line}\n' for line in lines))
        with pytest.raises(InputError, match=rf'metrics\.jsonl: .*{missing} are missing.*Delete .*generator'):
            run_experiment(config, workdir)
    # As it says.
    shutil.rmtree(workdir / filenames.CHECKPOINTS / 'generator')
    shutil.rmtree(workdir / filenames.CHECKPOINTS / 'summarizer')
    run_experiment(config, workdir)
    assert interruptions.differences(in_peace, workdir) == []


def test_a_log_cut_in_mid_line_loses_that_line_alone(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    metric_log.append(path, 'generator', 1, {'loss': np.array([0.5])}, [runs.Place(0, 0)])
    path.write_text(path.read_text() + '{"stage": "gen')
    assert metric_log.read(path, 'generator')['loss'].tolist() == [[0.5]]
    metric_log.keep(path, 'summarizer', 0)
    assert len(path.read_text().splitlines()) == 1
