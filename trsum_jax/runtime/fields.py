"""What a field of the config is: its default, what it may be, who says so, and what it means."""

import dataclasses
import math
from typing import Any


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
    """

    default: Any
    says: str = ''
    mark: str = ''
    choices: tuple[str, ...] = ()
    least: int | None = None
    within: str = ''

    def fault(self, value: Any) -> str:
        """What is wrong with a value of the right type, as `expected …`; '' where nothing is."""
        if self.choices and value not in self.choices:
            return f'expected one of {", ".join(self.choices)}'
        if self.least is not None and value < self.least:
            return f'expected {self.least} or more'
        if self.within and not _holds(self.within, value):
            return f'expected a number in {self.within}'
        return ''

    def may_be(self) -> str:
        """What it may be, for a table."""
        if self.choices:
            return ', '.join(self.choices)
        return self.within or ('' if self.least is None else f'{self.least} or more')


def _holds(within: str, value: float) -> bool:
    low, high = (math.inf if end == 'inf' else float(end) for end in within[1:-1].split(', '))
    above = value > low or (within[0] == '[' and value == low)
    return above and (value < high or (within[-1] == ']' and value == high))
