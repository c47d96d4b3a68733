"""From a config and a workdir to everything that training and scoring share, on the devices."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import jax
import ml_collections
from jax.sharding import Mesh

from trsum_jax.files import to_json
from trsum_jax.training import feed, files, grid, inputs, methods, processes, sharding
from trsum_jax.training.config import how_here
from trsum_jax.training.epoch import Stage
from trsum_jax.training.steps import Run


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that training and scoring share.

    Attributes:
        config: the whole config, checked.
        workdir: where all files go.
        given: videos and folds.
        feed: their segments on the device.
        places: the grid, [R].
        method: what is trained, and how it scores.
        how: the runs' layout, `map` or `vmap`.
        mesh: the devices that they are on.
    """

    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    given: inputs.Inputs
    feed: feed.Whole | feed.Stream
    places: list[grid.Place]
    method: methods.Method
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
    wanted, batches = config.layout.mesh, methods.batches(config)
    mesh = sharding.make_mesh(sharding.choose(wanted, jax.device_count(), len(places), batches))
    videos = list(given.dataset.videos.values())
    longest, width = max(video.n_steps for video in videos), videos[0].features.shape[1]
    method = methods.build(config, width, len(videos), longest, mesh.shape[sharding.DATA])
    segments = videos, method.length, method.views, places, given.folds, mesh, dials
    most_mb = config.data.stream_mb
    return Experiment(
        config=config,
        workdir=workdir,
        given=given,
        feed=feed.Stream(*segments, most_mb=most_mb) if most_mb else feed.Whole(*segments),
        places=list(places),
        method=method,
        how=how_here(config.layout.runs),
        mesh=mesh,
    )
