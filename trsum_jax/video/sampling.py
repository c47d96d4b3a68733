"""Frames at a steady rate, without decoding frames that are neither samples nor references of others."""

import pathlib
from collections.abc import Iterator

import av
import numpy as np

from trsum_jax.video import references
from trsum_jax.video.reading import at_rate, picture
from trsum_jax.video.stamps import StampedReader


class MisledError(Exception):
    """The packets do not tell what decoding gives: the video has to be decoded whole."""


class SampleReader(StampedReader):
    """A pass that gives the samples and times of `VideoReader`, and decodes less of the video.

    They are the same bits, of a file that is whole. Damage in a frame that is passed over is not seen: such a
    frame counts as one, and its time is that of its packet.
    """

    def __init__(self, path: str | pathlib.Path):
        """Opens a video.

        Args:
            path: the file.

        Raises:
            InputError: as `VideoReader`.
        """
        super().__init__(path)
        # Times of the packets that are decoded, in ticks; None: of all.
        self._decode: set[int] | None = None

    def sample(self, rate: float = 2.0) -> Iterator[tuple[int, float, np.ndarray]]:
        """As `VideoReader.sample`; the reader is used up by it.

        Raises:
            InputError, ValueError: as there.
            MisledError: a decoded frame is damaged or interlaced, or one did not come in its order. Samples
                that were given before are not to be used.
        """
        takes, context = at_rate(rate), self._stream.codec_context
        found = self._stamps()[0] if references.may_tell(context) else []
        if not found or any(stamp.reference is None for stamp in found):
            yield from super().sample(rate)
            return
        self._take_times(found)
        # What lacks may be a reference.
        if self.clock.missing()[0]:
            raise MisledError
        wanted = {found[index].shown: index for index, time in enumerate(self.frame_times) if takes(time)}
        due = [stamp.shown for stamp in found if stamp.reference or stamp.shown in wanted]
        del found
        self._decode = set(due)
        due.reverse()
        for frame in self._decoded():
            if self._errors or self._corrupt or self._interlaced or not due or frame.pts != due.pop():
                raise MisledError
            if (index := wanted.get(frame.pts)) is not None:
                yield index, self.frame_times[index], picture(frame)
        if due or self._errors or self._corrupt:
            raise MisledError
        self.notes += [*self.clock.notes(), *self._notes()]

    def _packets(self) -> Iterator[av.Packet]:
        """All packets. The decoder passes over some, of which it reads the heads: much damage shows there.

        The setting that says so holds for the next packet alone, for each is decoded before another is given.
        """
        for packet in super()._packets():
            if self._decode is not None:
                # What an edit list leaves out may be a reference, and counts as one.
                needed = not packet.size or packet.is_discard or packet.pts in self._decode
                self._stream.codec_context.skip_frame = 'DEFAULT' if needed else 'NONREF'
            yield packet
