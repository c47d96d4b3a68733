"""Where scenes change, to the frame: a few numbers of every frame, and edges of shots that follow them."""

import array
import collections
import dataclasses
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from scipy import ndimage

from trsum_jax.data.shots import from_starts

# Width and height of the picture that neighbours are compared in, and rows of full width that tell blur.
_SIZE, _ROWS = (64, 36), 12
# Frames: a flash of up to 2 is no cut, for what is 2 after it looks like what is 3 before.
_AFTER, _BEFORE = 2, 3
# Share of a cut's change that is still there then.
_STAYS = 0.5
# A cut changes luma and both colours by this much together (of 255 each), and as many times more than frames
# change that are up to so far from it.
_CUT, _RATIO, _AROUND = 10.0, 3.5, 6
# What changes less is the frame before, shown again.
_HELD = 0.5
# Shares of the usual contrast: less is the bottom of a fade, or black; less than the second is faded, and
# what leads there is so up to the third. The second is of detail too: less is blurred.
_FADED, _DULL, _CLEAR = 0.25, 0.5, 0.9
# From there to the end of a fade it is about one part of as many.
_REST = 6
# Contrast (of 255) below which nothing can be said of fades.
_FLAT = 2.0
# Seconds; what takes less is a flash.
_FLASH = 0.15
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
        contrast: [n_frames] float32, standard deviation of luma: 0 for black or one colour, less in a fade.
        detail: [n_frames] float32, mean absolute difference of neighbours in a row of pixels: less in a blur.
        sharpness: [n_frames] float32, the same of squares: less where edges are soft, too.
    """

    change: np.ndarray
    lasting: np.ndarray
    contrast: np.ndarray
    detail: np.ndarray
    sharpness: np.ndarray


class Scenes(NamedTuple):
    """Where scenes begin: [n] int64 frames each, the hard cuts and the darkest frames of fades."""

    cuts: np.ndarray
    fades: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """[n] int64, both in order."""
        return np.union1d(self.cuts, self.fades)


class Watcher:
    """Looks at every frame of a pass, in order, at about a tenth of the price of decoding it."""

    def __init__(self):
        """Begins before the first frame."""
        self._small, self._rows = VideoReformatter(), VideoReformatter()
        self._recent = collections.deque(maxlen=_AFTER + _BEFORE + 1)
        self._change, self._lasting, self._contrast = (array.array('f') for _ in range(3))
        self._detail, self._sharpness = array.array('f'), array.array('f')

    def __call__(self, frame: av.VideoFrame) -> None:
        """Looks at the next frame; whatever its size and format, it is compared in the same small one."""
        # Threads of its own cost more than so small a picture.
        how = {'interpolation': 'FAST_BILINEAR', 'threads': 1}
        small = self._small.reformat(frame, *_SIZE, 'yuv444p', **how).to_ndarray().astype(np.int16)
        rows = self._rows.reformat(frame, frame.width, min(_ROWS, frame.height), 'gray', **how)
        self._change.append(_difference(small, self._recent[-1]) if self._recent else 0.0)
        self._recent.append(small)
        if len(self._change) > _AFTER:
            self._lasting.append(_difference(small, self._recent[0]))
        self._contrast.append(float(small[0].std()))
        steps = np.diff(rows.to_ndarray().astype(np.float32)).ravel()
        self._detail.append(float(np.abs(steps).mean()) if steps.size else 0.0)
        self._sharpness.append(float(steps @ steps / max(steps.size, 1)))

    def changes(self) -> Changes:
        """What was kept, once the pass is over."""
        lasting, recent = self._lasting[:], list(self._recent)
        for frame in range(len(lasting), len(self._change)):
            back = len(self._change) - 1 - frame
            lasting.append(_difference(recent[-1], recent[max(len(recent) - 1 - back - _BEFORE, 0)]))
        kept = self._change, lasting, self._contrast, self._detail, self._sharpness
        return Changes(*(np.array(of_all, np.float32) for of_all in kept))


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
    change = changes.change
    around = np.lib.stride_tricks.sliding_window_view(np.pad(change, _AROUND), 2 * _AROUND + 1).copy()
    around[:, _AROUND] = 0
    highest = around[:, _AROUND - _AFTER : _AROUND + _AFTER + 1].max(axis=1)
    # A frame shown twice says nothing of motion; nor does one cut that is near another.
    around[around < _HELD] = 0
    others = np.maximum((around > 0).sum(axis=1) - 1, 1)
    usual = (around.sum(axis=1) - around.max(axis=1)) / others
    stays = changes.lasting >= _STAYS * change
    return np.flatnonzero((change >= _CUT) & stays & (change >= _RATIO * usual) & (change >= highest))


def find_fades(frame_times: np.ndarray, changes: Changes) -> np.ndarray:
    """The fades of a video, out and in again: of each the middle of its darkest frames.

    A fade has next to no contrast at its bottom (black, white, any one colour), far more within 1.5 s before
    and after it, and takes longer than a flash.

    Args:
        frame_times: [n_frames] float, seconds.
        changes: of all frames.

    Returns:
        [n_fades] int64, frames.
    """
    contrast = changes.contrast.astype(np.float64)
    n = len(contrast)
    reach = max(1, round(_REACH * (n - 1) / max(frame_times[-1] - frame_times[0], 1e-3)))
    padded = np.pad(contrast, reach)
    highest = ndimage.maximum_filter1d(padded, reach + 1, origin=0)
    # A window of an even or odd length, centred half of it before a frame and half after.
    shift = (reach + 1) // 2
    usual = np.minimum(highest[reach - shift : n + reach - shift], highest[reach + shift : n + reach + shift])
    found = []
    for first, last in runs((contrast < _DULL * usual) & (usual > _FLAT)):
        least = contrast[first : last + 1].min()
        lasts = frame_times[min(last + 1, n - 1)] - frame_times[first]
        if lasts < _FLASH or least > _FADED * usual[first : last + 1].min():
            continue
        # Codecs leave a little noise in black.
        bottom = np.flatnonzero(contrast[first : last + 1] <= least + 0.02 * usual[first]) + first
        found.append((bottom[0] + bottom[-1] + 1) // 2)
    return np.array(found, np.int64)


def find_scenes(frame_times: np.ndarray, changes: Changes) -> Scenes:
    """The cuts and the fades of a video; arguments as `find_fades`."""
    return Scenes(find_cuts(changes), find_fades(frame_times, changes))


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last place of every run of True."""
    steps = np.diff(np.pad(mask.astype(np.int8), 1))
    return list(zip(*(np.flatnonzero(steps == step) - (step < 0) for step in (1, -1)), strict=True))


