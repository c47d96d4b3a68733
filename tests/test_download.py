import contextlib
import hashlib
import http.server
import pathlib
import re
import threading

import numpy as np
import pytest

pytest.importorskip('platformdirs')

from trsum_jax.errors import InputError
from trsum_jax.video import download

CONTENT = np.random.default_rng(0).bytes(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HINT = ' (or give --weights=PATH)'


@contextlib.contextmanager
def serving(content=CONTENT, *, stop_after=None, ranges=True, status=None):
    """A server on loopback of one file; it breaks off after `stop_after` bytes of an answer."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get('Range')
            asked.append(wanted)
            if status is not None:
                self.send_error(status)
                return
            start = int(re.fullmatch(r'bytes=(\d+)-', wanted).group(1)) if wanted and ranges else 0
            if start and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header('Content-Length', str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][:stop_after])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_port}/net.pth', asked
        finally:
            server.shutdown()
            thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetched_once_with_a_bar(tmp_path, capsys):
    folder = tmp_path / 'made' / 'for it'
    with serving() as (url, asked):
        path = download.fetch(url, folder, digest=DIGEST[:8], by_hand=HINT)
        assert '2.86M/2.86M' in capsys.readouterr().err
        assert download.fetch(url, folder, digest=DIGEST[:8], by_hand=HINT) == path
    assert path.read_bytes() == CONTENT
    assert names(folder) == ['net.pth']
    assert asked == [None]


def test_interrupted_and_resumed(tmp_path):
    with (
        serving(stop_after=1_000_000) as (url, _),
        pytest.raises(InputError, match=r'broken off after 1,000,000 of 3,000,000.*put it at .*--weights'),
    ):
        download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT)
    assert names(tmp_path) == ['net.pth.part']
    assert (tmp_path / 'net.pth.part').read_bytes() == CONTENT[:1_000_000]
    with serving() as (url, asked):
        path = download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT)
    assert asked == ['bytes=1000000-']
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ['net.pth']


@pytest.mark.parametrize('already', [CONTENT[:500], b'other' * 1000, CONTENT + b'more'])
def test_a_server_without_ranges_starts_anew(already, tmp_path):
    (tmp_path / 'net.pth.part').write_bytes(already)
    with serving(ranges=False) as (url, _):
        path = download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT)
    assert path.read_bytes() == CONTENT


def test_stopped_just_before_the_name_was_given(tmp_path):
    (tmp_path / 'net.pth.part').write_bytes(CONTENT)
    with serving() as (url, asked):
        path = download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT)
    assert asked == ['bytes=3000000-']
    assert path.read_bytes() == CONTENT


def test_wrong_hash_is_refused_and_removed(tmp_path):
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    found = hashlib.sha256(wrong).hexdigest()
    with (
        serving(wrong) as (url, _),
        pytest.raises(InputError, match=f'begins with {DIGEST[:8]}, found {found}; it was removed'),
    ):
        download.fetch(url, tmp_path, digest=DIGEST[:8], by_hand=HINT)
    assert names(tmp_path) == []


def test_resumed_to_a_wrong_hash_then_anew(tmp_path):
    (tmp_path / 'net.pth.part').write_bytes(b'other' * 1000)
    with serving() as (url, asked):
        with pytest.raises(InputError, match='it was removed; run the same command again'):
            download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT)
        assert download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT).read_bytes() == CONTENT
    assert asked == ['bytes=5000-', None]


def test_a_damaged_file_in_the_cache(tmp_path):
    (tmp_path / 'net.pth').write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=r'net\.pth: expected a SHA-256 that begins .* remove it, and'):
        download.fetch('http://127.0.0.1:1/net.pth', tmp_path, digest=DIGEST, by_hand=HINT)


def test_offline_says_where_the_file_goes(tmp_path):
    with serving() as (url, _):
        pass
    message = f'{re.escape(url)}: cannot be fetched .*put it at {re.escape(str(tmp_path / "net.pth"))}'
    with pytest.raises(InputError, match=message):
        download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT)
    (tmp_path / 'net.pth').write_bytes(CONTENT)
    assert download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT) == tmp_path / 'net.pth'


@pytest.mark.parametrize('status', [404, 503])
def test_other_answers(status, tmp_path):
    with serving(status=status) as (url, _), pytest.raises(InputError, match=f'HTTP Error {status}'):
        download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT)


@pytest.mark.skipif(not pathlib.Path('/dev/full').exists(), reason='needs /dev/full')
def test_a_full_disk_is_no_network_fault(tmp_path):
    (tmp_path / 'net.pth.part').symlink_to('/dev/full')
    with serving() as (url, _), pytest.raises(OSError, match='No space left'):
        download.fetch(url, tmp_path, digest=DIGEST, by_hand=HINT)


def test_cache_folder_is_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert download.cache_folder().name == 'trsum_jax'
