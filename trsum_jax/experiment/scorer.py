"""A finished training as a scorer of videos that it has never seen."""

import dataclasses
import operator
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from trsum_jax.data import folded
from trsum_jax.data.records import Dataset
from trsum_jax.data.standard import Standard
from trsum_jax.errors import InputError
from trsum_jax.experiment import check, methods, preparation, workdirs
from trsum_jax.experiment.config import bind, how_here
from trsum_jax.experiment.preparation import Experiment
from trsum_jax.method.models import Generator, Summarizer
from trsum_jax.results import filenames
from trsum_jax.runtime import checkpoint, compilation, locking, sharding
from trsum_jax.training import corpus, feed, grid, scoring
from trsum_jax.training.runs import Run

# Of features that are scored at once.
_MOST_MB = 512.0


@dataclasses.dataclass(frozen=True)
class Trained:
    """The summarizers of a workdir.

    Attributes:
        workdir: where they are from, for messages.
        config: what they were trained with.
        width: D of the features that they were trained on.
        encoder: what made those features, or None where the file did not say.
        digests: of the videos that it was trained or tested on (`folded.digest`).
        summarizer: the module that scores frames.
        params: of the summarizers of all runs, with a leading run axis.
        standard: what each run sees frames by, likewise; or nothing: as they are.
        places: seed and fold of every run.
    """

    workdir: pathlib.Path
    config: ml_collections.ConfigDict
    width: int
    encoder: str | None
    digests: frozenset[str]
    summarizer: Summarizer
    params: Any
    standard: Standard | tuple[()]
    places: tuple[tuple[int, int], ...]


def load_trained(workdir: pathlib.Path) -> Trained:
    """Reads the summarizers that a training left.

    Args:
        workdir: of the main job, both stages done.

    Returns:
        The trained scorer.

    Raises:
        InputError: no such workdir, no summarizer's checkpoint there, or one that does not fit its config.
    """
    config, record = _training_of(workdir)
    compilation.remember()
    width, n_runs = record['width'], len(record['runs'])
    bound = bind(config, width, record['n_videos'])
    first, second = bound.stages

    def states() -> Any:
        keys = jax.random.split(jax.random.key(0), n_runs)
        standard = ()
        if config.data.standardize:
            standard = Standard(jnp.zeros((n_runs, width)), jnp.ones(n_runs))
        blank = jnp.zeros((n_runs, 1), jnp.int32), jnp.ones((n_runs, 1))
        runs = Run(keys, *blank, standard=standard)
        before = jax.vmap(first.init)(runs, ())
        return jax.vmap(second.init)(runs, before.params)

    states_of_runs = _finished(workdir, config, second.name, jax.eval_shape(states))
    digests = frozenset(record['videos'].values())
    places = tuple((seed, fold) for seed, fold in record['runs'])
    learned = states_of_runs.params, states_of_runs.standard
    return Trained(workdir, config, width, record['encoder'], digests, bound.summarizer, *learned, places)


def load_generators(workdir: pathlib.Path) -> tuple[Experiment, Generator, Any]:
    """Reads the frozen generators that the first stage of a training left, with what it was trained on.

    Args:
        workdir: of the main job, the first stage done; its data where the config says.

    Returns:
        The experiment, the module, and the parameters of all runs, with a leading run axis.

    Raises:
        InputError: no such workdir, data that are not the training's, no generator's checkpoint there, or
            one that does not fit its config.
    """
    config, record = _training_of(workdir)
    compilation.remember()
    with locking.held(workdir):
        experiment = preparation.prepare(config, workdir)
    first = experiment.method.stages[0]
    states = _finished(workdir, config, first.name, grid.like(first, experiment.runs, ()), experiment.mesh)
    return experiment, bind(config, record['width'], record['n_videos']).generator, states.params


def _training_of(workdir: pathlib.Path) -> tuple[ml_collections.ConfigDict, dict[str, Any]]:
    """Config and record of a training of trsum."""
    told, record = workdirs.config_of(workdir), workdirs.record_of(workdir)
    if told is None or record is None:
        lacking = filenames.CONFIG if told is None else filenames.RECORD
        raise InputError(
            f'{workdir}: expected the workdir of a training, with {lacking}; found none. '
            'python -m trsum_jax.main --workdir=DIR makes one.'
        )
    config = ml_collections.ConfigDict(told)
    if missing := check.missing_fields(config):
        raise InputError(
            f'{workdir / filenames.CONFIG}: expected a config of this version, found none of '
            f'{", ".join(missing)}; train again, or score with the version that trained it'
        )
    check.check(config)
    if not methods.is_ours(config):
        raise InputError(
            f'{workdir}: expected a training of trsum, found one of config.method = {config.method!r}, whose '
            'scores are in its scores.h5; it scores no other videos. Train with --config.method=trsum.'
        )
    return config, record


