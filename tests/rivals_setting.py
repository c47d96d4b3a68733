"""A rival in a grid at toy size, as `tiny.Setting` is for TR-SUM."""

import functools
import importlib
import types

import numpy as np
import programs
from tiny import RECIPE, tiny_config

from benchmarks.whole_epoch import compile_epoch
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.splits import Fold
from trsum_jax.experiment.config import dtype_here
from trsum_jax.training import corpus, grid, runs

# Of different length, so that one is padded.
FOLDS = [
    Fold(('video_1', 'video_2', 'video_3', 'video_4'), ('video_5', 'video_6')),
    Fold(('video_5', 'video_6'), ('video_1',)),
]
TOY = {'drdsn.width': 4, 'drdsn.learning_rate': 1e-2}


class RivalSetting:
    """The parts of a rival's experiment."""

    def __init__(self, method, seeds=(0,), folds=FOLDS, longest=0, videos=None, **flat):
        self.config = tiny_config(method=method, **TOY | flat)
        self.videos = videos or generate(Recipe(**RECIPE))
        keys = [video.key for video in self.videos]
        longest = longest or max(video.n_steps for video in self.videos)
        self.corpus = corpus.build(self.videos, longest, ('sequential',))
        self.places = runs.places(seeds, len(folds))
        self.runs = runs.make_runs(self.places, folds, keys, self.corpus)
        width = self.videos[0].features.shape[1]
        fields, scale = types.SimpleNamespace(**self.config[method]), width**0.5
        dtype = dtype_here(self.config.model.dtype)
        build = importlib.import_module(f'trsum_jax.rivals.{method}.training').build
        self.module, stage = build(fields, width, len(keys), dtype=dtype, scale=scale)
        self.stage = programs.traced_once(stage)
        self.epoch = functools.cache(lambda how: compile_epoch(self.stage, how))

    def train(self, epochs=2, runs=None, how='map'):
        """States and the metrics of every epoch, [epochs][name][R]."""
        runs = self.runs if runs is None else runs
        states, history = grid.init(self.stage, runs, ()), []
        step = self.epoch(how)
        for number in range(epochs):
            states, metrics = step(states, number, self.corpus, runs, ())
            history.append({name: np.asarray(value) for name, value in metrics.items()})
        return states, history
