"""Features that stay in their file until they are needed: for datasets that do not fit the memory."""

import hashlib
import os
import pathlib
from concurrent.futures import Future

import h5py
import numpy as np

from trsum_jax.data.stored.hdf5 import DAMAGED, open_file
from trsum_jax.errors import InputError
from trsum_jax.files import shown


def digest_of(features: np.ndarray) -> str:
    """SHA-256 of features: the same video in another file has the same.

    Args:
        features: [n_steps, D] float32.
    """
    return hashlib.sha256(np.ascontiguousarray(features)).hexdigest()


class Stored:
    """A video's features in its file; `np.asarray` reads them, anew each time, and nothing keeps them.

    Attributes:
        shape: (n_steps, D).
    """

    _digest: Future[str] | None = None
    # Where in the file the numbers stand as they are, and what the file looked like then.
    _place: tuple[int, tuple[int, ...]] | None = None

    def __init__(
        self,
        path: str | os.PathLike,
        key: str,
        shape: tuple[int, int],
        digest: Future[str] | None = None,
        item: h5py.Dataset | None = None,
    ):
        """Notes where they are.

        Args:
            path: the HDF5 file.
            key: the video's group.
            shape: (n_steps, D).
            digest: theirs, as `digest_of`, where they have just been read and a thread computes it.
            item: the dataset in the file: one in a single piece is read without the library from then on.
        """
        self._path, self._key = pathlib.Path(path), key
        self.shape = shape
        self._digest = digest
        if item is not None and item.dtype == np.dtype('<f4') and item.id.get_offset() is not None:
            self._place = item.id.get_offset(), _looks(self._path.stat())

    def __len__(self) -> int:
        """Number of steps."""
        return self.shape[0]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """[n_steps, D] float32, or as asked for; InputError where the file is no longer what it was."""
        del copy
        features = self._at_once()
        if features is None:
            features = self._by_library()
        return features.astype(dtype or np.float32, copy=False)

    def digest(self) -> str:
        """As `digest_of` their numbers; they are read for it at most once."""
        if self._digest is None:
            self._digest = Future()
            self._digest.set_result(digest_of(np.asarray(self)))
        return self._digest.result()

    def _at_once(self) -> np.ndarray | None:
        """The numbers from where they stand; None where the file is another one by now, or packs them."""
        if self._place is None:
            return None
        start, looks = self._place
        count = self.shape[0] * self.shape[1]
        try:
            with self._path.open('rb', buffering=0) as file:
                if _looks(os.fstat(file.fileno())) != looks:
                    return None
                file.seek(start)
                numbers = np.fromfile(file, '<f4', count)
        except OSError:
            return None
        return numbers.reshape(self.shape) if len(numbers) == count else None

    def _by_library(self) -> np.ndarray:
        found = 'none that can be read'
        try:
            with open_file(self._path) as file:
                features = file[self._key]['features'][()]
            if features.shape == self.shape:
                return features
            found = f'{features.shape}'
        except DAMAGED as error:
            if isinstance(error, InputError):
                raise
            found = f'{found} ({error})'
        raise InputError(
            f'{shown(self._path)}: expected {self._key}/features {self.shape} as it was before, found '
            f'{found}; the file has changed since the command began'
        )


def _looks(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
