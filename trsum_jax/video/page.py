"""A summary as one page for the browser: the film, the score over time, key frames, and a list of shots."""

import contextlib
import os
import pathlib
import shlex
import string
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib import ticker

from trsum_jax import files
from trsum_jax.video import storyboard
from trsum_jax.video.rendering import data_uri, jpeg_uri, reference, render, source
from trsum_jax.video.summary import Summary, clock
from trsum_jax.video.written import small_film

KEY_FRAMES = 60

_COLUMNS, _ROWS = 1000, 100
# Of the chart's width on the narrowest screens, 320 pixels.
_LETTER = 0.028
# Pixels of key frames where there are few, which are shown larger, or many.
_HEIGHTS, _FEW = (storyboard.HEIGHT, 180), 12
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_TOLD = (
    'How much a shot tells beside the others: most, more or less, a third of them each; behind it its score '
    'from 0 to 1.'
)


def write_page(
    summary: Summary,
    video: pathlib.Path,
    output: pathlib.Path,
    *,
    recut: pathlib.Path | None = None,
    sound: str = 'all',
    small: pathlib.Path | None = None,
    embedded: int = small_film.LARGEST,
    progress: Callable[[float], None] | None = None,
    seen: Mapping[int, np.ndarray] | None = None,
) -> None:
    """Writes a page that shows a summary, in one file that asks the network for nothing.

    The page holds a film that is small enough. Of a larger one it holds a small copy, and plays the film
    itself where that lies beside the page.

    Args:
        summary: what the film shows, and of what.
        video: the film: the chosen shots in order.
        output: the page; replaced where it exists.
        recut: the summary's JSON, where there is one: shots can then be marked, and the page gives the
            command that makes the summary again.
        sound: `none`, or a small copy has the main track.
        small: where such a copy may have been written with the film (`small_film.small_copy`).
        embedded: bytes of film that the page holds at most.
        progress: as `write_video`, of a small copy.
        seen: as in `storyboard.key_frames`.

    Raises:
        InputError: where the page cannot be written, or the video not be read.
        OSError: where the film cannot be read.
    """
    rows, stills = _rows(summary), _key_frames(summary, seen)
    size = video.stat().st_size
    with contextlib.ExitStack() as stack:
        held = video
        tried = small.stat().st_size if small and small.is_file() else 0
        if size > embedded and 0 < tried <= embedded:
            held = small
        elif size > embedded:
            held = stack.enter_context(files.temporary_folder()) / 'small.mp4'
            fits = small_film.write_small(
                summary, held, sound=sound, largest=embedded, tried=tried, progress=progress
            )
            held = held if fits else None
        film = stack.enter_context(held.open('rb')) if held else None
        render(
            output,
            'page.html',
            # The key frames are as the film is seen.
            ratio=stills[0][2] / stills[0][3],
            script=source('page.js'),
            summary=summary,
            name=files.shown(summary.path.name),
            rows=rows,
            n_chosen=int(summary.chosen.sum()),
            key_frames=[(rows[index], *still) for index, *still in stills],
            told=_TOLD if len(rows) > 1 else 'Scores go from 0 to 1.',
            chart=_chart(summary),
            film=data_uri(_kind(held), film) if film else None,
            film_name=files.shown(video.name),
            film_place=reference(video, output) if size > embedded else None,
            film_size=size,
            recut=f'trsum recut {in_shell(recut.name)}' if recut else None,
            recut_name=files.shown(recut.name) if recut else None,
        )


def curve(times: np.ndarray, scores: np.ndarray, end: float, low: float, high: float) -> str:
    """Scores over time as the data of an SVG path, 1000 wide and 100 high, origin at the top left.

    A score holds until the next one. Of the scores that share a column their lowest, highest and last are
    drawn, so that the path of a long video stays short and shows every peak.

    Args:
        times: [n] float64, seconds, ascending.
        scores: [n] float32.
        end: seconds at the right border.
        low: score at the bottom.
        high: score at the top.

    Returns:
        Horizontal and vertical steps, such as `M0 50H500V20H1000`.
    """
    x = np.clip(times / end * _COLUMNS, 0, _COLUMNS)
    y = _ROWS * (high - scores.astype(np.float64)) / (high - low)
    if len(x) > _COLUMNS:
        x = np.floor(x)
    starts = np.flatnonzero(np.append(True, x[1:] != x[:-1]))
    path = [f'M{x[0]:.5g} {y[0]:.4g}']
    for start, stop in zip(starts, np.append(starts[1:], len(x)), strict=True):
        column = y[start:stop]
        heights = [column.min(), column.max(), column[-1]] if len(column) > 1 else [column[0]]
        path.append(f'H{x[start]:.5g}' + ''.join(f'V{height:.4g}' for height in heights))
    return f'{"".join(path)}H{_COLUMNS}'


