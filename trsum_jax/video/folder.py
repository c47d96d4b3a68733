"""The videos of a folder, told by name and content; what is passed over is said."""

import collections
import itertools
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

from trsum_jax.data.layouts.groups import natural_order
from trsum_jax.errors import InputError
from trsum_jax.files import LONGEST_NAME, kind_of, shortened, shown
from trsum_jax.video.opening import ADDRESS
from trsum_jax.video.reading import VideoReader

# fmt: off
# A file so named is meant as a video: where it cannot be opened, that is a fault to name.
_VIDEOS = frozenset((
    '3g2', '3gp', '264', '265', '266', 'asf', 'avc', 'avi', 'cine', 'dav', 'divx', 'dv', 'evo', 'f4v', 'flv',
    'gxf', 'h264', 'h265', 'hevc', 'ivf', 'lxf', 'm1v', 'm2p', 'm2t', 'm2ts', 'm2v', 'm4v', 'mjpeg', 'mjpg',
    'mkv', 'mov', 'mp4', 'mpe', 'mpeg', 'mpg', 'mpv', 'mts', 'mxf', 'nsv', 'nut', 'ogm', 'ogv', 'qt', 'rm',
    'rmvb', 'tod', 'ts', 'ty', 'vob', 'vro', 'webm', 'wmv', 'wtv', 'y4m',
))
# Not opened, so that FFmpeg does not take a page of an archive for a film: pictures (.heic opens as one of a
# single frame), text, subtitles, playlists, sound, data. Whatever is in neither is told by its content.
_OTHERS = frozenset((
    'arw', 'avif', 'bmp', 'cr2', 'cr3', 'dng', 'heic', 'heif', 'ico', 'jp2', 'jpeg', 'jpg', 'jxl', 'nef',
    'png', 'psd', 'raw', 'svg', 'thm', 'tif', 'tiff', 'webp', 'xmp', 'css', 'csv', 'doc', 'docx', 'htm',
    'html', 'ini', 'js', 'json', 'log', 'md', 'nfo', 'odt', 'pdf', 'py', 'rst', 'sh', 'toml', 'tsv', 'txt',
    'xls', 'xlsx', 'xml', 'yaml', 'yml', 'ass', 'edl', 'fcpxml', 'idx', 'm3u', 'm3u8', 'mpd', 'otio', 'pls',
    'sbv', 'srt', 'ssa', 'sub', 'vtt', 'xspf', 'aac', 'ac3', 'aif', 'aiff', 'amr', 'dts', 'flac', 'm4a',
    'm4b', 'mka', 'mp3', 'oga', 'opus', 'wav', 'wma', '7z', 'bin', 'bz2', 'ckpt', 'db', 'dll', 'exe', 'gz',
    'h5', 'hdf5', 'iso', 'mat', 'npy', 'npz', 'onnx', 'pickle', 'pkl', 'pt', 'pth', 'rar', 'so', 'tar', 'xz',
    'zip',
))
# fmt: on
# In which summaries are written.
_FILMS = frozenset(('mp4', 'mov', 'webm'))
_NAMED = 20
# What `recut` adds to the name of a summary, and `targets` where something came to be there meanwhile.
_CUT, _MADE_AGAIN = re.compile(r'-cut\d+(-\d+)?$'), re.compile(r'(-cut\d+)?(-\d+)?$')


