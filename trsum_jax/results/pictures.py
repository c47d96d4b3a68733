"""What people would rather look at than read: learning curves, results, and scores along the video."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.files import replacing
from trsum_jax.protocol import agreement, evaluation, tables
from trsum_jax.results import metric_log
from trsum_jax.results.report import MODEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MODEL_COLOUR, _OTHER_COLOUR, _SHOT_COLOUR = '#c1440e', '#4a6fa5', '#f2c14e'


def learning_curves(
    path: pathlib.Path, generator: dict[str, np.ndarray], summarizer: dict[str, np.ndarray]
) -> None:
    """Draws both stages: loss beside the trivial reconstructions, reward, p, and the advantages.

    Args:
        path: the PNG.
        generator: metrics of stage 1, each [R, epochs].
        summarizer: metrics of stage 2, each [R, epochs].
    """
    figure, axes = subplots(2, 2, figsize=(11, 7))
    losses = 'loss', 'loss_segment_mean', 'loss_copy_nearest', 'loss_aside', 'loss_aside_copy_nearest'
    panels = [
        (
            'stage 1: reconstruction loss of the candidates',
            generator,
            tuple(name for name in losses if name in generator),
        ),
        ('stage 2: reward', summarizer, ('reward',)),
        ('stage 2: importance p', summarizer, ('p_mean', 'p_std')),
        ('stage 2: what the gradient sees', summarizer, ('reward_std', 'advantage_rms')),
    ]
    for axis, (title, curves, names) in zip(axes.flat, panels, strict=True):
        for name in names:
            _curve(axis, curves[name], name.replace('_', ' '))
        axis.set(title=title, xlabel='epoch')
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    save(figure, path)


def every_curve(path: pathlib.Path, title: str, curves: dict[str, np.ndarray]) -> None:
    """Draws every metric of a stage in a panel of its own: the mean over runs, and their range.

    Args:
        path: the PNG.
        title: of the picture.
        curves: by metric, [R, epochs].
    """
    columns = 4
    figure, axes = subplots(
        -(-len(curves) // columns), columns, figsize=(14, 2.6 * -(-len(curves) // columns)), squeeze=False,
    )  # fmt: skip
    for axis in axes.flat[len(curves) :]:
        axis.axis('off')
    for axis, (name, runs) in zip(axes.flat, curves.items(), strict=False):
        _curve(axis, runs, name)
        axis.set(title=name.replace('_', ' '), xlabel='epoch')
        axis.grid(alpha=0.3)
    figure.suptitle(f'{title}: mean over runs and their range')
    save(figure, path)


def normalised_curves(path: pathlib.Path, curves: dict[str, np.ndarray]) -> None:
    """Draws every run of every curve over its own range, a panel for each curve, with the mean over runs.

    Args:
        path: the PNG.
        curves: by title, [R, epochs].
    """
    columns = 4
    rows = -(-len(curves) // columns)
    figure, axes = subplots(rows, columns, figsize=(14, 2.5 * rows), sharey=True, squeeze=False)
    for axis in axes.flat[len(curves) :]:
        axis.axis('off')
    for axis, (title, runs) in zip(axes.flat, curves.items(), strict=False):
        low, high = runs.min(axis=1, keepdims=True), runs.max(axis=1, keepdims=True)
        scaled = (runs - low) / np.where(high > low, high - low, 1.0)
        epochs = np.arange(1, runs.shape[1] + 1)
        axis.plot(epochs, scaled.T, color=_OTHER_COLOUR, lw=0.5, alpha=0.5)
        axis.plot(epochs, scaled.mean(axis=0), color=_MODEL_COLOUR, lw=1.6)
        axis.set(title=title, xlabel='epoch')
        axis.grid(alpha=0.3)
    figure.suptitle('Each run over its own range (thin), and their mean')
    save(figure, path)


def results_of_rows(path: pathlib.Path, found: dict[str, Any]) -> None:
    """Draws every row's tau and F with intervals, held-out and training videos side by side.

    Args:
        path: the PNG.
        found: from `report.summarize`.
    """
    parts = [('train_mean', 'train_baselines', 'training videos', 's')]
    if found['held_out']:
        parts.insert(0, ('mean', 'baselines', 'held-out videos', 'o'))
    metrics = ('kendall_tau', 'f_avg', 'f_max')
    figure, axes = subplots(1, len(metrics), figsize=(13, 4.2), sharey=True)
    own = found['method']
    names = [own, *found['baselines']]
    for axis, metric in zip(axes, metrics, strict=True):
        scale = 100 if metric.startswith('f_') else 1
        for shift, (mean, others, label, marker) in enumerate(parts):
            rows = {own: found[mean]} | found[others]
            for y, name in enumerate(names):
                value = rows[name][metric]
                colour = _MODEL_COLOUR if name == own else _OTHER_COLOUR
                place = y + 0.22 * shift - 0.11
                axis.plot(
                    scale * value['mean'], place, marker, color=colour, fillstyle='none' if shift else 'full',
                    label=label if y == 0 else None,
                )  # fmt: skip
                axis.plot([scale * value['low'], scale * value['high']], [place] * 2, color=colour, lw=1.5)
        axis.set(title=tables.TITLES[metric])
        axis.grid(alpha=0.3)
    axes[0].set_yticks(range(len(names)), [name.replace('_', ' ') for name in names])
    axes[0].invert_yaxis()
    axes[0].legend(frameon=False, fontsize=8)
    data = 'synthetic data' if found['synthetic'] else pathlib.Path(found['dataset']).name
    figure.suptitle(f'{found["name"]} ({found["preset"]}), {data}: mean and 95% interval over videos')
    save(figure, path)


def variants_beside(path: pathlib.Path, found: dict[str, Any]) -> None:
    """Draws tau of the model and of its yardsticks for every variant, held-out and training videos apart.

    Args:
        path: the PNG.
        found: by variant, what `results.json` holds.
    """
    marks = {
        MODEL: 'o',
        'untrained': 'x',
        'one_out': '^',
        'distance_to_mean': 's',
        'change': 'D',
        'human': '|',
    }
    figure, axes = subplots(1, 2, figsize=(12, 0.45 * len(found) + 1.8), sharey=True, sharex=True)
    for axis, part in zip(axes, ('', 'train_'), strict=True):
        for y, one in enumerate(found.values()):
            rows = {MODEL: one[f'{part}mean']} | one[f'{part}baselines']
            for name, mark in marks.items():
                value = rows.get(name, {}).get('kendall_tau', {'mean': None})
                if value['mean'] is not None:
                    colour = _MODEL_COLOUR if name == MODEL else _OTHER_COLOUR
                    label = name.replace('_', ' ') if y == 0 else None
                    axis.plot(value['mean'], y, mark, color=colour, label=label)
                    if name == MODEL and value['low'] is not None:
                        axis.plot([value['low'], value['high']], [y, y], color=colour)
        axis.axvline(0, color='0.6', lw=0.8)
        axis.grid(alpha=0.3)
        axis.set(title='training videos' if part else 'held-out videos', xlabel='Kendall tau')
    axes[0].set_yticks(range(len(found)), list(found))
    axes[0].invert_yaxis()
    axes[1].legend(frameon=False, fontsize=8, loc='center left', bbox_to_anchor=(1.0, 0.5))
    save(figure, path)


def timelines(
    path: pathlib.Path, videos: Sequence[Video], scores: dict[str, np.ndarray], budget: float
) -> None:
    """Draws the score along each video, its shots, the chosen ones, and what people thought.

    Args:
        path: the PNG.
        videos: the ones to draw, one below the other.
        scores: by video key, [n_steps].
        budget: the summary's share of the video.
    """
    figure, axes = subplots(len(videos), 1, figsize=(11, 2.2 * len(videos) + 0.6), squeeze=False)
    for axis, video in zip(axes[:, 0], videos, strict=True):
        unit, label = (video.fps, 'seconds') if video.fps else (1.0, 'frames')
        own = scores[video.key]
        per_frame = evaluation.frame_scores(own, video.picks, video.n_frames)
        chosen = evaluation.choose_shots(per_frame, video.change_points, video.n_frames, budget)
        for shot, (first, last) in enumerate(video.change_points):
            if chosen[shot]:
                axis.axvspan(first / unit, (last + 1) / unit, color=_SHOT_COLOUR, alpha=0.6, lw=0)
            axis.axvline(first / unit, color='0.8', lw=0.6)
        axis.plot(video.picks / unit, own, color=_MODEL_COLOUR, lw=1.2, label='score')
        references = evaluation.rank_references(video)
        if references is not None:
            people = axis.twinx()
            people.step(
                video.picks / unit,
                references.mean(axis=0),
                where='post',
                color=_OTHER_COLOUR,
                lw=1,
                alpha=0.8,
            )
            people.set_ylabel('people', color=_OTHER_COLOUR)
        axis.set(ylabel='score', title=video.id, xlim=(0, video.n_frames / unit))
    axes[-1, 0].set_xlabel(label)
    figure.suptitle('Score along the video; yellow: the shots that the summary takes')
    save(figure, path)


def one_out_and_people(path: pathlib.Path, video: Video, losses: np.ndarray, budget: float) -> None:
    """Draws the one-out loss along a video beside what people thought, as the paper's Fig. 11 does.

    Args:
        path: the PNG.
        video: with change points and users.
        losses: [n_steps], the one-out reconstruction loss.
        budget: a summary's share of the video, for the shots that the loss alone would take.
    """
    unit, label = (video.fps, 'seconds') if video.fps else (1.0, 'frames')
    references = evaluation.rank_references(video)
    mean = references.mean(axis=0)
    found = agreement.correlations(agreement.Pair(losses, mean[None]))
    figure, (axis, below) = subplots(2, 1, figsize=(11, 4.2), sharex=True, height_ratios=(5, 1))
    seconds = video.picks / unit
    axis.plot(seconds, losses, color=_MODEL_COLOUR, lw=1.2)
    axis.set_ylabel('one-out loss', color=_MODEL_COLOUR)
    people = axis.twinx()
    people.step(seconds, mean, where='post', color=_OTHER_COLOUR, lw=1.2)
    low, high = np.quantile(references, [0.25, 0.75], axis=0)
    people.fill_between(seconds, low, high, step='post', color=_OTHER_COLOUR, alpha=0.15, lw=0)
    people.set_ylabel('people: mean, middle half', color=_OTHER_COLOUR)
    for y, scores in enumerate((mean, losses)):
        per_frame = evaluation.frame_scores(scores, video.picks, video.n_frames)
        chosen = evaluation.choose_shots(per_frame, video.change_points, video.n_frames, budget)
        spans = [(first / unit, (last + 1 - first) / unit) for first, last in video.change_points[chosen]]
        below.broken_barh(spans, (y + 0.1, 0.8), color=(_OTHER_COLOUR, _MODEL_COLOUR)[y], lw=0)
    below.set_yticks((0.5, 1.5), ('by people', 'by the loss'))
    below.set(xlabel=f'{label}; below: the shots that each would take', xlim=(0, video.n_frames / unit))
    values = f'tau {found["kendall_tau"]:.3f}, rho {found["spearman_rho"]:.3f}'
    axis.set_title(f'{video.id}: one-out loss and the mean of people, {values}')
    save(figure, path)


def agreement_of_rows(path: pathlib.Path, found: dict[str, Any]) -> None:
    """Draws every video's tau for every row, with the mean, its interval, and the pooled value.

    Args:
        path: the PNG.
        found: by row, from `agreement.measure_agreement`.
    """
    figure, axes = subplots(1, 2, figsize=(12, 0.55 * len(found) + 1.6), sharey=True)
    titles = {'per_user': 'against each person', 'mean_user': 'against the mean of people'}
    for axis, (form, title) in zip(axes, titles.items(), strict=True):
        for y, of in enumerate(found.values()):
            dots = [video[form]['kendall_tau'] for video in of['videos'].values()]
            axis.plot(dots, np.full(len(dots), y), '.', color=_OTHER_COLOUR, alpha=0.4)
            value = of[form]['kendall_tau']
            axis.plot(value['mean'], y - 0.25, 'o', color=_MODEL_COLOUR)
            axis.plot([value['low'], value['high']], [y - 0.25] * 2, color=_MODEL_COLOUR)
            if form == 'mean_user':
                axis.plot(of['pooled']['kendall_tau']['mean'], y + 0.25, 's', color='0.3', ms=4)
        axis.axvline(0, color='0.6', lw=0.8)
        axis.grid(alpha=0.3)
        axis.set(title=title, xlabel='Kendall tau')
    axes[0].set_yticks(range(len(found)), [name.replace('_', ' ') for name in found])
    axes[0].invert_yaxis()
    figure.suptitle('Every video (dots), the mean with its 95% interval, and all steps pooled (square)')
    save(figure, path)


def subplots(
    rows: int = 1, columns: int = 1, *, figsize: tuple[float, float], **options: Any
) -> tuple['Figure', Any]:
    """A figure and its axes, as those of `pyplot`, whose windows nobody needs here.

    Matplotlib is imported by the first of them: whoever draws nothing need not wait for it, as a process that
    is not the first of its job, or a command that refuses what it is given.

    Args:
        rows: of axes.
        columns: of axes.
        figsize: inches, width and height.
        **options: of `Figure.subplots`.

    Returns:
        The figure, and its axes as `Figure.subplots` has them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout='constrained')
    return figure, figure.subplots(rows, columns, **options)


def _curve(axis: 'Axes', runs: np.ndarray, label: str) -> None:
    all_epochs = runs.shape[1]
    epochs, runs = metric_log.of_told(runs)
    # Between points that are far apart a line alone would pretend to know.
    marker = 'o' if len(epochs) < all_epochs else None
    (line,) = axis.plot(epochs, runs.mean(axis=0), label=label, marker=marker, markersize=4)
    if len(runs) > 1:
        axis.fill_between(epochs, runs.min(axis=0), runs.max(axis=0), alpha=0.2, color=line.get_color(), lw=0)


def save(figure: 'Figure', path: pathlib.Path) -> None:
    """Writes a figure as PNG, whole or not at all; every `$` in it, as in names of videos, is drawn as it is.

    Args:
        figure: from `subplots`.
        path: the PNG.
    """
    from matplotlib.text import Text

    # Between two of them matplotlib else reads a formula, and raises where there is none.
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format='png')
