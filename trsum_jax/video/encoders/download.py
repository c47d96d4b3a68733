"""Files that are fetched once: resumed, checked, and only then given their name."""

import contextlib
import fcntl
import http.client
import os
import pathlib
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any, BinaryIO

import platformdirs
import tqdm

from trsum_jax.errors import InputError
from trsum_jax.files import kind_of, sha256, shown

_PIECE = 1 << 18
# Seconds for the beginning of an answer, and over which its rate is taken; then bytes a second.
_PATIENCE = 30.0
_SLOWEST = 5_000


def cache_folder() -> pathlib.Path:
    """Where fetched files stay: the platform's cache folder for this project (`XDG_CACHE_HOME` on Linux)."""
    return pathlib.Path(platformdirs.user_cache_dir('trsum_jax', appauthor=False))


def fetch(
    url: str,
    folder: pathlib.Path,
    *,
    digest: str,
    most: int,
    by_hand: str,
    patience: float = _PATIENCE,
    slowest: float = _SLOWEST,
) -> pathlib.Path:
    """Gives a file from the cache, fetching it first where it is not there.

    What was fetched before an interruption stays in `NAME.part`, and the next call goes on from there. The
    file gets its name only when whole and of the right hash. A second process waits for the first.

    Args:
        url: the file, by http or https.
        folder: where it is kept; made where it is missing.
        digest: its SHA-256, 64 hexadecimal digits.
        most: bytes that it has at most.
        by_hand: for the message where there is no network: what to do with a file fetched elsewhere, besides
            putting it in `folder`.
        patience: seconds that the server may take to begin its answer, and over which its rate is taken.
        slowest: bytes a second below which it is given up.

    Returns:
        `folder` / the last part of `url`.

    Raises:
        InputError: no network, an answer other than the file, one that is too slow, too long or cut short, or
            a wrong hash.
    """
    path = folder / url.rsplit('/', 1)[-1]
    part = path.with_name(f'{path.name}.part')
    with contextlib.ExitStack() as stack:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(_alone(part, path))
        if path.exists():
            if not path.is_file():
                raise InputError(f'{shown(path)}: expected a file, found {kind_of(path)}; remove it')
            _check(path, digest, f'remove it, and it is fetched again from {url}')
            return path
        try:
            _fetch(url, file, most, patience, slowest)
        except _Unfetched as error:
            raise InputError(
                f'{url}: cannot be fetched ({error}). Run the command again where there is a network (it '
                f'goes on where it stopped), or fetch the file elsewhere and put it at {shown(path)}{by_hand}'
            ) from error
        try:
            _check(part, digest, 'it was removed; run the same command again')
        except InputError:
            part.unlink(missing_ok=True)
            raise
        part.replace(path)
    return path


class _Unfetched(Exception):
    """What came, or did not, is not the file; the message says why."""


@contextlib.contextmanager
def _alone(part: pathlib.Path, path: pathlib.Path) -> Iterator[BinaryIO]:
    """The unfinished file, open and locked: another process that fetches it is waited for."""
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(part.open('a+b', buffering=0))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f'{shown(path)}: another process is fetching it; waiting', file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                # Some network folders have no locks: there nobody can be waited for.
                pass
            # The one that was waited for has given the file its name, or removed it as a wrong one.
            if path.exists() or (part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat())):
                break
            stack.close()
        try:
            yield file
        finally:
            if part.exists() and not part.stat().st_size:
                part.unlink()


