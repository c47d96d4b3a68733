"""When every frame of a video is shown, told by its packets, which are not decoded for it."""

import operator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from trsum_jax.video import references
from trsum_jax.video.clock import Clock, Part
from trsum_jax.video.opening import open_input, packets
from trsum_jax.video.reading import VideoReader

# Files that mark their key frames and time every packet.
_FILES = {'mov', 'matroska'}
# Codecs with one frame in each packet.
_CODECS = ('h264', 'hevc', 'vp8', 'vp9', 'av1', 'mjpeg', 'prores', 'dnxhd')
# Of the first byte of a packet of VP8: the frame is to be shown.
_SHOWN = 0x10


class Stamp(NamedTuple):
    """What a packet tells of its frame.

    Attributes:
        shown: when it is shown, in ticks of the stream.
        place: byte of the file where the packet lies; None where the file does not tell.
        key: whether decoding can begin at the frame.
        lasts: how long it is shown, in ticks; 0 where that is not told.
        reference: whether other frames may be predicted from it; None where that cannot be told.
    """

    shown: int
    place: int | None
    key: bool
    lasts: int
    reference: bool | None


class StampedReader(VideoReader):
    """A pass that may know the times of all frames before it decodes one, and so need not decode all."""

    def _take_times(self, found: list[Stamp]) -> None:
        """Gives all frames, of which there is one at least, the times of their packets."""
        tick = self._stream.time_base
        shown = np.array([stamp.shown for stamp in found])
        # Whole numbers that a float64 holds: the nearest one to each time, as `VideoReader` has it.
        times = (shown - shown[0]) * tick.numerator / tick.denominator
        places = np.maximum.accumulate([stamp.place or 0 for stamp in found])
        keys = np.flatnonzero([stamp.key for stamp in found])
        first, last = found[0], found[-1]
        part = Part(first.place, Fraction(0), -first.shown * tick)
        self.clock = Clock.that_ran_on(part, self._is_mpeg, places, times, keys)
        self.frame_times = times.tolist()
        self._end = float((last.shown - first.shown) * tick + (last.lasts * tick or self._usual))

    def _stamps(self) -> tuple[list[Stamp], str]:
        """The packets of all frames, in order of presentation; or none, and what is in the way."""
        if not self._kinds & _FILES:
            return [], f'a file of this kind ({self._container.format.name}) does not mark its key frames'
        context = self._stream.codec_context
        codec = context.codec.canonical_name
        if codec not in _CODECS:
            return [], f'{codec} has no frame for every packet'
        tells = references.may_tell(context)
        found, latest, broken = [], None, []
        with open_input(self.path) as container:
            for packet in packets(container, container.streams[self._stream.index], broken):
                if (
                    not packet.size
                    or packet.is_discard
                    or (codec == 'vp8' and not memoryview(packet)[0] & _SHOWN)
                ):
                    continue
                # Matroska leaves out the first decoding times.
                decoded = latest if packet.dts is None else packet.dts
                if packet.pts is None or packet.is_corrupt or (latest is not None and decoded < latest):
                    return [], 'its packets are damaged, or have no times'
                latest = decoded
                if tells and references.is_join(context, packet):
                    return [], 'it was joined of several, and may have frames that are never shown'
                reference = references.is_reference(context, packet) if tells else None
                lasts = packet.duration or 0
                found.append(Stamp(packet.pts, packet.pos, packet.is_keyframe, lasts, reference))
        if broken:
            return [], 'it breaks off'
        found.sort(key=operator.itemgetter(0))
        if not found or not found[0].key or len({stamp.shown for stamp in found}) < len(found):
            return [], 'its first frame is no key frame, or several frames have one time'
        return found, ''
