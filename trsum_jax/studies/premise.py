"""The premise, that a better reconstruction is a better summary, tested as it is stated: without a policy.

Summaries of every video are drawn at random within the budget, of whole shots and of single frames. Each has
its rewards by the frozen generator, and what people think of it. Their rank correlation over the draws says
whether a policy that finds a greater reward finds a better summary.
"""

import operator
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import tabulate
from scipy import stats
from tqdm import tqdm

from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.experiment import scorer
from trsum_jax.experiment.preparation import Experiment
from trsum_jax.files import write_json, write_text
from trsum_jax.method import reward_terms
from trsum_jax.method.models import Generator
from trsum_jax.method.rewards import reward_and_parts, unselected
from trsum_jax.protocol import agreement, baselines, evaluation, knapsack, tables
from trsum_jax.results import filenames, metric_log, report
from trsum_jax.training import corpus
from trsum_jax.training.corpus import Corpus

NAME = 'premise'
DRAWS = 2000
CHOICES = ('shots', 'frames')
WORTH = ('f_avg', 'overlap')
# What is compared with the video: `reward_and_parts`. Over unselected frames both reconstructions are one.
_RECONSTRUCTED = {
    'composed': {'reconstruct': 'composed', 'over': 'all'},
    'generator': {'reconstruct': 'generator', 'over': 'all'},
    'unselected': {'reconstruct': 'composed', 'over': 'unselected'},
}
# Of the terms the reconstruction is `composed`, and a second modality is seldom there.
_TERMS = tuple(name for name in reward_terms.TERMS if name not in ('reconstruction', 'side'))
REWARDS = (*_RECONSTRUCTED, *_TERMS)
# These need no generator: means over the selected steps, and their number.
STATISTICS = ('distance_to_mean', 'change', 'length')
_AT_ONCE = 32


class Drawn(NamedTuple):
    """Random summaries of a video; equal ones stand once.

    Attributes:
        actions: [U, n_steps] bool, the selected steps.
        summaries: [U, n_frames] bool, the selected frames of the source video.
        number: [K] int, which of them each draw is.
    """

    actions: np.ndarray
    summaries: np.ndarray
    number: np.ndarray


def draw_summaries(video: Video, choice: str, rng: np.random.Generator, draws: int, budget: float) -> Drawn:
    """Draws summaries within the budget.

    Args:
        video: with change points.
        choice: `shots`, the knapsack's for values from [0, 1) at random; or `frames`, as many single steps as
            the budget's share of all, at least one.
        rng: where the draws come from.
        draws: K.
        budget: a summary's greatest share of the video.

    Returns:
        The summaries.
    """
    if choice == 'shots':
        lengths = video.change_points[:, 1] - video.change_points[:, 0] + 1
        capacity = int(video.n_frames * budget)
        chosen = np.stack([knapsack.solve(rng.random(len(lengths)), lengths, capacity) for _ in range(draws)])
        chosen, number = np.unique(chosen, axis=0, return_inverse=True)
        actions = chosen[:, video.step_shots]
        marked = [evaluation.shots_to_summary(one, video.change_points, video.n_frames) for one in chosen]
    else:
        size = max(int(video.n_steps * budget), 1)
        actions = rng.random((draws, video.n_steps)).argsort(axis=1).argsort(axis=1) < size
        actions, number = np.unique(actions, axis=0, return_inverse=True)
        marked = [evaluation.frame_scores(one, video.picks, video.n_frames) for one in actions]
    return Drawn(actions, np.stack(marked) > 0, number.reshape(-1))


def worth_of(video: Video, summaries: np.ndarray) -> dict[str, np.ndarray]:
    """What people think of summaries.

    Args:
        video: with users.
        summaries: [U, n_frames] bool.

    Returns:
        The `WORTH`, each [U] float64: F, averaged over users, NaN where there are ratings alone; and the
        share of the summary that a user has chosen too, averaged over users, or the users' mean rating of it.
        An empty summary has an overlap of 0.
    """
    people = video.user_scores if video.user_summary is None else video.user_summary
    people = np.asarray(people, np.float64).mean(axis=0)
    return {
        'f_avg': np.array([evaluation.summary_f(video, one)['f_avg'] for one in summaries]),
        'overlap': np.array([people[one].sum() / max(one.sum(), 1) for one in summaries]),
    }


