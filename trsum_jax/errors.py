"""The exception for what a user can mend, the one for being stopped, and how a command shows them."""

import os
import sys
from collections.abc import Callable, Sequence

from absl import app, logging


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where, what was expected and what to do."""


class Preempted(Exception):
    """SIGTERM came, what was done is saved, and the same command continues."""


# EX_TEMPFAIL of sysexits.h: try again later.
PREEMPTED = 75


def run_command(
    main: Callable[[Sequence[str]], int | None], parse: Callable[[list[str]], Sequence[str]]
) -> None:
    """Runs `main` as an absl command: what a user can mend is one message on stderr and exit code 1.

    Exit code `PREEMPTED` says that SIGTERM came and the same command continues.

    Args:
        main: takes the positional arguments (the command's name first) and returns the exit code.
        parse: reads the flags and gives the positional arguments.
    """

    def guarded(act: Callable) -> Callable:
        def acted(argv: Sequence[str]) -> object:
            # orbax reports every file saved, and what it raises a second time, as tracebacks of its threads.
            logging.set_verbosity(logging.FATAL)
            try:
                return act(argv)
            except BaseException as error:
                code = tell(error)
                if code is None:
                    raise
                sys.exit(code)

        return acted

    app.run(guarded(main), flags_parser=guarded(parse))


def tell(error: BaseException) -> int | None:
    """Says on stderr what a user should know of an error.

    Args:
        error: any.

    Returns:
        The exit code; None for an error that is ours, of which nothing is said.
    """
    if isinstance(error, InputError):
        print(f'error: {error}', file=sys.stderr)
        return 1
    if isinstance(error, Preempted):
        print(f'{error}; the same command continues', file=sys.stderr)
        return PREEMPTED
    if isinstance(error, BrokenPipeError):
        # The reader of a pipe, such as head, has seen enough; a flush at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, OSError):
        # Folders that cannot be written, full disks: the system's own words name the file.
        print(f'error: {error.strerror or error}: {error.filename or ""}', file=sys.stderr)
        return 1
    if isinstance(error, KeyboardInterrupt):
        print('stopped by the user', file=sys.stderr)
        return 130
    return None
