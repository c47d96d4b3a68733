"""What selecting a frame takes off the reconstruction loss: its own loss, and what it helps the others.

The composed reward's loss of a selection is the mean over a segment's n valid frames of the losses of those
that are hidden. Selecting frame t changes it in two ways: t's *own* loss goes, and t *helps* the generator to
rebuild the other hidden frames. Both are averaged over selections in which every other frame is hidden or
shown by a fair coin:

    own(t)  = 1/n · (mean of t's loss, where t is hidden)
    help(t) = 1/n · (mean of all others' summed losses, where t is hidden, less the same where t is shown)

`own + help` is the derivative of the expected loss by t's probability, at half for all frames: what a policy
gradient follows when it starts.

Coins, and not selections of exactly half the frames: of those, hiding t means that another frame is shown in
its place. What all others have on average, of own and of help, would be taken off help(t); as that lacks t
itself, 1/(n - 1) of t's own value would be counted as help, which is not little where help is small. With
coins nothing is taken off, but the number of hidden frames varies, and with it the losses: noise many times
larger than the differences between frames. So help comes from a regression of all frames' losses on *all*
coins at once. Coins are independent, so that its coefficients are the differences above in the limit,
whatever the generator does; with each selection taken once they are equal.
"""

import functools
import operator
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.experiment import scorer
from trsum_jax.experiment.preparation import Experiment
from trsum_jax.files import write_json
from trsum_jax.method.losses import frame_losses
from trsum_jax.method.models import Generator, count_parameters
from trsum_jax.protocol import agreement, evaluation, tables
from trsum_jax.results import generators, report
from trsum_jax.studies import premise
from trsum_jax.training import corpus
from trsum_jax.training.corpus import Corpus, Segment

NAME = 'own_and_help'
DRAWS = 512
SCORES = ('own', 'help', 'sum')
# Of a video, beside the taus: standard deviations over frames, that of the draws in `help`, a correlation.
SPREADS = ('std_own', 'std_help', 'noise_help', 'correlation')
# Metrics of the first stage; the last two where videos are held aside from it.
# Frames rebuilt at a time: few enough for a CPU's caches, enough to fill a GPU.
_FRAMES_AT_ONCE = {'cpu': 2**11}
_FRAMES_ELSEWHERE = 2**16


class Effects(NamedTuple):
    """What selecting each frame of a segment takes off its loss, at half the frames.

    Attributes:
        own: [L] float32, 0 where padded.
        help: [L] float32, likewise.
        variance: [L] float32, of `help`, from the number of draws being finite.
    """

    own: chex.Array
    help: chex.Array
    variance: chex.Array


