"""Several processes find each other before JAX's runtime starts, which aborts where one of them is missing.

Process 0 listens where the runtime will, and gives the address free again; the others come, say who they are
and wait for its word. So a port in use, a wrong address and a missing process each have a sentence.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Container, Iterable

from trsum_jax.errors import InputError

# After how long a waiting process says so, and one that has connected and said nothing is none of ours.
_NOTE_S, _GREETING_S, _PAUSE_S = 5.0, 2.0, 0.2
_LONGEST_LINE = 1000


def meet(coordinator: str, processes: int, process: int, timeout: float) -> None:
    """Returns when all processes are there.

    Args:
        coordinator: `HOST:PORT` of process 0.
        processes: how many there are.
        process: the number of this one, from 0.
        timeout: how long to wait for the others, in seconds.

    Raises:
        InputError: an address without a port; the port is in use; some are missing, and which; two have the
            same number, or were told of another number of processes.
    """
    host, port = parse(coordinator)
    deadline = time.monotonic() + timeout
    if process == 0:
        _gather(port, processes, timeout, deadline)
    else:
        _join(host, port, processes, process, timeout, deadline)


def parse(coordinator: str) -> tuple[str, int]:
    """Host and port of an address, such as `10.0.0.2:1234`, `node7:1234`, `[fe80::1]:1234`.

    Raises:
        InputError: it has no port, or no host.
    """
    host, _, port = coordinator.rpartition(':')
    number = int(port) if port.isascii() and port.isdecimal() else 0
    bare = host.removeprefix('[').removesuffix(']')
    if not bare or not 1 <= number <= 65535 or (':' in host and bare == host):
        raise InputError(
            f'--coordinator={coordinator}: expected HOST:PORT of process 0, such as 10.0.0.2:1234, the port '
            'from 1 to 65535, an IPv6 host in brackets'
        )
    return bare, number


def _gather(port: int, processes: int, timeout: float, deadline: float) -> None:
    """Waits in process 0 for all others."""
    others = range(1, processes)
    came: set[int] = set()
    here: dict[int, socket.socket] = {}
    note_at = time.monotonic() + _NOTE_S
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(port))
        while len(here) < processes - 1:
            now = time.monotonic()
            if now > deadline:
                late = f'{_listing(others, came)} did not come' if len(came) < len(others) else ''
                late = late or f'{_listing(others, here)} came and left again'
                fault = (
                    f'--distributed: {late} within {timeout:g} s; start all of them with the same '
                    '--coordinator and --processes, or give them longer by --start_timeout'
                )
                _send(here.values(), f'refused {fault}')
                raise InputError(fault)
            if now > note_at:
                note_at = deadline + 1
                print(f'process 0: waiting for {_listing(others, here)}', file=sys.stderr)
            new = _accept(listener, min(_PAUSE_S, max(deadline - now, 0.01)))
            who = _who(stack.enter_context(new)) if new else None
            gone = [number for number, one in here.items() if _has_left(one)]
            for number in gone:
                del here[number]
            if who:
                if fault := _fault(*who, processes, here):
                    _send([*here.values(), new], f'refused {fault}')
                    raise InputError(fault)
                here[who[0]] = new
                came.add(who[0])
            if who or gone:
                _send(here.values(), f'waiting {_listing(others, here)}')
        _send(here.values(), 'go')
        # They close first: else the system would keep the address a while.
        for one in here.values():
            one.settimeout(_GREETING_S)
            with contextlib.suppress(OSError):
                one.recv(1)


def _listen(port: int) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(('', port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(('', port))
    except OSError as error:
        raise InputError(
            f'--coordinator: process 0 cannot use port {port} of this machine ({os.strerror(error.errno)}); '
            'choose another one, the same for all processes'
        ) from error


def _accept(listener: socket.socket, timeout: float) -> socket.socket | None:
    listener.settimeout(timeout)
    try:
        return listener.accept()[0]
    except OSError:
        return None


def _who(connection: socket.socket) -> tuple[int, int] | None:
    """Its number and how many it was told of; None for what is no process of ours, such as a port scanner."""
    connection.settimeout(_GREETING_S)
    text = b''
    with contextlib.suppress(OSError):
        while not text.endswith(b'\n') and len(text) < _LONGEST_LINE and (more := connection.recv(100)):
            text += more
    match text.split():
        case [b'trsum_jax', process, processes] if process.isdigit() and processes.isdigit():
            return int(process), int(processes)
    connection.close()
    return None


def _fault(process: int, told: int, processes: int, here: Container[int]) -> str:
    if told != processes:
        return (
            f'--processes: expected the same number everywhere, found {processes} in process 0 and {told} in '
            f'process {process}'
        )
    if process in here or process == 0:
        return f'--process={process}: given to two processes; expected each of 0 to {processes - 1} once'
    return ''


def _has_left(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _send(connections: Iterable[socket.socket], line: str) -> None:
    for one in connections:
        one.settimeout(_GREETING_S)
        with contextlib.suppress(OSError):
            one.sendall(f'{line}\n'.encode())


def _join(host: str, port: int, processes: int, process: int, timeout: float, deadline: float) -> None:
    """Waits in another process for the word of process 0."""
    note_at = time.monotonic() + _NOTE_S
    fault = ''
    while (now := time.monotonic()) < deadline:
        if now > note_at:
            note_at = deadline + 1
            print(f'process {process}: waiting for process 0 at {host}:{port} ({fault})', file=sys.stderr)
        try:
            with socket.create_connection((host, port), timeout=min(deadline - now, _NOTE_S)) as connection:
                connection.sendall(f'trsum_jax {process} {processes}\n'.encode())
                fault = _await_word(connection, deadline)
                if not fault:
                    return
        except socket.gaierror:
            fault = 'no such host is known'
        except OSError as error:
            fault = error.strerror or 'no answer'
        time.sleep(_PAUSE_S)
    raise InputError(
        f'--coordinator={host}:{port}: process {process} was not let in by process 0 within {timeout:g} s '
        f'({fault}). Start all processes with the same address, or give them longer by --start_timeout.'
    )


def _await_word(connection: socket.socket, deadline: float) -> str:
    """'' when process 0 says that all are there; else what was there in its place.

    Raises:
        InputError: process 0 says what is wrong.
    """
    foreign, waiting = 'something answers there, but not process 0 of this job', ''
    with connection.makefile('r', encoding='utf-8', errors='replace') as lines:
        while True:
            # Process 0 gives up about now, and knows best who is missing.
            left = deadline + _GREETING_S / 2 - time.monotonic()
            connection.settimeout(max(left, 0.01) if waiting else 3 * _GREETING_S)
            try:
                word, _, rest = lines.readline(_LONGEST_LINE).strip().partition(' ')
            except TimeoutError:
                return f'still waiting for {waiting}' if waiting else foreign
            if word == 'go':
                return ''
            if word == 'refused':
                raise InputError(rest)
            if word != 'waiting':
                return 'process 0 has left' if waiting and not word else foreign
            waiting = rest


def _listing(expected: Iterable[int], here: Container[int]) -> str:
    missing = [str(number) for number in expected if number not in here]
    more = f' and {len(missing) - 20} more' if len(missing) > 20 else ''
    return f'process{"es" if len(missing) > 1 else ""} {", ".join(missing[:20])}{more}'
