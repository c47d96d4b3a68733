"""From a config and a workdir to everything that training and scoring share, on the devices."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import jax
import ml_collections
from flax import linen as nn
from jax.sharding import Mesh

from trsum_jax.method.models import Generator
from trsum_jax.protocol import tables
from trsum_jax.training import corpus, files, grid, inputs, processes, rivals, sharding, stages
from trsum_jax.training.steps import Run, how_here


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that training and scoring share.

    Attributes:
        config: the whole config, checked.
        workdir: where all files go.
        given: videos and folds.
        corpus: their segments on the device; for a rival, whole videos.
        places: the grid, [R].
        runs: the inputs of every run, stacked [R].
        generator: the module; None for a rival, which has none.
        summarizer: the module that scores.
        stages: stage 1 and stage 2; a rival's only one.
        how: the runs' layout, `map` or `vmap`.
        mesh: the devices that they are on.
    """

    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    given: inputs.Inputs
    corpus: corpus.Corpus
    places: list[grid.Place]
    runs: Run
    generator: Generator | None
    summarizer: nn.Module
    stages: tuple[stages.Stage, ...]
    how: str
    mesh: Mesh

    def folder(self, stage: stages.Stage) -> pathlib.Path:
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
    videos = given.dataset.videos.values()
    processes.say(
        f'{len(videos)} videos, {sum(v.n_steps for v in videos)} frames, '
        f'{experiment.corpus.n_segments} segments; {given.split}; {len(experiment.places)} runs on '
        f'{sharding.describe(experiment.mesh)}'
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
    record = tables.to_json({
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
        segments = corpus.build(videos, config.decomposition.length, tuple(config.decomposition.views), mesh)
        generator, summarizer = stages.build_models(config, width)
        of_method = (
            stages.generator_stage(config, generator, width, shards),
            stages.summarizer_stage(config, generator, summarizer, width, len(videos), shards),
        )
    else:
        segments = corpus.build(videos, max(video.n_steps for video in videos), ('sequential',), mesh)
        generator, (summarizer, stage) = None, rivals.build(config, width, len(videos))
        of_method = (stage,)
    return Experiment(
        config=config,
        workdir=workdir,
        given=given,
        corpus=segments,
        places=list(places),
        runs=grid.make_runs(places, given.folds, list(given.dataset.videos), segments, mesh, dials),
        generator=generator,
        summarizer=summarizer,
        stages=of_method,
        how=how_here(config.layout.runs),
        mesh=mesh,
    )
