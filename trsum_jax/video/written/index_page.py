"""One page for the summaries of many videos: each with its key frames and where it is; what was left out."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trsum_jax import files
from trsum_jax.video import storyboard
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.rendering import jpeg_uri, reference, render
from trsum_jax.video.summary import Summary

_PICTURES, _HEIGHT = 3, 150


class Entry(NamedTuple):
    """A summary that was written: its film, its page if it has one, and when it begins in the film of all."""

    summary: Summary
    film: pathlib.Path
    page: pathlib.Path | None = None
    begin: float = 0.0


def write_index(
    entries: Sequence[Entry],
    left_out: Mapping[pathlib.Path, str],
    output: pathlib.Path,
    film: pathlib.Path | None = None,
) -> None:
    """Writes a page that leads to films and pages by their places as seen from its own.

    Args:
        entries: the summaries, in order.
        left_out: videos without one, and why.
        output: the page; replaced where it exists.
        film: of all of them, if there is one.

    Raises:
        InputError: it cannot be written, or a video not be read.
    """
    render(
        output,
        'index.html',
        ratio=_ratio(film) if film else 1.0,
        title=f'{len(entries)} video{"s" * (len(entries) != 1)}',
        entries=[_shown(entry, output) for entry in entries],
        # Where these lie is nobody's business whom the page is sent to.
        left_out=[
            reason.replace(files.shown(path), files.shown(path.name)) for path, reason in left_out.items()
        ],
        film_place=reference(film, output) if film else None,
        film_name=files.shown(film.name) if film else None,
    )


def _ratio(film: pathlib.Path) -> float:
    """Width by height of a film of square pixels."""
    with VideoReader(film) as reader:
        return reader.stream.width / reader.stream.height


def _shown(entry: Entry, output: pathlib.Path) -> dict[str, object]:
    summary = entry.summary
    parts = storyboard.longest_parts(summary, _PICTURES)
    pictures = storyboard.key_frames(summary, summary.parts[parts], _HEIGHT)
    return {
        'name': files.shown(summary.path.name),
        'duration': summary.duration,
        'length': summary.length,
        'shots': int(summary.chosen.sum()),
        'of': len(summary.shots),
        'pictures': [jpeg_uri(picture) for picture in pictures],
        'film': reference(entry.film, output),
        'page': reference(entry.page, output) if entry.page else None,
        'begin': entry.begin,
    }