def score_words(scores: np.ndarray) -> list[str]:
    """How much shots tell beside each other: `most`, `more`, `less`, a third of them each.

    Args:
        scores: [n_shots] float.

    Returns:
        A word for each; `alike` where no two scores differ by a hundredth.
    """
    if np.ptp(scores) < 0.01:
        return ['alike'] * len(scores)
    below = np.searchsorted(np.sort(scores), scores, side='left')
    up_to = np.searchsorted(np.sort(scores), scores, side='right')
    thirds = (3 * (below + up_to)) // (2 * len(scores))
    return [('less', 'more', 'most')[third] for third in thirds]


def in_shell(name: str) -> str:
    """A file's name as a word of a command for bash or zsh, whatever is in it."""
    name = f'./{name}' if name.startswith('-') else name
    if files.shown(name) == name:
        return shlex.quote(name)
    plain = {*string.ascii_letters, *string.digits, *'._-/ '}
    return "$'" + ''.join(chr(b) if chr(b) in plain else f'\\x{b:02x}' for b in os.fsencode(name)) + "'"


def _rows(summary: Summary) -> list[dict[str, Any]]:
    """Every shot with number, seconds, score and mark, and where in the film it begins (None: not in it)."""
    seconds = summary.seconds(summary.shots)
    places = np.zeros(len(seconds))
    kept, dropped = summary.with_marks((), ())
    marks = dict.fromkeys(kept, 'keep') | dict.fromkeys(dropped, 'drop')
    places[summary.chosen] = summary.film_times(summary.shots[summary.chosen, 0])
    return [
        {
            'number': number,
            'start': float(start),
            'end': float(end),
            'length': float(end - start),
            'score': float(score),
            'word': word,
            'mark': marks.get(number - 1),
            'place': float(place) if chosen else None,
        }
        for number, ((start, end), score, word, chosen, place) in enumerate(
            zip(
                *(seconds, summary.shot_scores, score_words(summary.shot_scores), summary.chosen, places),
                strict=True,
            ),
            1,
        )
    ]


def pictured(summary: Summary) -> np.ndarray:
    """[n] int64, the chosen shots of which the page has a picture; of many those of highest score."""
    shown = np.flatnonzero(summary.chosen)
    best = np.argsort(-summary.shot_scores[shown], kind='stable')[:KEY_FRAMES]
    return np.sort(shown[best])


def _key_frames(summary: Summary, seen: Mapping[int, np.ndarray] | None) -> list[tuple[int, str, int, int]]:
    """Index of the shot, JPEG data URI, width and height of each that is pictured."""
    shown, found = pictured(summary), []
    height = _HEIGHTS[len(shown) > _FEW]
    pictures = storyboard.key_frames(summary, summary.shots[shown], height, seen)
    for index, picture in zip(shown, pictures, strict=True):
        height, width = picture.shape[:2]
        found.append((int(index), jpeg_uri(picture), width, height))
    return found


def _chart(summary: Summary) -> dict[str, Any]:
    """What the drawing needs: the curve, and its marks in percent of the width and rows from the top."""
    low, high = float(summary.scores.min()), float(summary.scores.max())
    # Nearly equal scores would look like great differences.
    margin = 0.0 if high - low > 0.01 else 0.01
    levels = ticker.MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(
        max(low - margin, 0.0), min(high + margin, 1.0)
    )
    decimals = max(len(f'{level:.6g}'.partition('.')[2]) for level in levels)
    step = next((step for step in _STEPS if summary.duration <= 5 * step), 2 * _STEPS[-1])
    times = [
        (clock(time, tenths=step < 1), time / summary.duration)
        for time in np.arange(0, summary.duration, step)
    ]
    return {
        'low': low,
        'high': high,
        'width': _COLUMNS,
        'height': _ROWS,
        'curve': curve(
            summary.frame_times[summary.picks], summary.scores, summary.duration, levels[0], levels[-1]
        ),
        'levels': [
            (f'{level:.{decimals}f}', _ROWS * (levels[-1] - level) / np.ptp(levels)) for level in levels
        ],
        # A label close to the right border would be cut off.
        'times': [(label, 100 * place) for label, place in times if place + _LETTER * len(label) < 1],
        'parts': [
            (_COLUMNS * start / summary.duration, _COLUMNS * (end - start) / summary.duration)
            for start, end in summary.seconds(summary.parts)
        ],
    }


def _kind(video: pathlib.Path) -> str:
    # Browsers play an h264 .mov under the name of an mp4 alone.
    return 'video/webm' if video.suffix.lower() == '.webm' else 'video/mp4'
