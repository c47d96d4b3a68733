import numpy as np
import pytest

from trsum_jax.errors import InputError
from trsum_jax.method.decomposition import PADDING, decompose, dilated_segments, sequential_windows


def test_windows_overlap_as_computed_by_hand():
    # T = 10, L = 4: m = 3 windows from round(linspace(0, 6, 3)) = 0, 3, 6.
    expected = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    np.testing.assert_array_equal(sequential_windows(10, 4), expected)


def test_dilated_segments_by_hand():
    # T = 10, L = 4: m = 3, segment j holds j, j + 3, j + 6, …
    expected = [[0, 3, 6, 9], [1, 4, 7, PADDING], [2, 5, 8, PADDING]]
    np.testing.assert_array_equal(dilated_segments(10, 4), expected)


@pytest.mark.parametrize('length', [2, 5, 16])
@pytest.mark.parametrize('n_steps', [1, 2, 5, 6, 16, 17, 31, 32, 33, 100])
@pytest.mark.parametrize('view', [sequential_windows, dilated_segments])
def test_every_view_covers_every_step_in_m_segments(view, n_steps, length):
    segments = view(n_steps, length)
    assert segments.shape == (int(np.ceil(n_steps / length)), length)
    assert segments.dtype == np.int32
    valid = segments != PADDING
    assert set(segments[valid]) == set(range(n_steps))
    for row, there in zip(segments, valid, strict=True):
        assert not np.any(np.diff(there.astype(int)) > 0), 'padding comes last'
        assert np.all(np.diff(row[there]) > 0)


def test_only_a_short_video_is_padded_in_the_sequential_view():
    assert np.all(sequential_windows(9, 4) != PADDING)
    np.testing.assert_array_equal(sequential_windows(3, 5), [[0, 1, 2, PADDING, PADDING]])


def test_a_short_video_is_one_segment_and_a_long_one_has_both_views():
    assert len(decompose(4, 4)) == 1
    np.testing.assert_array_equal(
        decompose(5, 4), np.concatenate([sequential_windows(5, 4), dilated_segments(5, 4)])
    )
    np.testing.assert_array_equal(decompose(5, 4, ('dilated',)), dilated_segments(5, 4))


def test_an_unknown_view_is_named():
    for views in (('reversed',), ('dilated', 'reversed'), ()):
        with pytest.raises(InputError, match='sequential, dilated'):
            decompose(5, 4, views)
