"""A video by its key frames alone, which decode without the frames between them: some ten times faster."""

import itertools
import operator
import pathlib
from collections.abc import Callable, Iterator

import av
import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.video import cuts, tone_mapping
from trsum_jax.video.deinterlacing import deinterlaced
from trsum_jax.video.encoders.encoder import Encoder
from trsum_jax.video.opening import open_input
from trsum_jax.video.reading import VideoReader, packets, picture

# Files that mark their key frames and time every packet, and codecs with one frame in each.
_FILES = {'mov', 'matroska'}
_CODECS = ('h264', 'hevc', 'vp8', 'vp9', 'av1', 'mjpeg', 'prores', 'dnxhd')
# Of the first byte of a packet of VP8: the frame is to be shown.
_SHOWN = 0x10
# Seconds from one key frame to the next, on average, with which nothing is seen of most scenes; and how many
# have an order: of two, the change from one to the other is that of both.
_SPARSE, _FEWEST = 12.0, 3
# An encoder that sees a scene begin sets a key frame before its turn: after less than this share of the
# longest distance of two. Where only one is as long, none is regular.
_EARLY = 0.9
# Change of a frame: too little to be taken for a cross-fade, and more than still pictures have.
_MOVES = 0.39


class KeyFrameReader(VideoReader):
    """A pass that decodes key frames alone; every frame has its time, the others that of their packets.

    Where packets do not tell it, or key frames are too few (`notes` says so), all frames are decoded, as
    `VideoReader` does.
    """

    def __init__(self, path: str | pathlib.Path, *, watch: Callable[[av.VideoFrame], None] | None = None):
        """Opens a video and reads, of all its packets, when they are shown.

        Args:
            path: the file.
            watch: called with every frame that is decoded.

        Raises:
            InputError: as `VideoReader`.
        """
        super().__init__(path, watch=watch)
        self._rate, self._slot = None, -1
        self._number: dict[int, int] = {}
        found, why = self._stamps()
        if why:
            self.notes.append(f'all frames are decoded: {why}')
            return
        self._number = {stamp: number for number, (stamp, *_) in enumerate(found)}
        tick = self._stream.time_base
        for stamp, place, key, _ in found:
            self.frame_times.append(float(self.clock.place(stamp * tick, place, 0, key)))
        self._end = self.frame_times[-1] + float(found[-1][3] * tick or self._usual)

    def frames(self) -> Iterator[tuple[int, float, av.VideoFrame]]:
        """The key frames, as `VideoReader.frames` gives all; raises what it does."""
        if not self._number:
            yield from super().frames()
            return
        found = False
        for frame in deinterlaced(self._alone()):
            if (index := self._number.get(frame.pts)) is not None:
                found = True
                if self._watch is not None:
                    self._watch(frame)
                yield index, self.frame_times[index], frame
        if not found:
            raise InputError(f'{shown(self.path)}: expected key frames, found none that decode')
        self.notes += self._notes()

    def sample(self, rate: float = 2.0) -> Iterator[tuple[int, float, np.ndarray]]:
        """The first key frame of every `1 / rate` seconds, as `VideoReader.sample` gives frames."""
        if not self._number:
            yield from super().sample(rate)
            return
        self._rate = rate
        for index, time, frame in self.frames():
            yield index, time, picture(frame)

    def _alone(self) -> Iterator[av.VideoFrame]:
        """The key frames that are asked for, each decoded as if the file began there.

        Without the frames between, a decoder takes the order of key frames for another one (HEVC counts up to
        256), or makes up what it misses.
        """
        # Frames side by side would all be waited for.
        self._stream.thread_type = 'SLICE'
        context = self._stream.codec_context
        for packet in packets(self._container, self._stream, self.notes):
            if not self._takes(packet):
                continue
            try:
                decoded = [*packet.decode(), *context.decode(None)]
            except av.error.FFmpegError:
                self._errors += 1
                decoded = []
            context.flush_buffers()
            for frame in decoded:
                frame.time_base = self._stream.time_base
                if frame.color_trc in tone_mapping.NAMES:
                    self._hdr = frame.color_trc
                yield frame

    def _takes(self, packet: av.Packet) -> bool:
        if not packet.size or not packet.is_keyframe or packet.pts not in self._number:
            return False
        if self._rate is None:
            return True
        slot = int(self.frame_times[self._number[packet.pts]] * self._rate)
        taken, self._slot = slot > self._slot, slot
        return taken

    def _stamps(self) -> tuple[list[tuple[int, int | None, bool, int]], str]:
        """Of every packet that is shown: time, place, whether key, and ticks; or what is in the way."""
        if not _FILES.intersection(self._container.format.name.split(',')):
            return [], f'a file of this kind ({self._container.format.name}) does not mark its key frames'
        codec = self._stream.codec_context.codec.canonical_name
        if codec not in _CODECS:
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
                found.append((packet.pts, packet.pos, packet.is_keyframe, packet.duration or 0))
        if broken:
            return [], 'it breaks off'
        found.sort(key=operator.itemgetter(0))
        stamps = [stamp for stamp, *_ in found]
        if not found or not found[0][2] or len(set(stamps)) < len(stamps):
            return [], 'its first frame is no key frame, or several frames have one time'
        keys = sum(key for *_, key, _ in found)
        sparse = (keys - 1) * _SPARSE < (stamps[-1] - stamps[0]) * self._stream.time_base
        if sparse or keys < min(_FEWEST, len(found)):
            return [], f'it has only {keys} key frame{"s" * (keys > 1)}'
        return found, ''


def refuse_clips(encoder: Encoder) -> None:
    """Raises InputError for an encoder that wants the frames between."""
    if encoder.clip > 1:
        raise InputError(
            f'--fast: expected an encoder of single pictures, found one of clips ({encoder.name}); leave out '
            '--fast, or choose another'
        )


def spread(seen: cuts.Changes, video: Video) -> cuts.Changes:
    """What is known of all frames from those that were decoded: all of them, or key frames.

    A key frame before its turn is where a scene begins, if its picture differs enough. Elsewhere frames
    change a little where the key frames around them differ, and not at all where they do not; of fades and
    blur nothing is known.

    Args:
        seen: of the decoded frames, one after another.
        video: whose frames, or else picks, they are; with its clock.

    Returns:
        Of all frames.
    """
    if len(seen.change) == video.n_frames:
        return seen
    n, picks = video.n_frames, video.picks
    change, lasting = np.zeros(n, np.float32), np.zeros(n, np.float32)
    keys = np.array(video.clock.keys)
    apart = np.diff(keys, prepend=0)
    regular = apart >= _EARLY * apart.max()
    early = set(keys[~regular if regular.sum() > 1 else slice(None)].tolist())
    per_frame = _MOVES
    for (before, pick), difference in zip(itertools.pairwise(picks), seen.change[1:], strict=True):
        if int(pick) not in early:
            per_frame = min(difference / video.fps, _MOVES)
        change[before + 1 : pick + 1] = per_frame
        if int(pick) in early:
            change[pick] = lasting[pick] = difference
    change[picks[-1] + 1 :] = per_frame
    return cuts.Changes(change, lasting, *np.ones((3, n), np.float32))
