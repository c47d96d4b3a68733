"""Choosing again among the shots of a summary; `test_summarize` and `test_coverage` have the first choice."""

import dataclasses
import itertools
import pathlib

import numpy as np
import pytest

pytest.importorskip('av')

from summaries import changes_of

from trsum_jax.data.records import Video
from trsum_jax.data.shots import from_starts
from trsum_jax.protocol import evaluation
from trsum_jax.video import choosing, looks
from trsum_jax.video.summary import Summary


@pytest.fixture
def video():
    """10 s at 25 frames a second, in seven shots, the second, fourth and sixth of them chosen."""
    starts, picks = np.array([0, 40, 70, 110, 130, 200, 240]), np.arange(0, 250, 5)
    shots = np.stack([starts, np.append(starts[1:], 250) - 1], axis=1)
    scores = (0.5 + 0.4 * np.sin(picks / 7)).astype(np.float32)
    values = evaluation.shot_scores(evaluation.frame_scores(scores, picks, 250), shots)
    chosen = np.arange(7) % 2 == 1
    return Summary(pathlib.Path('a.mp4'), 25, 10.0, np.arange(250) / 25, picks, scores, shots, values, chosen)


@pytest.mark.parametrize(('keep', 'drop', 'seconds'), [
    ((), (), 4.0), ((), (1,), 4.0), ((2,), (), 4.0), ((0, 4), (1, 5), 5.0), ((6,), (1, 3), 3.0),
    ((), (1, 3), 1.7),
])  # fmt: skip
def test_the_rest_is_chosen_as_by_trying_all(video, keep, drop, seconds):
    summary, notes = choosing.choose_again(video, keep, drop, seconds)
    lengths = np.array([1.6, 1.2, 1.6, 0.8, 2.8, 1.6, 0.4])
    possible = [
        c
        for c in itertools.product((0, 1), repeat=7)
        if lengths @ c <= seconds + 1e-9 and all(c[i] for i in keep) and not any(c[i] for i in drop)
    ]
    frames = video.shot_scores
    best = max(possible, key=lambda c: frames @ c)
    np.testing.assert_array_equal(summary.chosen, np.array(best, bool))
    assert notes == []


def test_what_was_left_out_at_the_end_of_a_part_stays_out(video):
    """The last shot, of .4 s beside one of 1.6 s, would fit and is worth something."""
    for shortest, shown in ((0.0, [5, 6]), (1.0, [5])):
        summary = dataclasses.replace(video, shortest=shortest)
        summary, _ = choosing.choose_again(summary, {5}, {0, 1, 2, 3}, 2.1)
        assert np.flatnonzero(summary.chosen).tolist() == shown


def test_nothing_is_shown_twice_where_the_json_knows_what_steps_look_like(video):
    """Shots 1, 3 and 5 show one scene, of the highest mean score; 2, 4, 6 and 7 show four others."""
    scenes = np.array([0, 1, 0, 2, 0, 3, 4])
    of_step = scenes[np.searchsorted(video.shots[:, 0], video.picks, side='right') - 1]
    rng = np.random.default_rng(0)
    features = rng.random((5, 200))[of_step] + 0.01 * rng.random((50, 200))
    odd = np.arange(50) % 2
    scores = np.where(of_step == 0, np.where(odd, 0.9, 0.1), np.where(odd, 0.2, 0.25)).astype(np.float32)
    summary = dataclasses.replace(video, scores=scores, looks=looks.sketch(features))
    found, _ = choosing.choose_again(summary, {0}, {5}, 4.0)
    assert np.flatnonzero(found.chosen).tolist() == [0, 1, 3, 6]
    found, _ = choosing.choose_again(dataclasses.replace(summary, looks=None), {0}, {5}, 4.0)
    assert np.flatnonzero(found.chosen).tolist() == [0, 2, 3]


def test_marks_stay_with_their_shots_where_another_is_cut_in_pieces(video):
    """Nothing fits into .3 s: a piece of the second shot is shown, so that later shots get other numbers."""
    summary = dataclasses.replace(video, shortest=1.5)
    found, notes = choosing.choose_again(summary, (), {0, 2, 3, 4, 5, 6}, 0.3)
    assert notes == ['no shot fits into 0.3 s: of the best one, 0.28 s are taken']
    assert found.length == pytest.approx(0.28)
    assert {*found.dropped} == {0, 70, 110, 130, 200, 240}
    assert not found.chosen[sorted(found.with_marks((), ())[1])].any()


def test_what_was_left_out_is_no_summary_of_its_own(video):
    """The last shot, of .4 s, would be all of a summary of .5 s, which is shorter than a part should be."""
    found, notes = choosing.choose_again(dataclasses.replace(video, shortest=1.0), (), (), 0.5)
    assert found.length == pytest.approx(0.48)
    assert 'no shot fits' in notes[0]


def test_a_summary_of_all_says_why(video):
    notes = choosing.choose_again(video, (), (), 60.0)[1]
    assert notes == ['the summary is the whole video: it lasts no longer than 60 s']
    notes = choosing.choose_again(video, range(7), (), 3.0)[1]
    assert notes == ['what is kept takes 10 s, more than the 3 s allowed']


def test_a_very_short_summary_can_become_a_long_one(video):
    """Its shots were cut for .8 s, each shorter than a part of a longer one should be."""
    starts = np.arange(0, 250, 20)
    shots = np.stack([starts, np.append(starts[1:], 250) - 1], axis=1)
    values, chosen = np.linspace(0.2, 0.8, len(shots)), np.arange(len(shots)) == 4
    short = dataclasses.replace(
        video, shots=shots, shot_scores=values, chosen=chosen, shortest=1.5, allowed=0.8
    )
    found, _ = choosing.choose_again(short, {1}, {2}, 6.0)
    assert found.length == pytest.approx(6.0) and found.chosen[1] and not found.chosen[2]
    # And so once more.
    assert 7.2 < choosing.choose_again(found, (), (), 8.0)[0].length < 8.1


def first_choice(seconds, starts, scores, n_frames):
    """The parts that are shown, in seconds, of scenes of one score each; 25 frames a second."""
    picks, change = np.arange(0, n_frames, 5), np.zeros(n_frames)
    change[starts[1:]] = 30
    of_step = np.array(scores)[np.searchsorted(starts, picks, side='right') - 1]
    video = Video(
        'a', picks, n_frames, change_points=from_starts(np.array(starts), n_frames), fps=25,
        frame_times=np.arange(n_frames) / 25,
    )  # fmt: skip
    found, _ = choosing.make_summary(
        pathlib.Path('a.mp4'), video, of_step, seconds=seconds, changes=changes_of(change)
    )
    return found.seconds(found.parts).tolist()


def test_seconds_of_a_scene_that_is_too_short_to_stay_are_for_others():
    """Scenes of 4, 1, 4 and 3 s: the second would be chosen beside the first, and be left out as its end."""
    found = first_choice(8.0, [0, 100, 125, 225], [0.8, 0.9, 0.5, 0.3], 300)
    assert found == [[0, 4], [5, 9]]


def test_a_summary_of_less_than_a_part_is_one_part():
    """Of six scenes of half a second, 1 s is allowed: not two of them from different places."""
    scores = [0.9, 0.2, 0.3, 0.8, 0.1, 0.4]
    ((begin, end),) = first_choice(1.0, [0, 12, 25, 37, 50, 62], scores, 75)
    assert end - begin == 1.0
