"""Dropout reaches the training of both stages, with a draw of its own for every segment."""

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Setting, tiny_config

from trsum_jax.training.epoch import Batch

# All frames are hidden candidates whatever is drawn, so that the loss depends on nothing else that is random.
ALL_HIDDEN = {'masking.mask_ratio': 1.0, 'masking.window_ratio': 1.0, 'masking.mask': 1.0}


@pytest.mark.parametrize(('stage', 'metric'), [('stage1', 'loss'), ('stage2', 'p_mean')])
def test_what_is_dropped_depends_on_the_segments_key_alone(stage, metric):
    config = tiny_config(**ALL_HIDDEN, **{'model.dropout': 0.5, 'decomposition.length': 6})
    setting = Setting(config, videos=by_hand.videos())
    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    one, other, third = jax.random.split(jax.random.key(0), 3)
    batch = Batch(jnp.full(4, 6), jnp.ones(4), jnp.stack([one, other, third, one]), jnp.float32(1))

    @jax.jit
    def told(run):
        frozen, stages = (), {'stage1': setting.stage1, 'stage2': setting.stage2}
        if stage == 'stage2':
            frozen = setting.stage1.init(run, ()).params
        state = stages[stage].init(run, frozen)
        # The score's weights are tiny at first.
        state = state._replace(params=jax.tree.map(lambda leaf: 3 * leaf, state.params))
        return stages[stage].step(state, batch, setting.corpus, run, frozen)[1][metric]

    found = np.asarray(told(run))
    assert found[3] == found[0]
    assert len(np.unique(np.round(found, 4))) == 3
