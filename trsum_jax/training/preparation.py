"""From a config and a workdir to everything that training and scoring share, on the devices."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import jax
import ml_collections
from flax import linen as nn
from jax.sharding import Mesh

from trsum_jax.files import to_json
from trsum_jax.method.models import Generator
from trsum_jax.training import feed, files, grid, inputs, processes, rivals, sharding, stages
from trsum_jax.training.epoch import Stage
from trsum_jax.training.steps import Run, how_here


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that training and scoring share.

    Attributes:
        config: the whole config, checked.
        workdir: where all files go.
        given: videos and folds.
        feed: their segments on the device; for a rival, whole videos.
        places: the grid, [R].
        generator: the module; None for a rival, which has none.
        summarizer: the module that scores.
        stages: stage 1 and stage 2; a rival's only one.
        how: the runs' layout, `map` or `vmap`.
        mesh: the devices that they are on.
    """

    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    given: inputs.Inputs
    feed: feed.Whole | feed.Stream
    places: list[grid.Place]
    generator: Generator | None
    summarizer: nn.Module
    stages: tuple[Stage, ...]
    how: str
    mesh: Mesh

    @property
    def runs(self) -> Run:
        """The inputs of every run, stacked [R]."""
        return self.feed.runs

    def folder(self, stage: Stage) -> pathlib.Path:
        """Where a stage's checkpoints are."""
        return self.workdir / files.CHECKPOINTS / stage.name


def prepare(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> Experiment:
    """Reads the inputs, puts them on the device, and records what the workdir is for.

    Args:
        config: the whole config, checked.
        workdir: an existing folder.

    Returns:
        The experiment.

    Raises:
        InputError: as `inputs.load`, and where the data are not those of the workdir's earlier session.
    """
    given = load(config, workdir)
    for note in given.dataset.notes:
        processes.say(f'note: {note}')
    experiment = assemble(config, workdir, given, grid.places(config.seeds, len(given.folds)))
    videos, fed = given.dataset.videos.values(), experiment.feed
    processes.say(
        f'{len(videos)} videos, {sum(v.n_steps for v in videos)} frames, {fed.n_segments} segments'
        f'{f" in {fed.passes} chunks" if config.data.stream_mb else ""}; {given.split}; '
        f'{len(experiment.places)} runs on {sharding.describe(experiment.mesh)}'
    )
    return experiment


def load(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> inputs.Inputs:
    """Reads the inputs, and records what the workdir is for.

    Args:
        config: the whole config, checked.
        workdir: of the experiment.

    Returns:
        Videos and folds.

    Raises:
        InputError: as `prepare`.
    """
    given = inputs.load(config, workdir)
    videos = given.dataset.videos
    record = to_json({
        'width': next(iter(videos.values())).features.shape[1],
        'encoder': given.dataset.encoder,
        'n_videos': len(videos),
        'runs': [dataclasses.astuple(place) for place in grid.places(config.seeds, len(given.folds))],
        'data': given.fingerprint(),
        'videos': {key: inputs.digest(video) for key, video in videos.items()},
    })  # fmt: skip
    processes.agree('the data', record)
    files.remember(config, workdir, record, given.dataset.path)
    return given


def assemble(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    given: inputs.Inputs,
    places: Sequence[grid.Place],
    dials: Mapping[str, Sequence[float]] | None = None,
) -> Experiment:
    """Puts the inputs of a grid on the devices.

    Args:
        config: the whole config, checked.
        workdir: where the grid's files go.
        given: videos and folds.
        places: the grid, [R].
        dials: as in `grid.make_runs`.

    Returns:
        The experiment.

    Raises:
        InputError: a mesh that cannot be.
    """
    # A rival's batch is not split over devices.
    batches = (config.generator.batch, config.summarizer.batch) if config.method == 'trsum' else (1,)
    mesh = sharding.make_mesh(sharding.choose(config.layout.mesh, jax.device_count(), len(places), batches))
    videos = list(given.dataset.videos.values())
    width = videos[0].features.shape[1]
    shards = mesh.shape[sharding.DATA]
    if config.method == 'trsum':
        segments = _feed(config, videos, places, given.folds, mesh, dials)
        counted = _in_passes(config, segments.passes)
        generator, summarizer = stages.build_models(config, width)
        of_method = (
            stages.generator_stage(counted, generator, width, shards),
            stages.summarizer_stage(counted, generator, summarizer, width, len(videos), shards),
        )
    else:
        longest = max(video.n_steps for video in videos)
        segments = feed.Whole(videos, longest, ('sequential',), places, given.folds, mesh)
        generator, (summarizer, stage) = None, rivals.build(config, width, len(videos))
        of_method = (stage,)
    return Experiment(
        config=config,
        workdir=workdir,
        given=given,
        feed=segments,
        places=list(places),
        generator=generator,
        summarizer=summarizer,
        stages=of_method,
        how=how_here(config.layout.runs),
        mesh=mesh,
    )


def _feed(config, videos, places, folds, mesh, dials) -> feed.Whole | feed.Stream:
    decomposition = config.decomposition
    given = videos, decomposition.length, tuple(decomposition.views), places, folds, mesh, dials
    if config.data.stream_mb:
        return feed.Stream(*given, most_mb=config.data.stream_mb, seed=config.data.stream_seed)
    return feed.Whole(*given)


def _in_passes(config: ml_collections.ConfigDict, passes: int) -> ml_collections.ConfigDict:
    """The config for the stages, whose epochs are passes over a part of the dataset."""
    config = config.copy_and_resolve_references()
    for name in ('generator', 'summarizer'):
        config[name].epochs *= passes
    return config
