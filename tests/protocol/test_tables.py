import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from trsum_jax.protocol import tables

NAN = float('nan')


# Estimates


def test_mean_over_videos_then_over_folds():
    result = tables.estimate([[1, 2, 3], [10, 20]])
    assert result['mean'] == pytest.approx((2 + 15) / 2)
    assert (result['videos'], result['missing']) == (5, 0)
    assert result['low'] < result['mean'] < result['high']


def test_interval_of_one_fold_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(3, 2, 200)
    result = tables.estimate([values])
    half = 1.96 * values.std() / math.sqrt(200)
    assert result['low'] == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert result['high'] == pytest.approx(values.mean() + half, abs=0.05 * half)


def test_interval_is_stratified_by_fold():
    # folds far apart, alike within: resampling across folds would give an interval of several units
    rng = np.random.default_rng(0)
    folds = [offset + rng.normal(0, 0.1, 30) for offset in (0, 10, 20)]
    result = tables.estimate(folds)
    half = 1.96 * math.sqrt(sum(fold.var() / 30 for fold in folds)) / 3
    assert result['high'] - result['low'] == pytest.approx(2 * half, rel=0.05)


def test_two_values_by_hand():
    # the mean of two draws from {0, 1} is 0 or 1 with probability 1/4 each
    result = tables.estimate([[0, 1]])
    assert (result['low'], result['mean'], result['high']) == (0, 0.5, 1)


def test_folds_of_one_video_are_resampled_together():
    values = np.random.default_rng(0).normal(size=20)
    alone, together = tables.estimate([[v] for v in values]), tables.estimate([values])
    assert alone == pytest.approx(together)


def test_a_single_fold_of_one_video_adds_no_width():
    pair, beside = tables.estimate([[0, 1]]), tables.estimate([[0, 1], [10]])
    assert beside['mean'] == 5.25
    assert (beside['low'], beside['high']) == ((pair['low'] + 10) / 2, (pair['high'] + 10) / 2)


def test_missing_values_are_left_out_and_counted():
    result = tables.estimate([[1, NAN, 3], [NAN, NAN], [4, 6]])
    assert result['mean'] == (2 + 5) / 2
    assert (result['videos'], result['missing']) == (4, 3)


@pytest.mark.parametrize(
    ('folds', 'mean', 'videos', 'missing'),
    [([[0.5]], 0.5, 1, 0), ([[NAN], [NAN, NAN]], NAN, 0, 3), ([[0.5, NAN]], 0.5, 1, 1), ([], NAN, 0, 0)],
    ids=['one-video', 'all-missing', 'one-left', 'no-folds'],
)
def test_no_interval_where_nothing_can_be_resampled(folds, mean, videos, missing):
    result = tables.estimate(folds)
    assert result == pytest.approx(
        {'mean': mean, 'low': NAN, 'high': NAN, 'videos': videos, 'missing': missing}, nan_ok=True
    )


def test_equal_values_have_an_interval_without_width():
    assert tables.estimate([[0.25] * 4])['low'] == tables.estimate([[0.25] * 4])['high'] == 0.25


def test_seed_decides():
    values = np.random.default_rng(0).random(10)
    one, same, other = (tables.estimate([values], seed=seed, resamples=200) for seed in (1, 1, 2))
    assert one == same and one['low'] != other['low']


def test_interval_agrees_with_scipy_on_one_fold():
    values = np.random.default_rng(0).random(12)
    interval = stats.bootstrap((values,), np.mean, method='percentile', rng=np.random.default_rng(5))
    result = tables.estimate([values], seed=5)
    assert result['low'] == pytest.approx(interval.confidence_interval.low)


def test_resamples_some_at_a_time_are_those_of_all_at_once(monkeypatch):
    values = np.random.default_rng(0).random(40)
    keys = [[str(i) for i in range(40)], [str(i) for i in range(10)]]
    for folds, names in (([values], None), ([values, values[:10]], keys)):
        whole = tables.estimate(folds, keys=names)
        for at_once in (40 * 1000, 1):
            monkeypatch.setattr(tables, 'AT_ONCE', at_once)
            assert tables.estimate(folds, keys=names) == whole
        monkeypatch.undo()


