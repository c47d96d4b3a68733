"""Summaries made up by hand, of real files."""

import dataclasses
import pathlib

import numpy as np

from trsum_jax.video.cuts import Changes
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.summary import Summary


def summary_of(path: pathlib.Path, parts: list[tuple[int, int]]) -> Summary:
    """A summary that shows these parts, [first, last] frames; everything else is shots not chosen."""
    with VideoReader(path) as reader:
        for _ in reader.frames():
            pass
    n_frames, times = reader.n_frames, np.array(reader.frame_times)
    starts = sorted({0, *(first for first, _ in parts), *(last + 1 for _, last in parts)} - {n_frames})
    shots = np.stack([starts, np.append(starts[1:], n_frames) - 1], axis=1)
    chosen = np.array([any(a <= first <= b for a, b in parts) for first, _ in shots])
    picks = np.arange(0, n_frames, 5)
    scores = (0.5 + 0.4 * np.sin(picks / 7)).astype(np.float32)
    values = np.linspace(0, 1, len(shots))
    return Summary(
        path, reader.fps, reader.duration, times, picks, scores, shots, values, chosen, reader.clock
    )


def changes_of(change: np.ndarray) -> Changes:
    """What a pass keeps of frames that differ by this much from the one before, and in nothing else."""
    change = np.asarray(change, np.float32)
    # What changes stays changed; all else is told by numbers that are the same for every frame.
    others = [np.full_like(change, 30) for _ in dataclasses.fields(Changes)[2:]]
    return Changes(change, change, *others)
