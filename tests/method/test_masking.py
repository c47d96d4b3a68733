import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from trsum_jax.method import masking

SHOTS = np.repeat([3, 4, 7, 9, 12], [5, 8, 1, 6, 10])  # 30 valid frames
LENGTH = 36


def segment():
    valid = np.arange(LENGTH) < len(SHOTS)
    return jnp.asarray(valid), jnp.asarray(np.pad(SHOTS, (0, LENGTH - len(SHOTS))))


def draw(strategy, n, **options):
    valid, shot = segment()
    keys = jax.random.split(jax.random.key(0), n)
    return np.asarray(jax.jit(jax.vmap(lambda key: strategy(key, valid, shot, **options)))(keys))


@pytest.mark.parametrize(('window_ratio', 'mask_ratio'), [(0.5, 0.25), (0.3, 0.4), (1.0, 1.0), (0.1, 0.1)])
def test_dynamic_windows_follow_the_rule(window_ratio, mask_ratio):
    lengths = {shot: int(np.sum(shot == SHOTS)) for shot in np.unique(SHOTS)}
    # Decimal arithmetic by way of round: 0.1 * 10 is 1 frame, not 2.
    expected = {shot: int(np.ceil(round(window_ratio * n, 6))) for shot, n in lengths.items()}
    wanted = int(np.ceil(round(mask_ratio * len(SHOTS), 6)))
    for window in draw(masking.dynamic_windows, 200, window_ratio=window_ratio, mask_ratio=mask_ratio):
        assert np.all(window[len(SHOTS) :] == -1), 'padding is never a candidate'
        sizes = []
        for name in set(window[window >= 0]):
            positions = np.flatnonzero(window == name)
            assert np.all(np.diff(positions) == 1), 'consecutive frames'
            (shot,) = set(SHOTS[positions])
            assert len(positions) == expected[shot]
            sizes.append(len(positions))
        # Short windows may not reach the share even where every shot gives one.
        assert sum(sizes) >= min(wanted, sum(expected.values()))
        # Some order reaches the share only with its last shot.
        assert min(sum(sizes) - size for size in sizes) < wanted


def test_dynamic_windows_start_anywhere_in_a_shot_with_equal_chance():
    windows = draw(masking.dynamic_windows, 4000, window_ratio=0.5, mask_ratio=1.0)
    starts = [np.flatnonzero(window == 4)[0] - 20 for window in windows]  # fifth shot: 10 frames, window 5
    counts = np.bincount(starts, minlength=6)
    assert counts.shape == (6,)
    assert stats.chisquare(counts).pvalue > 1e-3
    # And wherever it starts in another one: the fourth shot has 6 frames and a window of 3.
    others = [np.flatnonzero(window == 3)[0] - 14 for window in windows]
    assert len(set(zip(starts, others, strict=True))) == 6 * 4


def test_where_every_frame_is_a_shot_each_is_a_window():
    given = jnp.ones(5, bool), jnp.array([3, 4, 7, 9, 12])
    window = masking.dynamic_windows(jax.random.key(0), *given, window_ratio=1.0, mask_ratio=1.0)
    np.testing.assert_array_equal(window, np.arange(5))


def test_every_shot_is_taken_first_with_equal_chance():
    # A share so small that the first shot reaches it.
    windows = draw(masking.dynamic_windows, 4000, window_ratio=0.5, mask_ratio=0.01)
    assert all(len(set(window)) == 2 for window in windows)
    assert stats.chisquare(np.bincount(windows.max(axis=1))).pvalue > 1e-3


def test_random_frames_are_exactly_the_share_and_uniform():
    chosen = draw(masking.random_frames, 3000, mask_ratio=0.3) >= 0
    assert np.all(chosen.sum(axis=1) == 9)
    assert not chosen[:, len(SHOTS) :].any()
    assert stats.chisquare(chosen[:, : len(SHOTS)].sum(axis=0)).pvalue > 1e-3


