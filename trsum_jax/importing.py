"""Anybody's features to one feature file: an array a video, joined with the annotations of a dataset.

    trsum import ARRAYS ANNOTATIONS.h5 --output=FILE.h5 [--rate=2]
    python -m trsum_jax.importing --arrays=ARRAYS --annotations=ANNOTATIONS.h5 --output=FILE.h5

ARRAYS is a folder of ID.npy, ID.npz, ID_NAME.npy or ID/NAME.npy, one .npz, or one HDF5 file with an
array [n_steps, D] for each ID, which is a video's key, such as video_1, or its name. ANNOTATIONS.h5
has users and shots in the field's layout; TVSum's .mat and .tsv and SumMe's GT have no shots. The
frame of each row is told by arrays (--picks=NAME; those called picks are found without it), by
--rate, by --every, or else it is the annotations' own.
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    from trsum_jax import stopping

    stopping.heed()

import dataclasses
import pathlib
import shlex
from collections.abc import Iterator, Sequence

import tabulate
from absl import flags

from trsum_jax.command import command_line
from trsum_jax.data import annotations as annotations_lib
from trsum_jax.data import datasets
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import arrays as stored_arrays
from trsum_jax.data.stored import joining
from trsum_jax.data.stored.joining import FITTING, Steps
from trsum_jax.errors import InputError
from trsum_jax.files import check_outputs, shown

# Of faults of single videos that are listed.
_LISTED = 20


def import_arrays(
    arrays: str | pathlib.Path,
    annotations: str | pathlib.Path,
    output: str | pathlib.Path,
    steps: Steps | None = None,
    *,
    array: str | None = None,
    fps: float | None = None,
    encoder: str | None = None,
    partial: bool = False,
    overwrite: bool = False,
) -> tuple[list[Video], list[str]]:
    """Writes the feature file of arrays and annotations, whole or not at all.

    Args:
        arrays: a folder, a `.npz` or an HDF5 file; see `stored.arrays.find_arrays`.
        annotations: a file in the field's layout, whose features are replaced; or what
            `annotations.read_annotations` reads, without picks and shots.
        output: the feature file to write.
        steps: which frame each row of features is of; the annotations' own picks by default.
        array: which of a video's arrays are the features; see `joining.choose`.
        fps: frames per second, for videos whose annotations tell none.
        encoder: what made the features, to be recorded.
        partial: whether videos without arrays, and arrays without a video, are left out.
        overwrite: replace `output` if it exists.

    Returns:
        The videos as written, without their features; and notes for people.

    Raises:
        InputError: an output that cannot be written, faulty annotations, arrays that are missing, strange or
            do not fit; each video's fault is named.
    """
    check_outputs(
        [('--output', output)],
        {arrays: 'the file of --arrays', annotations: 'the file of --annotations'},
        overwrite=overwrite,
    )
    dataset = _annotations(annotations, fps)
    steps, found = steps or Steps(), stored_arrays.find_arrays(arrays, named=dataset.named)
    chosen, notes = joining.choose(found, dataset, shown(arrays), steps, array=array, partial=partial)
    written: list[Video] = []

    def joined() -> Iterator[Video]:
        faults = []
        for one in chosen:
            video, wrong = joining.join(found, one, steps)
            faults += wrong
            if video is None:
                continue
            width, usual = video.features.shape[1], written[0].features.shape[1] if written else None
            if usual is not None and width != usual:
                faults.append(
                    f'{shown(one.features)}: expected {usual} features a row as in {written[0].id}, found '
                    f'{width}'
                )
            # Of those written before, the first one's width is all that is needed.
            written.append(video if not written else dataclasses.replace(video, features=None))
            if not faults:
                yield video
        if faults:
            more = [f'and {len(faults) - _LISTED} more'] if len(faults) > _LISTED else []
            raise InputError(
                f'{shown(arrays)}: expected arrays that fit {shown(annotations)}, found otherwise; nothing '
                'was written:\n  ' + '\n  '.join([*faults[:_LISTED], *more])
            )

    datasets.write_dataset(
        output, joined(), synthetic=dataset.synthetic, encoder=encoder, overwrite=overwrite
    )
    return [dataclasses.replace(video, features=None) for video in written], [*dataset.notes, *notes]


def _annotations(path: str | pathlib.Path, fps: float | None) -> Dataset:
    if annotations_lib.is_distributed(path):
        dataset, faults = annotations_lib.as_dataset(path), []
    else:
        dataset, faults = datasets.check_file(path, require_features=False, in_file=True)
    if faults:
        more = f' (and {len(faults) - 1} more)' if len(faults) > 1 else ''
        raise InputError(
            f'{shown(path)}: {faults[0]}{more}; trsum validate --annotations_only {shown(path)} lists all'
        )
    videos = {key: dataclasses.replace(video, fps=video.fps or fps) for key, video in dataset.videos.items()}
    return dataclasses.replace(dataset, videos=videos)


def _table(videos: Sequence[Video]) -> str:
    rows = [
        (
            *(v.key, v.name, v.n_frames, v.n_steps, v.n_frames / v.n_steps),
            None if v.change_points is None else len(v.change_points),
            next((len(of) for of in (v.user_scores, v.user_summary) if of is not None), None),
        )
        for v in videos
    ]
    headers = ('key', 'video', 'frames', 'steps', 'frames a step', 'shots', 'people')
    formats = ('', '', '', '', '.2f', '', '')
    return tabulate.tabulate(rows, headers, floatfmt=formats, disable_numparse=[0, 1], missingval='–')


def main(argv: Sequence[str]) -> None:
    """Reads the flags, writes the file, and says what is in it and what to run next."""
    given = flags.FLAGS
    told = [f'--{name}' for name in ('picks', 'rate', 'every') if given[name].value is not None]
    if len(told) > 1:
        raise InputError(f'{" and ".join(told)}: expected one of them, as each says what frames rows are of')
    for name in ('rate', 'fps'):
        if given[name].value is not None and not 0 < given[name].value < float('inf'):
            raise InputError(f'--{name}: expected a number above 0, found {given[name].value:g}')
    every = given.every
    if every is not None and every != FITTING:
        if not (every.isdecimal() and every.isascii() and 0 < int(every[:19]) < 1e9):
            raise InputError(
                f'--every={shown(every)}: expected a whole number of frames from 1, or {FITTING}, the one '
                "that fits each video's length"
            )
        every = int(every)
    videos, notes = import_arrays(
        given.arrays,
        given.annotations,
        given.output,
        Steps(given.picks, given.rate, every),
        array=given.array,
        fps=given.fps,
        encoder=given.encoder,
        partial=given.partial,
        overwrite=given.overwrite,
    )
    print(_table(videos))
    for note in notes:
        print(f'note: {note}')
    print(f'written: {shown(given.output)}; to check it, and to train on it:')
    print(f'  trsum validate {shlex.quote(shown(given.output))}')
    print(f'  trsum train videos {shlex.quote(f"--config.data.file={shown(given.output)}")}')


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_string('arrays', None, 'folder, .npz or HDF5 file of arrays by id', required=True)
    flags.DEFINE_string(
        'annotations',
        None,
        "users and shots in the field's layout (.h5), or as TVSum and SumMe have them",
        required=True,
    )
    flags.DEFINE_string('output', None, 'feature file to write (.h5)', required=True)
    text = 'which arrays are the features, by what stands behind the id: embeddings of ID_embeddings.npy'
    flags.DEFINE_string('array', None, text)
    flags.DEFINE_string('picks', None, 'likewise, which arrays hold the frame of each row')
    flags.DEFINE_float('rate', None, 'rows a second; needs frames per second in the annotations, or --fps')
    text = f"frames from one row to the next: a number, or {FITTING}, the one that fits each video's length"
    flags.DEFINE_string('every', None, text)
    flags.DEFINE_float('fps', None, 'frames per second of videos whose annotations tell none')
    flags.DEFINE_string('encoder', None, 'what made the features, to be recorded in the file')
    flags.DEFINE_bool('partial', False, 'leave out videos without arrays, and arrays without a video')
    flags.DEFINE_bool('overwrite', False, 'replace the output if it exists')


if __name__ == '__main__':
    command_line.run(main, define_flags, arguments=command_line.in_order('arrays', 'annotations'))
