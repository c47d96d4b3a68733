"""Own and help: against all selections, against what is known without a generator, and of whole videos."""

import itertools
import json
import operator
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tiny import tiny_config, without_people

from trsum_jax.errors import InputError
from trsum_jax.experiment import preparation, scorer
from trsum_jax.experiment.run import train_stage
from trsum_jax.files import read_json
from trsum_jax.method.decomposition import decompose
from trsum_jax.studies import own_and_help
from trsum_jax.studies.pages import own_and_help as command
from trsum_jax.training.corpus import Segment

T, LENGTH, WIDTH = 6, 8, 3
VALID = np.arange(LENGTH) < T
# Every selection once: True hides. Padding is hidden too, which must not matter.
EVERY = np.array([[*one, True, True] for one in itertools.product([False, True], repeat=T)])


class NearestFrame:
    """A generator that copies the nearest visible frame, the earlier on a tie; ones where there is none."""

    @staticmethod
    def rebuilt(frames, visible):
        places = np.flatnonzero(visible)
        if not len(places):
            return np.ones_like(frames)
        return np.array([frames[min(places, key=lambda at: (abs(at - i), at))] for i in range(len(frames))])

    def apply(self, variables, frames, valid, masked):
        place = jnp.arange(len(valid))
        distance = jnp.where((valid & ~masked)[None], jnp.abs(place[:, None] - place[None]), 99)
        found = jnp.asarray(frames)[jnp.argmin(distance, axis=1)]
        return jnp.where(jnp.any(valid & ~masked), found, 1.0)


class MeanFrame:
    """A generator that gives the mean of the visible frames; ones where there is none."""

    @staticmethod
    def rebuilt(frames, visible):
        mean = frames[visible].mean(axis=0) if visible.any() else np.ones(frames.shape[1])
        return np.broadcast_to(mean, frames.shape)

    def apply(self, variables, frames, valid, masked):
        shown = (valid & ~masked)[:, None]
        mean = jnp.where(shown, frames, 0).sum(axis=0) / jnp.maximum(shown.sum(), 1)
        return jnp.broadcast_to(jnp.where(shown.any(), mean, 1.0), frames.shape)


def segment_of(frames):
    """One padded segment; what stands in the padding is not looked at."""
    padded = np.full((LENGTH, frames.shape[1]), 7.0, np.float32)
    padded[:T] = frames
    nothing = np.zeros(LENGTH)
    return Segment(padded, VALID, nothing, np.int32(0), np.int32(0), np.int32(T), nothing, nothing[:, None])


def loss(frame, rebuilt):
    length = np.linalg.norm(frame) * np.linalg.norm(rebuilt)
    return np.abs(frame - rebuilt).mean() + 1 - frame @ rebuilt / length


def by_enumeration(losses_of):
    """Own and help of each of T frames, by both definitions: as means, and as differences of one frame.

    `losses_of(hidden [T])` are the [T] losses of the hidden frames, 0 elsewhere.
    """
    found = {hidden: losses_of(np.array(hidden)) for hidden in itertools.product([False, True], repeat=T)}
    own, helped = np.zeros(T), np.zeros(T)
    for t in range(T):
        hides = [losses for hidden, losses in found.items() if hidden[t]]
        shows = [losses for hidden, losses in found.items() if not hidden[t]]
        own[t] = np.mean([losses[t] for losses in hides]) / T
        rest = [np.mean([losses.sum() - losses[t] for losses in of]) for of in (hides, shows)]
        helped[t] = (rest[0] - rest[1]) / T
        one_more = [
            losses.mean() - found[(*hidden[:t], False, *hidden[t + 1 :])].mean()
            for hidden, losses in found.items()
            if hidden[t]
        ]
        assert own[t] + helped[t] == pytest.approx(np.mean(one_more))
    return own, helped


@pytest.mark.parametrize('generator', [NearestFrame(), MeanFrame()])
def test_all_selections_give_own_and_help_by_brute_force(generator):
    frames = np.random.default_rng(3).normal(size=(T, WIDTH)) + 0.5
    own, helped = by_enumeration(
        lambda hidden: np.array(
            [
                loss(frame, rebuilt) if hides else 0
                for frame, rebuilt, hides in zip(
                    frames, generator.rebuilt(frames, ~hidden), hidden, strict=True
                )
            ]
        )
    )
    losses = own_and_help.hidden_losses(generator, {}, segment_of(frames), EVERY)
    found = own_and_help.effects(EVERY, losses, VALID)
    np.testing.assert_allclose(found.own, [*own, 0, 0], atol=2e-6)
    np.testing.assert_allclose(found.help, [*helped, 0, 0], atol=2e-6)
    assert np.ptp(helped) > 0.05


