"""Signals within training: what was done is saved first, in all processes after the same epoch.

Everywhere else a signal ends the process at once; see `trsum_jax.stopping`.
"""

import contextlib
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from trsum_jax import stopping
from trsum_jax.errors import Preempted

heard = stopping.heard
name = stopping.name

_waits_for = ''
_agreed = False
_asked = 0


@contextlib.contextmanager
def in_training(waits_for: str = 'this epoch, which is saved') -> Iterator[None]:
    """Within it, once there is something to save, a signal is noted for `requested`, and a second one leaves.

    Until the first call of `requested` nothing is lost by leaving at once, also in the middle of a
    compilation. Several processes wait in any case: they have to stop together.

    Args:
        waits_for: what a signal waits for, in words, for the message.

    Raises:
        Preempted: at its end, where a signal came too late to be heeded before; all has to be saved by then.
    """
    global _waits_for
    _waits_for = waits_for
    if jax.distributed.is_initialized():
        stopping.wait_for(waits_for)
    try:
        yield
    finally:
        stopping.wait_for('')
    if _agreed:
        raise Preempted(f'stopped by {name()}; what was finished is saved')
    stopping.leave_if_heard()


def requested() -> bool:
    """Whether to save and stop now: the same answer in every process, each of which asks equally often.

    Returns:
        True once a signal has come.
    """
    global _asked, _agreed
    if jax.distributed.is_initialized():
        _asked += 1
        # True once only, maybe where a stage ends: it stays so.
        _agreed = multihost_utils.reached_preemption_sync_point(_asked) or _agreed
        return _agreed
    stopping.wait_for(_waits_for)
    return heard() is not None
