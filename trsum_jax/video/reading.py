"""A video's frames in order of presentation, and some of them as pictures, in one pass with PyAV."""

import collections
import pathlib
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.video.opening import open_input


class VideoReader:
    """One pass over a video: every frame is decoded once, in order, and only its time is kept.

    Times are presentation times in seconds from the first frame, whatever the file's own clock starts at.
    A frame without a time, or before the one already shown (a clock that restarts in mid-file), is placed one
    average frame after it and the clock goes on from there; `notes` says so. So times never decrease.

    Attributes:
        path: the file.
        announced: seconds that the file's header promises, or None: for a progress bar, not for arithmetic.
        origin: the first frame's time on the file's own clock, in seconds; None before it is read or without.
        frame_times: seconds of every frame read so far.
        notes: what a person should know once the pass is over (damage, missing times, a file cut short).
    """

    def __init__(self, path: str | pathlib.Path):
        """Opens a video and finds its picture stream.

        Raises:
            InputError: no such file, not a video, or no pictures in it.
        """
        self.path = pathlib.Path(path)
        self.origin: Fraction | None = None
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

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; what was read of it stays."""
        self._container.close()

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
        usual = 1 / (self._stream.average_rate or Fraction(25))
        start, previous = None, None
        untimed = restarts = 0
        for frame in self._decoded():
            clock = _clock(frame)
            if previous is None:
                start, time = clock, Fraction(0)
                self.origin = clock
            elif clock is None or start is None:
                untimed += 1
                time = previous + usual
                start = None if clock is None else clock - time
            elif clock - start < previous:
                restarts += 1
                time = previous + usual
                start = clock - time
            else:
                time = clock - start
            lasts = frame.duration * frame.time_base if frame.duration and frame.time_base else usual
            previous, self._end = time, float(time + lasts)
            self.frame_times.append(float(time))
            yield self.n_frames - 1, float(time), frame
        if not self.frame_times:
            raise InputError(
                f'{shown(self.path)}: expected frames, found none that decode; fetch the file again'
            )
        if untimed:
            self.notes.append(f'{untimed} frames have no time; placed at {float(1 / usual):.4g} a second')
        if restarts:
            self.notes.append(f'the clock goes back {restarts} times; the frames are taken as consecutive')
        if self.announced and self._end < 0.95 * self.announced - 1:
            self.notes.append(
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
        if not 0 < rate < float('inf'):
            raise ValueError(f'expected a sampling rate above 0 a second, found {rate}')
        wanted = 0
        for index, time, frame in self.frames():
            if time < wanted / rate:
                continue
            wanted = int(time * rate)
            while wanted / rate <= time:
                wanted += 1
            yield index, time, picture(frame)

    def from_time(self, seconds: float) -> Iterator[tuple[float, av.VideoFrame]]:
        """The frames from a little before a time, found by seeking; for a file whose clock never goes back.

        Args:
            seconds: from the first frame, which must have been read.

        Yields:
            time of the frame in seconds from the first one, the decoded frame.

        Raises:
            ValueError: the file cannot be sought in, or has a frame without a time.
        """
        try:
            # Files are sought by decoding time, which differs from presentation by some frames.
            target = self.origin + Fraction(seconds) - 1
            self._container.seek(int(target / self._stream.time_base), stream=self._stream)
        except av.error.FFmpegError as error:
            raise ValueError(f'{shown(self.path)}: cannot be sought in') from error
        for frame in self._decoded():
            clock = _clock(frame)
            if clock is None:
                raise ValueError(f'{shown(self.path)}: a frame without a time')
            yield float(clock - self.origin), frame

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """The frames that decode; a damaged packet costs its frames, a damaged container the rest.

        AVI keeps no presentation times: the frames, shown in order, take the packets' times in order.
        """
        damaged = 0
        untimed = 'avi' in self._container.format.name.split(',')
        times = collections.deque()
        for packet in packets(self._container, self._stream, self.notes):
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                damaged += 1
                continue
            if untimed:
                times.extend([packet.dts] if packet.size else [])
                for frame in decoded:
                    frame.pts = times.popleft() if times else None
            yield from decoded
        if damaged:
            self.notes.append(f'{damaged} damaged packets left out')


def _clock(frame: av.VideoFrame) -> Fraction | None:
    stamp = frame.pts if frame.pts is not None else frame.dts
    return None if stamp is None else stamp * frame.time_base


def packets(container: av.container.InputContainer, stream: av.stream.Stream, notes: list[str]) -> Iterator:
    """The packets of a stream up to where the file breaks off, which is noted.

    Args:
        container: an open file.
        stream: one of its streams.
        notes: gets a line if the file breaks off.

    Yields:
        av.Packet.
    """
    found = container.demux(stream)
    while True:
        try:
            packet = next(found, None)
        except av.error.FFmpegError as error:
            notes.append(f'breaks off ({error.strerror}); the part before it is used')
            return
        if packet is None:
            return
        yield packet


def picture(frame: av.VideoFrame) -> np.ndarray:
    """The frame as it is to be seen: RGB, turned and mirrored as the file's display matrix says.

    Args:
        frame: a decoded frame.

    Returns:
        [H, W, 3] uint8; height and width change places under a quarter turn.
    """
    rgb = frame.to_ndarray(format='rgb24')
    display = frame.side_data.get('DISPLAYMATRIX')
    if display is None:
        return rgb
    # Column vectors (x, y) of the coded frame go to (a x + c y, b x + d y) on the screen.
    a, b, _, c, d = np.frombuffer(display, np.int32)[:5]
    quarter_turn = abs(int(b)) > abs(int(a))
    if quarter_turn:
        rgb = rgb.transpose(1, 0, 2)
    across, down = (c, b) if quarter_turn else (a, d)
    return np.ascontiguousarray(rgb[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])
