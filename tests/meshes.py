"""Run on eight devices by test_sharding.py: trains a toy grid on several meshes and keeps all that happened.

python tests/meshes.py FILE
"""

import pathlib
import pickle
import sys

import jax
import numpy as np
from tiny import Setting, tiny_config

from benchmarks.whole_epoch import compile_epoch
from trsum_jax.method import episodes, masking
from trsum_jax.runtime import sharding
from trsum_jax.training import grid, scoring

MESHES = ((1, 1), (8, 1), (2, 4), (1, 8))
# Five runs fill no mesh, and on (2, 4) a device has three; one of them is trained alone where all devices
# share its batches, as they do where there is one run.
TRAINED = (*((shape, 5) for shape in MESHES), ((1, 8), 1))
EPOCHS = 2
_drawn: dict[str, dict[bytes, bytes]] = {'actions': {}, 'masks': {}}


def config():
    """Batches of eight: every mesh divides them. Five folds."""
    return tiny_config(**{'model.layers': 1, 'generator.batch': 8, 'summarizer.batch': 8, 'data.folds': 5})


def record():
    """Keeps every draw under its key, from within the compiled programs."""

    def keep(what, key, drawn):
        _drawn[what][np.asarray(key).tobytes()] = np.asarray(drawn).tobytes()

    def sample(key, logits, valid, n_episodes, original=episodes.sample):
        actions = original(key, logits, valid, n_episodes)
        jax.debug.callback(keep, 'actions', jax.random.key_data(key), actions)
        return actions

    def corrupt(key, window, n_steps, original=masking.corrupt, **options):
        fate = original(key, window, n_steps, **options)
        jax.debug.callback(keep, 'masks', jax.random.key_data(key), fate.masked)
        return fate

    episodes.sample, masking.corrupt = sample, corrupt


def train(shape, runs):
    """Both stages of a grid on a mesh: the runs' states, metrics and scores; the draws; the programs."""
    for drawn in _drawn.values():
        drawn.clear()
    setting = Setting(config(), mesh=sharding.make_mesh(shape), only=runs)
    first, history1, text1 = run(setting, setting.stage1, ())
    second, history2, text2 = run(setting, setting.stage2, first.params)
    importance = scoring.jit_over_runs(
        lambda params, corpus: scoring.importance(setting.summarizer, params, corpus), 'map', setting.mesh
    )
    scores = importance(second.params, setting.corpus)
    jax.effects_barrier()
    found = {'first': first.params, 'second': second, 'scores': scores}
    found = jax.tree.map(lambda leaf: np.asarray(leaf)[:runs], found)
    metrics = jax.tree.map(lambda leaf: leaf[:runs], (history1, history2))
    frames = setting.corpus.frames
    program = {
        'texts': [text1, text2],
        'devices': np.vectorize(lambda device: device.id)(setting.mesh.devices),
        'frames': frames.shape,
        'parts': [part.data.shape for part in frames.addressable_shards],
        'parameters': [
            sum(leaf[0].size for leaf in jax.tree.leaves(params)) for params in (first.params, second.params)
        ],
    }
    return found, metrics, {what: dict(drawn) for what, drawn in _drawn.items()}, program


def run(setting, stage, frozen):
    """States, the metrics of every epoch, and the text of the compiled epoch."""
    states, history = grid.init(stage, setting.runs, frozen, setting.mesh), []
    arguments = setting.corpus, setting.runs, frozen
    epoch = compile_epoch(stage, 'map', setting.mesh).lower(states, np.int32(0), *arguments).compile()
    for number in range(EPOCHS):
        states, metrics = epoch(states, np.int32(number), *arguments)
        history.append({name: np.asarray(value) for name, value in metrics.items()})
    return states, history, epoch.as_text()


def main():
    """Everything, into one file."""
    record()
    trained = {(shape, runs): train(shape, runs) for shape, runs in TRAINED}
    pathlib.Path(sys.argv[1]).write_bytes(pickle.dumps(trained))


if __name__ == '__main__':
    main()
