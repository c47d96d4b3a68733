"""Several processes of one experiment: JAX's own runtime, and what they have to agree on.

Every process runs the same program; arrays with a leading run axis are spread over all of their devices.
One process, the first, writes and speaks. Without `start` everything here is that of a lone process.
"""

import contextlib
import faulthandler
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from trsum_jax.errors import InputError, Preempted, tell

# How long a process that died may go unnoticed, and how long one waits for the others to start.
HEARTBEAT_S, START_S = 60, 300
# How the runtimes below JAX word the end of another process.
_LOST = re.compile('peer|heartbeat|barrier|coordination|NCCL|remote process|socket closed', re.IGNORECASE)


def start(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Joins the other processes; must come before anything else that touches JAX.

    Args:
        coordinator: `HOST:PORT` of the first process; None where the platform tells (TPU pods, Slurm, …).
        processes: how many there are; None likewise.
        process: the number of this one, from 0; None likewise.

    Raises:
        InputError: the platform does not tell, or the others do not come.
    """
    given = {'coordinator': coordinator, 'processes': processes, 'process': process}
    if None in given.values() and any(value is not None for value in given.values()):
        missing = ', '.join(f'--{name}' for name, value in given.items() if value is None)
        raise InputError(f'--distributed: expected --coordinator, --processes and --process together, or '
                         f'none of them; {missing} is missing')  # fmt: skip
    try:
        jax.distributed.initialize(
            coordinator_address=coordinator,
            num_processes=processes,
            process_id=process,
            initialization_timeout=START_S,
            heartbeat_timeout_seconds=HEARTBEAT_S,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f'--distributed: the processes did not find each other ({reason}). On TPU pods, Slurm and Open '
            'MPI nothing else is needed; elsewhere give --coordinator=HOST:PORT, --processes=N and '
            '--process=I, the same address and number to all of them.'
        ) from error


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Leaves the other processes when all are done, and at once where something goes wrong in this one.

    A process that waited for the others at its end would hold up those that wait for it in the middle. They
    learn within `HEARTBEAT_S` that it is gone, and stop with a message of their own.
    """
    if not jax.distributed.is_initialized():
        yield
        return
    # The runtime ends a process whose partner has died by an abort; its message should be the last words.
    faulthandler.disable()
    try:
        yield
    except Preempted:
        jax.distributed.shutdown()
        raise
    except BaseException as error:
        code = tell(lost(error) or error)
        if code is None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if code is None else code)
    # The first process may still write results: a shutdown alone would not wait longer than minutes.
    wait('all is done')
    jax.distributed.shutdown()


def lost(error: BaseException) -> InputError | None:
    """What to say of an error that another process's end has caused; None for any other error."""
    ours = isinstance(error, InputError | OSError) and not isinstance(error, TimeoutError)
    if ours or not jax.distributed.is_initialized() or not _LOST.search(str(error)):
        return None
    reason = str(error).strip().splitlines()[0][:300]
    return InputError(
        f'process {jax.process_index()}: another process is gone, see what it said ({reason}). Start all of '
        'them again by the same command; training continues from its last checkpoint.'
    )


def first() -> bool:
    """Whether this process writes and speaks."""
    return jax.process_index() == 0


def say(text: str) -> None:
    """Prints in the first process."""
    if first():
        print(text, flush=True)


def gather(tree: Any) -> Any:
    """The whole of every array of a tree in every process, as numpy arrays."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def wait(name: str) -> None:
    """Waits until every process is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def from_first(value: int) -> int:
    """The first process's number, in every process."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def agree(what: str, own: dict[str, Any]) -> None:
    """Stops all processes where one has something else than the first.

    Args:
        what: what it is, for the message.
        own: flat, in JSON's types: this process's fields.

    Raises:
        InputError: in every process; names the fields where this process or the first differs.
    """
    if jax.process_count() == 1:
        return
    ours = json.dumps(own, sort_keys=True)
    theirs = json.loads(_text_of_first(ours))
    different = [
        f'{name}: {theirs.get(name, "absent")} in process 0, {own.get(name, "absent")} in process '
        f'{jax.process_index()}'
        for name in dict.fromkeys([*theirs, *own])
        if theirs.get(name) != json.loads(json.dumps(own)).get(name)
    ]
    same = multihost_utils.process_allgather(np.int32(not different))
    if np.all(same):
        return
    others = ', '.join(str(i) for i in np.flatnonzero(~np.asarray(same, bool)))
    found = '\n  '.join(different) or f'see what process {others} says'
    raise InputError(
        f'{what} differs between processes (those unlike process 0: {others}); start all of them with the '
        f'same flags and files. The fields that differ:\n  {found}'
    )


def _text_of_first(text: str) -> str:
    own = np.frombuffer(text.encode(), np.uint8)
    length = from_first(len(own))
    padded = np.zeros(length, np.uint8)
    padded[: min(length, len(own))] = own[:length]
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(padded))).decode()