def statistics_of(video: Video, actions: np.ndarray) -> dict[str, np.ndarray]:
    """What can be said of selections without a generator.

    Args:
        video: with features.
        actions: [U, n_steps] bool.

    Returns:
        The `STATISTICS`, each [U] float64; means over no steps are 0.
    """
    scores = {
        'distance_to_mean': baselines.distance_to_mean(video.features),
        'change': baselines.change_of(video),
    }
    found = {
        name: np.array([of[one].sum() / max(one.sum(), 1) for one in actions]) for name, of in scores.items()
    }
    return found | {'length': actions.sum(axis=1).astype(np.float64)}


def segment_rewards(
    generator: Generator, params: Any, segments: Corpus, number: chex.Array, actions: chex.Array
) -> chex.Array:
    """All rewards of selections of one segment.

    Args:
        generator: the module.
        params: of one run.
        segments: the videos, with what the run sees them by.
        number: int32 scalar, of the segment.
        actions: [A, L] bool.

    Returns:
        [A, R] float32, in the order of `REWARDS`.
    """
    one = corpus.gather(segments, number)

    def rewards(action):
        rebuilt = generator.apply({'params': params}, one.frames, one.valid, unselected(action))
        found = [
            reward_and_parts(one.frames, one.valid, action, rebuilt, **how)[0]
            for how in _RECONSTRUCTED.values()
        ]
        beside = one.shot, one.change, one.side, found[0]
        episode = reward_terms.Episode(one.frames, one.valid, action, *beside)
        return jnp.stack([*found, *(reward_terms.TERMS[name](episode) for name in _TERMS)])

    return jax.vmap(rewards)(actions)


_compiled = jax.jit(segment_rewards, static_argnums=0)


