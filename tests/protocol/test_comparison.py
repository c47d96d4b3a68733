import tracemalloc

import numpy as np
import pytest

from trsum_jax.protocol import comparison, evaluation, tables


def cells_of(values):
    return {(s, f'v{v}'): (float(x), 1.0) for s, row in enumerate(values) for v, x in enumerate(row)}


def test_every_pair_of_draws_by_hand():
    """2 seeds and 2 videos: 16 equally likely samples, so the 2.5% point is the least of them."""
    found = comparison.interval(cells_of([[0, 1], [2, 5]]))
    assert (found['mean'], found['low'], found['high']) == (2.0, 0.0, 5.0)
    assert (found['seeds'], found['videos']) == (2, 2)


def test_with_one_seed_videos_alone_are_drawn():
    found = comparison.interval(cells_of([[0, 1]]))
    assert (found['mean'], found['low'], found['high']) == (0.5, 0.0, 1.0)


def test_one_cell_has_no_interval_and_no_cell_no_mean():
    assert np.isnan(comparison.interval(cells_of([[3]]))['low'])
    assert comparison.interval(cells_of([[3]]))['mean'] == 3
    assert np.isnan(comparison.interval({})['mean'])


@pytest.mark.parametrize('scale', [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(scale):
    """Effects of 16 seeds and of 20 videos; an interval over one of the two alone would hold it seldom."""
    rng = np.random.default_rng(0)
    hits = []
    for trial in range(200):
        of_seed, of_video = scale[0] * rng.standard_normal((16, 1)), scale[1] * rng.standard_normal((1, 20))
        values = 1.0 + of_seed + of_video + 0.3 * rng.standard_normal((16, 20))
        found = comparison.interval(cells_of(values), seed=trial, resamples=400)
        hits.append(found['low'] <= 1.0 <= found['high'])
    assert 0.85 <= np.mean(hits) <= 0.995


def test_equal_variants_differ_by_exactly_nothing():
    values = np.random.default_rng(1).standard_normal((3, 7))
    found = comparison.difference(cells_of(values), cells_of(values))
    assert (found['mean'], found['low'], found['high']) == (0.0, 0.0, 0.0)


def test_a_paired_difference_is_narrower_than_its_parts():
    rng = np.random.default_rng(2)
    base = rng.standard_normal((2, 30))
    found = comparison.difference(cells_of(base + 0.1), cells_of(base))
    assert found['mean'] == pytest.approx(0.1)
    assert found['high'] - found['low'] < 1e-12
    alone = comparison.interval(cells_of(base))
    assert alone['high'] - alone['low'] > 0.3


def test_only_what_both_have_is_compared():
    found = comparison.difference(cells_of([[1, 2, 9]]), cells_of([[0, 0]]))
    assert (found['mean'], found['videos']) == (1.5, 2)


def test_the_mean_is_that_of_folds_means_as_in_every_other_table():
    """Folds of unequal size that share a video, one value missing; `tables.estimate` takes the same mean."""
    folds = [{'a': 1.0, 'b': 4.0, 'c': float('nan')}, {'a': 2.0, 'd': 6.0, 'e': 7.0}]
    rows = [
        {'seed': 0, 'fold': i, 'video': video, 'tau': value}
        for i, fold in enumerate(folds)
        for video, value in fold.items()
    ]
    found = comparison.interval(comparison.from_folds(rows, 'tau'))
    expected = tables.estimate([list(f.values()) for f in folds], keys=[list(f) for f in folds])
    assert found['mean'] == pytest.approx(expected['mean'])
    assert found['mean'] == pytest.approx((2.5 + 5.0) / 2)


def test_a_value_counts_as_one_of_its_fold():
    rows = [
        {'seed': 0, 'fold': i, 'video': v, 'tau': x}
        for i, v, x in ((0, 'a', 1.0), (0, 'b', 4.0), (1, 'a', 7.0))
    ]
    # Video a: half of fold 0 and all of fold 1.
    assert comparison.from_folds(rows, 'tau') == {(0, 'a'): (5.0, 1.5), (0, 'b'): (4.0, 0.5)}


def test_one_row_less_each_other_by_hand():
    def row(*values):
        at = [(0, 0, 'a'), (0, 0, 'b'), (0, 1, 'c'), (1, 0, 'a'), (1, 0, 'b'), (1, 1, 'c')]
        return [
            {'seed': seed, 'fold': fold, 'video': video} | dict.fromkeys(evaluation.METRICS, value)
            for (seed, fold, video), value in zip(at, values, strict=True)
        ]

    rows = {
        'other': row(0, 1, 2, 0, 1, 2),
        'ours': row(1, 1, 5, 0, 3, 4),
        'half': row(0, 0, np.nan, 0, 0, np.nan),
    }
    found = comparison.differences(rows, 'ours')
    assert list(found) == ['other', 'half']
    assert list(found['other']) == list(evaluation.METRICS)
    # Folds of two videos and of one: ((1 + 0) / 2 + 3 + (0 + 2) / 2 + 2) / 4.
    assert found['other']['f_avg']['mean'] == pytest.approx((0.5 + 3 + 1 + 2) / 4)
    assert (found['other']['f_avg']['seeds'], found['other']['f_avg']['videos']) == (2, 3)
    assert found['half']['f_avg']['mean'] == pytest.approx((1 + 1 + 0 + 3) / 4)
    assert found['half']['f_avg']['videos'] == 2


def test_over_random_is_of_every_fold_by_hand():
    def folds(*values):
        return [{key: {'f_avg': f, 'f_max': 2 * f} for key, f in fold.items()} for fold in values]

    per_fold = {
        'scores': folds({'a': 0.2, 'b': 0.4}, {'c': 0.5}, {'d': 0.9}),
        'random': folds({'a': 0.1, 'b': 0.3}, {'c': 0.5}, {'d': 0.0}),
        'none': folds({'a': np.nan, 'b': np.nan}, {}, {}),
    }
    found = comparison.over_random(per_fold)
    # .3 / .2 and 1; nothing can be divided by the third.
    assert found['scores'] == pytest.approx({'f_avg': 1.25, 'f_max': 1.25})
    assert list(found) == ['scores', 'none'] and np.isnan(found['none']['f_avg'])


def test_metrics_that_only_some_rows_have_are_compared_too():
    base = {'seed': 0, 'fold': 0} | dict.fromkeys(evaluation.METRICS, 0.0)
    ours = [base | {'video': key, 'map_15': value} for key, value in (('a', 0.5), ('b', 0.9))]
    rows = {
        'ours': ours,
        'random': [one | {'map_15': 0.2} for one in ours],
        'uniform': [base | {'video': 'a'}],
    }
    found = comparison.differences(rows, 'ours')
    assert found['random']['map_15']['mean'] == pytest.approx(0.5)
    assert np.isnan(found['uniform']['map_15']['mean'])
    assert list(found['random']) == [*evaluation.METRICS, 'map_15']


def test_samples_that_meet_no_cell_are_left_out():
    """Seed 0 saw one video, seed 1 the other: a draw of one twice and of the other's video has nothing."""
    for weight in (1.0, 0.25):
        found = comparison.interval({(0, 'a'): (0.0, weight), (1, 'b'): (1.0, weight)})
        assert (found['mean'], found['low'], found['high']) == (0.5, 0.0, 1.0)


def test_what_cannot_be_estimated_is_nan_and_never_absent():
    nan = pytest.approx(float('nan'), nan_ok=True)
    nothing = {'mean': nan, 'low': nan, 'high': nan, 'seeds': 0, 'videos': 0}
    assert comparison.interval({}) == nothing
    assert comparison.interval(cells_of([[3]])) == nothing | {'mean': 3.0, 'seeds': 1, 'videos': 1}


def test_the_seed_and_the_resamples_decide_the_interval():
    cells = cells_of(np.random.default_rng(3).standard_normal((6, 9)))
    zero = comparison.interval(cells)
    assert zero == comparison.interval(cells, seed=0, resamples=9999)
    other = {'seed': 1, 'resamples': 50}
    assert comparison.interval(cells, **other) == comparison.interval(cells, **other) != zero
    assert comparison.interval(cells, **other) != comparison.interval(cells, seed=2, resamples=50)
    nothing = dict.fromkeys(cells, (0.0, 1.0))
    assert comparison.difference(cells, nothing, **other) == comparison.interval(cells, **other)


def test_draws_some_at_a_time_are_those_of_all_at_once(monkeypatch):
    """Against the same draws in two whole arrays; in small blocks the sums differ by rounding alone."""
    values = np.random.default_rng(4).standard_normal((3, 40))
    rng = np.random.default_rng(0)
    rows, columns = (rng.multinomial(n, np.full(n, 1 / n), 9999).astype(np.float64) for n in values.shape)
    means = np.einsum('bv,bv->b', rows @ values, columns) / (3 * 40)
    expected = np.quantile(means, [0.025, 0.975])
    found = comparison.interval(cells_of(values))
    assert [found['low'], found['high']] == expected.tolist()
    for at_once in (40 * 1000, 1):
        monkeypatch.setattr(tables, 'AT_ONCE', at_once)
        found = comparison.interval(cells_of(values))
        assert [found['low'], found['high']] == pytest.approx(expected, rel=1e-12)


def test_memory_does_not_grow_with_the_videos():
    """20,000 of them: 160 MB a thousand resamples, as whole numbers and again as fractions."""
    cells = cells_of(np.random.default_rng(5).standard_normal((1, 20_000)))
    tracemalloc.start()
    found = comparison.interval(cells, resamples=1500)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found['low'] < found['mean'] < found['high']
    assert peak < 300e6
