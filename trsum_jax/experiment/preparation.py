"""From a config and a workdir to everything that training and scoring share, on the devices."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from trsum_jax.data import folded
from trsum_jax.data.splits import Fold
from trsum_jax.errors import InputError
from trsum_jax.experiment import inputs, methods, workdirs
from trsum_jax.experiment.bench import functions
from trsum_jax.experiment.config import how_here
from trsum_jax.files import shown, to_json
from trsum_jax.results import filenames, report
from trsum_jax.runtime import checkpoint, compilation, processes, sharding
from trsum_jax.training import corpus, feed, grid, runs, scoring
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.epoch import Stage
from trsum_jax.training.runs import Run


class Ahead(NamedTuple):
    """Programs that are compiled while others run; each is waited for by a call.

    Attributes:
        stages: by stage, as of `dispatches.advance`.
        rows: by row, what `Experiment.row` gives, compiled.
    """

    stages: Mapping[str, Callable[[], grid.Program]]
    rows: Mapping[str, Callable[[], Callable]]


NOTHING = Ahead({}, {})


@dataclasses.dataclass(frozen=True)
class Experiment(report.Finished):
    """Everything that training and scoring share.

    Attributes:
        feed: the videos' segments on the device.
        method: what is trained, and how it scores.
        how: the runs' layout, `map` or `vmap`.
        mesh: the devices that they are on.
    """

    feed: feed.Whole | feed.Stream
    method: methods.Method
    how: str
    mesh: Mesh

    @property
    def runs(self) -> Run:
        """The inputs of every run, stacked [R]."""
        return self.feed.runs

    def folder(self, stage: Stage) -> pathlib.Path:
        """Where a stage's checkpoints are."""
        return self.workdir / filenames.CHECKPOINTS / stage.name

    def rows_to_score(self, labelled: bool) -> list[str]:
        """The model, and where there are people and the config wants it what the model is compared with."""
        return list(self.method.rows) if labelled and self.config.evaluation.baselines else [report.MODEL]

    def row(self, name: str) -> Callable:
        """Of all runs ((keys, standards, params), corpus) -> [R, F], a row's scores of all frames, jitted."""
        one = functools.partial(_row, self.method.rows[name])
        return scoring.jit_over_runs(one, self.how, self.mesh)

    def score(
        self, params: tuple[Any, ...], labelled: bool, ahead: Ahead = NOTHING
    ) -> dict[str, list[dict[str, np.ndarray]]]:
        """Scores all videos with every run: the model, and what the method compares it with.

        Args:
            params: of each stage, of all runs.
            labelled: whether there are people to compare with; without them the model alone is scored.
            ahead: what is compiled elsewhere.

        Returns:
            By row, for every run, by video key: [n_steps] float32, for `untrained` [heads, n_steps].
        """
        videos, names, found = list(self.given.dataset.videos.values()), self.rows_to_score(labelled), {}
        silent = len(names) == 1 or not processes.first()
        with tqdm(total=len(names), unit='row', mininterval=1.0, disable=silent) as bar:
            for name in names:
                bar.set_description(f'scoring all videos: {name}')
                every = ahead.rows[name]() if ahead.rows else self.row(name)
                given = self.runs.key, self.runs.standard, params
                values = np.asarray(self.feed.score(every, given))
                found[name] = [corpus.per_video(videos, of_run) for of_run in values[: len(self.places)]]
                bar.update()
        return found


def _row(row: methods.Row, given: tuple[Any, Any, tuple[Any, ...]], corpus: Corpus) -> jax.Array:
    key, standard, params = given
    return row(key, params, corpus._replace(standard=standard))


