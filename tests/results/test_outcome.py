"""Tables as files; all else that an experiment leaves is looked at in `test_main`."""

import csv

from trsum_jax.results import outcome


def test_csv(tmp_path):
    path = tmp_path / 'videos.csv'
    outcome.write_csv(path, [{'video': 'a, b', 'tau': 0.5}, {'video': 'c', 'tau': float('nan'), 'more': 1}])
    with path.open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert rows == [{'video': 'a, b', 'tau': '0.5', 'more': ''}, {'video': 'c', 'tau': '', 'more': '1'}]
