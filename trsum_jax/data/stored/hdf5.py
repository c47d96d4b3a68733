"""Opens every HDF5 file that we read, once another process has looked through it (`stranger`)."""

import atexit
import contextlib
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import threading
import time

import h5py

from trsum_jax.data.stored import stranger
from trsum_jax.errors import InputError
from trsum_jax.files import shown

# What h5py raises, by experience, where bytes of a file were changed.
DAMAGED = (
    OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError,
    AssertionError, BufferError, EOFError, MemoryError, SystemError,
)  # fmt: skip
# Seconds after which a change shows in a file's time for certain.
_SETTLED = 1.0
# How a pointer of Git LFS begins.
_POINTER = b'version https://git-lfs.github.com/spec/'

_lock = threading.Lock()
# By the process that started it: one that is forked has none yet.
_helpers: dict[int, subprocess.Popen] = {}
# What files looked like when they were found harmless.
_harmless: dict[str, tuple[int, ...]] = {}


def regular(path: str | os.PathLike, expected: str) -> os.stat_result:
    """Makes sure that there is a file, and not a pipe or device, which could be waited for without end.

    Args:
        path: what the user named.
        expected: what it should be, in words.

    Returns:
        What the system says of it.

    Raises:
        InputError: no such file, a folder, a pipe, a device.
    """
    path = pathlib.Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        where = f'no such file (looked in {shown(path.parent.absolute())})' if missing else f'none ({error})'
        raise InputError(f'{shown(path)}: expected {expected}, found {where}') from error
    if not stat.S_ISREG(status.st_mode):
        found = 'a folder' if stat.S_ISDIR(status.st_mode) else 'a pipe, socket or device'
        raise InputError(f'{shown(path)}: expected {expected}, found {found}')
    return status


def is_hdf5(path: str | os.PathLike) -> bool:
    """Whether a regular file begins as HDF5 does.

    Args:
        path: a file that exists.
    """
    return bool(h5py.is_hdf5(path))


def open_file(path: str | os.PathLike) -> h5py.File:
    """Opens an HDF5 file for reading, if it is harmless.

    Sizes are those of `bounds`; nothing in the file leads out of it. That it can be read without a fault is
    not said: reading raises one of `DAMAGED` where it cannot.

    Args:
        path: the file.

    Returns:
        The open file.

    Raises:
        InputError: no such file, a folder, not an HDF5 file, one that is cut short; one that claims too much,
            leads to other files, or is beyond the HDF5 library.
    """
    path = pathlib.Path(path)
    status = regular(path, 'an HDF5 file')
    if os.access(path, os.R_OK):
        _look_through(path, status)
    try:
        return h5py.File(path, 'r')
    except DAMAGED as error:
        if isinstance(error, PermissionError):
            found = 'a file that may not be read (permission denied)'
        elif 'truncated' in str(error):
            found = f'a truncated one ({status.st_size} bytes, its header promises more): copy it again'
        elif is_hdf5(path):
            found = f'a damaged one ({error})'
        else:
            found = _kind(path, status)
        raise InputError(f'{shown(path)}: expected an HDF5 file, found {found}') from error


def _kind(path: pathlib.Path, status: os.stat_result) -> str:
    """What a file is that is no HDF5."""
    if status.st_size == 0:
        return 'an empty file'
    with path.open('rb') as file:
        if file.read(len(_POINTER)) == _POINTER:
            return (
                'the pointer that Git LFS leaves in its place: get the file itself, by git lfs pull in its '
                "checkout, or by trsum fetch where it is one of the field's four"
            )
    return 'a file of another kind'


def _look_through(path: pathlib.Path, status: os.stat_result) -> None:
    name = os.path.realpath(path)
    now = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    with _lock:
        if _harmless.get(name) == now:
            return
        if (fault := _ask(path.absolute())) is not None:
            raise InputError(f'{shown(path)}: {shown(fault)}')
        # A file that changes within a tick of its clock looks as before.
        if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED:
            _harmless[name] = now


def _ask(path: pathlib.Path) -> str | None:
    """What another process finds wrong with the file."""
    while True:
        is_new = os.getpid() not in _helpers
        if is_new:
            _helpers[os.getpid()] = _start()
        helper = _helpers[os.getpid()]
        try:
            answer = _answer(helper, path)
            code = None if answer else helper.wait()
        except BaseException:
            _stop()
            raise
        if answer:
            return json.loads(answer)
        _stop()
        # An earlier file may have left it in disorder.
        if is_new:
            how = f'ends it ({signal.strsignal(-code)})' if code < 0 else f'ends it with code {code}'
            if code == -signal.SIGPROF:
                how = f'keeps it busy for more than {stranger.PATIENCE:g} seconds'
            return (
                f'expected an HDF5 file, found one that the HDF5 library cannot read: it {how}. The file is '
                'damaged; copy it again'
            )


def _answer(helper: subprocess.Popen, path: pathlib.Path) -> bytes:
    try:
        helper.stdin.write(os.fsencode(path).hex().encode() + b'\n')
        helper.stdin.flush()
        return helper.stdout.readline()
    except BrokenPipeError:
        return b''


def _start() -> subprocess.Popen:
    root = str(pathlib.Path(__file__).resolve().parents[3])
    paths = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
    # Each thread of numpy's products would take address space, and it multiplies nothing.
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(paths), 'OPENBLAS_NUM_THREADS': '1'}
    command = [sys.executable, '-m', stranger.__name__]
    helper = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        # Ctrl-C is for us; it ends when its stdin does.
        start_new_session=True,
    )
    if helper.stdout.readline().strip() != stranger.READY.encode():
        helper.kill()
        helper.communicate()
        raise InputError(
            'HDF5 files are looked through by another process, which does not start here; '
            f'{sys.executable} -m {stranger.__name__} says why'
        )
    return helper


@atexit.register
def _stop() -> None:
    """Ends this process's helper, at once where it is at work."""
    if (helper := _helpers.pop(os.getpid(), None)) is not None:
        helper.kill()
        helper.communicate()
        helper.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            helper.stdin.close()
        helper.wait()
