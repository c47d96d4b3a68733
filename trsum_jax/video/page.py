"""A summary as one page for the browser: the film, the score over time, key frames, and a table of shots."""

import base64
import hashlib
import importlib.resources
import io
import os
import pathlib
import urllib.parse
from collections.abc import Iterator
from typing import Any, BinaryIO

import jinja2
import numpy as np
from matplotlib import ticker
from PIL import Image

from trsum_jax import files
from trsum_jax.video import storyboard
from trsum_jax.video.summary import Summary, clock

EMBEDDED = 200_000_000
KEY_FRAMES = 60

_COLUMNS, _ROWS = 1000, 100
_HEIGHT, _QUALITY = 180, 80
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
# Divisible by 3: pieces of base64 then join without padding in between.
_PIECE = 3 << 20


def write_page(
    summary: Summary, video: pathlib.Path, output: pathlib.Path, *, embedded: int = EMBEDDED
) -> None:
    """Writes a page that shows a summary, in one file that asks the network for nothing.

    A film too large to embed stays a file of its own, which the page then names and refers to.

    Args:
        summary: what the film shows, and of what.
        video: the film: the chosen shots in order.
        output: the page; replaced where it exists.
        embedded: bytes; a larger film is not embedded.

    Raises:
        InputError: where the page cannot be written.
        OSError: where the film cannot be read.
    """
    sources = importlib.resources.files(__package__)
    template, style, script = (
        sources.joinpath(f'page.{kind}').read_text(encoding='utf-8') for kind in ('html', 'css', 'js')
    )
    jinja = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters |= {'clock': clock, 'digest': _digest}
    rows = _rows(summary)
    with video.open('rb') as film, files.replacing(output) as temporary:
        size = os.fstat(film.fileno()).st_size
        # A piece at a time: the page never sits in memory with its film.
        pieces = jinja.from_string(template).generate(
            summary=summary,
            name=files.shown(summary.path.name),
            rows=rows,
            n_chosen=int(summary.chosen.sum()),
            key_frames=_key_frames(summary, rows),
            chart=_chart(summary),
            film=_data_uri(_kind(video), film) if size <= embedded else None,
            film_name=files.shown(video.name),
            film_place=_reference(video, output),
            film_size=size,
            style=style,
            script=script,
        )
        with temporary.open('w', encoding='utf-8', newline='\n') as page:
            page.writelines(pieces)


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


def _rows(summary: Summary) -> list[dict[str, Any]]:
    """Every shot with its number, seconds and score, and where in the film it begins (None: not in it)."""
    seconds = summary.seconds(summary.shots)
    places = np.zeros(len(seconds))
    places[summary.chosen] = summary.film_times(summary.shots[summary.chosen, 0])
    return [
        {
            'number': number,
            'start': float(start),
            'end': float(end),
            'length': float(end - start),
            'score': float(score),
            'place': float(place) if chosen else None,
        }
        for number, ((start, end), score, chosen, place) in enumerate(
            zip(seconds, summary.shot_scores, summary.chosen, places, strict=True), 1
        )
    ]


def _key_frames(summary: Summary, rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str, int, int]]:
    """Row, JPEG data URI, width and height of chosen shots in order; of many those of highest score."""
    shown = np.flatnonzero(summary.chosen)
    best = np.argsort(-summary.shot_scores[shown], kind='stable')[:KEY_FRAMES]
    shown = np.sort(shown[best])
    found = []
    pictures = storyboard.key_frames(summary, summary.shots[shown], _HEIGHT)
    for index, picture in zip(shown, pictures, strict=True):
        jpeg = io.BytesIO()
        Image.fromarray(picture).save(jpeg, 'JPEG', quality=_QUALITY)
        jpeg.seek(0)
        height, width = picture.shape[:2]
        found.append((rows[index], ''.join(_data_uri('image/jpeg', jpeg)), width, height))
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
    times = np.arange(0, summary.duration, step)
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
        'times': [
            (clock(time, tenths=step < 1), 100 * time / summary.duration)
            for time in times
            if time < 0.93 * summary.duration
        ],
        'parts': [
            (_COLUMNS * start / summary.duration, _COLUMNS * (end - start) / summary.duration)
            for start, end in summary.seconds(summary.parts)
        ],
    }


def _kind(video: pathlib.Path) -> str:
    # Browsers play an h264 .mov under the name of an mp4 alone.
    return 'video/webm' if video.suffix.lower() == '.webm' else 'video/mp4'


def _data_uri(kind: str, file: BinaryIO) -> Iterator[str]:
    yield f'data:{kind};base64,'
    while piece := file.read(_PIECE):
        yield base64.b64encode(piece).decode('ascii')


def _reference(video: pathlib.Path, output: pathlib.Path) -> str:
    """The film's place as seen from the page's folder, as a relative URL."""
    place = pathlib.Path(os.path.relpath(video, output.parent))
    return urllib.parse.quote(os.fsencode(place.as_posix()))


def _digest(text: str) -> str:
    """What a content security policy calls an inline style or script: its SHA-256."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
