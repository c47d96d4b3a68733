"""One training at a time in a workdir: a lock that ends with its process, however that ends."""

import contextlib
import datetime
import errno
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator

from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.runtime import processes

NAME = '.lock'
# A file system that knows no locks, such as some that are mounted over a network.
_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def held(*workdirs: pathlib.Path) -> Iterator[None]:
    """Holds workdirs for this process, or for all processes of an experiment, of which the first takes them.

    The lock is the kernel's (`flock`): nothing is left of it where a process is killed. Over NFS it also
    holds between hosts. Folders that are made here are removed again where nothing was written into them.

    Args:
        workdirs: made where they are missing.

    Raises:
        InputError: another process holds one; says who. In all processes.
    """
    with contextlib.ExitStack() as stack:
        fault = ''
        if processes.first():
            try:
                for workdir in workdirs:
                    stack.enter_context(_held(workdir))
            except (InputError, OSError) as error:
                # The other processes wait to hear of it.
                cannot = f'--workdir: cannot be made or locked ({error})'
                fault = str(error) if isinstance(error, InputError) else cannot
        if processes.from_first(bool(fault)):
            raise InputError(fault or 'another process holds the workdir; process 0 says who')
        yield


@contextlib.contextmanager
def _held(workdir: pathlib.Path) -> Iterator[None]:
    made = [folder for folder in (workdir, *workdir.parents) if not folder.exists()]
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f'--workdir: expected a folder, found a file: {shown(workdir)}') from error
    path = workdir / NAME
    lock = _take(path)
    try:
        since = datetime.datetime.now().astimezone().isoformat(' ', 'seconds')
        # Only to be read by people: a full disk is told of by what matters more.
        with contextlib.suppress(OSError):
            os.truncate(lock, 0)
            os.pwrite(lock, f'process {os.getpid()} on {socket.gethostname()}, since {since}\n'.encode(), 0)
        yield
    finally:
        # Before it is let go: the next one finds no file, and makes one.
        path.unlink(missing_ok=True)
        os.close(lock)
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def _take(path: pathlib.Path) -> int:
    """The open lock file, locked."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 1000, 0).decode(errors='replace').strip() or 'another process'
            os.close(lock)
            raise InputError(
                f'{shown(path.parent)}: {shown(holder)}, works in this folder. Wait until it is done, stop '
                'it, or choose another --workdir.'
            ) from error
        except OSError as error:
            if error.errno not in _UNKNOWN:
                os.close(lock)
                raise
            processes.say(
                f'note: {shown(path.parent)}: its file system knows no locks; start no second process there'
            )
        with contextlib.suppress(FileNotFoundError):
            # Else the one before has removed the file after it was opened here.
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)
