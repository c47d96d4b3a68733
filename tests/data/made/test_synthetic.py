import dataclasses
import hashlib
import itertools

import numpy as np
import pytest
from scipy import stats

from trsum_jax.configs import demo
from trsum_jax.data import datasets
from trsum_jax.data.made import planted
from trsum_jax.data.made.synthetic import ANNOTATORS, CONTENTS, Recipe, generate, recipe_of
from trsum_jax.errors import InputError
from trsum_jax.protocol import baselines, evaluation

MANY = Recipe(videos=40, width=48, pool=60, seed=11)


def distinctive(video):
    """Per shot, whether its content appears once: no other shot's mean feature is near."""
    firsts = np.searchsorted(video.picks, video.change_points[:, 0])
    means = np.array([part.mean(axis=0) for part in np.split(video.features, firsts[1:])])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    likeness = means @ means.T - np.eye(len(means))
    return likeness.max(axis=1) < 0.75


def tau_of(video, scores):
    return evaluation.evaluate_video(video, scores)['kendall_tau']


@pytest.mark.parametrize('contents', CONTENTS)
@pytest.mark.parametrize(('annotators', 'sign'), [('distinct', 1), ('represent', -1), ('null', 0)])
def test_people_like_what_the_recipe_says_and_features_show_it(annotators, contents, sign):
    videos = generate(dataclasses.replace(MANY, annotators=annotators, contents=contents))
    taus = [tau_of(video, baselines.distance_to_mean(video.features)) for video in videos]
    if sign:
        assert sign * np.mean(taus) > 0.12
    else:
        assert stats.ttest_1samp(taus, 0).pvalue > 1e-3


