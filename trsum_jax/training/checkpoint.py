"""What a stage leaves on disk: the states of all runs, by orbax."""

import pathlib
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from trsum_jax.errors import InputError


def save(folder: pathlib.Path, epoch: int, states: Any) -> None:
    """Saves the states of all runs under the number of epochs done, whole or not at all.

    Args:
        folder: of the stage.
        epoch: epochs done.
        states: any tree of arrays.
    """
    with ocp.training.Checkpointer(folder.resolve()) as checkpointer:
        checkpointer.save(epoch, states)


def latest(folder: pathlib.Path) -> int | None:
    """Epochs done in the stage's newest checkpoint, or None where there is none."""
    if not folder.is_dir():
        return None
    with ocp.training.Checkpointer(folder.resolve()) as checkpointer:
        return checkpointer.latest.step if checkpointer.latest else None


def restore(folder: pathlib.Path, like: Any) -> Any:
    """Reads the stage's newest checkpoint.

    Args:
        folder: of the stage.
        like: a tree of `jax.ShapeDtypeStruct` (from `jax.eval_shape`) of the states.

    Returns:
        The states, on the default device.

    Raises:
        InputError: there is none, or it holds something else.
    """
    epoch = latest(folder)
    if epoch is None:
        raise InputError(f'{folder}: expected a checkpoint of orbax, found none; train first')
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like)
    try:
        with ocp.training.Checkpointer(folder.resolve()) as checkpointer:
            return checkpointer.load(epoch, abstract)
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f'{folder}/{epoch}: the checkpoint does not fit this model or is damaged ({reason}). '
            'Use the config that made it, or another --workdir.'
        ) from error
