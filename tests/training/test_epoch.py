"""What an epoch hands to its steps: fresh keys, another order each time, and how far the training is."""

import jax
import jax.numpy as jnp
import numpy as np
from tiny import Setting, tiny_config

from trsum_jax.training import epoch
from trsum_jax.training.epoch import Stage

EPOCHS = 3


def test_no_key_comes_twice_and_progress_counts_the_runs_own_steps():
    setting = Setting(tiny_config())

    def step(state, batch, *_):
        high, low = jax.random.key_data(batch.keys).T
        progress = jnp.broadcast_to(batch.progress, batch.weight.shape)
        return state, {'high': high, 'low': low, 'segment': batch.segments, 'progress': progress}

    def told(draws, number, run):
        stage = Stage('recording', draws, 4, lambda *_: None, step, ())
        blank = epoch.blank_told(stage, (), setting.corpus, run, ())
        span = epoch.Span(number, 0, stage.steps(run), 0)
        return epoch.part(stage, (), blank, span, setting.corpus, run, ())[1]

    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    # Two batches of padding at the end: this run has fewer steps than others of its grid.
    padding = 8 + -len(run.segments) % 4
    run = run._replace(segments=jnp.pad(run.segments, (0, padding)), weight=jnp.pad(run.weight, (0, padding)))
    steps = -(-int(run.weight.sum()) // 4)
    keys, orders = set(), set()
    for draws in ('generator', 'summarizer', 'rival'):
        of_epoch = jax.jit(lambda number, draws=draws: told(draws, number, run))
        for number in range(EPOCHS):
            found = jax.tree.map(np.asarray, of_epoch(number))
            keys |= set(zip(found.metrics['high'].flat, found.metrics['low'].flat, strict=True))
            orders.add(tuple(found.metrics['segment'][found.weight > 0]))
            expected = number + np.arange(steps) / steps
            np.testing.assert_allclose(found.metrics['progress'][:steps, 0], expected, rtol=1e-6)
    assert len(orders) == 3 * EPOCHS
    assert len(keys) == 3 * EPOCHS * found.weight.size
