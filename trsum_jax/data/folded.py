"""Videos with their folds: what an experiment trains on and is evaluated on."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.splits import Fold
from trsum_jax.data.stored.features import Stored, digest_of


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What an experiment works on.

    Attributes:
        dataset: the videos, those of extra files included.
        keys: of the videos that are evaluated (extra files only train).
        folds: training, validation and test videos of each fold.
        split: how the folds came about, in words.
        rows: anybody's scores that stand in the table, by name, then by key, [n_steps] or [n_frames].
    """

    dataset: Dataset
    keys: tuple[str, ...]
    folds: list[Fold]
    split: str
    rows: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(default_factory=dict)

    @property
    def labelled(self) -> bool:
        """Whether there are people to compare with; without them there are no baselines."""
        return any(self.dataset.videos[key].has_users for key in self.keys)

    def digests_of_rows(self) -> dict[str, str]:
        """SHA-256 of each row's scores, by name: a table with other rows is another table."""
        found = {}
        for name, scores in self.rows.items():
            sha = hashlib.sha256()
            for key in sorted(scores):
                sha.update(f'{key}: {scores[key].shape}\n'.encode())
                sha.update(np.ascontiguousarray(scores[key]).tobytes())
            found[name] = sha.hexdigest()
        return found

    def fingerprint(self) -> str:
        """SHA-256 of everything that training and evaluation read: a changed file is another experiment."""
        sha = hashlib.sha256()
        for video in self.dataset.videos.values():
            for field in dataclasses.fields(video):
                value = getattr(video, field.name)
                if isinstance(value, Stored):
                    # Their bytes were read when the file was checked.
                    sha.update(f'{field.name}: {value.shape} {value.digest()}\n'.encode())
                    continue
                array = isinstance(value, np.ndarray)
                sha.update(f'{field.name}: {value.shape if array else value}\n'.encode())
                sha.update(np.ascontiguousarray(value).tobytes() if array else b'')
        sha.update(repr(self.folds).encode())
        if any(fold.validation for fold in self.folds):
            sha.update(repr([fold.validation for fold in self.folds]).encode())
        return sha.hexdigest()


def digest(video: Video) -> str:
    """SHA-256 of a video's features: the same video in another file has the same."""
    features = video.features
    return features.digest() if isinstance(features, Stored) else digest_of(np.asarray(features))
