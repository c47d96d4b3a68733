"""Rows of features: checked, and taken to other steps in time."""

import math

import numpy as np

from trsum_jax.data.stored import bounds


def wrong_in(array: np.ndarray, n_dims: int, layout: str) -> tuple[str, str] | None:
    """Whether an array is of so many dimensions and of finite numbers that are not too large.

    Args:
        array: numbers of any type and shape.
        n_dims: how many dimensions it should have.
        layout: the shape that it should have, in words.

    Returns:
        None; or what was expected and what was found.
    """
    if array.ndim != n_dims:
        return layout, f'shape {array.shape}'
    if not array.size:
        return None
    # NaN and infinity come through to the least or the greatest.
    ends = array.min().item(), array.max().item()
    if not all(map(math.isfinite, ends)):
        finite = np.isfinite(array)
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        at = f', first at {where}' if where else ''
        return 'finite numbers', f'{(~finite).sum()} NaN or infinite{at}'
    if (greatest := max(map(abs, ends))) > bounds.LARGEST_NUMBER:
        return f'numbers up to {bounds.LARGEST_NUMBER:g}', f'{greatest:g}'
    return None


def check_rows(array: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Features of one video, or what is wrong with them.

    Args:
        array: numbers of any type and shape.

    Returns:
        [n_steps, D] float32 and nothing; or None and `expected …, found …`.
    """
    if array.dtype.kind == 'f':
        with np.errstate(over='ignore'):
            array = array.astype(np.float32, copy=False)
    wrong = wrong_in(array, 2, 'shape [n_steps, D]')
    if wrong is None and not 0 < array.shape[1] <= bounds.MOST_WIDTH:
        most = 'at least 1' if array.shape[1] == 0 else f'at most {bounds.MOST_WIDTH}'
        wrong = f'{most} feature{"" if array.shape[1] == 0 else "s"} a step', f'shape {array.shape}'
    if wrong is not None:
        return None, f'expected {wrong[0]}, found {wrong[1]}'
    return array.astype(np.float32, copy=False), ''


def resample(rows: np.ndarray, picks: np.ndarray, n_frames: int) -> np.ndarray:
    """Rows at equal distances over a whole video as one row for each step.

    A row holds for its equal part of the video. A step's row is the mean over the step's time, from its pick
    to the next one.

    Args:
        rows: [n_rows, D] float.
        picks: [n_steps] int, the frame of every step, increasing.
        n_frames: frames of the video.

    Returns:
        [n_steps, D] float32.
    """
    edges = np.append(picks, n_frames) * (len(rows) / n_frames)
    before = np.minimum(edges.astype(np.int64), len(rows) - 1)
    rows = np.asarray(rows, np.float64)
    # The integral from the first row on; within a row it grows evenly.
    whole = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    integral = whole[before] + (edges - before)[:, None] * rows[before]
    return (np.diff(integral, axis=0) / np.diff(edges)[:, None]).astype(np.float32)
