import dataclasses
import math

import numpy as np
import pytest
from peaks import peak_of
from scipy import stats

from trsum_jax.data.records import Video
from trsum_jax.protocol import baselines, evaluation


def video_of(user_summary=None, *, user_scores=None, n_frames=6, picks=None, change_points=None):
    return Video(
        key='video_1',
        picks=np.arange(n_frames) if picks is None else np.array(picks),
        n_frames=n_frames,
        change_points=None if change_points is None else np.array(change_points),
        user_summary=None if user_summary is None else np.array(user_summary, np.float32),
        user_scores=None if user_scores is None else np.array(user_scores, np.float32),
    )


def shots_of(length, count):
    return np.stack([np.arange(count) * length, np.arange(count) * length + length - 1], axis=1)


# People


def test_human_f_by_hand():
    # F(1,2) = 4/5, F(1,3) = F(2,3) = 0
    video = video_of([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]])
    metrics = baselines.human_leave_one_out(video)
    assert metrics['f_avg'] == pytest.approx((0.4 + 0.4 + 0) / 3)
    assert metrics['f_max'] == pytest.approx((0.8 + 0.8 + 0) / 3)


def test_human_who_chose_nothing_counts_in_f_and_has_no_rank():
    nothing = [0, 0, 0, 0, 0, 0]
    users = [[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]]
    two, three = (baselines.human_leave_one_out(video_of(u)) for u in (users, [*users, nothing]))
    assert two['f_avg'] == pytest.approx(0.8)
    assert three['f_avg'] == pytest.approx(2 * 0.4 / 3)
    assert three['kendall_tau'] == two['kendall_tau'] == pytest.approx(stats.kendalltau(*users).statistic)
    assert baselines.human_leave_one_out(video_of([nothing, nothing]))['f_avg'] == 0


def test_human_ranks_are_over_all_ordered_pairs_at_the_picks():
    rng = np.random.default_rng(0)
    ratings, picks = rng.integers(1, 6, (4, 60)), np.arange(0, 60, 3)
    metrics = baselines.human_leave_one_out(video_of(user_scores=ratings, n_frames=60, picks=picks))
    pairs = [(ratings[a, picks], ratings[b, picks]) for a in range(4) for b in range(4) if a != b]
    assert metrics['kendall_tau'] == pytest.approx(np.mean([stats.kendalltau(*p).statistic for p in pairs]))
    assert metrics['spearman_rho'] == pytest.approx(np.mean([stats.spearmanr(*p).statistic for p in pairs]))


def test_human_mean_user_is_against_the_mean_of_the_others():
    users = np.random.default_rng(0).integers(0, 2, (4, 30))
    metrics = baselines.human_leave_one_out(video_of(users, n_frames=30), 'mean-user')
    taus = [stats.kendalltau(users[i], np.delete(users, i, 0).mean(0)).statistic for i in range(4)]
    assert metrics['kendall_tau'] == pytest.approx(np.mean(taus))


def test_rows_by_the_form_summary():
    """People against the mean of the others at all frames, and the uniform choice has a rank too."""
    users = np.random.default_rng(0).integers(0, 2, (4, 30))
    video = video_of(users, n_frames=30, picks=[0, 15], change_points=shots_of(3, 10), user_scores=users + 1)
    found = baselines.without_model(video, budget=0.3, rank_form='summary', draws=2)
    taus = [stats.kendalltau(users[i], np.delete(users, i, 0).mean(0)).statistic for i in range(4)]
    assert found['human']['kendall_tau'] == pytest.approx(np.mean(taus))
    uniform = baselines.uniform_choice(video, 0.3)
    for metric, of in (('kendall_tau', stats.kendalltau), ('spearman_rho', stats.spearmanr)):
        assert found['uniform'][metric] == pytest.approx(of(uniform, users.mean(axis=0)).statistic)
    drawn = baselines.random_row(video, budget=0.3, rank_form='summary', draws=2)
    assert found['random'] == drawn and math.isfinite(drawn['kendall_tau'])


def test_where_people_choose_by_the_same_knapsack_random_scores_reach_high_ranks():
    """Everybody takes short shots, whatever is in them. Where all shots are equal the effect is gone."""
    rng = np.random.default_rng(0)
    for lengths, least, most in ((rng.integers(2, 40, 24), 0.5, 0.8), (np.full(24, 16), -0.15, 0.15)):
        ends = np.cumsum(lengths)
        shots, n_frames = np.stack([ends - lengths, ends - 1], axis=1), int(ends[-1])
        users = [evaluation.summarize(rng.random(n_frames), shots, n_frames) for _ in range(8)]
        video = video_of(users, n_frames=n_frames, picks=np.arange(0, n_frames, 3), change_points=shots)
        assert least < baselines.random_row(video, rank_form='summary', draws=8)['kendall_tau'] < most
        assert abs(baselines.random_row(video, draws=8)['kendall_tau']) < 0.05


@pytest.mark.parametrize('users', [None, [[1, 0, 0, 0, 0, 1]]])
def test_human_needs_two(users):
    metrics = baselines.human_leave_one_out(video_of(users))
    assert list(metrics) == list(evaluation.METRICS)
    assert all(map(math.isnan, metrics.values()))


