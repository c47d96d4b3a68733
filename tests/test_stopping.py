"""Signals at any moment: one sentence, the documented code, nothing left behind."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import jax
import pytest

from trsum_jax import files
from trsum_jax.errors import PREEMPTED, explain, raised
from trsum_jax.experiment import check
from trsum_jax.experiment.fields import get_config

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = """
from trsum_jax import stopping
stopping.heed(continues={continues})
import ctypes, sys
from trsum_jax import files
def main():
    stopping.wait_for({waits_for!r})
    print('in the buffer', end='')
    with files.replacing('out.txt') as temporary, files.temporary_folder() as folder:
        temporary.write_text('half')
        (folder / 'checkpoint').write_text('half')
        print('ready', file=sys.stderr, flush=True)
        # In C, from which no exception gets out.
        ctypes.CDLL(None).sleep(60)
main()
"""


@pytest.fixture
def start():
    """Starts Python processes that are ready to be stopped: they have said a first line on stderr."""
    started = []

    def one(folder, program, *flags, before=(), **environment):
        process = subprocess.Popen(
            [*before, sys.executable, *(['-c', program] if program else []), *flags],
            cwd=folder,
            env=os.environ | {'PYTHONPATH': str(ROOT), 'TMPDIR': str(folder)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stderr.readline() == 'ready\n'
        return process

    yield one
    for process in started:
        process.kill()
        process.communicate()


def program(continues=False, waits_for=''):
    return PROGRAM.format(continues=continues, waits_for=waits_for)


def ended(process):
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.parametrize(('number', 'continues', 'code'), [
    (signal.SIGINT, False, 130),
    (signal.SIGTERM, False, 143),
    (signal.SIGHUP, False, 129),
    (signal.SIGINT, True, 130),
    (signal.SIGTERM, True, PREEMPTED),
    (signal.SIGHUP, True, PREEMPTED),
])  # fmt: skip
def test_a_signal_ends_a_call_into_c_and_leaves_nothing(number, continues, code, start, tmp_path):
    process = start(tmp_path, program(continues))
    assert {path.name.rpartition('.')[2] for path in tmp_path.glob('.out*')} == {'tmp'}
    process.send_signal(number)
    found, out, err = ended(process)
    assert (found, out) == (code, 'in the buffer')
    goes_on = 'what was finished is saved; the same command continues'
    assert err == f'stopped by {number.name}; {goes_on if continues else "no file is left half written"}\n'
    assert list(tmp_path.iterdir()) == []


def test_what_waits_says_so_and_a_second_signal_leaves_with_the_same_code(start, tmp_path):
    process = start(tmp_path, program(True, 'this epoch'))
    process.send_signal(signal.SIGTERM)
    heard = process.stderr.readline()
    assert heard.startswith('SIGTERM heard: stopping after this epoch; once more to leave at once')
    # Queues and shells pass a signal on that its process has already got.
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.6)
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code == PREEMPTED
    assert err == 'stopped at once by SIGTERM; the same command continues from its last checkpoint\n'
    assert list(tmp_path.iterdir()) == []


TRAINING = """
from trsum_jax import stopping
stopping.heed(continues=True)
import sys, time
from trsum_jax.command import command_line
from trsum_jax.errors import Preempted
def main(argv):
    stopping.wait_for('this epoch')
    print('ready', file=sys.stderr, flush=True)
    while stopping.heard() is None:
        time.sleep(0.01)
    assert 0 <= time.monotonic() - stopping.heard() < 30
    raise Preempted(f'stopped by {stopping.name()}; it is saved')
