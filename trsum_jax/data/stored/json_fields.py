"""The fields of a JSON file that people may have edited, each of its kind and within bounds."""

import os
import reprlib
from typing import Any

from trsum_jax.data.stored import bounds
from trsum_jax.errors import InputError
from trsum_jax.files import shown

_NOTHING = object()


class Fields:
    """An object of a JSON file; whatever is not as expected is refused with its place in the file."""

    def __init__(self, found: object, path: str | os.PathLike, trail: str = ''):
        """Takes what was read.

        Args:
            found: should be a dict.
            path: the file.
            trail: where in it, such as `parts[2]`; empty for the whole file.

        Raises:
            InputError: it is no dict.
        """
        self._path, self._trail = path, trail
        if not isinstance(found, dict):
            self.refuse('', 'an object', found)
        self._found = found

    def __contains__(self, key: str) -> bool:
        return self._found.get(key) is not None

    def refuse(self, key: str, expected: str, found: object = _NOTHING, todo: str = '') -> None:
        """Says that a field cannot be used.

        Args:
            key: of the field; empty for the object itself.
            expected: in words.
            found: what stands there.
            todo: how to mend it.

        Raises:
            InputError: always.
        """
        place = '.'.join(filter(None, (self._trail, key)))
        what = 'none' if found is _NOTHING else shown(reprlib.repr(found))
        told = (
            f'{place}: expected {expected}, found {what}' if place else f'expected {expected}, found {what}'
        )
        raise InputError(f'{shown(self._path)}: {told}' + (f'; {todo}' if todo else ''))

    def number(self, key: str, low: float = 0.0, high: float = bounds.LARGEST_NUMBER) -> float:
        """A finite number from `low` to `high`."""
        value = self._found.get(key, _NOTHING)
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        # As plain floats: one of numpy cannot be compared with a whole number of 400 digits.
        if not fits or not float(low) <= value <= float(high):
            self.refuse(key, f'a number from {low:.10g} to {high:.10g}', value)
        return float(value)

    def whole(self, key: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._found.get(key, _NOTHING)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.refuse(key, f'a whole number from {low} to {high}', value)
        return value

    def text(self, key: str) -> str:
        """Text of any length that the file has."""
        return self._of_kind(key, str, 'text')

    def flag(self, key: str) -> bool:
        """True or false."""
        return self._of_kind(key, bool, 'true or false')

    def part(self, key: str) -> 'Fields':
        """An object within this one."""
        return Fields(self._of_kind(key, dict, 'an object'), self._path, self._place(key))

    def parts(self, key: str) -> list['Fields']:
        """A list of objects, at least one."""
        found = self._of_kind(key, list, 'a list of objects')
        if not found:
            self.refuse(key, 'a list of at least one object', found)
        return [Fields(one, self._path, self._place(f'{key}[{i}]')) for i, one in enumerate(found)]

    def _of_kind(self, key: str, kind: type, expected: str) -> Any:
        value = self._found.get(key, _NOTHING)
        if not isinstance(value, kind):
            self.refuse(key, expected, value)
        return value

    def _place(self, key: str) -> str:
        return '.'.join(filter(None, (self._trail, key)))
