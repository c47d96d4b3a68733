"""The Python blocks of the pages, for the tests that run what the pages say."""

import pathlib
import re

DOCS = pathlib.Path(__file__).resolve().parents[1] / 'docs'


def defining(page: str, name: str) -> str:
    """The one Python block of a page of `docs/` that defines a function of that name."""
    blocks = re.findall(r'```python\n(.*?)```', (DOCS / page).read_text('utf-8'), re.DOTALL)
    (block,) = [block for block in blocks if re.search(rf'^def {name}\(', block, re.MULTILINE)]
    return block


def function(page: str, name: str):
    """The function itself."""
    names = {}
    exec(defining(page, name), names)
    return names[name]
