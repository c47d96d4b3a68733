"""Compiled programs kept between processes, and compiled ahead of their use while others run."""

import concurrent.futures
import contextlib
import os
import pathlib
import platform
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import platformdirs

from trsum_jax.runtime import memory

T = TypeVar('T')
_THRESHOLD = 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'


def remember() -> pathlib.Path | None:
    """Turns on JAX's persistent compilation cache, unless the user has decided otherwise.

    The folder is HOST in the platform's cache folder (`$XDG_CACHE_HOME/trsum_jax` on Linux): homes are
    shared between machines, programs for a processor are not. `JAX_COMPILATION_CACHE_DIR` names another, an
    empty one means none, and `JAX_ENABLE_COMPILATION_CACHE=false` turns it off; a threshold of compile time
    that the environment sets stays. The programs, and so the results, are the same bits.

    Returns:
        The folder, None where it is the user's business or cannot be written.
    """
    if jax.config.jax_compilation_cache_dir is not None or not jax.config.jax_enable_compilation_cache:
        return None
    caches = pathlib.Path(platformdirs.user_cache_dir('trsum_jax', appauthor=False))
    folder = caches / (platform.node() or 'here')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    jax.config.update('jax_compilation_cache_dir', str(folder))
    # JAX's own threshold of a second would leave out most of a small model's programs.
    if _THRESHOLD not in os.environ:
        jax.config.update(_THRESHOLD.lower(), 0.1)
    return folder


@contextlib.contextmanager
def in_turn() -> Iterator[Callable[[Callable[[], T]], Callable[[], T]]]:
    """Within it, what is handed in is compiled by one other thread, in the order in which it came.

    Before each program the memory that the one before has freed goes back.

    One thread, since the compiler has several of its own: two programs at once would be late both.

    Yields:
        Takes a function without arguments, and gives one that waits for its value, or raises its error. What
        is not begun at the end never is; what is under way is not waited for, but by the end of Python.
    """
    thread = concurrent.futures.ThreadPoolExecutor(1, 'compiling')
    try:
        yield lambda work: thread.submit(_begun_anew, work).result
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


def _begun_anew(work: Callable[[], T]) -> T:
    memory.give_back()
    return work()