def test_one_annotator_has_no_rank_though_two_made_summaries():
    metrics = baselines.human_leave_one_out(
        video_of([[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]], user_scores=[[1, 2, 3, 4, 5, 6]])
    )
    assert list(metrics) == list(evaluation.METRICS)
    assert metrics['f_avg'] == pytest.approx(2 / 3)
    assert math.isnan(metrics['kendall_tau']) and math.isnan(metrics['spearman_rho'])


# All rows


def test_rows_without_a_model_are_those_of_each_scorer():
    rng = np.random.default_rng(0)
    users, features = rng.integers(0, 2, (3, 60)), rng.random((60, 4))
    plain = video_of(users, n_frames=60)
    video = dataclasses.replace(plain, change_points=shots_of(3, 20), features=features)
    assert list(baselines.without_model(plain)) == ['random', 'human']
    options = {'budget': 0.4, 'rank_form': 'mean-user'}
    found = baselines.without_model(video, **options, draws=2, seed=3)
    # The key's CRC-32 makes the draws its own.
    draws = np.random.default_rng([3, 0x72137FFD])
    assert found == {
        'random': baselines.evaluate_random(video, draws, 2, **options),
        'uniform': pytest.approx(
            baselines.evaluate_summary(video, baselines.uniform_choice(video, 0.4)), nan_ok=True
        ),
        'distance_to_mean': evaluation.evaluate_video(video, baselines.distance_to_mean(features), **options),
        'change': evaluation.evaluate_video(video, baselines.neighbour_change(features, 2), **options),
        'human': baselines.human_leave_one_out(video, 'mean-user'),
    }
    by_default = baselines.without_model(plain)
    as_told = baselines.without_model(plain, budget=0.15, rank_form='per-user', draws=20, seed=0)
    # As text, in which NaN is like NaN.
    assert str(by_default) == str(as_told)


# Scorers


def test_random_scores_are_uniform_and_reproducible():
    video = video_of(n_frames=20_000)
    scores = baselines.random_scores(video, np.random.default_rng(3))
    assert scores.shape == (20_000,)
    assert stats.kstest(scores, 'uniform').pvalue > 0.01
    np.testing.assert_array_equal(scores, baselines.random_scores(video, np.random.default_rng(3)))


def test_random_is_the_mean_of_its_draws():
    users = np.random.default_rng(0).integers(0, 2, (3, 60))
    video = video_of(users, n_frames=60, change_points=shots_of(3, 20))
    rng = np.random.default_rng(7)
    each = [evaluation.evaluate_video(video, baselines.random_scores(video, rng)) for _ in range(5)]
    found = baselines.evaluate_random(video, np.random.default_rng(7), 5)
    assert found == pytest.approx({m: np.mean([e[m] for e in each]) for m in evaluation.METRICS})
    assert len({e['f_avg'] for e in each}) > 1


def test_random_scores_are_evaluated_as_any_others_are():
    video = video_of(
        np.random.default_rng(0).integers(0, 2, (3, 60)), n_frames=60, change_points=shots_of(3, 20)
    )
    scores = baselines.random_scores(video, np.random.default_rng(7))
    for options in ({'budget': 0.5}, {'rank_form': 'mean-user'}):
        found = baselines.evaluate_random(video, np.random.default_rng(7), 1, **options)
        assert found == evaluation.evaluate_video(video, scores, **options)
        assert found != evaluation.evaluate_video(video, scores)


def test_distance_to_mean_by_hand():
    assert baselines.distance_to_mean(np.eye(2, dtype=np.float32)).dtype == np.float64
    features = np.array([[0, 0], [6, 0], [0, 8], [6, 8]], np.float32)
    np.testing.assert_allclose(baselines.distance_to_mean(features), [5, 5, 5, 5])
    np.testing.assert_allclose(baselines.distance_to_mean([[0.0], [0], [3]]), [1, 1, 2])


def test_change_of_half_precision_and_of_a_single_step():
    # Squares of 300 are beyond float16.
    features = np.array([[0], [300], [300]], np.float16)
    np.testing.assert_array_equal(baselines.neighbour_change(features, 0), [300, 150, 0])
    one = dataclasses.replace(video_of(n_frames=6, picks=[0]), features=np.ones((1, 3), np.float32), fps=30.0)
    np.testing.assert_array_equal(baselines.change_of(one), [0.0])


def test_change_by_hand():
    # Distances 1, 2, 0, 5; of each step to both neighbours, on average 1, 1.5, 1, 2.5, 5.
    features = np.array([[0], [1], [3], [3], [8]], np.float32)
    np.testing.assert_allclose(baselines.neighbour_change(features, 0), [1, 1.5, 1, 2.5, 5])
    np.testing.assert_allclose(
        baselines.neighbour_change(features, 1), [2.5 / 2, 3.5 / 3, 5 / 3, 8.5 / 3, 7.5 / 2]
    )
    np.testing.assert_allclose(baselines.neighbour_change(features, 9), [2.2] * 5)
    np.testing.assert_array_equal(baselines.neighbour_change([[3.0, 4.0]], 2), [0])


