import math
import pathlib
import subprocess
import sys

import h5py
import numpy as np
import pytest
from scipy import stats

from trsum_jax.data import datasets
from trsum_jax.data.records import Video
from trsum_jax.protocol import baselines, evaluation, tables

NAN = float('nan')


@pytest.fixture(scope='module')
def summe(shared):
    return datasets.read_dataset(shared / 'data/summe_annotations.h5', require_features=False).videos


@pytest.fixture(scope='module')
def tvsum(shared):
    return datasets.read_dataset(shared / 'data/tvsum_annotations.h5', require_features=False).videos


def small_video(**changes):
    parts = {
        'key': 'video_1',
        'picks': np.arange(0, 20, 2),
        'n_frames': 20,
        'change_points': np.array([[0, 4], [5, 9], [10, 11], [12, 19]]),
        'user_summary': np.array([[0] * 5 + [1] * 5 + [0] * 10, [0] * 10 + [1] * 2 + [0] * 8], np.float32),
    }
    return Video(**(parts | changes))


def mean(per_video, metric):
    return tables.aggregate([per_video])[metric]['mean']


# Published figures


def test_csnet_released_scores_give_its_summaries_and_f_scores(shared, summe):
    with h5py.File(shared / 'vectors/summe_csnet.h5') as released:
        assert len(released) == 25 and set(released) == set(summe)
        for key, video in summe.items():
            scores = released[key]['frame_scores'][:]
            summary = evaluation.summarize(scores, video.change_points, video.n_frames)
            np.testing.assert_array_equal(summary, released[key]['machine_summary'][:], err_msg=key)
            f_max = 100 * evaluation.evaluate_video(video, scores)['f_max']
            assert f_max == pytest.approx(released[key]['fscore_max_percent'][()], abs=1e-9), key


def test_summe_humans(summe):
    humans = {key: baselines.human_leave_one_out(video) for key, video in summe.items()}
    assert round(mean(humans, 'f_avg'), 3) == 0.311
    assert round(mean(humans, 'f_max'), 3) == 0.543


def test_summe_random(summe):
    rng = np.random.default_rng(0)
    results = {key: baselines.evaluate_random(video, rng, 8) for key, video in summe.items()}
    assert mean(results, 'f_avg') == pytest.approx(0.18, abs=0.01)
    assert mean(results, 'f_max') == pytest.approx(0.40, abs=0.015)
    assert mean(results, 'kendall_tau') == pytest.approx(0, abs=0.01)
    assert mean(results, 'spearman_rho') == pytest.approx(0, abs=0.01)


def test_tvsum_humans(tvsum):
    humans = {key: baselines.human_leave_one_out(video) for key, video in tvsum.items()}
    assert round(mean(humans, 'kendall_tau'), 3) == 0.177
    assert round(mean(humans, 'spearman_rho'), 3) == 0.204
    assert all(math.isnan(metrics['f_avg']) for metrics in humans.values())


def test_tvsum_mean_annotator_without_ties(tvsum):
    # .371 is the mean annotator as a prediction in which no two steps are equal: of equal means the later
    # step is ranked higher here; any other order gives the same three decimals
    results = {}
    for key, video in tvsum.items():
        total = video.user_scores.sum(axis=0, dtype=np.float64)[video.picks]
        order = np.lexsort((np.arange(len(total)), total))
        results[key] = evaluation.evaluate_video(video, np.argsort(order).astype(float))
    assert round(mean(results, 'kendall_tau'), 3) == 0.371
    assert round(mean(results, 'spearman_rho'), 3) == 0.473


def test_tvsum_mean_annotator_with_its_ties(tvsum):
    # with equal means left equal tau-b rewards the ties that it shares with the annotators: .378, not .371
    results = {
        key: evaluation.evaluate_video(video, video.user_scores.mean(axis=0, dtype=np.float64))
        for key, video in tvsum.items()
    }
    assert round(mean(results, 'kendall_tau'), 3) == 0.378
    assert round(mean(results, 'spearman_rho'), 3) == 0.473


