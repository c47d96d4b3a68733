"""The two views of a video: windows of consecutive frames, and dilated segments (paper, section III)."""

import numpy as np

from trsum_jax.errors import InputError

PADDING = -1
VIEWS = ('sequential', 'dilated')


def sequential_windows(n_steps: int, length: int) -> np.ndarray:
    """Cuts a video into windows of consecutive steps that together cover every step.

    There are `m = ceil(T / L)` windows starting at `round(linspace(0, T - L, m))`: the windows overlap
    instead of being padded. A video shorter than one window gives one padded window.

    Args:
        n_steps: T, the number of sampled frames.
        length: L, steps in a window.

    Returns:
        [m, L] int32, the step at each position; `PADDING` (-1) after the end of a short video.
    """
    if n_steps <= length:
        return _padded(np.arange(n_steps), length)[None]
    starts = np.rint(np.linspace(0, n_steps - length, -(-n_steps // length))).astype(np.int32)
    return starts[:, None] + np.arange(length, dtype=np.int32)


def dilated_segments(n_steps: int, length: int) -> np.ndarray:
    """Spreads a video over segments that each span the whole of it.

    With `m = ceil(T / L)`, segment `j` holds the steps `j, j + m, j + 2m, …`, at most L of them.

    Args:
        n_steps: T, the number of sampled frames.
        length: L, positions in a segment.

    Returns:
        [m, L] int32, the step at each position; `PADDING` (-1) after a segment's last step.
    """
    m = -(-n_steps // length)
    return np.stack([_padded(np.arange(j, n_steps, m), length) for j in range(m)])


def decompose(n_steps: int, length: int, views: tuple[str, ...] = VIEWS) -> np.ndarray:
    """Stacks the segments of the chosen views of one video.

    A video of at most L steps is one segment, the same in both views, and is given once.

    Args:
        n_steps: T, the number of sampled frames.
        length: L, positions in a segment.
        views: any of `VIEWS`.

    Returns:
        [S, L] int32, the step at each position, `PADDING` (-1) where there is none. In every row the
        steps increase and the padding comes last.

    Raises:
        InputError: no view, or one that does not exist.
    """
    if not views or any(view not in VIEWS for view in views):
        raise InputError(f'views: expected one or both of {", ".join(VIEWS)}, found {tuple(views)}')
    if n_steps <= length:
        return sequential_windows(n_steps, length)
    cut = {'sequential': sequential_windows, 'dilated': dilated_segments}
    return np.concatenate([cut[view](n_steps, length) for view in views])


def _padded(steps: np.ndarray, length: int) -> np.ndarray:
    row = np.full(length, PADDING, np.int32)
    row[: len(steps)] = steps
    return row
