"""Agreement of scores with people: against scipy, brute force over shifts, and real annotations."""

import dataclasses
import inspect
import itertools

import numpy as np
import pytest
from scipy import stats
from tiny import RECIPE

from trsum_jax.data import datasets
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.protocol import agreement, evaluation, tables
from trsum_jax.protocol.agreement import Pair


def videos():
    return {video.key: video for video in generate(Recipe(**RECIPE))}


def pair_with_ties(n=17, users=3, seed=0):
    rng = np.random.default_rng(seed)
    return Pair(rng.integers(0, 9, n).astype(float), rng.integers(1, 6, (users, n)).astype(float))


def smooth(rng, n=120, width=12):
    """Noise whose neighbours are alike, as scores and ratings of a video are."""
    return np.convolve(rng.standard_normal(n + width - 1), np.ones(width), mode='valid')


def test_correlations_are_scipys_averaged_over_users():
    pair = pair_with_ties()
    found = agreement.correlations(pair)
    taus = [stats.kendalltau(pair.scores, one).statistic for one in pair.references]
    rhos = [stats.spearmanr(pair.scores, one).statistic for one in pair.references]
    assert found == pytest.approx({'kendall_tau': np.mean(taus), 'spearman_rho': np.mean(rhos)})


def test_every_shift_is_what_shifting_and_correlating_gives():
    pair = pair_with_ties()
    pair.references[1] = 3  # constant: no rank, left out
    found = agreement.shifted(pair)
    for k in range(len(pair.scores)):
        moved = agreement.correlations(Pair(np.roll(pair.scores, k), pair.references))
        assert {name: curve[k] for name, curve in found.items()} == pytest.approx(moved, abs=1e-12)


def test_the_p_value_of_two_videos_is_that_of_all_pairs_of_shifts():
    pairs = [pair_with_ties(n=11, seed=4), pair_with_ties(n=13, seed=5)]
    curves = [agreement.shifted(pair) for pair in pairs]
    found = agreement.shift_test(curves, permutations=40_000)
    for name in agreement.METRICS:
        one, other = (curve[name] for curve in curves)
        every = (one[:, None] + other[None]) / 2
        exact = np.mean(np.abs(every) >= abs(every[0, 0]) - 1e-9)
        assert found[name] == pytest.approx(exact, abs=0.015)


def test_scores_that_know_nothing_are_rarely_significant_however_smooth():
    rng = np.random.default_rng(7)
    found = [
        agreement.shift_test([agreement.shifted(Pair(smooth(rng), smooth(rng)[None]))], permutations=199)
        for _ in range(200)
    ]
    share = np.mean([p['kendall_tau'] < 0.05 for p in found])
    assert share < 0.1  # 5% expected, standard error 1.5%
    shuffled = [stats.kendalltau(smooth(rng), smooth(rng)).pvalue < 0.05 for _ in range(200)]
    assert np.mean(shuffled) > 0.4  # what the usual test makes of the same


def test_pooled_by_hand():
    pairs = {
        'a': Pair(np.array([1.0, 2.0]), np.array([[1.0, 2.0], [3.0, 4.0]])),
        'b': Pair(np.array([3.0, 4.0]), np.array([[0.0, 1.0]])),
    }
    # Scores 1 2 3 4 against mean ratings 2 3 0 1: of six pairs two agree and four do not.
    found = agreement.pooled(pairs, resamples=50)
    assert found['kendall_tau']['mean'] == pytest.approx(-1 / 3)
    assert found['spearman_rho']['mean'] == pytest.approx(-0.6)
    # A sample of one video twice agrees fully, one of both is the value itself.
    assert found['kendall_tau']['low'] == pytest.approx(-1 / 3)
    assert found['kendall_tau']['high'] == pytest.approx(1)
    assert (found['kendall_tau']['videos'], found['kendall_tau']['missing']) == (2, 0)


def test_the_pooled_test_shifts_every_video_within_itself():
    pairs = {'a': pair_with_ties(n=7, users=1, seed=1), 'b': pair_with_ties(n=9, users=1, seed=2)}
    references = np.concatenate([pair.references[0] for pair in pairs.values()])
    every = [
        stats.kendalltau(
            np.concatenate([np.roll(pairs['a'].scores, i), np.roll(pairs['b'].scores, j)]), references
        ).statistic
        for i in range(7)
        for j in range(9)
    ]
    found = agreement.pooled(pairs, resamples=3000)['kendall_tau']
    assert found['mean'] == pytest.approx(every[0])
    exact = np.mean(np.abs(every) >= abs(every[0]) - 1e-9)
    assert found['p'] == pytest.approx(exact, abs=0.04)


