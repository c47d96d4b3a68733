"""Where the files of summaries go: their names, and whether they may be written."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from trsum_jax import files
from trsum_jax.errors import InputError
from trsum_jax.video import forms, timeline
from trsum_jax.video.written import pieces, preview, subtitles

T = TypeVar('T')
BESIDE = {'page': '.html', 'json': '.json', 'storyboard': '.png', 'subtitles': '.srt'}
# Written when asked for; the ending alone names them after the summary.
WISHES = ('timeline', 'chapters', 'preview')
# Get a file for each part.
FOLDERS = ('clips', 'stills')
ENDINGS = {
    'video': tuple(forms.FORMS),
    'page': ('.html', '.htm'),
    'json': ('.json',),
    'storyboard': ('.png', '.jpg', '.jpeg'),
    'subtitles': ('.srt',),
    'chapters': ('.txt',),
    'preview': preview.PREVIEWS,
    'timeline': tuple(timeline.ADAPTERS),
}


@dataclasses.dataclass(frozen=True)
class Targets:
    """Where the parts of one summary go; None for what is not wanted.

    `overwrite`: whether files that exist there may be replaced.
    """

    video: pathlib.Path
    page: pathlib.Path | None = None
    json: pathlib.Path | None = None
    storyboard: pathlib.Path | None = None
    timeline: pathlib.Path | None = None
    subtitles: pathlib.Path | None = None
    chapters: pathlib.Path | None = None
    preview: pathlib.Path | None = None
    clips: pathlib.Path | None = None
    stills: pathlib.Path | None = None
    overwrite: bool = False

    def files(self) -> dict[str, pathlib.Path]:
        """By name of the part, those that are written; the video first."""
        return {name: path for name, path in self._named().items() if name not in FOLDERS}

    def folders(self) -> dict[str, pathlib.Path]:
        """By name, the folders that get a file for each part."""
        return {name: path for name, path in self._named().items() if name in FOLDERS}

    def places(self) -> list[pathlib.Path]:
        """All of them, files before folders."""
        return [*self.files().values(), *self.folders().values()]

    def free(self) -> 'Targets':
        """The same where nothing is there, or may be replaced; else under the first number that is free."""
        return _free(self, self.files())

    def _named(self) -> dict[str, pathlib.Path]:
        named = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: path for name, path in named if isinstance(path, pathlib.Path)}


@dataclasses.dataclass(frozen=True)
class Whole:
    """What the summaries of several videos have together; None for what is not wanted.

    `overwrite`: as of `Targets`.
    """

    index: pathlib.Path | None = None
    film: pathlib.Path | None = None
    overwrite: bool = False

    def free(self) -> 'Whole':
        """As `Targets.free`."""
        return _free(self, {name: path for name in ('index', 'film') if (path := getattr(self, name))})


def _free(asked: T, names: Mapping[str, pathlib.Path]) -> T:
    if asked.overwrite or not names:
        return asked
    sets = zip(*map(files.numbered, names.values()), strict=True)
    there = next(paths for paths in sets if not any(path.exists() for path in paths))
    return dataclasses.replace(asked, **dict(zip(names, there, strict=True)))


def check_places(
    targets: Sequence[Targets],
    sources: Sequence[pathlib.Path],
    makes_folders: bool = False,
    whole: Whole | None = None,
) -> None:
    """Refuses, before any work, what could not be written after it.

    Args:
        targets: of all summaries, which say alike whether files that exist may be replaced.
        sources: the videos; none of them is written to.
        makes_folders: whether folders that are missing will be made.
        whole: what they have together.

    Raises:
        InputError: as `files.check_outputs`; an ending that tells no format; a timeline without the package
            that writes it.
    """
    overwrite = all(one.overwrite for one in targets)
    flagged = [
        (f'--{"output" if name == "video" else name}', name, path)
        for one in targets
        for name, path in one.files().items()
    ]
    if whole and whole.index:
        flagged.append(('--index', 'page', whole.index))
    if whole and whole.film:
        flagged.append(('--together', 'video', whole.film))
    for flag, name, path in flagged:
        if path.suffix.lower() not in ENDINGS[name]:
            raise InputError(
                f'{flag}={files.shown(path)}: expected a name ending in {" or ".join(ENDINGS[name])}'
            )
    taken = {path: f'the video {files.shown(path)}' for path in sources}
    taken |= {
        found[0]: f'its subtitles {files.shown(found[0])}'
        for path in sources
        if (found := subtitles.find(path)) and found[0] != path
    }
    files.check_outputs(
        [(flag, path) for flag, _, path in flagged],
        taken,
        overwrite=overwrite,
        makes_folders=makes_folders,
    )
    taken |= {path: f'that it is {flag} too' for flag, _, path in flagged}
    for one in targets:
        for name, place in one.folders().items():
            ending = one.video.suffix if name == 'clips' else pieces.STILL
            first = pieces.piece_place(place, one.video, 1, ending)
            those = {first, *pieces.pieces_there(place, one.video, ending)}
            flagged = [(f'--{name}', path) for path in sorted(those)]
            files.check_outputs(flagged, taken, overwrite=overwrite, makes_folders=True)
        if one.timeline:
            timeline.check_timeline(one.timeline)
