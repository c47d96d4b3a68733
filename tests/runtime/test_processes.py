"""Several real processes against one, and what happens when they disagree or die."""

import signal
import subprocess
import sys
import time

import pytest
import several
from soak import interruptions
from tiny import tiny_config, write_data

from trsum_jax.errors import PREEMPTED, InputError
from trsum_jax.experiment import workdirs
from trsum_jax.results import filenames
from trsum_jax.runtime import checkpoint, processes

# A message that another process's end has come to must not take longer than this.
BOUND_S = processes.HEARTBEAT_S + 60


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def flags(data):
    """Four runs; three checkpoints a stage."""
    fields = {
        'seeds': '(0,1)',
        'data.file': data,
        'data.generate': False,
        'generator.epochs': 4,
        'summarizer.epochs': 4,
        'layout.checkpoint_every': 2,
        'evaluation.baselines': False,
        'model.layers': 1,
    }
    return [f'--config.{name}={value}' for name, value in fields.items()]


@pytest.fixture(scope='module')
def alone(flags, tmp_path_factory):
    """The workdir of a lone process with one device."""
    workdir = tmp_path_factory.mktemp('alone')
    codes, told = several.ended([several.start(0, 1, 0, workdir, *flags)])
    assert codes == [0], told
    return workdir


def test_several_processes_leave_what_one_leaves(flags, alone, tmp_path):
    codes, told = several.ended(several.start_all(2, tmp_path, *flags))
    assert codes == [0, 0], told
    assert '4 runs on 2 x cpu' in told[0]
    assert 'in 2 processes' in told[0]
    assert 'held-out videos' in told[0]
    for text in told[1:]:
        assert [line for line in text.splitlines() if not line.startswith('[Gloo]')] == []
    assert interruptions.differences(alone, tmp_path) == []


def test_from_four_devices_in_two_processes_to_one_device(flags, alone, tmp_path):
    started = several.start_all(2, tmp_path, *flags, devices=2)
    stop_in_the_summarizer(started, tmp_path)
    codes, told = several.ended([several.start(0, 1, 0, tmp_path, *flags)])
    assert codes == [0], told
    assert 'generator: 4 of 4 epochs taken' in told[0]
    assert interruptions.differences(alone, tmp_path) == []


def test_from_one_device_to_four_processes(flags, alone, tmp_path):
    stop_in_the_summarizer([several.start(0, 1, 0, tmp_path, *flags)], tmp_path)
    codes, told = several.ended(several.start_all(4, tmp_path, *flags))
    assert codes == [0] * 4, told
    assert '4 runs on 4 x cpu' in told[0]
    assert 'in 4 processes' in told[0]
    assert 'generator: 4 of 4 epochs taken' in told[0]
    assert interruptions.differences(alone, tmp_path) == []


def stop_in_the_summarizer(started, workdir):
    """SIGKILL to all, once the generator is whole."""
    while 4 not in checkpoint.whole(workdir / filenames.CHECKPOINTS / 'generator'):
        assert all(process.poll() is None for process in started), several.ended(started)
        time.sleep(0.02)
    for process in started:
        process.kill()
    several.ended(started)
    assert not (workdir / filenames.RESULTS).exists()


def test_sigterm_to_one_process_saves_and_ends_all_of_them(flags, tmp_path):
    started = several.start_all(2, tmp_path, *flags, '--config.generator.epochs=5000')
    wait_for_the_log(started, tmp_path)
    started[1].send_signal(signal.SIGTERM)
    codes, told = several.ended(started)
    assert codes == [PREEMPTED] * 2, told
    assert 'generator is saved after epoch' in told[0]
    lines = (tmp_path / filenames.METRICS).read_text().splitlines()
    assert len(lines) == 4 * checkpoint.whole(tmp_path / filenames.CHECKPOINTS / 'generator')[-1]


APART = """
from trsum_jax import stopping
stopping.heed(continues=True)
import sys, time
from trsum_jax.command import command_line
from trsum_jax.runtime import processes
def main(argv):
    processes.start(argv[1], 2, int(argv[2]))
    with processes.together():
        print('ready', flush=True)
        time.sleep(60)
command_line.run(main)
"""


