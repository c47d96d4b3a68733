"""Where scenes change, to the frame: a few numbers of every frame, and edges of shots that follow them."""

import array
import collections
import dataclasses

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from trsum_jax.data.shots import from_starts

# Width and height of the picture that neighbours are compared in; its rows are those of the sharpness too.
_SIZE = 64, 36
# Frames: a flash of up to 2 is no cut, for what is 2 after it looks like what is 3 before.
_AFTER, _BEFORE = 2, 3
# A cut changes luma and both colours by this much together (of 255 each), and as many times more than the
# frames so far around it do.
_CUT, _RATIO, _AROUND = 8.0, 3.5, 6
# Share of the usual detail: less is the bottom of a fade, or black; less than the second is faded or blurred.
_FADED, _DULL = 0.25, 0.5
# Detail (of 255 a pixel) below which nothing can be said of fades.
_FLAT = 0.1
# Seconds of a fade or cross-fade at most, on one side of a boundary.
_REACH = 1.5
# A cross-fade changes each of its frames by this much, and as many times more than the frames around it do.
_FLOW, _FLOW_RATIO, _SMOOTH = 0.4, 3.0, 5


@dataclasses.dataclass(frozen=True)
class Changes:
    """What a pass over a video has kept of its frames.

    Attributes:
        change: [n_frames] float32, how much a frame differs from the one before: mean absolute differences of
            luma and of both colours, added; 0 for the first.
        lasting: [n_frames] float32, the same between 3 frames before a frame and 2 after it.
        detail: [n_frames] float32, mean absolute difference of neighbours in a row of pixels: 0 for black,
            less in a fade or blur.
    """

    change: np.ndarray
    lasting: np.ndarray
    detail: np.ndarray


class Watcher:
    """Looks at every frame of a pass, in order, at the price of a small fraction of its decoding."""

    def __init__(self):
        """Begins before the first frame."""
        self._small, self._rows = VideoReformatter(), VideoReformatter()
        self._recent = collections.deque(maxlen=_AFTER + _BEFORE + 1)
        self._change, self._lasting, self._detail = (array.array('f') for _ in range(3))

    def __call__(self, frame: av.VideoFrame) -> None:
        """Looks at the next frame; whatever its size and format, it is compared in the same small one."""
        how = {'interpolation': 'FAST_BILINEAR'}
        small = self._small.reformat(frame, *_SIZE, 'yuv444p', **how).to_ndarray().astype(np.int16)
        rows = self._rows.reformat(frame, frame.width, min(_SIZE[1], frame.height), 'gray', **how)
        self._change.append(_difference(small, self._recent[-1]) if self._recent else 0.0)
        self._recent.append(small)
        if len(self._change) > _AFTER:
            self._lasting.append(_difference(small, self._recent[0]))
        steps = np.diff(rows.to_ndarray().astype(np.int16))
        self._detail.append(float(np.abs(steps).mean()) if steps.size else 0.0)

    def changes(self) -> Changes:
        """What was kept, once the pass is over."""
        lasting, recent = self._lasting[:], list(self._recent)
        for frame in range(len(lasting), len(self._change)):
            back = len(self._change) - 1 - frame
            lasting.append(_difference(recent[-1], recent[max(len(recent) - 1 - back - _BEFORE, 0)]))
        return Changes(*(np.array(kept, np.float32) for kept in (self._change, lasting, self._detail)))


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).sum() / one[0].size)


def find_cuts(changes: Changes) -> np.ndarray:
    """The hard cuts of a video.

    A cut stands out of the changes within 6 frames around it, as it does not in fast motion, and what comes
    after it stays, as it does not after a flash.

    Args:
        changes: of all frames.

    Returns:
        [n_cuts] int64, the first frame of every scene but the video's first.
    """
    change, n = changes.change.astype(np.float64), len(changes.change)
    sums = np.cumsum(np.append(0.0, change))
    places = np.arange(n)
    low, high = np.maximum(places - _AROUND, 1), np.minimum(places + _AROUND + 1, n)
    around = (sums[high] - sums[np.minimum(low, high)] - change) / np.maximum(high - low - 1, 1)
    padded = np.pad(change, _AFTER)
    highest = np.max([padded[i : i + n] for i in range(2 * _AFTER + 1)], axis=0)
    strength = np.minimum(change, changes.lasting)
    return np.flatnonzero((strength >= _CUT) & (strength >= _RATIO * around) & (change >= highest))


def refine(shots: np.ndarray, picks: np.ndarray, frame_times: np.ndarray, changes: Changes) -> np.ndarray:
    """Shots that begin at sampled frames, moved to where the scenes change.

    A boundary goes to the strongest cut since the sampled frame before it; else to one before the next
    sampled frame; else to the darkest frame of a fade; else to the middle of a cross-fade. Where there is
    none of these it stays. Boundaries that go to one frame become one.

    Args:
        shots: [n_shots, 2] int, first and last frame, both inclusive, covering the video.
        picks: [n_steps] int, the sampled frames, increasing from 0.
        frame_times: [n_frames] float, seconds.
        changes: of all frames.

    Returns:
        [m, 2] int64 with m at most n_shots, covering the video.
    """
    cuts, n = find_cuts(changes), len(changes.change)
    found = [0]
    for start in np.asarray(shots)[1:, 0].tolist():
        step = int(np.searchsorted(picks, start))
        before = int(picks[step - 1])
        after = next((int(pick) for pick in picks[step : step + 2] if pick > start), n)
        for low, high in ((before + 1, start + 1), (start + 1, after)):
            inside = cuts[(cuts >= low) & (cuts < high)]
            if len(inside):
                place = int(inside[changes.change[inside].argmax()])
                break
        else:
            # A fade takes longer than one step: it may be well over when KTS notices.
            earlier = int(picks[max(step - 2, 0)])
            place = _bottom(earlier + 1, after, frame_times, changes)
            if place is None:
                place = _middle(before + 1, after, frame_times, changes)
        found.append(start if place is None else place)
    return from_starts(np.unique(found), n)


