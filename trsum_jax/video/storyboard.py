"""The summary on one picture: key frames of its parts with their times, and the score along the video."""

import math
import pathlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import av
import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from PIL import Image

from trsum_jax import files
from trsum_jax.errors import InputError
from trsum_jax.video.picking import frames_among
from trsum_jax.video.reading import VideoReader, picture
from trsum_jax.video.summary import Summary, clock

T = TypeVar('T')
_SCORE, _CHOSEN, _FAINT = '#c1440e', '#f2c14e', '#8a8a8a'
_WIDTH, _CURVE, _CAPTION = 11.0, 2.4, 0.32
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
_MOST, _DOTS = 30, 120
# Pixels of key frames: as high as a page shows them.
HEIGHT = 270
# Rows that Pillow gets at a time.
_ROWS = 256
# Comes with matplotlib.
_FAMILY = 'DejaVu Sans'
# Has a box for every letter.
_BOXES = 'Last Resort High-Efficiency'
# Letters, wide ones counted twice.
_TITLE = 60


def key_frames(
    summary: Summary, spans: np.ndarray, height: int | None, seen: Mapping[int, np.ndarray] | None = None
) -> list[np.ndarray]:
    """One picture for each span, of its `Summary.key_frame`.

    Args:
        summary: of the video; it is read once, from the first key frame wanted to the last.
        spans: [n, 2] int, first and last frame, both inclusive; in any order, they may overlap.
        height: pixels of each picture; None for those of the video.
        seen: pictures by frame, `HEIGHT` or more high, of a pass before; with all of them the video is not
            read again.

    Returns:
        n pictures [height, W, 3] uint8, upright and with square pixels.

    Raises:
        InputError: the video cannot be read, or has fewer frames than when it was summarized.
    """
    frames = [summary.key_frame(span) for span in spans]
    if seen and height and seen.keys() >= {*frames}:
        return [_resized(seen[frame], 1.0, height) for frame in frames]
    return pictures_at(summary, frames, 'key frames', lambda reader, frame: upright(reader, frame, height))


def pictures_at(
    summary: Summary, frames: Sequence[int], what: str, make: Callable[[VideoReader, av.VideoFrame], T]
) -> list[T]:
    """What is made of single frames of a video, each read once.

    Args:
        summary: of the video; it is read once, from the first frame wanted to the last.
        frames: their numbers, in any order and as often as wanted.
        what: they are, for the message.
        make: (reader, frame) -> what is kept of it.

    Returns:
        One for each number.

    Raises:
        InputError: the video cannot be read, or has fewer frames than when it was summarized.
    """
    wanted, found = np.unique(frames), {}
    with VideoReader(summary.path) as reader:
        spans = np.stack([wanted, wanted], axis=1)
        for index, frame in frames_among(reader, spans, summary.frame_times, summary.clock):
            found[index] = make(reader, frame)
    if len(found) < len(wanted):
        raise InputError(
            f'{files.shown(summary.path)}: expected {len(wanted)} {what}, found {len(found)}; the file '
            'has changed since it was summarized: summarize it again'
        )
    return [found[frame] for frame in frames]


def upright(reader: VideoReader, frame: av.VideoFrame, height: int | None = None) -> np.ndarray:
    """A frame as it is to be seen: turned as the file says, and with square pixels.

    Args:
        reader: of the video.
        frame: a frame of it.
        height: pixels; None for those of the frame.

    Returns:
        [height, W, 3] uint8.
    """
    seen = picture(frame)
    shape = float(reader.stream.sample_aspect_ratio or 1)
    turned = seen.shape[:2] == (frame.width, frame.height) and frame.rotation % 180 != 0
    return _resized(seen, 1 / shape if turned else shape, height or len(seen))


def _resized(seen: np.ndarray, shape: float, height: int) -> np.ndarray:
    """A picture so high, [height, W, 3] uint8, whose pixels have been so wide by their height.

    Pillow holds four bytes a pixel, 33 MB of 4K: so some rows at a time are made narrow, and then all low.
    """
    width, how = max(1, round(height * seen.shape[1] / len(seen) * shape)), Image.Resampling.LANCZOS
    narrow = [
        np.asarray(Image.fromarray(rows).resize((width, len(rows)), how))
        for rows in np.array_split(seen, range(_ROWS, len(seen), _ROWS))
    ]
    return np.asarray(Image.fromarray(np.concatenate(narrow)).resize((width, height), how))


def of_storyboard(summary: Summary) -> np.ndarray:
    """[n, 2] int64, the parts whose key frames are drawn: their first and last frames."""
    return summary.parts[longest_parts(summary, _MOST)]


def longest_parts(summary: Summary, most: int) -> np.ndarray:
    """Of the parts of a summary so many that are longest, by their places, [n] int64, in order."""
    lengths = np.diff(summary.seconds(summary.parts), axis=1)[:, 0]
    return np.sort(np.argsort(-lengths, kind='stable')[:most])


