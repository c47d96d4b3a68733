"""The premise, that a better reconstruction is a better summary, tested as it is stated: without a policy.

Summaries of every video are drawn at random within the budget, of whole shots and of single frames. Each has
its rewards by the frozen generator, and what people think of it. Their rank correlation over the draws says
whether a policy that finds a greater reward finds a better summary.
"""

import operator
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy
import tabulate
from tqdm import tqdm

from trsum_jax.data import folded
from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.experiment import scorer
from trsum_jax.experiment.preparation import Experiment
from trsum_jax.files import write_json, write_text
from trsum_jax.method import reward_terms
from trsum_jax.method.models import Generator
from trsum_jax.method.rewards import reward_and_parts, unselected
from trsum_jax.protocol import agreement, evaluation, tables
from trsum_jax.results import generators, report
from trsum_jax.studies import drawing
from trsum_jax.studies.random_summaries import (
    CHOICES,
    STATISTICS,
    WORTH,
    draw_summaries,
    statistics_of,
    worth_of,
)
from trsum_jax.training import corpus
from trsum_jax.training.corpus import Corpus

NAME = 'premise'
DRAWS = 2000
# Of few and long shots there may be three summaries, whose rank correlation is 1 or -1 by chance.
LEAST = 30
# By choice, what is shown: a summary of whole shots is longer or shorter, and so is what it earns.
SHOWN = {'shots': (*WORTH, 'given_length'), 'frames': WORTH}
_TITLES = {'f_avg': 'rho with F', 'overlap': 'with overlap', 'given_length': 'with overlap, given length'}
# What is compared with the video: `reward_and_parts`. Over unselected frames both reconstructions are one.
_RECONSTRUCTED = {
    'composed': {'reconstruct': 'composed', 'over': 'all'},
    'generator': {'reconstruct': 'generator', 'over': 'all'},
    'unselected': {'reconstruct': 'composed', 'over': 'unselected'},
}
# Of the terms the reconstruction is `composed`, and a second modality is seldom there.
_TERMS = tuple(name for name in reward_terms.TERMS if name not in ('reconstruction', 'side'))
REWARDS = (*_RECONSTRUCTED, *_TERMS)
_AT_ONCE, _NAMED = 32, 10


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
    return float(scipy.stats.spearmanr(values, worth).statistic)


def correlations_over_draws(
    values: np.ndarray, worth: Mapping[str, np.ndarray], length: np.ndarray
) -> dict[str, float]:
    """The rank correlations of one reward of one video.

    Args:
        values: [K] float.
        worth: the `WORTH`, each [K] float.
        length: [K] float, the selected steps.

    Returns:
        By worth, Spearman's rho, and `given_length`: the partial one with the overlap, the length being
        held fixed; where the length does not vary that is the overlap's own.
    """
    found = {name: rank_correlation(values, of) for name, of in worth.items()}
    direct, of_values, of_worth = (
        found['overlap'],
        rank_correlation(values, length),
        rank_correlation(worth['overlap'], length),
    )
    given = direct
    if not np.isnan([of_values, of_worth]).any():
        rest = (1 - of_values**2) * (1 - of_worth**2)
        # What is the length itself says nothing beside it.
        given = (direct - of_values * of_worth) / np.sqrt(rest) if rest > 1e-9 else float('nan')
    return found | {'given_length': float(given)}


def judged_videos(given: folded.Inputs) -> dict[str, Video]:
    """The evaluated videos that people have judged.

    Args:
        given: videos and folds.

    Returns:
        By key, at least one.

    Raises:
        InputError: there is none.
    """
    videos = given.dataset.videos
    if found := {key: videos[key] for key in given.keys if videos[key].has_users}:
        return found
    raise InputError(
        f"{given.dataset.path}: expected people's summaries or ratings, which rewards are compared with, "
        'found none'
    )