def _check(path: pathlib.Path, digest: str, remedy: str) -> None:
    found = sha256(path)
    if found != digest:
        raise InputError(f'{shown(path)}: expected the SHA-256 {digest}, found {found}; {remedy}')


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows to http and https alone, and never from the second to the first."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme != 'https' and not scheme == req.type == 'http':
            raise _Unfetched(f'the server sends on to {shown(newurl[:200])}, which is no https address')
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except (_Unfetched, ValueError):
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener(sockets: list[http.client.HTTPConnection]) -> urllib.request.OpenerDirector:
    """Opens http and https and nothing else; connections are noted, so that they can be cut off."""

    def noted(kind: type[http.client.HTTPConnection]) -> Any:
        def connect(*arguments: Any, **options: Any) -> http.client.HTTPConnection:
            sockets.append(kind(*arguments, **options))
            return sockets[-1]

        return connect

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, req: Any) -> Any:
            return self.do_open(noted(http.client.HTTPConnection), req)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, req: Any) -> Any:
            return self.do_open(noted(http.client.HTTPSConnection), req)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        Plain(),
        Secure(),
        _Redirections(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _open(request: urllib.request.Request, patience: float) -> Any:
    """The answer, once its header is whole, within `patience` seconds."""
    connections = []
    late = threading.Event()

    def cut_off() -> None:
        late.set()
        for connection in connections:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(patience, cut_off)
    timer.daemon = True
    timer.start()
    try:
        return _opener(connections).open(request, timeout=patience)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = f'no answer within {patience:g} s' if late.is_set() else _words(error)
        raise _Unfetched(why) from error
    finally:
        timer.cancel()


def _words(error: Exception) -> str:
    return shown(' '.join(str(getattr(error, 'reason', error)).split())[:300]) or type(error).__name__


def _fetch(url: str, file: BinaryIO, most: int, patience: float, slowest: float) -> None:
    """Completes the file, from its end where the server can."""
    done = file.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={'Range': f'bytes={done}-'} if done else {})
    try:
        answer = _open(request, patience)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                # It was whole already; the hash will tell.
                return
            raise _Unfetched(f'the server says {error.code}, {_words(error)}') from error
    with answer:
        begin, length = _told(answer, done)
        total = None if length is None else begin + length
        if total is not None and total > most:
            raise _Unfetched(f'the server has {total:,} bytes for it, expected at most {most:,}')
        if done > begin:
            file.truncate(begin)
        with tqdm.tqdm(
            desc=f'fetching {url}', initial=begin, total=total, unit='B', unit_scale=True, unit_divisor=1024
        ) as bar:
            for piece in _pieces(answer, patience, slowest):
                bar.update(len(piece))
                while piece:
                    piece = piece[file.write(piece) :]
                if file.tell() > most:
                    file.truncate(0)
                    raise _Unfetched(f'the server sends on after {most:,} bytes, the most that it has')
        if total is not None and file.tell() < total:
            raise _Unfetched(f'broken off after {file.tell():,} of {total:,} bytes')


def _told(answer: Any, done: int) -> tuple[int, int | None]:
    """Where an answer begins in the file, and its bytes, if it says so."""
    headers = answer.headers
    coding = headers.get('Content-Encoding', 'identity').lower()
    if coding != 'identity':
        raise _Unfetched(f'the server packs its answer ({shown(coding[:40])}), which was not asked for')
    if headers.get_content_type() == 'text/html':
        raise _Unfetched('a web page came instead of the file; does the network ask for a login?')
    length = headers.get('Content-Length')
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 20):
        raise _Unfetched(f'the server promises {shown(length[:40])!r} bytes')
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
        if not headers.get('Content-Range', '').startswith(f'bytes {done}-'):
            raise _Unfetched(f'asked for what follows byte {done:,}, the server sends another part')
    elif answer.status == http.HTTPStatus.OK:
        done = 0
    else:
        raise _Unfetched(f'the server says {answer.status} {shown(answer.reason or "")}')
    return done, None if length is None else int(length)


def _pieces(answer: Any, patience: float, slowest: float) -> Iterator[bytes]:
    """What comes, as it comes, as long as it comes fast enough."""
    since, got = time.monotonic(), 0
    while True:
        try:
            piece = answer.read1(_PIECE)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _Unfetched(_words(error)) from error
        if not piece:
            return
        yield piece
        got += len(piece)
        now = time.monotonic()
        if now - since >= patience:
            if got < slowest * (now - since):
                raise _Unfetched(f'{got:,} bytes in {now - since:.0f} s, less than {slowest:,} a second')
            since, got = now, 0
