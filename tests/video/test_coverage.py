"""What is shown again is worth less and less: against sums by hand, and a plain search."""

import json

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

from hypothesis import given, settings
from hypothesis import strategies as st
from summaries import changes_of
from summarizing import Command, film

from trsum_jax import summarize
from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.video import choosing, coverage

# Pictures of four scenes that have nothing in common.
LOOKS = np.eye(4, 8, dtype=np.float32)


def worth_of(content, shots):
    """Of some shots, by the definition."""
    return content.worth @ (1 - np.prod(1 - content.covers[list(shots)].astype(np.float64), axis=0))


def plain_greedy(content, weights, capacity):
    """First what is news for the most part; then the rest, where much of the time is left."""
    taken = []

    def gain(shot):
        return worth_of(content, [*taken, shot]) - worth_of(content, taken)

    def take(least_new):
        while True:
            room = capacity - weights[taken].sum()
            free = [shot for shot in range(len(weights)) if shot not in taken and weights[shot] <= room]
            news = [shot for shot in free if gain(shot) > least_new * worth_of(content, [shot])]
            if not news:
                return
            taken.append(max(news, key=lambda shot: gain(shot) / weights[shot]))

    take(0.6)
    if weights[taken].sum() < 0.8 * capacity:
        take(0)
    return taken


@pytest.mark.parametrize('seed', range(12))
def test_the_greedy_choice_is_that_of_a_plain_search_or_the_best_shot(seed):
    rng = np.random.default_rng(seed)
    content = coverage.Content(rng.random((8, 5)).astype(np.float32) ** 3, rng.random(5))
    weights, capacity = rng.integers(1, 9, 8), int(rng.integers(6, 20))
    if seed == 0:
        # One that is worth most by far, and too long for a gain by its length.
        content.covers[3], weights[3] = 1, capacity
    everything, nothing = np.ones(8, bool), np.zeros(8, bool)
    chosen = coverage.choose(content, weights, capacity, able=everything, keep=nothing)
    assert weights[chosen].sum() <= capacity
    found = worth_of(content, np.flatnonzero(chosen))
    alone = max(worth_of(content, [shot]) for shot in range(8) if weights[shot] <= capacity)
    greedy = plain_greedy(content, weights, capacity)
    assert found == pytest.approx(max(worth_of(content, greedy), alone))
    if found > alone:
        assert sorted(greedy) == np.flatnonzero(chosen).tolist()


def test_of_shots_that_show_the_same_the_first_is_taken():
    # A film that repeats itself: all gains of a kind are equal, again and again.
    rng = np.random.default_rng(0)
    covers = np.tile(rng.random((5, 64)).astype(np.float32) ** 3, (40, 1))
    weights = np.tile(rng.integers(1, 9, 5), 40)
    content, everything = coverage.Content(covers, rng.random(64)), np.ones(200, bool)
    chosen = coverage.choose(content, weights, 60, able=everything, keep=~everything)
    greedy = plain_greedy(content, weights, 60)
    assert len(greedy) > 5
    for kind in range(5):
        taken = np.flatnonzero(chosen[kind::5])
        assert taken.tolist() == list(range(sum(shot % 5 == kind for shot in greedy)))


def test_time_that_is_left_is_not_for_what_was_seen_unless_it_is_much():
    # Two scenes of one moment each, and a little of the first one again.
    covers = np.array([[0.9, 0], [0, 0.9], [0.3, 0]], np.float32)
    content, weights = coverage.Content(covers, np.ones(2)), np.array([4, 4, 2])

    def chosen(capacity, *kept):
        marks = {'able': np.ones(3, bool), 'keep': np.isin(np.arange(3), kept)}
        return np.flatnonzero(coverage.choose(content, weights, capacity, **marks)).tolist()

    # What is new of the third is a tenth; without it .8 of the time is filled, or less.
    assert chosen(10) == [0, 1]
    assert chosen(11) == [0, 1, 2]
    # What is kept has been seen; of the first .7 are new after the third.
    assert chosen(10, 0) == [0, 1]
    assert chosen(11, 0) == [0, 1, 2]
    assert chosen(10, 2) == [0, 1, 2]


