"""Does a better reward mean a better summary? `python -m trsum_jax.studies.pages.premise --workdir=DIR`.

DIR is the workdir of a training whose generator is done; `premise.json`, `premise.md` and `premise.png` are
written there, or to the folder of --output.
"""

import argparse
import sys

from trsum_jax.errors import InputError
from trsum_jax.files import at_home
from trsum_jax.studies import premise


def main(argv: list[str]) -> None:
    """Measures the generators of a workdir and prints the table."""
    parser = argparse.ArgumentParser(prog='python -m trsum_jax.studies.pages.premise')
    parser.add_argument('--workdir', required=True, type=at_home, help='of a training')
    parser.add_argument('--draws', default=premise.DRAWS, type=int, help='summaries of each video')
    text = 'different summaries that a video needs to be counted'
    parser.add_argument('--least', default=premise.LEAST, type=int, help=text)
    parser.add_argument('--output', type=at_home, help='a folder; by default the workdir')
    given = parser.parse_args(argv)
    if given.draws < 2:
        raise InputError(f'--draws: expected 2 or more, which can be ranked, found {given.draws}')
    print(premise.write_premise(given.workdir, given.output or given.workdir, given.draws, given.least))


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f'error: {error}')
