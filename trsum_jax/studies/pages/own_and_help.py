"""Does what a frame earns point to people? `python -m trsum_jax.studies.pages.own_and_help --workdir=DIR`.

DIR is the workdir of a training whose generator is done; `own_and_help.json` and `own_and_help.md` are
written there. With several, `--workdir=A --workdir=B`, one table has a row for each.
"""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import tabulate

from trsum_jax.errors import InputError
from trsum_jax.files import at_home, write_text
from trsum_jax.protocol import tables
from trsum_jax.studies import own_and_help


def render_own_and_help(found: Mapping[str, Mapping[str, Any]]) -> str:
    """One table, with a row for each workdir.

    Args:
        found: by workdir, from `write_own_and_help`; at least one.

    Returns:
        Markdown; what a log does not have is `–`.
    """
    every, scores = list(found.values()), own_and_help.SCORES
    headers = ['workdir', 'generator', 'epoch', 'of', 'loss', 'copy nearest', 'on']
    headers += [*(f'tau {name}' for name in scores), 'std own', 'std help', 'noise of help', 'own with help']
    body = []
    for workdir, of in found.items():
        generator, rows = of['generator'], of['rows']
        size = f'{generator["width"]} x {generator["layers"]}, {generator["parameters"]:,}'
        cells = [workdir, size, _number(generator['epoch'], 0), str(generator['epochs'] or '–')]
        cells += [_number(generator[name]) for name in ('loss', 'copy_nearest')]
        cells += ['videos aside' if generator['aside'] else 'training']
        cells += [tables.cell('kendall_tau', rows[name]) for name in scores]
        cells += [_number(1000 * rows[name]['mean']) for name in ('std_own', 'std_help', 'noise_help')]
        body.append([*cells, tables.cell('correlation', rows['correlation'])])
    table = tabulate.tabulate(body, headers, tablefmt='github', disable_numparse=True)
    synthetic = ' (synthetic data)' if any(of['synthetic'] for of in every) else ''
    draws, videos = (' or '.join(map(str, sorted(of))) for of in (
        {of['draws'] for of in every}, {of['rows']['own']['videos'] for of in every}
    ))  # fmt: skip
    about = (
        "What selecting a frame takes off the composed reward's loss, at half the frames: the frame's own "
        f"loss, what it takes off the others' (help), and both. {draws} selections of each segment. "
        "Kendall's tau with people, and the correlation of own with help over a video's frames: mean over "
        f'{videos} videos [95% bootstrap interval over videos]. Standard deviations over frames, in '
        'thousandths of the loss, and what of that of help is noise of the draws. The generators are those '
        'of the last epoch, or of the least loss on videos held aside where there are any; losses are theirs.'
    )
    return f'# Own and help{synthetic}\n\n{about}\n\n{table}\n'


def _number(value: float, digits: int = 3) -> str:
    return '–' if np.isnan(value) else f'{value:.{digits}f}'


def main(argv: list[str]) -> None:
    """Measures the generators of workdirs and prints one table of all."""
    parser = argparse.ArgumentParser(prog='python -m trsum_jax.studies.pages.own_and_help')
    text = 'of a training; may be given several times'
    parser.add_argument('--workdir', required=True, type=at_home, action='append', help=text)
    parser.add_argument('--draws', default=own_and_help.DRAWS, type=int, help='selections of each segment')
    given = parser.parse_args(argv)
    found = {}
    for workdir in dict.fromkeys(given.workdir):
        found[str(workdir)] = own_and_help.write_own_and_help(workdir, given.draws)
        write_text(
            workdir / f'{own_and_help.NAME}.md', render_own_and_help({str(workdir): found[str(workdir)]})
        )
    print(render_own_and_help(found))


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f'error: {error}')