def draw(summary: Summary, output: pathlib.Path, seen: Mapping[int, np.ndarray] | None = None) -> None:
    """Draws the score along the video with the chosen parts marked, and below it their key frames.

    Of more than 30 parts the 30 longest are shown, in order.

    Args:
        summary: what to draw.
        output: a picture (.png, .jpg, …), replaced where it exists.
        seen: as in `key_frames`.

    Raises:
        InputError: the video cannot be read, the ending tells no format, or the file cannot be written.
    """
    form = output.suffix.lower().removeprefix('.')
    if form not in FigureCanvasAgg.filetypes:
        raise InputError(
            f'{files.shown(output)}: expected a picture ending in .png or .jpg, found '
            f'{files.shown(output.suffix) or "none"}'
        )
    parts = summary.parts
    shown = longest_parts(summary, _MOST)
    pictures = key_frames(summary, parts[shown], HEIGHT, seen)
    rows = math.ceil(len(shown) / 5)
    columns = max(3, math.ceil(len(shown) / rows))
    tallest = max(shot.shape[0] / shot.shape[1] for shot in pictures)
    row = _WIDTH / columns * min(tallest, 1.4) + _CAPTION

    with matplotlib.rc_context({'font.family': _FAMILY, 'font.size': 9}):
        figure = Figure(figsize=(_WIDTH, _CURVE + rows * row), layout='constrained', facecolor='white')
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(rows + 1, columns, height_ratios=[_CURVE] + [row] * rows)
        _draw_curve(figure.add_subplot(grid[0, :]), summary, shown)
        for number, (shot, (start, end)) in enumerate(
            zip(pictures, summary.seconds(parts[shown]), strict=True)
        ):
            axis = figure.add_subplot(grid[1 + number // columns, number % columns])
            axis.imshow(shot, interpolation='antialiased')
            axis.set(xticks=[], yticks=[], anchor='N')
            axis.set_xlabel(f'{shown[number] + 1}:  {clock(start)} – {clock(end)}')
            axis.spines[:].set(color=_FAINT, lw=0.5)
        with files.replacing(output) as temporary:
            figure.savefig(temporary, dpi=_DOTS, format=form)


def _draw_curve(axis: Axes, summary: Summary, shown: np.ndarray) -> None:
    for number, (start, end) in enumerate(summary.seconds(summary.parts)):
        axis.axvspan(start, end, color=_CHOSEN, alpha=0.7, lw=0)
        if number in shown:
            axis.text(
                (start + end) / 2, 1.01, number + 1, ha='center', transform=axis.get_xaxis_transform(), size=7
            )
    axis.vlines(summary.seconds(summary.shots)[1:, 0], 0, 0.04, color=_FAINT, lw=0.6)
    times = np.append(summary.frame_times[summary.picks], summary.duration)
    axis.stairs(summary.scores, times, color=_SCORE, lw=1.2, baseline=None)
    axis.set(xlim=(0, summary.duration), ylim=(0, 1), ylabel='score')
    step = next((step for step in _STEPS if summary.duration / step <= 10), 3600)
    axis.xaxis.set_major_formatter(lambda seconds, _: clock(seconds, tenths=step < 1))
    axis.xaxis.set_major_locator(MultipleLocator(step))
    axis.spines[['top', 'right']].set_visible(False)
    n_parts = len(summary.parts)
    told = f'{n_parts} part{"s" * (n_parts > 1)}'
    told += f', the {len(shown)} longest below' if len(shown) < n_parts else ''
    title, look = drawable(files.shown(summary.path.name))
    axis.set_title(title, loc='left', pad=14, size=12, parse_math=False, **look)
    axis.set_title(
        f'{clock(summary.length)} of {clock(summary.duration)} in {told}', loc='right', pad=14, color=_FAINT
    )


def drawable(text: str) -> tuple[str, dict[str, Any]]:
    """One line of text as the fonts of this machine can draw it, long text cut in the middle.

    Args:
        text: any.

    Returns:
        The text, escapes such as `\\u65e5` for letters that no font has; and matplotlib's names of the fonts.
    """
    look = {'family': [_FAMILY], 'weight': 'bold'}
    missing = _missing(set(text), _FAMILY, 'bold')
    if missing:
        # Of further fonts only the normal weight is known to be there.
        look['weight'] = 'normal'
        missing = _missing(set(text), _FAMILY, 'normal')
        upright = {f.name for f in font_manager.fontManager.ttflist if (f.weight, f.style) == (400, 'normal')}
        for family in sorted(upright - {_FAMILY, _BOXES}):
            still = _missing(missing, family, 'normal')
            if still != missing:
                look['family'].append(family)
                missing = still
    letters = []
    for letter in text:
        if letter not in missing:
            letters.append(letter)
        elif unicodedata.category(letter) not in ('Cf', 'Mn'):
            letters.append(letter.encode('unicode_escape').decode())
    widths = [sum(1 + (unicodedata.east_asian_width(c) in 'WF') for c in letter) for letter in letters]
    while sum(widths) > _TITLE:
        middle = len(letters) // 2
        letters[middle - 1 : middle + 1], widths[middle - 1 : middle + 1] = ['…'], [1]
    return ''.join(letters), look


def _missing(letters: set[str], family: str, weight: str) -> set[str]:
    """Those letters that a font cannot draw."""
    if not letters:
        return letters
    try:
        wanted = font_manager.FontProperties(family=family, weight=weight)
        font = font_manager.get_font(font_manager.findfont(wanted, fallback_to_default=False))
    except (OSError, RuntimeError, ValueError):
        return letters
    # Fonts of pictures, such as coloured emoji, have the letters but cannot be drawn here.
    return {letter for letter in letters if not font.scalable or not font.get_char_index(ord(letter))}
