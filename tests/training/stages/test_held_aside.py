"""What stage 1 keeps: the epoch of the least loss on training videos that it does not train on."""

import dataclasses
import json
import operator

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stopping
from tiny import Setting, tiny_config

from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.splits import Fold
from trsum_jax.data.standard import Standard
from trsum_jax.errors import Preempted
from trsum_jax.experiment.run import run_experiment
from trsum_jax.method import masking
from trsum_jax.results import filenames
from trsum_jax.runtime import checkpoint
from trsum_jax.training import corpus, runs, trsum
from trsum_jax.training.epoch import Span
from trsum_jax.training.stages import held_aside
from trsum_jax.training.stages.held_aside import Kept

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_drawn')
VIDEOS = generate(Recipe(videos=8, width=6, steps=(7, 20), shot_steps=(2, 5), pool=20, users=3, seed=3))
KEYS = [video.key for video in VIDEOS]
# Six and seven training videos: of each run one is held aside.
FOLDS = [Fold(tuple(KEYS[:6]), tuple(KEYS[6:])), Fold(tuple(KEYS[1:]), (KEYS[0],))]
# Rates at which the loss rises and falls.
FIELDS = {'generator.learning_rate': 0.05, 'generator.epochs': 12, 'data.standardize': False}
EPOCHS = 8


def setting(videos=VIDEOS, share=0.2, **fields):
    made = Setting(tiny_config(**FIELDS | fields), videos=videos, folds=FOLDS)
    made.runs = runs.make_runs(made.places, FOLDS, KEYS, made.corpus, made.mesh, aside=share)
    return made


def aside_of(run, number):
    """The videos of a run that are held aside, and their segments."""
    segments, weight = (np.asarray(leaf)[number] for leaf in run.aside)
    return segments[weight > 0]


@pytest.fixture(scope='module')
def plain():
    return setting()


@pytest.fixture(scope='module')
def trained(plain):
    return plain.train(plain.stage1, epochs=EPOCHS)


def test_what_is_held_aside_by_hand():
    trained = np.zeros((3, 12), bool)
    trained[0, :5], trained[1, 2:], trained[2, 2:] = True, True, True
    places = [runs.Place(3, 0), runs.Place(3, 1), runs.Place(4, 1)]
    kept = runs.held_aside(places, trained, 0.2)
    assert kept.sum(axis=1).tolist() == [1, 2, 2]
    assert not (kept & ~trained).any()
    assert (runs.held_aside(places[1:], trained[1:], 0.2) == kept[1:]).all()
    assert (runs.held_aside(places, trained, 0.1).sum(axis=1) == 1).all()
    assert not runs.held_aside(places, trained, 0.0).any()
    # Over seeds every video has its turn.
    many = [runs.Place(seed, 0) for seed in range(60)]
    turns = runs.held_aside(many, np.repeat(trained[1:2], 60, axis=0), 0.2).sum(axis=0)
    assert turns.sum() == 120
    assert (turns[2:] > 0).all()
    trained[0, 0] = False
    assert not runs.held_aside(places, trained, 0.5).any()


def test_stage_1_trains_on_the_others_and_stage_2_on_all(plain):
    all_segments = runs.make_runs(plain.places, FOLDS, KEYS, plain.corpus, plain.mesh)
    whole = runs.whole(plain.runs)
    for i in range(len(FOLDS)):
        held = aside_of(plain.runs, i)
        assert len({*np.asarray(plain.corpus.video)[held].tolist()}) == 1
        own, both, every = (
            np.asarray(run.segments)[i][np.asarray(run.weight)[i] > 0].tolist()
            for run in (plain.runs, whole, all_segments)
        )
        assert not {*own} & {*held.tolist()}
        assert sorted(both) == sorted([*own, *held.tolist()]) == every
    assert plain.stage1.sees(plain.runs).segments.shape == plain.runs.segments.shape
    assert plain.stage2.sees(plain.runs).segments.shape == whole.segments.shape


