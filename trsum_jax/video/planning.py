"""What `summarize` is to do: its videos, and the files of each summary, all checked before the work."""

import collections
import pathlib
import sys

from absl import flags

from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.video import blending, folder, outputs, reading
from trsum_jax.video.written import subtitles


def plan(
    given: flags.FlagValues,
) -> tuple[list[pathlib.Path], list[pathlib.Path], list[outputs.Targets]]:
    """What the flags ask for: the videos to summarize, those that are only trained on, and all targets.

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
    # None: a name is made, where the part is written by default. An empty one: it is not wanted.
    named = {name: given[name].value for name in (*outputs.BESIDE, *outputs.WISHES)}
    endings = {name: end for name, end in outputs.BESIDE.items() if named[name] is None}
    for name in outputs.WISHES:
        if (ending := f'.{(named[name] or "").lower().removeprefix(".")}') in outputs.ENDINGS[name]:
            endings[name], named[name] = ending, None
    folders = {name: pathlib.Path(given[name].value) for name in outputs.FOLDERS if given[name].value}
    film, place = '.mp4', given.output
    if place and place.lower() in outputs.ENDINGS['video']:
        film, place = place.lower(), None
    if given.video:
        # First of all: names are made from its own.
        reading.VideoReader(given.video).close()
        videos = [pathlib.Path(given.video)]
        also = [path for path in found if path.resolve() != videos[0].resolve()]
        made = videos[0].with_name(f'{folder.summary_name(videos[0].stem)}{film}')
        output = pathlib.Path(place or made)
        chosen = {name: pathlib.Path(value) for name, value in named.items() if value}
        if named['subtitles'] and not subtitles.find(videos[0]):
            raise InputError(
                f'--subtitles={shown(named["subtitles"])}: expected subtitles in the video, or as '
                f'{shown(videos[0].with_suffix(".srt"))}, found none; leave the flag out'
            )
        beside = {name: output.with_suffix(end) for name, end in _fitting(endings, videos[0]).items()}
        targets = [outputs.Targets(output, **chosen, **beside, **folders)]
    else:
        if several := [name for name, value in named.items() if value]:
            kind = several[0]
            wanted = 'no name of one file'
            if kind in outputs.WISHES:
                wanted = f'an ending, {" or ".join(outputs.ENDINGS[kind])},'
            raise InputError(
                f'--{kind}={shown(named[kind])}: expected {wanted} with --videos of {len(found)}, whose '
                'files are named after the videos'
            )
        videos, also, targets = found, [], []
        place = pathlib.Path(place or found[0].parent / 'summaries')
        if place.suffix.lower() in outputs.ENDINGS['video'] or place.is_file():
            raise InputError(
                f'--output={shown(place)}: expected a folder, for --videos, found the name of a file'
            )
        stems = collections.Counter(path.stem for path in videos) + collections.Counter(
            path.name for path in videos if path.suffix
        )
        for path in videos:
            name = folder.summary_name(path.stem if stems[path.stem] == 1 else path.name)
            beside = {kind: place / f'{name}{end}' for kind, end in _fitting(endings, path).items()}
            targets.append(outputs.Targets(place / f'{name}{film}', **beside, **folders))
    outputs.check_places(targets, [*videos, *also], given.overwrite, makes_folders=not given.video)
    for note in notes:
        print(f'note: {note}', file=sys.stderr)
    return videos, also, targets


def _fitting(endings: dict[str, str], video: pathlib.Path) -> dict[str, str]:
    """Those that a video can have: subtitles only where it has some."""
    return {name: end for name, end in endings.items() if name != 'subtitles' or subtitles.find(video)}
