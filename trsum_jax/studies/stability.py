"""The stability of a training's curves: one table and one picture for several experiments side by side."""

import pathlib
from typing import Any

import numpy as np
import tabulate

from trsum_jax.errors import InputError
from trsum_jax.experiment import methods
from trsum_jax.files import read_json, write_json, write_text
from trsum_jax.protocol import stability, tables
from trsum_jax.results import filenames, metric_log, pictures

JSON, TABLE, PICTURE = 'stability.json', 'stability.md', 'stability.png'


def measure_curves(workdir: pathlib.Path) -> dict[str, Any]:
    """Measures the curves of every run of one experiment.

    Args:
        workdir: of a finished training of any method.

    Returns:
        By `stage: metric`: `curves` [R][epochs], the mean over seeds with its interval of every measure
        (`stability.over_seeds`), and `epochs`.

    Raises:
        InputError: no finished training there, or one of fewer than 3 epochs.
    """
    for name in (filenames.RESULTS, filenames.RECORD, filenames.METRICS):
        if not (workdir / name).exists():
            raise InputError(f'{workdir}: expected a finished training, with {name}; found none')
    method = read_json(workdir / filenames.CONFIG, 'method')['method']
    if method not in methods.LEARNED:
        raise InputError(f'{workdir / filenames.CONFIG}: expected a method, found {method!r}')
    seeds = [seed for seed, _ in read_json(workdir / filenames.RECORD, 'runs')['runs']]
    found = {}
    for stage, names in methods.LEARNED[method].items():
        logged = metric_log.read(workdir / filenames.METRICS, stage)
        for name in names:
            try:
                values = {key: of(logged[name]) for key, of in stability.MEASURES.items()}
            except InputError as error:
                raise InputError(f'{workdir / filenames.METRICS}, {stage}: {error}') from error
            found[f'{stage}: {name}'] = {
                'epochs': logged[name].shape[1],
                'curves': logged[name],
                **{key: stability.over_seeds(value, seeds) for key, value in values.items()},
            }
    return found


def compare_curves(workdirs: dict[str, pathlib.Path], to: pathlib.Path) -> str:
    """Measures several experiments, and writes `stability.json`, `.md` and `.png`.

    Args:
        workdirs: by name.
        to: the folder that the three files go to.

    Returns:
        The table as Markdown.

    Raises:
        InputError: as `measure`.
    """
    found = {name: measure_curves(workdir) for name, workdir in workdirs.items()}
    synthetic = all(read_json(one / filenames.RESULTS, 'synthetic')['synthetic'] for one in workdirs.values())
    text = render_curves(found, synthetic)
    write_json(to / JSON, {'synthetic': synthetic, 'variants': found})
    write_text(to / TABLE, text)
    pictures.normalised_curves(
        to / PICTURE,
        {
            f'{name}\n{curve}': np.asarray(one['curves'])
            for name, of in found.items()
            for curve, one in of.items()
        },
    )
    return text


def render_curves(found: dict[str, dict[str, Any]], synthetic: bool) -> str:
    """The measures as a Markdown table.

    Args:
        found: by experiment, from `measure_curves`.
        synthetic: whether all data are generated.

    Returns:
        The text: a row for every curve, `mean [low, high]` over seeds, `–` where no run has a value.
    """
    body, epochs, missing = [], set(), []
    for name, curves in found.items():
        for curve, one in curves.items():
            body.append([name, curve, *(tables.cell(key, one[key]) for key in stability.MEASURES)])
            epochs.add(one['epochs'])
            if one['TVn']['missing']:
                missing.append(f'{name}, {curve}: {one["TVn"]["missing"]}')
    lines = ['# Stability of training' + (' (synthetic data)' if synthetic else '')]
    lines.append(
        "\nMean over seeds [Student's 95% interval over seeds] of the measures of every run's curve, a point "
        'an epoch. TVn: total variation over range, 1 for a monotone curve. MS: mean absolute second '
        'difference over range. RAUC: area under the range-normalised curve.\n'
    )
    lines.append(
        tabulate.tabulate(
            body, ['variant', 'curve', *stability.MEASURES], tablefmt='github', disable_numparse=True
        )
    )
    if len(epochs) > 1:
        lines.append(
            f'\nCurves of {" and ".join(map(str, sorted(epochs)))} epochs: the measures depend on '
            'their number, and do not compare between these.'
        )
    if missing:
        lines.append(f'\nConstant curves, which have no measure, left out: {"; ".join(missing)}.')
    return '\n'.join(lines) + '\n'
