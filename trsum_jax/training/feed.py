"""What the stages are fed with: the whole dataset on the devices, or chunk after chunk of it from its file.

A chunk is a small corpus of whole videos. All chunks have one shape, so that one compiled program serves all.
Which videos share a chunk is fixed, balanced by length; the order of the chunks is drawn anew every epoch. An
epoch of a stage is then so many *passes*, one a chunk: with a single chunk nothing differs from the whole
dataset.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from trsum_jax.data.records import Video
from trsum_jax.data.splits import Fold
from trsum_jax.errors import InputError
from trsum_jax.method.decomposition import decompose
from trsum_jax.runtime import processes, sharding
from trsum_jax.training import corpus, runs
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.runs import Run

_MB = 2**20
# Chunks that the loader reads ahead while the devices work on one.
_AHEAD = 1
# Of the chunks' order, the same in all runs.
_ORDER_SEED = 0


class Pass(NamedTuple):
    """What a stage sees at once.

    Attributes:
        number: of the pass, in all epochs.
        corpus: on the devices.
        runs: the runs' segments of it.
    """

    number: int
    corpus: Corpus
    runs: Run


class Whole:
    """The whole dataset on the devices; an epoch is one pass.

    Attributes:
        passes: in an epoch.
        runs: the inputs of all runs, [R] (filled up).
        segments: training segments of all runs in an epoch.
        n_segments: of the dataset.
    """

    passes = 1

    def __init__(
        self,
        videos: list[Video],
        length: int,
        views: tuple[str, ...],
        places: Sequence[runs.Place],
        folds: Sequence[Fold],
        mesh: Mesh,
        dials: Mapping[str, Sequence[float]] | None = None,
        standardize: bool = False,
        aside: float = 0.0,
        *,
        rounded: bool = False,
    ):
        """Puts everything on the devices.

        Args:
            videos: as for `corpus.arrays`.
            length: L.
            views: the views to take.
            places: the R runs.
            folds: the videos of each fold.
            mesh: of the devices.
            dials: as in `runs.make_runs`.
            standardize: whether every run sees the frames by its own standard (`data.standard`).
            aside: as in `runs.make_runs`.
            rounded: whether frames and segments are filled up to round numbers (`corpus.roomy`).
        """
        read = corpus.arrays(videos, length, views)
        self._frames, self.n_segments = len(read.frames), read.n_segments
        if rounded:
            read = _filled_to(read, corpus.roomy(self._frames), corpus.roomy(self.n_segments))
        self._corpus = sharding.place(read, mesh, sharding.SHARED)
        keys = [video.key for video in videos]
        own = videos if standardize else None
        self.runs = runs.make_runs(places, folds, keys, self._corpus, mesh, dials, own, aside, rounded)
        weight = processes.gather(runs.whole(self.runs).weight)
        self.segments = float(weight[: len(places)].sum(dtype=np.float64))

    def at_hand(self) -> Pass:
        """A pass whose arrays are on the devices already."""
        return Pass(0, self._corpus, self.runs)

    def epochs(self, done: int, epochs: int, skipped: int = 0) -> Iterator[list[Pass]]:
        """The passes of every epoch from `done` on; of one pass, none is ever skipped."""
        del skipped
        for number in range(done, epochs):
            yield [Pass(number, self._corpus, self.runs)]

    def score(self, function: Callable[[Any, Corpus], jax.Array], params: Any) -> np.ndarray:
        """`function(params, corpus)` of all frames: [R (filled up), …, F], in every process."""
        return processes.gather(function(params, self._corpus))[..., : self._frames]


class Stream:
    """Chunks of the dataset, read by grain while the devices work; attributes as in `Whole`."""

    def __init__(
        self,
        videos: list[Video],
        length: int,
        views: tuple[str, ...],
        places: Sequence[runs.Place],
        folds: Sequence[Fold],
        mesh: Mesh,
        dials: Mapping[str, Sequence[float]] | None = None,
        standardize: bool = False,
        aside: float = 0.0,
        *,
        most_mb: float,
    ):
        """Plans the chunks; features are read once here where they are standardized, else not yet.

        Args:
            videos: as for `corpus.arrays`; their features may be `Stored`.
            length: L.
            views: the views to take.
            places: the R runs.
            folds: the videos of each fold.
            mesh: of the devices.
            dials: as in `runs.make_runs`.
            standardize: as for `Whole`.
            aside: as for `Whole`.
            most_mb: MB (2^20 bytes) of features in a chunk at most.

        Raises:
            InputError: a video that is larger than a chunk may be; grain is not installed.
        """
        try:
            import grain
        except ImportError as error:
            raise InputError(
                f'config.data.stream_mb: expected grain to be installed, found none ({error}); run: '
                'pip install "trsum_jax[stream]"'
            ) from error
        self._grain, self._mesh = grain, mesh
        self._videos, self._length, self._views = videos, length, views
        steps = np.array([video.n_steps for video in videos])
        self._chunks = plan([video.id for video in videos], steps, videos[0].features.shape[1], most_mb)
        self.passes = len(self._chunks)
        counts = {n: len(decompose(n, length, views)) for n in np.unique(steps).tolist()}
        of_video = np.array([counts[n] for n in steps.tolist()])
        keys = [video.key for video in videos]
        trained = runs.trained_on(places, folds, keys, mesh)
        kept, validation = runs.judges(places, folds, keys, trained, mesh, aside)
        # What a run trains on, and what its first stage is judged by where some is.
        beside = {'aside': kept, 'validation': validation}
        self._beside = [name for name, part in beside.items() if part.any()]
        self._parts = [trained & ~kept, *(beside[name] for name in self._beside)]
        taken = trained * of_video
        self._frames = max(int(steps[chunk].sum()) for chunk in self._chunks)
        self._segments = max(int(of_video[chunk].sum()) for chunk in self._chunks)
        self._longest = [
            max(int((part * of_video)[:, chunk].sum(axis=1).max()) for chunk in self._chunks)
            for part in self._parts
        ]
        self._first = np.cumsum([0, *steps])
        self.segments = float(taken[: len(places)].sum())
        self.n_segments = int(of_video.sum())
        shapes = [(len(taken), longest) for longest in self._longest]
        blank = [(np.zeros(shape, np.int32), np.zeros(shape, np.float32)) for shape in shapes]
        standard = runs.standard_of(videos if standardize else None, trained, mesh)
        numbers = runs.dials_of(dials, len(taken), mesh)
        self.runs = self._with(Run(runs.keys_of(places, mesh), None, None, numbers, standard), blank)

    def at_hand(self) -> None:
        """No pass: each is read from the file."""

    def epochs(self, done: int, epochs: int, skipped: int = 0) -> Iterator[Iterator[Pass]]:
        """The passes of every epoch from `done` on; each must be taken before the next epoch's.

        Args:
            done: epochs.
            epochs: in all.
            skipped: passes of the first epoch that are done.
        """
        numbers = range(done * self.passes + skipped, epochs * self.passes)
        loaded = self._loaded([(number, self._chunk_of(number)) for number in numbers])
        for number in range(done, epochs):
            left = self.passes - (skipped if number == done else 0)
            yield (self._placed(*next(loaded)) for _ in range(left))

    def score(self, function: Callable[[Any, Corpus], jax.Array], params: Any) -> np.ndarray:
        """`function(params, corpus)` of all frames: [R (filled up), …, F], in every process."""
        found = None
        for number, host, *_ in self._loaded(list(enumerate(range(self.passes)))):
            placed = sharding.place(host, self._mesh, sharding.SHARED)
            values = processes.gather(function(params, placed))
            if found is None:
                found = np.zeros((*values.shape[:-1], self._first[-1]), values.dtype)
            start = 0
            for i in self._chunks[number]:
                n_steps = self._videos[i].n_steps
                found[..., self._first[i] : self._first[i + 1]] = values[..., start : start + n_steps]
                start += n_steps
        return found

    def _chunk_of(self, number: int) -> int:
        epoch, place = divmod(number, self.passes)
        return int(np.random.default_rng((_ORDER_SEED, epoch)).permutation(self.passes)[place])

    def _loaded(self, wanted: list[tuple[int, int]]) -> Iterator[tuple]:
        """Numbers and chunks on the host, in order, read ahead by the loader's thread."""
        ahead = self._grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)
        source = self._grain.MapDataset.source(wanted).map(lambda one: (one[0], *self._read(one[1])))
        return iter(source.to_iter_dataset(ahead))

    def _read(self, chunk: int) -> tuple[Corpus, list[tuple[np.ndarray, np.ndarray]]]:
        numbers = self._chunks[chunk]
        read = corpus.arrays([self._videos[i] for i in numbers], self._length, self._views)
        local = read.video
        read = read._replace(video=np.asarray(numbers, np.int32)[local])
        read = _filled_to(read, self._frames, self._segments)
        each = zip(self._parts, self._longest, strict=True)
        return read, [runs.members(part[:, numbers][:, local], longest) for part, longest in each]

    def _placed(self, number: int, host: Corpus, parts: list[tuple[np.ndarray, np.ndarray]]) -> Pass:
        placed = sharding.place(host, self._mesh, sharding.SHARED)
        return Pass(number, placed, self._with(self.runs, parts))

    def _with(self, some: Run, parts: list[tuple[np.ndarray, np.ndarray]]) -> Run:
        (segments, weight), *beside = sharding.place(parts, self._mesh, sharding.BY_RUN)
        return some._replace(segments=segments, weight=weight, **dict(zip(self._beside, beside, strict=True)))


