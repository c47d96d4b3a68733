"""Rows that stand beside every model: random, uniform, distance to the mean, change, and people."""

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from trsum_jax.data import standard
from trsum_jax.data.records import Video
from trsum_jax.protocol import evaluation, highlights

# How far to either side `change` is averaged: about as long as a cut or a movement takes. It was set before
# any table was made, and not by people's judgement.
CHANGE_SECONDS = 1.0


def random_scores(video: Video, rng: np.random.Generator) -> np.ndarray:
    """One independent uniform draw from [0, 1) for every step.

    Args:
        video: gives `n_steps`.
        rng: where the draws come from.

    Returns:
        [n_steps] float64.
    """
    return rng.random(video.n_steps)


def evaluate_random(
    video: Video,
    rng: np.random.Generator,
    draws: int,
    *,
    budget: float = evaluation.BUDGET,
    rank_form: str = 'per-user',
    rounding: str = 'down',
) -> dict[str, float]:
    """The metrics of random scores, as their mean over draws.

    Args:
        video: the video.
        rng: where the draws come from.
        draws: number of draws, at least 1.
        budget: the summary's greatest share of the video.
        rank_form: see `evaluation.rank_references`.
        rounding: see `highlights.measure_highlights`.

    Returns:
        As `evaluation.evaluate_video`.
    """
    options: dict[str, Any] = {'budget': budget, 'rank_form': rank_form, 'rounding': rounding}
    results = [evaluation.evaluate_video(video, random_scores(video, rng), **options) for _ in range(draws)]
    return {metric: evaluation.mean_defined([r[metric] for r in results]) for metric in results[0]}


def random_row(video: Video, *, draws: int = 20, seed: int = 0, **options: Any) -> dict[str, float]:
    """The row of random scores alone, as `without_model` has it.

    Args:
        video: the video.
        draws: number of draws.
        seed: of the draws, with the video's key: one more video changes no other's.
        **options: of `evaluate_random`.

    Returns:
        As `evaluate_random`.
    """
    return evaluate_random(
        video, np.random.default_rng([seed, zlib.crc32(video.key.encode())]), draws, **options
    )


def distance_to_mean(features: npt.ArrayLike) -> np.ndarray:
    """Scores each step by the Euclidean distance of its feature to the video's mean feature.

    Args:
        features: [n_steps, D] float.

    Returns:
        [n_steps] float64.
    """
    features = np.asarray(features, np.float64)
    return np.linalg.norm(features - features.mean(axis=0), axis=1)


def neighbour_change(features: npt.ArrayLike, radius: int) -> np.ndarray:
    """Scores each step by how much the video changes around it.

    The Euclidean distances of its feature to its two neighbours' (at an end, to the one there) are averaged,
    and this over the steps up to `radius` away, as far as there are any. Neither a vector that is added to
    all features nor a number that they are multiplied by changes the order.

    Args:
        features: [n_steps, D] float.
        radius: steps to either side, 0 or more.

    Returns:
        [n_steps] float64; zero for a single step.
    """
    features = np.asarray(features)
    if len(features) < 2:
        return np.zeros(len(features))
    parts, before = [], features[:0]
    for some in standard.in_float64(features):
        parts.append(np.linalg.norm(np.diff(np.concatenate([before, some]), axis=0), axis=1))
        before = some[-1:]
    between = np.concatenate(parts)
    own = (np.append(between, between[-1]) + np.append(between[0], between)) / 2
    window = np.ones(2 * radius + 1)
    within = slice(radius, radius + len(own))
    return np.convolve(own, window)[within] / np.convolve(np.ones(len(own)), window)[within]


def change_of(video: Video) -> np.ndarray:
    """The `neighbour_change` of a video, averaged over `CHANGE_SECONDS` to either side.

    Args:
        video: with features. Where it tells no frames per second it has two steps a second.

    Returns:
        [n_steps] float64.
    """
    assert video.features is not None
    radius = round(CHANGE_SECONDS * highlights.steps_per_second(video))
    return neighbour_change(video.features, min(radius, video.n_steps))


