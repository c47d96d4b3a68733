"""The premise: rewards by hand, correlations by scipy, and what a workdir needs."""

import dataclasses
import functools
import itertools
import operator
import zlib

import jax
import numpy as np
import pytest
from scipy import stats
from tiny import tiny_config, without_people

from trsum_jax.data.shots import frame_change
from trsum_jax.errors import InputError
from trsum_jax.experiment import preparation, scorer
from trsum_jax.experiment.run import train_stage
from trsum_jax.files import read_json
from trsum_jax.method import reward_terms
from trsum_jax.method.decomposition import decompose
from trsum_jax.method.rewards import reward_and_parts
from trsum_jax.protocol import baselines, evaluation
from trsum_jax.results import pictures
from trsum_jax.studies import premise, random_summaries
from trsum_jax.studies.pages import premise as command
from trsum_jax.training import corpus

K, LENGTH = 8, 32


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A training of two folds whose generator is done, and its workdir."""
    workdir = tmp_path_factory.mktemp('premise')
    config = tiny_config(**{'generator.epochs': 1, 'decomposition.length': LENGTH, 'evaluation.budget': 0.3})
    config.data.synthetic.update({'steps': (24, 40), 'shot_steps': (3, 6)})
    experiment = preparation.prepare(config, workdir)
    train_stage(experiment, experiment.method.stages[0], (), logs=[[workdir / 'metrics.jsonl']])
    return workdir, *scorer.load_generators(workdir)


@functools.partial(jax.jit, static_argnums=0)
def of_window(generator, params, seen, valid, selected, shot, change):
    """In the order of `premise.REWARDS`."""
    rebuilt = generator.apply({'params': params}, seen, valid, ~selected)
    compared = ('composed', 'all'), ('generator', 'all'), ('generator', 'unselected')
    return [
        *(
            reward_and_parts(seen, valid, selected, rebuilt, reconstruct=how, over=over)[0]
            for how, over in compared
        ),
        reward_terms.diversity(seen, valid, selected),
        reward_terms.representativeness(seen, valid, selected),
        reward_terms.transitions(change, valid, selected),
        reward_terms.coverage(shot, valid, selected),
    ]


def by_hand(made, run, video, action):
    """The rewards of one selection, window by window."""
    _, experiment, generator, params = made
    own = jax.device_get(jax.tree.map(operator.itemgetter(run), params))
    trained = experiment.given.folds[experiment.places[run].fold].train
    frames = np.concatenate([np.asarray(experiment.given.dataset.videos[key].features) for key in trained])
    scale = 1 / np.sqrt(np.mean(np.sum(np.square(frames - frames.mean(axis=0)), axis=1)))
    found, counts = [], []
    for steps in decompose(video.n_steps, LENGTH, ('sequential',)):
        valid, steps = steps >= 0, steps[steps >= 0]
        seen, change = np.zeros((LENGTH, frames.shape[1]), np.float32), np.zeros(LENGTH, np.float32)
        selected, shot = np.zeros(LENGTH, bool), np.zeros(LENGTH, int)
        seen[valid] = (video.features[steps] - frames.mean(axis=0)) * scale
        change[valid] = frame_change(video.features - video.features.mean(axis=0))[steps]
        selected[valid], shot[valid] = action[steps], video.step_shots[steps]
        found.append(of_window(generator, own, seen, valid, selected, shot, change))
        counts.append(len(steps))
    return np.average(np.array(found, np.float64), axis=0, weights=counts)


def test_every_correlation_is_scipys_of_rewards_by_hand(made):
    _, experiment, generator, params = made
    found = premise.measure_premise(experiment, generator, params, draws=K, least=2)
    # A video shorter than a window, and one of several.
    every = list(experiment.given.dataset.videos.values())
    videos = sorted(every, key=lambda video: video.n_steps)
    assert videos[0].n_steps < LENGTH < videos[-1].n_steps
    segments = corpus.build(every, LENGTH, ('sequential',))
    for choice, video in itertools.product(premise.CHOICES, (videos[0], videos[-1])):
        rng = np.random.default_rng([premise.CHOICES.index(choice), zlib.crc32(video.key.encode())])
        drawn = random_summaries.draw_summaries(video, choice, rng, K, 0.3)
        run = next(
            i for i, one in enumerate(experiment.places) if video.key in experiment.given.folds[one.fold].test
        )
        rewards = np.array([by_hand(made, run, video, action) for action in drawn.actions])[drawn.number]
        names = ('composed', 'generator', 'unselected', 'diversity')
        names += ('representativeness', 'transitions', 'coverage')
        own, standard = jax.device_get(
            jax.tree.map(operator.itemgetter(run), (params, experiment.runs.standard))
        )
        seen = segments._replace(standard=standard)
        ours = premise.video_rewards(generator, own, seen, every.index(video), drawn.actions)
        assert tuple(ours) == names == premise.REWARDS
        for name, expected in zip(names, rewards.T, strict=True):
            np.testing.assert_allclose(ours[name][drawn.number], expected, rtol=2e-5, atol=2e-6)
        users = video.user_summary > 0
        f = np.array([
            np.mean([2 * np.sum(one & user) / max(one.sum() + user.sum(), 1) for user in users])
            for one in drawn.summaries[drawn.number]
        ])  # fmt: skip
        for name in names:
            value = found[choice]['rows'][name]['f_avg']['values'][video.key]
            if np.ptp(f) == 0 or np.ptp(ours[name]) == 0:
                assert np.isnan(value)
            else:
                expected = stats.spearmanr(ours[name][drawn.number], f).statistic
                assert value == pytest.approx(expected, abs=1e-9)
        assert found[choice]['drawn'][video.key]['f_avg']['mean'] == pytest.approx(f.mean())


def test_shots_are_the_best_for_their_values_within_the_budget(made):
    video = max(made[1].given.dataset.videos.values(), key=lambda one: one.n_steps)
    drawn = random_summaries.draw_summaries(video, 'shots', np.random.default_rng(5), K, 0.3)
    lengths = video.change_points[:, 1] - video.change_points[:, 0] + 1
    sets = np.array(list(itertools.product([0, 1], repeat=len(lengths))))
    sets = sets[sets @ lengths <= int(0.3 * video.n_frames)]
    rng = np.random.default_rng(5)
    for number in drawn.number:
        best = sets[np.argmax(sets @ rng.random(len(lengths)))].astype(bool)
        frames = np.repeat(best, lengths)
        np.testing.assert_array_equal(drawn.summaries[number], frames)
        np.testing.assert_array_equal(drawn.actions[number], frames[video.picks])


def test_frames_are_as_many_as_the_budget_and_held_until_the_next(made):
    video = max(made[1].given.dataset.videos.values(), key=lambda one: one.n_steps)
    drawn = random_summaries.draw_summaries(video, 'frames', np.random.default_rng(5), K, 0.3)
    assert np.all(drawn.actions.sum(axis=1) == int(0.3 * video.n_steps))
    assert len(np.unique(drawn.number)) == len(drawn.actions) > 1
    for action, summary in zip(drawn.actions, drawn.summaries, strict=True):
        held = [action[np.sum(video.picks <= frame) - 1] for frame in range(video.n_frames)]
        np.testing.assert_array_equal(summary, held)


def test_overlap_is_the_shared_share_or_the_mean_rating(made):
    video = next(iter(made[1].given.dataset.videos.values()))
    summary = np.zeros((2, video.n_frames), bool)
    summary[1, 3:40] = True
    shared = [np.sum(user[3:40] > 0) / 37 for user in video.user_summary]
    assert random_summaries.worth_of(video, summary)['overlap'] == pytest.approx([0, np.mean(shared)])
    rated = dataclasses.replace(video, user_summary=None)
    found = random_summaries.worth_of(rated, summary)
    assert found['overlap'] == pytest.approx([0, np.mean(video.user_scores[:, 3:40])])
    assert np.isnan(found['f_avg']).all()


def test_what_is_f_itself_correlates_wholly_and_statistics_are_means(made, monkeypatch):
    _, experiment, generator, params = made
    video = next(iter(experiment.given.dataset.videos.values()))
    actions = np.zeros((2, video.n_steps), bool)
    actions[1, 1:4] = True
    found = random_summaries.statistics_of(video, actions)
    assert found['change'] == pytest.approx([0, baselines.change_of(video)[1:4].mean()])
    assert found['distance_to_mean'] == pytest.approx(
        [0, baselines.distance_to_mean(video.features)[1:4].mean()]
    )
    assert list(found['length']) == [0, 3]

    def of_f(video, actions):
        drawn = [evaluation.frame_scores(one, video.picks, video.n_frames) for one in actions]
        f = random_summaries.worth_of(video, np.array(drawn))['f_avg']
        return {'change': f, 'distance_to_mean': -f, 'length': f}

    monkeypatch.setattr(premise, 'statistics_of', of_f)
    rows = premise.measure_premise(experiment, generator, params, draws=K, least=2)['frames']['rows']
    assert rows['change']['f_avg']['mean'] == pytest.approx(1)
    assert rows['distance_to_mean']['f_avg']['mean'] == pytest.approx(-1)
    # All videos have the same sign: as they are, and all flipped.
    count = rows['change']['f_avg']['videos']
    assert count >= 3
    assert rows['change']['f_avg']['p'] == pytest.approx(2 / 2**count)


def test_a_length_held_fixed_is_regressed_out_of_the_ranks():
    rng = np.random.default_rng(2)
    length = rng.integers(3, 9, 40).astype(float)
    values, overlap = rng.random(40) + 0.2 * length, rng.random(40) + 0.1 * length
    worth = {'f_avg': np.full(40, np.nan), 'overlap': overlap}
    found = premise.correlations_over_draws(values, worth, length)
    x, y, z = map(stats.rankdata, (values, overlap, length))
    rest = [one - np.polyval(np.polyfit(z, one, 1), z) for one in (x, y)]
    assert found['given_length'] == pytest.approx(np.corrcoef(rest)[0, 1])
    assert found['given_length'] < found['overlap'] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert np.isnan(found['f_avg'])
    constant = premise.correlations_over_draws(values, worth, np.full(40, 5.0))
    assert constant['given_length'] == constant['overlap']
    assert np.isnan(premise.correlations_over_draws(length, worth, length)['given_length'])


def test_the_command_leaves_a_table_and_a_picture(made, tmp_path, capsys, monkeypatch):
    drawn, save = [], pictures.save
    monkeypatch.setattr(pictures, 'save', lambda figure, path: drawn.append(figure) or save(figure, path))
    command.main([f'--workdir={made[0]}', '--draws=4', '--least=3', f'--output={tmp_path}'])
    text = (tmp_path / 'premise.md').read_text('utf-8')
    assert text in capsys.readouterr().out
    assert '(synthetic data)' in text
    found = read_json(tmp_path / 'premise.json')
    for name in (*premise.REWARDS, *premise.STATISTICS):
        assert f'\n| {name} ' in text
        assert set(found['choices']['shots']['rows'][name]['overlap']['values']) == set(
            made[1].given.dataset.videos
        )
    shots = found['choices']['shots']
    few = [key for key, one in shots['drawn'].items() if one['different'] < 3]
    assert 0 < len(few) < len(shots['drawn'])
    assert 'Left out of shots, having fewer than 3 different summaries: ' in text
    for key in few:
        assert f'{key} {shots["drawn"][key]["different"]}' in text
        assert shots['rows']['composed']['overlap']['values'][key] is None
    # In the picture's first panel: the dots of the first reward, and its mean.
    assert (tmp_path / 'premise.png').stat().st_size > 1000
    assert len(drawn[0].axes) == 5
    panel, one = drawn[0].axes[0], shots['rows']['composed']['f_avg']
    assert panel.get_title() == 'shots: rho with F'
    # An interval has two ends, and so has the line at 0.
    first = [line.get_xydata() for line in panel.lines if len(line.get_xdata()) != 2]
    at_first = [x for line in first for x, y in line if y == 0 and not np.isnan(x)]
    dots = [value for value in one['values'].values() if value is not None]
    assert sorted(at_first) == pytest.approx(sorted([*dots, one['mean']]))
    # Single frames are of one number, which has no rank.
    assert next(line for line in text.splitlines() if line.startswith('| length')).count('–') >= 4
    assert found['generator']['epochs'] == 1
    assert found['generator']['loss'] > 0
    # All videos without a correlation, and too many to be named.
    monkeypatch.setattr(premise, '_NAMED', 2)
    command.main([f'--workdir={made[0]}', '--draws=4', '--least=5', f'--output={tmp_path}'])
    text = (tmp_path / 'premise.md').read_text('utf-8')
    assert 'different summaries: 6 videos.' in text
    assert next(line for line in text.splitlines() if line.startswith('| composed')).count('–') == 10
    with pytest.raises(InputError, match='--draws: expected 2 or more'):
        command.main([f'--workdir={made[0]}', '--draws=1'])


def test_a_workdir_without_a_generator_is_told(tmp_path):
    with pytest.raises(InputError, match=r'expected the workdir of a training, with config\.json'):
        command.main([f'--workdir={tmp_path}'])
    config = tiny_config()
    preparation.prepare(config, tmp_path)
    with pytest.raises(InputError, match='expected a checkpoint of the generator, found none'):
        command.main([f'--workdir={tmp_path}'])


def test_videos_without_people_are_told(made):
    _, experiment, generator, params = made
    with pytest.raises(InputError, match="expected people's summaries or ratings"):
        premise.measure_premise(without_people(experiment), generator, params, draws=2)
