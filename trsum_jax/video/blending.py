"""A fade from one part of a summary into the next: pictures blended over the seam."""

import bisect
import dataclasses

import av
import numpy as np

from trsum_jax.errors import InputError

LONGEST = 1.0


def check_crossfade(seconds: float, named: str) -> None:
    """Refuses a fade between parts that is no short time.

    Args:
        seconds: of the fade; 0 for none.
        named: what says so: a flag, or a field of a file.

    Raises:
        InputError: it is below 0 or above 1.
    """
    if not 0 <= seconds <= LONGEST:
        raise InputError(f'{named}: expected seconds from 0 to {LONGEST:g}, found {seconds:g}')


@dataclasses.dataclass
class Seam:
    """The last pictures of a part, held back until those of the next part are seen through them.

    A pair of pictures is weighed by the middle of the time in which it is shown: the share of the next part
    grows steadily from 0 to 1. What is held is at most a second of pictures, of full size.

    Attributes:
        begin: tick of the film at which the fade begins.
        end: tick at which it is over.
    """

    begin: int
    end: int
    _ticks: list[int] = dataclasses.field(default_factory=list)
    _frames: list[av.VideoFrame] = dataclasses.field(default_factory=list)

    def hold(self, tick: int, frame: av.VideoFrame) -> None:
        """Keeps a picture of the part that ends, `yuv420p`, shown from a tick of the film on."""
        self._ticks.append(tick)
        self._frames.append(frame)

    def blended(self, first: int, last: int, frame: av.VideoFrame) -> av.VideoFrame:
        """A picture of the part that begins, with the one held for its time shining through.

        Args:
            first: tick of the film from which on it is shown, not before `begin`.
            last: up to which.
            frame: `yuv420p`.

        Returns:
            The same frame once the fade is over, else another of its size and colours.
        """
        if first >= self.end:
            return frame
        before = self._frames[bisect.bisect_right(self._ticks, first) - 1]
        share = ((first + last) / 2 - self.begin) / (self.end - self.begin)
        weight = min(round(256 * share), 256)
        mixed = before.to_ndarray().astype(np.uint16) * (256 - weight) + frame.to_ndarray() * np.uint16(
            weight
        )
        made = av.VideoFrame.from_ndarray(((mixed + 128) >> 8).astype(np.uint8), frame.format.name)
        for name in ('colorspace', 'color_range', 'color_primaries', 'color_trc'):
            setattr(made, name, getattr(frame, name))
        return made
