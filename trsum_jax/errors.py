"""The exception for what a user can mend, the one for being stopped, and how a command shows them as text."""

import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from trsum_jax import stopping
from trsum_jax.stopping import PREEMPTED as PREEMPTED


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where, what was expected and what to do."""


class Preempted(Exception):
    """A signal came, what was done is saved, and the same command continues."""


# Done, but for some of the files given, which were named.
INCOMPLETE = 2
# What turns text round or breaks its line, beside control characters.
_DISTURBING = {*'\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'}
# Where files are that are not somebody's own, as `sysconfig` calls it.
_LIBRARIES = ('stdlib', 'purelib', 'platlib')
# Letters of an error of somebody's code that are told.
_LETTERS = 200


def run_command(
    main: Callable[[Sequence[str]], int | None], parse: Callable[[list[str]], Sequence[str]]
) -> None:
    """Runs `main` as an absl command: what a user can mend is one message on stderr and exit code 1.

    Exit code `PREEMPTED` says that SIGTERM or SIGHUP came and the same command continues, `INCOMPLETE` that
    all was done but for some files. Signals are heeded from `stopping.heed` on, which a command calls before
    its imports.

    Args:
        main: takes the positional arguments (the command's name first) and returns the exit code.
        parse: reads the flags and gives the positional arguments.
    """

    def guarded(act: Callable) -> Callable:
        def acted(argv: Sequence[str]) -> object:
            # orbax reports every file saved, and what it raises a second time, as tracebacks of its threads.
            logging.set_verbosity(logging.FATAL)
            # What a terminal cannot show is no reason to stop; a stream that is closed is None.
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.reconfigure(errors='backslashreplace')
            try:
                return act(argv)
            except Exception as error:
                if explained := explain(error):
                    # The interpreter's teardown would let threads that the error has left behind speak, or
                    # crash.
                    stopping.leave(*explained)
                raise

        return acted

    def with_bars(argv: Sequence[str]) -> int | None:
        # Not for help, nor by those who import errors alone.
        import tqdm

        # By itself tqdm takes a lock for several processes; of one that a signal ends, Python 3.14 calls it
        # leaked.
        tqdm.tqdm.set_lock(threading.RLock())
        return main(argv)

    app.run(guarded(with_bars), flags_parser=guarded(parse))


def unparsed(argv: list[str]) -> list[str]:
    """For `run_command`: a command that has no flags, or has read them before; it gets all of `argv`."""
    flags.FLAGS(argv[:1])
    return argv


def explain(error: BaseException) -> tuple[int, str] | None:
    """What a user should know of an error.

    Args:
        error: any.

    Returns:
        The exit code and the words; None for an error that is ours, of which nothing is said.
    """
    if isinstance(error, InputError):
        return 1, f'error: {printable(str(error))}'
    if isinstance(error, Preempted):
        return stopping.code(), f'{error}; the same command continues'
    if isinstance(error, BrokenPipeError):
        # The reader of a pipe, such as head, has seen enough.
        return 1, ''
    if isinstance(error, RuntimeError) and 'RESOURCE_EXHAUSTED' in str(error):
        # JAX's, of which nothing is imported here: what a compiler or a device says of too little memory.
        return 1, printable(
            f'error: expected enough memory on each device, found too little ({_shortened(str(error))}). '
            'trsum train needs less with --config.layout.microbatch=1 (segments at a time), '
            '--config.layout.runs=map (runs one after another) or more devices (--config.layout.mesh), and '
            'continues with these. More features than a device holds are read in chunks: '
            '--config.data.stream_mb, in a --workdir of its own.'
        )
    if isinstance(error, OSError):
        # Folders that cannot be written, full disks: the system's own words name the file.
        where = f': {error.filename}' if error.filename else ''
        return 1, printable(f'error: {error.strerror or error}{where}')
    return None


def raised(error: BaseException) -> str:
    """What an error of somebody's code says, with the last line of theirs that it passed.

    Args:
        error: any.

    Returns:
        Such as `it raises NameError: name 'x' is not defined (mine.py, line 3)`.
    """
    # Every command begins with this module, and few come here.
    import pathlib
    import sysconfig
    import traceback

    folders = pathlib.Path(__file__).resolve().parent, *map(sysconfig.get_path, _LIBRARIES)
    foreign = '<', *(f'{folder}{os.sep}' for folder in folders)
    at = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(foreign)
    ]
    if isinstance(error, SyntaxError):
        at = [(error.filename or '', error.lineno)]
    where = f' ({printable(at[-1][0])}, line {at[-1][1]})' if at else ''
    # A syntax error tells its place once more.
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    return f'it raises {type(error).__name__}: {_shortened(what)}{where}'


def _shortened(what: str) -> str:
    """The beginning, in one line; JAX tells pages."""
    told = ' '.join(what.split())
    return told if len(told) <= _LETTERS else f'{told[:_LETTERS]}…'


def printable(text: str) -> str:
    """Text as a terminal can show it: what would steer it, or is no text, becomes escapes such as `\\x1b`.

    Args:
        text: of any lines, which it keeps.

    Returns:
        The same text where it is plain.
    """
    return ''.join(
        c.encode('unicode_escape').decode()
        if (unicodedata.category(c) == 'Cc' and c != '\n') or c in _DISTURBING
        else c
        for c in encodable(text)
    )


def encodable(text: str) -> str:
    """Text that UTF-8 can hold: bytes of file names that are no text become escapes such as `\\xe9`."""

    def escape(found: re.Match) -> str:
        code = ord(found[0])
        return f'\\x{code - 0xDC00:02x}' if 0xDC80 <= code <= 0xDCFF else f'\\u{code:04x}'

    return re.sub('[\ud800-\udfff]', escape, text)
