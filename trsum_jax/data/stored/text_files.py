"""Text and JSON that people give us: of a bounded size, with or without a byte order mark."""

import json
import os
import pathlib

from trsum_jax.data.stored import bounds, hdf5
from trsum_jax.errors import InputError
from trsum_jax.files import shown


def read_text(path: str | os.PathLike, expected: str, most: int) -> str:
    """The text of a file in UTF-8; editors' byte order marks are left out.

    Args:
        path: the file.
        expected: what it should be, in words.
        most: the bytes that it may have.

    Returns:
        The text.

    Raises:
        InputError: no such file, no regular one, a larger one, other bytes than UTF-8.
    """
    size = hdf5.regular(path, expected).st_size
    if size > most:
        raise InputError(f'{shown(path)}: expected {expected} of at most {most} bytes, found {size}')
    try:
        return pathlib.Path(path).read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise InputError(
            f'{shown(path)}: expected {expected}, found other bytes than text ({error})'
        ) from error
    except OSError as error:
        raise InputError(
            f'{shown(path)}: expected {expected}, found none that can be read ({error})'
        ) from error


def read_json(path: str | os.PathLike, expected: str) -> object:
    """The content of a JSON file.

    Args:
        path: the file.
        expected: what it should be, in words.

    Returns:
        dicts, lists, strings, numbers (NaN and infinities among them), booleans, None.

    Raises:
        InputError: as `read_text`; no JSON, one key twice, lists within lists without end.
    """
    text = read_text(path, expected, bounds.LARGEST_JSON)
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        found = 'lists or objects within each other, too deep to read'
        raise InputError(f'{shown(path)}: expected {expected}, found {found}') from error
    except ValueError as error:
        fault = 'a number of thousands of digits' if 'int_max_str_digits' in str(error) else error
        raise InputError(f'{shown(path)}: expected {expected}, found a fault in it: {fault}') from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f'{shown(next(key for key in keys if keys.count(key) > 1))} is given twice')
    return found
