import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import RECIPE, Setting, tiny_config

from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.splits import Fold
from trsum_jax.errors import InputError
from trsum_jax.runtime import sharding
from trsum_jax.training import dispatches, epoch, grid, loop
from trsum_jax.training.epoch import Stage


def equal(one, other):
    chex.assert_trees_all_equal(one, other)


def run_of(tree, i):
    return jax.tree.map(lambda leaf: leaf[i : i + 1], tree)


def train_quietly(setting, stage, frozen, folder, *, epochs, log_every):
    return loop.train(
        stage, dispatches.Position(grid.init(stage, setting.runs, frozen)), setting.feed(), frozen,
        places=setting.places, mesh=sharding.one_device(), epochs=epochs, how='map',
        habits=loop.Habits(log_every, checkpoint_every=epochs, checkpoints=1, grace=30.0),
        on_metrics=lambda epoch, metrics: None, folder=folder / stage.name,
    )  # fmt: skip


@pytest.fixture(scope='module')
def setting():
    # Folds of different length, so that one of them is padded by more than a batch.
    folds = [
        Fold(('video_1', 'video_2', 'video_3', 'video_4', 'video_5'), ('video_6',)),
        Fold(('video_6',), ('video_1', 'video_2')),
    ]
    return Setting(tiny_config(), folds=folds, seeds=(0, 7))


@pytest.fixture(scope='module')
def trained(setting):
    return setting.both()


def test_run_i_of_a_grid_is_run_i_alone_bit_for_bit(setting, trained):
    lone = [Setting(setting.config, folds=[fold]) for fold in setting.folds]
    for i, place in enumerate(setting.places):
        alone = lone[place.fold]
        # The key of a run holds its seed, and its fold's number in the grid.
        runs = alone.runs._replace(key=setting.runs.key[i : i + 1])
        equal(alone.both(runs=runs), run_of(trained, i))


def test_vmapped_runs_are_mapped_runs_up_to_rounding(setting, trained):
    chex.assert_trees_all_close(setting.both(how='vmap'), trained, atol=2e-4)


def test_vmapped_and_mapped_runs_draw_the_same_actions(setting):
    frozen = setting.train(setting.stage1, epochs=1)[0].params
    _, mapped = setting.train(setting.stage2, frozen, epochs=1)
    _, vmapped = setting.train(setting.stage2, frozen, how='vmap', epochs=1)
    for name in ('reward', 'reward_std'):
        np.testing.assert_allclose(mapped[0][name], vmapped[0][name], rtol=1e-4)


@pytest.mark.parametrize('field', ['layout.microbatch', 'layout.episodes'])
def test_the_layout_changes_rounding_alone(trained, setting, field):
    value = {'layout.microbatch': 2, 'layout.episodes': 'vmap'}[field]
    other = Setting(tiny_config(**{field: value}), folds=setting.folds, seeds=(0, 7))
    chex.assert_trees_all_close(other.both(), trained, atol=2e-4)


def test_stage_2_changes_no_bit_of_the_generator_and_starts_from_it(setting, trained):
    first, _ = trained
    before = jax.tree.map(np.array, first.params)
    start = grid.init(setting.stage2, setting.runs, first.params)
    equal(start.params['encoder'], first.params['encoder'])
    end, _ = setting.train(setting.stage2, first.params)
    equal(first.params, before)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), end.params['encoder'], before['encoder'])
    assert any(jax.tree.leaves(moved))


def test_the_same_config_and_seed_give_the_same_bits(setting, trained):
    equal(Setting(setting.config, folds=setting.folds, seeds=(0, 7)).both(), trained)


def test_seeds_and_folds_draw_differently(setting):
    keys = jax.random.key_data(setting.runs.key)
    assert len({tuple(np.asarray(key)) for key in keys}) == len(setting.places)


def test_an_epoch_visits_every_segment_once():
    config = tiny_config()
    setting = Setting(config)
    run = jax.tree.map(lambda leaf: leaf[1], setting.runs)

    def step(state, batch, *_):
        return state.at[batch.segments].add(batch.weight), {'count': batch.weight}

    stage = Stage('counting', 'generator', 4, lambda *_: None, step, ())
    corpus, steps = setting.corpus, stage.steps(run)
    for number in range(3):
        visits = jnp.zeros(corpus.n_segments)
        told = epoch.blank_told(stage, visits, corpus, run, ())
        for first, last in ((0, 1), (1, steps)):
            span = epoch.Span(number, first, last, 0)
            visits, told, metrics = epoch.part(stage, visits, told, span, corpus, run, ())
        expected = np.zeros(corpus.n_segments)
        expected[np.asarray(run.segments)[np.asarray(run.weight) > 0]] = 1
        np.testing.assert_array_equal(visits, expected)
        assert float(metrics['count']) == 1