def hidden_losses(generator: Generator, params: Any, one: Segment, hidden: chex.Array) -> chex.Array:
    """Each frame's part in the composed reward's loss of selections of one segment, before the mean.

    Args:
        generator: the module.
        params: of one run.
        one: the segment.
        hidden: [K, L] bool, the frames that are not selected.

    Returns:
        [K, L] float32, 0 at selected frames and where padded.
    """
    length = len(one.valid)
    at_once = max(_FRAMES_AT_ONCE.get(jax.default_backend(), _FRAMES_ELSEWHERE) // length, 1)

    def losses(masked):
        rebuilt = generator.apply({'params': params}, one.frames, one.valid, masked)
        return jnp.where(masked & one.valid, frame_losses(one.frames, rebuilt), 0.0)

    return jax.lax.map(losses, hidden, batch_size=min(at_once, len(hidden)))


def effects(hidden: chex.Array, losses: chex.Array, valid: chex.Array) -> Effects:
    """Own and help of every frame, from the losses of selections by fair coins.

    Args:
        hidden: [K, L] bool; K is greater than the number of valid frames plus one.
        losses: [K, L] float32, from `hidden_losses`.
        valid: [L] bool.

    Returns:
        The effects.
    """
    chex.assert_equal_shape([hidden, losses])
    draws, length = hidden.shape
    product = functools.partial(jnp.matmul, precision='highest')
    count = jnp.sum(valid)
    coins = jnp.where(valid[None], jnp.where(hidden, 1.0, -1.0), 0.0)
    design = jnp.concatenate([coins, jnp.ones((draws, 1))], axis=1)
    # Padding has no coin: its coefficients are 0.
    squares = product(design.T, design) / draws + jnp.diag(jnp.append(~valid, False).astype(jnp.float32))
    inverse = jnp.linalg.inv(squares)
    by_coin = product(inverse, product(design.T, losses) / draws)
    rest = losses - product(design, by_coin)
    # From -1 to 1 a coin goes two steps.
    steps = 2.0 * by_coin[:length]
    helped = jnp.sum(steps, axis=1) - jnp.diag(steps)
    rest_of_others = jnp.sum(rest, axis=1, keepdims=True) - rest
    spread = jnp.sum(rest_of_others**2, axis=0) / (draws - count - 1)
    variance = 4.0 * spread * jnp.diag(inverse)[:length] / draws
    hides = jnp.sum(hidden, axis=0)
    own = jnp.sum(losses, axis=0) / jnp.maximum(hides, 1)
    return Effects(
        own=jnp.where(valid, own, 0.0) / count,
        help=jnp.where(valid, helped, 0.0) / count,
        variance=jnp.where(valid, variance, 0.0) / count**2,
    )


@functools.partial(jax.jit, static_argnames=('generator', 'draws'))
def segment_effects(
    generator: Generator, params: Any, segments: Corpus, number: chex.Array, key: chex.PRNGKey, draws: int
) -> Effects:
    """Own and help of every frame of one segment, by selections at random.

    Args:
        generator: the module.
        params: of one run.
        segments: the videos, with what the run sees them by.
        number: int32 scalar, of the segment.
        key: of the selections.
        draws: K.

    Returns:
        The effects.
    """
    one = corpus.gather(segments, number)
    hidden = jax.random.bernoulli(key, 0.5, (draws, len(one.valid))) & one.valid[None]
    return effects(hidden, hidden_losses(generator, params, one, hidden), one.valid)


def key_of(seed: int, video: str, place: int) -> chex.PRNGKey:
    """The key of a segment's selections.

    Args:
        seed: of the run.
        video: the video's key.
        place: of the segment among the video's.
    """
    own = jax.random.fold_in(jax.random.key(seed), np.uint32(zlib.crc32(video.encode())))
    return jax.random.fold_in(own, place)


def of_frames(segments: Corpus, found: Effects, video: int) -> dict[str, np.ndarray]:
    """A video's effects by frame, averaged over the segments that hold it.

    Args:
        segments: all videos.
        found: each [S, L], of all segments; those of other videos do not matter.
        video: its number.

    Returns:
        `own`, `help`, `sum` and `variance` (of the averaged `help`), each [n_steps] float64.
    """
    mine = np.asarray(segments.video) == video
    held = np.bincount(np.asarray(segments.index)[np.asarray(segments.valid) & mine[:, None]])
    first, n_steps = (int(np.asarray(of)[mine][0]) for of in (segments.first, segments.n_steps))
    rows = slice(first, first + n_steps)
    values = {
        name: np.asarray(corpus.average_per_frame(segments, of), np.float64)[rows]
        for name, of in found._asdict().items()
    }
    total = {'sum': values['own'] + values['help'], 'variance': values['variance'] / held[rows]}
    return values | total


def judge(video: Video, values: Mapping[str, np.ndarray], rank: str) -> dict[str, float]:
    """What is told of one video by one generator.

    Args:
        video: with users.
        values: from `of_frames`.
        rank: the config's `evaluation.rank`; what is told is of steps, never of summaries.

    Returns:
        Kendall's tau with people of the `SCORES`, and the `SPREADS`.
    """
    references = evaluation.rank_references(video, evaluation.form_at_steps(rank))
    assert references is not None, 'it has users'
    taus = {
        name: agreement.correlations(agreement.Pair(values[name], references))['kendall_tau']
        for name in SCORES
    }
    own, helped = values['own'], values['help']
    varies = not (evaluation.is_constant(own) or evaluation.is_constant(helped))
    return taus | {
        'std_own': float(own.std()),
        'std_help': float(helped.std()),
        'noise_help': float(np.sqrt(values['variance'].mean())),
        'correlation': float(np.corrcoef(own, helped)[0, 1]) if varies else float('nan'),
    }


def measure_own_and_help(
    experiment: Experiment, generator: Generator, params: Any, draws: int = DRAWS
) -> dict[str, Any]:
    """Own and help of every frame of every video with people, against them.

    A video is judged by the generators of the runs that held it out, of all where none did; its values are
    means over them.

    Args:
        experiment: from `scorer.load_generators`, likewise the next two.
        generator: the module.
        params: of all runs.
        draws: K, of each segment.

    Returns:
        `rows`, of the `SCORES` and `SPREADS` the `tables.estimate` over videos; `videos`, by video the
        same as plain numbers.

    Raises:
        InputError: no video has users, or too few draws for the regression.
    """
    given, settings = experiment.given, experiment.config
    decomposition, rank = settings.decomposition, settings.evaluation.rank
    if draws < (least := 2 * (decomposition.length + 1)):
        raise InputError(
            f'--draws: expected {least} or more, twice what segments of {decomposition.length} frames need '
            f'for a regression on all of them, found {draws}'
        )
    labelled = premise.judged_videos(given)
    videos = list(labelled.values())
    segments = corpus.build(videos, decomposition.length, tuple(decomposition.views))
    of_segment = np.asarray(segments.video)
    judges = {
        key: report.holding_out(given, key, experiment.places) or list(range(len(experiment.places)))
        for key in labelled
    }
    by_video: dict[str, list[dict[str, float]]] = {key: [] for key in labelled}
    learned = jax.device_get((params, experiment.runs.standard))
    total = sum(np.sum(of_segment == i) * len(judges[video.key]) for i, video in enumerate(videos))
    with tqdm(total=int(total), desc=NAME, unit='segment', mininterval=1.0) as bar:
        for run, place in enumerate(experiment.places):
            mine = [i for i, video in enumerate(videos) if run in judges[video.key]]
            if not mine:
                continue
            own, standard = jax.device_put(jax.tree.map(operator.itemgetter(run), learned))
            seen = segments._replace(standard=standard)
            found = Effects(*(np.zeros(segments.index.shape, np.float32) for _ in Effects._fields))
            for number in np.flatnonzero(np.isin(of_segment, mine)):
                i = of_segment[number]
                key = key_of(place.seed, videos[i].key, number - np.searchsorted(of_segment, i))
                one = segment_effects(generator, own, seen, number, key, draws)
                for array, of in zip(found, one, strict=True):
                    array[number] = of
                bar.update()
            for i in mine:
                by_video[videos[i].key].append(judge(videos[i], of_frames(seen, found, i), rank))
    names = (*SCORES, *SPREADS)
    values = {
        key: {name: evaluation.mean_defined([one[name] for one in of_runs]) for name in names}
        for key, of_runs in by_video.items()
    }
    rows = {name: tables.estimate([[of[name] for of in values.values()]]) for name in names}
    return {'rows': rows, 'videos': values}


def write_own_and_help(workdir: pathlib.Path, draws: int = DRAWS) -> dict[str, Any]:
    """Measures a training's generators, and writes `own_and_help.json` beside them.

    Args:
        workdir: of the main job, the first stage done.
        draws: of each segment.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: as `scorer.load_generators` and `measure_own_and_help`.
    """
    experiment, generator, params = scorer.load_generators(workdir)
    config, runs = experiment.config, len(experiment.places)
    sizes = {name: config.model[name] for name in ('width', 'layers')}
    # Runs that are there to fill the devices are no runs of the experiment.
    one = jax.tree.map(operator.itemgetter(0), params)
    found = {
        'name': config.name,
        'dataset': experiment.given.dataset.path,
        'synthetic': experiment.given.dataset.synthetic,
        'draws': draws,
        'runs': runs,
        'length': config.decomposition.length,
        'held_out': any(fold.test for fold in experiment.given.folds),
        'generator': sizes | {'parameters': count_parameters(one)} | generators.standing_in(workdir),
    } | measure_own_and_help(experiment, generator, params, draws)
    write_json(workdir / f'{NAME}.json', found)
    return found
