"""Features that stay in their file until they are needed: for datasets that do not fit the memory."""

import os
import pathlib

import h5py
import numpy as np


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
        """[n_steps, D] float32, or as asked for."""
        del copy
        with h5py.File(self._path) as file:
            features = file[self._key]['features'][()]
        return features.astype(dtype or np.float32)
