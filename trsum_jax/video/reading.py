"""A video's frames in order of presentation, and some of them as pictures, in one pass with PyAV."""

import collections
import pathlib
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer

from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.video import tone_mapping
from trsum_jax.video.clock import Clock
from trsum_jax.video.deinterlacing import deinterlaced
from trsum_jax.video.opening import open_input, packets

# MPEG's transport and program streams, as FFmpeg names them.
_MPEG = {'mpegts', 'mpeg'}
# Files whose duration many writers count from 0, whatever the first frame's time is.
_FROM_ZERO = {'matroska', 'nut'}
# Packets before a join that are flagged for it.
_BROKEN_OFF = 3
# Seconds: files are sought by decoding time, which differs from presentation by some frames.
SEEK_MARGIN = 1
# Seconds: a hole in a steady stream of pictures that is worth a word without any other sign of damage.
_HOLE = 0.5


class VideoReader:
    """One pass over a video: frames are decoded once, in order, and only their times are kept.

    Times are presentation times in seconds from the first frame, whatever the file's own clock starts at and
    does on the way (see `clock.Clock`); `notes` says so where it did not run on. They never decrease.
    Interlaced frames come deinterlaced, one for one.

    Attributes:
        path: the file.
        announced: seconds that the file's header promises, or None: for a progress bar, not for arithmetic.
        clock: how the file's clock runs along the frames read so far.
        frame_times: seconds of every frame read so far.
        notes: what a person should know once the pass is over (damage, missing times, a file cut short).
    """

    def __init__(self, path: str | pathlib.Path, *, watch: Callable[[av.VideoFrame], None] | None = None):
        """Opens a video and finds its picture stream.

        Args:
            path: the file.
            watch: called with every frame of `frames` and `sample`.

        Raises:
            InputError: no such file, not a video, or no pictures in it.
        """
        self.path = pathlib.Path(path)
        self._watch = watch
        self.frame_times: list[float] = []
        self.notes: list[str] = []
        self._end = 0.0
        self._container = open_input(path)
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in self._container.streams.video if not s.disposition & cover]
        if not streams:
            found = ', '.join(sorted({s.type for s in self._container.streams})) or 'nothing'
            self._container.close()
            raise InputError(
                f'{shown(path)}: expected a video stream, found only {found}; leave this file out'
            )
        streams = [stream for stream in streams if stream.codec_context is not None]
        if not streams:
            self._container.close()
            raise InputError(
                f'{shown(path)}: its pictures are in a codec that this FFmpeg has no decoder for; expected '
                'h264, hevc, vp8, vp9, av1, mpeg4 or another that it knows. Convert the video first'
            )
        best = self._container.streams.best('video')
        self._stream = best if best in streams else streams[0]
        self._stream.thread_type = 'AUTO'
        if self._stream.duration:
            self.announced = float(self._stream.duration * self._stream.time_base)
        elif self._container.duration:
            self.announced = self._container.duration / av.time_base
        else:
            self.announced = None
        # FFmpeg has several names for some containers.
        self._kinds = {*self._container.format.name.split(',')}
        if self.announced and self._kinds & _FROM_ZERO:
            self.announced -= float(max(0, self._stream.start_time or 0) * self._stream.time_base)
        # Which packet a frame comes from: where it lies in the file, and how often decoding times went back.
        self._stream.codec_context.copy_opaque = True
        # AVI keeps no presentation times: the frames, shown in order, take those of the packets in order.
        self._untimed = 'avi' in self._kinds
        self._is_mpeg = bool(self._kinds & _MPEG)
        self._usual = 1 / (self._stream.average_rate or Fraction(25))
        self.clock = Clock(self._usual, self._is_mpeg)
        self._errors = self._corrupt = self._interlaced = 0
        self._colours = tone_mapping.Colours()

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; what was read of it stays."""
        # Threads that still decode need Python, to let their packets' `opaque` go, when a decoder is freed
        # and waits for them without letting Python go on. So they are waited for here.
        self._stream.codec_context.flush_buffers()
        self._container.close()

    @property
    def origin(self) -> Fraction | None:
        """The first frame's time on the file's own clock, in seconds; None before it is read or without."""
        return self.clock.origin

    @property
    def stream(self) -> av.VideoStream:
        """The picture stream: its tick, the shape of its pixels."""
        return self._stream

    @property
    def n_frames(self) -> int:
        """Number of frames read so far: of the video, once the pass is over."""
        return len(self.frame_times)

    @property
    def duration(self) -> float:
        """Seconds from the first frame's beginning to the end of the last one read."""
        return self._end

    @property
    def fps(self) -> float:
        """Frames per second on average: `n_frames / duration`."""
        return self.n_frames / self._end

    def frames(self) -> Iterator[tuple[int, float, av.VideoFrame]]:
        """Every frame in order of presentation; memory does not grow with the video but for the times.

        Yields:
            index of the frame (0-based), its time in seconds, the decoded frame.

        Raises:
            InputError: nothing decodes.
        """
        for frame in deinterlaced(self._decoded()):
            place, epoch, _, key = frame.opaque or (None, self.clock.restarts + 1, False, False)
            time = self.clock.place(_clock(frame), place, epoch, key)
            lasts = frame.duration * frame.time_base if frame.duration and frame.time_base else self._usual
            self._end = float(time + lasts)
            self.frame_times.append(float(time))
            if self._watch is not None:
                self._watch(frame)
            yield self.n_frames - 1, float(time), frame
        if not self.frame_times:
            raise InputError(
                f'{shown(self.path)}: expected frames, found none that decode; fetch the file again'
            )
        self.notes += [*self.clock.notes(), *self._notes()]

    def _notes(self) -> Iterator[str]:
        """What the pass has found, in words, beside what the clock has."""
        if self._errors:
            yield f'{self._errors} damaged packets left out'
        if self._corrupt:
            yield f'frames that came damaged, and may look it or be lost: {self._corrupt}'
        lost, places, longest = self.clock.missing()
        if lost and (self._is_mpeg or self._errors or self._corrupt or longest >= _HOLE):
            yield f'frames missing: about {lost}, in places: {places} (damage, or the recorder left them out)'
        if self._interlaced:
            yield f'interlaced: {self._interlaced} of {self.n_frames} frames are deinterlaced'
        yield from self._colours.notes()
        one = len(self.clock.parts) < 2
        if one and self.announced and self._end < 0.95 * self.announced - 1:
            yield (
                f'announces {self.announced:.1f} s, but the pictures end at {self._end:.1f} s (cut short, or '
                'the sound goes on); what decodes is used'
            )

    def sample(self, rate: float = 2.0) -> Iterator[tuple[int, float, np.ndarray]]:
        """Frames at a steady rate by presentation time, as pictures the right way up.

        Sample `k` is the first frame at or after `k / rate` seconds. A frame that comes first for several `k`
        (after a gap longer than `1 / rate`, or in a video of fewer frames a second) is given once.

        Args:
            rate: samples per second.

        Yields:
            index of the frame (0-based), its time in seconds, the picture [H, W, 3] uint8 RGB.

        Raises:
            InputError: nothing decodes.
            ValueError: a rate that is not positive.
        """
        takes = at_rate(rate)
        for index, time, frame in self.frames():
            if takes(time):
                yield index, time, picture(frame)

    def from_time(self, seconds: float) -> Iterator[tuple[float, av.VideoFrame]]:
        """The frames from a little before a time, found by seeking; where `clock.runs_on`.

        Args:
            seconds: from the first frame, which must have been read.

        Yields:
            time of the frame in seconds from the first one, the decoded frame.

        Raises:
            ValueError: the file cannot be sought in, or has a frame without a time.
        """
        if self._untimed and self._stream.codec_context.has_b_frames:
            # After a seek decoders give no frame that leans on what was before, and its packet's time stays.
            raise ValueError(f'{shown(self.path)}: has no times of showing')
        try:
            target = self.origin + Fraction(seconds) - SEEK_MARGIN
            self._container.seek(int(target / self._stream.time_base), stream=self._stream)
        except av.error.FFmpegError as error:
            raise ValueError(f'{shown(self.path)}: cannot be sought in') from error
        for frame in deinterlaced(self._decoded()):
            clock = _clock(frame)
            if clock is None:
                raise ValueError(f'{shown(self.path)}: a frame without a time')
            yield float(clock - self.origin), frame

    def _packets(self) -> Iterator[av.Packet]:
        """The packets, each to be decoded before the next one is asked for."""
        return packets(self._container, self._stream, self.notes)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """The frames that decode; a damaged packet costs its frames, a damaged container the rest."""
        times = collections.deque()
        epoch, latest = 0, None
        # A join breaks off the packets before it, which are whole but for their last bytes.
        flagged = collections.deque([False] * _BROKEN_OFF)
        for packet in self._packets():
            # Without decoding times nothing speaks against a clock that starts anew.
            back = packet.dts is None or (latest is not None and packet.dts < latest)
            epoch, latest = epoch + back, packet.dts
            if back:
                flagged = collections.deque([False] * _BROKEN_OFF)
            flagged.append(packet.is_corrupt)
            self._corrupt += flagged.popleft()
            packet.opaque = packet.pos, epoch, packet.is_corrupt, packet.is_keyframe
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                self._errors += 1
                continue
            if self._untimed:
                times.extend([packet.dts] if packet.size else [])
                for frame in decoded:
                    frame.pts = times.popleft() if times else None
            for frame in decoded:
                self._corrupt += frame.is_corrupt and not (frame.opaque and frame.opaque[2])
                self._interlaced += frame.interlaced_frame
                self._colours.settle(frame)
            yield from decoded


