"""SIGINT, SIGTERM and SIGHUP: answered at any moment of a command, by a sentence and a documented exit code.

One thread waits for them; in all others they are blocked, from the command's first line on. So nothing is
raised in the middle of anything, and a signal is heard while the main thread compiles. The process leaves
without the interpreter's teardown, which takes away what the threads of XLA still use. Only the standard
library is imported here: the slow imports come later, and are covered.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# EX_TEMPFAIL of sysexits.h: try again later.
PREEMPTED = 75
# A second signal within this time is the first one, passed on by a shell or a queue as well.
_SAME_S = 0.5
# What the last words, telling other processes and cleaning up may take.
_SAYING_S, _TELLING_S, _CLEANING_S = 1, 2, 5
# Ends the wait, from within.
_RESTS = signal.SIGUSR1
_CONTINUES = 'the same command continues'

# Held for ever by whoever leaves: what others would say of files that vanish is never said.
_deciding = threading.Lock()
_actions: dict[object, Callable[[], object]] = {}
_continues = False
_waits_for = ''
_first: tuple[float, signal.Signals] | None = None
_leave_all: Callable[[signal.Signals], object] | None = None
_waiting: threading.Thread | None = None
_resting = False


def hold() -> list[signal.Signals]:
    """Lets the signals wait for `heed`, which answers them: for what has to be done before that is called.

    Returns:
        Those that wait. One that was ignored from the start, as `nohup` does, stays so.
    """
    ours = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, ours)
    return ours


def heed(*, continues: bool = False) -> None:
    """Begins to wait for the signals; the first thing that a command does.

    Args:
        continues: whether the same command, started again, goes on where this one was stopped.
    """
    global _continues
    _continues = continues
    _open_streams()
    ours = hold()
    os.register_at_fork(after_in_child=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, ours))
    wake()


def heeded() -> bool:
    """Whether this process is a command that has begun to wait for the signals."""
    return _waiting is not None


def continues() -> bool:
    """Whether the same command, started again, goes on where this one was stopped."""
    return _continues


def rest() -> None:
    """Lets signals that come from here on wait in the system, also for what the process becomes by `exec`.

    One that came before ends the process here; all has to be saved. For a process that is `heeded`.
    """
    global _resting
    _resting = True
    signal.pthread_kill(_waiting.ident, _RESTS)
    _waiting.join()
    leave_if_heard()


def wake() -> None:
    """Waits for the signals, again after `rest`."""
    global _waiting, _resting
    _resting = False
    _waiting = threading.Thread(target=_watch, args=(hold(),), daemon=True)
    # By that thread alone: elsewhere the signal that ends its wait means what it did.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [_RESTS])
    _waiting.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def heard() -> float | None:
    """`time.monotonic()` of the first signal; None before."""
    return _first[0] if _first else None


def name() -> str:
    """Of the first signal that came, for messages; with several processes it may have come to another."""
    return _first[1].name if _first else 'a signal to another process'


def code() -> int:
    """The exit code for the first signal that came, to this process or another."""
    return _code(_first[1]) if _first else PREEMPTED


def wait_for(what: str) -> None:
    """Says what the first signal has to wait for, if the command continues.

    Args:
        what: in words, such as `this epoch`; empty where the process may leave at once.
    """
    global _waits_for
    with _deciding:
        _waits_for = what


def share(leave_all: Callable[[signal.Signals], object]) -> None:
    """Has other processes of the same job told that this one leaves.

    Args:
        leave_all: called with the signal before this process leaves at once.
    """
    global _leave_all
    _leave_all = leave_all


@contextlib.contextmanager
def cleaning(action: Callable[[], object]) -> Iterator[None]:
    """Within it, a stop runs `action` before the process leaves, in another thread.

    Args:
        action: removes what would be left behind, such as a temporary file; also if it is not there.
    """
    key = object()
    with _deciding:
        _actions[key] = action
    try:
        yield
    finally:
        with _deciding:
            del _actions[key]


def leave(exit_code: int, sentence: str = '', *, then: Callable[[], object] | None = None) -> None:
    """Ends the process at once: the last words, what `cleaning` holds, what stdout has waiting.

    Args:
        exit_code: of the process.
        sentence: for stderr; nothing follows it there.
        then: done after it, within seconds.
    """
    _deciding.acquire()
    _leave(exit_code, sentence, then)


def leave_if_heard() -> None:
    """Ends the process, and the others of its job, where a signal has waited; all has to be saved."""
    if _first:
        with _deciding:
            _leave_with_others(_first[1], _last_words(_first[1].name))


def leave_by(number: signal.Signals, where: str, then: Callable[[], object]) -> None:
    """Ends this process as the signal to another process of the job has ended that one.

    Args:
        number: the signal.
        where: it came, in words.
        then: as `leave`.
    """
    leave(_code(number), _last_words(f'{number.name} {where}'), then=then)


def _watch(ours: list[signal.Signals]) -> None:
    while True:
        number = signal.sigwait([*ours, _RESTS])
        if number != _RESTS:
            _answer(signal.Signals(number))
        elif _resting:
            return


def _answer(number: signal.Signals) -> None:
    global _first
    with _deciding:
        now, again = time.monotonic(), _first is not None
        if again and now - _first[0] < _SAME_S:
            return
        _first = _first or (now, number)
        if again:
            _leave_with_others(
                number, f'stopped at once by {number.name}; {_CONTINUES} from its last checkpoint'
            )
        if not (_waits_for and _continues):
            _leave_with_others(number, _last_words(number.name))
        words = (
            f'{number.name} heard: stopping after {_waits_for}; once more to leave at once, which goes back '
            'to the last checkpoint'
        )
        # Before the main thread, which has heard it too by now, says its last words.
        _within(_SAYING_S, lambda: _say(words))


def _leave_with_others(number: signal.Signals, words: str) -> None:
    """To be called with `_deciding` held."""
    others = _leave_all
    _leave(_code(number), words, (lambda: others(number)) if others else None)


def _last_words(by: str) -> str:
    if _continues:
        return f'stopped by {by}; what was finished is saved; {_CONTINUES}'
    return f'stopped by {by}; no file is left half written'


def _code(number: signal.Signals) -> int:
    return PREEMPTED if _continues and number != signal.SIGINT else 128 + number


def _leave(exit_code: int, sentence: str, then: Callable[[], object] | None) -> None:
    """To be called with `_deciding` held."""
    try:
        if sentence:
            _within(_SAYING_S, lambda: _say(sentence))
            # What threads of XLA and orbax have to say of the end is for nobody.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        if then:
            _within(_TELLING_S, then)
        _within(_CLEANING_S, _clean_up)
    finally:
        os._exit(exit_code)


def _open_streams() -> None:
    """Gives a stream that was closed from the start a place to go: else the next file takes its number."""
    for number, name in enumerate(('stdin', 'stdout', 'stderr')):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, 'w' if number else 'r', closefd=False))


def _clean_up() -> None:
    for action in [*reversed(_actions.values()), lambda: sys.stdout.flush()]:
        with contextlib.suppress(Exception):
            action()


def _say(sentence: str) -> None:
    """Past Python's own buffer, whose lock another thread may hold; below a progress bar, not in it."""
    bars = getattr(getattr(sys.modules.get('tqdm'), 'tqdm', None), '_instances', ())
    # A terminal shows ^C where it was pressed.
    above = '\n' if len(bars) or (_first and os.isatty(2)) else ''
    with contextlib.suppress(OSError):
        os.write(2, f'{above}{sentence}\n'.encode(errors='backslashreplace'))


def _within(seconds: float, action: Callable[[], object]) -> None:
    """Runs an action in a thread, and does not wait longer: a pipe that nobody reads blocks for ever."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)
