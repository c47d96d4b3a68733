"""Average precision over segments of five seconds, by hand and by brute force."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from trsum_jax.data.records import Video
from trsum_jax.protocol import evaluation, highlights


def rated(rating, summary=None, fps=1.0, apart=1, **parts):
    """A video with one rating, a step every `apart` frames."""
    picks = np.arange(len(rating)) * apart
    n_frames = len(rating) * apart
    held = np.repeat(np.asarray(rating, np.float32), apart)[None]
    users = None if summary is None else np.asarray([summary], np.float32)
    return Video('video_1', picks, n_frames, user_scores=held, user_summary=users, fps=fps, **parts)


def of_segments(*means, last=5):
    """Steps whose segments of five have these means; the last one has so many steps."""
    return np.repeat(means, [*[5] * (len(means) - 1), last]).astype(np.float64) + 0.0


@pytest.mark.parametrize(
    ('positive', 'scores', 'expected'),
    [
        ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], (1 + 2 / 3) / 2),
        ([0, 1, 0, 1], [0.9, 0.8, 0.7, 0.1], (1 / 2 + 2 / 4) / 2),
        # Both of the tied pair come in at once: precision 2/3 for the second half.
        ([1, 0, 1], [3, 2, 2], (1 + 2 / 3) / 2),
        ([1, 0, 0, 0], [5, 5, 5, 5], 1 / 4),
        ([0, 0], [1, 2], np.nan),
    ],
)
def test_average_precision_by_hand(positive, scores, expected):
    assert highlights.average_precision(positive, scores) == pytest.approx(expected, nan_ok=True)


def test_average_precision_against_every_threshold():
    rng = np.random.default_rng(0)
    for _ in range(50):
        positive, scores = rng.random(12) < 0.4, rng.integers(0, 6, 12)
        before, area = 0.0, 0.0
        for threshold in sorted(set(scores.tolist()), reverse=True):
            taken = scores >= threshold
            recall = (taken & positive).sum() / max(positive.sum(), 1)
            area += (recall - before) * (taken & positive).sum() / taken.sum()
            before = recall
        found = highlights.average_precision(positive, scores)
        assert found == pytest.approx(area if positive.any() else np.nan, nan_ok=True)


def test_both_roundings_by_hand():
    """Eleven segments, the last of three steps: 15% of them (1.65) are one or two, and 50% five or six."""
    rating = of_segments(1, 7, 2, 3, 9, 4, 5, 6, 0, 8, 10, last=3)
    # By themselves the last is best; filled up with zeros it is worth 10 * 3 / 5 = 6, fifth, after segment 7.
    scores = of_segments(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, last=3)
    video = rated(rating)
    down, up = (highlights.measure_highlights(video, scores, of) for of in highlights.ROUNDINGS)
    # Down: the best five are 10, 4, 9, 1, 7, found at places 2, 5, 8, 10, 11.
    assert down['map_50'] == pytest.approx((1 / 2 + 2 / 5 + 3 / 8 + 4 / 10 + 5 / 11) / 5)
    assert down['map_15'] == pytest.approx(1 / 11)
    # Up: the best six are 4, 9, 1, 7, 10, 6, at places 2, 5, 7, 8, 10, 11; of two, 4 and 9, at 5 and 10.
    assert up['map_50'] == pytest.approx((1 / 2 + 2 / 5 + 3 / 7 + 4 / 8 + 5 / 10 + 6 / 11) / 6)
    assert up['map_15'] == pytest.approx((1 / 5 + 2 / 10) / 2)
    assert highlights.measure_highlights(video, scores) == down


def test_a_short_video_has_nothing_to_find_at_15_percent_but_rounded_up():
    rating = of_segments(1, 2, 3, 4, 5, 6)
    down, up = (highlights.measure_highlights(rated(rating), rating, of) for of in highlights.ROUNDINGS)
    assert down == pytest.approx({'map_50': 1, 'map_15': np.nan}, nan_ok=True)
    assert up == {'map_50': 1, 'map_15': 1}


def test_segments_are_of_five_seconds_at_any_rate():
    rng = np.random.default_rng(0)
    rating, scores = rng.random(80), rng.random(80)
    once = highlights.measure_highlights(rated(rating), scores)
    for fps, apart, times in ((30.0, 15, 2), (None, 15, 2), (25.0, 5, 5), (0.1, 1, 0.1)):
        assert highlights.steps_per_second(rated(rating, fps=fps, apart=apart)) == pytest.approx(times)
    # Twice the steps a second, each twice.
    twice = rated(np.repeat(rating, 2), fps=30.0, apart=15)
    assert highlights.measure_highlights(twice, np.repeat(scores, 2)) == pytest.approx(once)
    # At a step every ten seconds a segment is one step.
    slow = highlights.measure_highlights(rated(rating, fps=0.1), scores)
    best = np.isin(np.arange(80), np.argsort(-rating)[:40])
    assert slow['map_50'] == pytest.approx(highlights.average_precision(best, scores))


def test_a_video_of_one_rating_is_evaluated_against_it():
    """As Mr. HiSum: F against `gt_summary`, ranks and mAP against `gtscore`."""
    rng = np.random.default_rng(1)
    rating, scores = rng.random(40), rng.random(40)
    shots = np.stack([np.arange(0, 40, 4), np.arange(3, 40, 4)], axis=1)
    summary = np.isin(np.arange(40) // 4, [2, 7])
    video = rated(rating, summary, change_points=shots)
    found = evaluation.evaluate_video(video, scores, budget=0.25)
    assert list(found) == [*evaluation.METRICS, 'map_50', 'map_15']
    means = scores.reshape(10, 4).mean(axis=1)
    chosen = np.isin(np.arange(40) // 4, np.argsort(-means)[:2])
    f = 2 * (chosen & summary).sum() / (chosen.sum() + summary.sum())
    assert (found['f_avg'], found['f_max']) == pytest.approx((f, f))
    assert found['kendall_tau'] == pytest.approx(stats.kendalltau(scores, np.float32(rating)).statistic)
    assert found['spearman_rho'] == pytest.approx(stats.spearmanr(scores, np.float32(rating)).statistic)
    expected = highlights.measure_highlights(video, scores)
    assert {name: found[name] for name in expected} == expected
    assert evaluation.rank_against(video) == 'one rating'
    up = evaluation.evaluate_video(video, np.repeat(scores, 1), budget=0.25, rounding='up')
    assert up['map_15'] == highlights.measure_highlights(video, scores, 'up')['map_15'] != found['map_15']


def test_what_is_no_single_rating():
    several = dataclasses.replace(rated(np.arange(20)), user_scores=np.ones((2, 20), np.float32))
    assert highlights.one_rating(several) is None
    assert list(evaluation.evaluate_video(several, np.arange(20.0))) == list(evaluation.METRICS)
    with pytest.raises(ValueError, match='video_1: expected one rating'):
        highlights.measure_highlights(several, np.arange(20.0))
    with pytest.raises(ValueError, match='rounding'):
        highlights.measure_highlights(rated(np.arange(20)), np.arange(20.0), 'half')
