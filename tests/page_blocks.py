"""The Python blocks of the pages, for the tests that run what the pages say."""

import pathlib
import re

DOCS = pathlib.Path(__file__).resolve().parents[1] / 'docs'


def holding(page: str, words: str) -> str:
    """The one Python block of a page of `docs/` with these words in it."""
    blocks = re.findall(r'```python\n(.*?)```', (DOCS / page).read_text('utf-8'), re.DOTALL)
    (block,) = [block for block in blocks if words in block]
    return block


def function(page: str, name: str):
    """The function of that name which a page defines."""
    return run(holding(page, f'def {name}('))[name]


def run(block: str, **names):
    """What a block leaves, by name, where it finds these names."""
    exec(block, names)
    return names
