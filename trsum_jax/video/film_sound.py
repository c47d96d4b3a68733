"""The sound of a film that is written, faded at every cut."""

from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

from trsum_jax.video.forms import Form
from trsum_jax.video.sound import SoundReader, sound_frame

# Bits per second by channels: what AAC needs to be hard to tell from its source, and the least it is given
# where the source has less.
_BIT_RATES, _LEAST_PER_CHANNEL = {1: 96_000, 2: 192_000, 6: 384_000}, 32_000
_FADE = 0.01


class Stretch(NamedTuple):
    """A part by the source's ticks: where it begins, is faded in, begins to fade into the next, and ends.

    `shift` leads from there to the ticks of the film.
    """

    begin: int
    head: int
    tail: int
    end: int
    shift: int


def _bit_rate(n_channels: int, source: int | None) -> int:
    """Bits per second for a track: by its channels, and not above its source's but for the least."""
    usual = _BIT_RATES[n_channels]
    return usual if source is None else max(min(usual, source), _LEAST_PER_CHANNEL * n_channels)


class SoundTrack:
    """One sound track of the summary, written stretch by stretch along the pictures."""

    def __init__(self, container: av.container.OutputContainer, form: Form, hearing: SoundReader, clock: int):
        """Adds the track to a film.

        Args:
            container: the film.
            form: of the film.
            hearing: the source's track.
            clock: ticks a second.
        """
        self._container, self._hearing, self._clock = container, hearing, clock
        self._stream = container.add_stream(
            form.sound,
            rate=hearing.rate,
            layout=hearing.layout,
            bit_rate=min(
                _bit_rate(hearing.n_channels, hearing.bit_rate), form.sound_rate or max(_BIT_RATES.values())
            ),
        )
        self._stream.metadata.update(hearing.tags)
        if 'title' in hearing.tags:
            # The one that players show.
            self._stream.metadata['handler_name'] = hearing.tags['title']
        self._stream.disposition = hearing.disposition
        # What a part fades out with, from this sample on, until the next part sounds over it.
        self._held = (0, np.zeros((hearing.n_channels, 0), np.float32))

    @property
    def notes(self) -> list[str]:
        """What the reader of the sound had to note."""
        return self._hearing.notes

    def write(self, begin: int, end: int, part: Stretch) -> None:
        """Writes what sounds from one tick of the source to another.

        Args:
            begin: the first tick.
            end: the one behind the last; both within a part or its tail.
            part: that part.
        """
        rate, shift = self._hearing.rate, part.shift

        def sample(tick: int) -> int:
            return round(Fraction((tick + shift) * rate, self._clock))

        first, last, tail = sample(begin), sample(end), sample(part.tail)
        part_first, part_last = sample(part.begin), sample(part.end)
        rise = max(sample(part.head) - part_first, _FADE * rate)
        fall = max(part_last - tail, _FADE * rate)
        source = round(Fraction(part.begin * rate, self._clock)) - part_first
        for place in range(first, last, rate):
            until = min(place + rate, last)
            samples = self._hearing.read(source + place, source + until)
            middle = np.arange(place, until) + 0.5
            fade = np.minimum((middle - part_first) / rise, (part_last - middle) / fall)
            faded = samples * np.minimum(fade, 1).astype(np.float32)
            at, held = self._held
            if place >= tail:
                before = held if at + held.shape[1] == place else held[:, :0]
                self._held = place - before.shape[1], np.concatenate([before, faded], axis=1)
                continue
            here, there = max(place, at), min(until, at + held.shape[1])
            if here < there:
                faded[:, here - place : there - place] += held[:, here - at : there - at]
            frame = sound_frame(faded, self._hearing.layout, rate, place)
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what the encoder still holds."""
        self._container.mux(self._stream.encode())