def uniform_choice(video: Video, budget: float = evaluation.BUDGET) -> np.ndarray:
    """A summary of shots evenly spaced over the video.

    For every `k` the shots that hold the frames `(i + 1/2) n_frames / k` are considered; of the sets within
    the budget the longest is taken, of equally long ones that with the fewest shots.

    Args:
        video: with `change_points`.
        budget: the summary's greatest share of the video.

    Returns:
        [n_frames] uint8; all zero where no such shot fits.
    """
    assert video.change_points is not None
    lengths = video.change_points[:, 1] - video.change_points[:, 0] + 1
    capacity = int(video.n_frames * budget)
    longest, chosen = 0, np.zeros(len(lengths), bool)
    for k in range(1, len(lengths) + 1):
        frames = ((np.arange(k) + 0.5) * video.n_frames / k).astype(np.int64)
        shots = np.unique(np.searchsorted(video.change_points[:, 1], frames))
        total = lengths[shots].sum()
        if longest < total <= capacity:
            longest, chosen = total, np.isin(np.arange(len(lengths)), shots)
    return evaluation.shots_to_summary(chosen, video.change_points, video.n_frames)


def evaluate_summary(video: Video, summary: np.ndarray, rank_form: str = 'per-user') -> dict[str, float]:
    """The metrics of a summary that comes without scores.

    Args:
        video: the video.
        summary: [n_frames] of 0 and 1.
        rank_form: see `evaluation.rank_references`.

    Returns:
        The `evaluation.METRICS`; a summary has no rank among steps, so that both correlations are NaN but by
        the form `summary`.
    """
    metrics = dict.fromkeys(evaluation.METRICS, float('nan')) | evaluation.summary_f(video, summary)
    if rank_form == evaluation.SUMMARY:
        metrics |= evaluation.mean_correlations(summary, evaluation.rank_references(video, rank_form))
    return metrics


def human_leave_one_out(video: Video, rank_form: str = 'per-user') -> dict[str, float]:
    """How well each user of a video agrees with all the others.

    `f_avg` and `f_max` reduce each user's F-scores against every other user and average over users. The
    correlations are means over ordered pairs of different users, of raw annotator scores at the picks where
    the video has them, else of summaries; with `mean-user` summaries are compared with the mean of the
    others instead, and with `summary` so at all frames.

    Args:
        video: the video.
        rank_form: see `evaluation.rank_references`.

    Returns:
        The `evaluation.METRICS`, NaN where fewer than two users allow no comparison.
    """
    metrics = dict.fromkeys(evaluation.METRICS, float('nan'))
    if video.user_summary is not None and len(video.user_summary) > 1:
        users = video.user_summary
        found = [
            evaluation.f_scores(user, np.delete(users, number, axis=0)) for number, user in enumerate(users)
        ]
        metrics |= {'f_avg': float(np.mean(found)), 'f_max': float(np.max(found, axis=1).mean())}
    against = evaluation.rank_against(video, rank_form)
    if rank_form == evaluation.SUMMARY:
        references = None if against is None else np.asarray(video.user_summary, np.float64)
    else:
        references = evaluation.rank_references(video)
    if references is not None and len(references) > 1:
        if against in ('mean-user', evaluation.SUMMARY):
            others = (references.sum(axis=0) - references)[:, None]
        else:
            # tau-b and rho are symmetric: each unordered pair stands for both ordered ones
            others = [references[number + 1 :] for number in range(len(references))]
        pairs = [evaluation.rank_correlations(user, o) for user, o in zip(references, others, strict=True)]
        taus, rhos = (np.concatenate(values) for values in zip(*pairs, strict=True))
        metrics |= {
            'kendall_tau': evaluation.mean_defined(taus),
            'spearman_rho': evaluation.mean_defined(rhos),
        }
    return metrics


def without_model(
    video: Video,
    *,
    budget: float = evaluation.BUDGET,
    rank_form: str = 'per-user',
    rounding: str = 'down',
    draws: int = 20,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """All rows of one video that need no model.

    Args:
        video: the video.
        budget: the summary's greatest share of the video.
        rank_form: see `evaluation.rank_references`.
        rounding: see `highlights.measure_highlights`.
        draws: random scores are the mean of as many draws.
        seed: see `random_row`.

    Returns:
        `random`, `uniform` (where there are shots), `distance_to_mean` and `change` (where there are
        features) and `human`, each with the `evaluation.METRICS`, and those with scores also with the others
        of `evaluation.evaluate_video`.
    """
    options: dict[str, Any] = {'budget': budget, 'rank_form': rank_form, 'rounding': rounding}
    rows = {'random': random_row(video, draws=draws, seed=seed, **options)}
    if video.change_points is not None:
        rows['uniform'] = evaluate_summary(video, uniform_choice(video, budget), rank_form)
    if video.features is not None:
        scorers = {'distance_to_mean': distance_to_mean(video.features), 'change': change_of(video)}
        rows |= {name: evaluation.evaluate_video(video, of, **options) for name, of in scorers.items()}
    return rows | {'human': human_leave_one_out(video, rank_form)}
