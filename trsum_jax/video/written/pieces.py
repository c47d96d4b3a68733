"""The parts of a summary one by one: as clips with sound, and as stills."""

import pathlib
import re
from collections.abc import Callable

import av
from PIL import Image

from trsum_jax import files
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.storyboard import pictures_at, upright
from trsum_jax.video.summary import Summary
from trsum_jax.video.writing import write_parts

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


def _places(summary: Summary, film: pathlib.Path, folder: pathlib.Path, ending: str) -> list[pathlib.Path]:
    return [piece_place(folder, film, number, ending) for number in range(1, len(summary.parts) + 1)]


def write_clips(
    summary: Summary,
    film: pathlib.Path,
    folder: pathlib.Path,
    *,
    sound: str = 'all',
    progress: Callable[[float], None] | None = None,
) -> list[str]:
    """Writes each part as a film of its own, as `write_video` does, in one pass over the video.

    Args:
        summary: whose parts.
        film: of the whole summary: name and kind of the clips.
        folder: where they go; made where it is missing.
        sound: `all` tracks, the `main` one, or `none`.
        progress: called with the share of frames written, in (0, 1].

    Returns:
        What a person should know: clips of an earlier summary.

    Raises:
        InputError: as `write_video`.
    """
    made = _places(summary, film, folder, film.suffix)
    write_parts(summary, made, sound=sound, progress=progress)
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
    made = _places(summary, film, folder, STILL)
    places = iter(made)

    def save(reader: VideoReader, frame: av.VideoFrame) -> None:
        # Parts ascend, and so do these frames. One at a time: pictures of full size.
        with files.replacing(next(places)) as temporary:
            Image.fromarray(upright(reader, frame)).save(temporary, 'JPEG', quality=_QUALITY)

    pictures_at(summary, [summary.key_frame(part) for part in summary.parts], 'key frames', save)
    return _left(pieces_there(folder, film, STILL), made)


def _left(there: list[pathlib.Path], made: list[pathlib.Path]) -> list[str]:
    left = [path.name for path in there if path not in made]
    return [f'of an earlier summary, and still there: {", ".join(map(files.shown, left))}'] if left else []
