"""Some of the measured rows of docs/field.md; tests/soak/whole_ledger.py makes all of them again."""

import ledger
import pytest


@pytest.mark.parametrize(
    ('dataset', 'method'), [('SumMe', 'csnet'), ('SumMe', 'sum-gan-aae'), ('TVSum', 'sum-gan-sl')]
)
def test_what_the_ledger_says_was_measured_is_measured_again(dataset, method, shared):
    ledger.assert_same(dataset, method, shared)