def test_content_by_hand():
    # Two steps a second: 2 s of a scene, 1 s of another, in frames of .1 s; the second shot has both.
    features = LOOKS[[0, 0, 0, 0, 1, 1]]
    shots, picks, edges = np.array([[0, 9], [10, 29]]), np.arange(0, 30, 5), np.arange(31) / 10
    content = coverage.content(shots, picks, edges, features, np.full(6, 0.3))
    np.testing.assert_allclose(content.worth, [1 / 4] * 4 + [1 / 2] * 2, rtol=1e-3)
    expected = [[1 - np.exp(-1 / 2)] * 4 + [0] * 2, [1 - np.exp(-1 / 2)] * 6]
    np.testing.assert_allclose(content.covers, expected, atol=1e-3)
    # Only the order of scores counts, and no length of features; what scores 0 shows nothing.
    scores = np.array([0.2, 0.3, 0.1, 0.6, 0.5, 0.4])
    one = coverage.content(shots, picks, edges, features, scores)
    other = coverage.content(shots, picks, edges, 7 * features, scores**3)
    np.testing.assert_allclose(one.covers, other.covers, rtol=1e-5)
    blank = coverage.content(shots, picks, edges, features, np.where(np.arange(6) < 4, scores, 0))
    np.testing.assert_allclose(blank.covers[:, 4:], 0, atol=1e-3)


def made_up(scenes, scores):
    """Scenes of 2 s each, 10 frames and two steps a second, with hard cuts between them."""
    n = 20 * len(scenes)
    rng = np.random.default_rng(0)
    features = np.repeat(LOOKS[list(scenes)], 4, axis=0) + rng.normal(0, 0.05, (n // 5, 8)).astype(np.float32)
    change = np.where(np.arange(n) % 20, 2.0, 60.0).astype(np.float32)
    shots = np.arange(0, n, 20)[:, None] + [0, 19]
    video = Video(
        'v', np.arange(0, n, 5), n, features, change_points=shots, fps=10.0, frame_times=np.arange(n) / 10
    )
    return video, np.repeat(scores, 4), changes_of(change)


def chosen_of(made, **how):
    video, scores, changes = made
    summary, notes = choosing.make_summary('v.mp4', video, scores, changes=changes, **how)
    return np.flatnonzero(summary.chosen).tolist(), summary, notes


def test_a_scene_that_comes_again_gives_way_to_another():
    made = made_up([0, 1, 0, 2, 0, 3], [0.9, 0.3, 0.8, 0.4, 0.7, 0.2])
    assert chosen_of(made, seconds=6)[0] == [0, 2, 4]
    assert chosen_of(made, seconds=6, choice='coverage')[0] == [0, 1, 3]
    # Where there is room for all scenes, and for much more, what comes again is shown too.
    assert chosen_of(made, seconds=10, choice='coverage')[0] == [0, 1, 3, 5]
    assert len(chosen_of(made, seconds=12, choice='coverage')[0]) == 6


def test_what_people_keep_is_shown_and_counts_as_shown():
    made = made_up([0, 1, 0, 2, 0, 3], [0.9, 0.3, 0.8, 0.4, 0.7, 0.2])
    for choice, expected in (('coverage', [1, 3, 4]), ('knapsack', [0, 2, 4])):
        assert chosen_of(made, seconds=6, choice=choice, keep={4})[0] == expected
        assert chosen_of(made, seconds=6, choice=choice, drop={0, 2})[0] == [1, 3, 4]
        assert chosen_of(made, seconds=6, choice=choice, keep={1, 5}, drop={0, 2})[0] == [1, 4, 5]
    chosen, summary, notes = chosen_of(made, seconds=3, choice='coverage', keep={1, 5})
    assert (chosen, notes) == ([1, 5], ['what is kept takes 4 s, more than the 3 s allowed'])
    assert summary.length == pytest.approx(4)


@pytest.mark.parametrize(
    ('marks', 'told'),
    [
        ({'keep': {6}}, '--keep=7: expected numbers of shots, from 1 to 6'),
        ({'drop': {-1}}, '--drop=0: expected numbers of shots, from 1 to 6'),
        (
            {'keep': {1, 2}, 'drop': {2}},
            '--keep and --drop: expected shots in one of the two, found 3 in both',
        ),
        ({'drop': range(6)}, '--drop: expected a shot that stays, found all 6'),
    ],
)
def test_marks_that_make_no_sense(marks, told):
    with pytest.raises(InputError) as error:
        chosen_of(made_up([0, 1, 0, 2, 0, 3], np.linspace(0.1, 0.9, 6)), seconds=6, **marks)
    assert str(error.value) == told


@pytest.mark.parametrize('seed', range(4))
def test_numbers_of_shots_stay_whatever_is_kept_and_dropped(seed):
    rng = np.random.default_rng(seed)
    video, scores, changes = made_up(rng.integers(0, 4, 8), rng.random(8))
    # Fades where scenes meet, and at both ends of the video: parts are trimmed.
    near = np.abs((np.arange(160) + 10) % 20 - 10)
    changes.contrast[:] = np.where(near < rng.integers(2, 6), 3, 30)
    how = {'seconds': 6, 'choice': 'coverage'}
    _, first, _ = chosen_of((video, scores, changes), **how)
    marked = rng.permutation(len(first.shots))[:3].tolist()
    keep, drop = {*marked[:2]}, {marked[2]}
    chosen, again, _ = chosen_of((video, scores, changes), keep=keep, drop=drop, **how)
    assert keep <= {*chosen}
    assert not drop & {*chosen}
    assert len(again.shots) == len(first.shots)
    # Each is still, for the most part, what it was.
    middles = first.shots.mean(axis=1)
    own = (again.shots[:, 0] <= middles) & (middles <= again.shots[:, 1])
    assert own[chosen].all()


def test_marks_of_the_first_choice_stay_with_their_shots_too():
    """Nothing fits: of one shot a piece is shown, once all others are dropped."""
    made = made_up([0, 1, 0, 2, 0, 3], [0.9, 0.3, 0.8, 0.4, 0.7, 0.2])
    for choice in ('coverage', 'knapsack'):
        how = {'seconds': 1.0, 'choice': choice}
        first = chosen_of(made, **how)[1].shots
        for stays in range(len(first)):
            drop = {*range(len(first))} - {stays}
            chosen, again, _ = chosen_of(made, **how, drop=drop)
            assert again.dropped == {first[shot, 0] for shot in drop}
            assert not again.with_marks((), ())[1] & {*chosen}
            assert first[stays, 0] <= again.parts[0, 0] <= again.parts[0, 1] <= first[stays, 1]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whatever_there_is_a_summary_fits_and_has_what_is_kept(data):
    n = data.draw(st.integers(20, 200))
    gaps = np.array(data.draw(st.lists(st.integers(2, 60), min_size=n, max_size=n))) / 100
    edges = np.append(0, np.cumsum(gaps))
    change = data.draw(st.lists(st.sampled_from([0.0, 0.1, 5.0, 60.0]), min_size=n, max_size=n))
    starts = sorted({0, *data.draw(st.lists(st.integers(0, n - 1), max_size=6))})
    picks = np.array(sorted({*starts, *data.draw(st.lists(st.integers(0, n - 1), max_size=12))}))
    numbers = st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.9]), min_size=len(picks), max_size=len(picks))
    scores, looks = (np.array(data.draw(numbers)) for _ in range(2))
    video = Video(
        *('v', picks, n, LOOKS[(4 * looks).astype(int)] * (looks > 0)[:, None]),
        change_points=np.stack([starts, [*starts[1:], n]], axis=1) - [0, 1],
        fps=n / edges[-1],
        frame_times=edges[:-1],
    )
    how = {'budget': data.draw(st.floats(0.05, 0.99)), 'choice': 'coverage'}
    made = video, scores, changes_of(change)
    chosen, summary, _ = chosen_of(made, **how)
    one_frame = len(summary.parts) == 1 and summary.parts[0, 0] == summary.parts[0, 1]
    assert chosen and (one_frame or summary.length <= how['budget'] * edges[-1] + 1e-5)
    marks = data.draw(st.permutations(range(len(summary.shots))))
    keep, drop = {*marks[:2]}, {*marks[2:3]}
    shown, again, _ = chosen_of(made, keep=keep, drop=drop, **how)
    assert keep <= {*shown} and not drop & {*shown}
    for one in (summary, again):
        np.testing.assert_array_equal(one.shots[1:, 0], one.shots[:-1, 1] + 1)
        assert (one.shots[0, 0], one.shots[-1, 1]) == (0, n - 1)


