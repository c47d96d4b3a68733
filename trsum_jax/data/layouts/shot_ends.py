"""Shots as files have them: with their last frame (inclusive) or with the frame after it (half-open)."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from trsum_jax.data.stored import bounds


class Shots(NamedTuple):
    """The shots of one video as its file has them.

    Attributes:
        change_points: [n_shots, 2] int64; None where there are none of this shape.
        lengths: [n_shots] int64, of every shot in frames, as the file says; or None.
        n_frames: of the video; None where it is not known.
        counted: what says the number of frames, in words.
    """

    change_points: np.ndarray | None = None
    lengths: np.ndarray | None = None
    n_frames: int | None = None
    counted: str = 'n_frames - 1'


def are_half_open(videos: Iterable[Shots]) -> bool:
    """Whether a file's shots are `[a, b)`: all of its videos tell, as one alone may be at fault.

    Args:
        videos: the shots of every video of the file.

    Returns:
        False where the shots of any video fit as inclusive ones, without overlap, gap and rest. Else
        whether more of all shots begin where the one before ends than a frame after it, and more videos end
        at `n_frames` than at `n_frames - 1`.
    """
    half_open = inclusive = 0
    for shots in videos:
        if shots.change_points is None:
            continue
        first, last = shots.change_points.T
        apart = first[1:] - last[:-1]
        rest = None if shots.n_frames is None else shots.n_frames - int(last[-1])
        if rest == 1 and (apart == 1).all():
            return False
        half_open += int((apart == 0).sum()) + (rest == 0)
        inclusive += int((apart == 1).sum()) + (rest == 1)
    return half_open > inclusive


def check_shots(shots: Shots, half_open: bool) -> tuple[np.ndarray | None, list[str]]:
    """The shots with both ends inclusive, and all that is wrong with them.

    Args:
        shots: of one video.
        half_open: whether they are `[a, b)` in the file.

    Returns:
        [n_shots, 2] int64, first and last frame; None where there are none. And the faults, as
        `key: expected …, found …`, with the shots as the file has them.
    """
    if shots.change_points is None:
        return None, []
    n_frames, lengths = shots.n_frames, shots.lengths
    inclusive = shots.change_points - [0, int(half_open)]
    first, last = inclusive.T
    faults = []

    def fault(expected: object, found: object, name: str = 'change_points') -> None:
        faults.append(f'{name}: expected {expected}, found {found}')

    def shot(i: int) -> str:
        return f'shot {i} [{first[i]}, {last[i] + half_open}{")" if half_open else "]"}'

    for i in np.flatnonzero(first > last)[: bounds.MOST_FAULTS]:
        fault('at least 1 frame a shot' if half_open else 'first frame <= last frame', shot(i))
    unsorted = np.flatnonzero(np.diff(first) < 0) + 1
    for i in unsorted[: bounds.MOST_FAULTS]:
        fault('shots sorted by time', f'{shot(i)} after {shot(i - 1)}')
    if first.min() < 0:
        fault('frames from 0 on', shot(first.argmin()))
    elif first.min() > 0:
        fault('a shot from frame 0 on', f'a gap before {shot(first.argmin())}')
    # What is not sorted would show as overlaps and gaps that vanish with the sorting.
    apart = np.flatnonzero(first[1:] != last[:-1] + 1) + 1
    for i in apart[: bounds.MOST_FAULTS if len(unsorted) == 0 else 0]:
        kind = 'overlap' if first[i] <= last[i - 1] else 'gap'
        size = abs(first[i] - last[i - 1] - 1)
        expected = f'shot {i} to start at {last[i - 1] + 1}, right after {shot(i - 1)}'
        fault(expected, f'{shot(i)}: {kind} of {size} frames')
    if n_frames is not None and len(inclusive) * n_frames > bounds.MOST_SHOT_FRAMES:
        fault(f'at most {bounds.MOST_SHOT_FRAMES // n_frames} shots of {n_frames} frames', len(inclusive))
    if n_frames is not None and last.max() != n_frames - 1:
        kind = 'runs past the end' if last.max() >= n_frames else 'leaves a gap at the end'
        fault(f'the last frame {n_frames - 1} ({shots.counted})', f'{shot(last.argmax())}: {kind}')
    if lengths is not None and len(lengths) != len(inclusive):
        fault(f'length {len(inclusive)} as in change_points', len(lengths), 'n_frame_per_seg')
    elif lengths is not None and (lengths != last - first + 1).any():
        i = np.flatnonzero(lengths != last - first + 1)[0]
        fault(f'{last[i] - first[i] + 1} frames for {shot(i)}', lengths[i], 'n_frame_per_seg')
    return inclusive, faults
