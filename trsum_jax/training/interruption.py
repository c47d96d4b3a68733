"""SIGTERM, by which queues and clouds announce that they will take the machine away."""

import contextlib
import signal
import time
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from trsum_jax.errors import Preempted

_heard: float | None = None
_asked = 0
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


def requested() -> bool:
    """Whether to save and stop now: the same answer in every process, each of which asks equally often.

    Returns:
        True once SIGTERM has come.
    """
    global _asked
    _asked += 1
    if jax.distributed.is_initialized():
        return multihost_utils.reached_preemption_sync_point(_asked)
    return _heard is not None


def heard() -> float | None:
    """`time.monotonic()` when SIGTERM came; None before, and where another process was told."""
    return _heard


def _announce(number: int, frame: object) -> None:
    del number, frame
    global _heard
    _heard = time.monotonic()
    if not _in_training:
        raise Preempted('stopped by SIGTERM; what was finished is saved')
