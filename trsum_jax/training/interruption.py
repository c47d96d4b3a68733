"""SIGTERM, by which queues and clouds announce that they will take the machine away."""

import contextlib
import signal
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from trsum_jax.errors import Preempted

_announced = False
_in_training = False


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Heeds SIGTERM: training stops after its epoch, anything else at once, by raising `Preempted`.

    With several processes JAX's own runtime has taken the signal over, and tells all of them.
    """
    if jax.distributed.is_initialized():
        yield
        return
    before = signal.signal(signal.SIGTERM, _announce)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def in_training() -> Iterator[None]:
    """Within it SIGTERM is noted for `requested`, and nothing is broken off."""
    global _in_training
    _in_training = True
    try:
        yield
    finally:
        _in_training = False


def requested(epochs: int) -> bool:
    """Whether to save and stop now: the same answer in every process.

    Args:
        epochs: done so far, of all stages; grows from call to call.

    Returns:
        True once SIGTERM has come.
    """
    if jax.distributed.is_initialized():
        return multihost_utils.reached_preemption_sync_point(epochs)
    return _announced


def _announce(number: int, frame: object) -> None:
    del number, frame
    global _announced
    _announced = True
    if not _in_training:
        raise Preempted('stopped by SIGTERM; what was finished is saved')
