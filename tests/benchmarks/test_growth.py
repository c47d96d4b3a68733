"""The benchmark of growth at toy size; no figure is checked here."""

import numpy as np
import pytest

from benchmarks import growth, measure


def test_a_power_law_gives_its_exponent_and_no_error():
    n = [1, 5, 25, 125]
    found = growth.fit(n, [3.0 * x**1.5 for x in n])
    assert found['exponent'] == pytest.approx(1.5)
    assert found['standard_error'] == pytest.approx(0.0, abs=1e-6)


def test_the_standard_error_is_that_of_the_slope():
    x, y = np.log([1, 2, 4, 8]), np.log([1.0, 2.2, 3.7, 8.4])
    slope, intercept = np.polyfit(x, y, 1)
    rest = y - slope * x - intercept
    expected = np.sqrt(np.sum(rest**2) / 2 / np.sum((x - x.mean()) ** 2))
    found = growth.fit(np.exp(x), np.exp(y))
    assert found['exponent'] == pytest.approx(slope)
    assert found['standard_error'] == pytest.approx(expected)


def measured(monkeypatch, table, peaks_mb):
    asked, peaks = [], iter(peaks_mb)

    def in_turn(works, repetitions, label):
        asked.extend((work.build, work.options['n']) for work in works.values())
        n, peak = asked[-1][1], next(peaks) * 2**20
        return {name: measure.Timing(0.0, 2.0, (0.1 * n, 0.2 * n, 0.6 * n), peak) for name in works}

    monkeypatch.setattr(measure, 'in_turn', in_turn)
    return growth.run_table(table), asked


def test_memory_is_fitted_above_the_first_point(monkeypatch):
    table = growth.TABLES[1]
    found, _ = measured(monkeypatch, table, [300 + 4 * (n - 8) for n in table.points])
    assert found['memory']['exponent'] == pytest.approx(1.0)
    assert 'above the first 300 MB by 480 MB, as n^1.00' in growth.describe(found)


def test_memory_that_does_not_show_has_no_exponent(monkeypatch):
    found, _ = measured(monkeypatch, growth.TABLES[1], [300, 310, 290, 320, 330])
    assert np.isnan(found['memory']['exponent'])
    assert 'does not' in growth.describe(found)


def test_a_point_is_a_process_of_its_own(monkeypatch, tmp_path):
    found, asked = measured(monkeypatch, growth.TABLES[0], [300, 350, 600])
    assert asked == [('benchmarks.growth:train_runs', n) for n in (1, 5, 25)]
    assert found['time']['exponent'] == pytest.approx(1.0)
    table = growth.rows(found)
    assert [row['ms each'] for row in table] == pytest.approx([200.0] * 3)
    assert table[2]['seconds'] == pytest.approx(5.0)
    assert [row['peak MB'] for row in table] == ['300', '350', '600']
    growth.draw(tmp_path / 'growth.png', [found] * 5)
    assert (tmp_path / 'growth.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize('table', growth.TABLES, ids=lambda table: table.build)
def test_the_work_of_every_table_runs_at_toy_size(table):
    run = getattr(growth, table.build)('toy', 3)
    run()
    run()


def test_a_long_video_has_shots_from_its_first_frame_to_its_last():
    (video,) = growth._videos(1, 25, 4, users=2)
    assert video.change_points.tolist() == [[0, 149], [150, 299], [300, 374]]
    assert video.user_summary.shape == video.user_scores.shape == (2, 375)
