"""The parts of a summary one by one: as clips with sound, and as stills."""

import dataclasses
import pathlib
import re

from PIL import Image

from trsum_jax import files
from trsum_jax.video.storyboard import key_frames
from trsum_jax.video.summary import Summary
from trsum_jax.video.writing import write_video

STILL = '.jpg'
_QUALITY = 95


def piece_place(folder: pathlib.Path, film: pathlib.Path, number: int, ending: str) -> pathlib.Path:
    """Where a part goes: `holiday-summary-03.mp4` of the film `holiday-summary.mp4`.

    Args:
        folder: of the parts.
        film: of the summary.
        number: of the part, from 1.
        ending: of the file.

    Returns:
        The file.
    """
    return folder / f'{files.shortened(film.stem)}-{number:02d}{ending}'


def pieces_there(folder: pathlib.Path, film: pathlib.Path, ending: str) -> list[pathlib.Path]:
    """The parts of this film that lie in a folder already, by their names; arguments as `piece_place`."""
    if not folder.is_dir():
        return []
    named = re.compile(rf'{re.escape(files.shortened(film.stem))}-\d{{2,}}{re.escape(ending)}')
    return sorted(path for path in folder.iterdir() if named.fullmatch(path.name))


def write_clips(
    summary: Summary, film: pathlib.Path, folder: pathlib.Path, *, sound: str = 'all'
) -> list[str]:
    """Writes each part as a film of its own, as `write_video` does.

    Args:
        summary: whose parts.
        film: of the whole summary: name and kind of the clips.
        folder: where they go; made where it is missing.
        sound: `all` tracks, the `main` one, or `none`.

    Returns:
        What a person should know: clips of an earlier summary.

    Raises:
        InputError: as `write_video`.
    """
    made = []
    for number, part in enumerate(summary.parts, 1):
        made.append(piece_place(folder, film, number, film.suffix))
        write_video(dataclasses.replace(summary, chosen=summary.inside(part)), made[-1], sound=sound)
    return _left(pieces_there(folder, film, film.suffix), made)


def write_stills(summary: Summary, film: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """Writes the key frame of each part as a picture (.jpg), upright, in the size of the video.

    Args:
        summary: whose parts.
        film: of the summary: name of the pictures.
        folder: where they go; made where it is missing.

    Returns:
        What a person should know: stills of an earlier summary.

    Raises:
        InputError: the video cannot be read, or a picture not be written.
    """
    made = []
    # One at a time: pictures of full size.
    for number, part in enumerate(summary.parts, 1):
        made.append(piece_place(folder, film, number, STILL))
        (picture,) = key_frames(summary, part[None], None)
        with files.replacing(made[-1]) as temporary:
            Image.fromarray(picture).save(temporary, 'JPEG', quality=_QUALITY)
    return _left(pieces_there(folder, film, STILL), made)


def _left(there: list[pathlib.Path], made: list[pathlib.Path]) -> list[str]:
    left = [path.name for path in there if path not in made]
    return [f'of an earlier summary, and still there: {", ".join(map(files.shown, left))}'] if left else []