def plan(names: Sequence[str], steps: np.ndarray, width: int, most_mb: float) -> list[list[int]]:
    """Deals whole videos out to as few chunks as hold them, the longest first, each to the emptiest chunk.

    Args:
        names: V names, for messages.
        steps: [V] int, frames of each video.
        width: D.
        most_mb: MB (2^20 bytes) of float32 features in a chunk at most.

    Returns:
        The numbers of each chunk's videos, ascending; every video stands in one chunk.

    Raises:
        InputError: a video is larger than a chunk may be.
    """
    most = int(most_mb * _MB // (4 * width))
    longest = int(np.argmax(steps))
    if steps[longest] > most:
        raise InputError(
            f'config.data.stream_mb: expected room for the longest video, {names[longest]} with '
            f'{4 * width * steps[longest] / _MB:.1f} MB of features, found {most_mb}'
        )
    order = np.argsort(-steps, kind='stable').tolist()
    count = -(-int(steps.sum()) // most)
    while True:
        chunks: list[list[int]] = [[] for _ in range(count)]
        filled = [(0, chunk) for chunk in range(count)]
        for i in order:
            frames, chunk = heapq.heappop(filled)
            chunks[chunk].append(i)
            heapq.heappush(filled, (frames + int(steps[i]), chunk))
        if max(frames for frames, _ in filled) <= most:
            return [sorted(chunk) for chunk in chunks]
        count += 1


def chunks_of(
    videos: list[Video], chunks: list[list[int]], length: int, views: tuple[str, ...]
) -> Iterator[tuple[list[Video], Corpus]]:
    """The segments of one chunk after another, all filled up to one shape.

    Args:
        videos: as for `corpus.arrays`; their features may be `Stored`.
        chunks: from `plan`.
        length: L.
        views: the views to take.

    Yields:
        The videos of a chunk, and their segments on the host.
    """
    counts = {n: len(decompose(n, length, views)) for n in {video.n_steps for video in videos}}
    parts = [[videos[i] for i in chunk] for chunk in chunks]
    frames = max(sum(video.n_steps for video in part) for part in parts)
    segments = max(sum(counts[video.n_steps] for video in part) for part in parts)
    for part in parts:
        yield part, _filled_to(corpus.arrays(part, length, views), frames, segments)


def _filled_to(read: Corpus, frames: int, segments: int) -> Corpus:
    return Corpus(*(
        _filled(leaf, frames if name in ('frames', 'change', 'side') else segments)
        for name, leaf in read._asdict().items()
        if name != 'standard'
    ))  # fmt: skip


def _filled(leaf: np.ndarray, length: int) -> np.ndarray:
    return np.pad(leaf, [(0, length - len(leaf)), *[(0, 0)] * (leaf.ndim - 1)])
