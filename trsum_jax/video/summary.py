"""What a summary of one video is, before anything of it is written."""

import dataclasses
import pathlib
from collections.abc import Collection

import numpy as np

from trsum_jax.video.clock import Clock

# Seconds; sums of floats are no longer or shorter for less.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Summary:
    """The scores of a video, its shots, and those that its summary shows.

    Attributes:
        path: the video.
        fps: frames per second on average.
        duration: seconds, to the end of the last frame.
        frame_times: [n_frames] float64, seconds of every frame from the first one.
        picks: [n_steps] int64, the frame of every score.
        scores: [n_steps] float32, importance in [0, 1].
        shots: [n_shots, 2] int64, first and last frame of every shot, both inclusive, covering the video.
        shot_scores: [n_shots] float64, mean frame score of every shot.
        chosen: [n_shots] bool, the shots of the summary; at least one.
        clock: how the file's own clock runs along the frames, from the pass that gave `frame_times`; without
            it nothing is sought in the file, and writing reads it once more.
        agreement: with people who judged the video (`people.agreement`), where there are any.
        key_frames: [n] int64, ascending, frames that stand for their shots, from a pass that looked at all
            frames (`clearest_frames`); None without one.
        allowed: seconds that the summary may last, where that is known.
        shortest: seconds of the shortest part, where the summary has room for it.
        looks: [n_steps, K] int8, what the steps look like (`looks.sketch`): by them shots are chosen again so
            that nothing is shown twice; None where shots are chosen by their scores alone.
        kept: first frames of shots that people keep, whenever shots are chosen again.
        dropped: those of shots that they drop.
        encoder: the name of what described the pictures, where that is known.
        crossfade: seconds for which the pictures of a part fade into those of the next one, at most; what is
            faded lies within both parts, so that the film gets shorter by it.
    """

    path: pathlib.Path
    fps: float
    duration: float
    frame_times: np.ndarray
    picks: np.ndarray
    scores: np.ndarray
    shots: np.ndarray
    shot_scores: np.ndarray
    chosen: np.ndarray
    clock: Clock | None = None
    agreement: dict[str, dict[str, float]] | None = None
    key_frames: np.ndarray | None = None
    allowed: float | None = None
    shortest: float = 0.0
    looks: np.ndarray | None = None
    kept: frozenset[int] = frozenset()
    dropped: frozenset[int] = frozenset()
    encoder: str | None = None
    crossfade: float = 0.0

    @property
    def parts(self) -> np.ndarray:
        """[n_parts, 2] int64, first and last frame of every uninterrupted part; chosen neighbours are one."""
        chosen = self.shots[self.chosen]
        starts = np.append(True, chosen[1:, 0] != chosen[:-1, 1] + 1)
        ends = np.append(starts[1:], True)
        return np.stack([chosen[starts, 0], chosen[ends, 1]], axis=1)

    def inside(self, part: np.ndarray) -> np.ndarray:
        """[n_shots] bool, the shots that lie within a part: its first and last frame, both inclusive."""
        return (self.shots[:, 0] >= part[0]) & (self.shots[:, 1] <= part[1])

    def with_marks(self, keep: Collection[int], drop: Collection[int]) -> tuple[set[int], set[int]]:
        """Shots to keep and to drop, counted from 0: these, and those of before that they do not overrule."""
        kept, dropped = (
            {shot for shot, first in enumerate(self.shots[:, 0].tolist()) if first in marked}
            for marked in (self.kept, self.dropped)
        )
        return {*keep, *(kept - {*drop})}, {*drop, *(dropped - {*keep})}

    @property
    def edges(self) -> np.ndarray:
        """[n_frames + 1] float64, seconds at which every frame begins, and the end of the last one."""
        return np.append(self.frame_times, self.duration)

    def seconds(self, spans: np.ndarray) -> np.ndarray:
        """Spans of frames, [n, 2] int both inclusive, as [n, 2] float64 seconds: from, up to."""
        edges = self.edges
        return np.stack([edges[spans[:, 0]], edges[spans[:, 1] + 1]], axis=1)

    def key_frame(self, span: np.ndarray) -> int:
        """The frame that stands for a span.

        Args:
            span: [2] int, its first and last frame, both inclusive.

        Returns:
            Of the `key_frames` within it the one of highest score; without any the frame of highest score,
            and the middle one where no score lies in the span.
        """
        for frames in (self.key_frames, self.picks):
            inside = () if frames is None else frames[(frames >= span[0]) & (frames <= span[1])]
            if len(inside):
                steps = np.searchsorted(self.picks, inside, side='right') - 1
                return int(inside[np.argmax(self.scores[steps])])
        return int(span[0] + span[1]) // 2

    @property
    def tails(self) -> np.ndarray:
        """[n_parts] int64, the frames at the end of each part during which the next part fades in.

        An even number, so that the middle of the fade lies between two frames; together no longer than
        `crossfade` and than half of either part. The last part has none.
        """
        parts, edges = self.parts, self.edges
        counts = np.zeros(len(parts), np.int64)
        halves = np.diff(self.seconds(parts), axis=1)[:, 0] / 2
        for number, last in enumerate(parts[:-1, 1].tolist()):
            longest = min(self.crossfade, halves[number], halves[number + 1])
            begin = np.searchsorted(edges, edges[last + 1] - longest - ROUNDING)
            counts[number] = (last + 1 - begin) // 2 * 2
        return counts

    @property
    def film_spans(self) -> np.ndarray:
        """[n_parts, 2] float64, seconds of the video that each part adds to the film: from, up to.

        They are those of the parts; a fade into the next part counts half to either of them. So their lengths
        sum to the film's, and what begins with a part begins in the middle of the fade.
        """
        parts, edges = self.parts, self.edges
        spans = self.seconds(parts)
        half = (edges[parts[:, 1] + 1] - edges[parts[:, 1] + 1 - self.tails]) / 2
        spans[:, 1] -= half
        spans[1:, 0] += half[:-1]
        return spans

    @property
    def film_starts(self) -> np.ndarray:
        """[n_parts] float64, seconds of the film at which each part begins, as `film_spans` counts."""
        lengths = np.diff(self.film_spans, axis=1)[:, 0]
        # The first one is exactly zero.
        return np.append(0.0, np.cumsum(lengths)[:-1])

    def film_times(self, frames: np.ndarray) -> np.ndarray:
        """Seconds of the film at which frames, [n] int, of its parts begin to be seen, [n] float64."""
        part = np.searchsorted(self.parts[:, 1], frames)
        times = self.film_starts[part] + self.frame_times[frames] - self.film_spans[part, 0]
        return np.maximum(times, 0.0)

    @property
    def length(self) -> float:
        """Seconds of the summary's film."""
        return float(np.diff(self.film_spans, axis=1).sum())