def refine(
    shots: np.ndarray, picks: np.ndarray, frame_times: np.ndarray, changes: Changes, scenes: Scenes
) -> np.ndarray:
    """Shots that begin at sampled frames, and now where the scenes change.

    Every cut and the bottom of every fade is a boundary. One of a shot goes to that nearby, between the
    sampled frames around it (for a fade, one more before, for it takes longer); else to the middle of a
    cross-fade there; else it stays.

    Args:
        shots: [n_shots, 2] int, first and last frame, both inclusive, covering the video.
        picks: [n_steps] int, the sampled frames, increasing from 0.
        frame_times: [n_frames] float, seconds.
        changes: of all frames.
        scenes: from `find_scenes`.

    Returns:
        [m, 2] int64, covering the video.
    """
    (hard, fades), n = scenes, len(changes.change)
    found = {0, *hard.tolist(), *fades.tolist()}
    for start in np.asarray(shots)[1:, 0].tolist():
        step = int(np.searchsorted(picks, start))
        before, earlier = int(picks[step - 1]), int(picks[max(step - 2, 0)])
        after = next((int(pick) for pick in picks[step : step + 2] if pick > start), n)
        if np.any((hard > before) & (hard < after)) or np.any((fades > earlier) & (fades < after)):
            continue
        place = _middle(before + 1, after, frame_times, changes)
        found.add(start if place is None else place)
    return from_starts(np.array(sorted(found), np.int64), n)


def _near(frame_times: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """The frames within reach of some frames, as a range."""
    seconds = frame_times[[low, max(high - 1, low)]] + (-_REACH, _REACH)
    return tuple(np.searchsorted(frame_times, seconds, side='right').tolist())


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
    flowing = np.minimum(smooth, change) > max(_FLOW, _FLOW_RATIO * np.median(change))
    # What is smoothed begins later and ends earlier.
    margin, n = _SMOOTH // 2, len(changes.change)
    return [
        (max(first + int(a) - margin, 0), min(first + int(b) + margin, n - 1))
        for a, b in runs(flowing)
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
    # Of the part alone, counted from its first frame: there may be millions outside.
    zero, frames = first, slice(first, last + 1)
    contrast, detail = (
        own / usual if (usual := float(np.median(own))) > 0 else np.ones(len(own))
        for own in (changes.contrast[frames], changes.detail[frames])
    )
    dull = np.minimum(contrast, detail) < _DULL
    fades = []
    if last > first:
        for end in (first, last):
            fades += _cross_fades(end, end + 1, edges[:-1], changes)

    def inward(at: int, step: int, limit: int) -> int:
        """Past dull frames, and those that lead out of them, from an end."""

        def near(place: int) -> bool:
            return (limit - place) * step >= 0 and abs(edges[place] - edges[at]) < _REACH

        place = at
        while near(place) and dull[place - zero]:
            place += step
        if place == at:
            return at
        place = min(place, limit) if step > 0 else max(place, limit)
        beyond = int(np.searchsorted(edges, edges[place] + step * _REACH))
        low, high = sorted((place, min(max(beyond, first), last)))
        clear = _CLEAR * np.median(contrast[low - zero : high + 1 - zero])
        while near(place) and contrast[place - zero] < clear:
            place += step
        place += step * (abs(place - at) // _REST)
        return min(place, limit) if step > 0 else max(place, limit)

    def beginning(at: int, latest: int) -> int:
        inside = cuts[(cuts > at) & (cuts <= latest) & (edges[cuts] - edges[at] < least)]
        if len(inside):
            return int(inside[0])
        return min(next((b + 1 for a, b in fades if a <= at <= b), inward(at, 1, latest)), latest)

    def ending(at: int, earliest: int) -> int:
        inside = cuts[(cuts <= at) & (cuts > earliest) & (edges[at + 1] - edges[cuts] < least)]
        if len(inside):
            return int(inside[-1]) - 1
        return max(next((a - 1 for a, b in fades if a <= at <= b), inward(at, -1, earliest)), earliest)

    # Each end in turn, until both stay: behind a bit of another scene there may be a fade.
    while True:
        latest = int(np.searchsorted(edges, edges[last + 1] - least + 1e-6, side='right')) - 1
        latest = min(latest, last)
        moved = beginning(first, latest) if latest > first else first
        earliest = int(np.searchsorted(edges, edges[moved] + least - 1e-6)) - 1
        earliest = max(earliest, moved)
        until = ending(last, earliest) if earliest < last else last
        if (moved, until) == (first, last):
            return first, last
        first, last = moved, until
