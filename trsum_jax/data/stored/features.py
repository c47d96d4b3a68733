"""Features that stay in their file until they are needed: for datasets that do not fit the memory."""

import os
import pathlib

import numpy as np

from trsum_jax.data.stored.hdf5 import DAMAGED, open_file
from trsum_jax.errors import InputError
from trsum_jax.files import shown


class Stored:
    """A video's features in its file; `np.asarray` reads them, anew each time, and nothing keeps them.

    Attributes:
        shape: (n_steps, D).
    """

    def __init__(self, path: str | os.PathLike, key: str, shape: tuple[int, int]):
        """Notes where they are.

        Args:
            path: the HDF5 file.
            key: the video's group.
            shape: (n_steps, D).
        """
        self._path, self._key = pathlib.Path(path), key
        self.shape = shape

    def __len__(self) -> int:
        """Number of steps."""
        return self.shape[0]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """[n_steps, D] float32, or as asked for; InputError where the file is no longer what it was."""
        del copy
        found = 'none that can be read'
        try:
            with open_file(self._path) as file:
                features = file[self._key]['features'][()]
            if features.shape == self.shape:
                return features.astype(dtype or np.float32)
            found = f'{features.shape}'
        except DAMAGED as error:
            if isinstance(error, InputError):
                raise
            found = f'{found} ({error})'
        raise InputError(
            f'{shown(self._path)}: expected {self._key}/features {self.shape} as it was before, found '
            f'{found}; the file has changed since the command began'
        )
