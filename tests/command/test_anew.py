"""A command that begins anew: what it found is there, what it held is not, and no signal is lost between."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from trsum_jax.command import anew
from trsum_jax.errors import PREEMPTED

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = """
from trsum_jax import stopping
stopping.heed(continues={continues})
import os, signal, sys, threading, time
from trsum_jax import files
from trsum_jax.command import anew
found = anew.found_before()
if found is None:
    held = bytearray(300_000_000)
    held[:] = b'x' * len(held)
    {meanwhile}
    print('first', end=' ')
    with files.replacing('out.txt') as temporary:
        temporary.write_text('whole')
    anew.begin_anew({{'pid': os.getpid(), 'flags': sys.argv[1:]}})
    print('refused', {afterwards})
    sys.exit(3)
{later}
status = open('/proc/self/status').read()
same = found == {{'pid': os.getpid(), 'flags': sys.argv[1:]}}
print(same, anew.found_before(), 'TRSUM_JAX_FOUND' in os.environ)
print(len(os.listdir('/proc/self/fd')), int(status.split('VmRSS:')[1].split()[0]) < 150_000)
"""


def run(folder, *, stdin=False, how=(), continues=False, meanwhile='pass', afterwards='0', later=''):
    """Runs the program with flags, or without by its stdin; `how` is what Python is told before."""
    program = PROGRAM.format(continues=continues, meanwhile=meanwhile, afterwards=afterwards, later=later)
    return subprocess.run(
        [sys.executable, *how, *([] if stdin else ['-c', program, '--a', 'b c'])],
        input=program if stdin else '',
        cwd=folder,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def test_what_was_found_is_there_and_what_was_held_is_not(tmp_path):
    done = run(tmp_path)
    assert done.stdout.split('\n')[0] == 'first True None False', done.stderr
    # stdin, stdout, stderr, and the folder that is listed: no file of what was found is still open.
    assert done.stdout.split('\n')[1] == '4 True'
    assert (done.returncode, done.stderr) == (0, '')
    assert [path.name for path in tmp_path.iterdir()] == ['out.txt']


@pytest.mark.parametrize(('number', 'code'), [
    (signal.SIGINT, 130),
    (signal.SIGTERM, 143),
    (signal.SIGHUP, 129),
])  # fmt: skip
def test_a_signal_on_the_way_is_answered_by_the_process_that_began_anew(number, code, tmp_path):
    meanwhile = f"""
    os.execve = (lambda go: lambda *of: (os.kill(os.getpid(), {int(number)}), go(*of)))(os.execve)
"""
    done = run(tmp_path, meanwhile=meanwhile, later='threading.Event().wait()')
    assert (done.returncode, done.stdout) == (code, 'first ')
    assert done.stderr == f'stopped by {number.name}; no file is left half written\n'


def test_a_signal_that_had_to_wait_ends_the_command_before_it_begins_anew(tmp_path):
    meanwhile = """
    stopping.wait_for('this epoch')
    os.kill(os.getpid(), signal.SIGTERM)
    while stopping.heard() is None:
        time.sleep(0.01)
"""
    done = run(tmp_path, continues=True, meanwhile=meanwhile)
    assert (done.returncode, done.stdout) == (PREEMPTED, 'first ')
    assert done.stderr.splitlines()[-1].startswith('stopped by SIGTERM; what was finished is saved')


def test_where_the_system_refuses_the_command_goes_on_and_heeds_signals(tmp_path):
    meanwhile = 'sys.executable = "/nowhere"'
    done = run(tmp_path, meanwhile=meanwhile)
    assert (done.returncode, done.stdout) == (3, 'first refused 0\n')
    afterwards = 'os.kill(os.getpid(), signal.SIGTERM), threading.Event().wait()'
    assert run(tmp_path, meanwhile=meanwhile, afterwards=afterwards).returncode == 143


@pytest.mark.parametrize('how', [(), ('-',)])
def test_a_program_that_nobody_can_read_again_goes_on(how, tmp_path):
    done = run(tmp_path, how=how, stdin=True)
    assert (done.returncode, done.stdout) == (3, 'first refused 0\n')


def test_who_heeds_no_signals_is_no_command_and_goes_on():
    anew.begin_anew('never read')


def test_what_another_process_found_is_not_ours(monkeypatch):
    monkeypatch.setenv('TRSUM_JAX_FOUND', f'{os.getppid()} 7')
    assert anew.found_before() is None
    assert 'TRSUM_JAX_FOUND' not in os.environ