def find_videos(folder: str | pathlib.Path) -> tuple[list[pathlib.Path], list[str]]:
    """The video files of a folder in natural order (clip2 before clip10); a single file stands for itself.

    A summary that lies beside its video under the name that `summarize` gives it is passed over.

    Args:
        folder: a folder (those below it and hidden files are not looked at), or one file of any suffix.

    Returns:
        At least one path; files with the name of a video may yet turn out to be damaged. And notes for people
        of what was passed over.

    Raises:
        InputError: nothing there, or no video among the files.
    """
    if not str(folder):
        # To the system it is the folder one is in.
        raise InputError('expected the name of a video or a folder, found an empty one; is a variable unset?')
    folder = pathlib.Path(folder)
    if folder.is_file():
        return [folder], []
    named = f'--videos={shown(folder)}'
    if not folder.is_dir():
        found = 'an address; download it first' if ADDRESS.match(str(folder)) else kind_of(folder)
        raise InputError(f'{named}: expected a folder of videos or one video, found {found}')
    entries = sorted(folder.iterdir(), key=lambda path: (natural_order(path.name), path.name))
    seen = [path for path in entries if not path.name.startswith('.') and path.is_file()]
    by_name = [path for path in seen if _ending(path) in _OTHERS]
    by_content = [path for path in seen if _ending(path) not in _VIDEOS | _OTHERS and not _holds_film(path)]
    videos = [path for path in seen if path not in {*by_name, *by_content}]
    made = {summary_name(name) for path in videos for name in (path.stem, path.name)}
    own = [path for path in videos if _MADE_AGAIN.sub('', path.stem) in made and _ending(path) in _FILMS]
    endings = collections.Counter(f'.{shown(_ending(path))}' for path in by_name)
    folders = sum(path.is_dir() and not path.name.startswith('.') for path in entries)
    hidden = sum(path.name.startswith('.') for path in entries)
    odd = [
        path for path in entries if not path.name.startswith('.') and not (path.is_file() or path.is_dir())
    ]
    parts = [
        by_name
        and 'no videos by name: ' + ', '.join(f'{count} {ending}' for ending, count in endings.items()),
        by_content and f'no videos by content: {_listing(by_content)}',
        own and f'summaries that were made before: {_listing(own)}',
        odd and f'no files: {_listing(odd)}',
        hidden and f'hidden: {hidden}',
        folders and f'folders below: {folders}',
    ]
    told = '; '.join(part for part in parts if part)
    videos = [path for path in videos if path not in own]
    if not videos:
        raise InputError(
            f'{named}: expected videos (.mp4, .mkv, .mov, …), found {told or "an empty folder"}; a file of '
            'any name can be given by itself'
        )
    return videos, [f'passed over {told}'] if told else []


def find_all(places: Sequence[str | pathlib.Path]) -> tuple[list[pathlib.Path], list[str]]:
    """The videos of several places, each as `find_videos` finds them, and each video once.

    Args:
        places: folders and single files.

    Returns:
        As `find_videos`; each note names its place.

    Raises:
        InputError: as `find_videos`.
    """
    found: dict[pathlib.Path, None] = {}
    notes = []
    for place in places:
        videos, told = find_videos(place)
        found |= dict.fromkeys(videos)
        notes += [f'{shown(place)}: {note}' for note in told]
    return list(found), notes


def summary_name(name: str) -> str:
    """The name of a summary before its ending: that of its video, cut where it would be too long.

    Args:
        name: the video's, with or without its ending.

    Returns:
        `NAME-summary`, to which file systems let any ending of ours be added.
    """
    long = len(os.fsencode(f'{name}-summary.html')) > LONGEST_NAME
    return f'{shortened(name) if long else name}-summary'


def cut_names(film: pathlib.Path) -> Iterator[pathlib.Path]:
    """Names for further cuts of a summary, from `a-summary-cut2.mp4` on, without end.

    Args:
        film: of the summary, or of such a cut of it.
    """
    first = _CUT.sub('', film.stem)
    return (film.with_name(f'{first}-cut{number}{film.suffix}') for number in itertools.count(2))


def _ending(path: pathlib.Path) -> str:
    return path.suffix.lower().removeprefix('.')


def _holds_film(path: pathlib.Path) -> bool:
    """Whether two frames decode: one alone is a picture, or a chance find in other data."""
    try:
        with VideoReader(path) as reader:
            frames = reader.frames()
            return next(frames, None) is not None and next(frames, None) is not None
    except InputError:
        return False


def _listing(paths: Sequence[pathlib.Path]) -> str:
    names = ', '.join(shown(path.name) for path in paths[:_NAMED])
    return f'{names} and {len(paths) - _NAMED} more' if len(paths) > _NAMED else names
