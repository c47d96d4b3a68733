"""A video's sound by the clock of its pictures: any stretch of it as samples, silence where there is none."""

import pathlib
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from trsum_jax.video.opening import open_input
from trsum_jax.video.reading import packets

_LAYOUTS = {1: 'mono', 2: 'stereo', 6: '5.1'}
# Containers round times to a millisecond; a step that is less is no gap.
_TOLERANCE = 0.01
# Decoders need some packets before the one wanted to have settled.
_RUN_UP = 1.0


class SoundReader:
    """One pass over the sound of a video; samples are counted from the video's first frame.

    A clock that goes back (files joined end to end) is taken as going on, as `VideoReader` takes it.

    Attributes:
        rate: samples per second, one that AAC has: the file's own, or 48,000.
        layout: `mono`, `stereo` or `5.1`, the nearest to the file's own.
        n_channels: of that layout.
        notes: what a person should know (damage).
    """

    def __init__(self, container: av.container.InputContainer, stream: av.AudioStream, origin: Fraction):
        """Begins a pass; see `open_sound`."""
        self._container, self._stream, self._origin = container, stream, origin
        rates = av.Codec('aac', 'w').audio_rates or [48_000]
        self.rate = stream.rate if stream.rate in rates else 48_000
        self.layout = _LAYOUTS.get(stream.channels, 'stereo' if stream.channels < 6 else '5.1')
        self.n_channels = av.AudioLayout(self.layout).nb_channels
        self.notes: list[str] = []
        self._wanted = 0
        self._block = (0, np.zeros((self.n_channels, 0), np.float32))
        self._blocks = self._decoded()

    def __enter__(self) -> 'SoundReader':
        return self

    def __exit__(self, *_) -> None:
        self._container.close()

    def read(self, first: int, last: int) -> np.ndarray:
        """Samples `first` up to `last`; every call begins where the one before ended, or later.

        Args:
            first: sample, counted from the video's first frame.
            last: the one after the last; above `first`.

        Returns:
            [n_channels, last - first] float32 in [-1, 1]; zero where the file has no sound.
        """
        heard = np.zeros((self.n_channels, last - first), np.float32)
        self._wanted = first
        while self._block is not None:
            begin, samples = self._block
            end = begin + samples.shape[1]
            here, there = max(first, begin), min(last, end)
            if here < there:
                heard[:, here - first : there - first] = samples[:, here - begin : there - begin]
            if end >= last:
                break
            self._block = next(self._blocks, None)
        return heard

    def _packets(self) -> Iterator[tuple[av.Packet, int]]:
        """Those packets that can be heard from the wanted sample on, each with its clock's shift in ticks."""
        tick = self._stream.time_base
        shift, latest, end = 0, None, 0
        for packet in packets(self._container, self._stream, self.notes):
            if packet.pts is not None:
                if latest is not None and packet.pts + shift < latest:
                    shift = end - packet.pts
                latest = packet.pts + shift
                end = latest + (packet.duration or 0)
                if end * tick - self._origin + Fraction(_RUN_UP) < Fraction(self._wanted, self.rate):
                    continue
            yield packet, shift

    def _decoded(self) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks [n_channels, n] with the place of their first sample; ascending, without overlap."""
        end, damaged = None, 0
        form, resampler = None, None
        for packet, shift in self._packets():
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                if form != (frame.format.name, frame.layout.name, frame.sample_rate):
                    form = (frame.format.name, frame.layout.name, frame.sample_rate)
                    resampler = av.AudioResampler('fltp', self.layout, self.rate)
                for block in resampler.resample(frame):
                    samples = block.to_ndarray()
                    place = end or 0
                    if block.pts is not None:
                        seconds = block.pts * block.time_base + shift * self._stream.time_base - self._origin
                        place = round(seconds * self.rate)
                    if end is not None and place - end < _TOLERANCE * self.rate:
                        place = end
                    end = place + samples.shape[1]
                    yield place, samples
        if damaged:
            self.notes.append(f'{damaged} damaged packets of sound left out')


def open_sound(path: pathlib.Path, origin: Fraction) -> tuple[SoundReader | None, list[str]]:
    """Opens the sound that belongs to a video.

    Args:
        path: the video.
        origin: the time of its first frame on the file's own clock, in seconds.

    Returns:
        None where the file has no sound, or none that decodes; and a note of the latter.
    """
    container = open_input(path)
    stream = container.streams.best('audio') or next(iter(container.streams.audio), None)
    if stream is not None and stream.codec_context is not None and stream.rate and stream.channels:
        for other in container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        return SoundReader(container, stream, origin), []
    container.close()
    return None, [] if stream is None else ['its sound does not decode here; the summary is silent']
