"""A summary made again from its JSON: other shots, other times, without training.

    trsum recut holiday-summary.json --keep=3,5-7 --drop=2
    python -m trsum_jax.recut --summary=holiday-summary.json

Shots have the numbers of the page. In the JSON people may edit which shots are chosen, or the
start and end of parts. Files are called holiday-summary-cut2.mp4 and so on; with --overwrite they
take the place of those of before.
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    from trsum_jax import stopping

    stopping.heed()

import dataclasses
import pathlib
from collections.abc import Sequence

from absl import flags

from trsum_jax.command import command_line
from trsum_jax.errors import InputError
from trsum_jax.files import shown, tell
from trsum_jax.video.written import output_flags

COMMON = (
    *('summary', 'video', 'keep', 'drop', 'seconds', 'output', 'page', 'json', 'storyboard', 'timeline'),
    *('chapters', 'crossfade', 'sound', 'overwrite'),
)


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_string('summary', None, 'JSON that summarize has written (.json)', required=True)
    flags.DEFINE_string('video', None, 'its video, where that is not where the JSON says')
    output_flags.define_mark_flags()
    flags.DEFINE_float('seconds', None, 'greatest length of the summary; by default as before')
    output_flags.define_output_flags(again=True)
    flags.DEFINE_bool('overwrite', False, 'replace files that exist')


def main(argv: Sequence[str]) -> int:
    """Reads the flags and the JSON, writes, and says what is shown and where it is."""
    given = flags.FLAGS
    with command_line.needing('video', 'making summaries'):
        from trsum_jax.video import choosing, outputs, planning, recutting
    if given.seconds is not None:
        choosing.check_limits(1.0, given.seconds)
    keep, drop = recutting.parse_marks(given.keep, given.drop)
    path = pathlib.Path(given.summary)
    summary, notes = recutting.read_summary(path, pathlib.Path(given.video) if given.video else None)
    if given.crossfade is not None:
        summary = dataclasses.replace(summary, crossfade=given.crossfade)
    targets = planning.plan_recut(given, summary.path)
    if keep or drop or given.seconds is not None:
        if notes:
            raise InputError(
                f'{shown(path)}: expected shots chosen by hand in it, or by --keep, --drop and --seconds, '
                'found both; run recut without these flags first, and mark shots by the numbers of its page'
            )
        summary, more = choosing.choose_again(summary, keep, drop, given.seconds)
        notes += more
    for note in notes:
        tell(path, note)
    outputs.write_and_tell(summary, targets, given.sound)
    return 0


if __name__ == '__main__':
    command_line.run(main, define_flags, arguments=command_line.in_order('summary'), common=COMMON)
