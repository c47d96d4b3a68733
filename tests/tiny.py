"""A config and data so small that both stages train within seconds."""

import dataclasses
import functools
import pathlib

import ml_collections
import numpy as np
import programs

from benchmarks.whole_epoch import compile_epoch
from configs import default
from trsum_jax.data import datasets
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.splits import disjoint_folds
from trsum_jax.experiment.config import bind
from trsum_jax.runtime import sharding
from trsum_jax.training import corpus, feed, grid, runs

RECIPE = {'videos': 6, 'width': 6, 'steps': (10, 24), 'shot_steps': (2, 5), 'pool': 20, 'users': 3, 'seed': 3}


def shorten(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Any config at toy size: same choices, small model, few epochs."""
    config.decomposition.length = 8
    config.model.update({'width': 8, 'heads': 2, 'feed_forward': 16, 'layers': 1, 'dtype': 'float32'})
    config.masking.fixed_length = 2
    config.generator.update({'epochs': 2, 'batch': 4})
    config.summarizer.update({'epochs': 2, 'batch': 4})
    config.drdsn.update({'epochs': 2, 'width': 4})
    config.acsumgan.update(
        {'epochs': 2, 'batch': 2, 'width': 4, 'layers': 1, 'fragments': 4, 'picks': 2, 'actor_width': 8}
    )
    config.evaluation.update({'random_draws': 2, 'untrained_heads': 2})
    config.layout.log_every = 1
    return config


def tiny_config(**flat) -> ml_collections.ConfigDict:
    """The preset `reconstruction` at toy size on toy data, with fields such as `summarizer.episodes` set."""
    config = shorten(default.get_config('reconstruction'))
    config.data.generate = True
    config.data.synthetic.update(RECIPE)
    config.data.folds = 2
    config.update_from_flattened_dict(flat)
    return config


def write_data(folder: pathlib.Path) -> pathlib.Path:
    """The toy data as a file of its own: where it stands is in the results."""
    path = folder / 'data.h5'
    datasets.write_dataset(path, generate(Recipe(**RECIPE)), synthetic=True)
    return path


def without_people(experiment):
    """The same experiment, on the same videos that nobody has judged."""
    given = experiment.given
    alone = {
        key: dataclasses.replace(video, user_summary=None, user_scores=None)
        for key, video in given.dataset.videos.items()
    }
    given = dataclasses.replace(given, dataset=dataclasses.replace(given.dataset, videos=alone))
    return dataclasses.replace(experiment, given=given)


def get_config() -> ml_collections.ConfigDict:
    """For the command: `--config=tests/tiny.py`, with `tests` on the path."""
    return tiny_config()


class Setting:
    """The parts of an experiment, for tests of the compiled program."""

    def __init__(self, config, videos=None, folds=None, seeds=(0,), mesh=None, only=None):
        self.config = config
        self.mesh = mesh or sharding.one_device()
        shards = self.mesh.shape[sharding.DATA]
        self.videos = videos if videos is not None else generate(Recipe(**RECIPE))
        keys = [video.key for video in self.videos]
        self.folds = folds or disjoint_folds(keys, config.data.folds, 0)
        width = self.videos[0].features.shape[1]
        self.corpus = corpus.build(
            self.videos, config.decomposition.length, tuple(config.decomposition.views), self.mesh
        )
        self.places = runs.places(seeds, len(self.folds))[:only]
        own = self.videos if config.data.standardize else None
        self.runs = runs.make_runs(self.places, self.folds, keys, self.corpus, self.mesh, videos=own)
        self.bound = bind(config, width, len(keys), shards)
        self.generator, self.summarizer = self.bound.generator, self.bound.summarizer
        self.stage1, self.stage2 = map(programs.traced_once, self.bound.stages)
        # It does not hold the setting, so that programs go with their last user.
        self.epoch = functools.cache(functools.partial(compile_epoch, mesh=self.mesh))

    def feed(self):
        """The same as an experiment is fed with."""
        decomposition = self.config.decomposition
        views = tuple(decomposition.views)
        segments = self.videos, decomposition.length, views, self.places, self.folds, self.mesh
        return feed.Whole(*segments, standardize=self.config.data.standardize)

    def train(self, stage, frozen=(), how='map', epochs=2, runs=None):
        """States and the metrics of every epoch, [epochs][name][R]."""
        runs = self.runs if runs is None else runs
        states, history = grid.init(stage, runs, frozen, self.mesh), []
        step = self.epoch(stage, how)
        for number in range(epochs):
            states, metrics = step(states, number, self.corpus, runs, frozen)
            history.append({name: np.asarray(value) for name, value in metrics.items()})
        return states, history

    def both(self, **options):
        """The states of stage 1 and stage 2."""
        first, _ = self.train(self.stage1, **options)
        second, _ = self.train(self.stage2, first.params, **options)
        return first, second
