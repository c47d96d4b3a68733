"""A dataset on the device: every frame once, and the segments as indices into them."""

import itertools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from trsum_jax.data.records import Video
from trsum_jax.data.shots import frame_change
from trsum_jax.data.standard import Standard
from trsum_jax.method.decomposition import PADDING, decompose
from trsum_jax.method.losses import mean_over
from trsum_jax.runtime import sharding


class Corpus(NamedTuple):
    """All videos and their segments, shared by every run of a grid.

    Attributes:
        frames: [F, D] float32, the sampled frames of all videos, one after another.
        index: [S, L] int32, the row of `frames` at each position of each segment, 0 where padded.
        valid: [S, L] bool.
        shot: [S, L] int32, the shot of each position.
        video: [S] int32, the video of each segment; 0 of segments without a frame, as fill it up.
        first: [S] int32, the row of the video's first frame.
        n_steps: [S] int32, the video's number of frames.
        change: [F] float32, `shots.frame_change` of the video's features less their mean.
        side: [F, K] float32, a second modality; K is 0 where there is none.
        standard: what a run sees the frames by, or nothing: as they are (`Run.standard`).
    """

    frames: chex.Array
    index: chex.Array
    valid: chex.Array
    shot: chex.Array
    video: chex.Array
    first: chex.Array
    n_steps: chex.Array
    change: chex.Array
    side: chex.Array
    standard: Standard | tuple[()] = ()

    @property
    def n_segments(self) -> int:
        """S."""
        return self.index.shape[0]


class Segment(NamedTuple):
    """One segment, gathered: what the training steps work on.

    Attributes:
        frames: [L, D] float32, zeros where padded.
        valid: [L] bool.
        shot: [L] int32.
        video, first, n_steps: int32 scalars as in `Corpus`.
        change: [L] float32, 0 where padded.
        side: [L, K] float32, zeros where padded.
    """

    frames: chex.Array
    valid: chex.Array
    shot: chex.Array
    video: chex.Array
    first: chex.Array
    n_steps: chex.Array
    change: chex.Array
    side: chex.Array


def build(videos: list[Video], length: int, views: tuple[str, ...], mesh: Mesh | None = None) -> Corpus:
    """Decomposes every video and puts all of it on every device.

    Args:
        videos: as for `arrays`.
        length: L, positions in a segment.
        views: the views to take (`decomposition.VIEWS`).
        mesh: the devices; the default one alone where there is none.

    Returns:
        The corpus; segments in the order of the videos.
    """
    return sharding.place(arrays(videos, length, views), mesh or sharding.one_device(), sharding.SHARED)


def arrays(videos: list[Video], length: int, views: tuple[str, ...]) -> Corpus:
    """Decomposes every video, on the host.

    Args:
        videos: with features and change points, all of one width D.
        length: L, positions in a segment.
        views: the views to take (`decomposition.VIEWS`).

    Returns:
        A corpus of numpy arrays; segments in the order of the videos.
    """
    first = np.cumsum([0, *(video.n_steps for video in videos)])
    rows = {name: [] for name in ('index', 'valid', 'shot', 'video', 'first', 'n_steps')}
    for i, video in enumerate(videos):
        steps = decompose(video.n_steps, length, views)
        valid = steps != PADDING
        shot = video.step_shots
        rows['index'].append(np.where(valid, first[i] + steps, 0))
        rows['valid'].append(valid)
        rows['shot'].append(np.where(valid, shot[steps], 0))
        for name, value in (('video', i), ('first', first[i]), ('n_steps', video.n_steps)):
            rows[name].append(np.full(len(steps), value))
    joined = {name: np.concatenate(parts) for name, parts in rows.items()}
    integers = {name: a.astype(np.int32) for name, a in joined.items() if name != 'valid'}
    frames = np.empty((first[-1], videos[0].features.shape[1]), np.float32)
    own = [frames[a:b] for a, b in itertools.pairwise(first)]
    for rows_of, video in zip(own, videos, strict=True):
        rows_of[:] = video.features
    change = np.concatenate([frame_change(one - one.mean(axis=0)) for one in own])
    side = np.concatenate(
        [np.zeros((v.n_steps, 0), np.float32) if v.side is None else v.side for v in videos]
    )
    return Corpus(frames=frames, valid=joined['valid'], change=change, side=side, **integers)


def roomy(n: int) -> int:
    """The number rounded up to one of four in an octave (8, 10, 12, 14, 16, 20, …), a quarter more at most.

    Lengths that are alike become the same, so that what is compiled for one serves the others.
    """
    step = 1 << max(n.bit_length() - 3, 0)
    return -(-n // step) * step


def frames_at(corpus: Corpus, index: chex.Array) -> chex.Array:
    """The frames [L, D] at rows [L] of the corpus, by its standard."""
    if not corpus.standard:
        return corpus.frames[index]
    return (corpus.frames[index] - corpus.standard.mean[None]) * corpus.standard.scale


def gather(corpus: Corpus, segment: chex.Array) -> Segment:
    """Reads one segment.

    Args:
        corpus: all of them.
        segment: int32 scalar, which.

    Returns:
        The segment.
    """
    valid, index = corpus.valid[segment], corpus.index[segment]
    return Segment(
        frames=jnp.where(valid[:, None], frames_at(corpus, index), 0.0),
        valid=valid,
        shot=corpus.shot[segment],
        video=corpus.video[segment],
        first=corpus.first[segment],
        n_steps=corpus.n_steps[segment],
        change=jnp.where(valid, corpus.change[index], 0.0),
        side=jnp.where(valid[:, None], corpus.side[index], 0.0),
    )


def average_per_frame(corpus: Corpus, values: chex.Array) -> chex.Array:
    """Averages a value per position over all segments that hold the frame.

    Args:
        corpus: the segments; frames that fill up a chunk stand in none.
        values: [S, L] float32.

    Returns:
        [F] float32; 0 for a frame that no segment holds.
    """
    chex.assert_equal_shape([values, corpus.valid])
    n_frames = corpus.frames.shape[0]
    weight = corpus.valid.astype(jnp.float32)

    def total(x):
        return jax.ops.segment_sum(x.ravel(), corpus.index.ravel(), num_segments=n_frames)

    return total(jnp.where(corpus.valid, values, 0.0)) / jnp.maximum(total(weight), 1.0)


def per_video(videos: list[Video], values: np.ndarray) -> dict[str, np.ndarray]:
    """Cuts [..., F] values of all frames into one [..., n_steps] array per video key."""
    ends = np.cumsum([video.n_steps for video in videos])[:-1]
    return dict(zip((video.key for video in videos), np.split(values, ends, axis=-1), strict=True))


def weighted_mean(values: chex.ArrayTree, weight: chex.Array) -> chex.ArrayTree:
    """Means over the leading axis of every leaf, by weight."""
    return jax.tree.map(lambda leaf: mean_over(leaf, weight), values)