def test_what_is_learned_does_not_depend_on_what_is_held_aside_and_what_is_kept_does(plain, trained):
    # Another video of the same length in the place of the one that run 0 holds aside.
    number = int(np.asarray(plain.corpus.video)[aside_of(plain.runs, 0)[0]])
    other = np.random.default_rng(5).normal(size=VIDEOS[number].features.shape).astype(np.float32)
    videos = [*VIDEOS[:number], dataclasses.replace(VIDEOS[number], features=other), *VIDEOS[number + 1 :]]
    changed = setting(videos)
    states, history = changed.train(changed.stage1, epochs=EPOCHS)
    for one, two in zip(jax.tree.leaves(states.learner), jax.tree.leaves(trained[0].learner), strict=True):
        np.testing.assert_array_equal(one[0], two[0])
    for name in ('loss', 'loss_copy_nearest'):
        assert [now[name][0] for now in history] == [before[name][0] for before in trained[1]]
    assert history[0]['loss_aside'][0] != trained[1][0]['loss_aside'][0]


def test_validation_videos_choose_the_epoch(plain, trained):
    """What a run without them holds aside, named for validation instead: the very same states and losses."""
    video = np.asarray(plain.corpus.video)
    named = []
    for i, fold in enumerate(FOLDS):
        key = KEYS[video[aside_of(plain.runs, i)[0]]]
        named.append(Fold(tuple(k for k in fold.train if k != key), fold.test, (key,)))
    judged = runs.make_runs(plain.places, named, KEYS, plain.corpus, plain.mesh, aside=0.2)
    states, history = plain.train(plain.stage1, epochs=2, runs=judged)
    for now, before in zip(history, trained[1], strict=False):
        for name in ('loss', 'loss_aside'):
            np.testing.assert_allclose(now[name], before[name], rtol=1e-5)
    assert isinstance(states, Kept)
    # And the second stage does not get them back.
    assert plain.stage2.sees(judged).segments.shape == judged.segments.shape


def test_the_epoch_of_the_least_loss_is_kept(plain, trained):
    states, history = trained
    losses = np.array([metrics['loss_aside'] for metrics in history])
    best = losses.argmin(axis=0)
    # Else the test would say nothing.
    assert (best < EPOCHS - 1).all()
    np.testing.assert_array_equal(states.loss, losses.min(axis=0))
    np.testing.assert_array_equal(history[-1]['epochs_since_best'], EPOCHS - 1 - best)
    for i, epoch in enumerate(best):
        until, _ = plain.train(plain.stage1, epochs=int(epoch) + 1)
        for kept, then in zip(
            jax.tree.leaves(states.params), jax.tree.leaves(until.learner.params), strict=True
        ):
            np.testing.assert_array_equal(kept[i], then[i])


def test_the_losses_on_what_is_held_aside_by_hand(plain, trained):
    states, history = trained
    settings, dataset = plain.bound.first, plain.corpus
    for i in range(len(FOLDS)):
        key = runs.stream(plain.runs.key[i], 'aside')
        params = by_hand.exact(jax.tree.map(operator.itemgetter(i), states.learner.params))
        losses = []
        for number in aside_of(plain.runs, i):
            one = corpus.gather(dataset, number)
            n = int(np.asarray(one.valid).sum())
            keys = jax.random.split(jax.random.fold_in(key, number), 3)
            window = settings.windows(keys[0], one.valid, one.shot, settings.numbers)
            fate = masking.corrupt(keys[1], window, one.n_steps, mask=0.8, replace=0.1)
            first, frames = int(one.first), np.asarray(one.frames, np.float64)[:n]
            others = np.asarray(dataset.frames, np.float64)[first + np.asarray(fate.source)[:n]]
            shown = np.where(np.asarray(fate.replaced)[:n, None], others, frames)
            masked, wanted = np.asarray(fate.masked)[:n], np.asarray(window)[:n] >= 0
            rebuilt = by_hand.generator(params, shown, masked, scale=6**0.5)
            losses.append(by_hand.frame_losses(frames, rebuilt)[wanted].mean())
        np.testing.assert_allclose(history[-1]['loss_aside'][i], np.mean(losses), rtol=1e-5)


