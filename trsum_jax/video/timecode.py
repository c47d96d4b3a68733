"""How the frames of a video are numbered: timecode, by the camera's own where it has written one."""

import dataclasses
import pathlib
import re

from trsum_jax.video.opening import open_input, tags_of
from trsum_jax.video.summary import Summary

_NTSC = 1000 / 1001
# The rates of SMPTE timecode, whole ones first: they are preferred where a video has no rate of its own.
_WHOLE = (24, 25, 30, 48, 50, 60)
_RATES = (*_WHOLE, 24 * _NTSC, 30 * _NTSC, 48 * _NTSC, 60 * _NTSC)
# Rates that are the video's own beside these; cameras have them, timecode and EDLs do not.
_FAST = (100, 120, 240, 120 * _NTSC, 240 * _NTSC)
_CLOSE = 1e-3
# NTSC's rates lie 0.1% below the whole ones.
_EXACT = 4e-4
_STAMP = re.compile(r'([01]\d|2[0-3]):([0-5]\d):([0-5]\d)([:;.,])(\d{2,4})')
_DAY = 86_400


@dataclasses.dataclass(frozen=True)
class Count:
    """How the frames of a video are numbered, by SMPTE ST 12-1: 24 numbers a second for 23.976.

    Attributes:
        rate: frames per second, up to 60 for labels.
        start: number of the frame at the video's beginning: of the timecode that a camera wrote, else 0.
        drop: whether labels leave numbers out so as to keep up with the clock, as the camera's does.
    """

    rate: float
    start: int = 0
    drop: bool = False

    def number(self, seconds: float) -> int:
        """The number of the frame nearest to a time, in seconds from the first frame."""
        return self.start + round(seconds * self.rate)

    def label(self, seconds: float) -> str:
        """Timecode `HH:MM:SS:FF` of that frame, `HH:MM:SS;FF` for drop-frame; it begins anew after a day.

        Own arithmetic, since OpenTimelineIO is an extra and JSON is not.
        """
        nominal, number = round(self.rate), self.number(seconds)
        if self.drop:
            # Each minute but every tenth leaves out its first two numbers of 30, four of 60.
            left_out = nominal // 15
            minute, ten = 60 * nominal - left_out, 600 * nominal - 9 * left_out
            tens, rest = divmod(number % (144 * ten), ten)
            number = 600 * nominal * tens + rest + left_out * (max(rest - left_out, 0) // minute)
        whole, frame = divmod(number % (_DAY * nominal), nominal)
        sign = ';' if self.drop else ':'
        return f'{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{sign}{frame:02d}'


def timecode_rate(summary: Summary) -> float:
    """The rate that editors count a video by: its own where that is one of timecode, which ends at 60.

    Args:
        summary: of the video.

    Returns:
        The nearest rate of SMPTE timecode within 0.1%; else the least that is a whole multiple (25 for 12.5),
        or of a faster video the greatest that it is a multiple of (59.94 for 119.88); else, as for a variable
        rate, the least whole one that is not below, or 60.
    """
    nearest = min(_RATES, key=lambda rate: abs(rate / summary.fps - 1))
    if abs(nearest / summary.fps - 1) < _CLOSE:
        return float(nearest)
    if summary.fps > max(_RATES):
        ratios = {rate: summary.fps / rate for rate in _RATES}
        parts = [rate for rate, ratio in ratios.items() if abs(ratio / round(ratio) - 1) < _EXACT]
        return float(max(parts, default=max(_RATES)))
    multiples = [
        r for r in _WHOLE if r > summary.fps and abs(r / summary.fps - round(r / summary.fps)) < _CLOSE
    ]
    above = [rate for rate in _WHOLE if rate > 0.98 * summary.fps]
    return float((multiples or above or _WHOLE[-1:])[0])


def counting(summary: Summary, rate: float | None = None) -> Count:
    """How the frames of a video are numbered, from the timecode that a camera has written into the file.

    Args:
        summary: of the video.
        rate: frames per second; `timecode_rate` by default, by which JSON and EDLs count.

    Returns:
        The count; it begins at 0 in a file without timecode, or with one that makes no sense.
    """
    rate = timecode_rate(summary) if rate is None else rate
    found, counted = _parsed(summary), _counted_rate(summary)
    if found is None:
        return Count(rate)
    nominal = round(counted)
    hours, minutes, seconds, frames = (int(found[group]) for group in (1, 2, 3, 5))
    number = (3600 * hours + 60 * minutes + seconds) * nominal + frames
    drop = found[4] != ':' and nominal % 30 == 0 and abs(counted / nominal / _NTSC - 1) < _EXACT
    if drop:
        minutes += 60 * hours
        number -= nominal // 15 * (minutes - minutes // 10)
    return Count(rate, int(number * rate / counted + _EXACT), drop)


def misread(summary: Summary) -> str:
    """The timecode in the file, where it makes no sense at the video's rate; else empty."""
    return '' if _parsed(summary) else _stamp(summary.path)


def own_rate(fps: float) -> float:
    """The rate of a camera that a measured one is, within 0.1%; else to three places."""
    nearest = min((*_RATES, *_FAST), key=lambda rate: abs(rate / fps - 1))
    return float(nearest) if abs(nearest / fps - 1) < _CLOSE else round(fps, 3)


def _parsed(summary: Summary) -> re.Match | None:
    """The fields of the timecode in the file; None without, and for one that its rate does not know."""
    found = _STAMP.fullmatch(_stamp(summary.path))
    return found if found and int(found[5]) < round(_counted_rate(summary)) else None


def _counted_rate(summary: Summary) -> float:
    """The rate that the timecode in the file counts."""
    return own_rate(summary.fps) if summary.fps > max(_RATES) else timecode_rate(summary)


def _stamp(path: pathlib.Path) -> str:
    """The timecode written into a video; empty without."""
    with open_input(path) as container:
        tags = map(tags_of, (container, *container.streams))
        # Matroska writes names of tags in capitals.
        stamps = [value for one in tags for name, value in one.items() if name.lower() == 'timecode']
        return stamps[0].strip() if stamps else ''
