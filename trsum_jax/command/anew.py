"""A command that begins anew in its own process, with what it has found; all else that it held is free."""

import os
import pickle
import sys
import tempfile
from typing import Any

from trsum_jax import stopping

# Names the open file of what was found, and the process that it is for.
_FOUND = 'TRSUM_JAX_FOUND'
# Nobody can read these a second time: Python's own prompt, and a program from its stdin.
_READ_ONCE = ([], ['-'])


def begin_anew(found: object) -> None:
    """Starts the process's own command line again, where `found_before` gives what is handed on.

    Packages, compiled programs and what allocators keep take hundreds of megabytes that only an end of the
    program frees. The process keeps its number, and signals that come meanwhile are answered afterwards.
    Returns where that cannot be: no command that heeds signals has been started, or the system refuses.

    Args:
        found: what can be pickled.
    """
    if sys.orig_argv[1:2] in _READ_ONCE or not stopping.rest():
        return
    try:
        # Without a name: it is gone with the process, however that ends.
        with tempfile.TemporaryFile() as kept:
            pickle.dump(found, kept)
            kept.seek(0)
            os.set_inheritable(kept.fileno(), True)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            told = {_FOUND: f'{os.getpid()} {kept.fileno()}'}
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | told)
    except OSError:
        stopping.wake()


def found_before() -> Any:
    """What this process has found before it began anew; None where it has not."""
    number, _, kept = os.environ.pop(_FOUND, '').partition(' ')
    # Processes that others start have their surroundings, and not their number.
    if number != str(os.getpid()):
        return None
    with os.fdopen(int(kept), 'rb') as file:
        return pickle.load(file)
