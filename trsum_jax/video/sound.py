"""A video's sound by the clock of its pictures: any stretch of it as samples, silence where there is none."""

import math
import pathlib
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from trsum_jax.video.clock import Clock, Following
from trsum_jax.video.opening import open_input, packets, tags_of

# What mp4 calls a title, and what it says where there is none.
_TITLES, _NO_TITLES = ('title', 'name', 'handler_name'), {'', 'SoundHandler'}
_LAYOUTS = {1: 'mono', 2: 'stereo', 6: '5.1'}
# Containers round times to a millisecond; a step that is less is no gap.
_TOLERANCE = 0.01
# Decoders need some packets before the one wanted to have settled.
_RUN_UP = 1.0


class SoundReader:
    """One pass over a sound track of a video; samples are counted from the video's first frame.

    Where the file's clock starts anew, the sound takes the shift of the pictures (`clock.Following`).

    Attributes:
        rate: samples per second, one that the codec of the summary has: the file's own, or 48,000.
        layout: `mono`, `stereo` or `5.1`, the nearest to the file's own.
        n_channels: of that layout.
        bit_rate: bits per second of the track in the file; None where it does not say.
        tags: the track's `language` and `title`, as far as it has them.
        disposition: whether it is the default one, a comment, …
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.AudioStream,
        clock: Clock,
        codec: str = 'aac',
        rate: int | None = None,
        layout: str | None = None,
    ):
        """Begins a pass; see `open_sound`."""
        self._container, self._stream, self._clock = container, stream, clock
        rates = av.Codec(codec, 'w').audio_rates or [48_000]
        self.rate = rate or (stream.rate if stream.rate in rates else 48_000)
        own = _LAYOUTS.get(stream.channels, 'stereo' if stream.channels < 6 else '5.1')
        self.layout = layout or own
        self.n_channels = av.AudioLayout(self.layout).nb_channels
        # Of AAC in a stream it is a guess from the first packets, which may be silence.
        guessed = 'aac' in stream.codec_context.name and 'mp4' not in container.format.name
        self.bit_rate = None if guessed else stream.codec_context.bit_rate or None
        self.tags = track_tags(stream)
        self.disposition = stream.disposition
        self._breaks: list[str] = []
        self._damaged = self._unmixed = 0
        self._wanted = 0
        self._block = (0, np.zeros((self.n_channels, 0), np.float32))
        self._blocks = self._decoded()

    def __enter__(self) -> 'SoundReader':
        return self

    def __exit__(self, *_) -> None:
        self._container.close()

    @property
    def notes(self) -> list[str]:
        """What a person should know of what was read so far: damage, what cannot be mixed."""
        notes = [*self._breaks]
        if self._damaged:
            notes.append(f'{self._damaged} damaged packets of sound left out')
        if self._unmixed:
            what = 'their channels cannot be mixed to'
            notes.append(f'{self._unmixed} frames of sound left out: {what} {self.layout}')
        return notes

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

    def _packets(self) -> Iterator[tuple[av.Packet, Fraction, float]]:
        """The packets that can be heard from the wanted sample on, with `Following.shift` of each."""
        tick = self._stream.time_base
        following = Following(self._clock)
        shift, until = Fraction(0), math.inf
        for packet in packets(self._container, self._stream, self._breaks):
            if packet.pts is not None:
                lasts = (packet.duration or 0) * tick
                found = following.shift(packet.pts * tick, lasts, packet.pos)
                if found is None:
                    continue
                shift, until = found
                heard = packet.pts * tick + lasts + shift + Fraction(_RUN_UP)
                if heard < Fraction(self._wanted, self.rate):
                    continue
            yield packet, shift, until

    def _decoded(self) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks [n_channels, n] with the place of their first sample; ascending, without overlap."""
        end = None
        form, resampler, last_shift = None, None, None
        for packet, shift, until in self._packets():
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self._damaged += 1
                continue
            for frame in frames:
                exactly = shift != last_shift
                if exactly or form != (frame.format.name, frame.layout.name, frame.sample_rate):
                    form = (frame.format.name, frame.layout.name, frame.sample_rate)
                    resampler = av.AudioResampler('fltp', self.layout, self.rate)
                last_shift = shift
                try:
                    blocks = resampler.resample(frame)
                except av.error.FFmpegError:
                    # It may not be used again.
                    form = None
                    self._unmixed += 1
                    continue
                for block in blocks:
                    samples = block.to_ndarray()
                    place = end or 0
                    if block.pts is not None:
                        place = round((block.pts * block.time_base + shift) * self.rate)
                    if end is not None and not exactly and abs(place - end) < _TOLERANCE * self.rate:
                        place = end
                    exactly = False
                    # What another block has said already, or pictures of a later part are shown to.
                    first = 0 if end is None else max(0, end - place)
                    last = samples.shape[1]
                    if until < math.inf:
                        last = min(last, round(until * self.rate) - place)
                    if first < last:
                        end = place + last
                        yield place + first, samples[:, first:last]


