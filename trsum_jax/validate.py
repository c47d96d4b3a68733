"""Checks files of videos whole, in any layout that is read, and lists every fault.

    trsum validate FILE.h5 [FILE.h5 …] [--features=ARRAYS …]
    python -m trsum_jax.validate FILE.h5

The exit code is 1 where one of them is not sound.
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    from trsum_jax import stopping

    stopping.heed()

from collections.abc import Sequence

from absl import flags
from tabulate import tabulate

from trsum_jax.command import command_line
from trsum_jax.data import datasets
from trsum_jax.data.fetched import field_files
from trsum_jax.data.records import Dataset
from trsum_jax.errors import InputError
from trsum_jax.files import shown


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_bool('annotations_only', False, 'Accept videos without features.')
    text = 'Further features of the videos: arrays by id, as in config.data.features; may be repeated.'
    flags.DEFINE_multi_string('features', [], text)


def _span(values: Sequence[int | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return 'none'
    span = f'{min(known)}' if min(known) == max(known) else f'{min(known)} to {max(known)}'
    return span if len(known) == len(values) else f'{span} (in {len(known)} of {len(values)} videos)'


def describe(dataset: Dataset) -> str:
    """A short table of what a sound file holds.

    Args:
        dataset: as the file gives it.

    Returns:
        The table, and the notes below it.
    """

    def lengths(name: str) -> str:
        values = [getattr(video, name) for video in dataset.videos.values()]
        return _span([None if value is None else len(value) for value in values])

    videos = dataset.videos.values()
    rows = [
        ('videos', len(videos)),
        ('steps', f'{_span([video.n_steps for video in videos])}; {sum(v.n_steps for v in videos)} in all'),
        ('frames', _span([video.n_frames for video in videos])),
        ('feature width', _span([None if v.features is None else v.features.shape[1] for v in videos])),
        ('shots', lengths('change_points')),
        ('users (user_summary)', lengths('user_summary')),
        ('users (user_scores)', lengths('user_scores')),
        ('encoder', dataset.encoder or 'not stated'),
        ("one of the field's four", field_files.which_field_file(dataset.path)),
    ]
    return '\n'.join([tabulate(rows, tablefmt='plain'), *(f'note: {note}' for note in dataset.notes)])


def main(argv: Sequence[str]) -> int:
    """Checks the files named on the command line.

    Args:
        argv: the command's name, then the files.

    Returns:
        0 where every file is sound, 1 otherwise.

    Raises:
        InputError: no file was named.
    """
    if len(argv) < 2:
        raise InputError('expected at least one file: trsum validate FILE.h5 [FILE.h5 …]')
    n_unsound, no_features = 0, False
    for path in argv[1:]:
        try:
            dataset, faults = datasets.check_file(
                path,
                in_file=True,
                require_features=not flags.FLAGS.annotations_only,
                features=flags.FLAGS.features,
            )
        except InputError as error:
            dataset, faults = None, [str(error).removeprefix(f'{path}: ')]
        n_unsound += bool(faults)
        no_features |= any('/features: ' in fault and fault.endswith('no such key') for fault in faults)
        if faults:
            print(f'{shown(path)}: {len(faults)} {"fault" if len(faults) == 1 else "faults"}')
            print('\n'.join(f'  {fault}' for fault in faults))
            if (which := field_files.which_field_file(path)) != 'no':
                print(f"  one of the field's four: {which}")
        else:
            print(f'{shown(path)}: sound')
            print(describe(dataset))
    if no_features:
        print(
            'files of annotations without features: --annotations_only checks the rest, --features=FILE '
            'names features in files of their own'
        )
    return 1 if n_unsound else 0


if __name__ == '__main__':
    command_line.run(main, define_flags)
