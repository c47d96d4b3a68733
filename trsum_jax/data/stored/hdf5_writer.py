"""HDF5 files written whole or not at all, on disks that may be full."""

import contextlib
import io
import os
import pathlib
import time
from collections.abc import Callable, Iterator

import h5py

from trsum_jax.errors import InputError
from trsum_jax.files import replacing, shown

# Seconds after which it is seen whether a disk is full.
_PATIENCE = 0.5


@contextlib.contextmanager
def writing(
    path: str | os.PathLike, *, overwrite: bool = True
) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Opens an HDF5 file to write, which takes the place of an earlier one if all goes well.

    Args:
        path: the file; its folder is made where it is missing.
        overwrite: as in `files.replacing`.

    Yields:
        The open file, and a function that raises soon where something could not be written so far: for
        long work between two parts.

    Raises:
        InputError: the file cannot be written, as on a full disk.
    """
    with replacing(path, overwrite=overwrite) as temporary, _Draft(temporary) as draft:
        flushed = time.monotonic()

        def check() -> None:
            nonlocal flushed
            # The list of all names is written each time: after every video it would be most of the work.
            if time.monotonic() - flushed > _PATIENCE:
                file.flush()
                flushed = time.monotonic()
            if draft.fault is not None:
                raise _cannot(path, draft.fault)

        try:
            with h5py.File(draft, 'w') as file:
                yield file, check
        except Exception as error:
            if draft.fault is None or isinstance(error, InputError):
                raise
            # What was dropped is missed when the library reads it again.
        draft.close()
        if draft.fault is not None:
            raise _cannot(path, draft.fault)


def _cannot(path: str | os.PathLike, fault: OSError) -> InputError:
    return InputError(
        f'{shown(path)}: cannot be written ({fault.strerror}). Make room, or choose another place.'
    )


class _Draft(io.RawIOBase):
    """A file that takes what it cannot write without a word, and remembers the first fault.

    Where a write fails, the HDF5 library cannot close its file: it says so at every object of it, and ends in
    a segmentation fault as the interpreter exits.
    """

    def __init__(self, path: pathlib.Path):
        self.fault: OSError | None = None
        self._file = path.open('w+b', buffering=0)

    def close(self) -> None:
        if not self.closed:
            self._attempt(self._file.close)
        super().close()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer) -> int:
        count = self._file.readinto(buffer)
        memoryview(buffer)[count:] = bytes(len(buffer) - count)
        return len(buffer)

    def write(self, content) -> int:
        self._attempt(self._write_all, memoryview(content))
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        self._attempt(self._file.truncate, size)
        return self._file.tell() if size is None else size

    def _write_all(self, content: memoryview) -> None:
        while content:
            content = content[self._file.write(content) :]

    def _attempt(self, act: Callable, *arguments: object) -> None:
        try:
            act(*arguments)
        except OSError as error:
            self.fault = self.fault or error