def test_summarize_shows_no_scene_twice_unless_the_protocol_is_to_choose(tmp_path, monkeypatch):
    # Scenes of 2 s; the one that comes three times scores best.
    scenes = (0, 1, 2, 0, 3, 0)
    scores = np.repeat([0.9, 0.2, 0.4, 0.8, 0.3, 0.7], 4).astype(np.float32)
    place = 'trsum_jax.experiment.own_videos.train_and_score'
    monkeypatch.setattr(place, lambda dataset, config, folder: dict.fromkeys(dataset.videos, scores))
    path, output = film(tmp_path / 'a.mp4', scenes), tmp_path / 's.mp4'
    command = Command(monkeypatch)
    for flags, expected in (([], [0, 2, 3]), (['--choice=knapsack'], [0, 0, 0])):
        wanted = ['--seconds=6.5', '--overwrite', '--page=', '--storyboard=']
        assert command(f'--video={path}', f'--output={output}', *wanted, *flags) is None
        shots = json.loads(output.with_suffix('.json').read_text())['shots']
        shown = [scenes[round(shot['start'] / 2)] for shot in shots if shot['chosen']]
        assert sorted(shown) == expected
    with pytest.raises(InputError, match='--choice=first: expected coverage or knapsack'):
        summarize.summarize(path, choice='first')