def test_tvsum_is_ranked_against_annotators_not_their_mean(tvsum):
    video = tvsum['video_1']
    assert evaluation.rank_against(video, 'mean-user') == 'annotator scores'
    np.testing.assert_array_equal(video.picks, np.arange(0, video.n_frames, 15))
    np.testing.assert_array_equal(evaluation.rank_references(video), video.user_scores[:, ::15])
    against_mean = stats.kendalltau(video.gtscore, video.user_scores.mean(axis=0)[::15]).statistic
    against_each = evaluation.evaluate_video(video, video.gtscore)['kendall_tau']
    assert against_mean > 0.9 > 0.6 > against_each


# Scores to shots


def test_scores_are_held_until_the_next_pick():
    held = evaluation.frame_scores(np.array([0.5, 0.25, 1.0], np.float32), np.array([2, 3, 6]), 9)
    assert held.tolist() == [0, 0, 0.5, 0.25, 0.25, 0.25, 1, 1, 1]
    assert held.dtype == np.float32


def test_scores_of_32_bits_are_averaged_in_64():
    # 1 more than 2^24 is lost in 32 bits.
    scores = np.array([2**24, 1], np.float32)
    assert evaluation.shot_scores(scores, np.array([[0, 1]])).tolist() == [(2**24 + 1) / 2]
    assert evaluation.mean_defined(scores) == (2**24 + 1) / 2


def test_shots_have_both_ends_inclusive():
    values = evaluation.shot_scores(np.array([1.0, 2, 3, 10, 20]), np.array([[0, 2], [3, 4]]))
    assert values.tolist() == [2, 15]


def test_capacity_is_rounded_down_and_may_be_met_exactly():
    shots = np.array([[0, 2], [3, 6], [7, 19]])
    scores = np.array([1.0] * 3 + [2.0] * 4 + [0.0] * 13)
    chosen = {n: evaluation.choose_shots(scores, shots, 20, n).tolist() for n in (0.15, 0.199, 0.2, 0.35)}
    assert chosen == {
        0.15: [True, False, False],
        0.199: [True, False, False],
        0.2: [False, True, False],
        0.35: [True, True, False],
    }


def test_summary_marks_the_frames_of_the_chosen_shots():
    video = small_video()
    scores = np.array([0, 0, 0, 1, 1, 5, 0, 0, 0, 0.0])
    _, per_frame = evaluation.both_levels(video, scores)
    summary = evaluation.summarize(per_frame, video.change_points, 20)
    assert summary.dtype == np.uint8
    assert np.flatnonzero(summary).tolist() == [10, 11]


@pytest.mark.parametrize(
    ('shots', 'scores', 'expected'),
    [
        ([[0, 9], [10, 19]], np.ones(10), 0),
        ([[0, 19]], np.ones(10), 0),
        ([[0, 1], [2, 19]], np.zeros(10), 0),
        ([[0, 1], [2, 19]], np.ones(10), 2),
    ],
    ids=['no-shot-fits', 'one-shot', 'no-value', 'constant-scores'],
)
def test_edges_of_a_summary(shots, scores, expected):
    video = small_video(change_points=np.array(shots))
    _, per_frame = evaluation.both_levels(video, scores)
    assert evaluation.summarize(per_frame, video.change_points, 20).sum() == expected
    metrics = evaluation.evaluate_video(video, scores)
    assert metrics['f_avg'] == 0 and math.isnan(metrics['kendall_tau'])


def test_all_shots_fit_a_whole_budget():
    video = small_video()
    assert evaluation.summarize(np.ones(20), video.change_points, 20, 1.0).all()


# F


def test_f_by_hand():
    summary = np.array([1, 1, 1, 0, 0, 0])
    users = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]])
    # first user: P = 2/3, R = 1, F = 4/5
    np.testing.assert_allclose(evaluation.f_scores(summary, users), [0.8, 0, 0, 1])
    np.testing.assert_array_equal(evaluation.f_scores(np.zeros(6), users), [0, 0, 0, 0])


def test_f_is_reduced_by_mean_and_by_best_user():
    video = small_video()
    scores = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 0.0])
    metrics = evaluation.evaluate_video(video, scores)
    assert (metrics['f_avg'], metrics['f_max']) == (0.5, 1.0)


