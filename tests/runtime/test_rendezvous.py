"""Processes that find each other, or say why not, within the time that they were given."""

import concurrent.futures
import contextlib
import socket
import threading
import time

import pytest
import several
import warm

from trsum_jax.errors import InputError
from trsum_jax.runtime import rendezvous


def meet(numbers, processes, port=None, timeout=5.0, host='127.0.0.1'):
    """What each of some processes comes to, as threads: '' or its message."""
    port = port or several.free_port()

    def one(number):
        try:
            rendezvous.meet(f'{host}:{port}', processes, number, timeout)
        except InputError as error:
            return str(error)
        return ''

    with concurrent.futures.ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(one, numbers))


@contextlib.contextmanager
def listener(answer):
    """Something else that listens; a port."""
    with socket.create_server(('127.0.0.1', 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost'])
def test_all_meet_and_the_port_is_free_again(host):
    port = several.free_port()
    for _ in range(2):
        assert meet([2, 0, 1, 3], 4, port, host=host) == [''] * 4
    assert meet([0], 1, port) == ['']


def test_those_who_are_missing_are_named():
    told = meet([0, 2], 4, timeout=1.5)
    assert told[0] == told[1]
    assert '--distributed: processes 1, 3 did not come within 1.5 s' in told[0]
    assert '--start_timeout' in told[0]


def test_nobody_at_the_address():
    (told,) = meet([1], 2, timeout=0.5)
    assert 'process 1 was not let in by process 0 within 0.5 s (Connection refused)' in told
    (told,) = meet([1], 2, timeout=0.5, host='no-such-host.invalid')
    assert '--coordinator=no-such-host.invalid:' in told
    assert 'no such host is known' in told


def test_a_port_in_use():
    with listener(b'') as port:
        (told,) = meet([0], 2, port)
    assert f'process 0 cannot use port {port} of this machine (Address already in use)' in told


@pytest.mark.parametrize('answer', [b'SSH-2.0-OpenSSH\r\n', b'', b'\xff\xfe\n', b'x' * 5000])
def test_another_service_at_the_address(answer):
    with listener(answer) as port:
        (told,) = meet([1], 2, port, timeout=0.5)
    assert 'was not let in by process 0' in told


def test_a_stranger_who_calls_disturbs_nobody():
    port = several.free_port()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(meet, [0], 2, port)
        for words in (b'GET / HTTP/1.0\r\n\r\n', b'trsum_jax 1\n', b'trsum_jax -1 2\n', b'\xff' * 2000):
            call(port, words)
        assert meet([1], 2, port) == ['']
        assert found.result() == ['']


def call(port, words):
    for _ in range(500):
        with contextlib.suppress(ConnectionError), socket.create_connection(('127.0.0.1', port)) as one:
            one.settimeout(5)
            with contextlib.suppress(OSError):
                one.sendall(words)
                one.shutdown(socket.SHUT_WR)
                # It is not kept waiting, nor told anything.
                assert one.recv(100) == b''
            return
        # Its thread may not have come to listen; a refusal takes microseconds.
        time.sleep(0.01)
    raise AssertionError('nobody listens')


def test_a_process_that_was_started_again_takes_its_own_place():
    port = several.free_port()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(meet, [0], 3, port)
        for _ in range(500):
            with contextlib.suppress(ConnectionError), socket.create_connection(('127.0.0.1', port)) as one:
                one.sendall(b'trsum_jax 1 3\n')
                assert one.recv(100).startswith(b'waiting process')
                break
        assert meet([1, 2], 3, port) == ['', '']
        assert found.result() == ['']


def test_numbers_that_do_not_fit_stop_all():
    told = meet([0, 1, 1], 3)
    assert told == ['--process=1: given to two processes; expected each of 0 to 2 once'] * 3
    port = several.free_port()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(meet, [0], 3, port)
        told = [*meet([1], 2, port), *found.result()]
    words = '--processes: expected the same number everywhere, found 3 in process 0 and 2 in process 1'
    assert told == [words] * 2


@pytest.mark.parametrize(('text', 'parsed'), [
    ('10.0.0.2:1234', ('10.0.0.2', 1234)),
    ('node7:1', ('node7', 1)),
    ('[fe80::1]:65535', ('fe80::1', 65535)),
])  # fmt: skip
def test_addresses(text, parsed):
    assert rendezvous.parse(text) == parsed


@pytest.mark.parametrize(
    'text',
    ['node7', 'node7:', ':1234', '', 'node7:x', 'node7:0', 'node7:65536', 'fe80::1:1234', 'a:-1', 'a:²'],
)
def test_addresses_without_a_port_or_host(text):
    with pytest.raises(InputError, match=r'--coordinator=.*: expected HOST:PORT'):
        rendezvous.parse(text)


def test_the_command_says_it_in_a_sentence():
    codes, told = several.ended(
        [several.start(1, 2, several.free_port(), 'unused', '--start_timeout=1')], timeout=60
    )
    assert codes == [1]
    assert told[0].startswith('error: --coordinator=127.0.0.1:')
    assert told[0].count('\n') == 1


def test_where_a_platform_tells_the_address_the_time_is_bounded_too():
    """Slurm has started a second process elsewhere, which does not come: the runtime would abort."""
    slurm = {'JOB_ID': 7, 'STEP_NODELIST': '127.0.0.1', 'NTASKS': 2, 'PROCID': 1, 'LOCALID': 0}
    environment = {f'SLURM_{name}': str(value) for name, value in slurm.items()}
    environment |= {'JAX_COORDINATOR_PORT': str(several.free_port())}
    started = warm.start('trsum_jax.main', '--distributed', '--start_timeout=1', **environment)
    codes, told = several.ended([started], timeout=60)
    assert codes == [1]
    assert told[0].startswith('error: --distributed: the processes did not find each other within 1 s')
    assert told[0].count('\n') == 1
