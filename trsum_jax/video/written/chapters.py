"""Chapters of a summary: one for each part, named after its shots as the page numbers them."""

import pathlib

import numpy as np

from trsum_jax import files
from trsum_jax.video.summary import Summary, clock


def chapter_titles(summary: Summary) -> list[str]:
    """What the parts are called: `Shot 3`, or `Shots 5–7` where neighbours are shown in one piece.

    Args:
        summary: whose parts.

    Returns:
        One title a part; shots are counted from 1, as on the page.
    """
    titles = []
    for part in summary.parts:
        inside = np.flatnonzero(summary.inside(part)) + 1
        titles.append(f'Shot {inside[0]}' if len(inside) == 1 else f'Shots {inside[0]}–{inside[-1]}')
    return titles


def write_chapters(summary: Summary, output: pathlib.Path) -> None:
    """Writes chapters as lines that players and video sites know: `0:00 Shot 3`.

    Args:
        summary: what the film shows; parts that begin in the same second share a line.
        output: the text, replaced where it exists.

    Raises:
        InputError: it cannot be written.
    """
    lines: dict[str, list[str]] = {}
    for begin, title in zip(summary.film_starts, chapter_titles(summary), strict=True):
        lines.setdefault(clock(float(begin), tenths=False), []).append(title)
    files.write_text(output, ''.join(f'{begin} {", ".join(those)}\n' for begin, those in lines.items()))
