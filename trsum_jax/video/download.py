"""Files that are fetched once: resumed, checked, and only then given their name."""

import contextlib
import hashlib
import http.client
import pathlib
import ssl
import urllib.error
import urllib.request

import platformdirs
import tqdm

from trsum_jax.errors import InputError

_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
_PIECE = 1 << 18
_SECONDS = 30


def cache_folder() -> pathlib.Path:
    """Where fetched files stay: the platform's cache folder for this project (`XDG_CACHE_HOME` on Linux)."""
    return pathlib.Path(platformdirs.user_cache_dir('trsum_jax', appauthor=False))


def sha256(path: pathlib.Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def fetch(url: str, folder: pathlib.Path, *, digest: str, by_hand: str) -> pathlib.Path:
    """Gives a file from the cache, fetching it first where it is not there.

    What was fetched before an interruption stays in `NAME.part`, and the next call goes on from there. The
    file gets its name only when whole and of the right hash.

    Args:
        url: the file.
        folder: where it is kept; made where it is missing.
        digest: its SHA-256 or the first digits of it.
        by_hand: for the message where there is no network: what to do with a file fetched elsewhere, besides
            putting it in `folder`.

    Returns:
        `folder` / the last part of `url`.

    Raises:
        InputError: no network, an answer other than the file, an interruption, or a wrong hash.
    """
    path = folder / url.rsplit('/', 1)[-1]
    if path.exists():
        _check(path, digest, f'remove it, and it is fetched again from {url}')
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    try:
        _fetch(url, part)
    except _NETWORK_ERRORS as error:
        raise InputError(
            f'{url}: cannot be fetched ({error}). Run the command again where there is a network (it goes '
            f'on where it stopped), or fetch the file elsewhere and put it at {path}{by_hand}'
        ) from error
    try:
        _check(part, digest, 'it was removed; run the same command again')
    except InputError:
        part.unlink(missing_ok=True)
        raise
    # Two processes that fetch at once write the same bytes to the same places; the first one renames.
    with contextlib.suppress(FileNotFoundError):
        part.replace(path)
    return path


def _check(path: pathlib.Path, digest: str, remedy: str) -> None:
    found = sha256(path)
    if not found.startswith(digest):
        raise InputError(f'{path}: expected a SHA-256 that begins with {digest}, found {found}; {remedy}')


def _fetch(url: str, part: pathlib.Path) -> None:
    """Completes `part`, from its end where the server can."""
    part.touch()
    done = part.stat().st_size
    request = urllib.request.Request(url, headers={'Range': f'bytes={done}-'} if done else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            # It was whole already; the hash will tell.
            error.close()
            return
        raise
    with answer, part.open('r+b') as file:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0
        length = answer.headers.get('Content-Length')
        total = done + int(length) if length else None
        file.seek(done)
        with tqdm.tqdm(
            desc=f'fetching {url}', initial=done, total=total, unit='B', unit_scale=True, unit_divisor=1024
        ) as bar:
            while piece := answer.read(_PIECE):
                file.write(piece)
                bar.update(len(piece))
        if total is not None and file.tell() < total:
            raise ConnectionError(f'broken off after {file.tell():,} of {total:,} bytes')
        file.truncate()
