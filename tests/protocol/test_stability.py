import numpy as np
import pytest

from trsum_jax.errors import InputError
from trsum_jax.protocol import stability

# Range 4; steps 1, -3, 4, -2; their differences -4, 7, -6; trapezoids 2.5, 1.5, 2, 3.
ZIGZAG = [2.0, 3.0, 0.0, 4.0, 2.0]


@pytest.mark.parametrize(
    ('curve', 'tv_n', 'ms', 'rauc'),
    [
        ([3.0, 2.0, 1.0, 0.0], 1, 0, 0.5),
        ([4.0, 0.0, 0.0, 0.0, 0.0], 1, 1 / 3, 1 / 8),
        ([0.0, 1.0, 0.0, 1.0, 0.0], 4, 2, 0.5),
        (ZIGZAG, 10 / 4, 17 / 3 / 4, 9 / 4 / 4),
    ],
)
def test_measures_by_hand(curve, tv_n, ms, rauc):
    assert stability.tv_n(curve) == pytest.approx(tv_n)
    assert stability.ms(curve) == pytest.approx(ms)
    assert stability.rauc(curve) == pytest.approx(rauc)


@pytest.mark.parametrize('name', stability.MEASURES)
def test_scale_and_offset_change_nothing_and_rows_are_measured_alone(name):
    measure = stability.MEASURES[name]
    curves = np.random.default_rng(0).standard_normal((3, 20))
    one_by_one = [float(measure(curve)) for curve in curves]
    np.testing.assert_allclose(measure(5 * curves - 100), one_by_one, rtol=1e-9)


@pytest.mark.parametrize('name', stability.MEASURES)
def test_a_constant_curve_has_no_measure(name):
    found = stability.MEASURES[name](np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, np.nan, 2.0]]))
    assert np.isnan(found).tolist() == [True, False, True]


def test_a_curve_mirrored_in_value_has_the_rest_of_the_area():
    curve = np.random.default_rng(1).standard_normal(9)
    assert stability.rauc(curve) + stability.rauc(-curve) == pytest.approx(1)


@pytest.mark.parametrize(('name', 'least'), [('TVn', 2), ('MS', 3), ('RAUC', 2)])
def test_too_short_a_curve_is_refused(name, least):
    measure = stability.MEASURES[name]
    assert np.isfinite(measure(np.arange(least)))
    with pytest.raises(InputError, match=f'n of {least} or more'):
        measure(np.arange(least - 1))


def test_intervals_are_over_seeds_not_over_runs():
    # Seeds' means 1, 2, 4.5: mean 2.5, standard deviation 1.8028, t(.975, 2) = 4.302653.
    found = stability.over_seeds([0.0, 2.0, 2.0, 2.0, 4.5, np.nan], [0, 0, 5, 5, 1, 1])
    assert found['mean'] == pytest.approx(2.5)
    assert found['high'] - 2.5 == pytest.approx(4.302653 * 1.802776 / 3**0.5, rel=1e-5)
    assert found['low'] == pytest.approx(5 - found['high'])
    assert (found['seeds'], found['missing']) == (3, 1)


def test_one_seed_has_no_interval_and_no_value_no_mean():
    one = stability.over_seeds([1.0, 3.0], [4, 4])
    assert one['mean'] == 2
    assert np.isnan(one['low'])
    none = stability.over_seeds([np.nan], [4])
    assert np.isnan(none['mean'])
    assert (none['seeds'], none['missing']) == (0, 1)


def test_two_seeds_have_an_interval_and_one_has_none_of_its_ends():
    # Standard deviation of 1 and 3: the root of 2; t(.975, 1) = 12.7062.
    two = stability.over_seeds([1.0, 3.0], [0, 1])
    assert two['high'] - two['mean'] == pytest.approx(12.7062, rel=1e-5)
    for found in (stability.over_seeds([1.0, 3.0], [4, 4]), stability.over_seeds([np.nan], [4])):
        assert np.isnan([found['low'], found['high']]).all()


def test_numbers_of_32_bits_are_summed_in_64():
    # 1 more than 2^24 is lost in 32 bits.
    values = np.array([0, 2**24, 1], np.float32)
    assert stability.over_seeds(values[1:], [0, 0])['mean'] == (2**24 + 1) / 2
    assert float(stability.tv_n(values)) == (2**25 - 1) / 2**24
