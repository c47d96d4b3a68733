"""Planted datasets against their own description, and the measures of failure against hand-made choices."""

import dataclasses

import numpy as np
import pytest
from tiny import RECIPE

from trsum_jax.data import datasets
from trsum_jax.data.made import planted, synthetic
from trsum_jax.data.made.synthetic import PLANTS, Recipe
from trsum_jax.data.shots import frame_change
from trsum_jax.errors import InputError
from trsum_jax.protocol import baselines, evaluation, failures

RECIPES = {
    plant: Recipe(videos=8, width=64, pool=60, seed=5, plant=plant, distinctive=0.4) for plant in PLANTS[1:]
}


def drawn(plant):
    recipe = RECIPES[plant]
    truths = planted.truths(recipe)
    return [(video, truths[video.key]) for video in planted.videos_of(recipe)]


def people(video):
    return video.user_scores[:, video.picks].mean(axis=0)


@pytest.mark.parametrize('plant', PLANTS[1:])
def test_planted_videos_are_sound_files_and_draw_the_same_again(plant, tmp_path):
    path = tmp_path / 'x.h5'
    datasets.write_dataset(path, planted.videos_of(RECIPES[plant]), synthetic=True)
    dataset, faults = datasets.check_file(path, side='side')
    assert not faults
    for video, _ in drawn(plant):
        np.testing.assert_array_equal(dataset.videos[video.key].features, video.features)
        np.testing.assert_array_equal(dataset.videos[video.key].side, video.side)


def test_without_a_plant_it_is_the_plain_generator():
    recipe = Recipe(**RECIPE)
    for one, other in zip(planted.videos_of(recipe), synthetic.generate(recipe), strict=True):
        np.testing.assert_array_equal(one.features, other.features)


def test_an_unknown_plant_is_refused():
    with pytest.raises(InputError, match=r'plant: .*repetitive'):
        planted.videos_of(dataclasses.replace(RECIPES['brief'], plant='weeds'))


@pytest.mark.parametrize('plant', PLANTS[1:])
def test_the_second_modality_knows_what_people_want(plant):
    agree = [np.corrcoef(video.side[:, 0], people(video))[0, 1] for video, _ in drawn(plant)]
    assert np.mean(agree) > 0.2


def test_repetitive_scenes_repeat_are_noisy_and_wanted_once():
    for video, truth in drawn('repetitive'):
        starts = np.searchsorted(video.picks, video.change_points[:, 0])
        content = truth.content[starts]
        busy = content < RECIPES['repetitive'].background
        assert len(np.unique(content[busy])) < busy.sum()
        assert len(np.unique(content[~busy])) == (~busy).sum()
        assert np.all(content[1:] != content[:-1])
        inner = np.setdiff1d(np.arange(1, video.n_steps), starts)
        change = 1 - np.sum(video.features[inner] * video.features[inner - 1], axis=1)
        of_busy = truth.content[inner] < RECIPES['repetitive'].background
        assert change[of_busy].mean() > 2 * change[~of_busy].mean()


def test_brief_events_are_brief_lie_within_their_scene_and_are_wanted():
    wanted, found = [], 0
    for video, truth in drawn('brief'):
        for event in range(truth.event.max() + 1):
            steps = np.flatnonzero(truth.event == event)
            assert 1 <= len(steps) <= 2
            assert np.all(np.diff(steps) == 1)
            assert truth.content[steps[0] - 1] == truth.content[steps[-1] + 1]
            found += 1
        wanted.append(people(video)[truth.event >= 0].mean() - people(video)[truth.event < 0].mean())
    assert found > 20
    assert np.mean(wanted) > 0.5


def test_transitions_are_where_the_shots_meet_change_most_and_are_wanted_least():
    for video, truth in drawn('transitions'):
        cuts = np.searchsorted(video.picks, video.change_points[1:, 0])
        np.testing.assert_array_equal(np.flatnonzero(truth.transition), np.union1d(cuts - 1, cuts))
        change = frame_change(video.features)
        assert change[truth.transition].mean() > 1.2 * change[~truth.transition].mean()
        assert np.all(people(video)[truth.transition] == 1)


