import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from trsum_jax.data import datasets
from trsum_jax.data.made.synthetic import ANNOTATORS, CONTENTS, Recipe, generate
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
    ],
)
def test_a_recipe_that_cannot_be_cooked_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        generate(dataclasses.replace(MANY, **wrong))
