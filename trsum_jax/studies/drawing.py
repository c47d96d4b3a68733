"""Studies as pictures: variants with their differences, and correlations with every video as a dot."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trsum_jax.results import pictures
from trsum_jax.studies import measures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More do not fit beside each other.
_PANELS = 5
_FIRST, _OTHERS, _LINES = '#4a6fa5', '#c1440e', ('#2e7d4f', '#b8860b', '#8a6bb1', '#888888')
_YARDSTICKS = ('distance_to_mean', 'change', 'one_out', 'untrained')


def draw(path: pathlib.Path, found: Mapping[str, Any]) -> None:
    """Draws the columns of a study.

    Args:
        path: the PNG.
        found: what `study.json` holds.
    """
    columns = [c for c in found['columns'] if any(c in of for of in found['variants'].values())][:_PANELS]
    if not columns:
        figure, axis = pictures.subplots(figsize=(7, 1))
        axis.text(
            0.5, 0.5, f'none of {", ".join(found["columns"])} could be measured', ha='center', va='center'
        )
        axis.set_axis_off()
        pictures.save(figure, path)
        return
    names, others = list(found['variants']), list(found['differences'])
    rows = [names, others] if others else [names]
    height = 0.3 * (len(names) + len(others)) + 2.2
    figure, axes = pictures.subplots(
        len(rows), len(columns), figsize=(2.7 * len(columns) + 1.8, height),
        squeeze=False, sharey='row', height_ratios=[len(labels) + 0.5 for labels in rows],
    )  # fmt: skip
    for column, (above, *below) in zip(columns, axes.T, strict=True):
        _points(above, [found['variants'][name].get(column) for name in names], column, first=True)
        for row, colour in zip(_YARDSTICKS, _LINES, strict=True):
            value = found['rows'].get(row, {}).get(column, {'mean': None})['mean']
            if value is not None:
                above.axvline(
                    _scale(column) * value, color=colour, lw=1, ls='--', label=row.replace('_', ' ')
                )
        for axis in below:
            _points(axis, [found['differences'][name].get(column) for name in others], column)
            axis.axvline(0, color='0.4', lw=1)
        above.set_title(measures.title(column), fontsize=9)
    for axis, labels in zip(axes[:, 0], rows, strict=True):
        axis.set_yticks(range(len(labels)), labels, fontsize=8)
        axis.set_ylim(len(labels) - 0.5, -0.5)
    if others:
        axes[1, 0].set_ylabel('difference', fontsize=8)
    handles = {
        text: line for axis in axes[0] for line, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    if handles:
        figure.legend(
            handles.values(), handles, loc='outside lower center', ncols=3, frameon=False, fontsize=8
        )
    data = 'synthetic data' if found['synthetic'] else pathlib.Path(found['dataset']).name
    figure.suptitle(f'{found["name"]} ({found["preset"]}), {data}: mean and 95% interval', fontsize=10)
    pictures.save(figure, path)


def draw_correlations(path: pathlib.Path, title: str, panels: Mapping[str, Mapping[str, Any]]) -> None:
    """Draws rows of correlations beside each other: every video a dot, and the mean with its interval.

    Args:
        path: the PNG.
        title: of the picture.
        panels: by title, by row, a `tables.estimate` with its `values` by video, NaN where there is none;
            the rows of all are the same.
    """
    rows = list(next(iter(panels.values())))
    size = 2.6 * len(panels) + 1.6, 0.35 * len(rows) + 1.4
    figure, axes = pictures.subplots(1, len(panels), figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, (heading, of) in zip(axes[0], panels.items(), strict=True):
        for y, one in enumerate(of.values()):
            dots = list(one['values'].values())
            axis.plot(dots, [y] * len(dots), '.', color=_FIRST, alpha=0.4)
        _points(axis, list(of.values()), heading)
        axis.axvline(0, color='0.4', lw=1)
        axis.set_title(heading, fontsize=9)
    axes[0, 0].set_yticks(range(len(rows)), [name.replace('_', ' ') for name in rows], fontsize=8)
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(title, fontsize=10)
    pictures.save(figure, path)


def _points(
    axis: 'Axes', values: Sequence[Mapping[str, Any] | None], column: str, first: bool = False
) -> None:
    for y, value in enumerate(values):
        if value is None or value['mean'] is None:
            continue
        colour = _FIRST if first and y == 0 else _OTHERS
        axis.plot(_scale(column) * value['mean'], y, 'o', ms=4, color=colour)
        if value['low'] is not None:
            axis.plot([_scale(column) * value[end] for end in ('low', 'high')], [y, y], color=colour, lw=1.5)
    axis.grid(alpha=0.3)
    axis.tick_params(axis='x', labelsize=7)
    axis.locator_params(axis='x', nbins=4)


def _scale(column: str) -> float:
    return 100.0 if measures.in_percent(column) else 1.0
