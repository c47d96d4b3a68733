"""The real task: frames of a video are selected, and a frozen generator rebuilds the rest."""

import dataclasses
import functools
import operator
import pathlib
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.experiment import check, preparation, scorer, workdirs
from trsum_jax.experiment.bench import trials
from trsum_jax.experiment.config import bind
from trsum_jax.experiment.preparation import Experiment
from trsum_jax.experiment.run import train_stage
from trsum_jax.method.estimators import Outcome
from trsum_jax.results import filenames
from trsum_jax.runtime import compilation, locking, processes
from trsum_jax.training import runs, trsum
from trsum_jax.training.corpus import Corpus, Segment, gather


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=('corpus', 'generator', 'segments'),
    meta_fields=('outcome',),
)
@dataclasses.dataclass(frozen=True)
class Selection:
    """One run's stage 2. A state is the number of a segment, an int32 scalar.

    Attributes:
        corpus: all segments, as the run sees them.
        generator: its frozen parameters.
        segments: [M] int32, those of the run's training videos.
        outcome: (generator's parameters, segment, action [L] bool) -> `Outcome`, as `trsum.outcome_of`.
    """

    corpus: Corpus
    generator: Any
    segments: jax.Array
    outcome: Callable[[Any, Segment, jax.Array], Outcome]

    def reset(self, key: chex.PRNGKey) -> jax.Array:
        """Any training segment, each as likely."""
        return jax.random.choice(key, self.segments)

    def observe(self, state: jax.Array) -> jax.Array:
        """What there is to see of a segment.

        Args:
            state: int32 scalar.

        Returns:
            [L, D + 1] float32: the frames as the summarizer sees them, and 1 where there is one, 0 at
            padding, where the features are 0 too.
        """
        segment = gather(self.corpus, state)
        return jnp.concatenate([segment.frames, segment.valid[:, None].astype(jnp.float32)], axis=1)

    def reward(self, state: jax.Array, actions: jax.Array) -> jax.Array:
        """What selections of a segment earn, by the reward of the config.

        Args:
            state: int32 scalar.
            actions: [N, L] bool; padding is never selected, whatever stands there.

        Returns:
            [N] float32.
        """
        chex.assert_rank(actions, 2)
        segment = gather(self.corpus, state)
        taken = actions.astype(bool) & segment.valid[None]
        return jax.vmap(self.outcome, (None, None, 0))(self.generator, segment, taken).rewards


def of_workdir(workdir: str | pathlib.Path, run: int = 0) -> Selection:
    """The task of a training whose generators are done.

    Args:
        workdir: of the main job.
        run: which of its runs, from 0: seed by seed, in each fold by fold.

    Returns:
        The task.

    Raises:
        InputError: as `scorer.load_generators`; no such run; data that are read in chunks.
    """
    experiment, _, params = scorer.load_generators(pathlib.Path(workdir))
    return _of_run(experiment, params, run)


def of_config(config: ml_collections.ConfigDict, workdir: str | pathlib.Path, run: int = 0) -> Selection:
    """The task of a config, such as the demo's on made data: its generators are trained first.

    Args:
        config: the whole config.
        workdir: keeps the training; what is done there already is not done again.
        run: as for `of_workdir`.

    Returns:
        The task.

    Raises:
        InputError: a config that cannot run, a workdir of another one or in use; as `of_workdir`.
    """
    workdir = pathlib.Path(workdir)
    check.check(config)
    trials.try_functions(config)
    compilation.remember()
    with locking.held(workdir):
        workdirs.refuse_another(config, workdir)
        experiment = preparation.prepare(config, workdir)
        first = experiment.method.stages[0]
        states = train_stage(experiment, first, (), logs=[[workdir / filenames.METRICS]])
    return _of_run(experiment, states.params, run)


def _of_run(experiment: Experiment, params: Any, run: int) -> Selection:
    config, places = experiment.config, experiment.places
    if not 0 <= run < len(places):
        raise InputError(
            f'{experiment.workdir}: expected a run from 0 to {len(places) - 1}, as it has, found {run}'
        )
    if config.data.stream_mb:
        raise InputError(
            'config.data.stream_mb: expected 0, as an environment has all data at hand, found '
            f'{config.data.stream_mb}'
        )
    (fed,) = next(experiment.feed.epochs(0, 1))
    whole = runs.whole(fed.runs)
    of_runs = whole.segments, whole.weight, whole.standard, params
    # On one device, wherever they were.
    here = jax.tree.map(jnp.asarray, processes.gather((fed.corpus, of_runs)))
    corpus, (segments, weight, standard, frozen) = here[0], jax.tree.map(operator.itemgetter(run), here[1])
    videos = experiment.given.dataset.videos.values()
    setup = bind(config, next(iter(videos)).features.shape[1], len(videos)).second
    return Selection(
        corpus=corpus._replace(standard=standard),
        generator=frozen,
        segments=segments[np.asarray(weight) > 0],
        outcome=functools.partial(trsum.outcome_of, setup),
    )
