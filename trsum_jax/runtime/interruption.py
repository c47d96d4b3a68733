"""Signals within training: what was done is saved first, in all processes after the same epoch.

Everywhere else a signal ends the process at once; see `trsum_jax.stopping`.
"""

import contextlib
import time
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from trsum_jax import stopping
from trsum_jax.errors import Preempted

heard = stopping.heard
name = stopping.name

# Seconds from one agreement of several processes to the next, and the most questions between the two.
_EVERY_S, _MOST = 0.5, 100

_waits_for = ''
_agreed = False
_asked = _due = 0
# The questions asked, and the time, at the last agreement.
_last = (0, 0.0)


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
    global _waits_for, _due, _last
    _waits_for = waits_for
    if jax.distributed.is_initialized():
        # Another stage has another pace.
        _due, _last = _asked + 1, (_asked, time.monotonic())
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

    Several processes tell each other what they have heard about twice a second: after as many questions as
    the first process says. (JAX's own synchronization of preemptions misses its moment now and then on a busy
    machine, and then is never true.)

    Returns:
        True once a signal has come, to any process.
    """
    global _asked, _agreed, _due, _last
    if not jax.distributed.is_initialized():
        stopping.wait_for(_waits_for)
        return heard() is not None
    _asked += 1
    if not _agreed and _asked >= _due:
        (asked, at), now = _last, time.monotonic()
        fit = _EVERY_S * (_asked - asked) / max(now - at, 1e-6)
        # The pace of one question may be that of none: the number grows twofold at most.
        most = min(_MOST, 2 * (_asked - asked))
        own = np.array([heard() is not None, np.clip(fit, 1, most)], np.float32)
        told = multihost_utils.process_allgather(own)
        _agreed = bool(told[:, 0].any())
        _due, _last = _asked + int(told[0, 1]), (_asked, now)
    return _agreed
