"""Metrics as JSON lines: one line for every stage, epoch and run."""

import json
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.files import write_text
from trsum_jax.runtime import processes
from trsum_jax.training.runs import Place
from trsum_jax.training.stages import gradient_noise

_SOMETIMES = gradient_noise.METRICS
_PLACE = ('epoch', 'seed', 'fold')
# What a line has beside its metrics.
BESIDE = ('stage', *_PLACE)


def keep(path: pathlib.Path, stage: str, epochs: int) -> None:
    """Removes a stage's lines after an epoch: training on from there leaves neither holes nor doubles.

    Args:
        path: the log; may not exist yet.
        stage: whose lines go.
        epochs: done; 0 removes all of the stage's lines.
    """
    kept = [text for text, line in _lines(path) if line['stage'] != stage or line['epoch'] <= epochs]
    write_text(path, ''.join(f'{text}\n' for text in kept))


def refuse_a_gap(
    path: pathlib.Path, stage: str, epochs: int, folders: Sequence[pathlib.Path], patience: int = 0
) -> None:
    """Stops where a log lacks epochs that a checkpoint has behind it: it was deleted or cut.

    Args:
        path: the log.
        stage: whose lines.
        epochs: that the checkpoint has behind it.
        folders: with checkpoints of the stage, and of those after it.
        patience: of the stage: where all runs have reached it, no more was logged.

    Raises:
        InputError: lines are missing.
    """
    found = _by_place(path, stage)
    runs = _runs(found)
    whole = [epoch for epoch in range(1, epochs + 1) if runs and all((epoch, *run) in found for run in runs)]
    settled = [
        epoch
        for epoch in whole
        if patience and all(found[epoch, *run].get('epochs_since_best', 0) >= patience for run in runs)
    ]
    epochs = min([epochs, *settled])
    whole = [epoch for epoch in whole if epoch <= epochs]
    if missing := epochs - len(whole):
        raise InputError(
            f'{path}: expected the metrics of the {epochs} epochs that {folders[0]} has behind it, {missing} '
            f'are missing: the log was deleted, cut or damaged. Delete {" and ".join(map(str, folders))} and '
            'start the same command again, which trains anew what they hold.'
        )


def append(
    path: pathlib.Path, stage: str, epoch: int, metrics: dict[str, np.ndarray], grid: Sequence[Place]
) -> list[dict[str, Any]]:
    """Appends one epoch's metrics.

    Args:
        path: the log.
        stage: `generator` or `summarizer`.
        epoch: from 1.
        metrics: by name, [R] floats.
        grid: the R runs.

    Returns:
        What the log has got.

    Raises:
        InputError: the log cannot be written.
    """
    told = [
        {'stage': stage, 'epoch': epoch, 'seed': place.seed, 'fold': place.fold}
        | {name: float(value[i]) for name, value in metrics.items()}
        for i, place in enumerate(grid)
    ]
    try:
        with path.open('a', encoding='utf-8') as file:
            file.write(''.join(f'{json.dumps(line)}\n' for line in told))
    except OSError as error:
        raise InputError(
            f'{path}: cannot be written ({error}). Training stopped; make room and start the same command '
            'again, it continues from its last checkpoint.'
        ) from error
    return told


def append_parts(
    logs: Sequence[Sequence[pathlib.Path]],
    mirror: Callable[[pathlib.Path, list[dict[str, Any]]], None],
    stage: str,
    grid: Sequence[Place],
    epoch: int,
    metrics: dict[str, np.ndarray],
) -> None:
    """Appends one epoch's metrics of a grid that is cut into equal parts; the first process alone does.

    Args:
        logs: of every part, all files that its metrics go to.
        mirror: is told what each log has got, as of `mirrors.mirrored`.
        stage: as for `append`.
        grid: the runs of all parts.
        epoch: from 0.
        metrics: as for `append`, of all parts.

    Raises:
        InputError: as `append`.
    """
    if not processes.first():
        return
    size = len(grid) // len(logs)
    for part, paths in enumerate(logs):
        own = slice(part * size, (part + 1) * size)
        values = {name: value[own] for name, value in metrics.items()}
        for log in paths:
            mirror(log, append(log, stage, epoch + 1, values, grid[own]))


def read(path: pathlib.Path, stage: str) -> dict[str, np.ndarray]:
    """Reads one stage's curves.

    Args:
        path: the log.
        stage: which.

    Returns:
        By metric, [R, epochs] float64, runs in the order of the log; empty where the stage has no lines. What
        is not told in every epoch (`gradient_noise.METRICS`) is NaN in the others.

    Raises:
        InputError: lines are missing or damaged.
    """
    found = _by_place(path, stage)
    runs, epochs = _runs(found), sorted({epoch for epoch, *_ in found})
    names = [name for name in next(iter(found.values()), ()) if name not in (*BESIDE, *_SOMETIMES)]
    names += [name for name in _SOMETIMES if any(name in line for line in found.values())]
    usual = dict.fromkeys(_SOMETIMES, float('nan'))
    try:
        return {
            name: np.array([[float((usual | found[epoch, *run])[name]) for epoch in epochs] for run in runs])
            for name in names
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f'{path}: {stage}: expected the same metrics of all runs in every epoch, found lines missing or '
            f'damaged. Delete it and {path.with_name("checkpoints")} and start the same command again, which '
            'trains anew.'
        ) from error


def lines(path: pathlib.Path, stage: str) -> list[dict[str, Any]]:
    """A stage's sound lines, one for each epoch and run, in their order; none where there is no log."""
    return list(_by_place(path, stage).values())


def told_in(line: dict[str, Any]) -> dict[str, float]:
    """The metrics of a line, by name; a damaged line may hold anything else."""
    return {name: value for name, value in line.items() if name not in BESIDE and type(value) in (int, float)}


def of_told(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a metric's curves [R, epochs], from `read`, the epochs that told it, from 1, and their values."""
    told = ~np.all(np.isnan(curves), axis=0)
    return np.flatnonzero(told) + 1, curves[:, told]


def _by_place(path: pathlib.Path, stage: str) -> dict[tuple[int, int, int], dict[str, Any]]:
    """A stage's lines by epoch, seed and fold; of two, which two processes at once have left, the last."""
    found = [line for _, line in _lines(path) if line['stage'] == stage]
    return {tuple(line[name] for name in _PLACE): line for line in found}


def _runs(found: Iterable[tuple[int, int, int]]) -> list[tuple[int, int]]:
    return list(dict.fromkeys((seed, fold) for _, seed, fold in found))


def _lines(path: pathlib.Path) -> list[tuple[str, dict[str, Any]]]:
    """The sound lines and what they tell; the last one may have been left unfinished by a killed run."""
    if not path.exists():
        return []
    found = []
    for text in path.read_text(encoding='utf-8', errors='replace').split('\n')[:-1]:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and 'stage' in line and all(type(line.get(n)) is int for n in _PLACE):
            found.append((text, line))
    return found
