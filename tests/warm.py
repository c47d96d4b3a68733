"""Trainings as real processes, forked off one that has the slow imports behind it: each starts in no time.

What comes before and during the imports is for tests/test_stopping.py and tests/soak/.
"""

import atexit
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PATHS = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
# No backend of JAX is begun here: each process begins its own. It goes on, and ends, as any other would.
_PARENT = """
import json, os, runpy, sys
import matplotlib.figure, scipy.stats
import trsum_jax.experiment.run, trsum_jax.studies.variants

def asked_of_a_child():
    for line in sys.stdin:
        asked = json.loads(line)
        if 'pid' in asked:
            done, status = os.waitpid(asked['pid'], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if done else None
        else:
            answer = os.fork()
            if not answer:
                return asked
        print(json.dumps(answer), flush=True)

asked = asked_of_a_child()
if asked:
    os.environ.clear()
    os.environ.update(asked['env'])
    os.chdir(asked['cwd'])
    said = os.open(asked['said'], os.O_WRONLY)
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (said, 1), (said, 2)):
        os.dup2(source, target)
    sys.argv = asked['argv']
    runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
"""


class Process:
    """Of `subprocess.Popen`, with all that is said in one text, what tests need."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: os.PathLike):
        self.returncode: int | None = None
        handle, said = tempfile.mkstemp()
        os.close(handle)
        self._said, self._told = pathlib.Path(said), ''
        self.pid = _ask({'argv': argv, 'env': env, 'cwd': str(cwd), 'said': said})

    def poll(self) -> int | None:
        """The exit code, None before."""
        if self.returncode is None:
            self.returncode = _ask({'pid': self.pid})
        return self.returncode

    def communicate(self, timeout: float = 600) -> tuple[str, None]:
        """All that was said, once it has ended."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired('a training', timeout)
            time.sleep(0.01)
        if self._said.exists():
            self._told = self._said.read_text('utf-8')
            self._said.unlink()
        return self._told, None

    def send_signal(self, number: int) -> None:
        """To the process, if it is there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """By SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(module: str, *flags: str, cwd: os.PathLike = ROOT, **environment: str) -> Process:
    """`python -m module`, with the checkout and its tests on the path."""
    return Process([module, *flags], os.environ | {'PYTHONPATH': PATHS} | environment, cwd)


def _ask(what: dict) -> int | None:
    parent = _parent()
    parent.stdin.write(json.dumps(what) + '\n')
    parent.stdin.flush()
    return json.loads(parent.stdout.readline())


@functools.cache
def _parent() -> subprocess.Popen:
    parent = subprocess.Popen(
        [sys.executable, '-c', _PARENT],
        cwd=ROOT,
        env=os.environ | {'PYTHONPATH': PATHS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    # At the end of its input it ends.
    atexit.register(parent.communicate)
    return parent
