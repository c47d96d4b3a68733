"""Real videos to one feature file: `python -m trsum_jax.extract --videos=DIR --output=FILE.h5`."""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence

import tabulate
import tqdm
from absl import flags

from trsum_jax import command_line
from trsum_jax.data import datasets, records
from trsum_jax.errors import InputError
from trsum_jax.video import encoders


def extract(
    videos: str | pathlib.Path,
    output: str | pathlib.Path,
    *,
    encoder: encoders.Encoder | None = None,
    rate: float = 2.0,
    method: str = 'kts',
    overwrite: bool = False,
    skip_unreadable: bool = False,
) -> list[records.Video]:
    """Writes the feature file of a folder of videos, whole or not at all.

    What a person should know (a damaged or skipped video) goes to stderr, as does the progress.

    Args:
        videos: the folder, or one video.
        output: the feature file to write; it records the encoder's name.
        encoder: from `encoders.load`; the built-in descriptor where None.
        rate: samples per second.
        method: `kts` or `uniform`, how shots are found.
        overwrite: replace `output` if it exists.
        skip_unreadable: leave out videos that cannot be used, instead of refusing to write.

    Returns:
        the videos as written, `video_1` onwards, without their features.

    Raises:
        InputError: no videos, `output` exists or cannot be written, or a video that cannot be used.
    """
    describing, reading = _video_layer()
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
    paths = describing.find_videos(videos)
    encoder = encoder or encoders.load('descriptor')

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
                with tqdm.tqdm(desc=title, bar_format=describing.BAR) as bar:
                    key = f'video_{len(found) + 1}'
                    video, notes = describing.describe(path, key, encoder, rate=rate, method=method, bar=bar)
                if video.n_steps < 2:
                    raise InputError(
                        f'{path}: too short: expected at least 2 samples at {rate:g} a second, found '
                        f'{video.n_steps} in {video.n_frames} frames, {video.n_frames / video.fps:.2f} s'
                    )
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

    datasets.write_dataset(output, usable(), encoder=encoder.name, attributes={'rate': rate})
    for fault in faults.values():
        print(f'left out: {fault}', file=sys.stderr)
    return found


def _video_layer():
    """The modules that need the `video` extra; `--help` is answered without it."""
    try:
        from trsum_jax.video import describing, reading
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split('.')[0] != 'av':
            raise
        raise InputError(
            f'reading videos needs the package {error.name}, which is not installed; '
            'run: pip install "trsum_jax[video]"'
        ) from error
    return describing, reading


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
    encoder = encoders.from_flags(given)
    videos = extract(
        given.videos,
        given.output,
        encoder=encoder,
        rate=given.rate,
        method=given.shots,
        overwrite=given.overwrite,
        skip_unreadable=given.skip_unreadable,
    )
    print(_table(videos))
    print(f'\nencoder: {encoder.name}')
    print(f'written: {given.output}; to train on it and score it:')
    print(f'  python -m trsum_jax.main --config=configs/videos.py --config.data.file={given.output}')
    return 0


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_string('videos', None, 'folder of videos, or one video', required=True)
    flags.DEFINE_string('output', None, 'feature file to write (.h5)', required=True)
    flags.DEFINE_float('rate', 2.0, 'samples per second')
    flags.DEFINE_enum('shots', 'kts', ['kts', 'uniform'], 'how shots are found')
    encoders.define_flags()
    flags.DEFINE_bool('overwrite', False, 'replace the output if it exists')
    flags.DEFINE_bool('skip_unreadable', False, 'leave out videos that cannot be used, naming them')


if __name__ == '__main__':
    command_line.run(main, define_flags)
