"""Some frames of a video by number, without decoding the whole of it where that can be done exactly."""

import bisect
import itertools
from collections.abc import Iterator, Sequence

import av
import numpy as np

from trsum_jax.video.clock import Clock
from trsum_jax.video.reading import SEEK_MARGIN, VideoReader

# Frames that emptying and filling the decoder is worth.
_RESTART = 8


def frames_among(
    reader: VideoReader, spans: np.ndarray, frame_times: np.ndarray, clock: Clock | None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """The frames of some spans, numbered as `VideoReader.frames` numbers them; long gaps are skipped.

    A first pass has given the times of all frames: they tell which frame a seek has led to. Where it led to
    none of them, or past the one wanted, the video is decoded through from its beginning instead.

    Args:
        reader: of the video, unread.
        spans: [n, 2] int, first and last frame, both inclusive; ascending, without overlap.
        frame_times: [n_frames] float, seconds, from an earlier pass.
        clock: from that pass; only a file whose clock is known to run on is sought in: another may have
            several frames of one stamp.

    Yields:
        index of the frame, the decoded frame; fewer than asked for where the video ends before.

    Raises:
        InputError: nothing decodes.
    """
    last_given = -1
    try:
        for index, frame in _leaping(reader, spans, np.asarray(frame_times), clock):
            yield index, frame
            last_given = index
    except _LostError:
        with VideoReader(reader.path) as again:
            for index, _, frame in again.frames():
                span = np.searchsorted(spans[:, 1], index)
                if span == len(spans):
                    break
                if index > last_given and spans[span, 0] <= index:
                    yield index, frame


class _LostError(Exception):
    """A seek has led to a place that cannot be told."""


def _leaping(
    reader: VideoReader, spans: np.ndarray, times: np.ndarray, clock: Clock | None
) -> Iterator[tuple[int, av.VideoFrame]]:
    through = ((index, frame) for index, _, frame in reader.frames())
    frames = itertools.chain([next(through)], through)
    # What is decoded no further would keep its last frame.
    del through
    steady = clock is not None and clock.runs_on and bool(np.all(np.diff(times) > 0))
    coming, sought = 0, False
    for first, last in spans.tolist():
        if steady and _saves(coming, first, times, clock.keys):
            frames, sought = _from(reader, first, times), True
        for index, frame in frames:
            coming = index + 1
            if index >= first:
                yield index, frame
            if index >= last:
                break
        if sought and coming <= last:
            raise _LostError


def _saves(coming: int, first: int, times: np.ndarray, keys: Sequence[int]) -> bool:
    """Whether a seek comes nearer to a frame than decoding has come; it goes where `from_time` asks for."""
    before = bisect.bisect_right(keys, times[first] - SEEK_MARGIN, key=times.__getitem__)
    return before > 0 and keys[before - 1] > coming + _RESTART


def _from(reader: VideoReader, first: int, times: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames from `first` or a little before it, after a seek."""
    slack = np.diff(times).min() / 2
    previous = -1
    try:
        for time, frame in reader.from_time(times[first]):
            index = int(np.searchsorted(times, time - slack))
            known = index < len(times) and abs(times[index] - time) < slack
            follows = index == previous + 1 if index > first else index > previous
            if not known or not follows or (index >= first and frame.is_corrupt):
                raise _LostError
            previous = index
            yield index, frame
    except ValueError as error:
        raise _LostError from error
