"""Features as a run sees them, shifted and scaled by what it trains on; and in float64, some at a time."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from trsum_jax.data.records import Video

# Steps at a time: 17 minutes of video, more than any of the field's data sets has, so that what is summed of
# those is summed in one go.
_SOME = 2048


class Standard(NamedTuple):
    """How the features of a run are shifted and scaled, by its training videos alone.

    Attributes:
        mean: [D] float32, of their frames.
        scale: float32 scalar; times it, their frames are one away from the mean, in the root mean square.
    """

    mean: Any
    scale: Any


def standards(videos: Sequence[Video], trained: np.ndarray) -> Standard:
    """Of every run, mean and scale of the frames of its training videos.

    With them neither a constant vector added to all features nor a positive factor on them changes what is
    learned.

    Args:
        videos: V, with features of one width D.
        trained: [R, V] bool, whether a run trains on a video.

    Returns:
        [R, D] and [R]. Frames that are all the same are only shifted.
    """
    # About one frame: what all frames share may be far larger than what tells them apart.
    origin = next(in_float64(videos[0].features))[0]
    count = np.array([video.n_steps for video in videos], np.float64)
    total, square = np.zeros((len(videos), origin.shape[0])), np.zeros(len(videos))
    for i, video in enumerate(videos):
        for some in in_float64(video.features):
            about = some - origin
            total[i] += about.sum(axis=0)
            square[i] += np.sum(np.square(about))
    frames = trained @ count
    mean = trained @ total / frames[:, None]
    variance = trained @ square / frames - np.sum(np.square(mean), axis=1)
    scale = 1.0 / np.sqrt(np.where(variance > 0, variance, 1.0))
    return Standard((origin + mean).astype(np.float32), scale.astype(np.float32))


def in_float64(features: np.ndarray) -> Iterator[np.ndarray]:
    """Features in float64, some steps at a time: of a film of two hours all would be 150 MB, for every copy.

    Args:
        features: [n_steps, D] float.

    Yields:
        [up to 2048, D] float64, one after another.
    """
    features = np.asarray(features)
    for first in range(0, len(features), _SOME):
        yield np.asarray(features[first : first + _SOME], np.float64)
