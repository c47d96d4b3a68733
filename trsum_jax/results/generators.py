"""How well the generators rebuild, in words: their loss beside that of copying the nearest visible frame."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from trsum_jax.results import filenames, metric_log


def standing(curves: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What stage 1 came to.

    Args:
        curves: by metric, [R, epochs], of `metric_log.read`.

    Returns:
        Means over runs: `loss` and `copy_nearest` on what is held aside, in the epoch that was kept, or on
        what is trained on, in the last epoch, where nothing is held aside; `aside`: which of the two; `epoch`
        (from 1) and `epochs` in all; `runs`, and `worse`: how many of them rebuild worse than the copy.
    """
    aside = 'loss_aside' in curves
    loss, copy = (curves[f'loss{"_aside" if aside else ""}{of}'] for of in ('', '_copy_nearest'))
    runs, epochs = loss.shape
    best = loss.argmin(axis=1) if aside else np.full(runs, epochs - 1)
    own, other = (np.take_along_axis(of, best[:, None], axis=1)[:, 0] for of in (loss, copy))
    return {
        'loss': float(own.mean()),
        'copy_nearest': float(other.mean()),
        'aside': aside,
        'epoch': float(best.mean() + 1),
        'epochs': epochs,
        'runs': runs,
        'worse': int(np.sum(own > other)),
    }


def standing_in(workdir: pathlib.Path) -> dict[str, Any]:
    """The same, read from a training's log.

    Args:
        workdir: of a training, its first stage done.

    Returns:
        As `standing`; NaN and no epochs where the log is lost.

    Raises:
        InputError: as `metric_log.read`.
    """
    curves = metric_log.read(workdir / filenames.METRICS, 'generator')
    lost = {'loss': np.nan, 'copy_nearest': np.nan, 'aside': False, 'epoch': np.nan, 'epochs': 0}
    return standing(curves) if curves else lost


def render_standing(found: Mapping[str, Any]) -> str:
    """The same as a sentence, and a warning where generators that reward rebuild worse than a copy does.

    Args:
        found: from `standing`, and `rewards`: whether the reward has a reconstruction.

    Returns:
        Markdown, for below the tables.
    """
    on = 'training videos that were held aside' if found['aside'] else 'training videos'
    when = f'epoch {found["epoch"]:.0f} of {found["epochs"]}'
    text = (
        f'\nGenerator: loss {found["loss"]:.3f} on {on} ({"mean over runs, " if found["runs"] > 1 else ""}'
        f'{when}); a copy of the nearest visible frame has {found["copy_nearest"]:.3f}.\n'
    )
    if not found['rewards']:
        text += 'The reward does not use it.\n'
    elif found['worse']:
        text += (
            f'\nWarning: {found["worse"]} of {found["runs"]} generators rebuild worse than that copy: what '
            'their rewards praise is not yet a better reconstruction. More videos help, or more epochs '
            '(--config.generator.epochs) where the last ones were the best.\n'
        )
    return text