def _near(frame_times: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """The frames within reach of some frames, as a range."""
    seconds = frame_times[[low, max(high - 1, low)]] + (-_REACH, _REACH)
    return tuple(np.searchsorted(frame_times, seconds, side='right').tolist())


def _bottom(low: int, high: int, frame_times: np.ndarray, changes: Changes) -> int | None:
    """The middle of the frames with least detail between two, if that is the bottom of a fade."""
    detail = changes.detail
    if high <= low:
        return None
    least = low + int(detail[low:high].argmin())
    first, last = _near(frame_times, least, least + 1)
    usual = min(detail[first : least + 1].max(), detail[least:last].max())
    if usual < _FLAT or detail[least] > _FADED * usual:
        return None
    # Codecs leave a little noise in black.
    bottom = np.flatnonzero(detail[first:last] <= detail[least] + 0.02 * usual) + first
    run = np.split(bottom, np.flatnonzero(np.diff(bottom) > 1) + 1)
    ends = next((one[0], one[-1]) for one in run if one[0] <= least <= one[-1])
    return int(sum(ends) + 1) // 2


def _middle(low: int, high: int, frame_times: np.ndarray, changes: Changes) -> int | None:
    """The middle of a cross-fade that lies between two frames, if there is one."""
    runs = [(a, b) for a, b in _cross_fades(low, high, frame_times, changes) if a < high and b >= low]
    weights = [changes.change[a : b + 1].sum() for a, b in runs]
    if not runs:
        return None
    first, last = runs[int(np.argmax(weights))]
    return (first + last + 1) // 2


def _cross_fades(low: int, high: int, frame_times: np.ndarray, changes: Changes) -> list[tuple[int, int]]:
    """First and last frame of every cross-fade around some frames."""
    first, last = _near(frame_times, low, high)
    change = changes.change[first:last].astype(np.float64)
    if len(change) < _SMOOTH:
        return []
    smooth = np.convolve(change, np.ones(_SMOOTH) / _SMOOTH, 'same')
    flowing = (np.minimum(smooth, change) > max(_FLOW, _FLOW_RATIO * np.median(change))).astype(np.int8)
    steps = np.diff(np.pad(flowing, 1))
    begins, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    return [
        (first + int(a), first + int(b))
        for a, b in zip(begins, ends, strict=True)
        if b > a
        and change[a : b + 1].sum() >= _CUT
        and frame_times[first + b] - frame_times[first + a] <= _REACH
    ]


def trim(
    part: tuple[int, int], edges: np.ndarray, changes: Changes, cuts: np.ndarray, least: float
) -> tuple[int, int]:
    """A part of a summary without the ends that nobody wants, as far as it stays long enough.

    Left out are less than `least` seconds of another scene, and black, faded, cross-fading or blurred frames.

    Args:
        part: first and last frame, both inclusive.
        edges: [n_frames + 1] float64, when every frame begins, and the end of the last one, in seconds.
        changes: of all frames.
        cuts: from `find_cuts`.
        least: seconds that stay.

    Returns:
        The first and the last frame.
    """
    first, last = part
    usual = float(np.median(changes.detail[first : last + 1]))
    dull = changes.detail < _DULL * usual
    fades = []
    if last > first:
        for end in (first, last):
            fades += _cross_fades(end, end + 1, edges[:-1], changes)

    def beginning(at: int, latest: int) -> int:
        inside = cuts[(cuts > at) & (cuts <= latest) & (edges[cuts] - edges[at] < least)]
        if len(inside):
            return int(inside[0])
        after = next((b + 1 for a, b in fades if a <= at <= b), at)
        while after <= latest and dull[after] and edges[after] - edges[first] < _REACH:
            after += 1
        return min(after, latest)

    def ending(at: int, earliest: int) -> int:
        inside = cuts[(cuts <= at) & (cuts > earliest) & (edges[at + 1] - edges[cuts] < least)]
        if len(inside):
            return int(inside[-1]) - 1
        before = next((a - 1 for a, b in fades if a <= at <= b), at)
        while before >= earliest and dull[before] and edges[last + 1] - edges[before + 1] < _REACH:
            before -= 1
        return max(before, earliest)

    # Each end in turn, until both stay: behind a bit of another scene there may be a fade.
    while True:
        latest = int(np.searchsorted(edges, edges[last + 1] - least + 1e-6, side='right')) - 1
        moved = beginning(first, latest) if latest > first else first
        earliest = int(np.searchsorted(edges, edges[moved] + least - 1e-6)) - 1
        until = ending(last, earliest) if earliest < last else last
        if (moved, until) == (first, last):
            return first, last
        first, last = moved, until
