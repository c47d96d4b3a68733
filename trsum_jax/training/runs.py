"""The runs of a grid: folds and seeds, each with its key, its random streams, its segments and numbers."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from trsum_jax.data.records import Video
from trsum_jax.data.splits import Fold
from trsum_jax.data.standard import Standard, standards
from trsum_jax.runtime.sharding import BY_RUN, one_device, padded, place
from trsum_jax.training.corpus import Corpus, roomy

Numbers = TypeVar('Numbers', bound=NamedTuple)
# Training videos of a run, of which some can be held aside.
_FEWEST = 5


class Run(NamedTuple):
    """What tells one run from another.

    Attributes:
        key: a typed key, made of the seed and the fold alone.
        segments: [M] int32, the segments of its training videos, padded to the longest fold.
        weight: [M] float32, 1 for a segment, 0 for padding.
        dials: float32 scalars by name of a config field, where the runs of a grid differ in its number
            (`joint.DIALS`); a number that all of them share is a constant of the program.
        standard: what it sees the frames by, or nothing: as they are.
        aside: numbers and weights [H] of the segments of the training videos that stage 1 does not train on;
            nothing where there are none. They are not among `segments`.
        validation: likewise, of the fold's validation videos, on which no stage trains; nothing where there
            are none, or where they judge nothing.
    """

    key: chex.PRNGKey
    segments: chex.Array
    weight: chex.Array
    dials: Mapping[str, chex.Array] = {}
    standard: Standard | tuple[()] = ()
    aside: tuple[chex.Array, chex.Array] | tuple[()] = ()
    validation: tuple[chex.Array, chex.Array] | tuple[()] = ()


class MaskingNumbers(NamedTuple):
    """Numbers of `config.masking`, in which the runs of a grid may differ."""

    window_ratio: chex.Numeric
    mask_ratio: chex.Numeric
    mask: chex.Numeric
    replace: chex.Numeric


class PolicyNumbers(NamedTuple):
    """Numbers of `config.summarizer`, in which the runs of a grid may differ."""

    share: chex.Numeric
    penalty_weight: chex.Numeric
    entropy_weight: chex.Numeric
    baseline_momentum: chex.Numeric
    credit_radius: chex.Numeric
    temperature: chex.Numeric
    temperature_end: chex.Numeric
    ratio_clip: chex.Numeric


class Rates(NamedTuple):
    """Numbers of an optimizer, in which the runs of a grid may differ."""

    learning_rate: chex.Numeric
    weight_decay: chex.Numeric
    clip: chex.Numeric


@dataclasses.dataclass(frozen=True)
class Place:
    """Which run stands at an index of the grid.

    Attributes:
        seed: its seed.
        fold: its fold, from 0.
    """

    seed: int
    fold: int

    def __str__(self) -> str:
        return f'seed {self.seed}, fold {self.fold}'


def places(seeds: Sequence[int], n_folds: int) -> list[Place]:
    """All runs of a grid, seed by seed."""
    return [Place(seed, fold) for seed in seeds for fold in range(n_folds)]


def make_runs(
    grid: Sequence[Place],
    folds: Sequence[Fold],
    keys: Sequence[str],
    corpus: Corpus,
    mesh: Mesh | None = None,
    dials: Mapping[str, Sequence[float]] | None = None,
    videos: list[Video] | None = None,
    aside: float = 0.0,
    rounded: bool = False,
) -> Run:
    """The inputs of every run, stacked, on the mesh.

    A run's key depends on its seed and fold alone: run `i` of a grid draws what run `i` alone draws. A grid
    that does not divide the mesh is filled up with its last run.

    Args:
        grid: R places.
        folds: the videos of each fold.
        keys: the videos in the corpus's order.
        corpus: the segments.
        mesh: of the devices; the default one alone where there is none.
        dials: by name, the number of every run [R]; none where there are none.
        videos: the corpus's, to see their frames by each run's own standard; none: as they are.
        aside: as in `held_aside`; where the folds have validation videos, these judge in its place.
        rounded: whether runs are padded to a round number of segments (`corpus.roomy`).

    Returns:
        A `Run` whose leaves have a leading axis [R] (filled up), padded to the longest fold.
    """
    mesh = mesh or one_device()
    trained = trained_on(grid, folds, keys, mesh)
    kept, validation = judges(grid, folds, keys, trained, mesh, aside)
    placed = functools.partial(_placed, corpus=corpus, mesh=mesh, rounded=rounded)
    segments, weight = placed(trained & ~kept)
    beside = [placed(part) if part.any() else () for part in (kept, validation)]
    standard = standard_of(videos, trained, mesh)
    return Run(keys_of(grid, mesh), segments, weight, dials_of(dials, len(trained), mesh), standard, *beside)


def _placed(videos: np.ndarray, corpus: Corpus, mesh: Mesh, rounded: bool) -> tuple[jax.Array, jax.Array]:
    """The segments of every run's videos [R, V] on the mesh, as `members`."""
    # What fills a corpus up is a segment without a frame, and no video's.
    chosen = videos[:, np.asarray(corpus.video)] & np.asarray(corpus.valid).any(axis=1)
    longest = int(chosen.sum(axis=1).max())
    return place(members(chosen, roomy(longest) if rounded else longest), mesh, BY_RUN)


