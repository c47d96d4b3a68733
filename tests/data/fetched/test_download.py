import contextlib
import hashlib
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

import loopback
import numpy as np
import pytest

pytest.importorskip('platformdirs')

from trsum_jax.data.fetched import download
from trsum_jax.errors import InputError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HINT = ' (or give --weights=PATH)'
MOST = 4_000_000


@contextlib.contextmanager
def serving(content=CONTENT, *, stop_after=None, ranges=True, status=None, pause=0.0):
    """A server on loopback of one file; it breaks off after `stop_after` bytes of an answer."""
    asked = []

    class Handler(loopback.Quiet):
        def do_GET(self):
            wanted = self.headers.get('Range')
            asked.append(wanted)
            time.sleep(pause)
            if status is not None:
                self.send_error(status)
                return
            self.send_file(content, wanted if ranges else None, stop_after)

    with loopback.running(Handler) as address:
        yield f'{address}/net.pth', asked


def fetch(url, folder, *, digest=DIGEST, most=MOST, **how):
    return download.fetch(url, folder, digest=digest, most=most, by_hand=HINT, **how)


@contextlib.contextmanager
def answering(*parts, pause=0.0, forever=b''):
    """A server on loopback that reads a request, sends these bytes with pauses between, and hangs up."""
    stop = threading.Event()

    def serve():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 16)
                    for part in parts:
                        connection.sendall(part)
                        stop.wait(pause)
                    while forever and not stop.is_set():
                        connection.sendall(forever)
                        stop.wait(pause)

    with socket.create_server(('127.0.0.1', 0)) as listening:
        listening.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f'http://127.0.0.1:{listening.getsockname()[1]}/net.pth'
        finally:
            stop.set()
            thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetched_once_with_a_bar(tmp_path, capsys):
    folder = tmp_path / 'made' / 'for it'
    with serving() as (url, asked):
        path = fetch(url, folder)
        assert '2.86M/2.86M' in capsys.readouterr().err
        assert fetch(url, folder) == path
    assert path.read_bytes() == CONTENT
    assert names(folder) == ['net.pth']
    assert asked == [None]


def test_interrupted_and_resumed(tmp_path):
    with (
        serving(stop_after=1_000_000) as (url, _),
        pytest.raises(InputError, match=r'broken off after 1,000,000 of 3,000,000.*put it at .*--weights'),
    ):
        fetch(url, tmp_path)
    assert names(tmp_path) == ['net.pth.part']
    assert (tmp_path / 'net.pth.part').read_bytes() == CONTENT[:1_000_000]
    with serving() as (url, asked):
        path = fetch(url, tmp_path)
    assert asked == ['bytes=1000000-']
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ['net.pth']


@pytest.mark.parametrize('already', [CONTENT[:500], b'other' * 1000, CONTENT + b'more'])
def test_a_server_without_ranges_starts_anew(already, tmp_path):
    (tmp_path / 'net.pth.part').write_bytes(already)
    with serving(ranges=False) as (url, _):
        path = fetch(url, tmp_path)
    assert path.read_bytes() == CONTENT


def test_stopped_just_before_the_name_was_given(tmp_path):
    (tmp_path / 'net.pth.part').write_bytes(CONTENT)
    with serving() as (url, asked):
        path = fetch(url, tmp_path)
    assert asked == ['bytes=3000000-']
    assert path.read_bytes() == CONTENT


def test_wrong_hash_is_refused_and_removed(tmp_path):
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    found = hashlib.sha256(wrong).hexdigest()
    with (
        serving(wrong) as (url, _),
        pytest.raises(InputError, match=f'expected the SHA-256 {DIGEST}, found {found}; it was removed'),
    ):
        fetch(url, tmp_path)
    assert names(tmp_path) == []


def test_resumed_to_a_wrong_hash_then_anew(tmp_path):
    (tmp_path / 'net.pth.part').write_bytes(b'other' * 1000)
    with serving() as (url, asked):
        with pytest.raises(InputError, match='it was removed; run the same command again'):
            fetch(url, tmp_path)
        assert fetch(url, tmp_path).read_bytes() == CONTENT
    assert asked == ['bytes=5000-', None]


def test_a_damaged_file_in_the_cache(tmp_path):
    (tmp_path / 'net.pth').write_bytes(CONTENT[:-1])
    with pytest.raises(
        InputError, match=r'net\.pth: expected the SHA-256 [0-9a-f]{64}, found .* remove it, and'
    ):
        fetch('http://127.0.0.1:1/net.pth', tmp_path)


def test_offline_says_where_the_file_goes(tmp_path):
    with serving() as (url, _):
        pass
    message = f'{re.escape(url)}: cannot be fetched .*put it at {re.escape(str(tmp_path / "net.pth"))}'
    with pytest.raises(InputError, match=message):
        fetch(url, tmp_path)
    (tmp_path / 'net.pth').write_bytes(CONTENT)
    assert fetch(url, tmp_path) == tmp_path / 'net.pth'


@pytest.mark.parametrize('status', [404, 503])
def test_other_answers(status, tmp_path):
    with serving(status=status) as (url, _), pytest.raises(InputError, match=f'the server says {status}, '):
        fetch(url, tmp_path)


@pytest.mark.skipif(not pathlib.Path('/dev/full').exists(), reason='needs /dev/full')
def test_a_full_disk_is_no_network_fault(tmp_path):
    (tmp_path / 'net.pth.part').symlink_to('/dev/full')
    message = r'net\.pth\.part: cannot be written \(No space left on device\); .* goes on from it'
    with serving() as (url, _), pytest.raises(InputError, match=message):
        fetch(url, tmp_path)