def test_memory_does_not_grow_with_the_videos():
    """20,000 of them: 160 MB a thousand resamples, of which are drawn and of their values."""
    values = np.random.default_rng(0).random(20_000)
    tracemalloc.start()
    found = tables.estimate([values], resamples=2000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found['high'] - found['low'] == pytest.approx(2 * 1.96 * values.std() / 20_000**0.5, rel=0.1)
    assert peak < 300e6


def test_defaults_are_seed_0_and_9999_resamples():
    values = np.random.default_rng(0).random(6)
    every = {seed: tables.estimate([values], seed=seed, resamples=9999) for seed in (0, 1)}
    assert tables.estimate([values]) == every[0] != every[1]
    assert tables.estimate([values], resamples=99) != every[0]
    fold = {str(i): {'extra': value} for i, value in enumerate(values)}
    assert tables.aggregate([fold])['extra'] == every[0]
    assert tables.aggregate([fold], seed=1)['extra'] == every[1]


def test_two_folds_of_one_video_each_are_a_sample_of_two():
    assert tables.estimate([[0], [1]]) == tables.estimate([[0, 1]])


def test_keys_that_do_not_fit_the_folds_are_refused():
    with pytest.raises(ValueError, match='zip'):
        tables.estimate([[1.0], [2.0]], keys=[['a']])


def test_numbers_of_32_bits_are_summed_in_64():
    # 1 more than 2^24 is lost in 32 bits.
    assert tables.estimate([np.array([2**24, 1], np.float32)])['mean'] == (2**24 + 1) / 2


def test_a_video_of_more_folds_is_drawn_with_its_weight():
    # Video a has three times the weight of b. Equal values: every sample has their mean.
    found = tables.estimate([[3.0], [3.0, 3.0]], keys=[['a'], ['a', 'b']])
    assert (found['low'], found['high']) == pytest.approx((3.0, 3.0))


def test_aggregate_knows_a_video_again():
    folds = [{'a': {'f_avg': 0.2}, 'b': {'f_avg': 0.4}}, {'a': {'f_avg': 0.6}}]
    (found,) = tables.aggregate(folds).values()
    assert found == tables.estimate([[0.2, 0.4], [0.6]], keys=[['a', 'b'], ['a']])
    assert found['videos'] == 2


def test_aggregate_per_metric():
    folds = [
        {'a': {'f_avg': 0.2, 'kendall_tau': NAN}, 'b': {'f_avg': 0.4}},
        {'c': {'f_avg': 0.9, 'extra': 1}},
    ]
    found = tables.aggregate(folds)
    assert list(found) == ['f_avg', 'kendall_tau', 'extra']
    assert found['f_avg']['mean'] == pytest.approx(0.6)
    assert (found['kendall_tau']['videos'], found['kendall_tau']['missing']) == (0, 3)
    assert found['extra']['mean'] == 1


# Tables


def estimated(mean, low=NAN, high=NAN):
    return {'mean': mean, 'low': low, 'high': high, 'videos': 2, 'missing': 0}


def test_markdown():
    rows = {
        'model': {'f_avg': estimated(0.4567, 0.4, 0.5), 'kendall_tau': estimated(0.12345, -0.0004, 0.2)},
        'uniform': {'f_avg': estimated(0.1), 'kendall_tau': estimated(NAN)},
        'human': {'f_avg': estimated(NAN)},
    }
    lines = tables.render(rows, 'SumMe').splitlines()
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines if line.startswith('|')]
    assert lines[0] == 'SumMe'
    assert cells[0] == ['', 'F avg, %', 'tau']
    assert cells[2:] == [
        ['model', '45.7 [40.0, 50.0]', '0.123 [0.000, 0.200]'],
        ['uniform', '10.0', '–'],
        ['human', '–', '–'],
    ]


def test_digits_stay_and_a_metric_without_a_title_has_its_name():
    rows = {'one': {'extra': estimated(0.12)}, 'other': {'extra': estimated(0.5)}}
    text = tables.render(rows)
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines()]
    assert [cells[0], *cells[2:]] == [['', 'extra'], ['one', '0.120'], ['other', '0.500']]


def test_titles_and_cells_by_hand():
    titles = {'train_kendall_tau': 'train tau', 'f_max': 'F max, %', 'p_std_of': 'p std of'}
    assert {metric: tables.title(metric) for metric in titles} == titles
    # As read from JSON, where NaN is null.
    assert tables.cell('f_max', {'mean': 0.5, 'low': None, 'high': None}) == '50.0'
    assert tables.cell('tau', {'mean': None, 'low': None, 'high': None}) == '–'


def test_rows_per_video_and_per_fold():
    folds = [{'a': {'f_avg': 0.2, 'kendall_tau': NAN}, 'b': {'f_avg': 0.4, 'kendall_tau': 0.5}}, {'a': {}}]
    first, second = tables.fold_rows(folds)
    assert first == pytest.approx({'fold': 0, 'videos': 2, 'f_avg': 0.3, 'kendall_tau': 0.5})
    assert second['videos'] == 1 and math.isnan(second['f_avg'])


def test_a_video_in_several_folds_widens_no_interval_and_narrows_none():
    """Training sets of 5 folds hold each video four times; the interval is that of the videos."""
    values = np.random.default_rng(0).normal(size=30)
    names = [f'video_{i}' for i in range(30)]
    once = tables.estimate([values], keys=[names])
    parts = [[i for i in range(30) if i % 5 != fold] for fold in range(5)]
    several = tables.estimate(
        [values[part] for part in parts], keys=[[names[i] for i in part] for part in parts]
    )
    assert several['videos'] == once['videos'] == 30
    assert several['mean'] == pytest.approx(once['mean'])
    assert several['high'] - several['low'] == pytest.approx(once['high'] - once['low'], rel=0.05)
    assert several['low'] == pytest.approx(once['low'], abs=0.02)


def test_overlapping_draws_keep_the_mean_of_the_folds():
    found = tables.estimate([[1.0, 3.0], [3.0, 7.0, 8.0]], keys=[['a', 'b'], ['b', 'c', 'd']])
    assert found['mean'] == pytest.approx((2.0 + 6.0) / 2)
    assert found['videos'] == 4
    assert found['low'] <= found['mean'] <= found['high']


def test_f_over_random_in_a_line():
    found = {'scores': {'f_avg': 1.254, 'f_max': 0.98}, 'b': {'f_avg': None, 'f_max': 2.0}}
    line = tables.render_over_random(found | {'no F': {'f_avg': NAN, 'f_max': NAN}})
    assert line == "F over random's, in % (PoR; F avg, F max): scores 125, 98; b –, 200."
    assert tables.render_over_random({'no F': {'f_avg': NAN, 'f_max': NAN}}) == ''
    assert tables.cell('map_15', {'mean': 0.1234, 'low': NAN, 'high': NAN}) == '12.3'