@pytest.mark.parametrize('annotators', ANNOTATORS)
def test_importance_knows_nothing_of_position_and_length(annotators):
    videos = generate(dataclasses.replace(MANY, annotators=annotators))
    position = [tau_of(video, np.arange(video.n_steps)) for video in videos]
    lengths = [video.change_points[:, 1] - video.change_points[:, 0] + 1 for video in videos]
    length = [tau_of(video, np.repeat(n // 15, n // 15)) for video, n in zip(videos, lengths, strict=True)]
    for taus in (position, length):
        assert stats.ttest_1samp(taus, 0).pvalue > 1e-3


def test_people_disagree_but_less_than_by_chance():
    videos = generate(MANY)
    taus = [baselines.human_leave_one_out(video)['kendall_tau'] for video in videos]
    assert 0.1 < np.mean(taus) < 0.6
    easier = generate(dataclasses.replace(MANY, disagreement=0.5))
    assert np.mean([baselines.human_leave_one_out(v)['kendall_tau'] for v in easier]) > np.mean(taus) + 0.1


def test_the_planted_shots_recur_or_stand_alone():
    videos = generate(dataclasses.replace(MANY, noise=0.2, drift=0.1, common=0.0))
    shares = [distinctive(video).mean() for video in videos]
    assert abs(np.mean(shares) - MANY.distinctive) < 0.08
    for video in videos:
        people = video.user_scores[:, video.change_points[:, 0]].mean(axis=0)
        once = distinctive(video)
        if 2 <= once.sum() <= len(once) - 2:
            assert people[once].mean() > people[~once].mean()


def test_contents_of_one_video_stand_in_another_only_where_shared():
    def share_of_pairs_alike(contents):
        recipe = dataclasses.replace(MANY, videos=8, width=256, contents=contents, common=0.0, noise=0.2)
        pairs = itertools.combinations(generate(recipe), 2)
        return np.mean([(one.features @ other.features.T).max() > 0.6 for one, other in pairs])

    assert share_of_pairs_alike('shared') > 0.5
    assert share_of_pairs_alike('private') == 0


def test_summaries_keep_to_their_share_and_ratings_to_five_marks():
    for video in generate(MANY):
        assert np.all(video.user_summary.mean(axis=1) <= MANY.summary_share)
        assert np.all(video.user_summary.sum(axis=1) > 0)
        assert set(np.unique(video.user_scores)) <= {1, 2, 3, 4, 5}
        np.testing.assert_allclose(np.linalg.norm(video.features, axis=1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_videos_and_one_more_video_changes_none():
    ten, eleven = (generate(dataclasses.replace(MANY, videos=n)) for n in (3, 4))
    for one, other in zip(ten, eleven, strict=False):
        np.testing.assert_array_equal(one.features, other.features)
        np.testing.assert_array_equal(one.user_scores, other.user_scores)
    other = generate(dataclasses.replace(MANY, videos=3, seed=12))
    assert ten[0].features.shape != other[0].features.shape or np.any(ten[0].features != other[0].features)


def test_the_file_is_sound_and_says_that_it_is_synthetic(tmp_path):
    videos = generate(dataclasses.replace(MANY, videos=3))
    path = tmp_path / 'synthetic.h5'
    datasets.write_dataset(path, videos, synthetic=True)
    dataset, faults = datasets.check_file(path)
    assert not faults
    assert dataset.synthetic
    np.testing.assert_array_equal(dataset.videos['video_2'].user_scores, videos[1].user_scores)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'annotators': 'novel'}, 'distinct, represent, null'),
        ({'pool': 5}, 'shared pool needs'),
        ({'shot_steps': (9, 4)}, 'shot_steps'),
        ({'background': 1}, 'background'),
        ({'frames_per_step': 0}, 'frames_per_step'),
        ({'hidden': 0.7, 'moving': 0.4}, 'hidden and moving: .* found 0.7 and 0.4'),
        ({'hidden': -0.1, 'moving': 0.4}, 'hidden and moving'),
    ],
)
def test_a_recipe_that_cannot_be_cooked_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        generate(dataclasses.replace(MANY, **wrong))


def test_the_demos_videos_stay_what_they_were():
    """Pinned before recipes had `hidden`, `moving`, `own`, `ratings` and `frames_per_step`."""
    videos = generate(recipe_of(demo.get_config().data.synthetic))
    digest = hashlib.sha256()
    for video in videos:
        for part in (video.picks, video.change_points, video.user_summary, video.user_scores):
            digest.update(np.ascontiguousarray(part, np.int64).tobytes())
    assert digest.hexdigest() == '708666d305b4cb8dcc7db74054a526d1f0fcbc9eb41169ab471fc2ce1e4fc0ff'
    # Features may differ in the last bit between processors.
    weights = np.cos(np.arange(64))
    found = [float(np.arange(video.n_steps) @ video.features @ weights) for video in videos[:3]]
    assert found == pytest.approx([-7814.15247, -10398.48971, -7592.01095], rel=1e-5)


def rates(videos):
    """By what a shot shows, the mean of people's choice: the distinctive ones, the livelier ones, all."""
    rows = []
    for video in videos:
        shots = np.split(np.arange(video.n_steps), np.searchsorted(video.picks, video.change_points[1:, 0]))
        chosen = video.user_summary[:, video.change_points[:, 0]].mean(axis=0)
        change = [np.linalg.norm(np.diff(video.features[s], axis=0), axis=1).mean() for s in shots]
        lively = np.array(change) > (min(change) + max(change)) / 2
        rows.append((distinctive(video), lively, chosen))
    once, lively, chosen = (np.concatenate(of) for of in zip(*rows, strict=True))
    return [chosen[of].mean() - chosen[~of].mean() for of in (once, lively)]


PLAIN = dataclasses.replace(MANY, videos=60, noise=0.2, drift=0.0, common=0.0, width=256)


@pytest.mark.parametrize(
    ('shares', 'by_rarity', 'by_change'),
    [
        ({'moving': 1.0}, False, True),
        ({'moving': 0.5}, True, True),
        ({'hidden': 0.5, 'moving': 0.5}, False, True),
    ],
)
def test_people_follow_what_the_shares_leave(shares, by_rarity, by_change):
    """A difference of .03 in how many choose a shot is far from chance, where rules make .1 and more."""
    found = rates(generate(dataclasses.replace(PLAIN, **shares)))
    assert [rate > 0.03 for rate in found] == [by_rarity, by_change]
    assert min(found) > -0.03


def test_what_is_hidden_no_row_sees():
    taus = {}
    for share in (0.0, 0.5, 1.0):
        videos = generate(dataclasses.replace(MANY, hidden=share))
        taus[share] = [tau_of(video, baselines.distance_to_mean(video.features)) for video in videos]
        people = [baselines.human_leave_one_out(video)['kendall_tau'] for video in videos[:10]]
        # People agree as they did.
        assert 0.15 < np.mean(people) < 0.4
    assert np.mean(taus[0.0]) > np.mean(taus[0.5]) + 0.05 > np.mean(taus[1.0]) + 0.1
    assert stats.ttest_1samp(taus[1.0], 0).pvalue > 1e-3


def test_people_without_ratings_choose_as_they_did():
    one, other = (generate(dataclasses.replace(MANY, videos=3, ratings=ratings)) for ratings in (True, False))
    for with_ratings, without in zip(one, other, strict=True):
        np.testing.assert_array_equal(with_ratings.user_summary, without.user_summary)
        np.testing.assert_array_equal(with_ratings.features, without.features)
        assert without.user_scores is None
        np.testing.assert_allclose(without.gtscore, without.user_summary[:, without.picks].mean(axis=0))


def test_frames_of_a_video_share_its_own_direction():
    videos = generate(dataclasses.replace(MANY, videos=3, width=512, common=0.0, own=8.0))
    means = [video.features.mean(axis=0) for video in videos]
    # 64 of about 65.5.
    assert all(np.linalg.norm(mean) > 0.97 for mean in means)
    assert all(abs(one @ other) < 0.2 for one, other in itertools.combinations(means, 2))


@pytest.mark.parametrize('plant', ['', 'brief'])
def test_a_sampled_frame_stands_for_so_many(plant):
    for video in planted.videos_of(dataclasses.replace(MANY, videos=2, frames_per_step=7, plant=plant)):
        assert np.all(np.diff(video.picks) == 7)
        assert video.n_frames == 7 * video.n_steps == video.user_summary.shape[1]
        assert np.all(video.change_points[:, 0] % 7 == 0)
        np.testing.assert_array_equal(video.change_points[1:, 0], video.change_points[:-1, 1] + 1)
