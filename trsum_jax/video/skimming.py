"""A video by its key frames alone, which decode without the frames between them, several times faster."""

import collections
import concurrent.futures
import contextlib
import itertools
import pathlib
import queue
from collections.abc import Callable, Iterator

import av
import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.video import cuts
from trsum_jax.video.deinterlacing import deinterlaced
from trsum_jax.video.encoders.encoder import Encoder
from trsum_jax.video.opening import cores, open_input, packets
from trsum_jax.video.reading import picture
from trsum_jax.video.stamps import StampedReader

# Seconds from one key frame to the next, on average, with which nothing is seen of most scenes; and how many
# have an order: of two, the change from one to the other is that of both.
_SPARSE, _FEWEST = 12.0, 3
# Decoders side by side at most: each holds the file's index and a few frames.
_DECODERS = 8
# An encoder that sees a scene begin sets a key frame before its turn: after less than this share of the
# longest distance of two. Where only one is as long, none is regular.
_EARLY = 0.9
# Change of a frame: too little to be taken for a cross-fade, and more than still pictures have.
_MOVES = 0.39


class KeyFrameReader(StampedReader):
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
        # Numbers of the key frames, by their times in ticks.
        self._number: dict[int, int] = {}
        found, why = self._stamps()
        if not why:
            keys = sum(stamp.key for stamp in found)
            sparse = (keys - 1) * _SPARSE < (found[-1].shown - found[0].shown) * self._stream.time_base
            if sparse or keys < min(_FEWEST, len(found)):
                why = f'it has only {keys} key frame{"s" * (keys > 1)}'
        if why:
            self.notes.append(f'all frames are decoded: {why}')
        else:
            self._take_times(found)
            self._number = {stamp.shown: number for number, stamp in enumerate(found) if stamp.key}

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
        wanted = (
            packet for packet in packets(self._container, self._stream, self.notes) if self._takes(packet)
        )
        for decoded in self._side_by_side(wanted):
            self._errors += decoded is None
            for frame in decoded or ():
                frame.time_base = self._stream.time_base
                self._colours.settle(frame)
                yield frame

    def _side_by_side(self, wanted: Iterator[av.Packet]) -> Iterator[list[av.VideoFrame] | None]:
        """The frames of every packet, in order, from several decoders; None where it does not decode.

        A decoder's own threads would wait for each frame, since it is emptied after it.
        """
        count, contexts, idle = cores(_DECODERS), [], queue.SimpleQueue()
        pool = concurrent.futures.ThreadPoolExecutor(count, 'decode')
        # The pool has come to its end before decoders are closed.
        with contextlib.ExitStack() as stack, pool:

            def more(enough: int) -> None:
                while len(contexts) < enough:
                    container = stack.enter_context(open_input(self.path))
                    contexts.append(container.streams[self._stream.index].codec_context)
                    contexts[-1].thread_count = 1
                    idle.put(contexts[-1])

            waiting = collections.deque()
            for packet in wanted:
                if packet.has_sidedata('new_extradata'):
                    # What holds for all packets from here on is told once, and every decoder has to hear it.
                    while waiting:
                        yield waiting.popleft().result()
                    more(count)
                    decoded, *_ = [_decoded_alone(packet, idle) for _ in contexts]
                    yield decoded
                    continue
                more(min(len(waiting) + 1, count))
                waiting.append(pool.submit(_decoded_alone, packet, idle))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _takes(self, packet: av.Packet) -> bool:
        if not packet.size or not packet.is_keyframe or packet.pts not in self._number:
            return False
        if self._rate is None:
            return True
        slot = int(self.frame_times[self._number[packet.pts]] * self._rate)
        taken, self._slot = slot > self._slot, slot
        return taken


def _decoded_alone(packet: av.Packet, idle: queue.SimpleQueue) -> list[av.VideoFrame] | None:
    """The frames of a packet by the decoder that is idle for longest, as if the file began there."""
    context = idle.get()
    try:
        return [*context.decode(packet), *context.decode(None)]
    except av.error.FFmpegError:
        return None
    finally:
        context.flush_buffers()
        idle.put(context)


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