# Ranks


def test_rank_correlations_by_hand():
    # of the 6 pairs 5 agree and 1 does not: tau = 4/6; rho = 1 - 6 * 2 / (4 * 15) = .8
    taus, rhos = evaluation.rank_correlations([1, 2, 3, 4], [[1, 2, 4, 3], [4, 3, 2, 1]])
    np.testing.assert_allclose(taus, [4 / 6, -1])
    np.testing.assert_allclose(rhos, [0.8, -1])


def test_tau_is_tau_b():
    # pairs (1,2) and (3,4) are tied in the reference, the other 4 agree: 4 / sqrt(6 * 4)
    taus, _ = evaluation.rank_correlations([1, 2, 3, 4], [[0, 0, 1, 1]])
    np.testing.assert_allclose(taus, [4 / math.sqrt(24)])


def test_rank_correlations_do_not_see_a_monotone_change():
    rng = np.random.default_rng(0)
    scores, references = rng.random(40), rng.integers(1, 6, (3, 40))
    one, other = (evaluation.rank_correlations(s, references) for s in (scores, np.exp(3 * scores) - 7))
    np.testing.assert_allclose(one, other)


def test_constant_scores_and_references_have_no_rank():
    taus, rhos = evaluation.rank_correlations([3, 3, 3], [[1, 2, 3]])
    assert np.isnan(taus).all() and np.isnan(rhos).all()
    taus, rhos = evaluation.rank_correlations([1, 2, 3], [[2, 2, 2], [1, 2, 3]])
    np.testing.assert_allclose(taus, [NAN, 1])
    np.testing.assert_allclose(rhos, [NAN, 1])


def test_users_without_a_rank_are_left_out_of_the_mean():
    ratings = np.array([np.arange(20), np.full(20, 3)], np.float32)
    video = small_video(user_scores=ratings)
    metrics = evaluation.evaluate_video(video, np.arange(10.0))
    assert metrics['kendall_tau'] == pytest.approx(1)
    assert evaluation.constant_references(video) == 1


def test_rank_forms_of_summaries():
    video = small_video()
    scores = np.arange(10.0)
    per_user, mean_user = (evaluation.rank_references(video, form) for form in ('per-user', 'mean-user'))
    np.testing.assert_array_equal(per_user, video.user_summary[:, ::2])
    np.testing.assert_array_equal(mean_user, [[0, 0, 0, 0.5, 0.5, 0.5, 0, 0, 0, 0]])
    taus = [stats.kendalltau(scores, user).statistic for user in per_user]
    found = evaluation.evaluate_video(video, scores, rank_form='per-user')
    assert found['kendall_tau'] == pytest.approx(np.mean(taus))
    found = evaluation.evaluate_video(video, scores, rank_form='mean-user')
    assert found['kendall_tau'] == pytest.approx(stats.kendalltau(scores, mean_user[0]).statistic)
    with pytest.raises(ValueError, match='rank_form'):
        evaluation.rank_references(video, 'mean')


