"""Real videos to one feature file: `python -m trsum_jax.extract --videos=DIR --output=FILE.h5`."""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import tabulate
import tqdm
from absl import flags

from trsum_jax.data import datasets, records, shots
from trsum_jax.errors import InputError, run_command

SUFFIXES = ('.avi', '.flv', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.mts', '.ogv', '.ts')
SUFFIXES += ('.webm', '.wmv')
RATE = 2.0
BAR = '{desc}: {n:.0f} of {total_fmt} s |{bar}| {elapsed}, {remaining} left'


def find_videos(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """The video files of a folder by name, known by their suffix; a single file stands for itself.

    Args:
        folder: a folder (those below it and hidden files are not looked at), or one file of any suffix.

    Returns:
        at least one path, sorted by name.

    Raises:
        InputError: nothing there, or no video among the files.
    """
    folder = pathlib.Path(folder)
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f'--videos={folder}: expected a folder of videos or one video, found nothing there')
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith('.')]
    videos = sorted((p for p in files if p.suffix.lower() in SUFFIXES), key=lambda p: p.name)
    if not videos:
        raise InputError(
            f'--videos={folder}: expected files ending in {" ".join(SUFFIXES)}, found {len(files)} files and '
            'none of these (folders below are not searched; a file of another suffix can be given by itself)'
        )
    return videos


def extract_video(
    path: pathlib.Path,
    key: str,
    *,
    rate: float = RATE,
    method: str = 'kts',
    bar: tqdm.tqdm | None = None,
) -> tuple[records.Video, list[str]]:
    """Samples, describes and segments one video.

    Args:
        path: the video.
        key: its name in the feature file.
        rate: samples per second.
        method: `kts` or `uniform`, how shots are found.
        bar: shows the seconds done, of those that the file announces.

    Returns:
        the video, named after its file, and what the reader had to note about it.

    Raises:
        InputError: it cannot be read, or gives fewer than two samples.
    """
    encoders, reading = _video_layer()
    picks, features = [], []
    with reading.VideoReader(path) as reader:
        for index, seconds, picture in reader.sample(rate):
            picks.append(index)
            features.append(encoders.descriptor(picture))
            if bar is not None:
                bar.total = round(reader.announced) if reader.announced else None
                bar.update(seconds - bar.n)
    if len(picks) < 2:
        raise InputError(
            f'{path}: too short: expected at least 2 samples at {rate:g} a second, found {len(picks)} in '
            f'{reader.n_frames} frames, {reader.duration:.2f} s'
        )
    picks, features = np.array(picks, np.int64), np.stack(features)
    video = records.Video(
        key=key,
        picks=picks,
        n_frames=reader.n_frames,
        features=features,
        change_points=shots.detect_short(features, picks, reader.n_frames, rate=rate, method=method),
        name=path.name,
        fps=reader.fps,
        frame_times=np.array(reader.frame_times),
    )
    return video, reader.notes


