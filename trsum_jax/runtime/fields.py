"""What a field of the config is: its default, what it may be, who says so, and what it means."""

import dataclasses
import math
import re
from typing import Any

# A function outside the package. In names of fields `/` stands for the dot, which they cannot have.
_BY_PATH = re.compile(r'[^\W\d]\w*([./][^\W\d]\w*)*:[^\W\d]\w*')


@dataclasses.dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        default: its value where nobody sets it; its type is the field's.
        says: what it means, a line.
        mark: whose choice the default is: P, the paper's (a rival's, of its paper); A, the author's earlier
            released code's (RS-SUM); R, that of the settings which a rival's authors released; O, ours; ''
            where there is nothing to choose.
        choices: what it may be; empty where that is no list.
        least: the smallest whole number that it may be.
        within: the numbers that it may be, such as `(0, 1]`.
        by_path: whether it may be a function's import path besides (`is_path`).
    """

    default: Any
    says: str = ''
    mark: str = ''
    choices: tuple[str, ...] = ()
    least: int | None = None
    within: str = ''
    by_path: bool = False

    def fault(self, value: Any) -> str:
        """What is wrong with a value of the right type, as `expected …`; '' where nothing is."""
        if self.choices and value not in self.choices and not (self.by_path and is_path(value)):
            return f'expected one of {self.may_be()}'
        if self.least is not None and value < self.least:
            return f'expected {self.least} or more'
        if self.within and not _holds(self.within, value):
            return f'expected a number in {self.within}'
        return ''

    def may_be(self) -> str:
        """What it may be, for a table."""
        if self.choices:
            return ', '.join(self.choices) + (', or MODULE:NAME' if self.by_path else '')
        return self.within or ('' if self.least is None else f'{self.least} or more')


def is_path(value: str) -> bool:
    """Whether a value is a function's import path: `MODULE:NAME`, such as `mine:ranked`."""
    return bool(_BY_PATH.fullmatch(value))


def _holds(within: str, value: float) -> bool:
    low, high = (math.inf if end == 'inf' else float(end) for end in within[1:-1].split(', '))
    above = value > low or (within[0] == '[' and value == low)
    return above and (value < high or (within[-1] == ']' and value == high))