def open_sound(
    path: pathlib.Path,
    clock: Clock,
    which: str = 'all',
    codec: str = 'aac',
    *,
    rate: int | None = None,
    layout: str | None = None,
) -> tuple[list[SoundReader], list[str]]:
    """Opens the sound that belongs to a video.

    Args:
        path: the video.
        clock: of its pictures, all of which it has seen.
        which: `all` tracks, the `main` one, or `none`.
        codec: FFmpeg's name of the one that it will be written in, whose rates it gets.
        rate: samples per second, in place of the file's own.
        layout: `mono`, `stereo` or `5.1`, in place of the file's own.

    Returns:
        The tracks that decode, in the file's order, each to be closed; and notes of those that do not, or
        have other channels than before.
    """
    opened, notes, silent = [], [], 0
    for index in sound_tracks(path, which):
        container = open_input(path)
        stream = container.streams[index]
        if not decodes(stream):
            container.close()
            silent += 1
            continue
        for other in container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        opened.append(SoundReader(container, stream, clock, codec, rate, layout))
        if layout is None and opened[-1].n_channels != stream.channels:
            notes.append(f'sound of {stream.channels} channels is written as {opened[-1].layout}')
    if silent and not opened:
        return [], ['its sound does not decode here; the summary is silent']
    if silent:
        notes.append(f'{silent} of its sound tracks do not decode here and are left out')
    return opened, notes


def sound_tracks(path: pathlib.Path, which: str = 'all') -> list[int]:
    """The streams of a video that are its sound.

    Args:
        path: the video.
        which: `all` tracks, the `main` one (the file's default, else the one with most channels, as far as
            they decode), or `none`.

    Returns:
        Their numbers in the file, in order.
    """
    with open_input(path) as container:
        tracks = list(container.streams.audio)
        if which == 'main' and tracks:
            # Of several programs, as receivers record them, the sound is of the one with the pictures.
            pictures = container.streams.best('video')
            best = container.streams.best('audio', related=pictures)
            default = av.stream.Disposition.default
            able = [one for one in tracks if decodes(one)]
            if able and best not in able:
                best = max(able, key=lambda one: (bool(one.disposition & default), one.channels))
            tracks = [best or tracks[0]]
        return [stream.index for stream in tracks if which != 'none']


def decodes(stream: av.AudioStream) -> bool:
    """Whether a sound track is in a codec that there is a decoder for, and has any sound."""
    return stream.codec_context is not None and bool(stream.rate and stream.channels)


def track_tags(stream: av.AudioStream) -> dict[str, str]:
    """A track's `language` and `title`, as far as it has them."""
    tags = tags_of(stream)
    found = {'language': tags.get('language', 'und')}
    titles = [tags.get(name, '') for name in _TITLES]
    found['title'] = next((title for title in titles if title not in _NO_TITLES), '')
    return {name: value for name, value in found.items() if value not in ('', 'und')}


def sound_frame(samples: np.ndarray, layout: str, rate: int, place: int) -> av.AudioFrame:
    """Samples as an encoder takes them.

    Args:
        samples: [n_channels, n] float32 in [-1, 1].
        layout: of the channels.
        rate: samples per second.
        place: of the first one, in samples from the film's beginning.

    Returns:
        The frame.
    """
    frame = av.AudioFrame.from_ndarray(samples, 'fltp', layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, place, Fraction(1, rate)
    return frame
