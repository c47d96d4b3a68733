"""Metrics as JSON lines: one line for every stage, epoch and run."""

import json
import pathlib
from collections.abc import Sequence

import numpy as np

from trsum_jax.training.grid import Place


def drop_stage(path: pathlib.Path, stage: str) -> None:
    """Removes a stage's lines, so that a stage trained again leaves neither holes nor doubles.

    Args:
        path: the log; may not exist yet.
        stage: whose lines go.
    """
    kept = [line for line in _lines(path) if json.loads(line)['stage'] != stage]
    temporary = path.with_suffix('.tmp')
    temporary.write_text(''.join(f'{line}\n' for line in kept), encoding='utf-8')
    temporary.replace(path)


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
    """
    with path.open('a', encoding='utf-8') as file:
        for i, place in enumerate(grid):
            line = {'stage': stage, 'epoch': epoch, 'seed': place.seed, 'fold': place.fold}
            file.write(json.dumps(line | {name: float(value[i]) for name, value in metrics.items()}) + '\n')


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