def clock_of(path: pathlib.Path) -> Clock:
    """How a video's clock runs, by a pass over all of it.

    Args:
        path: the video.

    Returns:
        The clock, which has seen all frames.

    Raises:
        InputError: as `VideoReader`.
    """
    with VideoReader(path) as reader:
        for _ in reader.frames():
            pass
    return reader.clock


def _clock(frame: av.VideoFrame) -> Fraction | None:
    stamp = frame.pts if frame.pts is not None else frame.dts
    return None if stamp is None else stamp * frame.time_base


def at_rate(rate: float) -> Callable[[float], bool]:
    """Tells of the times of frames, asked in order, which are the first at or after `k / rate` seconds.

    Args:
        rate: samples per second.

    Returns:
        (seconds) -> whether the frame is a sample of `VideoReader.sample`.

    Raises:
        ValueError: a rate that is not positive.
    """
    if not 0 < rate < float('inf'):
        raise ValueError(f'expected a sampling rate above 0 a second, found {rate}')
    wanted = 0

    def takes(time: float) -> bool:
        nonlocal wanted
        if time < wanted / rate:
            return False
        wanted = int(time * rate)
        while wanted / rate <= time:
            wanted += 1
        return True

    return takes


def picture(frame: av.VideoFrame) -> np.ndarray:
    """The frame as it is to be seen: sRGB, turned and mirrored as the file's display matrix says.

    High dynamic range (PQ, HLG) is mapped to that of an ordinary screen.

    Args:
        frame: a decoded frame.

    Returns:
        [H, W, 3] uint8; height and width change places under a quarter turn. Rows may be apart in memory.
    """
    # By this thread: starting others, for every frame anew, costs as much again as the conversion.
    hdr = frame.color_trc in tone_mapping.NAMES
    packed = frame.reformat(format='rgb48le' if hdr else 'rgb24', threads=1).planes[0]
    # The frame's own memory: of 4K a copy has 25 MB.
    of = np.dtype('<u2' if hdr else 'u1')
    strides = packed.line_size, 3 * of.itemsize, of.itemsize
    rgb = np.ndarray((packed.height, packed.width, 3), of, packed, strides=strides)
    if hdr:
        rgb = tone_mapping.to_srgb(rgb, frame.color_trc)
    # `frame.side_data` and the frame would keep each other, and hundreds of pictures, until Python looks for
    # circles.
    display = SideDataContainer(frame).get('DISPLAYMATRIX')
    if display is None:
        return rgb
    # Column vectors (x, y) of the coded frame go to (a x + c y, b x + d y) on the screen.
    a, b, _, c, d = np.frombuffer(display, np.int32)[:5]
    quarter_turn = abs(int(b)) > abs(int(a))
    if quarter_turn:
        rgb = rgb.transpose(1, 0, 2)
    across, down = (c, b) if quarter_turn else (a, d)
    return np.ascontiguousarray(rgb[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])
