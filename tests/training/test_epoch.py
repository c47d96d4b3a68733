"""What an epoch hands to its steps: fresh keys, another order each time, and how far the training is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.training import epoch
from trsum_jax.training.epoch import Stage
from trsum_jax.training.runs import Run, whole

EPOCHS = 3


def test_no_key_comes_twice_and_progress_counts_the_runs_own_steps():
    setting = Setting(tiny_config())

    def step(state, batch, *_):
        high, low = jax.random.key_data(batch.keys).T
        progress = jnp.broadcast_to(batch.progress, batch.weight.shape)
        return state, {
            'high': high,
            'low': low,
            'segment': batch.segments,
            'progress': progress,
            'squared': progress**2,
        }

    def told(draws, number, run):
        stage = Stage('recording', draws, 4, lambda *_: None, step, (), roots=('squared',))
        blank = epoch.blank_told(stage, (), setting.corpus, run, ())
        span = epoch.Span(number, 0, stage.steps(run), 0)
        return epoch.part(stage, (), blank, span, setting.corpus, run, ())[1:]

    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    # Two batches of padding at the end: this run has fewer steps than others of its grid.
    padding = 8 + -len(run.segments) % 4
    run = run._replace(segments=jnp.pad(run.segments, (0, padding)), weight=jnp.pad(run.weight, (0, padding)))
    steps = -(-int(run.weight.sum()) // 4)
    keys, orders = set(), set()
    for draws in ('generator', 'summarizer', 'rival'):
        of_epoch = jax.jit(lambda number, draws=draws: told(draws, number, run))
        for number in range(EPOCHS):
            found, means = jax.tree.map(np.asarray, of_epoch(number))
            # Padding comes last, and counts in no mean.
            own = np.arange(found.weight.size) < run.weight.sum()
            np.testing.assert_array_equal(found.weight.ravel(), own)
            told_of_own = found.metrics['progress'].ravel()[own]
            np.testing.assert_allclose(means['progress'], told_of_own.mean(), rtol=1e-5)
            np.testing.assert_allclose(means['squared'], np.sqrt((told_of_own**2).mean()), rtol=1e-5)
            high, low = (found.metrics[name][:steps].flat for name in ('high', 'low'))
            keys |= set(zip(high, low, strict=True))
            # For padding alone no step is made: its rows are as they were.
            assert not any(rows[steps:].any() for rows in found.metrics.values())
            orders.add(tuple(found.metrics['segment'][found.weight > 0]))
            expected = number + np.arange(steps) / steps
            np.testing.assert_allclose(found.metrics['progress'][:steps, 0], expected, rtol=1e-6)
    assert len(orders) == 3 * EPOCHS
    assert len(keys) == 3 * EPOCHS * steps * 4


@pytest.mark.parametrize(('batch', 'own'), [(7, 3), (15, 5), (8, 3)])
def test_a_run_of_whole_batches_makes_as_many_steps_and_no_more(batch, own):
    """21 times the float next to 1 / 7 is more than 3; another run of the grid has more batches."""
    numbers = jnp.arange((own + 2) * batch)
    run = Run(jax.random.key(0), numbers, jnp.where(numbers < own * batch, 1.0, 0.0))
    stage = Stage('counting', 'rival', batch, None, lambda state, batch, *_: (state + 1, {
        'progress': jnp.full(batch.weight.shape, batch.progress),
    }), ())  # fmt: skip
    blank = epoch.blank_told(stage, 0, (), run, ())
    span = epoch.Span(0, 0, own + 2, 0)
    state, told, _ = jax.jit(lambda run: epoch.part(stage, 0, blank, span, (), run, ()))(run)
    assert state == own
    np.testing.assert_allclose(told.metrics['progress'][:own, 0], np.arange(own) / own, rtol=1e-6)


def test_an_epoch_of_several_passes_is_told_pass_by_pass():
    """The second of two passes, of one step each: half an epoch is done before it."""
    run = Run(jax.random.key(0), jnp.arange(3), jnp.ones(3))
    stage = Stage('recording', 'rival', 4, None, lambda state, batch, *_: (state + 1, {
        'progress': jnp.full(4, batch.progress), 'segment': batch.segments,
    }), ())  # fmt: skip
    blank = epoch.blank_told(stage, 0, (), run, (), passes=2)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), blank.metrics) == {
        'progress': ((2, 4), 'float32'), 'segment': ((2, 4), 'int32'),
    }  # fmt: skip
    state, told, _ = epoch.part(stage, 0, blank, epoch.Span(11, 0, 1, 1, 2), (), run, ())
    assert state == 1
    np.testing.assert_array_equal(told.weight, [[0, 0, 0, 0], [1, 1, 1, 0]])
    np.testing.assert_array_equal(told.metrics['progress'], [[0] * 4, [5.5] * 4])
    assert sorted(told.metrics['segment'][1, :3].tolist()) == [0, 1, 2]


def test_a_stage_sees_a_part_of_a_run_or_all_and_its_end_is_told_the_span():
    aside = jnp.array([7, 8]), jnp.ones(2)
    run = Run(jax.random.key(0), jnp.arange(3), jnp.ones(3), aside=aside)

    def step(state, batch, *_):
        return state + 1, {'segment': batch.segments}

    def close(state, span, corpus, run, frozen):
        return 10 * state + span.last, {'seen at the end': corpus + run.aside[0].sum() + frozen}

    for sees, steps, segments in ((whole, 2, [0, 1, 2, 7, 8]), (lambda run: run, 1, [0, 1, 2])):
        stage = Stage('recording', 'rival', 4, None, step, (), sees=sees)
        assert stage.steps(run) == steps
        blank = epoch.blank_told(stage, 0, 100, run, ())
        for end, expected, more in ((None, steps, {}), (close, 11 * steps, {'seen at the end': 120})):
            of_end = stage._replace(close=end)
            state, told, means = epoch.part(of_end, 0, blank, epoch.Span(2, 0, steps, 0), 100, run, 5)
            assert state == expected
            assert sorted(told.metrics['segment'][told.weight > 0].tolist()) == segments
            assert means == {'segment': np.float32(np.mean(segments))} | more
    assert Stage('recording', 'rival', 4, None, step, ()).steps(run) == 2