def first_frames(shots: np.ndarray, numbers: Collection[int]) -> frozenset[int]:
    """The frames at which some shots begin, of [n_shots, 2] int and counted from 0."""
    return frozenset(shots[sorted(numbers), 0].tolist())


def length_notes(summary: Summary, whole: bool, seconds: float | None) -> list[str]:
    """Notes for people where a summary is not as long as they might think.

    Args:
        summary: with the seconds that it may last.
        whole: whether its shots are whole ones, not a piece of one.
        seconds: its greatest length, where people gave that.

    Returns:
        One note, or none.
    """
    allowed = summary.allowed
    if summary.kept and summary.length > allowed + ROUNDING:
        return [f'what is kept takes {summary.length:.3g} s, more than the {allowed:.3g} s allowed']
    if summary.chosen.all():
        why = 'the budget is all of it' if seconds is None else f'it lasts no longer than {seconds:g} s'
        why = 'it is a single frame' if len(summary.frame_times) == 1 else why
        return [f'the summary is the whole video: {why}']
    if not whole:
        return [f'no shot fits into {allowed:.3g} s: of the best one, {summary.length:.3g} s are taken']
    return []


def clock(seconds: float, tenths: bool = True) -> str:
    """Seconds as a person reads them: `0:07.4`, `1:02:03.0`; without tenths `0:07`."""
    whole, tenth = divmod(round(10 * seconds), 10) if tenths else (round(seconds), 0)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
    return f'{text}.{tenth}' if tenths else text
