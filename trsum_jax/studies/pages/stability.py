"""TVn, MS and RAUC of a suite's curves: `python -m trsum_jax.studies.pages.stability --workdir=DIR`.

DIR is the workdir of a suite such as `configs/studies/stability.py`, all of whose variants are finished;
`stability.json`, `stability.md` and `stability.png` are written there.
"""

import argparse
import sys

from trsum_jax.errors import InputError
from trsum_jax.files import at_home, read_json
from trsum_jax.results import filenames
from trsum_jax.studies import stability


def main(argv: list[str]) -> None:
    """Measures all variants of a workdir and prints their table."""
    parser = argparse.ArgumentParser(prog='python -m trsum_jax.studies.pages.stability')
    parser.add_argument('--workdir', required=True, type=at_home, help='of a finished suite')
    workdir = parser.parse_args(argv).workdir
    if not (workdir / filenames.RESULTS).exists():
        raise InputError(
            f'--workdir={workdir}: expected a finished suite, with {filenames.RESULTS}; found none'
        )
    variants = read_json(workdir / filenames.RESULTS).get('variants', {})
    if not variants:
        raise InputError(
            f'--workdir={workdir}: expected a suite of several variants, found a lone experiment'
        )
    print(stability.compare_curves({name: workdir / name for name in variants}, workdir))


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f'error: {error}')
