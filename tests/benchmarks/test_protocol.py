"""The benchmark of the protocol at toy size; no figure is checked here."""

import numpy as np
import pytest

from benchmarks import protocol
from trsum_jax.protocol import evaluation, knapsack


def test_the_loops_choose_what_the_protocol_chooses():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values, weights = rng.random(12), rng.integers(1, 9, 12)
        capacity = int(rng.integers(0, 30))
        chosen = np.flatnonzero(knapsack.solve(values, weights, capacity))
        assert protocol.reference_knapsack(values.tolist(), weights.tolist(), capacity) == chosen.tolist()


def test_the_loops_f_scores_by_hand():
    # One shot of two fits into 15% of 20 frames: the second, of the greater score.
    picks, change_points = np.array([0, 3, 6, 9]), np.array([[0, 2], [3, 5], [6, 8], [9, 19]])
    users = np.zeros((3, 20), int)
    users[0, 3:6] = 1
    users[1, 5:8] = 1
    found = protocol.reference_f_scores(np.array([0.1, 0.9, 0.2, 0.0]), picks, change_points, users)
    assert found == pytest.approx([1, 1 / 3, 0])


def test_the_workers_do_their_work_and_fail_where_results_differ(monkeypatch):
    toy = {'n_frames': 600, 'n_shots': 30, 'n_users': 3}
    protocol.evaluation_work(**toy, loops=True)()
    run = protocol.evaluation_work(**toy, loops=False)
    monkeypatch.setattr(evaluation, 'f_scores', lambda summary, users: np.zeros(len(users)))
    with pytest.raises(AssertionError):
        run()

    toy = {'n': 90, 'n_scenes': 9, 'max_changes': 20}
    run = protocol.kts_work(**toy, loops=True)
    run()
    monkeypatch.setattr(protocol, 'reference_kts', lambda features, most, vmax: np.array([1]))
    with pytest.raises(AssertionError):
        protocol.kts_work(**toy, loops=True)()


def test_the_benchmark_runs_at_toy_size():
    found = protocol.compare_kts(120, 10, 20, repetitions=1)
    assert '9 changes found, all up to 20 tried' in found['label']
    long = protocol.long_videos(200, repetitions=1)
    rows = protocol.rows([found], long)
    assert len(rows) == 3
    assert all(row['ours, s'] > 0 for row in rows)
    slow = found | {'times_faster': 39.9}
    assert protocol.rows([slow], [long[0] | {'seconds': 61.0}])[0]['reached'] == 'no'
    assert (
        protocol.rows([], [long[0] | {'seconds': 61.0}, long[0] | {'peak_mb': 2001.0}])[1]['reached'] == 'no'
    )