def measure_premise(
    experiment: Experiment, generator: Generator, params: Any, draws: int = DRAWS, least: int = LEAST
) -> dict[str, Any]:
    """The rank correlations of every reward with what people think, per video and over videos.

    A video is judged by the generators of the runs that held it out, of all where none did; its correlation
    is the mean over them.

    Args:
        experiment: from `scorer.load_generators`, likewise the next two.
        generator: the module.
        params: of all runs.
        draws: K, of each choice and video.
        least: a video with fewer different summaries among them has no correlation.

    Returns:
        By choice: `rows`, by reward and worth the `tables.estimate` over videos with `p`
        (`agreement.sign_flip_test`) and `values` by video; and `drawn`, by video how many `different`
        summaries there were, and `mean` and `std` of their worth.

    Raises:
        InputError: no video has users.
    """
    given, settings = experiment.given, experiment.config
    labelled = judged_videos(given)
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
        number, values = drawn.number, found[choice]['values'].setdefault(key, {})
        enough = len(drawn.actions) >= least
        for name in (*REWARDS, *STATISTICS):
            of_runs = [
                correlations_over_draws(one[name][number], worth, fixed['length'][number])
                for one in ([fixed] if name in fixed else by_run)
            ]
            values[name] = {
                target: evaluation.mean_defined([one[target] for one in of_runs if enough])
                for target in of_runs[0]
            }
        found[choice]['drawn'][key] = {'different': len(drawn.actions)} | {
            name: {'mean': of.mean(), 'std': of.std()} for name, of in worth.items()
        }
    return {choice: {'rows': _rows(of['values']), 'drawn': of['drawn']} for choice, of in found.items()}


def _rows(values: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, dict]]:
    rows: dict[str, dict[str, dict]] = {}
    for name in (*REWARDS, *STATISTICS):
        rows[name] = {}
        for target in SHOWN['shots']:
            of = {key: one[name][target] for key, one in values.items()}
            p = agreement.sign_flip_test(list(of.values()))
            rows[name][target] = tables.estimate([list(of.values())]) | {'p': p, 'values': of}
    return rows


def write_premise(workdir: pathlib.Path, to: pathlib.Path, draws: int = DRAWS, least: int = LEAST) -> str:
    """Measures a training's generators, and writes `premise.json`, `premise.md` and `premise.png`.

    Args:
        workdir: of the main job, the first stage done.
        to: the folder that the files go to.
        draws: of each choice and video.
        least: as for `measure_premise`.

    Returns:
        The table as Markdown.

    Raises:
        InputError: as `scorer.load_generators` and `measure_premise`.
    """
    experiment, generator, params = scorer.load_generators(workdir)
    config = experiment.config
    found = {
        'name': config.name,
        'dataset': experiment.given.dataset.path,
        'synthetic': experiment.given.dataset.synthetic,
        'draws': draws,
        'least': least,
        'budget': config.evaluation.budget,
        'runs': len(experiment.places),
        'generator': generators.standing_in(workdir),
        'choices': measure_premise(experiment, generator, params, draws, least),
    }
    text = render_premise(found)
    write_json(to / f'{NAME}.json', found)
    write_text(to / f'{NAME}.md', text)
    panels = {
        f'{choice}: {_TITLES[target]}': {name: one[target] for name, one in of['rows'].items()}
        for choice, of in found['choices'].items()
        for target in SHOWN[choice]
    }
    title = 'Rank correlation of a reward with what a summary is worth: videos (dots), mean and 95% interval'
    drawing.draw_correlations(to / f'{NAME}.png', title, panels)
    return text


def render_premise(found: Mapping[str, Any]) -> str:
    """The correlations as Markdown.

    Args:
        found: what `premise.json` is written from.

    Returns:
        The text: a row for every reward, `–` where it is constant.
    """
    body = []
    for name in (*REWARDS, *STATISTICS):
        cells = [name]
        for choice in CHOICES:
            for target in SHOWN[choice]:
                one = found['choices'][choice]['rows'][name][target]
                cells += [tables.cell('rho', one), '–' if np.isnan(one['p']) else f'{one["p"]:.4f}']
        body.append(cells)
    headers = ['', *(h for c in CHOICES for of in SHOWN[c] for h in (f'{c}: {_TITLES[of]}', 'p'))]
    table = tabulate.tabulate(body, headers, tablefmt='github', disable_numparse=True)
    generator, drawn = found['generator'], found['choices']['shots']['drawn']
    few = {key: one['different'] for key, one in drawn.items() if one['different'] < found['least']}
    about = (
        f'Spearman rank correlation over {found["draws"]} random summaries of a video, at most '
        f'{found["budget"]:.0%} of it; mean over {len(drawn)} videos [95% bootstrap interval over videos]; '
        f'p by flipping the signs of videos.{generators.render_standing(generator | {"rewards": True})}'
    )
    if few:
        told = ', '.join(f'{key} {count}' for key, count in few.items())
        told = told if len(few) <= _NAMED else f'{len(few)} videos'
        about += f' Left out of shots, having fewer than {found["least"]} different summaries: {told}.'
    return f'# The premise{" (synthetic data)" if found["synthetic"] else ""}\n\n{about}\n\n{table}\n'
