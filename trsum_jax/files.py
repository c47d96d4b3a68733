"""Files written whole or not at all and checked before, names as text, and JSON."""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from trsum_jax import stopping
from trsum_jax.errors import InputError, encodable, printable

# Bytes of a file's name: what the usual file systems take, and what a temporary name keeps of it.
LONGEST_NAME = 255
_KEPT = 200


def shown(name: str | bytes | os.PathLike) -> str:
    """Any file name as one line of text that every file, page and terminal can carry.

    Args:
        name: as the system gives it; its bytes need not be UTF-8.

    Returns:
        The same name where it is plain; bytes that are no UTF-8, line breaks and other control characters
        as escapes such as `\\xe9` and `\\n`.
    """
    return printable(os.fsdecode(name)).replace('\n', '\\n')


def at_home(path: str | os.PathLike) -> pathlib.Path:
    """A path as a shell reads it: `~` or `~NAME` at its beginning is a home folder, where there is one."""
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:
        return pathlib.Path(path)


def tell(path: str | os.PathLike, note: str) -> None:
    """Says on stderr what a person should know of a file."""
    print(f'note: {shown(path)}: {note}', file=sys.stderr)


def check_outputs(
    outputs: Iterable[tuple[str, str | os.PathLike]],
    taken: Mapping[str | os.PathLike, str] | None = None,
    *,
    overwrite: bool,
    makes_folders: bool = False,
) -> None:
    """Refuses, before any work, what could not be written after it.

    Args:
        outputs: the flag that asks for a file, such as `--output`, and the file.
        taken: files that none of them may be, and what they are: `the video a.mp4`.
        overwrite: whether files that exist may be replaced.
        makes_folders: whether folders that are missing will be made.

    Raises:
        InputError: a file that exists, another one's place, a folder that is missing or not writable, or a
            name that the file system does not take.
    """
    theirs = {pathlib.Path(path).absolute(): what for path, what in (taken or {}).items()}
    places = theirs | {_resolved(path): what for path, what in theirs.items()}
    known = {found: what for path, what in theirs.items() if (found := _identity(path))}
    for flag, path in outputs:
        path, named = pathlib.Path(path), f'{flag}={shown(path)}'
        try:
            _check_output(path, named, makes_folders)
            if (what := places.get(_resolved(path)) or known.get(_identity(path))) is not None:
                raise InputError(f'{named}: expected a file of its own, found {what}')
            if path.exists() and not overwrite:
                raise InputError(f'{named}: exists already; give another name, or --overwrite to replace it')
        except OSError as error:
            told = f'{named}: nothing can be written there ({error.strerror}); give another place'
            raise InputError(told) from error
        places[_resolved(path)] = f'that it is {flag} too'


def _check_output(path: pathlib.Path, named: str, makes_folders: bool) -> None:
    below = [path, *path.absolute().parents]
    folder = next(parent for parent in below[1:] if parent.exists())
    if not folder.is_dir():
        raise InputError(f'{named}: expected a file in a folder, found that {shown(folder)} is a file')
    if not makes_folders and folder != path.absolute().parent:
        missing = f'no folder {shown(path.parent)}; make it first'
        raise InputError(f'{named}: expected the name of a file to write, found {missing}')
    longest = os.pathconf(folder, 'PC_NAME_MAX') if hasattr(os, 'pathconf') else LONGEST_NAME
    for place in below[: below.index(folder)]:
        if (found := len(os.fsencode(place.name))) > longest:
            raise InputError(
                f'{named}: expected names of at most {longest} bytes, as its folder takes, found {found}; '
                'give a shorter one'
            )
    if path.is_dir():
        raise InputError(f'{named}: expected the name of a file to write, found a folder there')
    # The one sure test of rights, of a disk that can only be read, of letters that a memory card refuses.
    trial = temporary_name(folder / path.name)
    trial.touch()
    trial.unlink()


