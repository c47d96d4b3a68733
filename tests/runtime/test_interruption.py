"""When several processes ask each other for signals."""

import types

import jax
import numpy as np
import pytest

from trsum_jax.runtime import interruption


@pytest.fixture
def processes(monkeypatch):
    """Two of them, in the first one's eyes: a clock, what the other has heard, the questions agreed upon."""
    seen = types.SimpleNamespace(now=100.0, other=False, at=[])

    def gathered(own):
        seen.at.append(interruption._asked)
        return np.stack([own, [seen.other, 99]])

    monkeypatch.setattr(jax.distributed, 'is_initialized', lambda: True)
    monkeypatch.setattr(interruption.multihost_utils, 'process_allgather', gathered)
    monkeypatch.setattr(interruption.time, 'monotonic', lambda: seen.now)
    monkeypatch.setattr(interruption.stopping, 'wait_for', lambda what: None)
    for name in ('_asked', '_due', '_agreed', '_last'):
        monkeypatch.setattr(interruption, name, getattr(interruption, name))
    return seen


def asked(processes, count, every_s):
    found = []
    for _ in range(count):
        processes.now += every_s
        found.append(interruption.requested())
    return found


def test_processes_agree_about_twice_a_second(processes):
    with interruption.in_training():
        # The first question comes at once, and tells nothing of the pace.
        interruption.requested()
        asked(processes, 99, 0.1)
    gaps = np.diff(processes.at)
    assert list(gaps[:3]) == [2, 4, 5]
    assert set(gaps[2:]) == {5}


def test_slow_steps_are_asked_each(processes):
    with interruption.in_training():
        interruption.requested()
        asked(processes, 20, 2.0)
    assert set(np.diff(processes.at[1:])) == {1}


def test_what_another_process_heard_is_heeded_by_all_at_the_next_agreement(processes):
    with pytest.raises(interruption.Preempted), interruption.in_training():
        interruption.requested()
        processes.other = True
        found = asked(processes, 12, 0.01)
    assert found == [False] + 11 * [True]