def test_of_a_long_video_neighbours_are_compared_some_at_a_time():
    features = np.random.default_rng(0).random((8193, 256), np.float32)
    between = np.linalg.norm(np.diff(features.astype(np.float64), axis=0), axis=1)
    expected = [between[0], *(between[1:] + between[:-1]) / 2, between[-1]]
    np.testing.assert_array_equal(baselines.neighbour_change(features, 0), expected)
    # All of them in float64 are 17 MB, and as many their differences.
    assert peak_of(lambda: baselines.neighbour_change(features, 0)) < 17e6


@pytest.mark.parametrize('radius', [0, 1, 4, 30])
def test_change_is_what_loops_over_steps_give(radius):
    features = np.random.default_rng(radius).normal(size=(23, 5))
    apart = [np.sqrt(sum((a - b) ** 2)) for a, b in zip(features[1:], features[:-1], strict=True)]
    own = [np.mean([apart[j] for j in (i - 1, i) if 0 <= j < 22]) for i in range(23)]
    expected = [np.mean([own[j] for j in range(23) if abs(j - i) <= radius]) for i in range(23)]
    np.testing.assert_allclose(baselines.neighbour_change(features, radius), expected)


def test_change_keeps_its_order_whatever_is_added_and_however_it_is_scaled():
    features = np.random.default_rng(0).normal(size=(40, 6))
    ours = baselines.neighbour_change(features, 2)
    other = baselines.neighbour_change(1e-3 * features + np.linspace(-5, 5, 6), 2)
    np.testing.assert_allclose(other, 1e-3 * ours)


@pytest.mark.parametrize(
    ('fps', 'apart', 'radius'), [(30.0, 15, 2), (25.0, 6, 4), (None, 15, 2), (25.0, 50, 0)]
)
def test_change_is_averaged_over_a_second_to_either_side(fps, apart, radius):
    features = np.random.default_rng(0).normal(size=(20, 3))
    video = Video('video_1', apart * np.arange(20), apart * 20, features, fps=fps)
    np.testing.assert_array_equal(baselines.change_of(video), baselines.neighbour_change(features, radius))


# Uniform choice


def test_uniform_choice_spaces_equal_shots_evenly():
    video = video_of(n_frames=200, change_points=shots_of(10, 20))
    summary = baselines.uniform_choice(video)
    # three shots of ten fill the thirty frames: those around 200/6, 100 and 1000/6
    assert np.flatnonzero(summary[::10]).tolist() == [3, 10, 16]
    assert summary.sum() == 30 and summary.dtype == np.uint8


@pytest.mark.parametrize('seed', range(10))
def test_uniform_choice_takes_whole_shots_within_the_budget(seed):
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.choice(np.arange(1, 400), 30, replace=False))
    change_points = np.stack([np.r_[0, ends], np.r_[ends - 1, 399]], axis=1)
    summary = baselines.uniform_choice(video_of(n_frames=400, change_points=change_points), 0.3)
    assert 0 < summary.sum() <= 120
    assert all(len(set(summary[first : last + 1])) == 1 for first, last in change_points)


@pytest.mark.parametrize(
    ('change_points', 'room', 'expected'),
    [
        # One frame is room enough: the middle is frame 5.
        ([[0, 4], [5, 5], [6, 9]], 1, [5]),
        # The middle of 9 frames is 4.5, in frame 4.
        ([[0, 4], [5, 8]], 5, [0, 1, 2, 3, 4]),
        # As long as the shots of frames 3 and 9, and fewer.
        ([[0, 2], [3, 3], [4, 5], [6, 7], [8, 8], [9, 9], [10, 11]], 2, [6, 7]),
        # No more frames than shots: a fourth would take the last shot and leave the first.
        ([[0, 0], [1, 6], [7, 7]], 7, [1, 2, 3, 4, 5, 6]),
    ],
    ids=['one-frame', 'half-a-frame', 'equally-long', 'at-most-a-frame-a-shot'],
)
def test_uniform_choice_by_hand(change_points, room, expected):
    n_frames = change_points[-1][1] + 1
    video = video_of(n_frames=n_frames, change_points=change_points)
    summary = baselines.uniform_choice(video, (room + 0.5) / n_frames)
    assert np.flatnonzero(summary).tolist() == expected


def test_uniform_choice_without_room():
    assert baselines.uniform_choice(video_of(n_frames=100, change_points=[[0, 99]])).sum() == 0
    assert baselines.uniform_choice(video_of(n_frames=100, change_points=[[0, 99]]), 1.0).sum() == 100


def test_a_summary_has_f_but_no_rank():
    metrics = baselines.evaluate_summary(video_of([[1, 1, 0, 0, 0, 0]]), np.array([1, 0, 0, 0, 0, 0]))
    assert metrics['f_avg'] == pytest.approx(2 / 3)
    assert math.isnan(metrics['kendall_tau']) and math.isnan(metrics['spearman_rho'])
