"""Questions to a server and its answers: followed, timed, and told in words where they are none."""

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from trsum_jax.files import shown

_PIECE = 1 << 18
# Seconds for the beginning of an answer, and over which its rate is taken; then bytes a second.
PATIENCE = 30.0
SLOWEST = 5_000
# What is read of an answer in words, and shown of it.
_WORDS, _SHOWN = 4096, 300


class Unfetched(Exception):
    """What came, or did not, is not what was asked for; the message says why."""


def may_follow(before: str, after: str) -> bool:
    """Whether one may be sent on from an address to another: to https, or from http to http."""
    schemes = [urllib.parse.urlsplit(url).scheme for url in (before, after)]
    return schemes[1] == 'https' or schemes == ['http', 'http']


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows to where one may be sent on, and nowhere else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not may_follow(req.full_url, newurl):
            raise Unfetched(f'the server sends on to {shown(newurl[:200])}, which is no https address')
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except (Unfetched, ValueError):
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


def open_answer(request: urllib.request.Request, patience: float) -> Any:
    """The answer to a request, once its header is whole.

    Args:
        request: by http or https; so are the addresses that it may be sent on to.
        patience: seconds for all this.

    Returns:
        An open answer.

    Raises:
        Unfetched: no answer, or none in time.
        HTTPError: the server refuses.
    """
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
        why = f'no answer within {patience:g} s' if late.is_set() else in_words(error)
        raise Unfetched(why) from error
    finally:
        timer.cancel()


def in_words(error: Exception) -> str:
    """What an error of the network says, as one line."""
    return shown(' '.join(str(getattr(error, 'reason', error)).split())[:_SHOWN]) or type(error).__name__


def refusal(error: urllib.error.HTTPError) -> str:
    """What a server says in place of an answer, with the message that those who speak JSON put in it."""
    told = ''
    with contextlib.suppress(
        OSError, http.client.HTTPException, ValueError, LookupError, TypeError, RecursionError
    ):
        told = json.loads(error.read1(_WORDS))['message']
    told = f': {shown(" ".join(told.split())[:_SHOWN])}' if isinstance(told, str) and told else ''
    return f'the server says {error.code}, {in_words(error)}{told}'


def post(
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    *,
    most: int = 1 << 16,
    patience: float = PATIENCE,
) -> bytes:
    """A short answer to a question.

    Args:
        url: by http or https.
        content: the question.
        headers: what is told with it.
        most: bytes that the answer has at most.
        patience: seconds that the server may take to begin its answer.

    Returns:
        The answer, whole.

    Raises:
        Unfetched: no network, a refusal, a web page, an answer that is too long or broken off.
    """
    try:
        answer = open_answer(urllib.request.Request(url, content, dict(headers)), patience)
    except urllib.error.HTTPError as error:
        with error:
            raise Unfetched(refusal(error)) from error
    with answer:
        begins(answer, 0)
        whole = b''
        for piece in pieces(answer, patience, SLOWEST):
            whole += piece
            if len(whole) > most:
                raise Unfetched(f'the server answers with more than {most:,} bytes')
    return whole


def begins(answer: Any, done: int) -> tuple[int, int | None]:
    """Makes sure of an answer's header.

    Args:
        answer: open.
        done: bytes of the file that are here; the rest was asked for.

    Returns:
        Where the answer begins in the file, and its bytes, if it says so.

    Raises:
        Unfetched: a web page, another part, anything else than the file.
    """
    headers = answer.headers
    coding = headers.get('Content-Encoding', 'identity').lower()
    if coding != 'identity':
        raise Unfetched(f'the server packs its answer ({shown(coding[:40])}), which was not asked for')
    if headers.get_content_type() == 'text/html':
        raise Unfetched('a web page came instead of the file; does the network ask for a login?')
    length = headers.get('Content-Length')
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 20):
        raise Unfetched(f'the server promises {shown(length[:40])!r} bytes')
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
        if not headers.get('Content-Range', '').startswith(f'bytes {done}-'):
            raise Unfetched(f'asked for what follows byte {done:,}, the server sends another part')
    elif answer.status == http.HTTPStatus.OK:
        done = 0
    else:
        raise Unfetched(f'the server says {answer.status} {shown(answer.reason or "")}')
    return done, None if length is None else int(length)


def pieces(answer: Any, patience: float, slowest: float) -> Iterator[bytes]:
    """What comes, as it comes, as long as it comes fast enough.

    Args:
        answer: open.
        patience: seconds over which the rate is taken.
        slowest: bytes a second.

    Yields:
        Bytes, never none.

    Raises:
        Unfetched: too slow, or broken off in a way that shows.
    """
    since, got = time.monotonic(), 0
    while True:
        try:
            piece = answer.read1(_PIECE)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unfetched(in_words(error)) from error
        if not piece:
            return
        yield piece
        got += len(piece)
        now = time.monotonic()
        if now - since >= patience:
            if got < slowest * (now - since):
                raise Unfetched(f'{got:,} bytes in {now - since:.0f} s, less than {slowest:,} a second')
            since, got = now, 0
