"""Files written whole or not at all, names as text, JSON and CSV."""

import contextlib
import csv
import hashlib
import json
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trsum_jax.errors import InputError

# Bytes of a file's name: what the usual file systems take, and what a temporary name keeps of it.
LONGEST_NAME = 255
_KEPT = 200
# What turns text round or breaks its line, beside control characters.
_DISTURBING = {*'\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'}


def shown(name: str | bytes | os.PathLike) -> str:
    """Any file name as one line of text that every file, page and terminal can carry.

    Args:
        name: as the system gives it; its bytes need not be UTF-8.

    Returns:
        The same name where it is plain; bytes that are no UTF-8, line breaks and other control characters
        as escapes such as `\\xe9` and `\\n`.
    """
    return ''.join(
        c.encode('unicode_escape').decode() if unicodedata.category(c) == 'Cc' or c in _DISTURBING else c
        for c in encodable(os.fsdecode(name))
    )


def encodable(text: str) -> str:
    """Text that UTF-8 can hold: bytes of file names that are no text become escapes such as `\\xe9`."""

    def escape(found: re.Match) -> str:
        code = ord(found[0])
        return f'\\x{code - 0xDC00:02x}' if 0xDC80 <= code <= 0xDCFF else f'\\u{code:04x}'

    return re.sub('[\ud800-\udfff]', escape, text)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary name in the file's folder, which takes the file's place if all goes well.

    What killed processes have left of the same file is removed first.

    Args:
        path: the file to write; its folder is made where it is missing.

    Raises:
        InputError: where the file cannot be written.
    """
    path = pathlib.Path(path)
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left(path)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(f'{shown(path)}: cannot be written ({error})') from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_name(path: pathlib.Path) -> pathlib.Path:
    """The name under which this process writes a file: `.NAME.PID.tmp`, a long NAME cut.

    Args:
        path: the file.

    Returns:
        A name in the same folder, hidden, no longer than file systems take.
    """
    return path.with_name(f'.{_kept(path.name)}.{os.getpid()}.tmp')


def remove_left(path: pathlib.Path) -> None:
    """Removes the temporary files of a file whose process is gone.

    Args:
        path: the file that they were to become.
    """
    pattern = re.compile(rf'\.{re.escape(_kept(path.name))}\.(\d+)\.tmp')
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


def _kept(name: str) -> str:
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


def write_csv(path: str | os.PathLike, rows: Sequence[Mapping[str, object]]) -> None:
    """Writes rows as CSV with a header, whole or not at all; a NaN is an empty cell.

    Args:
        path: the file; replaced where it exists.
        rows: column to value; the columns are those of all rows, in the order of first appearance.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with replacing(path) as temporary, temporary.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(to_json(rows))
