"""Gets one of the field's four feature files, whole and checked, to a folder of the cache.

    trsum fetch tvsum
    trsum train tvsum --config.data.file="$(trsum fetch tvsum)"
    python -m trsum_jax.fetch --dataset=tvsum

The files are summe, tvsum, ovp and youtube, from the Git LFS of github.com/mehryar72/RS-SUM. What
was fetched before an interruption stays, and the same command goes on from there. A file that is
there is checked and not fetched again. Only its path goes to stdout.
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    from trsum_jax import stopping

    stopping.heed(continues=True)

import pathlib
import shlex
import sys
from collections.abc import Sequence

from absl import flags

from trsum_jax.command import command_line
from trsum_jax.data.fetched import download, field_files
from trsum_jax.files import shown


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_enum('dataset', None, list(field_files.FIELD_FILES), 'which of the four', required=True)
    text = "where the file is kept; else the platform's cache folder, ~/.cache/trsum_jax/data on Linux"
    flags.DEFINE_string('folder', None, text)


def main(argv: Sequence[str]) -> None:
    """Says what comes and on which terms, fetches it, and says what to run next."""
    name, folder = flags.FLAGS.dataset, flags.FLAGS.folder
    file = field_files.FIELD_FILES[name]
    print(
        f'{file.name}: features and annotations of {file.dataset}, {file.size / 1e6:.1f} MB\n'
        f'from {field_files.REPOSITORY} (MIT licence), shared there by its author; we host nothing\n'
        f'terms of {file.dataset}: {file.terms}\n'
        f'please cite: {file.cite}',
        file=sys.stderr,
    )
    path = field_files.fetch_field_file(
        name, pathlib.Path(folder) if folder else download.cache_folder() / 'data'
    )
    quoted = shlex.quote(shown(path))
    uses = [f'trsum validate {quoted}']
    if name in ('summe', 'tvsum'):
        uses.append(f'trsum train {name} --config.data.file={quoted}')
    else:
        # More training videos for the other two.
        options = ['--config.data.setting=augmented', f"--config.data.extra_files=('{shown(path)}',)"]
        uses.append(f'trsum train summe --config.data.file=SUMME.h5 {shlex.join(options)}')
    print('whole, and of the right SHA-256; to check it, and to use it:', *uses, sep='\n  ', file=sys.stderr)
    if name == 'tvsum':
        print(
            'rank correlations by its ratings: --config.data.user_scores=ydata-anno.tsv, which comes with '
            'TVSum, github.com/yalesong/tvsum',
            file=sys.stderr,
        )
    print(shown(path))


if __name__ == '__main__':
    command_line.run(main, define_flags, arguments=command_line.in_order('dataset'))
