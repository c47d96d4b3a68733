"""Real videos to one feature file.

    trsum extract DIR --output=FILE.h5
    python -m trsum_jax.extract --videos=DIR --output=FILE.h5

DIR is a folder of videos; single videos, one or several, will do as well.
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    from trsum_jax import stopping

    stopping.heed()

import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Iterator, Sequence

import tabulate
import tqdm
from absl import flags

from trsum_jax.command import command_line
from trsum_jax.data import datasets, records
from trsum_jax.errors import INCOMPLETE, InputError
from trsum_jax.files import check_outputs, shown, tell
from trsum_jax.video.encoders import loading
from trsum_jax.video.encoders.encoder import Encoder

COMMON = ('videos', 'output', 'rate', 'shots', 'fast', 'overwrite', 'strict', 'encoder', 'weights', 'onnx')


def extract(
    videos: str | pathlib.Path | Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    *,
    encoder: Encoder | None = None,
    rate: float = 2.0,
    method: str = 'kts',
    overwrite: bool = False,
    left_out: dict[pathlib.Path, str] | None = None,
    fast: bool = False,
) -> list[records.Video]:
    """Writes the feature file of a folder of videos, whole or not at all.

    What a person should know (a damaged or skipped video) goes to stderr, as does the progress.

    Args:
        videos: the folder, or one video, or several of these.
        output: the feature file to write; it records the encoder's name.
        encoder: from `loading.load`; the built-in descriptor where None.
        rate: samples per second.
        method: `kts` or `uniform`, how shots are found.
        overwrite: replace `output` if it exists.
        left_out: gets the videos that cannot be used, and why; where None, such a video is an error.
        fast: the samples are key frames, no more than `rate` a second (`skimming.KeyFrameReader`).

    Returns:
        the videos as written, `video_1` onwards, without their features.

    Raises:
        InputError: no videos, `output` exists or cannot be written, or a video that cannot be used.
    """
    describing, folder, reading, skimming = _video_layer()
    if not 0 < rate < float('inf'):
        raise InputError(f'--rate={rate:g}: expected samples per second, above 0')
    paths, notes = folder.find_all([videos] if isinstance(videos, str | pathlib.Path) else videos)
    check_outputs(
        [('--output', output)], {path: f'the video {shown(path)}' for path in paths}, overwrite=overwrite
    )
    for note in notes:
        print(f'note: {note}', file=sys.stderr)
    encoder = encoder or loading.load('descriptor')
    if fast:
        skimming.refuse_clips(encoder)

    faults = {} if left_out is None else left_out

    def leave_out(path: pathlib.Path, error: InputError) -> None:
        faults[path] = str(error)
        if left_out is not None:
            print(f'left out: {error}', file=sys.stderr)

    for path in paths:
        try:
            reading.VideoReader(path).close()
        except InputError as error:
            leave_out(path, error)
    if faults and left_out is None:
        raise _refusal(faults)

    found = []

    def usable() -> Iterator[records.Video]:
        for number, path in enumerate(paths, start=1):
            if path in faults:
                continue
            title = f'{number}/{len(paths)} {shown(path.name)}'
            try:
                with tqdm.tqdm(desc=title, bar_format=describing.BAR) as bar:
                    key = f'video_{len(found) + 1}'
                    video, notes = describing.describe(
                        path, key, encoder, rate=rate, method=method, bar=bar, fast=fast
                    )
                if video.n_steps < 2:
                    raise InputError(
                        f'{shown(path)}: too short: expected at least 2 samples at {rate:g} a second, found '
                        f'{video.n_steps} in {video.n_frames} frames, {video.n_frames / video.fps:.2f} s'
                    )
            except InputError as error:
                leave_out(path, error)
                if left_out is None:
                    raise _refusal(faults) from error
                continue
            for note in notes:
                tell(path, note)
            found.append(dataclasses.replace(video, features=None))
            yield video
        if not found:
            raise InputError('none of the videos can be used, for the reasons above; nothing was written')

    datasets.write_dataset(
        output, usable(), encoder=encoder.name, attributes={'rate': rate}, overwrite=overwrite
    )
    return found


def _video_layer():
    """The modules that need the `video` extra; `--help` is answered without it."""
    try:
        from trsum_jax.video import describing, folder, reading, skimming
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split('.')[0] != 'av':
            raise
        raise InputError(
            f'reading videos needs the package {error.name}, which is not installed; '
            'run: pip install "trsum_jax[video]"'
        ) from error
    return describing, folder, reading, skimming


def _refusal(faults: dict[pathlib.Path, str]) -> InputError:
    each = '\n'.join(f'  {fault}' for fault in faults.values())
    return InputError(
        f'{len(faults)} of the videos cannot be used; nothing was written:\n{each}\nmend or remove them'
    )


def _table(videos: Sequence[records.Video]) -> str:
    rows = [
        (v.key, v.name, v.n_frames / v.fps, v.n_frames, v.fps, v.n_steps, len(v.change_points))
        for v in videos
    ]
    headers = ('key', 'video', 'seconds', 'frames', 'fps', 'steps', 'shots')
    formats = ('', '', '.1f', '', '.2f', '', '')
    return tabulate.tabulate(rows, headers, floatfmt=formats, disable_numparse=[0, 1])


def main(argv: Sequence[str]) -> int:
    """Reads the flags, extracts, and says what came out and what to run next.

    Returns:
        0, or `INCOMPLETE` where videos were left out.
    """
    given = flags.FLAGS
    if given.skip_unreadable:
        print(
            'note: --skip_unreadable does nothing any more: what cannot be used is left out', file=sys.stderr
        )
    encoder = loading.from_flags(given)
    if sys.modules.get('jax'):
        # It is a network, whose program is kept; others go without JAX, which is slow to import.
        from trsum_jax.runtime import compilation

        compilation.remember()
    alone = len(given.videos) == 1 and pathlib.Path(given.videos[0]).is_file()
    left_out = None if given.strict or alone else {}
    videos = extract(
        given.videos,
        given.output,
        encoder=encoder,
        rate=given.rate,
        method=given.shots,
        overwrite=given.overwrite,
        left_out=left_out,
        fast=given.fast,
    )
    print(_table(videos))
    print(f'\nencoder: {encoder.name}')
    print(f'written: {shown(given.output)}; to train on it and score it:')
    flag = shlex.quote(f'--config.data.file={shown(given.output)}')
    print(f'  python -m trsum_jax.main --config=configs/videos.py {flag}')
    if left_out:
        total = len(left_out) + len(videos)
        print(f'{len(left_out)} of {total} videos were left out, for the reasons above', file=sys.stderr)
        return INCOMPLETE
    return 0


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_multi_string('videos', None, 'folder of videos, or one video', required=True)
    flags.DEFINE_string('output', None, 'feature file to write (.h5)', required=True)
    flags.DEFINE_float('rate', 2.0, 'samples per second')
    flags.DEFINE_enum('shots', 'kts', ['kts', 'uniform'], 'how shots are found')
    flags.DEFINE_bool('fast', False, 'samples are key frames alone, which decode several times faster')
    loading.define_flags()
    flags.DEFINE_bool('overwrite', False, 'replace the output if it exists')
    flags.DEFINE_bool('strict', False, 'write nothing where a video cannot be used; else it is left out')
    flags.DEFINE_bool('skip_unreadable', False, 'does nothing: what cannot be used is left out anyway')


if __name__ == '__main__':
    command_line.run(
        main, define_flags, arguments=lambda words, _: [('videos', word) for word in words], common=COMMON
    )
