"""The exception for what a user can mend, the one for being stopped, and how a command shows them."""

from collections.abc import Callable, Sequence

from absl import app, logging

from trsum_jax import stopping
from trsum_jax.stopping import PREEMPTED as PREEMPTED


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where, what was expected and what to do."""


class Preempted(Exception):
    """A signal came, what was done is saved, and the same command continues."""


def run_command(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs `main` as an absl command: what a user can mend is one message on stderr and exit code 1.

    Exit code `PREEMPTED` says that SIGTERM or SIGHUP came and the same command continues. Signals are
    heeded from `stopping.heed` on, which a command calls before its imports.

    Args:
        main: takes the positional arguments (the command's name first) and returns the exit code.
    """

    def guarded(argv: Sequence[str]) -> int | None:
        # orbax reports every file saved, and what it raises a second time, as tracebacks of its threads.
        logging.set_verbosity(logging.FATAL)
        try:
            return main(argv)
        except Exception as error:
            if explained := explain(error):
                # The interpreter's teardown would let threads that the error has left behind speak, or crash.
                stopping.leave(*explained)
            raise

    app.run(guarded)


def explain(error: BaseException) -> tuple[int, str] | None:
    """What a user should know of an error.

    Args:
        error: any.

    Returns:
        The exit code and the words; None for an error that is ours, of which nothing is said.
    """
    if isinstance(error, InputError):
        return 1, f'error: {error}'
    if isinstance(error, Preempted):
        return stopping.code(), f'{error}; the same command continues'
    if isinstance(error, BrokenPipeError):
        # The reader of a pipe, such as head, has seen enough.
        return 1, ''
    if isinstance(error, OSError):
        # Folders that cannot be written, full disks: the system's own words name the file.
        return 1, f'error: {error.strerror or error}: {error.filename or ""}'
    return None
