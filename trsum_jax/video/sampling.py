"""Frames at a steady rate, without decoding those that no other frame leans on."""

from collections.abc import Iterator

import av
import numpy as np

from trsum_jax.video.reading import at_rate, picture
from trsum_jax.video.stamps import StampedReader

# Codecs whose decoders pass over frames that no other frame leans on.
_CODECS = ('h264', 'hevc')
# Of the 22nd byte of HEVC's head in a file: the number of temporal layers. A frame that none of its own layer
# leans on may be leant on by those of a higher one, which the decoder does not heed.
_LAYERS = 21


class MisledError(Exception):
    """The packets do not tell what decoding gives: the video has to be decoded whole."""


class SampleReader(StampedReader):
    """A pass that gives the samples and the times that `VideoReader` gives, and decodes less of the video.

    Of films as they are made, a quarter to two thirds of all frames are leant on by none; h264 says so
    (`nal_ref_idc`, clause 7.4.1 of ITU-T H.264), and HEVC where it has one temporal layer.
    """

    def sample(self, rate: float = 2.0) -> Iterator[tuple[int, float, np.ndarray]]:
        """As `VideoReader.sample`.

        Raises:
            InputError, ValueError: as there.
            MisledError: a frame is damaged, lacks or is interlaced; nothing is known then that can be used.
        """
        context = self._stream.codec_context
        found, why = self._stamps(_CODECS)
        if why or (context.codec.canonical_name == 'hevc' and _layers(context.extradata) != 1):
            yield from super().sample(rate)
            return
        self._take(found)
        self._wanted = {found[index].shown for index, _ in at_rate(enumerate(self.frame_times), rate)}
        left = sorted(self._wanted, reverse=True)
        for frame in self._decoded():
            if self._errors or self._corrupt or self._interlaced:
                raise MisledError
            if frame.pts not in self._wanted:
                continue
            if not left or frame.pts != left.pop():
                raise MisledError
            index = self._number[frame.pts]
            yield index, self.frame_times[index], picture(frame)
        if left or self._errors or self._corrupt:
            raise MisledError
        self.notes += [*self.clock.notes(), *self._notes()]

    def _packets(self) -> Iterator[av.Packet]:
        for packet in super()._packets():
            if self._number:
                kept = packet.pts in self._wanted
                self._stream.codec_context.skip_frame = 'DEFAULT' if kept else 'NONREF'
            yield packet


def _layers(head: bytes | None) -> int:
    """How many temporal layers a HEVC file says that it has; 0 where it says nothing."""
    return head[_LAYERS] >> 3 & 7 if head and head[0] == 1 and len(head) > _LAYERS else 0