def _finished(
    workdir: pathlib.Path, config: ml_collections.ConfigDict, stage: str, like: Any, mesh: Mesh | None = None
) -> Any:
    """The states of all runs after the last epoch of a stage."""
    folder = workdir / filenames.CHECKPOINTS / stage
    found = checkpoint.restore(folder, like, mesh)
    if found is None:
        raise InputError(f'{folder}: expected a checkpoint of the {stage}, found none; train first')
    done, states = found
    if done < config[stage].epochs:
        raise InputError(
            f'{folder}: expected a {stage} trained for {config[stage].epochs} epochs, found one after '
            f'{done}: the training was interrupted. Start its command again to finish it.'
        )
    return states


def known_videos(trained: Trained, dataset: Dataset) -> list[str]:
    """The videos of a file that the training has seen: scores of theirs are not held out.

    Args:
        trained: from `load_trained`.
        dataset: videos with features.

    Returns:
        Their keys.
    """
    return [key for key, video in dataset.videos.items() if folded.digest(video) in trained.digests]


def encoder_doubt(trained: Trained, encoder: str | None, where: str) -> str:
    """Why features may be of another encoder than those of the training.

    Args:
        trained: from `load_trained`.
        encoder: what made the features; None where nothing says so.
        where: the features, for the message.

    Returns:
        One sentence; '' where both name the same encoder.
    """
    if encoder is not None and encoder == trained.encoder:
        return ''
    told = encoder or 'features that do not say what made them'
    if trained.encoder is not None:
        return (
            f'{where}: expected features of the encoder {trained.encoder}, as {trained.workdir} was trained '
            f'on, found {told}; take that one by --encoder (of extract and summarize), or train on these'
        )
    return (
        f'{where}: expected features of the very encoder that made those of {trained.workdir}, which was '
        f"trained on a file that does not say it, as none of the field's does; found {told}"
    )


def refuse_doubt(doubt: str) -> None:
    """Stops where features may be of another encoder.

    Args:
        doubt: from `encoder_doubt`.

    Raises:
        InputError: there is one.
    """
    if doubt:
        raise InputError(
            f'{doubt}. Scores of features of another encoder mean nothing; if you know that it is the same, '
            '--any_encoder scores them'
        )


def score(trained: Trained, dataset: Dataset, *, any_encoder: bool = False) -> dict[str, np.ndarray]:
    """The importance of every step of every video, averaged over all runs of the training.

    Args:
        trained: from `load_trained`.
        dataset: videos with features of the training's width, by the same encoder.
        any_encoder: as for `score_runs`.

    Returns:
        By video key, [n_steps] float32.

    Raises:
        InputError: as `score_runs`.
    """
    runs = score_runs(trained, dataset, any_encoder=any_encoder)
    return {key: np.mean([run[key] for run in runs], axis=0) for key in dataset.videos}


def score_runs(
    trained: Trained, dataset: Dataset, *, any_encoder: bool = False
) -> list[dict[str, np.ndarray]]:
    """The importance of every step of every video by every run of the training.

    Args:
        trained: from `load_trained`.
        dataset: videos with features of the training's width, by the same encoder.
        any_encoder: whether features are scored that nothing shows to be of the training's encoder: neither
            one name in both files, nor a video that is in both.

    Returns:
        For every run, by video key, [n_steps] float32.

    Raises:
        InputError: features that may be of another encoder, unless `any_encoder`; another width.
    """
    doubt = '' if any_encoder else encoder_doubt(trained, dataset.encoder, dataset.path)
    if None not in (dataset.encoder, trained.encoder):
        refuse_doubt(doubt)
    videos = list(dataset.videos.values())
    width = videos[0].features.shape[1]
    if width != trained.width:
        raise InputError(
            f'{dataset.path}: expected features {trained.width} wide, as {trained.workdir} was trained on, '
            f'found {width}'
        )
    if doubt and not known_videos(trained, dataset):
        refuse_doubt(doubt)
    length, views = trained.config.decomposition.length, tuple(trained.config.decomposition.views)
    steps = np.array([video.n_steps for video in videos])
    most = max(_MOST_MB, 4 * width * steps.max() / 2**20)
    chunks = feed.plan([video.id for video in videos], steps, width, most)

    def importance(learned, corpus):
        params, standard = learned
        return scoring.importance(trained.summarizer, params, corpus._replace(standard=standard))

    how = how_here(trained.config.layout.runs)
    every, learned = scoring.jit_over_runs(importance, how), (trained.params, trained.standard)
    # One after another they are one program too, and it is seen how far they are.
    rows = [slice(i, i + 1) for i in range(len(trained.places))] if how == 'map' else [slice(None)]
    found: list[dict[str, np.ndarray]] = [{} for _ in trained.places]
    told = {'desc': f'scoring {len(videos)} videos', 'unit': 'run', 'delay': 1, 'leave': False}
    with tqdm(total=len(rows) * len(chunks), disable=None, **told) as bar:
        for own_videos, segments in feed.chunks_of(videos, chunks, length, views):
            placed = sharding.place(segments, sharding.one_device(), sharding.SHARED)
            n_steps = sum(video.n_steps for video in own_videos)
            for own in rows:
                values = np.asarray(every(jax.tree.map(operator.itemgetter(own), learned), placed))
                for of_run, scores in zip(found[own], values[..., :n_steps], strict=True):
                    of_run |= corpus.per_video(own_videos, scores)
                bar.update()
    return [{video.key: of_run[video.key] for video in videos} for of_run in found]