def test_the_form_summary_by_the_published_formula():
    """The summary of 0 and 1 at all frames against the mean of users' summaries, whatever the ratings are."""
    rated = {'user_scores': np.random.default_rng(0).random((3, 20)).astype(np.float32)}
    # Shots of 5, 5, 2 and 8 frames: the second and the third are taken within 8 frames.
    summary = np.array([0] * 5 + [1] * 7 + [0] * 8)
    # Some frames are chosen by two, some by one.
    both = {'user_summary': np.array([[0] * 8 + [1] * 6 + [0] * 6, [0] * 11 + [1] * 9], np.float32)}
    for video in (small_video(**both), small_video(**both, **rated)):
        users = video.user_summary.mean(axis=0)
        found = evaluation.evaluate_video(video, np.arange(10.0), budget=0.4, rank_form='summary')
        # Of ranks from the top, as it is published, and of values, which is the same.
        tau = stats.kendalltau(stats.rankdata(-users), stats.rankdata(-summary)).statistic
        assert found['kendall_tau'] == pytest.approx(tau)
        assert found['kendall_tau'] == pytest.approx(stats.kendalltau(summary, users).statistic)
        assert found['spearman_rho'] == pytest.approx(stats.spearmanr(summary, users).statistic)
        assert evaluation.rank_against(video, 'summary') == 'summary'
        # The other forms stay as they are.
        for metric in ('f_avg', 'f_max'):
            assert found[metric] == evaluation.evaluate_video(video, np.arange(10.0), budget=0.4)[metric]
    for lacking in ({'change_points': None}, {'user_summary': None, **rated}):
        video = small_video(**lacking)
        assert evaluation.rank_against(video, 'summary') is None
        assert math.isnan(
            evaluation.evaluate_video(video, np.arange(10.0), rank_form='summary')['kendall_tau']
        )
    assert [*map(evaluation.form_at_steps, evaluation.RANK_FORMS)] == ['per-user', 'mean-user', 'per-user']


def test_the_form_summary_of_released_summaries(shared, summe):
    with h5py.File(shared / 'vectors/summe_csnet.h5') as released:
        for key in ('video_1', 'video_7'):
            scores, summary = (released[key][name][:] for name in ('frame_scores', 'machine_summary'))
            found = evaluation.evaluate_video(summe[key], scores, rank_form='summary')
            mean_user = summe[key].user_summary.mean(axis=0)
            assert found['kendall_tau'] == pytest.approx(stats.kendalltau(summary, mean_user).statistic)
            assert found['spearman_rho'] == pytest.approx(stats.spearmanr(summary, mean_user).statistic)


def test_scores_of_frames_and_of_steps_are_one():
    video = small_video()
    scores = np.random.default_rng(0).random(10)
    per_frame = evaluation.frame_scores(scores, video.picks, 20)
    assert evaluation.evaluate_video(video, scores) == evaluation.evaluate_video(video, per_frame)
    with pytest.raises(ValueError, match=r'video_1: expected 10 .* or 20 .* \(11,\)'):
        evaluation.evaluate_video(video, np.zeros(11))


def test_what_cannot_be_measured_is_nan():
    scores = np.arange(10.0)
    no_users = evaluation.evaluate_video(small_video(user_summary=None), scores)
    assert list(no_users) == list(evaluation.METRICS) and all(map(math.isnan, no_users.values()))
    no_shots = evaluation.evaluate_video(small_video(change_points=None), scores)
    assert math.isnan(no_shots['f_avg']) and math.isfinite(no_shots['kendall_tau'])
    assert evaluation.rank_against(small_video(user_summary=None)) is None


def test_a_budget_is_the_summarys_greatest_share():
    video, scores = small_video(), np.arange(10.0)
    # Shots of 5, 5, 2 and 8 frames, worth .8, 3.2, 5 and 7.5: the third fits into 3 frames, the second beside
    # it into 8. User 2 chose the third alone, user 1 the second: F = 2 * 5 / (7 + 5).
    for budget, f_max in ((0.15, 1), (0.4, 10 / 12)):
        assert evaluation.evaluate_video(video, scores, budget=budget)['f_max'] == pytest.approx(f_max)


def test_references_by_hand():
    rated = small_video(user_scores=np.arange(40.0).reshape(2, 20).astype(np.float32))
    assert evaluation.rank_against(rated) == 'annotator scores'
    assert evaluation.rank_against(small_video()) == 'per-user'
    for video in (rated, small_video()):
        assert evaluation.rank_references(video).dtype == np.float64
    nothing = small_video(user_summary=np.zeros((3, 20), np.float32))
    assert evaluation.constant_references(nothing) == 3
    assert evaluation.constant_references(nothing, 'mean-user') == 1
    assert evaluation.constant_references(small_video(user_summary=None)) == 0
    assert evaluation.is_constant(np.array([3.0]))


def test_needs_no_jax():
    code = """
import sys
sys.modules['jax'] = None
import trsum_jax.evaluate
from trsum_jax.protocol import baselines, evaluation, knapsack, tables
"""
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