def test_nothing_is_dropped_out_where_it_is_judged_and_the_masks_stay(plain):
    dropping = setting(**{'model.dropout': 0.5, 'generator.learning_rate': 1e-12})
    _, history = dropping.train(dropping.stage1, epochs=2)
    assert (history[0]['loss'] != history[1]['loss']).all()
    np.testing.assert_allclose(history[0]['loss_aside'], history[1]['loss_aside'], rtol=1e-6)


def test_after_its_patience_a_run_stays_as_it_is(plain):
    impatient = setting(**{'generator.patience': 1})
    states, history = impatient.train(impatient.stage1, epochs=EPOCHS)
    since = np.array([metrics['epochs_since_best'] for metrics in history])
    assert (since[-1] == 1).all()
    for i in range(len(FOLDS)):
        end = int(np.flatnonzero(since[:, i] == 1)[0]) + 1
        until, _ = plain.train(plain.stage1, epochs=end)
        for one, two in zip(jax.tree.leaves(states), jax.tree.leaves(until), strict=True):
            np.testing.assert_array_equal(one[i], two[i])


def test_what_is_judged_is_seen_as_its_run_sees_it(plain, monkeypatch):
    """By its standard, and with numbers of its own."""

    def told(judge, params, batch, keys, corpus, numbers):
        of_each = batch.frames.sum(axis=(1, 2)), numbers.mask, numbers.replace
        values = (jnp.broadcast_to(one, len(keys)) for one in of_each)
        return None, dict(zip(trsum.LOSSES, values, strict=True))

    monkeypatch.setattr(trsum, 'reconstruction_losses', told)
    standard = Standard(jnp.arange(6.0), jnp.float32(2.0))
    run = jax.tree.map(lambda leaf: leaf[0], plain.runs)
    run = run._replace(standard=standard, dials={'masking.mask': jnp.float32(0.25)})
    found = held_aside._judged(plain.bound.first, None, plain.corpus, run)
    segments, corpus = aside_of(plain.runs, 0), jax.tree.map(np.asarray, plain.corpus)
    frames = corpus.frames[corpus.index[segments]][corpus.valid[segments]]
    count, replace = len(segments), plain.config.masking.replace
    expected = [2 * (frames - np.arange(6)).sum(), 0.25 * count, replace * count, count]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_is_kept_by_hand(monkeypatch):
    stage = setting(**{'generator.patience': 2, 'model.dropout': 0.5}).bound.stages[0]
    run = runs.Run(None, np.zeros(7, np.int32), np.ones(7, np.float32), aside=(np.zeros(1), np.ones(1)))
    steps = stage.steps(run)
    found = []

    def given(judge, params, corpus, run):
        assert judge.generator.encoder.config.dropout == 0.0
        return found[0]

    monkeypatch.setattr(held_aside, '_judged', given)

    @jax.jit
    def closed(state, params, sums, row, last, passes):
        """The end of a span, with what is judged given."""
        found[:] = [sums]
        state = state._replace(learner=trsum.GeneratorState(params, ()))
        return stage.close(state, Span(0, 0, last, row, passes), None, run, ())

    def after(state, name, losses, row=0, last=steps, passes=1, segments=2.0):
        sums = np.array([*(segments * np.array(losses)), segments], np.float32)
        state, told = closed(state, name, sums, row, last, passes)
        names = ('loss_aside', 'loss_aside_segment_mean', 'loss_aside_copy_nearest')
        assert set(told) == {*names, 'epochs_since_best'}
        assert told['epochs_since_best'] == state.since
        return state, [told[name].item() for name in names], (state.params.item(), state.loss.item())

    state = Kept(np.float32(0), np.float32(np.inf), np.int32(0), np.zeros(4, np.float32), None)
    state, told, kept = after(state, 1.0, [2, 8, 9])
    assert (told, kept, state.since) == ([2, 8, 9], (1, 2), 0)
    for name, loss in ((2.0, 3), (3.0, 1)):  # worse, and better again
        state, told, kept = after(state, name, [loss, 0, 0])
        assert told == [loss, 0, 0]
    assert (kept, state.since) == ((3, 1), 0)
    # Of two chunks the first is added, and not judged by; in the midst of a pass nothing is.
    half, told, kept = after(state, 4.0, [0, 4, 8], passes=2)
    assert (told, kept, half.since) == ([0, 4, 8], (3, 1), 0)
    same, _, kept = after(half, 5.0, [0, 0, 0], row=steps, last=steps - 1, passes=2)
    assert (kept, same.sums.tolist()) == ((3, 1), half.sums.tolist())
    both, told, kept = after(half, 5.0, [0.75, 1, 2], row=steps, passes=2, segments=6.0)
    assert (told, kept, both.since) == ([0.5625, 1.75, 3.5], (5, 0.5625), 0)
    # As good is not better. After two epochs without a better one nothing counts any more.
    for since in (1, 2, 2):
        state, _, kept = after(state, 6.0, [1 if since == 1 else 2, 0, 0])
        assert (kept, state.since) == ((3, 1), since)
    state, _, kept = after(state, 7.0, [0.5, 0, 0])
    assert (kept, state.since) == ((3, 1), 2)
    # Of nothing the sums are over one.
    empty, told, _ = after(half, 8.0, [0.5, 1, 2], segments=0.5)
    assert told == [0.25, 0.5, 1]
    assert empty.loss == 0.25


