"""What `summarize` is to do: its videos, and the files of each summary, all checked before the work."""

import collections
import pathlib
import sys

from absl import flags

from trsum_jax.errors import InputError
from trsum_jax.files import numbered, shown
from trsum_jax.video import blending, folder, reading
from trsum_jax.video.targets import BESIDE, ENDINGS, FOLDERS, WISHES, Targets, Whole, check_places
from trsum_jax.video.written import subtitles


def plan(
    given: flags.FlagValues,
) -> tuple[list[pathlib.Path], list[pathlib.Path], list[Targets], Whole]:
    """What the flags ask for: the videos to summarize, those that are only trained on, and all targets.

    The page of all summaries is written where each has one, under a name that is free.

    Raises:
        InputError: flags that contradict each other, no video to open, or files that exist, clash or cannot
            be made.
    """
    if not given.video and not given.videos:
        raise InputError('expected --video=FILE, or --videos=DIR for all videos of a folder; found neither')
    if given.seconds is not None and given.budget is not None:
        raise InputError('expected --budget or --seconds, found both; leave one out')
    blending.check_crossfade(given.crossfade, '--crossfade')
    found, notes = folder.find_all(given.videos or ())
    wishes, whole = _Wishes(given), Whole()
    film, place = wishes.film, wishes.place
    if given.video:
        for flag in ('index', 'together'):
            if given[flag].value:
                raise InputError(f'--{flag}: expected several videos, without --video, found one')
        # First of all: names are made from its own.
        reading.VideoReader(given.video).close()
        videos = [pathlib.Path(given.video)]
        also = [path for path in found if path.resolve() != videos[0].resolve()]
        made = videos[0].with_name(f'{folder.summary_name(videos[0].stem)}{film}')
        targets = [wishes.targets(videos[0], pathlib.Path(place or made))]
    else:
        wishes.refuse_names(len(found))
        videos, also, targets = found, [], []
        place = pathlib.Path(place or found[0].parent / 'summaries')
        if place.suffix.lower() in ENDINGS['video'] or place.is_file():
            raise InputError(
                f'--output={shown(place)}: expected a folder, for --videos, found the name of a file'
            )
        stems = collections.Counter(path.stem for path in videos) + collections.Counter(
            path.name for path in videos if path.suffix
        )
        for path in videos:
            name = folder.summary_name(path.stem if stems[path.stem] == 1 else path.name)
            targets.append(wishes.targets(path, place / f'{name}{film}'))
        whole = _whole(given, place)
    if (given.keep or given.drop) and len(videos) > 1:
        raise InputError(
            f'--keep and --drop: expected one video, whose shots they are, found {len(videos)}; summarize '
            'them, and use trsum recut on the JSON of each'
        )
    check_places(targets, [*videos, *also], makes_folders=not given.video, whole=whole)
    for note in notes:
        print(f'note: {note}', file=sys.stderr)
    return videos, also, targets, whole


def plan_recut(given: flags.FlagValues, video: pathlib.Path) -> Targets:
    """Where a summary goes that is made again.

    Beside its JSON `NAME.json`, as `NAME-cut2.mp4` and so on, by the first number that is free; with
    `--overwrite` as `NAME.mp4`, in the place of the one before. Of a film that is there under the name of the
    JSON the ending is kept.

    Args:
        given: the flags of `recut`.
        video: what it is of.

    Raises:
        InputError: as `plan`.
    """
    blending.check_crossfade(given.crossfade or 0.0, '--crossfade')
    wishes, path = _Wishes(given), pathlib.Path(given.summary)
    if not given.output:
        films = (path.with_suffix(ending) for ending in ENDINGS['video'])
        before = (film.suffix for film in films if film.is_file() and not film.samefile(video))
        wishes.film = next(before, wishes.film)
    output = path.with_suffix(wishes.film)
    if wishes.place:
        output = pathlib.Path(wishes.place)
    elif not given.overwrite:
        output = next(place for place in folder.cut_names(output) if not _taken(place))
    targets = wishes.targets(video, output)
    check_places([targets], [video])
    return targets


def _whole(given: flags.FlagValues, folder: pathlib.Path) -> Whole:
    """What all summaries have together, in the folder of their own files."""
    index = given.index
    if index is None and given.page is None:
        names = numbered(folder / 'index.html')
        index = next(path for path in names if given.overwrite or not path.exists())
    index, film = (pathlib.Path(name) if name else None for name in (index, given.together))
    return Whole(index, film, overwrite=given.overwrite)


def _taken(film: pathlib.Path) -> bool:
    return any(film.with_suffix(ending).exists() for ending in (*ENDINGS['video'], *BESIDE.values()))


class _Wishes:
    """What the flags say of the files of a summary.

    Attributes:
        film: the ending of the film.
        place: of the film, or the folder; None where a name is made.
    """

    def __init__(self, given: flags.FlagValues):
        # None: a name is made, where the part is written by default. An empty one: it is not wanted.
        self._named = {name: given[name].value for name in (*BESIDE, *WISHES)}
        self._endings = {name: end for name, end in BESIDE.items() if self._named[name] is None}
        for name in WISHES:
            ending = f'.{(self._named[name] or "").lower().removeprefix(".")}'
            if ending in ENDINGS[name]:
                self._endings[name], self._named[name] = ending, None
        self._folders = {name: pathlib.Path(given[name].value) for name in FOLDERS if given[name].value}
        self._overwrite = given.overwrite
        self.film, self.place = '.mp4', given.output
        if self.place and self.place.lower() in ENDINGS['video']:
            self.film, self.place = self.place.lower(), None

    def targets(self, video: pathlib.Path, output: pathlib.Path) -> Targets:
        """The files of one summary, beside its film; subtitles only where the video has some."""
        asked = self._named['subtitles']
        # Not wanted, they are not looked for: that opens the video.
        has_subtitles = asked != '' and bool(subtitles.find(video))
        if asked and not has_subtitles:
            raise InputError(
                f'--subtitles={shown(asked)}: expected subtitles in the video, or as '
                f'{shown(video.with_suffix(".srt"))}, found none; leave the flag out'
            )
        chosen = {name: pathlib.Path(value) for name, value in self._named.items() if value}
        beside = {
            name: output.with_suffix(ending)
            for name, ending in self._endings.items()
            if name != 'subtitles' or has_subtitles
        }
        return Targets(output, **chosen, **beside, **self._folders, overwrite=self._overwrite)

    def refuse_names(self, count: int) -> None:
        """Refuses the name of one file for what so many videos get."""
        for kind, value in self._named.items():
            if value:
                wanted = 'no name of one file'
                if kind in WISHES:
                    wanted = f'an ending, {" or ".join(ENDINGS[kind])},'
                raise InputError(
                    f'--{kind}={shown(value)}: expected {wanted} with --videos of {count}, whose files are '
                    'named after the videos'
                )
