"""Metrics as JSON lines: one line for every stage, epoch and run."""

import json
import pathlib
from collections.abc import Sequence

import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.files import write_text
from trsum_jax.training.grid import Place


def keep(path: pathlib.Path, stage: str, epochs: int) -> None:
    """Removes a stage's lines after an epoch: training on from there leaves neither holes nor doubles.

    Args:
        path: the log; may not exist yet.
        stage: whose lines go.
        epochs: done; 0 removes all of the stage's lines.
    """

    def stays(line: str) -> bool:
        told = json.loads(line)
        return told['stage'] != stage or told['epoch'] <= epochs

    kept = [line for line in _lines(path) if stays(line)]
    write_text(path, ''.join(f'{line}\n' for line in kept))


def refuse_a_gap(path: pathlib.Path, stage: str, epochs: int, folder: pathlib.Path) -> None:
    """Stops where a log lacks epochs that a checkpoint has behind it: it was deleted or cut.

    Args:
        path: the log.
        stage: whose lines.
        epochs: that the checkpoint has behind it.
        folder: of the stage's checkpoints.

    Raises:
        InputError: lines are missing.
    """
    there = {line['epoch'] for line in map(json.loads, _lines(path)) if line['stage'] == stage}
    if missing := epochs - len(there & set(range(1, epochs + 1))):
        raise InputError(
            f'{path}: expected the metrics of the {epochs} epochs that {folder} has behind it, {missing} are '
            f'missing: the log was deleted or cut. Delete {folder} and start the same command again, which '
            'trains the stage anew.'
        )


def append(
    path: pathlib.Path, stage: str, epoch: int, metrics: dict[str, np.ndarray], grid: Sequence[Place]
) -> None:
    """Appends one epoch's metrics.

    Args:
        path: the log.
        stage: `generator` or `summarizer`.
        epoch: from 1.
        metrics: by name, [R] floats.
        grid: the R runs.

    Raises:
        InputError: the log cannot be written.
    """
    lines = [
        {'stage': stage, 'epoch': epoch, 'seed': place.seed, 'fold': place.fold}
        | {name: float(value[i]) for name, value in metrics.items()}
        for i, place in enumerate(grid)
    ]
    try:
        with path.open('a', encoding='utf-8') as file:
            file.write(''.join(f'{json.dumps(line)}\n' for line in lines))
    except OSError as error:
        raise InputError(
            f'{path}: cannot be written ({error}). Training stopped; make room and start the same command '
            'again, it continues from its last checkpoint.'
        ) from error


def read(path: pathlib.Path, stage: str) -> dict[str, np.ndarray]:
    """Reads one stage's curves.

    Args:
        path: the log.
        stage: which.

    Returns:
        By metric, [R, epochs] float64, runs in the order of the log; empty where the stage has no lines.
    """
    lines = [line for line in map(json.loads, _lines(path)) if line.pop('stage') == stage]
    epochs = len({line['epoch'] for line in lines})
    names = [name for name in (lines[0] if lines else ()) if name not in ('epoch', 'seed', 'fold')]
    return {name: np.array([line[name] for line in lines]).reshape(epochs, -1).T for name in names}


def _lines(path: pathlib.Path) -> list[str]:
    """The whole lines; one that a killed run left unfinished is none."""
    return path.read_text(encoding='utf-8').split('\n')[:-1] if path.exists() else []