def test_losses_that_add_up_have_known_effects():
    """A hidden frame loses `a[t]`, and `b[t, i]` for every other hidden frame i: its own is `a + Σ b / 2`."""
    rng = np.random.default_rng(4)
    a, b = rng.random(T), rng.normal(size=(T, T))
    np.fill_diagonal(b, 0)
    hidden = EVERY[:, :T].astype(float)
    losses = np.pad(hidden * (a + hidden @ b.T), ((0, 0), (0, 2)))
    found = own_and_help.effects(EVERY, losses.astype(np.float32), VALID)
    np.testing.assert_allclose(found.own[:T], (a + b.sum(axis=1) / 2) / T, atol=2e-6)
    np.testing.assert_allclose(found.help[:T], b.sum(axis=0) / 2 / T, atol=2e-6)


def test_random_selections_are_right_on_average_and_know_how_wrong_they_are():
    """Over many sets of selections: no bias, and errors as large as told; smaller than plain differences'."""
    rng, draws, sets = np.random.default_rng(5), 40, 600
    a, b = 1 + rng.random(T), 0.3 * rng.normal(size=(T, T))
    np.fill_diagonal(b, 0)
    hidden = (rng.random((sets, draws, LENGTH)) < 0.5) & VALID
    losses = np.zeros(hidden.shape, np.float32)
    coins = hidden[..., :T].astype(float)
    losses[..., :T] = coins * (a + coins @ b.T)
    found = jax.vmap(own_and_help.effects, (0, 0, None))(hidden, losses, VALID)
    exact = b.sum(axis=0) / 2 / T
    errors = np.asarray(found.help)[:, :T] - exact
    spread = errors.std(axis=0)
    assert np.all(np.abs(errors.mean(axis=0)) < 4 * spread / np.sqrt(sets))
    told = np.sqrt(np.asarray(found.variance)[:, :T].mean(axis=0))
    np.testing.assert_allclose(told, spread, rtol=0.25)
    own = np.asarray(found.own)[:, :T] - (a + b.sum(axis=1) / 2) / T
    assert np.all(np.abs(own.mean(axis=0)) < 4 * own.std(axis=0) / np.sqrt(sets))
    rest = losses.sum(axis=2, keepdims=True) - losses
    plain = [
        np.mean(rest[s, hidden[s, :, t], t]) - np.mean(rest[s, ~hidden[s, :, t], t])
        for s in range(sets)
        for t in range(T)
    ]
    assert np.std(np.reshape(plain, (sets, T)) / T - exact) > 3 * spread.mean()


