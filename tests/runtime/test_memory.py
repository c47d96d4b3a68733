"""Memory that goes back to the system; a command begun anew has what it found, and loses no signal."""

import os
import pathlib
import platform
import signal
import subprocess
import sys

import numpy as np
import pytest

from trsum_jax import stopping
from trsum_jax.errors import PREEMPTED
from trsum_jax.runtime import memory

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = """
from trsum_jax import stopping
stopping.heed(continues={continues})
import os, pathlib, signal, sys, time
from trsum_jax import files
from trsum_jax.runtime import memory
import rest
held = bytearray(300_000_000)
held[:] = b'x' * len(held)
sys.path.append('as it was')
os.environ['ADDED'] = 'by a package'
print('first')
{meanwhile}
with files.replacing('out.txt') as temporary:
    temporary.write_text('whole')
sys.exit(memory.run_anew(rest.work, os.getpid(), 'b c'))
"""
REST = """
import os, pathlib, signal, sys, time
def work(number, given):
    {first}
    status = pathlib.Path('/proc/self/status').read_text()
    print(number == os.getpid(), given, 'as it was' in sys.path, os.environ.get('ADDED'), sys.warnoptions)
    print(len(os.listdir('/proc/self/fd')), int(status.split('VmRSS:')[1].split()[0]) < 150_000)
    return 3
"""

# The work, struck by a signal as it begins.
STRUCK = 'os.kill(os.getpid(), signal.SIGTERM), time.sleep(20)'


