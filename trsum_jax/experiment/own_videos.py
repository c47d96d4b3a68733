"""The method on somebody's own videos: trained on them without labels, in minutes, and scored."""

import contextlib
import dataclasses
import io
import pathlib
import sys
from collections.abc import Mapping

import ml_collections
import numpy as np
import tqdm

from trsum_jax.data import datasets, folded
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored.features import Stored
from trsum_jax.errors import InputError
from trsum_jax.experiment import check, fields, preparation, scorer, workdirs
from trsum_jax.experiment.run import train
from trsum_jax.files import shown, temporary_folder
from trsum_jax.method.decomposition import decompose
from trsum_jax.results import report
from trsum_jax.runtime import locking, memory

FEATURES = 'features.h5'
LENGTH = 64
# Of each stage. On planted data more epochs learn less: the generator then knows its one video by heart.
EPOCHS = 100
# Segments seen in a stage, all epochs together: about 20 s on 2 CPU cores, however long the videos.
_VISITS = 4_000


def small_config(videos: list[Video], seed: int = 0) -> ml_collections.ConfigDict:
    """A small model, and as many epochs as fit into a minute.

    Args:
        videos: all that will be trained on.
        seed: of everything drawn.

    Returns:
        A config of the main job, `data.file` still to be set.
    """
    config = fields.get_config()
    config.name = 'own-videos'
    config.seeds = (seed,)
    config.data.folds = 0
    config.decomposition.length = LENGTH
    config.layout.rounded = True
    config.model.update({'width': 64, 'heads': 4, 'feed_forward': 256})
    views = tuple(config.decomposition.views)
    segments = sum(len(decompose(video.n_steps, LENGTH, views)) for video in videos)
    epochs = min(max(_VISITS // segments, 1), EPOCHS)
    for stage in ('generator', 'summarizer'):
        config[stage].update({'epochs': epochs, 'batch': 4, 'learning_rate': 1e-3})
    return config


def by_checkpoint(
    trained: scorer.Trained, videos: Mapping[pathlib.Path, Video], encoder: str
) -> dict[pathlib.Path, np.ndarray]:
    """Scores videos with a training that is done; what made their features was asked before.

    Args:
        trained: from `scorer.load_trained`.
        videos: each with features.
        encoder: what made them.

    Returns:
        By path, [n_steps] float32 in (0, 1).
    """
    found = {}
    for path, video in tqdm.tqdm(videos.items(), 'judging the videos', unit='video', delay=1, leave=False):
        # One at a time: a model of any size then holds one video's segments.
        dataset = Dataset(shown(path), {video.key: video}, encoder=encoder)
        found[path] = scorer.score(trained, dataset, any_encoder=True)[video.key]
    return found


def by_training(
    videos: dict[pathlib.Path, Video],
    encoder: str,
    workdir: str | pathlib.Path | None,
    seed: int,
    config: ml_collections.ConfigDict | None,
) -> dict[pathlib.Path, np.ndarray]:
    """Trains on videos and scores them.

    Args:
        videos: each with features and shots. The training has need of memory: meanwhile they are taken out,
            and their features stay in a file.
        encoder: what made the features.
        workdir: keeps the training; None if it is not to be kept.
        seed: of `small_config`.
        config: in its place.

    Returns:
        By path, as `train_and_score`.

    Raises:
        InputError: as `train_and_score`.
    """
    if config is None:
        config = small_config(list(videos.values()), seed)
        if workdir is None:
            # Nobody goes on from one that is not kept.
            config.layout.checkpoint_every = config.generator.epochs
    dataset = Dataset('the videos', {video.key: video for video in videos.values()}, encoder=encoder)
    keys = {path: video.key for path, video in videos.items()}
    videos.clear()
    with contextlib.nullcontext(pathlib.Path(workdir)) if workdir else temporary_folder() as folder:
        scores = train_and_score(dataset, config, folder)
        for path, key in keys.items():
            video = dataset.videos[key]
            videos[path] = dataclasses.replace(video, features=np.asarray(video.features))
    # The choice of shots has need of memory.
    memory.give_back()
    return {path: scores[key] for path, key in keys.items()}


def train_and_score(dataset: Dataset, config: ml_collections.ConfigDict, workdir: pathlib.Path) -> dict:
    """Trains both stages on all videos and scores them; what is printed on the way goes to stderr.

    Args:
        dataset: the videos, each with features and shots; the features are left to the workdir's file.
        config: as by `small_config`.
        workdir: keeps features, metrics and checkpoints, for `scorer.load_trained` to score other videos.

    Returns:
        By video key, [n_steps] float32 in (0, 1).

    Raises:
        InputError: a config that cannot run, a workdir of another experiment or in use, a training that
            diverges.
    """
    # What made the features has left freed memory.
    memory.give_back()
    config.data.file = str(workdir / FEATURES)
    check.check(config)
    with locking.held(workdir):
        _refuse_other_videos(dataset, workdir)
        workdirs.refuse_another(config, workdir)
        _leave_features(dataset, workdir / FEATURES)
        # What it says of missing annotations is for researchers.
        with contextlib.redirect_stdout(io.StringIO()):
            prepared = _without_features(preparation.prepare(config, workdir))
        with contextlib.redirect_stdout(sys.stderr):
            steps, count = sum(video.n_steps for video in dataset.videos.values()), len(dataset.videos)
            what = 'this video' if count == 1 else f'{count} videos'
            print(f'training on {what}, {steps} pictures')
            with preparation.compiling_ahead(prepared, labelled=False) as ahead:
                trained = train(prepared, words=f'learning {what}', ahead=ahead)
                scores = prepared.score(trained, labelled=False, ahead=ahead)[report.MODEL]
    return {key: np.mean([of_run[key] for of_run in scores], axis=0) for key in dataset.videos}


def _leave_features(dataset: Dataset, file: pathlib.Path) -> None:
    """Writes a dataset to a file, and keeps of its features where they lie there."""
    datasets.write_dataset(file, dataset.videos.values(), encoder=dataset.encoder)
    for key, video in dataset.videos.items():
        stored = Stored(file, key, video.features.shape)
        dataset.videos[key] = dataclasses.replace(video, features=stored)


def _without_features(prepared: preparation.Experiment) -> preparation.Experiment:
    """An experiment on videos whose features are nowhere but on the device: of two hours a copy is 74 MB."""
    dataset = prepared.given.dataset
    videos = {key: dataclasses.replace(video, features=None) for key, video in dataset.videos.items()}
    given = dataclasses.replace(prepared.given, dataset=dataclasses.replace(dataset, videos=videos))
    return dataclasses.replace(prepared, given=given)


def _refuse_other_videos(dataset: Dataset, workdir: pathlib.Path) -> None:
    record = workdirs.record_of(workdir)
    now = {key: folded.digest(video) for key, video in dataset.videos.items()}
    if record is not None and record['videos'] != now:
        raise InputError(
            f'--workdir={workdir}: holds a training on other videos; score these with it by '
            f'--checkpoint={workdir}, or choose another folder'
        )
