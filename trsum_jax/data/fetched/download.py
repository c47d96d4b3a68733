"""Files that are fetched once: resumed, checked, and only then given their name."""

import contextlib
import fcntl
import http.client
import os
import pathlib
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

import platformdirs
import tqdm

from trsum_jax.data.fetched import answers
from trsum_jax.errors import InputError
from trsum_jax.files import kind_of, sha256, shown


class Address(NamedTuple):
    """Where a file is to be had just now.

    Attributes:
        url: by http or https.
        headers: what the server wants to be told with it; no other server is.
    """

    url: str
    headers: Mapping[str, str] = {}


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
    name: str | None = None,
    locate: Callable[[], Address] | None = None,
    patience: float = answers.PATIENCE,
    slowest: float = answers.SLOWEST,
) -> pathlib.Path:
    """Gives a file from the cache, fetching it first where it is not there.

    What was fetched before an interruption stays in `NAME.part`, and the next call goes on from there. The
    file gets its name only when whole and of the right hash. A second process waits for the first.

    Args:
        url: the file, by http or https; with `locate`, what people know it by.
        folder: where it is kept; made where it is missing.
        digest: its SHA-256, 64 hexadecimal digits.
        most: bytes that it has at most.
        by_hand: for the message where there is no network: what to do with a file fetched elsewhere, besides
            putting it in `folder`.
        name: of the file in `folder`; None is the last part of `url`.
        locate: gives the file's address, where it has to be fetched; raises `Unfetched`. None is `url`.
        patience: seconds that the server may take to begin its answer, and over which its rate is taken.
        slowest: bytes a second below which it is given up.

    Returns:
        `folder` / `name`.

    Raises:
        InputError: no network, an answer other than the file, one that is too slow, too long or cut short, or
            a wrong hash, a disk that is full.
    """
    path = folder / (name or url.rsplit('/', 1)[-1])
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
            address = locate() if locate else Address(url)
            _fetch(address, shown(path.name), file, most, patience, slowest)
        except OSError as error:
            raise InputError(
                f'{shown(part)}: cannot be written ({error.strerror}); what was fetched before stays there, '
                'and the same command goes on from it'
            ) from error
        except answers.Unfetched as error:
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


def _fetch(address: Address, said: str, file: BinaryIO, most: int, patience: float, slowest: float) -> None:
    """Completes the file, from its end where the server can."""
    done = file.seek(0, os.SEEK_END)
    try:
        request = urllib.request.Request(address.url)
    except ValueError as error:
        raise answers.Unfetched(answers.in_words(error)) from error
    for name, value in address.headers.items():
        request.add_unredirected_header(name, value)
    if done:
        request.add_header('Range', f'bytes={done}-')
    try:
        answer = answers.open_answer(request, patience)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                # It was whole already; the hash will tell.
                return
            raise answers.Unfetched(answers.refusal(error)) from error
    with answer:
        begin, length = answers.begins(answer, done)
        total = None if length is None else begin + length
        if total is not None and total > most:
            raise answers.Unfetched(f'the server has {total:,} bytes for it, expected at most {most:,}')
        if done > begin:
            file.truncate(begin)
        with tqdm.tqdm(
            desc=f'fetching {said}', initial=begin, total=total, unit='B', unit_scale=True, unit_divisor=1024
        ) as bar:
            for piece in answers.pieces(answer, patience, slowest):
                bar.update(len(piece))
                while piece:
                    piece = piece[file.write(piece) :]
                if file.tell() > most:
                    file.truncate(0)
                    raise answers.Unfetched(f'the server sends on after {most:,} bytes, the most that it has')
        if total is not None and file.tell() < total:
            raise answers.Unfetched(f'broken off after {file.tell():,} of {total:,} bytes')