def prepare(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> Experiment:
    """Reads the inputs, puts them on the device, and records what the workdir is for.

    Args:
        config: the whole config, checked.
        workdir: an existing folder.

    Returns:
        The experiment.

    Raises:
        InputError: as `load_inputs`, and where the data are not those of the workdir's earlier session.
    """
    given = load_recorded(config, workdir)
    for note in given.dataset.notes:
        processes.say(f'note: {note}')
    experiment = assemble(config, workdir, given, runs.places(config.seeds, len(given.folds)))
    videos, fed = given.dataset.videos.values(), experiment.feed
    processes.say(
        f'{len(videos)} videos, {sum(v.n_steps for v in videos)} frames, {fed.n_segments} segments'
        f'{f" in {fed.passes} chunks" if config.data.stream_mb else ""}; {given.split}; '
        f'{len(experiment.places)} runs on {sharding.describe(experiment.mesh)}'
    )
    return experiment


def load_recorded(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> folded.Inputs:
    """Reads the inputs, and records what the workdir is for.

    Args:
        config: the whole config, checked.
        workdir: of the experiment.

    Returns:
        Videos and folds.

    Raises:
        InputError: as `prepare`, and `refuse_some_validation`.
    """
    given = inputs.load_inputs(config, workdir)
    refuse_some_validation(given.folds, config.data.splits)
    videos = given.dataset.videos
    record = to_json({
        'width': next(iter(videos.values())).features.shape[1],
        'encoder': given.dataset.encoder,
        'n_videos': len(videos),
        'runs': [dataclasses.astuple(place) for place in runs.places(config.seeds, len(given.folds))],
        'data': given.fingerprint(),
        'videos': {key: folded.digest(video) for key, video in videos.items()},
    })  # fmt: skip
    processes.agree('the data', record)
    if paths := functions.named_in(config).values():
        record['code'] = functions.digests(paths)
        processes.agree('the code by import path', record['code'])
    workdirs.remember(config, workdir, record, given.dataset.path)
    return given


def refuse_some_validation(folds: Sequence[Fold], path: str) -> None:
    """Stops where some folds have validation videos: all runs of a grid are one program, judged alike.

    Args:
        folds: of the experiment.
        path: their file.

    Raises:
        InputError: folds with such videos beside folds without.
    """
    without = [number for number, fold in enumerate(folds) if not fold.validation]
    if 0 < len(without) < len(folds):
        raise InputError(
            f'{shown(path)}: expected validation videos in every fold or in none, found none in fold '
            f'{without[0]} (counted from 0); give it some, or leave them out of all'
        )


def assemble(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    given: folded.Inputs,
    places: Sequence[runs.Place],
    dials: Mapping[str, Sequence[float]] | None = None,
) -> Experiment:
    """Puts the inputs of a grid on the devices.

    Args:
        config: the whole config, checked.
        workdir: where the grid's files go.
        given: videos and folds.
        places: the grid, [R].
        dials: as in `runs.make_runs`.

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
    # A rival sees what its authors gave it.
    ours = methods.is_ours(config)
    standardize, aside = config.data.standardize and ours, config.generator.aside if ours else 0.0
    segments = videos, method.length, method.views, places, given.folds, mesh, dials, standardize, aside
    most_mb, rounded = config.data.stream_mb, config.layout.rounded
    return Experiment(
        config=config,
        workdir=workdir,
        given=given,
        feed=feed.Stream(*segments, most_mb=most_mb) if most_mb else feed.Whole(*segments, rounded=rounded),
        places=list(places),
        method=method,
        how=how_here(config.layout.runs),
        mesh=mesh,
    )


@contextlib.contextmanager
def compiling_ahead(experiment: Experiment, labelled: bool) -> Iterator[Ahead]:
    """Within it, another thread compiles what is left to do, in the order of its use, as `in_turn`.

    Args:
        experiment: from `prepare`.
        labelled: as in `Experiment.score`.

    Yields:
        The programs; `NOTHING` where they would be in each other's way: a GPU's compiler tries its kernels on
        the device, a trace would show the compiler, and processes of one job compile together. Nothing too
        where the dataset is read in chunks: there is no corpus before the first.
    """
    fed, runs, mesh, config = experiment.feed, experiment.runs, experiment.mesh, experiment.config
    at_hand, stages = fed.at_hand(), experiment.method.stages
    alone = jax.default_backend() == 'cpu' and jax.process_count() == 1 and not config.layout.profile
    if at_hand is None or not alone:
        yield NOTHING
        return

    @functools.cache
    def shapes() -> list[Any]:
        """Of each stage's states."""
        found = []
        for stage in stages:
            found.append(grid.like(stage, runs, found[0].params if found else ()))
        return found

    def of_stage(number: int) -> grid.Program:
        given = shapes()[number], at_hand.corpus, runs, shapes()[0].params if number else ()
        return grid.program(stages[number], *given, mesh=mesh, how=experiment.how, passes=fed.passes)

    def of_row(name: str) -> Callable:
        params = tuple(sharding.like_placed(one.params, mesh, sharding.BY_RUN) for one in shapes())
        return experiment.row(name).lower((runs.key, runs.standard, params), at_hand.corpus).compile()

    with compilation.in_turn() as later:
        of_stages = {
            stage.name: later(functools.partial(of_stage, number))
            for number, stage in enumerate(stages)
            if config[stage.name].epochs not in checkpoint.whole(experiment.folder(stage))
        }
        rows = experiment.rows_to_score(labelled)
        yield Ahead(of_stages, {name: later(functools.partial(of_row, name)) for name in rows})
