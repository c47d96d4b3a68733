"""When every frame of a video is shown, told by its packets, which are not decoded for it."""

import operator
import pathlib
from collections.abc import Callable, Collection
from typing import NamedTuple

import av

from trsum_jax.video.opening import open_input, packets
from trsum_jax.video.reading import VideoReader

# Files that mark their key frames and time every packet.
_FILES = {'mov', 'matroska'}
# Of the first byte of a packet of VP8: the frame is to be shown.
_SHOWN = 0x10


class Stamp(NamedTuple):
    """A packet: when its frame is shown and how long, in ticks; where it lies; whether it is a key frame."""

    shown: int
    place: int | None
    key: bool
    lasts: int


class StampedReader(VideoReader):
    """A pass that may know the times of all frames before it decodes one, and so need not decode all."""

    def __init__(self, path: str | pathlib.Path, *, watch: Callable[[av.VideoFrame], None] | None = None):
        """Opens a video; arguments and errors as `VideoReader`."""
        super().__init__(path, watch=watch)
        self._number: dict[int, int] = {}

    def _take(self, found: list[Stamp]) -> None:
        """Times all frames by their packets, and numbers them."""
        self._number = {stamp.shown: number for number, stamp in enumerate(found)}
        tick = self._stream.time_base
        for stamp in found:
            time = self.clock.place(stamp.shown * tick, stamp.place, 0, stamp.key)
            self.frame_times.append(float(time))
        self._end = float(time + (found[-1].lasts * tick or self._usual))

    def _stamps(self, codecs: Collection[str]) -> tuple[list[Stamp], str]:
        """The packets of all frames, in order of presentation; or none, and what is in the way."""
        if not _FILES.intersection(self._container.format.name.split(',')):
            return [], f'a file of this kind ({self._container.format.name}) does not mark its key frames'
        codec = self._stream.codec_context.codec.canonical_name
        if codec not in codecs:
            return [], f'{codec} has no frame for every packet'
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
                found.append(Stamp(packet.pts, packet.pos, packet.is_keyframe, packet.duration or 0))
        if broken:
            return [], 'it breaks off'
        found.sort(key=operator.itemgetter(0))
        if not found or not found[0].key or len({stamp.shown for stamp in found}) < len(found):
            return [], 'its first frame is no key frame, or several frames have one time'
        return found, ''