def test_cache_folder_is_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert download.cache_folder().name == 'trsum_jax'


def test_all_digits_of_the_hash_count(tmp_path):
    (tmp_path / 'net.pth').write_bytes(CONTENT)
    almost = DIGEST[:-1] + ('0' if DIGEST[-1] != '0' else '1')
    with pytest.raises(InputError, match=f'expected the SHA-256 {almost}, found {DIGEST}'):
        fetch('http://127.0.0.1:1/net.pth', tmp_path, digest=almost)


HEADER = b'HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n'


@pytest.mark.parametrize(
    ('server', 'message', 'left'),
    [
        ({'parts': [b'H', b'T', b'T'], 'forever': b'P', 'pause': 0.05}, 'no answer within 0.3 s', False),
        ({'parts': [HEADER], 'forever': b'x', 'pause': 0.02}, r'bytes in 0 s, less than 5,000 a sec', True),
        ({'parts': [HEADER + b'abc'], 'pause': 1.0}, 'timed out', True),
        ({'parts': [b'HTTP/1.1 200 OK\r\n\r\n'], 'forever': b'x' * 65536}, 'sends on after 4,000,000', False),
        (
            {'parts': [b'HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\nabc']},
            'the server has 5,000,000 bytes for it, expected at most 4,000,000',
            False,
        ),
        (
            {'parts': [b'HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\nabc']},
            "the server promises '-7' bytes",
            False,
        ),
        (
            {'parts': [b'HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc']},
            "the server promises 'many' bytes",
            False,
        ),
        (
            {'parts': [b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc']},
            'IncompleteRead',
            False,
        ),
        (
            {'parts': [b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nabc']},
            r'the server packs its answer \(gzip\)',
            False,
        ),
        (
            {'parts': [b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>log in</html>']},
            'a web page came instead of the file; does the network ask for a login',
            False,
        ),
        ({'parts': [b'not the protocol\r\n\r\n']}, 'not the protocol', False),
        ({'parts': [b'HTTP/1.1 200 OK\r\n', b'X: ' + b'x' * 70_000]}, 'more than 65536 bytes', False),
        ({'parts': [b'HTTP/1.1 204 No Content\r\n\r\n']}, 'the server says 204 No Content', False),
    ],
)
def test_servers_that_misbehave(server, message, left, tmp_path):
    with (
        answering(
            *server['parts'], pause=server.get('pause', 0.0), forever=server.get('forever', b'')
        ) as url,
        pytest.raises(InputError, match=f'cannot be fetched .*{message}') as said,
    ):
        fetch(url, tmp_path, patience=0.3)
    assert '\n' not in str(said.value)
    assert names(tmp_path) == (['net.pth.part'] if left else [])


@pytest.mark.parametrize(
    ('target', 'message'),
    [
        ('/net.pth', 'infinite loop'),
        ('file:///etc/passwd', 'file:///etc/passwd.* is not allowed'),
        ('ftp://127.0.0.1/net.pth', 'which is no https address'),
        ('http://[broken', 'cannot be fetched'),
    ],
)
def test_redirections(target, message, tmp_path):
    moved = f'HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n'.encode()
    with answering(moved) as url, pytest.raises(InputError, match=message):
        fetch(url, tmp_path)
    assert names(tmp_path) == []


def test_a_redirection_to_the_file_is_followed(tmp_path):
    with serving() as (url, _):
        moved = f'HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n'.encode()
        with answering(moved) as other:
            assert fetch(other, tmp_path).read_bytes() == CONTENT


def test_another_part_than_the_one_asked_for(tmp_path):
    (tmp_path / 'net.pth.part').write_bytes(CONTENT[:1000])
    header = b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/3000000\r\n\r\n'
    with answering(header, b'abc') as url, pytest.raises(InputError, match='the server sends another part'):
        fetch(url, tmp_path)
    assert (tmp_path / 'net.pth.part').read_bytes() == CONTENT[:1000]


def test_a_server_that_is_no_https_is_told(tmp_path):
    with (
        answering(b'HTTP/1.1 200 OK\r\n\r\n') as url,
        pytest.raises(InputError, match=r'cannot be fetched .*SSL'),
    ):
        fetch(url.replace('http:', 'https:'), tmp_path, patience=0.3)


def test_two_at_once(tmp_path):
    program = (
        'import pathlib, sys\n'
        'from trsum_jax.data.fetched import download\n'
        'url, folder, digest = sys.argv[1:]\n'
        'download.fetch(url, pathlib.Path(folder), digest=digest, most=4_000_000, by_hand="")'
    )
    with serving(pause=0.3) as (url, asked):
        command = [sys.executable, '-c', program, url, str(tmp_path), DIGEST]
        running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert asked == [None]
    assert sum('another process is fetching it; waiting' in text for text in said) <= 1
    assert names(tmp_path) == ['net.pth']
    assert (tmp_path / 'net.pth').read_bytes() == CONTENT


def test_what_is_no_file_in_the_cache(tmp_path):
    (tmp_path / 'net.pth').mkdir()
    with pytest.raises(InputError, match=r'net\.pth: expected a file, found a folder; remove it'):
        fetch('http://127.0.0.1:1/net.pth', tmp_path)