command_line.run(main)
"""


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGHUP, PREEMPTED)])
def test_a_training_that_has_saved_leaves_with_the_code_of_its_signal(number, code, start, tmp_path):
    process = start(tmp_path, TRAINING)
    process.send_signal(number)
    found, _, err = ended(process)
    assert found == code
    assert err.splitlines()[1:] == [f'stopped by {number.name}; it is saved; the same command continues']


def test_what_does_not_continue_waits_for_nothing(start, tmp_path):
    process = start(tmp_path, program(False, 'this epoch'))
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143


def test_a_hangup_that_was_to_be_ignored_is_ignored(start, tmp_path):
    """As `nohup` has it."""
    process = start(tmp_path, program(), before=('sh', '-c', 'trap "" HUP; exec "$@"', '-'))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143


@pytest.mark.parametrize(('flags', 'number', 'code'), [
    (['main'], signal.SIGTERM, PREEMPTED),
    (['summarize', '--workdir=here'], signal.SIGHUP, PREEMPTED),
    (['summarize', '--video=workdir'], signal.SIGTERM, 143),
    (['evaluate'], signal.SIGINT, 130),
    (['validate'], signal.SIGTERM, 143),
    (['fetch'], signal.SIGTERM, PREEMPTED),
    (['extract'], signal.SIGHUP, 129),
    (['score'], signal.SIGINT, 130),
])  # fmt: skip
def test_every_command_heeds_signals_before_its_first_slow_import(flags, number, code, start, tmp_path):
    slow = tmp_path / 'slow' / 'absl'
    slow.mkdir(parents=True)
    (slow / '__init__.py').write_text(
        'import sys, time\nprint("ready", file=sys.stderr, flush=True)\ntime.sleep(60)\n'
    )
    flags = ['-m', f'trsum_jax.{flags[0]}', *flags[1:]]
    process = start(ROOT, None, *flags, PYTHONPATH=str(slow.parent), TMPDIR=str(tmp_path))
    process.send_signal(number)
    found, _, err = ended(process)
    assert found == code
    assert err.startswith(f'stopped by {number.name}; ')
    assert err.count('\n') == 1


def test_a_signal_while_jax_is_imported(tmp_path):
    command = [sys.executable, '-m', 'trsum_jax.main', '--config=tests/tiny.py', f'--workdir={tmp_path}/run']
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {'PYTHONPATH': 'tests'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while 'jaxlib' not in pathlib.Path(f'/proc/{process.pid}/maps').read_text():
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told == 'stopped by SIGINT; what was finished is saved; the same command continues\n'


def test_a_signal_while_the_first_step_compiles(tmp_path):
    """With an empty cache; it ended in a segmentation fault when the interpreter was taken down."""
    command = [sys.executable, '-m', 'trsum_jax.main', '--config=tests/tiny.py', f'--workdir={tmp_path}/run']
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {'PYTHONPATH': 'tests', 'JAX_COMPILATION_CACHE_DIR': str(tmp_path / 'cache')},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            if 'parameters a run' in line:
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=30)
    assert process.returncode == PREEMPTED
    assert told.splitlines()[-1] == (
        'stopped by SIGTERM; what was finished is saved; the same command continues'
    )
    assert 'Thread' not in told
    assert not (tmp_path / 'run' / 'metrics.jsonl').read_text()


def test_folders_of_killed_processes_are_removed_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, 'gettempdir', lambda: str(tmp_path))
    monkeypatch.setattr(files.tempfile, 'tempdir', str(tmp_path))
    dead = subprocess.Popen(['true'])
    dead.wait()
    left, ours, foreign = (tmp_path / name for name in (f'trsum-{dead.pid}-a', 'trsum-1-a', 'trsum-notes'))
    for folder in (left, ours, foreign):
        folder.mkdir()
        (folder / 'checkpoint').write_text('x')
    with files.temporary_folder() as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(f'trsum-{os.getpid()}-')
        assert {path.name for path in tmp_path.iterdir()} == {folder.name, ours.name, foreign.name}
        # Seen from a container whose processes have other numbers.
        monkeypatch.setattr(files, 'is_running', lambda number: False)
        with files.temporary_folder():
            assert folder.exists()
            assert not ours.exists()
    assert [path.name for path in tmp_path.iterdir()] == [foreign.name]


def test_closed_streams_are_no_fault_and_a_stop_still_cleans(start, tmp_path):
    """As `>&- 2>&-`: the next file that is opened would take their numbers."""
    report = tmp_path / 'report'
    process = subprocess.Popen(
        ['sh', '-c', 'exec "$@" >&- 2>&- <&-', '-', sys.executable, '-c', CLOSED, str(report)],
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        cwd=tmp_path,
    )
    while not report.exists():
        assert process.poll() is None
        time.sleep(0.01)
    assert report.read_text() == '3'
    assert len(list(tmp_path.glob('.out*'))) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert not list(tmp_path.glob('.out*'))


CLOSED = """
from trsum_jax import stopping
stopping.heed()
import pathlib, sys, time
from trsum_jax import files
with files.replacing('out') as temporary:
    temporary.write_text('half')
    print('said'), print('said', file=sys.stderr, flush=True)
    with open(sys.argv[1] + '.new', 'w') as file:
        file.write(str(min(file.fileno(), 3)))
    pathlib.Path(sys.argv[1] + '.new').rename(sys.argv[1])
    time.sleep(60)
"""


def test_of_an_error_of_pages_the_beginning_is_told():
    assert raised(ValueError('a\n b')) == 'it raises ValueError: a b'
    assert raised(ValueError('x' * 300)) == f'it raises ValueError: {"x" * 200}…'


# More than a process can address.
OUT_OF_MEMORY = """
import jax.numpy as jnp
from trsum_jax import errors
errors.run_command(lambda argv: jnp.zeros(1 << 48), errors.unparsed)
"""


def test_too_little_memory_of_a_device_is_told_with_the_fields_that_need_less(tmp_path):
    own = os.environ | {'PYTHONPATH': str(ROOT)}
    line = [sys.executable, '-c', OUT_OF_MEMORY]
    found = subprocess.run(line, env=own, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 1 and found.stdout == ''
    assert re.fullmatch(r'error: .*found too little \(RESOURCE_EXHAUSTED: Out of memory .*\.\n', found.stderr)
    # That they exist, and may change between two sessions, as the message says.
    fields = set(re.findall(r'--config\.([\w.]+\w)', found.stderr)) - {'data.stream_mb'}
    assert {'layout.microbatch', 'layout.runs', 'layout.mesh'} == fields <= set(check.flatten(get_config()))
    assert all(map(check.is_free, fields))


def test_other_errors_of_jax_are_ours():
    assert explain(jax.errors.JaxRuntimeError('INTERNAL: no kernel')) is None
