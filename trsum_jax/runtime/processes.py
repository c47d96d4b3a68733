"""Several processes of one experiment: JAX's own runtime, and what they have to agree on.

Every process runs the same program; arrays with a leading run axis are spread over all of their devices.
One process, the first, writes and speaks. Without `start` everything here is that of a lone process.
"""

import contextlib
import faulthandler
import json
import re
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

# What JAX itself uses for its processes to tell each other something; it has no other name yet.
from jax._src import distributed
from jax.experimental import multihost_utils

from trsum_jax import stopping
from trsum_jax.errors import InputError, Preempted, explain
from trsum_jax.runtime import rendezvous

# How long a process that died may go unnoticed, and how long one waits for the others to start.
HEARTBEAT_S, START_S = 60, 60
# How the runtimes below JAX word the end of another process.
_HOW = (
    'On TPU pods, Slurm and Open MPI nothing else is needed; elsewhere give --coordinator=HOST:PORT, '
    '--processes=N and --process=I, the same address and number to all of them.'
)
# Where a process that leaves by a signal says so to the others: its number, and the signal's name.
_LEAVING = 'trsum_jax/leaving'
_LISTEN_MS, _LAST_S = 1000, 1.0
_LOST = re.compile('peer|heartbeat|barrier|coordination|NCCL|remote process|socket closed', re.IGNORECASE)


def start(
    coordinator: str | None, processes: int | None, process: int | None, timeout: float = START_S
) -> None:
    """Joins the other processes; must come before anything else that touches JAX.

    Args:
        coordinator: `HOST:PORT` of the first process; None where the platform tells (TPU pods, Slurm, …).
        processes: how many there are; None likewise.
        process: the number of this one, from 0; None likewise.
        timeout: how long to wait for the others, in seconds.

    Raises:
        InputError: the platform does not tell, or the others do not come, and which.
    """
    given = {'coordinator': coordinator, 'processes': processes, 'process': process}
    if None in given.values() and any(value is not None for value in given.values()):
        missing = ', '.join(f'--{name}' for name, value in given.items() if value is None)
        raise InputError(f'--distributed: expected --coordinator, --processes and --process together, or '
                         f'none of them; {missing} is missing')  # fmt: skip
    if coordinator is not None:
        if process >= processes:
            raise InputError(
                f'--process={process}: expected 0 to {processes - 1} with --processes={processes}'
            )
        # Names that nobody resolves can take longer than they are given.
        with _at_most(timeout + 5, f'--coordinator={coordinator}: no answer within {timeout:g} s'):
            rendezvous.meet(coordinator, processes, process, timeout)
    # The processes tell each other themselves (`interruption`).
    jax.config.update('jax_enable_preemption_service', False)
    late = f'the processes did not find each other within {timeout:g} s'
    try:
        # At its own deadline the runtime would abort.
        with _at_most(timeout, f'--distributed: {late}. {_HOW} Longer than that: --start_timeout.'):
            jax.distributed.initialize(
                coordinator_address=coordinator,
                num_processes=processes,
                process_id=process,
                initialization_timeout=int(timeout) + 60,
                heartbeat_timeout_seconds=HEARTBEAT_S,
            )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f'--distributed: the processes did not find each other ({reason}). {_HOW}'
        ) from error
    stopping.share(_leave_all)


@contextlib.contextmanager
def _at_most(seconds: float, words: str) -> Iterator[None]:
    """Ends the process with an error where this takes longer, also while the runtime has the main thread."""
    timer = threading.Timer(seconds, stopping.leave, (1, f'error: {words}'))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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
        with _listening():
            yield
            # The first process may still write results: a shutdown alone would not wait longer than minutes.
            wait('all is done')
    except Preempted:
        jax.distributed.shutdown()
        raise
    except Exception as error:
        explained = explain(lost(error) or error)
        if explained is None:
            traceback.print_exc()
        stopping.leave(*(explained or (1,)))
    jax.distributed.shutdown()


def _leave_all(number: signal.Signals) -> None:
    """Those that were left behind would wait for each other, and abort."""
    words = f'{distributed.global_state.process_id} {number.name}'
    distributed.global_state.client.key_value_set(_LEAVING, words)
    _leave_last()


def _leave_last() -> None:
    """Without the first process the runtime of the others aborts; each has to hear of it before."""
    time.sleep(_LAST_S if distributed.global_state.process_id == 0 else _LAST_S / 4)


@contextlib.contextmanager
def _listening() -> Iterator[None]:
    """Within it, this process leaves where another one says that it does."""
    client, done = distributed.global_state.client, threading.Event()

    def listen() -> None:
        while not done.is_set():
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                process, name = client.blocking_key_value_get(_LEAVING, _LISTEN_MS).split()
                stopping.leave_by(signal.Signals[name], f'to process {process}', _leave_last)
            # Where the runtime is gone the call fails at once.
            done.wait(0.1)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        # The runtime does not survive a shutdown while somebody waits for it.
        done.set()
        thread.join()


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