def test_fixed_windows_lie_on_their_grid_until_the_share_is_reached():
    for window in draw(masking.fixed_windows, 200, window_length=4, mask_ratio=0.25):
        positions = np.flatnonzero(window >= 0)
        assert np.all(window[positions] == positions // 4)
        assert set(window[window < 0]) == {-1}
        sizes = np.bincount(window[positions])
        assert sizes.sum() >= 8
        assert sizes.sum() - sizes.max() < 8


def test_windows_are_masked_replaced_or_kept_whole_at_80_10_10():
    valid, shot = segment()
    keys = jax.random.split(jax.random.key(1), 3000)

    def one(key):
        window_key, fate_key = jax.random.split(key)
        window = masking.dynamic_windows(window_key, valid, shot, window_ratio=0.5, mask_ratio=0.25)
        return window, masking.corrupt(fate_key, window, 40)

    windows, fates = jax.tree.map(np.asarray, jax.vmap(one)(keys))
    counts = np.zeros(3)
    for window, masked, replaced, source in zip(windows, *fates, strict=True):
        assert not np.any((masked | replaced) & (window < 0))
        for name in set(window[window >= 0]):
            inside = window == name
            assert len(set(masked[inside])) == len(set(replaced[inside])) == 1
            counts[0 if masked[inside][0] else 1 if replaced[inside][0] else 2] += 1
            steps = source[inside]
            assert np.all(np.diff(steps) == 1)
            assert steps[0] >= 0
            assert steps[-1] < 40
    assert stats.chisquare(counts, counts.sum() * np.array([0.8, 0.1, 0.1])).pvalue > 1e-3


def test_every_window_has_a_fate_and_a_source_of_its_own():
    window = jnp.array([-1, 1, 1, 0, 2, -1])
    keys = jax.random.split(jax.random.key(2), 600)
    fates = jax.tree.map(
        np.asarray, jax.vmap(lambda key: masking.corrupt(key, window, 6, mask=0.4, replace=0.3))(keys)
    )
    kinds = (fates.masked + 2 * fates.replaced)[:, [3, 1, 4]]
    assert len(np.unique(kinds, axis=0)) == 3**3
    assert fates.source.dtype == np.int32
    # Of six steps a window of two begins at five, one frame anywhere.
    for place, starts in ((3, 6), (1, 5), (4, 6)):
        assert set(fates.source[:, place]) == set(range(starts))
    assert len(np.unique(fates.source[:, [3, 1, 4]], axis=0)) > 100


def test_a_replacement_may_come_from_anywhere_in_the_video():
    window = jnp.where(jnp.arange(6) < 3, 0, -1)
    keys = jax.random.split(jax.random.key(2), 4000)
    source = jax.vmap(lambda key: masking.corrupt(key, window, 10, mask=0.0, replace=1.0).source[0])(keys)
    counts = np.bincount(source)
    assert counts.shape == (8,)  # starts 0 to 7 of a window of 3 in 10 steps
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_video_as_long_as_the_window_is_replaced_by_itself():
    window = jnp.zeros(4, jnp.int32)
    fate = masking.corrupt(jax.random.key(0), window, 4, mask=0.0, replace=1.0)
    np.testing.assert_array_equal(fate.source, np.arange(4))


def test_the_same_key_gives_the_same_windows():
    options = {'window_ratio': 0.5, 'mask_ratio': 0.25}
    np.testing.assert_array_equal(
        draw(masking.dynamic_windows, 20, **options), draw(masking.dynamic_windows, 20, **options)
    )


@pytest.mark.parametrize(
    ('strategy', 'options', 'longest', 'expected'),
    [
        # Of 16 frames 4 are wanted. Three shots of one frame first, then half of the 13 that are left: 3 + 7.
        (masking.dynamic_windows, {'window_ratio': 0.5}, lambda frames: 0.5 * frames, 10),
        # Three frames short of the grid's fourth: windows of 3 reach 3, then 6.
        (masking.fixed_windows, {'window_length': 3}, lambda frames: 3, 6),
        (masking.random_frames, {}, lambda frames: 1, 4),
    ],
)
def test_most_candidates_is_reached_and_never_passed(strategy, options, longest, expected):
    assert masking.most_candidates(16, 0.25, longest) == expected
    rng = np.random.default_rng(0)
    shots = [[0, 1, 2] + [3] * 13, *(np.cumsum(rng.random((40, 16)) < rng.random((40, 1)), axis=1).tolist())]
    found = jax.vmap(
        lambda key, shot: jax.vmap(
            lambda key: strategy(key, jnp.ones(16, bool), shot, mask_ratio=0.25, **options)
        )(jax.random.split(key, 100))
    )(jax.random.split(jax.random.key(0), len(shots)), jnp.array(shots, jnp.int32))
    assert int(jnp.sum(found >= 0, axis=-1).max()) == expected