def test_with_nothing_aside_it_is_the_stage_of_the_core():
    bare = setting(share=0.0)
    states, history = bare.train(bare.stage1, epochs=1)
    assert not isinstance(states, Kept)
    assert 'loss_aside' not in history[0]


def test_of_chunks_each_is_judged_at_the_end_of_its_pass(plain):
    stage, run = plain.stage1, jax.tree.map(lambda leaf: leaf[0], plain.runs)
    start = stage.init(run, ())
    assert (start.loss, start.since, start.sums.tolist()) == (np.inf, 0, [0.0] * 4)
    steps = stage.steps(run)

    def closed(state, row):
        span = Span(number=0, first=0, last=steps, row=row, passes=2)
        return jax.jit(lambda state: stage.close(state, span, plain.corpus, run, ()))(state)

    half, told = closed(start, 0)
    assert np.isinf(half.loss)
    done, last = closed(half, steps)
    # The same chunk twice: their mean is that of either.
    np.testing.assert_allclose([done.loss, last['loss_aside']], told['loss_aside'], rtol=1e-6)
    np.testing.assert_allclose(done.sums, 2 * np.asarray(half.sums), rtol=1e-6)
    again, _ = closed(done, 0)
    np.testing.assert_array_equal(again.sums, half.sums)


def test_a_stage_that_ends_early_is_done_and_continues_to_the_same_bytes(tmp_path, monkeypatch):
    fields = FIELDS | {'generator.epochs': 40, 'generator.patience': 2, 'summarizer.epochs': 1}
    config = tiny_config(**fields, **{'data.folds': 2, 'data.synthetic.videos': 12, 'layout.log_every': 7})
    run_experiment(config, tmp_path / 'in_peace')
    with monkeypatch.context() as patch:
        stopping.stop_after(patch, epochs=3)
        with pytest.raises(Preempted, match='is saved after epoch'):
            run_experiment(config, tmp_path / 'stopped')
    text = run_experiment(config, tmp_path / 'stopped')
    logs = [(tmp_path / name / filenames.METRICS).read_text() for name in ('in_peace', 'stopped')]
    assert logs[0] == logs[1]
    lines = [json.loads(line) for line in logs[0].splitlines()]
    last = [line for line in lines if line['stage'] == 'generator'][-2:]
    assert all(line['epochs_since_best'] == 2 for line in last)
    assert last[0]['epoch'] < 40
    saved = tmp_path / 'stopped' / filenames.CHECKPOINTS / 'generator'
    assert checkpoint.whole(saved)[-1] == 40
    assert run_experiment(config, tmp_path / 'stopped') == text
    # A longer training finds its generator done.
    config.summarizer.epochs = 2
    assert run_experiment(config, tmp_path / 'stopped')