def test_the_values_themselves_are_counted_among_the_shifts():
    """Scores that rise with the ratings, on 30 steps: a shift other than by 0 hardly reaches 1."""
    curve = agreement.shifted(Pair(np.arange(30.0), np.arange(30.0)[None]))
    found = agreement.shift_test([curve] * 3, permutations=99)
    assert found == {'kendall_tau': 1 / 100, 'spearman_rho': 1 / 100}


def test_one_video_has_no_interval():
    found = agreement.pooled({'a': pair_with_ties()})['kendall_tau']
    assert not np.isnan(found['mean'])
    assert np.isnan(found['low'])


def test_the_seed_and_the_numbers_of_draws_decide():
    pairs = {str(seed): pair_with_ties(n=9, seed=seed) for seed in range(3)}
    curves = [agreement.shifted(pair) for pair in pairs.values()]
    for of, given, draws in (
        (agreement.pooled, pairs, 'resamples'),
        (agreement.shift_test, curves, 'permutations'),
    ):
        first = of(given, **{draws: 9})
        assert first == of(given, seed=0, **{draws: 9}) != of(given, seed=1, **{draws: 9})
        assert first != of(given, **{draws: 10})


@pytest.mark.parametrize('of', [
    agreement.pooled, agreement.shift_test, agreement.measure_agreement, agreement.sign_flip_test,
])  # fmt: skip
def test_as_many_draws_by_default_as_are_documented(of):
    told = {'rank_form': 'per-user', 'seed': 0, 'resamples': 999, 'permutations': 9999, 'most': 2**14}
    found = {
        name: one.default
        for name, one in inspect.signature(of).parameters.items()
        if one.default != one.empty
    }
    assert found == {name: told[name] for name in found} != {}


def test_nothing_can_be_shifted_where_scores_or_all_references_are_constant():
    pair = pair_with_ties(n=5)
    for one in (Pair(np.full(5, 2.0), pair.references), Pair(pair.scores, np.full((2, 5), 3.0))):
        found = agreement.shifted(one)
        assert [(name, curve.shape, np.isnan(curve).all()) for name, curve in found.items()] == [
            ('kendall_tau', (5,), True), ('spearman_rho', (5,), True),
        ]  # fmt: skip
        assert all(np.isnan(p) for p in agreement.shift_test([found]).values())
    # A video without a rank changes nothing beside one that has it.
    assert agreement.shift_test([found, agreement.shifted(pair)]) == agreement.shift_test(
        [agreement.shifted(pair)]
    )


def test_all_of_a_row_is_what_its_parts_give():
    given = {key: dataclasses.replace(video, user_scores=None) for key, video in list(videos().items())[:3]}
    given['video_2'] = dataclasses.replace(
        given['video_2'], user_summary=np.zeros_like(given['video_2'].user_summary)
    )
    scores = {key: np.random.default_rng(5).random(video.n_steps) for key, video in given.items()}
    options = {'seed': 3, 'permutations': 99}
    found = agreement.measure_agreement(given, scores, rank_form='mean-user', resamples=20, **options)
    # One mean of users a video, of which video 2 has nothing.
    assert (found['constant_scores'], found['constant_references']) == (0, 1)
    pairs = {key: Pair(scores[key], evaluation.rank_references(v, 'mean-user')) for key, v in given.items()}
    assert str(found['pooled']) == str(agreement.pooled(pairs, seed=3, resamples=20))
    p = agreement.shift_test([agreement.shifted(pair) for pair in pairs.values()], **options)
    for form, name in itertools.product(agreement.FORMS, agreement.METRICS):
        taus = [agreement.correlations(pair)[name] for pair in pairs.values()]
        assert found[form][name] == tables.estimate([taus], seed=3) | {'p': p[name]}
    # Of one video: the share of all its shifts that are as far from 0.
    of_one, pair = found['videos']['video_1']['per_user'], pairs['video_1']
    every = [
        stats.kendalltau(np.roll(pair.scores, k), pair.references[0]).statistic
        for k in range(len(pair.scores))
    ]
    assert of_one['kendall_tau'] == pytest.approx(every[0])
    assert of_one['p_kendall_tau'] == pytest.approx(np.mean(np.abs(every) >= abs(every[0]) - 1e-9))


def test_without_videos_nothing_is_pooled():
    for found in agreement.pooled({}, resamples=9).values():
        assert all(np.isnan(found[name]) for name in ('mean', 'low', 'high', 'p'))
        assert (found['videos'], found['missing']) == (0, 0)