def test_a_segment_of_one_frame_helps_nobody():
    valid = np.arange(LENGTH) < 1
    hidden = (np.random.default_rng(0).random((20, LENGTH)) < 0.5) & valid
    found = own_and_help.effects(hidden, hidden * np.float32(0.4), valid)
    np.testing.assert_allclose(found.own, [0.4] + [0] * 7, atol=1e-6)
    np.testing.assert_allclose(found.help, np.zeros(LENGTH), atol=1e-6)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A training of two seeds and two folds whose generator is done, and its workdir."""
    workdir = tmp_path_factory.mktemp('own_and_help')
    config = tiny_config(**{'generator.epochs': 1, 'seeds': (3, 4)})
    experiment = preparation.prepare(config, workdir)
    train_stage(experiment, experiment.method.stages[0], (), logs=[[workdir / 'metrics.jsonl']])
    return workdir, *scorer.load_generators(workdir)


def test_videos_are_judged_by_whom_held_them_out_over_all_their_segments(made):
    _, experiment, generator, params = made
    draws = 24
    found = own_and_help.measure_own_and_help(experiment, generator, params, draws)
    given = experiment.given
    assert set(found['videos']) == set(given.dataset.videos)
    video = max(given.dataset.videos.values(), key=lambda one: one.n_steps)
    rebuild = jax.jit(lambda own, *seen: generator.apply({'params': own}, *seen))
    runs = [i for i, one in enumerate(experiment.places) if video.key in given.folds[one.fold].test]
    assert sorted(experiment.places[i].seed for i in runs) == [3, 4]
    taus, spreads = [], []
    for run in runs:
        place, own_params = experiment.places[run], jax.tree.map(operator.itemgetter(run), params)
        trained = given.folds[place.fold].train
        frames = np.concatenate([np.asarray(given.dataset.videos[key].features) for key in trained])
        scale = 1 / np.sqrt(np.mean(np.sum(np.square(frames - frames.mean(axis=0)), axis=1)))
        own, helped, noise = ([[] for _ in range(video.n_steps)] for _ in range(3))
        for number, row in enumerate(decompose(video.n_steps, LENGTH)):
            valid, steps = row >= 0, row[row >= 0]
            n = len(steps)
            seen = np.zeros((LENGTH, frames.shape[1]), np.float32)
            seen[:n] = (video.features[steps] - frames.mean(axis=0)) * scale
            key = own_and_help.key_of(place.seed, video.key, number)
            hidden = np.asarray(jax.random.bernoulli(key, 0.5, (draws, LENGTH))) & valid
            rebuilt = [np.asarray(rebuild(own_params, seen, valid, one)) for one in hidden]
            losses = np.array(
                [
                    [loss(seen[i], of[i]) if hides[i] else 0 for i in range(n)]
                    for of, hides in zip(rebuilt, hidden, strict=True)
                ]
            )
            coins = np.column_stack([np.ones(draws), hidden[:, :n]])
            fitted = np.linalg.lstsq(coins, losses, rcond=None)[0]
            by_coin, rest = fitted[1:], losses - coins @ fitted
            inverse = np.diag(np.linalg.inv(coins.T @ coins))[1:]
            for i, step in enumerate(steps):
                own[step].append(losses[hidden[:, i], i].mean() / n)
                helped[step].append((by_coin[i].sum() - by_coin[i, i]) / n)
                of_others = np.delete(rest, i, axis=1).sum(axis=1)
                noise[step].append(inverse[i] * np.sum(of_others**2) / (draws - n - 1) / n**2)
        own, helped = (np.array([np.mean(of) for of in each]) for each in (own, helped))
        # The variance of a mean of as many as hold the frame.
        noise = np.sqrt(np.mean([np.sum(of) / len(of) ** 2 for of in noise]))
        # There are ratings, which the protocol takes before summaries.
        users = [user[video.picks] for user in video.user_scores]
        taus.append(
            [
                np.nanmean([stats.kendalltau(of, user).statistic for user in users])
                for of in (own, helped, own + helped)
            ]
        )
        spreads.append([own.std(), helped.std(), noise, np.corrcoef(own, helped)[0, 1]])
    ours = found['videos'][video.key]
    assert [ours[name] for name in ('own', 'help', 'sum')] == pytest.approx(np.mean(taus, axis=0), abs=1e-6)
    told = [ours[name] for name in ('std_own', 'std_help', 'noise_help', 'correlation')]
    assert told == pytest.approx(np.mean(spreads, axis=0), rel=2e-3)
    for name in own_and_help.SCORES:
        every = [of[name] for of in found['videos'].values()]
        assert found['rows'][name]['mean'] == pytest.approx(np.mean(every))


def test_the_command_leaves_files_and_one_table(made, tmp_path, capsys):
    workdir = made[0]
    other = tmp_path / 'other'
    # Copied, with metrics that a log may have.
    other.mkdir()
    for name in ('checkpoints', 'synthetic.h5', 'config.json', 'experiment.json'):
        if (workdir / name).exists():
            (other / name).symlink_to(workdir / name)
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text('utf-8').splitlines()]
    # Two runs; the copy is better for one.
    aside = [
        line | {'loss_aside': 0.5 + 0.1 * line['fold'], 'loss_aside_copy_nearest': 0.55} for line in lines
    ]
    (other / 'metrics.jsonl').write_text(''.join(f'{json.dumps(line)}\n' for line in aside), 'utf-8')
    command.main([f'--workdir={workdir}', f'--workdir={other}', '--draws=18'])
    text = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if '|' in line]
    head, first, second = dict(zip(rows[0], rows[0], strict=True)), *rows[2:]
    assert list(head)[:7] == ['workdir', 'generator', 'epoch', 'of', 'loss', 'copy nearest', 'on']
    assert '(synthetic data)' in text
    assert first[0] == str(workdir)
    assert second[0] == str(other)
    assert second[2:7] == ['1', '1', '0.550', '0.550', 'videos aside']
    assert first[2:4] == ['1', '1']
    assert first[6] == 'training'
    assert first[4] == f'{np.mean([line["loss"] for line in lines]):.3f}'
    # Width 6 in, 8 inside, 16 in the middle of a block, 6 out.
    inside = 6 * 8 + 8 + 4 * (8 * 8 + 8) + 4 * 8 + 8 * 16 + 16 + 16 * 8 + 8 + 8 * 6 + 6
    assert first[1] == f'8 x 1, {inside}'
    # The same generators, the same keys.
    assert first[7:] == second[7:]
    found = read_json(workdir / 'own_and_help.json')
    assert found['rows']['own']['videos'] == 6
    assert first[7].startswith(f'{found["rows"]["own"]["mean"]:.3f} [')
    assert first[10] == f'{1000 * found["rows"]["std_own"]["mean"]:.3f}'
    alone = (workdir / 'own_and_help.md').read_text('utf-8')
    assert f'| {workdir}' in alone
    # A log that is lost.
    (other / 'metrics.jsonl').unlink()
    command.main([f'--workdir={other}', '--draws=18'])
    assert f'| {other} | 8 x 1, {inside} | – | – | – |' in re.sub(' +', ' ', capsys.readouterr().out)


def test_too_few_selections_and_videos_without_people_are_told(made):
    workdir, experiment, generator, params = made
    with pytest.raises(InputError, match='--draws: expected 18 or more'):
        command.main([f'--workdir={workdir}', '--draws=17'])
    with pytest.raises(InputError, match="expected people's summaries or ratings"):
        own_and_help.measure_own_and_help(without_people(experiment), generator, params)
