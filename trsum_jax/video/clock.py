"""How a file's own clock runs along its pictures, where it starts anew, and how sound follows."""

import array
import bisect
import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

# Seconds. A clock of MPEG that jumps further ahead has been set anew: a recorder stops between two films.
LONGEST_GAP = 10
# Seconds and frames; no decoder gives a frame that much too late.
_LATEST, _LATEST_FRAMES = 2, 32
# Share of gaps between frames that are alike in a steady stream.
_STEADY = 0.8
# Seconds by which sound lies before or behind the pictures beside it in a file.
_SKEW = 2
# Seconds by which a stretch of sound may overlap the one before, or leave a gap, and still follow it.
_FOLLOWS = 0.5


@dataclasses.dataclass(frozen=True)
class Part:
    """A stretch of a file in which the clock runs on; all its stamps become times by one shift.

    Attributes:
        place: byte of the file where the packet of its first picture lies; None where the file does not tell.
        time: of its first picture, in seconds from the video's first frame.
        shift: seconds that lead from the file's clock to the time.
    """

    place: int | None
    time: Fraction
    shift: Fraction


class Clock:
    """The time of every frame of a video, and what has become of the file's clock meanwhile.

    Times count from the first frame. A frame without a stamp comes one average frame after the one before;
    so does the first frame after a clock that starts anew and, in MPEG's streams, after one that jumps ahead
    by more than 10 s. Sound takes the same shifts (`Following`).

    Attributes:
        closes_gaps: whether a jump ahead is no pause, as in MPEG's streams.
        parts: of the file, in order; one for a file whose clock runs on, none for one without stamps.
        untimed: number of frames without a stamp.
        restarts: how often the clock went back.
        leaps: seconds of every jump ahead that was closed.
        disordered: number of frames that came after later ones, as damage makes them; they take the time of
            the frame before.
        keys: numbers of the frames that decoding can begin at, ascending, as the file marks them.
    """

    def __init__(self, usual: Fraction, closes_gaps: bool):
        """Begins before the first frame.

        Args:
            usual: seconds of an average frame.
            closes_gaps: whether a jump ahead is no pause.
        """
        self.parts: list[Part] = []
        self.untimed = self.restarts = self.disordered = 0
        self.leaps: list[float] = []
        self.keys = array.array('q')
        self.closes_gaps = closes_gaps
        self._usual = usual
        self._previous: Fraction | None = None
        self._lost, self._epoch = True, 0
        self._places, self._times = array.array('q'), array.array('d')

    @classmethod
    def that_ran_on(
        cls, part: Part, closes_gaps: bool, places: np.ndarray, times: np.ndarray, keys: np.ndarray
    ) -> 'Clock':
        """The clock of a file that one shift holds for, as an earlier pass has left it.

        Args:
            part: its only one.
            closes_gaps: whether a jump ahead is no pause.
            places: [n_frames] int64, as the pass had it in `places`.
            times: [n_frames] float64, seconds of every frame.
            keys: [n] int64, as it had them.

        Returns:
            A clock that has seen all pictures.
        """
        usual = Fraction(float(times[-1])) / (len(times) - 1) if len(times) > 1 else Fraction(1)
        clock = cls(usual, closes_gaps)
        clock.parts = [part]
        clock._places.frombytes(places.astype(np.int64).tobytes())
        clock._times.frombytes(times.astype(np.float64).tobytes())
        clock.keys.frombytes(keys.astype(np.int64).tobytes())
        return clock

    @property
    def places(self) -> np.ndarray:
        """[n_frames] int64, the byte of the file up to which every frame was read; never decreasing."""
        return np.array(self._places, np.int64)

    @property
    def origin(self) -> Fraction | None:
        """The time of the first frame on the file's own clock; None without."""
        return -self.parts[0].shift if self.parts and self.parts[0].time == 0 else None

    @property
    def runs_on(self) -> bool:
        """Whether one shift holds for the whole file, so that a time can be sought in it."""
        return len(self.parts) == 1 and self.parts[0].time == 0

    def place(self, stamp: Fraction | None, place: int | None, epoch: int, key: bool = False) -> Fraction:
        """The time of the next frame in order of presentation.

        Args:
            stamp: of the frame, in seconds of the file's clock.
            place: byte of the file where its packet lies, where that is known.
            epoch: how often decoding times went back up to this packet: without that, a frame that comes
                too late is out of order, and the clock has not changed.
            key: whether decoding can begin at the frame.

        Returns:
            Seconds from the first frame, never less than the frame before.
        """
        time = self._time(stamp, place, epoch)
        self._previous = time
        if key:
            self.keys.append(len(self._times))
        self._places.append(max(place or 0, self._places[-1] if self._places else 0))
        self._times.append(float(time))
        return time

    def _time(self, stamp: Fraction | None, place: int | None, epoch: int) -> Fraction:
        following = Fraction(0) if self._previous is None else self._previous + self._usual
        if stamp is None:
            self.untimed += 1
            self._lost = True
            return following
        if self._lost:
            self.untimed += self._previous is not None
            return self._begin(following, stamp, place, epoch)
        time = stamp + self.parts[-1].shift
        if time < self._previous:
            late = self._previous - time
            if epoch == self._epoch and late <= max(_LATEST, _LATEST_FRAMES * self._usual):
                self.disordered += 1
                return self._previous
            self.restarts += 1
            return self._begin(following, stamp, place, epoch)
        if self.closes_gaps and time - self._previous > LONGEST_GAP:
            self.leaps.append(float(time - self._previous))
            return self._begin(following, stamp, place, epoch)
        return time

    def _begin(self, time: Fraction, stamp: Fraction, place: int | None, epoch: int) -> Fraction:
        self.parts.append(Part(place, time, time - stamp))
        self._lost, self._epoch = False, epoch
        return time

    def time_near(self, place: int) -> float:
        """The time of the last picture that lies before a byte of the file."""
        return self._times[max(bisect.bisect_right(self._places, place) - 1, 0)]

    def missing(self) -> tuple[int, int, float]:
        """How many frames lack in a steady stream, in how many places, and the longest hole in seconds.

        At an unsteady rate nothing can be told: zeros.
        """
        gaps = np.diff(np.array(self._times))
        usual = np.median(gaps) if len(gaps) else 0.0
        if usual <= 0 or np.mean(np.abs(gaps - usual) < 0.1 * usual + 1e-3) < _STEADY:
            return 0, 0, 0.0
        holes = gaps[gaps > 1.5 * usual]
        return int((np.rint(holes / usual) - 1).sum()), len(holes), float(holes.max(initial=0.0))

    def notes(self) -> Iterator[str]:
        """What a person should know of a clock that did not run on."""
        if self.untimed:
            yield f'{self.untimed} frames have no time; placed at {float(1 / self._usual):.4g} a second'
        if self.restarts:
            yield f'the clock goes back {self.restarts} times; the frames are taken as consecutive'
        if self.leaps:
            yield (
                f'the clock jumps ahead {len(self.leaps)} times, by {sum(self.leaps):.0f} s in all; in such '
                'a file that is no pause: the frames are taken as consecutive'
            )
        if self.disordered:
            yield f'{self.disordered} frames come after later ones (damage?); they are shown at once'