def test_constant_scores_are_counted_and_left_out():
    given = videos()
    scores = {key: video.user_scores[:, video.picks].mean(axis=0) for key, video in given.items()}
    scores['video_2'] = np.full(given['video_2'].n_steps, 0.5)
    found = agreement.measure_agreement(given, scores, resamples=20, permutations=99)
    assert found['constant_scores'] == 1
    assert found['mean_user']['kendall_tau']['missing'] == 1
    assert np.isnan(found['videos']['video_2']['per_user']['kendall_tau'])
    assert np.isnan(found['videos']['video_2']['per_user']['p_kendall_tau'])


def test_the_mean_rating_agrees_fully_with_itself_and_noise_with_nothing():
    given = videos()
    rng = np.random.default_rng(3)
    for scores, tau, p in (
        ({key: video.user_scores[:, video.picks].mean(axis=0) for key, video in given.items()}, 1, 0.01),
        ({key: rng.random(video.n_steps) for key, video in given.items()}, 0, None),
    ):
        found = agreement.measure_agreement(given, scores, resamples=20, permutations=999)['mean_user'][
            'kendall_tau'
        ]
        assert found['mean'] == pytest.approx(tau, abs=0.15 if p is None else 1e-12)
        assert found['p'] <= p if p else found['p'] > 0.05


def test_a_change_is_paired_by_video():
    rows = [{'videos': {k: {'per_user': {'kendall_tau': t}} for k, t in of.items()}} for of in (
        {'a': 0.4, 'b': 0.9}, {'a': 0.1, 'b': 0.6},
    )]  # fmt: skip
    # Both videos rise by as much: no interval, though the videos differ.
    found = agreement.change(*rows, 'per_user', 'kendall_tau')
    assert [found[k] for k in ('mean', 'low', 'high')] == pytest.approx([0.3] * 3)


def test_videos_without_users_are_left_out():
    given = videos()
    given['video_1'] = dataclasses.replace(given['video_1'], user_scores=None, user_summary=None)
    scores = {key: np.arange(video.n_steps) for key, video in given.items()}
    found = agreement.measure_agreement(given, scores, resamples=20, permutations=99)
    assert set(found['videos']) == set(given) - {'video_1'}


def test_real_annotators_mean_reaches_the_published_agreement(shared):
    given = datasets.read_dataset(shared / 'data' / 'tvsum_annotations.h5', require_features=False).videos
    scores = {key: evaluation.rank_references(video).mean(axis=0) for key, video in given.items()}
    found = agreement.measure_agreement(given, scores, resamples=20, permutations=999)
    assert found['per_user']['kendall_tau']['mean'] == pytest.approx(0.378, abs=5e-4)
    assert found['per_user']['spearman_rho']['mean'] == pytest.approx(0.473, abs=5e-4)
    assert found['mean_user']['kendall_tau']['mean'] == pytest.approx(1)
    assert found['per_user']['kendall_tau']['p'] == pytest.approx(1 / 1000)
    assert found['pooled']['kendall_tau']['mean'] == pytest.approx(1)


def test_the_seed_of_a_row_decides_its_intervals():
    given = videos()
    rng = np.random.default_rng(0)
    scores = {key: rng.random(video.n_steps) for key, video in given.items()}
    found = agreement.measure_agreement(given, scores, seed=7, resamples=9, permutations=9)
    taus = [of['per_user']['kendall_tau'] for of in found['videos'].values()]
    zero, own = (tables.estimate([taus], seed=seed) for seed in (0, 7))
    assert zero != own
    assert found['per_user']['kendall_tau'].items() >= own.items()


def test_the_seed_of_drawn_flips_decides():
    drawn = [
        agreement.sign_flip_test(np.arange(-7, 13), most=999, **of) for of in ({}, {'seed': 0}, {'seed': 1})
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_flips_of_signs_are_those_of_all_signs():
    values = [0.3, -0.1, 0.25]
    means = [np.mean(np.multiply(values, signs)) for signs in itertools.product((1, -1), repeat=3)]
    expected = np.mean([abs(one) >= np.mean(values) - 1e-12 for one in means])
    assert expected == 4 / 8
    assert agreement.sign_flip_test([*values, np.nan]) == pytest.approx(expected)
    assert np.isnan(agreement.sign_flip_test([0.3, np.nan]))
    # Of two values of one sign both flips that are of one sign reach the mean.
    assert agreement.sign_flip_test([0.3, 0.1]) == 2 / 4
    # Drawn: all of one sign can hardly be met by chance, and the values themselves are counted.
    assert agreement.sign_flip_test(np.arange(1, 31), most=99) == pytest.approx(2 / 100)