def extract(
    videos: str | pathlib.Path,
    output: str | pathlib.Path,
    *,
    rate: float = RATE,
    method: str = 'kts',
    overwrite: bool = False,
    skip_unreadable: bool = False,
) -> list[records.Video]:
    """Writes the feature file of a folder of videos, whole or not at all.

    What a person should know (a damaged or skipped video) goes to stderr, as does the progress.

    Args:
        videos: the folder, or one video.
        output: the feature file to write.
        rate: samples per second.
        method: `kts` or `uniform`, how shots are found.
        overwrite: replace `output` if it exists.
        skip_unreadable: leave out videos that cannot be used, instead of refusing to write.

    Returns:
        the videos as written, `video_1` onwards, without their features.

    Raises:
        InputError: no videos, `output` exists or cannot be written, or a video that cannot be used.
    """
    encoders, reading = _video_layer()
    output = pathlib.Path(output)
    if not 0 < rate < float('inf'):
        raise InputError(f'--rate={rate:g}: expected samples per second, above 0')
    if output.is_dir() or not output.parent.is_dir():
        missing = 'a folder there' if output.is_dir() else f'no folder {output.parent}; make it first'
        raise InputError(f'--output={output}: expected the name of a file to write, found {missing}')
    if output.exists() and not overwrite:
        raise InputError(
            f'--output={output}: exists already; give another name, or --overwrite to replace it'
        )
    paths = find_videos(videos)

    faults = {}
    for path in paths:
        try:
            reading.VideoReader(path).close()
        except InputError as error:
            faults[path] = str(error)
    if faults and not skip_unreadable:
        raise _refusal(faults)

    found = []

    def usable() -> Iterator[records.Video]:
        for number, path in enumerate(paths, start=1):
            if path in faults:
                continue
            title = f'{number}/{len(paths)} {path.name}'
            try:
                with tqdm.tqdm(desc=title, bar_format=BAR) as bar:
                    key = f'video_{len(found) + 1}'
                    video, notes = extract_video(path, key, rate=rate, method=method, bar=bar)
            except InputError as error:
                faults[path] = str(error)
                if not skip_unreadable:
                    raise _refusal(faults) from error
                continue
            for note in notes:
                print(f'note: {path}: {note}', file=sys.stderr)
            found.append(dataclasses.replace(video, features=None))
            yield video
        if not found:
            raise _refusal(faults)

    datasets.write_dataset(output, usable(), encoder=encoders.DESCRIPTOR, attributes={'rate': rate})
    for fault in faults.values():
        print(f'left out: {fault}', file=sys.stderr)
    return found


def _video_layer():
    """The modules that need the `video` extra; `--help` and wrong paths are answered without it."""
    try:
        from trsum_jax.video import encoders, reading
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split('.')[0] not in ('av', 'skimage'):
            raise
        raise InputError(
            f'reading videos needs the package {error.name}, which is not installed; '
            'run: pip install "trsum_jax[video]"'
        ) from error
    return encoders, reading


def _refusal(faults: dict[pathlib.Path, str]) -> InputError:
    each = '\n'.join(f'  {fault}' for fault in faults.values())
    return InputError(
        f'{len(faults)} of the videos cannot be used; nothing was written:\n{each}\n'
        'mend or remove them, or leave them out with --skip_unreadable'
    )


def _table(videos: Sequence[records.Video]) -> str:
    rows = [
        (v.key, v.name, v.n_frames / v.fps, v.n_frames, v.fps, v.n_steps, len(v.change_points))
        for v in videos
    ]
    headers = ('key', 'video', 'seconds', 'frames', 'fps', 'steps', 'shots')
    return tabulate.tabulate(rows, headers, floatfmt=('', '', '.1f', '', '.2f', '', ''))


def main(argv: Sequence[str]) -> int:
    """Reads the flags, extracts, and says what came out and what to run next."""
    if len(argv) > 1:
        raise InputError(f'expected only --flags, found {" ".join(argv[1:])!r}; did you mean --videos=…?')
    given = flags.FLAGS
    videos = extract(
        given.videos,
        given.output,
        rate=given.rate,
        method=given.shots,
        overwrite=given.overwrite,
        skip_unreadable=given.skip_unreadable,
    )
    print(_table(videos))
    print(f'\nwritten: {given.output}; to train on it and score it:')
    print(f'  python -m trsum_jax.main --config=configs/videos.py --config.data.file={given.output}')
    return 0


if __name__ == '__main__':
    flags.DEFINE_string('videos', None, 'folder of videos, or one video', required=True)
    flags.DEFINE_string('output', None, 'feature file to write (.h5)', required=True)
    flags.DEFINE_float('rate', RATE, 'samples per second')
    flags.DEFINE_enum('shots', 'kts', ['kts', 'uniform'], 'how shots are found')
    flags.DEFINE_bool('overwrite', False, 'replace the output if it exists')
    flags.DEFINE_bool('skip_unreadable', False, 'leave out videos that cannot be used, naming them')
    run_command(main)