def held_aside(grid: Sequence[Place], trained: np.ndarray, share: float) -> np.ndarray:
    """Which training videos a run's stage 1 does not train on, but is judged by: it ends by their loss.

    Args:
        grid: R places; a run's choice depends on its seed and fold alone.
        trained: [R, V] bool, whether a run trains on a video.
        share: of its training videos, rounded, at least one and never all; 0: none.

    Returns:
        [R, V] bool; none at all where some run has fewer than five training videos.
    """
    kept = np.zeros_like(trained)
    if share and trained.sum(axis=1).min() >= _FEWEST:
        for own, one, place in zip(kept, trained, grid, strict=True):
            videos = np.flatnonzero(one)
            count = min(max(1, round(share * len(videos))), len(videos) - 1)
            own[np.random.default_rng((place.seed, place.fold)).permutation(videos)[:count]] = True
    return kept


def judges(
    grid: Sequence[Place],
    folds: Sequence[Fold],
    keys: Sequence[str],
    trained: np.ndarray,
    mesh: Mesh,
    share: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The videos that every run's stage 1 is judged by: its fold's validation videos, else some held aside.

    Args:
        grid: R places.
        folds: the videos of each fold; all of them have validation videos, or none.
        keys: V, in the corpus's order.
        trained: [R (filled up), V] bool, from `trained_on`.
        mesh: of the devices.
        share: as in `held_aside`; 0: nothing judges.

    Returns:
        Training videos held aside, and validation videos: [R (filled up), V] bool each.
    """
    places, number = filled(grid, mesh), {key: i for i, key in enumerate(keys)}
    validation = np.zeros_like(trained)
    for own, place_of in zip(validation, places, strict=True):
        if share:
            own[[number[key] for key in folds[place_of.fold].validation]] = True
    return held_aside(places, trained, 0.0 if validation.any() else share), validation


def judging(run: Run) -> tuple[chex.Array, chex.Array] | tuple[()]:
    """Numbers and weights of the segments that stage 1 is judged by: validation's, or those held aside."""
    return run.validation or run.aside


def whole(run: Run) -> Run:
    """A run, or several, with what is held aside among its segments."""
    if not run.aside:
        return run
    segments, weight = run.aside
    return run._replace(
        segments=jnp.concatenate([run.segments, segments], axis=-1),
        weight=jnp.concatenate([run.weight, weight], axis=-1),
    )


def filled(grid: Sequence[Place], mesh: Mesh) -> list[Place]:
    """The grid, filled up with its last run to what the mesh divides."""
    return [*grid, *grid[-1:] * (padded(len(grid), mesh) - len(grid))]


def trained_on(grid: Sequence[Place], folds: Sequence[Fold], keys: Sequence[str], mesh: Mesh) -> np.ndarray:
    """[R (filled up), V] bool: whether a run trains on a video; V keys, in the corpus's order."""
    number = {key: i for i, key in enumerate(keys)}
    trained = np.zeros((len(folds), len(keys)), bool)
    for i, fold in enumerate(folds):
        trained[i, [number[key] for key in fold.train]] = True
    return trained[[one.fold for one in filled(grid, mesh)]]


def standard_of(videos: list[Video] | None, trained: np.ndarray, mesh: Mesh) -> Standard | tuple[()]:
    """Every run's standard on the mesh, by what it is `trained_on`; nothing where there are no videos."""
    return place(standards(videos, trained), mesh, BY_RUN) if videos else ()


def members(chosen: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Every run's segments as a list of numbers.

    Args:
        chosen: [R, S] bool, whether a run trains on a segment.
        longest: M, at least the most segments of a run.

    Returns:
        [R, M] int32 numbers and [R, M] float32 weights, 0 where padded.
    """
    segments = np.zeros((len(chosen), longest), np.int32)
    weight = np.zeros((len(chosen), longest), np.float32)
    for i, of_run in enumerate(chosen):
        own = np.flatnonzero(of_run)
        segments[i, : len(own)], weight[i, : len(own)] = own, 1.0
    return segments, weight


def keys_of(grid: Sequence[Place], mesh: Mesh) -> jax.Array:
    """[R] (filled up) typed keys on the mesh, each of its run's seed and fold alone."""
    keys = [jax.random.fold_in(jax.random.key(one.seed), one.fold) for one in filled(grid, mesh)]
    data = place(np.stack([jax.random.key_data(key) for key in keys]), mesh, BY_RUN)
    return jax.jit(jax.random.wrap_key_data)(data)


def dials_of(dials: Mapping[str, Sequence[float]] | None, rows: int, mesh: Mesh) -> dict[str, jax.Array]:
    """Every run's numbers on the mesh, [R] (filled up to `rows`) float32 each; none where there are none."""
    numbers = {
        name: np.asarray([*values, *[values[-1]] * (rows - len(values))], np.float32)
        for name, values in (dials or {}).items()
    }
    return place(numbers, mesh, BY_RUN)


def stream(key: chex.PRNGKey, name: str) -> chex.PRNGKey:
    """A run's named stream of random numbers. The place in the list is folded in: add only at its end."""
    names = (
        'generator init',
        'generator',
        'summarizer init',
        'summarizer',
        'untrained heads',
        'rival init',
        'rival',
        'rs_sum',
        'aside',
    )
    return jax.random.fold_in(key, names.index(name))


def own(numbers: Numbers, part: str, run: Run) -> Numbers:
    """Numbers of the config with those in which a run differs from the others of its grid.

    Args:
        numbers: what all runs share, by the name of the field.
        part: of the config that they stand in, such as `summarizer`.
        run: whose `dials` are taken before them.

    Returns:
        The run's numbers.
    """
    dials = {name: run.dials[f'{part}.{name}'] for name in numbers._fields if f'{part}.{name}' in run.dials}
    return numbers._replace(**dials)