def _identity(path: pathlib.Path) -> tuple[int, int] | None:
    """What a file has under all of its names, as on disks where letters have no case; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _resolved(path: str | os.PathLike) -> pathlib.Path:
    try:
        return pathlib.Path(path).resolve()
    except (OSError, RuntimeError):
        return pathlib.Path(path).absolute()


@contextlib.contextmanager
def replacing(path: str | os.PathLike, *, overwrite: bool = True) -> Iterator[pathlib.Path]:
    """Gives a temporary name in the file's folder, which takes the file's place if all goes well.

    What killed processes have left of the same file is removed first.

    Args:
        path: the file to write; its folder is made where it is missing.
        overwrite: whether it may be replaced, if it is there in the end; else the new one gets a free name.

    Raises:
        InputError: where the file cannot be written, or has another name.
    """
    path = pathlib.Path(path)
    temporary = temporary_name(path)
    with stopping.cleaning(lambda: temporary.unlink(missing_ok=True)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_left(path)
            yield temporary
            place = path if overwrite else next(one for one in numbered(path) if not one.exists())
            temporary.replace(place)
            if place != path:
                told = f'came to be while this ran, and is kept; what was made is {shown(place)}'
                raise InputError(f'{shown(path)}: {told}')
        except OSError as error:
            raise InputError(f'{shown(path)}: cannot be written ({error})') from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def numbered(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Names for a file: its own, and then `NAME-2`, `NAME-3` and so on before its ending, without end."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f'{path.stem}-{number}{path.suffix}')


@contextlib.contextmanager
def temporary_folder() -> Iterator[pathlib.Path]:
    """A folder `trsum-PID-…` which is gone afterwards; what killed processes have left is removed first.

    It is locked while its process lives: in containers that share the system's folder numbers mean little.
    """
    for left in pathlib.Path(tempfile.gettempdir()).glob('trsum-*'):
        _remove_if_left(left)
    with tempfile.TemporaryDirectory(prefix=f'trsum-{os.getpid()}-', ignore_cleanup_errors=True) as name:
        lock = os.open(name, os.O_RDONLY)
        try:
            # Some network disks know no locks. Then it is left alone by its number.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_SH)
            with stopping.cleaning(lambda: _remove_folder(name)):
                yield pathlib.Path(name)
        finally:
            os.close(lock)


def _remove_if_left(folder: pathlib.Path) -> None:
    found = re.fullmatch(r'trsum-(\d+)-\w+', folder.name)
    if not found or is_running(int(found[1])):
        return
    # Of another user, or gone by now.
    with contextlib.suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_folder(folder)
        finally:
            os.close(lock)


def _remove_folder(folder: str | pathlib.Path) -> None:
    # Again while other threads still write into it.
    for _ in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        if not pathlib.Path(folder).exists():
            return


def temporary_name(path: pathlib.Path) -> pathlib.Path:
    """The name under which this process writes a file: `.NAME.PID.tmp`, a long NAME cut.

    Args:
        path: the file.

    Returns:
        A name in the same folder, hidden, no longer than file systems take.
    """
    return path.with_name(f'.{shortened(path.name)}.{os.getpid()}.tmp')


def remove_left(path: pathlib.Path) -> None:
    """Removes the temporary files of a file whose process is gone.

    Args:
        path: the file that they were to become.
    """
    pattern = re.compile(rf'\.{re.escape(shortened(path.name))}\.(\d+)\.tmp')
    for left in path.parent.iterdir():
        found = pattern.fullmatch(left.name)
        if found and not is_running(int(found[1])):
            with contextlib.suppress(OSError):
                left.unlink()


def is_running(pid: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def shortened(name: str) -> str:
    """The name, or so much of a long one that an ending has room behind it; no two names become one.

    Args:
        name: of a file.

    Returns:
        A name of at most 213 bytes.
    """
    if len(os.fsencode(name)) <= _KEPT:
        return name
    # Cut by characters, so that none is broken in two; the digest keeps two long names apart.
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    while len(os.fsencode(name)) > _KEPT:
        name = name[:-1]
    return f'{name}~{digest}'


def to_json(obj: object) -> object:
    """The same tree in plain types that strict JSON knows; NaN and infinities, unknown to it, become null.

    Args:
        obj: mappings, sequences, arrays, numpy and Python scalars, paths.

    Returns:
        dicts with string keys, lists, str, int, float, bool and None.
    """
    if isinstance(obj, Mapping):
        return {encodable(str(key)): to_json(value) for key, value in obj.items()}
    if isinstance(obj, np.ndarray | np.generic):
        return to_json(obj.tolist())
    if isinstance(obj, list | tuple):
        return [to_json(value) for value in obj]
    if isinstance(obj, float):
        return obj if np.isfinite(obj) else None
    return encodable(str(obj)) if isinstance(obj, str | pathlib.PurePath) else obj


def write_json(path: str | os.PathLike, obj: object) -> None:
    """Writes strict JSON (see `to_json`), whole or not at all.

    Args:
        path: the file; replaced where it exists.
        obj: what `to_json` takes.
    """
    text = json.dumps(to_json(obj), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, f'{text}\n')


def read_json(path: pathlib.Path, *needed: str) -> dict[str, Any]:
    """The content of a JSON file that the project wrote.

    Args:
        path: the file.
        needed: keys that have to be there.

    Returns:
        What it holds: an object, as all of ours do.

    Raises:
        InputError: the file is missing, damaged, or holds anything else, or lacks a key.
    """
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError):
            reason = 'none' if isinstance(error, FileNotFoundError) else error.strerror
        else:
            reason = 'a damaged file' if path.stat().st_size else 'an empty file'
        raise InputError(f'{shown(path)}: expected a JSON object, found {reason}') from error
    if not isinstance(found, dict):
        raise InputError(f'{shown(path)}: expected a JSON object, found a {type(found).__name__}')
    if lacking := [key for key in needed if key not in found]:
        raise InputError(f'{shown(path)}: expected {", ".join(needed)}, found no {", ".join(lacking)}')
    return found


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes text as UTF-8, whole or not at all.

    Args:
        path: the file; replaced where it exists.
        text: of any characters; see `encodable`.
    """
    with replacing(path) as temporary:
        temporary.write_text(encodable(text), encoding='utf-8')


def kind_of(path: pathlib.Path) -> str:
    """What stands at a path, in words for a message that expected a file of some kind there."""
    if path.is_file():
        return 'a file'
    if path.is_dir():
        return 'a folder'
    return 'a pipe or a device' if path.exists() else 'nothing there'


def sha256(path: pathlib.Path) -> str:
    """The SHA-256 of a file, in 64 hexadecimal digits."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
