"""What people would rather look at than read: learning curves, results, and scores along the video."""

import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt

from trsum_jax.data.records import Video
from trsum_jax.protocol import evaluation, tables
from trsum_jax.training.report import MODEL

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
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout='constrained')
    panels = [
        (
            'stage 1: reconstruction loss of the candidates',
            generator,
            ('loss', 'loss_segment_mean', 'loss_copy_nearest'),
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


def results(path: pathlib.Path, found: dict[str, Any]) -> None:
    """Draws every row's tau and F with intervals, held-out and training videos side by side.

    Args:
        path: the PNG.
        found: from `report.summarize`.
    """
    parts = [('train_mean', 'train_baselines', 'training videos', 's')]
    if found['held_out']:
        parts.insert(0, ('mean', 'baselines', 'held-out videos', 'o'))
    metrics = ('kendall_tau', 'f_avg', 'f_max')
    figure, axes = plt.subplots(1, len(metrics), figsize=(13, 4.2), sharey=True, layout='constrained')
    names = [MODEL, *found['baselines']]
    for axis, metric in zip(axes, metrics, strict=True):
        scale = 100 if metric.startswith('f_') else 1
        for shift, (mean, others, label, marker) in enumerate(parts):
            rows = {MODEL: found[mean]} | found[others]
            for y, name in enumerate(names):
                value = rows[name][metric]
                colour = _MODEL_COLOUR if name == MODEL else _OTHER_COLOUR
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


def variants(path: pathlib.Path, found: dict[str, Any]) -> None:
    """Draws tau of the model and of its yardsticks for every variant, held-out and training videos apart.

    Args:
        path: the PNG.
        found: by variant, what `results.json` holds.
    """
    marks = {MODEL: 'o', 'untrained': 'x', 'one_out': '^', 'distance_to_mean': 's', 'human': '|'}
    figure, axes = plt.subplots(
        1, 2, figsize=(12, 0.45 * len(found) + 1.8), sharey=True, sharex=True, layout='constrained'
    )
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
    figure, axes = plt.subplots(
        len(videos), 1, figsize=(11, 2.2 * len(videos) + 0.6), layout='constrained', squeeze=False
    )
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


def _curve(axis: plt.Axes, runs: np.ndarray, label: str) -> None:
    epochs = np.arange(1, runs.shape[1] + 1)
    (line,) = axis.plot(epochs, runs.mean(axis=0), label=label)
    if len(runs) > 1:
        axis.fill_between(epochs, runs.min(axis=0), runs.max(axis=0), alpha=0.2, color=line.get_color(), lw=0)


def save(figure: plt.Figure, path: pathlib.Path) -> None:
    """Writes a figure as PNG, whole or not at all, and closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tables.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format='png')
    plt.close(figure)