def video_rewards(
    generator: Generator, params: Any, segments: Corpus, number: int, actions: np.ndarray
) -> dict[str, np.ndarray]:
    """The rewards of selections of a video: means over its segments, by their numbers of steps.

    Args:
        generator: the module.
        params: of one run.
        segments: the videos in windows of consecutive steps, with what the run sees them by.
        number: of the video.
        actions: [U, n_steps] bool.

    Returns:
        The `REWARDS`, each [U] float64.
    """
    total, weight = np.zeros((len(actions), len(REWARDS))), 0
    for segment in np.flatnonzero(np.asarray(segments.video) == number):
        valid = np.asarray(segments.valid[segment])
        steps = np.where(valid, np.asarray(segments.index[segment] - segments.first[segment]), 0)
        # Of few shots there are few selections: each is rebuilt once.
        different, which = np.unique(actions[:, steps] & valid, axis=0, return_inverse=True)
        filled = np.zeros((-(-len(different) // _AT_ONCE), _AT_ONCE, len(steps)), bool)
        filled.reshape(-1, len(steps))[: len(different)] = different
        found = [np.asarray(_compiled(generator, params, segments, segment, some)) for some in filled]
        total += valid.sum() * np.concatenate(found)[which.reshape(-1)]
        weight += valid.sum()
    return dict(zip(REWARDS, (total / weight).T, strict=True))


def rank_correlation(values: np.ndarray, worth: np.ndarray) -> float:
    """Spearman's rho over draws; NaN where either is constant or not known.

    Args:
        values: [K] float, such as rewards.
        worth: [K] float, what people think.
    """
    if np.isnan(worth).any() or evaluation.is_constant(values) or evaluation.is_constant(worth):
        return float('nan')
    return float(stats.spearmanr(values, worth).statistic)


def measure_premise(
    experiment: Experiment, generator: Generator, params: Any, draws: int = DRAWS
) -> dict[str, Any]:
    """The rank correlations of every reward with what people think, per video and over videos.

    A video is judged by the generators of the runs that held it out, of all where none did; its correlation
    is the mean over them.

    Args:
        experiment: from `scorer.load_generators`, likewise the next two.
        generator: the module.
        params: of all runs.
        draws: K, of each choice and video.

    Returns:
        By choice: `rows`, by reward and worth the `tables.estimate` over videos with `p`
        (`agreement.sign_flip_test`) and `values` by video; and `drawn`, by video how many `different`
        summaries there were, and `mean` and `std` of their worth.

    Raises:
        InputError: no video has users.
    """
    given, settings = experiment.given, experiment.config
    labelled = {key: given.dataset.videos[key] for key in given.keys if given.dataset.videos[key].has_users}
    if not labelled:
        raise InputError(
            f"{given.dataset.path}: expected people's summaries or ratings, which rewards are compared with, "
            'found none'
        )
    videos, length = list(labelled.values()), settings.decomposition.length
    segments = corpus.build(videos, length, ('sequential',))
    learned = jax.device_get((params, experiment.runs.standard))
    found: dict[str, Any] = {choice: {'values': {}, 'drawn': {}} for choice in CHOICES}
    jobs = [(choice, key) for choice in CHOICES for key in labelled]
    for choice, key in tqdm(jobs, NAME, unit='video', mininterval=1.0):
        video = labelled[key]
        rng = np.random.default_rng([CHOICES.index(choice), zlib.crc32(key.encode())])
        drawn = draw_summaries(video, choice, rng, draws, settings.evaluation.budget)
        worth = {name: of[drawn.number] for name, of in worth_of(video, drawn.summaries).items()}
        runs = report.holding_out(given, key, experiment.places) or range(len(experiment.places))
        by_run = []
        for run in runs:
            own, standard = jax.device_put(jax.tree.map(operator.itemgetter(run), learned))
            seen = segments._replace(standard=standard)
            by_run.append(video_rewards(generator, own, seen, videos.index(video), drawn.actions))
        fixed = statistics_of(video, drawn.actions)
        found[choice]['values'][key] = {
            name: {
                target: evaluation.mean_defined(
                    [
                        rank_correlation(one[name][drawn.number], of)
                        for one in ([fixed] if name in fixed else by_run)
                    ]
                )
                for target, of in worth.items()
            }
            for name in (*REWARDS, *STATISTICS)
        }
        found[choice]['drawn'][key] = {'different': len(drawn.actions)} | {
            name: {'mean': of.mean(), 'std': of.std()} for name, of in worth.items()
        }
    return {choice: {'rows': _rows(of['values']), 'drawn': of['drawn']} for choice, of in found.items()}


def _rows(values: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, dict]]:
    rows: dict[str, dict[str, dict]] = {}
    for name in (*REWARDS, *STATISTICS):
        rows[name] = {}
        for target in WORTH:
            of = {key: one[name][target] for key, one in values.items()}
            p = agreement.sign_flip_test(list(of.values()))
            rows[name][target] = tables.estimate([list(of.values())]) | {'p': p, 'values': of}
    return rows


def write_premise(workdir: pathlib.Path, to: pathlib.Path, draws: int = DRAWS) -> str:
    """Measures a training's generators, and writes `premise.json` and `premise.md`.

    Args:
        workdir: of the main job, the first stage done.
        to: the folder that the files go to.
        draws: of each choice and video.

    Returns:
        The table as Markdown.

    Raises:
        InputError: as `scorer.load_generators` and `measure_premise`.
    """
    experiment, generator, params = scorer.load_generators(workdir)
    config = experiment.config
    curves = metric_log.read(workdir / filenames.METRICS, 'generator')
    last = {
        name: float(np.mean(curves[name][:, -1])) if name in curves else float('nan')
        for name in ('loss', 'loss_copy_nearest')
    }
    found = {
        'name': config.name,
        'dataset': experiment.given.dataset.path,
        'synthetic': experiment.given.dataset.synthetic,
        'draws': draws,
        'budget': config.evaluation.budget,
        'runs': len(experiment.places),
        'generator': {'epochs': config.generator.epochs} | last,
        'choices': measure_premise(experiment, generator, params, draws),
    }
    text = render_premise(found)
    write_json(to / f'{NAME}.json', found)
    write_text(to / f'{NAME}.md', text)
    return text


def render_premise(found: Mapping[str, Any]) -> str:
    """The correlations as Markdown.

    Args:
        found: what `premise.json` holds.

    Returns:
        The text: a row for every reward, `–` where it is constant.
    """
    body = []
    for name in (*REWARDS, *STATISTICS):
        cells = [name]
        for choice in CHOICES:
            for target in WORTH:
                one = found['choices'][choice]['rows'][name][target]
                cells += [tables.cell('rho', one), '–' if np.isnan(one['p']) else f'{one["p"]:.4f}']
        body.append(cells)
    headers = ['', *(cell for c in CHOICES for cell in (f'{c}: rho with F', 'p', f'{c}: with overlap', 'p'))]
    table = tabulate.tabulate(body, headers, tablefmt='github', disable_numparse=True)
    generator, drawn = found['generator'], found['choices']['shots']['drawn']
    different = np.median([one['different'] for one in drawn.values()])
    about = (
        f'Spearman rank correlation over {found["draws"]} random summaries of a video, at most '
        f'{found["budget"]:.0%} of it; mean over {len(drawn)} videos [95% bootstrap interval over videos]; '
        f'p by flipping the signs of videos. Of shots a video has {different:.0f} different summaries '
        f'among them (median). The generator after {generator["epochs"]} epochs: loss '
        f'{generator["loss"]:.3f}, that of copying the nearest frame {generator["loss_copy_nearest"]:.3f}.'
    )
    return f'# The premise{" (synthetic data)" if found["synthetic"] else ""}\n\n{about}\n\n{table}\n'