def test_a_batch_of_padding_is_no_step(setting, trained):
    # Fold 1 has one short video: most of its batches are padding, and Adam counts its steps.
    first, _ = trained
    counts = [int(state) for state in jax.tree.leaves(first.optimizer[1].count)[0]]
    batches = [int(np.ceil(np.sum(weight) / 4)) for weight in np.asarray(setting.runs.weight)]
    assert counts == [2 * n for n in batches]
    assert min(counts) < max(counts)


def test_one_trace_per_stage(setting, tmp_path):
    frozen = ()
    for stage in (setting.stage1, setting.stage2):
        traces = []
        counted = stage._replace(step=lambda *args, s=stage, t=traces: t.append(1) or s.step(*args))
        states = train_quietly(setting, counted, frozen, tmp_path, epochs=5, log_every=2)
        frozen = states.params
        assert len(traces) == 1


def test_on_a_still_video_the_trivial_reconstructions_are_perfect_and_the_untrained_one_is_not():
    still = [
        dataclasses.replace(video, features=np.repeat(video.features[:1], video.n_steps, axis=0))
        for video in generate(Recipe(**RECIPE))
    ]
    setting = Setting(tiny_config(), videos=still)
    _, history = setting.train(setting.stage1, epochs=1)
    np.testing.assert_allclose(history[0]['loss_segment_mean'], 0, atol=1e-5)
    np.testing.assert_allclose(history[0]['loss_copy_nearest'], 0, atol=1e-5)
    assert np.all(history[0]['loss'] > 0.01)


def test_a_loss_that_is_not_finite_stops_and_names_the_run(tmp_path):
    config = tiny_config(**{'generator.learning_rate': 1e30, 'generator.warmup': 0.0})
    setting = Setting(config, seeds=(4,))
    with pytest.raises(InputError, match=r'generator, epoch \d+: loss is nan in seed 4, fold 0.*none yet'):
        train_quietly(setting, setting.stage1, (), tmp_path, epochs=6, log_every=3)


def test_parameters_that_are_not_finite_after_the_last_step_stop_too(tmp_path):
    """The last step's metrics are taken before its update."""
    config = tiny_config()
    # One step of -rate * (1 + decay * 1) on a norm's scale of 1: beyond float32.
    config.generator.update({'learning_rate': 1e38, 'weight_decay': 10.0, 'warmup': 0.0, 'batch': 64})
    setting = Setting(config)
    with pytest.raises(InputError, match='a parameter is nan'):
        train_quietly(setting, setting.stage1, (), tmp_path, epochs=1, log_every=1)


@pytest.mark.parametrize('how', ['map', 'vmap'])
def test_learning_raises_the_reward_and_lowers_the_loss(how):
    config = tiny_config(**{
        'generator.epochs': 30, 'generator.learning_rate': 3e-3, 'summarizer.episodes': 8,
        'summarizer.epochs': 30, 'summarizer.learning_rate': 3e-3, 'summarizer.share': 0.9,
    })  # fmt: skip
    setting = Setting(config)
    first, losses_of = setting.train(setting.stage1, how=how, epochs=30)
    assert np.all(losses_of[-1]['loss'] < 0.9 * losses_of[0]['loss'])
    # A length share of .9 pulls p up, and with more frames kept the composed reward must rise.
    _, rewards = setting.train(setting.stage2, first.params, how=how, epochs=30)
    assert np.all(rewards[-1]['p_mean'] > rewards[0]['p_mean'] + 0.1)
    assert np.all(rewards[-1]['reward'] > rewards[0]['reward'])


def test_how_long_it_takes_is_said_once_it_is_known(monkeypatch):
    """Of 100 epochs of 10 steps; the first step is done, the next one waits 5 s for its data."""
    now = iter([0.0, 5.0, 6.0])
    monkeypatch.setattr(loop.time, 'perf_counter', lambda: next(now))
    pace, said = loop._Pace(40.0, 10), []
    for at in ((0, 1, 0), (0, 2, 1), (0, 3, 1)):
        pace.note(dispatches.Position(None, None, *at))
        said.append(pace.announcement(100, 'generator'))
    # One step in 6 s: 998 are left.
    assert said == ['', '', 'generator: about 1:39:48 left, as measured on its first 6 s']
