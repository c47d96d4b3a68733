"""A study: variants of one config, compared on the same videos, folds and seeds, to a table and a picture.

Everything is read from what the variants' experiments left in WORKDIR/NAME.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
import tabulate

from trsum_jax.files import read_json, write_json, write_text
from trsum_jax.protocol import comparison, evaluation
from trsum_jax.protocol.comparison import Cells
from trsum_jax.results import filenames, generators
from trsum_jax.studies import drawing, measures, transfer

_RANKS = ('kendall_tau', 'spearman_rho')
JSON, TABLE, PICTURE = 'study.json', 'study.md', 'study.png'
ROWS = ('untrained', 'random', 'one_out', 'rs_sum', 'distance_to_mean', 'change', 'human')
_FOOT = (
    'Mean [95% interval]; below, the paired difference on the same {over}. Intervals: {how}. '
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
    measured = {name: measures.measure_run(workdir / name) for name in names}
    references = paired_with({name: measures.videos(workdir / name) for name in names})
    across: list[str] = []
    if config.study.across:
        across = [f'{transfer.METRICS[0]} on {name}' for name in names]
        for name, cells in transfer.measure_transfer(variants, workdir).items():
            # On its own data the folds hold videos out.
            own = {f'{metric} on {name}': measured[name].get(metric, {}) for metric in transfer.METRICS}
            measured[name] |= cells | own
    about = read_json(workdir / first / filenames.RESULTS, 'synthetic', 'dataset', 'split', 'rank_against')
    policies = {name: read_json(workdir / name / filenames.RESULTS).get('policy') for name in names}
    settings = variants[first].evaluation
    windows = tuple(f'one_out_{window}' for window in settings.one_out_windows)
    further = tuple(row.partition('=')[0] for row in settings.rows)
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
        'rows': measures.rows(workdir / first, (*ROWS, *windows, *further)),
        'references': references,
        'ran_off': {name: of for name, of in policies.items() if of and (of['full'] or of['empty'])},
        **compare(measured, references, first),
    }
    write_json(workdir / JSON, found)
    # Read again, so that the table and the picture are of what the file holds.
    found = read_json(workdir / JSON)
    text = render(found)
    drawing.draw(workdir / PICTURE, found)
    write_text(workdir / TABLE, text)
    return text


def paired_with(videos: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Which variant each is compared with: the first one that has the same videos.

    Args:
        videos: by variant, from `measures.videos`; in the order of the table.

    Returns:
        By variant; a variant whose videos none before it has stands for itself.
    """
    return {name: next(other for other in videos if videos[other] == own) for name, own in videos.items()}


def compare(
    measured: Mapping[str, Mapping[str, Cells]], references: Mapping[str, str], first: str
) -> dict[str, Any]:
    """Means, intervals, and differences to the variants that each is compared with.

    Args:
        measured: by variant, by metric.
        references: by variant, from `paired_with`.
        first: what `METRIC on NAME` is compared with where nothing else can be: NAME's videos are the same
            for every variant.

    Returns:
        `variants.NAME.METRIC.{mean, low, high, seeds, videos}`, and where a variant is compared with another
        one also `differences.NAME.METRIC` with the same fields.
    """
    # All at once: they share what is drawn.
    cells = {
        ('variants', name, metric): found for name, of in measured.items() for metric, found in of.items()
    }
    for name, of in measured.items():
        other = references[name]
        shared = list(of)
        if other == name != first:
            other, shared = first, [metric for metric in of if ' on ' in metric]
        for metric in shared if other != name else ():
            if metric in measured[other]:
                cells['differences', name, metric] = comparison.paired(of[metric], measured[other][metric])
    found = {'variants': {name: {} for name in measured}, 'differences': {}}
    for (kind, name, metric), one in comparison.intervals(cells).items():
        found[kind].setdefault(name, {})[metric] = one
    return found


def render(found: Mapping[str, Any]) -> str:
    """The study as Markdown.

    Args:
        found: what `study.json` holds.

    Returns:
        The text: the variants, which policies ran off, differences to the first variant, and the yardsticks.
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
        _FOOT.format(over=over, how=how),
        *([evaluation.NOT_NEUTRAL] if evaluation.SUMMARY in (found['rank_against'] or '') else []),
        _table('variant', found['variants'], columns),
        *(f'`{name}`: {generators.render_run_off(of).strip()}' for name, of in found['ran_off'].items()),
    ]
    groups: dict[str, dict[str, Any]] = {}
    for name, of in found['differences'].items():
        other = found['references'][name]
        groups.setdefault(found['first'] if other == name else other, {})[name] = of
    for other, of in groups.items():
        lines += [f'Difference to `{other}`:', _table('variant', of, columns, sign='+')]
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
    own = metric.split(' on ')[0]
    scale, digits = (100, 1) if measures.in_percent(metric) else (1, 3 if own.endswith(_RANKS) else 4)
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    mean, low, high = (
        '' if value[k] is None else f'{round(scale * value[k], digits) + 0.0:{sign}.{digits}f}'
        for k in ('mean', 'low', 'high')
    )
    return f'{mean} [{low}, {high}]' if low else mean


def _table(title: str, rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str], sign: str = '-') -> str:
    none = {'mean': None}
    body = [[name, *(cell(c, of.get(c, none), sign) for c in columns)] for name, of in rows.items()]
    headers = [title, *(measures.title(column) for column in columns)]
    return tabulate.tabulate(body, headers, tablefmt='github', disable_numparse=True)