def test_change_is_the_larger_of_both_sides():
    compass = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(frame_change(compass), [0, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(frame_change(compass[:1]), [0])


def steps(*positions):
    selected = np.zeros(6, bool)
    selected[list(positions)] = True
    return selected


# Six steps, two a shot; the first and the last shot show the same.
CONTENT, SHOT = np.array([4, 4, 7, 7, 4, 4]), np.array([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ('positions', 'repeated'), [((0, 1, 2), 0), ((0, 1, 4), 1 / 3), ((0, 2, 4, 5), 0.5), ((4, 5), 0)]
)
def test_what_was_shown_before_is_repeated(positions, repeated):
    assert failures.repeated_share(CONTENT, SHOT, steps(*positions)) == pytest.approx(repeated)


def test_similarity_is_the_mean_cosine_of_pairs():
    features = np.array([[1, 0], [3, 0], [0, 2], [-1, 0], [0, 1], [0, 1.0]])
    assert failures.similarity(features, steps(0, 1)) == pytest.approx(1)
    assert failures.similarity(features, steps(0, 1, 2)) == pytest.approx(1 / 3)
    assert failures.similarity(features, steps(0, 2, 3)) == pytest.approx(-1 / 3)
    # Of any length, those included whose squares float32 does not hold.
    for scale in (1e-8, 1e25):
        found = failures.similarity((scale * features).astype(np.float32), steps(0, 1, 2))
        assert found == pytest.approx(1 / 3)


def test_an_event_is_missed_where_no_step_of_it_is_selected():
    event = np.array([-1, 0, 0, 1, -1, 2])
    assert failures.missed_events(event, steps(0, 2)) == pytest.approx(2 / 3)
    assert failures.missed_events(event, steps(1, 2, 3, 5)) == 0
    assert failures.missed_events(event, steps()) == 1


def test_transition_preference_is_a_ratio_to_the_base_rate():
    transition = np.array([0, 1, 1, 0, 0, 0], bool)
    assert failures.transition_preference(transition, steps(0, 1)) == pytest.approx(1.5)
    assert failures.transition_preference(transition, steps(*range(6))) == pytest.approx(1)
    assert failures.transition_preference(transition, steps(4, 5)) == 0


def test_what_cannot_be_measured_is_nan():
    nothing = np.full(6, -1)
    assert np.isnan(failures.missed_events(nothing, steps(0)))
    assert np.isnan(failures.transition_preference(np.zeros(6, bool), steps(0)))
    assert np.isnan(failures.transition_preference(np.ones(6, bool), steps()))
    assert np.isnan(failures.repeated_share(CONTENT, SHOT, steps()))
    assert np.isnan(failures.similarity(np.ones((6, 2)), steps(0)))


def test_the_top_steps_are_the_best_and_of_equals_the_first():
    np.testing.assert_array_equal(failures.top_steps(np.array([1, 3, 2, 3, 0, 3.0]), 0.34), steps(1, 3))
    assert failures.top_steps(np.zeros(3), 0.15).sum() == 1
    # Of so many, sorting that does not keep the order of equals would show.
    alternately = np.arange(100) % 2
    np.testing.assert_array_equal(np.flatnonzero(failures.top_steps(alternately, 0.2)), np.arange(1, 40, 2))


def mean_measure(plant, name, scores_of, choose):
    return np.mean([failures.measure_failures(v, t, choose(v, scores_of(v)))[name] for v, t in drawn(plant)])


@pytest.mark.parametrize(
    ('plant', 'name'),
    [('repetitive', 'repeated'), ('brief', 'missed_events'), ('transitions', 'transition_preference')],
)
def test_a_scorer_that_loves_what_is_far_from_the_mean_fails_where_people_do_not(plant, name):
    """The trivial form of "hard to rebuild" shows the signature that the dataset is planted for."""

    def top(video, scores):
        return failures.top_steps(scores)

    far = mean_measure(plant, name, lambda video: baselines.distance_to_mean(video.features), top)
    wanted = mean_measure(plant, name, people, top)
    rng = np.random.default_rng(0)
    chance = mean_measure(plant, name, lambda video: rng.random(video.n_steps), top)
    assert far > max(chance, wanted)


def test_the_steps_of_a_summary_are_those_of_its_shots():
    video = planted.videos_of(RECIPES['brief'])[0]
    scores = people(video)
    selected = failures.summary_steps(video, scores)
    per_frame = evaluation.frame_scores(scores, video.picks, video.n_frames)
    summary = evaluation.summarize(per_frame, video.change_points, video.n_frames)
    assert 0 < summary.sum() <= 0.15 * video.n_frames
    assert selected.sum() * 15 == summary.sum()
    none = failures.summary_steps(video, scores, budget=0.01)
    assert none.sum() * 15 <= 0.01 * video.n_frames


def test_all_measures_of_a_choice_stand_under_their_names():
    video, truth = drawn('brief')[0]
    selected = failures.top_steps(people(video))
    found = failures.measure_failures(video, truth, selected)
    assert tuple(found) == failures.MEASURES
    assert found['similarity'] == failures.similarity(video.features, selected)
    assert -1 < found['similarity'] < 1
