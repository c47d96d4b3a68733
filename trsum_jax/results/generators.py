"""Which generators are kept, how well they rebuild beside a copy, and whether policies ran off, in words."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from trsum_jax.results import filenames, metric_log

# What stage 1 is judged by, without and with validation videos.
_JUDGES = {False: 'training videos that were held aside', True: 'validation videos'}

# A mean p so near to 0 or 1 that draws hardly differ.
_OFF = 0.02


def selection(curves: Mapping[str, Mapping[str, np.ndarray]], validation: bool) -> dict[str, str]:
    """By what the epoch of every stage is chosen.

    Args:
        curves: by stage, by metric, of `metric_log.read`.
        validation: whether the folds have validation videos.

    Returns:
        By stage, in words; `validation`, where there are such videos: what they are used for; and `test`,
        what test videos choose: nothing, ever.
    """
    judged = [name for name, of in curves.items() if 'loss_aside' in of]
    found = dict.fromkeys(curves, 'last epoch')
    found |= dict.fromkeys(judged, f'least loss on {_JUDGES[validation]}, no labels')
    if validation:
        found['validation'] = f'chooses the epoch of the {judged[0]}' if judged else 'not used'
    return found | {'test': 'never'}


def render_selection(found: Mapping[str, str]) -> str:
    """The same as a line below the title of the results.

    Args:
        found: from `selection`.

    Returns:
        Such as `Epoch taken: generator: last epoch; …. Nothing is chosen on test videos.`
    """
    stages = '; '.join(f'{name}: {how}' for name, how in found.items() if name not in ('validation', 'test'))
    beside = f' Validation videos: {found["validation"]}.' if 'validation' in found else ''
    return f'Epoch taken: {stages}.{beside} Nothing is chosen on test videos.'


def standing(curves: Mapping[str, np.ndarray], validation: bool = False) -> dict[str, Any]:
    """What stage 1 came to.

    Args:
        curves: by metric, [R, epochs], of `metric_log.read`.
        validation: whether the folds have validation videos.

    Returns:
        Means over runs: `loss` and `copy_nearest` on what is held aside, in the epoch that was kept, or on
        what is trained on, in the last epoch, where nothing is held aside; `aside`: which of the two, and
        `validation`: whether it is the folds' own videos for that; `epoch` (from 1) and `epochs` in all;
        `runs`, and `worse`: how many of them rebuild worse than the copy.
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
        'validation': aside and validation,
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
    lost = dict.fromkeys(('loss', 'copy_nearest', 'epoch'), np.nan) | {'aside': False, 'validation': False}
    return standing(curves) if curves else lost | dict.fromkeys(('epochs', 'runs', 'worse'), 0)


def render_standing(found: Mapping[str, Any]) -> str:
    """The same as a sentence, and a warning where generators that reward rebuild worse than a copy does.

    Args:
        found: from `standing`, and `rewards`: whether the reward has a reconstruction.

    Returns:
        Markdown, for below the tables.
    """
    on = _JUDGES[found['validation']] if found['aside'] else 'training videos'
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


def run_off(curves: Mapping[str, np.ndarray]) -> dict[str, int]:
    """How many policies select nearly every frame at the end, or nearly none, so that draws hardly differ.

    Args:
        curves: of stage 2, by metric, [R, epochs], of `metric_log.read`.

    Returns:
        `runs`, and how many of them ended with a mean p above .98, `full`, or below .02, `empty`.
    """
    p = curves['p_mean'][:, -1]
    return {'runs': len(p), 'full': int(np.sum(p > 1 - _OFF)), 'empty': int(np.sum(p < _OFF))}


def render_run_off(found: Mapping[str, int]) -> str:
    """The same as a warning.

    Args:
        found: from `run_off`.

    Returns:
        Markdown, for below the tables; empty where no policy ran off.
    """
    return ''.join(
        f'\nWarning: in {found[end]} of {found["runs"]} runs the policy ran off to p = {p}: it selects '
        f'nearly {what}, draws hardly differ, and nothing is learned from them. Raise the weight of the '
        'length penalty (--config.summarizer.penalty_weight) beside the size of the advantages.\n'
        for end, p, what in (('full', 1, 'every frame'), ('empty', 0, 'no frame'))
        if found[end]
    )
