"""Memory that is given back to the system: what was freed, or all of it, as a command begins anew."""

import atexit
import contextlib
import ctypes
import io
import os
import pathlib
import pickle
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from trsum_jax import errors, stopping

# Of `mallopt` (malloc.h). The most heaps, beyond which threads share them: by itself glibc has eight a core.
_ARENA_MAX, _HEAPS = -8, 2
# Bytes. What is larger lies outside of all heaps, which is slower: a picture of 4K, and not one of 1080p. By
# itself glibc has it so only until one as large was freed. Twice as many go back when free at a heap's
# end, as glibc has it.
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _LARGE = -3, -1, 1 << 24

# The environment, to which JAX and others add, and the time, both of the command's beginning.
_SURROUNDINGS, _BEGUN = dict(os.environ), time.time()
_DRAWING = 'MPLCONFIGDIR'
# Takes up what `run_anew` has left. Signals, which wait since then, are heeded before the slow imports.
_PROGRAM = f"""
import os, pickle, sys
_, number, *sys.argv = sys.argv
kept = os.fdopen(int(number), 'rb')
sys.path, continues = pickle.load(kept)
from trsum_jax import stopping
stopping.heed(continues=continues)
from {__name__} import go_on
go_on(kept)
"""


def spare_memory() -> None:
    """Lets threads use what others of them have freed, and gives the largest buffers back as they are freed.

    Else the compiler's many threads hold a heap each, and the holes that pictures leave between other things
    grow to hundreds of megabytes. To be called before they are there. This is for glibc; elsewhere nothing is
    done.
    """
    if platform.libc_ver()[0] == 'glibc':
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_ARENA_MAX, _HEAPS)
        allocator.mallopt(_MMAP_THRESHOLD, _LARGE)
        allocator.mallopt(_TRIM_THRESHOLD, 2 * _LARGE)


def give_back() -> None:
    """Gives freed memory back to the system, of which a compiler leaves hundreds of megabytes.

    glibc keeps it, for each of its heaps apart. Elsewhere nothing is done.
    """
    if platform.libc_ver()[0] == 'glibc':
        ctypes.CDLL(None).malloc_trim(0)


def run_anew(work: Callable[..., int | None], *given: object) -> int | None:
    """Runs the rest of a command in its own process begun anew, with nothing of what it held until then.

    Packages, compiled programs and what allocators keep take hundreds of megabytes, which only the end of a
    program frees. The process keeps its number, and signals that come on the way are answered after it.
    Nothing of the caller is run any more, as at a power cut: no `finally`, and nothing that waits for the end
    of Python.

    Where this cannot be, the work is run here: no command has begun to heed signals, somebody works at
    Python's prompt, files of the package were changed meanwhile, or the system refuses.

    Args:
        work: a function that another process can import; it returns the exit code, as `errors.run_command`
            has it.
        given: its arguments, which are pickled.

    Returns:
        What `work` does, if it is run here.
    """
    at_prompt = hasattr(sys, 'ps1') or sys.flags.inspect
    if stopping.heeded() and not at_prompt and not _changed():
        # Whatever is in the way, no work is lost by it.
        with contextlib.suppress(Exception), tempfile.TemporaryFile() as kept:
            # The file has no name: it is gone with the process, however that ends.
            folder = _made_for_drawing()
            pickle.dump((sys.path, stopping.continues()), kept)
            pickle.dump((work, given, folder), kept)
            kept.seek(0)
            os.set_inheritable(kept.fileno(), True)
            # The private function by which the standard library starts a Python like this one. And no module
            # is taken from the folder where the command was called; the old line is for who looks for it.
            like_this = [*subprocess._args_from_interpreter_flags(), '-P']
            like_this += ['-u'] * getattr(sys.stdout, 'write_through', False)
            line = [sys.executable, *like_this, '-c', _PROGRAM, str(kept.fileno()), *sys.argv]
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
            stopping.rest()
            try:
                os.execve(sys.executable, line, _SURROUNDINGS | ({_DRAWING: folder} if folder else {}))
            finally:
                stopping.wake()
    give_back()
    return work(*given)


def go_on(kept: io.BufferedReader) -> None:
    """Takes up, in the process begun anew, what `run_anew` has left, and ends with its exit code.

    Args:
        kept: from where the work stands.
    """
    spare_memory()

    def main(argv: Sequence[str]) -> int | None:
        with kept:
            work, given, folder = pickle.load(kept)
        if folder:
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return work(*given)

    errors.run_command(main, errors.unparsed)


def _made_for_drawing() -> str | None:
    """The folder that matplotlib makes where it finds no home, which the end of Python removes."""
    made = pathlib.Path(os.environ.get(_DRAWING, ''))
    temporary = made.parent == pathlib.Path(tempfile.gettempdir()) and made.name.startswith('matplotlib-')
    return str(made) if temporary and _DRAWING not in _SURROUNDINGS else None


def _changed() -> bool:
    """Whether what is loaded of the package is not what lies in its files any more."""
    loaded = [module for name, module in list(sys.modules.items()) if name.startswith('trsum_jax')]
    files = [pathlib.Path(module.__file__) for module in loaded if getattr(module, '__file__', None)]
    try:
        # Which a copy that keeps an old date changes too.
        return any(file.stat().st_ctime > _BEGUN for file in files)
    except OSError:
        return True