def test_a_signal_to_one_process_outside_training_makes_all_leave():
    address = f'127.0.0.1:{several.free_port()}'
    started = [
        subprocess.Popen(
            [sys.executable, '-c', APART, address, str(i)],
            cwd=several.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in (0, 1)
    ]
    for process in started:
        assert process.stdout.readline() == 'ready\n'
    started[1].send_signal(signal.SIGTERM)
    codes, told = several.ended(started, timeout=30)
    assert codes == [PREEMPTED] * 2
    rest = 'what was finished is saved; the same command continues\n'
    assert told == [f'stopped by SIGTERM to process 1; {rest}', f'stopped by SIGTERM; {rest}']


@pytest.mark.parametrize('victim', [0, 1])
def test_a_process_that_dies_makes_the_others_stop_with_a_message(victim, flags, tmp_path):
    many = ('--config.generator.epochs=100000', '--config.layout.checkpoint_every=100000')
    started = several.start_all(2, tmp_path, *flags, *many)
    wait_for_the_log(started, tmp_path)
    started[victim].kill()
    codes, told = several.ended(started, timeout=BOUND_S)
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] not in (0, None)
    assert 'another process is gone' in told[1 - victim] or 'another task died' in told[1 - victim]
    assert 'Traceback' not in told[1 - victim]


def wait_for_the_log(started, workdir):
    while not ((workdir / filenames.METRICS).exists() and (workdir / filenames.METRICS).stat().st_size):
        assert all(process.poll() is None for process in started), several.ended(started)
        time.sleep(0.02)


def test_the_first_process_writes_when_all_have_read(tmp_path, monkeypatch):
    """A slow one would take what it finds for an earlier session's."""
    found = []
    monkeypatch.setattr(processes, 'wait', lambda name: found.append((tmp_path / filenames.RECORD).exists()))
    workdirs.remember(tiny_config(), tmp_path, {'runs': []}, 'data.h5')
    assert found == [False, True]


def test_processes_with_different_configs_stop_with_the_field(flags, tmp_path):
    port = several.free_port()
    started = [
        several.start(i, 2, port, tmp_path, *flags, f'--config.summarizer.episodes={5 + i}') for i in (0, 1)
    ]
    codes, told = several.ended(started)
    assert codes == [1, 1]
    assert 'summarizer.episodes: 5 in process 0, 6 in process 1' in told[1]
    assert 'those unlike process 0: 1' in told[0]
    assert not (tmp_path / filenames.CONFIG).exists()


def test_a_process_that_cannot_read_the_data_makes_all_stop(flags, data, tmp_path):
    """Each is started in another folder, and the file is named relative to it."""
    flags = [flag for flag in flags if 'data.file' not in flag] + [f'--config.data.file={data.name}']
    port = several.free_port()
    started = [
        several.start(i, 2, port, tmp_path / 'run', *flags, cwd=cwd)
        for i, cwd in enumerate((data.parent, tmp_path))
    ]
    codes, told = several.ended(started, timeout=BOUND_S)
    assert 0 not in codes
    assert 'data.h5: no such file' in told[1]
    assert 'another process is gone' in told[0] or 'another task died' in told[0]


@pytest.mark.parametrize('given', [('localhost:1', None, None), ('localhost:1', 2, None), (None, None, 0)])
def test_half_an_address_is_no_address(given):
    with pytest.raises(InputError, match=r'--coordinator, --processes and --process together.*missing'):
        processes.start(*given)


def test_off_a_cluster_the_flags_are_explained(tmp_path):
    codes, told = several.ended([several.start(0, 1, 0, tmp_path, '--distributed')])
    assert codes == [1]
    assert 'elsewhere give --coordinator=HOST:PORT' in told[0]
    codes, told = several.ended([several.start(0, 1, 0, tmp_path, '--process=1')])
    assert codes == [1]
    assert 'expected --distributed with them' in told[0]
