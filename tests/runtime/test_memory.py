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
from trsum_jax.errors import INCOMPLETE, PREEMPTED
from trsum_jax.runtime import memory

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = """
from trsum_jax import stopping
stopping.heed(continues={continues})
import os, pathlib, signal, sys, time
from trsum_jax import files
from trsum_jax.runtime import memory
import rest
held = bytearray(b'x') * 300_000_000
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
if not hasattr(sys.modules['__main__'], 'held'):
    {imported}
def work(number, given):
    {begun}
    status = pathlib.Path('/proc/self/status').read_text()
    print(number == os.getpid(), given, sys.argv[1:], 'as it was' in sys.path, os.environ.get('ADDED'))
    print(sys.stdout.write_through, len(os.listdir('/proc/self/fd')), end=' ')
    print(int(status.split('VmRSS:')[1].split()[0]) < 150_000)
    return 3
"""
# What would say the same as options.
PLAIN = dict.fromkeys(('PYTHONUNBUFFERED', 'PYTHONWARNINGS', 'PYTHONDEVMODE'), '')
# The process is struck by a signal, and would go on for long.
STRUCK = 'os.kill(os.getpid(), signal.SIGTERM), time.sleep(20)'


def run(folder, *, how=(), continues=False, meanwhile='', imported='pass', begun='pass', **environment):
    """The command, called in a folder that is not its own; `how` is what Python is told before it."""
    library = folder / 'library'
    library.mkdir(exist_ok=True)
    program = COMMAND.format(continues=continues, meanwhile=meanwhile)
    (library / 'command.py').write_text(program)
    (library / 'rest.py').write_text(REST.format(imported=imported, begun=begun))
    by_stdin = '-' in how
    return subprocess.run(
        [sys.executable, *how, *([] if by_stdin else [str(library / 'command.py')]), '--a', 'b c'],
        input=program if by_stdin else '',
        cwd=folder,
        env=os.environ | PLAIN | {'PYTHONPATH': os.pathsep.join([str(ROOT), str(library)])} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize('how', [(), ('-W', 'error'), ('-u', '-')])
def test_what_was_found_is_there_and_what_was_held_is_not(how, tmp_path):
    done = run(tmp_path, how=how, begun=f"assert ('error' in sys.warnoptions) == {'-W' in how}")
    # Open are stdin, stdout, stderr and the folder that is listed: no file of what was found.
    expected = ['first', "True b c ['--a', 'b c'] True None", f'{"-u" in how} 4 True', '']
    assert done.stdout.split('\n') == expected
    assert (done.returncode, done.stderr) == (3, '')
    assert (tmp_path / 'out.txt').read_text() == 'whole'


def test_no_module_is_taken_from_the_folder_where_the_command_was_called(tmp_path):
    for name in ('pickle', 'struct'):
        (tmp_path / f'{name}.py').write_text('raise SystemExit("a file of somebody else")')
    assert run(tmp_path).returncode == 3


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
    done = run(tmp_path, meanwhile=meanwhile, begun='time.sleep(20)')
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


@pytest.mark.parametrize('when', ['imported', 'begun'])
def test_begun_anew_signals_are_heeded_before_the_slow_imports_and_what_continues_says_so(when, tmp_path):
    done = run(tmp_path, continues=True, **{when: STRUCK})
    assert done.returncode == PREEMPTED
    assert done.stderr == 'stopped by SIGTERM; what was finished is saved; the same command continues\n'


@pytest.mark.parametrize('reason', [
    'sys.executable = "/nowhere"',
    'sys.executable = None',
    'sys.ps1 = "> "',
    'stopping.__file__ = "/nowhere"',
    'tempfile.TemporaryFile = lambda: open("/nowhere/kept")',
    'memory._BEGUN = 0.0',
])  # fmt: skip
def test_where_it_cannot_be_the_work_is_done_here_and_signals_are_heeded(reason, tmp_path):
    """The system refuses, a full disk, a prompt; code that was changed since may not fit what was found."""
    meanwhile = f'import tempfile\n{reason}'
    done = run(tmp_path, meanwhile=meanwhile)
    assert done.stdout.startswith("first\nTrue b c ['--a', 'b c'] True by a package"), done.stderr
    assert done.returncode == 3
    assert run(tmp_path, meanwhile=meanwhile, begun=STRUCK).returncode == 143


def test_films_of_several_videos_are_written_without_jax(tmp_path):
    pytest.importorskip('av')
    pytest.importorskip('skimage')
    from rendered import scene, write_video

    # Still pictures: nothing is trained, so that this is quick.
    for name in ('still', 'other'):
        write_video(tmp_path / f'{name}.mp4', [scene(0)] * 60, range(0, 6000, 100), fps=10)
    (tmp_path / 'none.mp4').write_text('none')
    at_exit = 'import atexit, sys; atexit.register(lambda: print("with JAX:", "jax" in sys.modules))'
    (tmp_path / 'sitecustomize.py').write_text(at_exit)
    run = [sys.executable, '-m', 'trsum_jax.summarize', str(tmp_path), '--encoder=descriptor']
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == INCOMPLETE, done.stderr
    assert done.stderr.count('all scores are alike') == 2
    assert done.stderr.endswith('1 of 3 videos were left out, for the reasons above\n')
    assert done.stdout.endswith('with JAX: False\n') and done.stdout.count('with JAX') == 1
    made = tmp_path / 'summaries'
    assert (made / 'still-summary.mp4').stat().st_size > 1_000
    assert (made / 'other-summary.html').stat().st_size > 10_000
    assert 'none.mp4' in (made / 'index.html').read_text()


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
    done = run(tmp_path, meanwhile=meanwhile, begun='import matplotlib', TMPDIR=str(tmp_path), **nowhere)
    assert done.stdout.startswith('first\n1\nTrue')
    assert done.stderr.count('created a temporary') == 1
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
