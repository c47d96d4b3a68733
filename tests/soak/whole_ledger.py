"""All measured rows of docs/field.md, made again: `python -m pytest tests/soak/whole_ledger.py`."""

import ledger
import pytest


@pytest.mark.parametrize('method', ledger.METHODS)
@pytest.mark.parametrize('dataset', ledger.COLUMNS)
def test_a_row(dataset, method, shared):
    ledger.assert_same(dataset, method, shared)