def run(folder, *, how=(), continues=False, meanwhile='', first='pass', **environment):
    """The command, in a folder of its own; `how` is what Python is told before the program."""
    (folder / 'rest.py').write_text(REST.format(first=first))
    program = COMMAND.format(continues=continues, meanwhile=meanwhile)
    by_stdin = '-' in how
    return subprocess.run(
        [sys.executable, *how, *([] if by_stdin else ['-c', program])],
        input=program if by_stdin else '',
        cwd=folder,
        env=os.environ | {'PYTHONPATH': os.pathsep.join([str(ROOT), str(folder)])} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


@pytest.mark.parametrize('how', [(), ('-W', 'ignore'), ('-u', '-')])
def test_what_was_found_is_there_and_what_was_held_is_not(how, tmp_path):
    done = run(tmp_path, how=how)
    options = str(['ignore'] if '-W' in how else [])
    # Open are stdin, stdout, stderr and the folder that is listed: no file of what was found.
    assert done.stdout.split('\n') == ['first', f'True b c True None {options}', '4 True', '']
    assert (done.returncode, done.stderr) == (3, '')
    assert (tmp_path / 'out.txt').read_text() == 'whole'


@pytest.mark.parametrize(('number', 'code'), [
    (signal.SIGINT, 130),
    (signal.SIGTERM, 143),
    (signal.SIGHUP, 129),
])  # fmt: skip
def test_a_signal_on_the_way_is_answered_by_the_process_that_began_anew(number, code, tmp_path):
    meanwhile = f"""
go = os.execve
def struck(*of):
    os.kill(os.getpid(), {int(number)})
    try:
        go(*of)
    except OSError:
        print('refused')
os.execve = struck
"""
    done = run(tmp_path, meanwhile=meanwhile, first='time.sleep(20)')
    assert (done.returncode, done.stdout) == (code, 'first\n')
    assert done.stderr == f'stopped by {number.name}; no file is left half written\n'


def test_a_signal_that_had_to_wait_ends_the_command_before_it_begins_anew(tmp_path):
    meanwhile = """
stopping.wait_for('this epoch')
os.kill(os.getpid(), signal.SIGTERM)
while stopping.heard() is None:
    time.sleep(0.01)
"""
    done = run(tmp_path, continues=True, meanwhile=meanwhile)
    assert (done.returncode, done.stdout) == (PREEMPTED, 'first\n')
    assert done.stderr.splitlines()[-1].startswith('stopped by SIGTERM; what was finished is saved')


def test_what_continues_still_does_when_begun_anew(tmp_path):
    done = run(tmp_path, continues=True, first=STRUCK)
    assert done.returncode == PREEMPTED
    assert done.stderr == 'stopped by SIGTERM; what was finished is saved; the same command continues\n'


@pytest.mark.parametrize('reason', [
    'sys.executable = "/nowhere"',
    'tempfile.TemporaryFile = lambda: open("/nowhere/kept")',
    'memory._BEGUN = 0.0',
])  # fmt: skip
def test_where_it_cannot_be_the_work_is_done_here_and_signals_are_heeded(reason, tmp_path):
    """The system refuses; a full disk; code that was edited since, which would not fit what was found."""
    meanwhile = f'import tempfile\n{reason}'
    done = run(tmp_path, meanwhile=meanwhile)
    assert done.stdout.startswith('first\nTrue b c True by a package'), done.stderr
    assert done.returncode == 3
    assert run(tmp_path, meanwhile=meanwhile, first=STRUCK).returncode == 143


def test_who_heeds_no_signals_is_no_command_and_works_here():
    assert not stopping.heeded()
    assert memory.run_anew(lambda *of: of, 1, 2) == (1, 2)


def test_another_users_signal_ends_no_wait(tmp_path):
    """SLURM sends SIGUSR1; it is blocked here, so that the thread that waits for signals may get it."""
    meanwhile = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
time.sleep(0.2)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(20)
"""
    assert run(tmp_path, meanwhile=meanwhile).returncode == 143


def test_the_folder_that_matplotlib_makes_without_a_home_is_removed(tmp_path):
    nowhere = {'HOME': '/dev/null', 'XDG_CONFIG_HOME': '/dev/null/a', 'XDG_CACHE_HOME': '/dev/null/b'}
    meanwhile = 'import matplotlib; print(len([*pathlib.Path(os.environ["TMPDIR"]).glob("matplotlib-*")]))'
    done = run(tmp_path, meanwhile=meanwhile, TMPDIR=str(tmp_path), **nowhere)
    assert done.stdout.startswith('first\n1\nTrue')
    assert [*tmp_path.glob('matplotlib-*')] == []


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason="freed memory is glibc's to keep")
def test_freed_memory_is_given_back():
    def held():
        return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGESIZE')

    # Too small to be mapped by itself, and what comes last keeps the heap's end in use.
    many = [np.ones(8_000) for _ in range(2_000)]
    last = np.ones(8_000)
    del many
    before = held()
    memory.give_back()
    assert before - held() > 64e6
    assert last.sum() == 8_000


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason="heaps are glibc's")
def test_threads_share_heaps():
    def heaps(first):
        program = f"""
import ctypes, threading
from trsum_jax.runtime import memory
{first}
begun = threading.Barrier(6)
def work():
    begun.wait()
    held = [bytearray(1000) for _ in range(1000)]
    begun.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ctypes.CDLL(None).malloc_stats()
"""
        done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
        return done.stderr.count('Arena ')

    # Those of threads that were there before stay.
    assert heaps('memory.spare_memory()') < heaps('') - 2


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason="glibc's own rule")
def test_pictures_of_4k_are_outside_of_the_heaps_every_time():
    def outside(first):
        program = f"""
import ctypes
from trsum_jax.runtime import memory
{first}
bytearray(25_000_000)
again = bytearray(25_000_000)
class Info(ctypes.Structure):
    _fields_ = [(f'field{{i}}', ctypes.c_size_t) for i in range(10)]
allocator = ctypes.CDLL(None)
if not hasattr(allocator, 'mallinfo2'):
    print('unknown')
else:
    allocator.mallinfo2.restype = Info
    # Its fifth field: bytes in buffers of their own.
    print(allocator.mallinfo2().field4)
"""
        done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    if outside('') == 'unknown':
        pytest.skip('glibc before 2.33 does not count them')
    assert int(outside('memory.spare_memory()')) - int(outside('')) >= 25_000_000


@pytest.mark.parametrize('work', [memory.give_back, memory.spare_memory])
def test_elsewhere_nothing_is_done(work, monkeypatch):
    monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
    monkeypatch.setattr(memory.ctypes, 'CDLL', lambda name: pytest.fail('no glibc'))
    work()
