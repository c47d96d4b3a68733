"""A study: variants of one config, compared on the same videos, folds and seeds, to a table and a picture.

Everything is read from what the variants' experiments left in WORKDIR/NAME.
"""

import csv
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
import tabulate

from trsum_jax.protocol import comparison, evaluation, tables
from trsum_jax.protocol.comparison import Cells
from trsum_jax.training import files, outputs, report, study_pictures, transfer

JSON, TABLE, PICTURE = 'study.json', 'study.md', 'study.png'
ROWS = ('untrained', 'random', 'one_out', 'distance_to_mean', 'human')
# What is measured of runs, not of videos: in the last epoch of their stage.
_OF_RUNS = {
    'generator': ('loss', 'loss_segment_mean', 'loss_copy_nearest'),
    'summarizer': ('reward', 'reward_std', 'advantage_rms', 'p_mean', 'p_std', 'penalty'),
}
_SETS = {'test': '', 'train': 'train_'}
METRICS = (
    *(
        f'{part}{of}{metric}'
        for part in _SETS.values()
        for of in ('', 'one_out_')
        for metric in evaluation.METRICS
    ),
    *_OF_RUNS['generator'],
    *_OF_RUNS['summarizer'],
)
_FOOT = (
    'Mean [95% interval]; below, the paired difference to `{first}` on the same {over}. Intervals: {how}. '
    'Columns named `train` are of videos that the run trained on, the others of held-out ones; `one_out` is '
    "the generator's one-out loss as a score; losses, rewards and p are of the last epoch, over runs "
    '(seeds and folds).'
)


def write(
    config: ml_collections.ConfigDict,
    variants: Mapping[str, ml_collections.ConfigDict],
    workdir: pathlib.Path,
) -> str:
    """Writes `study.json`, `study.md` and `study.png`.

    Args:
        config: of the study.
        variants: by name, every one finished in its folder.
        workdir: of the study.

    Returns:
        The tables as Markdown.

    Raises:
        InputError: trainings that cannot score each other's videos, where `config.study.across` asks for it.
    """
    first = config.study.first or next(iter(variants))
    names = [first, *(name for name in variants if name != first)]
    measured = {name: measure(workdir / name) for name in names}
    across: list[str] = []
    if config.study.across:
        across = [f'{transfer.METRICS[0]} on {name}' for name in names]
        for name, cells in transfer.measure(variants, workdir).items():
            # On its own data the folds hold videos out.
            own = {f'{metric} on {name}': measured[name].get(metric, {}) for metric in transfer.METRICS}
            measured[name] |= cells | own
    about = outputs.read_json(workdir / first / files.RESULTS)
    found = compare(measured, first)
    found = {
        'name': config.name,
        'preset': config.preset,
        'synthetic': about['synthetic'],
        'dataset': about['dataset'],
        'split': about['split'],
        'rank_against': about['rank_against'],
        'seeds': list(config.seeds),
        'first': first,
        'columns': [*config.study.columns, *across],
        'rows': yardsticks(workdir / first),
    } | found
    tables.write_json(workdir / JSON, found)
    # Read again, so that the table and the picture are of what the file holds.
    found = outputs.read_json(workdir / JSON)
    text = render(found)
    study_pictures.draw(workdir / PICTURE, found)
    with tables.replacing(workdir / TABLE) as temporary:
        temporary.write_text(text, encoding='utf-8')
    return text


def measure(workdir: pathlib.Path) -> dict[str, Cells]:
    """Every metric of one variant, by seed and video (or fold).

    Args:
        workdir: of a finished experiment.

    Returns:
        By metric: `kendall_tau` and the others of held-out videos, `train_…` of training videos,
        `one_out_…` of the generator's one-out loss as a score, and what the log holds of the last epoch.
    """
    rows = _rows(workdir)
    cells = {
        f'{prefix}{of}{metric}': comparison.from_folds(_chosen(rows, row, part), metric)
        for row, of in ((report.MODEL, ''), ('one_out', 'one_out_'))
        for part, prefix in _SETS.items()
        for metric in evaluation.METRICS
    }
    lines = [json.loads(line) for line in (workdir / files.METRICS).read_text('utf-8').splitlines()]
    for stage, names in _OF_RUNS.items():
        own = [line for line in lines if line['stage'] == stage]
        last = [line for line in own if line['epoch'] == max(one['epoch'] for one in own)]
        for name in names:
            cells[name] = {(one['seed'], f'fold {one["fold"]}'): (one[name], 1.0) for one in last}
    return {name: of for name, of in cells.items() if of}