class Following:
    """A stream of sound along the parts of a clock: every packet, in the file's order, gets its part's shift.

    Sound changes over to another part where its own clock does, near the place in the file where the clock of
    the pictures does: the sound of a part may lie before its first picture, or that of the part before go on
    after it. A part is possible where it brings the packet close to the pictures beside it; of those that let
    the sound go on, the one by the place in the file is taken.
    """

    def __init__(self, clock: Clock):
        """Begins before the first packet of sound; the clock has seen all pictures."""
        self._clock = clock
        self._parts = clock.parts or [Part(None, Fraction(0), Fraction(0))]
        places = [part.place for part in self._parts]
        self._places = None if None in places else places
        self._part, self._own, self._end, self._place = 0, Fraction(0), None, None

    def shift(self, stamp: Fraction, lasts: Fraction, place: int | None) -> tuple[Fraction, float] | None:
        """What leads from the clock of a packet to its time; what else a packet's stamp says, damage does.

        Args:
            stamp: of the packet, in seconds of the file's clock.
            lasts: seconds of the packet.
            place: byte of the file where it lies, where that is known.

        Returns:
            The shift in seconds, and the time from which on the pictures belong to a later part, up to which
            the packet can be heard; infinity in the last part. None for a stamp of MPEG's streams so far from
            those of the pictures beside it that it must be damaged.
        """
        self._place = self._place if place is None else place
        here, near = self._part, None
        if self._places is not None and self._place is not None:
            here = max(here, bisect.bisect_right(self._places, self._place) - 1)
            near = self._clock.time_near(self._place)
        chosen = self._choose(stamp, here, near)
        if chosen != self._part:
            self._part, self._own = chosen, Fraction(0)
        shift = self._parts[chosen].shift + self._own
        apart = 0 if near is None else abs(float(stamp + shift) - near)
        if self._end is not None and stamp + shift < self._end - _FOLLOWS and (near is None or apart > _SKEW):
            # The clock of the sound alone went back: the sound goes on.
            self._own += self._end - stamp - shift
            shift = self._parts[chosen].shift + self._own
        elif self._clock.closes_gaps and apart > LONGEST_GAP:
            return None
        self._end = stamp + shift + lasts
        after = max(chosen, here) + 1
        return shift, float(self._parts[after].time) if after < len(self._parts) else math.inf

    def _choose(self, stamp: Fraction, here: int, near: float | None) -> int:
        possible = np.arange(self._part, min(here + 2, len(self._parts)))
        if len(possible) == 1:
            return self._part
        own = np.where(possible == self._part, float(self._own), 0.0)
        times = np.array([float(stamp + self._parts[i].shift) for i in possible]) + own
        if near is not None:
            apart = np.abs(times - near)
            close = apart <= max(_SKEW, apart.min())
            possible, times = possible[close], times[close]
        if self._end is None:
            return int(min(possible.max(), max(here, possible.min())))
        breaks = np.abs(times - float(self._end))
        going_on = possible[(breaks <= breaks.min() + _FOLLOWS) & (possible <= here)]
        return int(going_on[-1] if len(going_on) else possible[breaks.argmin()])
