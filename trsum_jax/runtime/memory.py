"""What a process needs no more of its memory: given back to the system, or all of it, as it begins anew."""

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
from collections.abc import Callable

from trsum_jax import errors, stopping

# Of `mallopt` (malloc.h). The most heaps, beyond which threads share them: by itself glibc has eight a core.
_ARENA_MAX, _HEAPS = -8, 2
# Bytes. What is larger lies outside of all heaps, which is slower: a picture of 4K, and not one of 1080p. By
# itself glibc has it so only until one as large was freed. Twice as many go back when free at a heap's
# end, as glibc has it.
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _LARGE = -3, -1, 1 << 24

# As they are before JAX and others add to them, and when they were.
_SURROUNDINGS, _BEGUN = dict(os.environ), time.time()
_PROGRAM = f"""
import os, pickle, sys
kept = os.fdopen(int(sys.argv.pop(1)), 'rb')
sys.path = pickle.load(kept)
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
    program frees. The process keeps its number, and signals that come on the way are answered after it. Where
    this cannot be, the work is run here: no command has begun to heed signals, the package's files have
    changed since, or the system refuses.

    Args:
        work: a function that another process can import; it returns the exit code, as `errors.run_command`
            has it.
        given: its arguments, which are pickled.

    Returns:
        What `work` does, if it is run here.
    """
    if stopping.heeded() and not _changed():
        # A file without a name is gone with the process, however that ends.
        with contextlib.suppress(OSError), tempfile.TemporaryFile() as kept:
            pickle.dump(sys.path, kept)
            pickle.dump((stopping.continues(), work, given), kept)
            kept.seek(0)
            os.set_inheritable(kept.fileno(), True)
            # The private function by which the standard library starts a Python like this one.
            like_this = subprocess._args_from_interpreter_flags()
            # The old arguments are for those who look processes up by them.
            line = [sys.executable, *like_this, '-c', _PROGRAM, str(kept.fileno()), *sys.argv]
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
            _remove_left()
            stopping.rest()
            try:
                os.execve(sys.executable, line, _SURROUNDINGS)
            finally:
                stopping.wake()
    give_back()
    return work(*given)


def go_on(kept: io.BufferedReader) -> None:
    """Begins a process that has begun anew, and runs the work that it was begun for.

    Args:
        kept: what `run_anew` wrote, behind the paths of packages.
    """
    from absl import flags

    continues, work, given = pickle.load(kept)
    stopping.heed(continues=continues)
    kept.close()
    spare_memory()

    def parse(argv: list[str]) -> list[str]:
        flags.FLAGS(argv[:1])
        return argv

    errors.run_command(lambda argv: work(*given), parse)


def _remove_left() -> None:
    """Removes what the end of Python would: the folder that matplotlib makes where it finds no home."""
    made = pathlib.Path(os.environ.get('MPLCONFIGDIR', ''))
    temporary = made.parent == pathlib.Path(tempfile.gettempdir()) and made.name.startswith('matplotlib-')
    if temporary and 'MPLCONFIGDIR' not in _SURROUNDINGS:
        shutil.rmtree(made, ignore_errors=True)


def _changed() -> bool:
    """Whether the package's files are not those any more that this process has begun with."""
    folder = pathlib.Path(stopping.__file__).parent
    return any(path.stat().st_mtime > _BEGUN for path in folder.rglob('*.py'))