def compare(measured: Mapping[str, Mapping[str, Cells]], first: str) -> dict[str, Any]:
    """Means, intervals, and differences to the first variant.

    Args:
        measured: by variant, by metric.
        first: the variant to compare with.

    Returns:
        `variants.NAME.METRIC.{mean, low, high, seeds, videos}`, and but for the first also
        `differences.NAME.METRIC` with the same fields.
    """
    differences = {
        name: {
            metric: comparison.difference(cells, measured[first][metric])
            for metric, cells in of.items()
            if metric in measured[first]
        }
        for name, of in measured.items()
        if name != first
    }
    variants = {
        name: {metric: comparison.interval(cells) for metric, cells in of.items()}
        for name, of in measured.items()
    }
    return {'variants': variants, 'differences': differences}


def yardsticks(workdir: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The rows that stand beside every variant, from the first one's experiment.

    Args:
        workdir: of the first variant.

    Returns:
        By row, by metric: the interval.
    """
    rows = _rows(workdir)
    there = {row['row'] for row in rows}
    return {
        row: {
            f'{prefix}{metric}': comparison.interval(comparison.from_folds(_chosen(rows, row, part), metric))
            for part, prefix in _SETS.items()
            for metric in evaluation.METRICS
        }
        for row in ROWS
        if row in there
    }


def render(found: Mapping[str, Any]) -> str:
    """The study as Markdown.

    Args:
        found: what `study.json` holds.

    Returns:
        The text: the variants, their differences to the first, and the yardsticks.
    """
    columns = list(found['columns'])
    data = 'synthetic data' if found['synthetic'] else found['dataset']
    several = len(found['seeds']) > 1
    over = 'seeds and videos' if several else 'videos'
    how = f'bootstrap over {len(found["seeds"])} seeds and all videos' if several else (
        'bootstrap over videos alone, since there is one seed: they say nothing of other seeds'
    )  # fmt: skip
    lines = [
        f'# {found["name"]} ({found["preset"]}), {data}',
        f'{found["split"]}; rank correlation against: {found["rank_against"] or "none"}.',
        _FOOT.format(first=found['first'], over=over, how=how),
        _table('variant', found['variants'], columns),
        f'Difference to `{found["first"]}`:',
        _table('variant', found['differences'], columns, sign='+'),
    ]
    ranked = [c for c in columns if any(c in row for row in found['rows'].values())]
    if found['rows'] and ranked:
        lines += [
            f'On the same data, with the generator of `{found["first"]}` where there is one:',
            _table('', found['rows'], ranked),
        ]
    return '\n\n'.join(lines) + '\n'


def cell(metric: str, value: Mapping[str, float | None], sign: str = '-') -> str:
    """One estimate as text: F in percent, correlations with three decimals, anything else with four.

    Args:
        metric: its name.
        value: with `mean`, `low` and `high`, None where not measured.
        sign: `+` shows it always.

    Returns:
        `mean [low, high]`, the mean alone, or `–`.
    """
    if value['mean'] is None:
        return '–'
    scale, digits = (100, 1) if 'f_' in metric else (1, 3 if 'tau' in metric or 'rho' in metric else 4)
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    mean, low, high = (
        '' if value[k] is None else f'{round(scale * value[k], digits) + 0.0:{sign}.{digits}f}'
        for k in ('mean', 'low', 'high')
    )
    return f'{mean} [{low}, {high}]' if low else mean


def _table(title: str, rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str], sign: str = '-') -> str:
    none = {'mean': None}
    body = [[name, *(cell(c, of.get(c, none), sign) for c in columns)] for name, of in rows.items()]
    headers = [title, *(tables.title(column) for column in columns)]
    return tabulate.tabulate(body, headers, tablefmt='github', disable_numparse=True)


def _rows(workdir: pathlib.Path) -> list[dict[str, Any]]:
    with (workdir / 'videos.csv').open(newline='', encoding='utf-8') as file:
        return [
            row
            | {name: int(row[name]) for name in ('seed', 'fold')}
            | {metric: float(row[metric] or 'nan') for metric in evaluation.METRICS}
            for row in csv.DictReader(file)
        ]


def _chosen(rows: Sequence[dict[str, Any]], row: str, part: str) -> list[dict[str, Any]]:
    return [one for one in rows if one['row'] == row and one['set'] == part]
