"""Do scores track what people think? Rank correlations per video and pooled, with intervals and a test."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy

from trsum_jax.data.records import Video
from trsum_jax.protocol import evaluation, tables

METRICS = ('kendall_tau', 'spearman_rho')
FORMS = ('per_user', 'mean_user')


class Pair(NamedTuple):
    """One video's scores and what they are compared with.

    Attributes:
        scores: [n_steps] float.
        references: [n_references, n_steps] float.
    """

    scores: np.ndarray
    references: np.ndarray


def correlations(pair: Pair) -> dict[str, float]:
    """Kendall's tau-b and Spearman's rho, each as its mean over the references that have a rank.

    Args:
        pair: of one video.

    Returns:
        The `METRICS`; NaN where the scores are constant, or all references.
    """
    values = evaluation.rank_correlations(*pair)
    return {name: evaluation.mean_defined(of) for name, of in zip(METRICS, values, strict=True)}


def pooled(pairs: Mapping[str, Pair], *, seed: int = 0, resamples: int = 999) -> dict[str, dict[str, float]]:
    """The correlations over the steps of all videos as one sample, against each video's mean reference.

    What differs between videos counts here as well: a video whose scores are all high should be one whose
    people rate all high. The interval is a 95% percentile bootstrap over whole videos, the test that of
    `shift_test`: of place in time alone, since a shift leaves what differs between videos as it is.

    Args:
        pairs: by video.
        seed: of the resampling and the shifts.
        resamples: number of bootstrap samples, and of shifts of all videos.

    Returns:
        Metric to `mean` (the value itself), `low`, `high`, `p`, `videos` and `missing` (0); the interval is
        NaN where there are fewer than two videos.
    """
    series = [(pair.scores, pair.references.mean(axis=0)) for pair in pairs.values()]
    found = _pooled_values(series)
    rng = np.random.default_rng(seed)
    draws = [
        _pooled_values([series[i] for i in rng.integers(len(series), size=len(series))])
        for _ in range(resamples if len(series) > 1 else 0)
    ]
    shifts = [
        _pooled_values([(np.roll(scores, rng.integers(len(scores))), mean) for scores, mean in series])
        for _ in range(resamples)
    ]
    result = {}
    for name, value in found.items():
        defined = [draw[name] for draw in draws if not np.isnan(draw[name])]
        low, high = np.quantile(defined, [0.025, 0.975]) if defined else (np.nan, np.nan)
        result[name] = {'mean': value, 'low': float(low), 'high': float(high)}
        result[name] |= {'p': _p_value(np.array([shift[name] for shift in shifts]), value)}
        result[name] |= {'videos': len(series), 'missing': 0}
    return result


def shifted(pair: Pair) -> dict[str, np.ndarray]:
    """The correlations of a video after every circular shift of its scores against the references.

    A sum over pairs of steps gives Kendall's tau-b: with `S_ij = sign(s_i - s_j)`, `R` likewise,
    `tau-b = Σ S R / sqrt(Σ S² Σ R²)`. Pairs that are as far apart, going round, move along together under a
    shift, so that the sums for all shifts are correlations of rows, taken by FFT. Centred ranks in place of
    signs, and steps in place of pairs, give rho.

    Args:
        pair: of one video.

    Returns:
        The `METRICS`, each [n_steps]: by how many steps the scores come later, from 0 (not shifted).
    """
    scores = np.asarray(pair.scores, np.float64)
    references = [np.asarray(one, np.float64) for one in pair.references if not evaluation.is_constant(one)]
    if evaluation.is_constant(scores) or not references:
        return {name: np.full(len(scores), np.nan) for name in METRICS}
    return {
        name: _circular(_unit(of(scores)), np.mean([_unit(of(one)) for one in references], axis=0))
        for name, of in zip(METRICS, (_signs, _centred_ranks), strict=True)
    }


def shift_test(
    curves: Sequence[Mapping[str, np.ndarray]], *, seed: int = 0, permutations: int = 9999
) -> dict[str, float]:
    """How often scores that know nothing of the time do as well: the p-value of the mean over videos.

    Neighbouring steps are alike, in the scores and in the ratings, so that shuffled steps would make almost
    any score significant. Here each video's scores are shifted in time, around its end, by a random number
    of steps of their own: their course stays, its place does not. Two-sided,
    `p = (1 + #{|mean of shifted| >= |mean|}) / (1 + permutations)`.

    Args:
        curves: of each video, from `shifted`; one that is NaN is left out.
        seed: of the shifts.
        permutations: number of random shifts of all videos.

    Returns:
        Metric to p; NaN where no video has a correlation.
    """
    result = {}
    for name in METRICS:
        defined = [one[name] for one in curves if not np.isnan(one[name]).any()]
        result[name] = float('nan')
        if defined:
            rng = np.random.default_rng(seed)
            null = [curve[rng.integers(len(curve), size=permutations)] for curve in defined]
            result[name] = _p_value(np.mean(null, axis=0), np.mean([curve[0] for curve in defined]))
    return result


def sign_flip_test(values: Sequence[float], *, seed: int = 0, most: int = 16384) -> float:
    """How often values with signs at random have a mean as far from 0: each video's sign is flipped or not.

    Two-sided. All flips are taken where there are at most `most` (14 videos), else as many at random, the
    values themselves counted among them.

    Args:
        values: one a video; NaN is left out.
        seed: of the flips.
        most: number of flips.

    Returns:
        p; NaN with fewer than two values.
    """
    defined = np.asarray(values, np.float64)
    defined = defined[~np.isnan(defined)]
    if len(defined) < 2:
        return float('nan')
    flips = {'permutation_type': 'samples', 'vectorized': True, 'n_resamples': most}
    drawn = np.random.default_rng(seed)
    return float(scipy.stats.permutation_test((defined,), np.mean, rng=drawn, **flips).pvalue)


def measure_agreement(
    videos: Mapping[str, Video],
    scores: Mapping[str, np.ndarray],
    *,
    rank_form: str = 'per-user',
    seed: int = 0,
    resamples: int = 999,
    permutations: int = 9999,
) -> dict[str, object]:
    """Everything about one row of scores: per video, their mean, and pooled.

    Args:
        videos: by key; those without users are left out.
        scores: by key, [n_steps] float.
        rank_form: see `evaluation.rank_references`; not `summary`, which ranks no steps.
        seed: of resampling and shifts.
        resamples: bootstrap samples, and shifts, of the pooled values.
        permutations: random shifts.

    Returns:
        `per_user` (the mean over a video's references, the protocol's) and `mean_user` (their mean as one
        reference, as in the paper's Fig. 11): metric to `tables.estimate` and `p` (`shift_test`); `pooled`:
        see there; `videos`: key to form to metric and `p_METRIC` (over all shifts of that video);
        `constant_scores` and `constant_references`: how many have no rank and are left out.
    """
    labelled = {key: video for key, video in videos.items() if video.has_users}
    pairs: dict[str, dict[str, Pair]] = {form: {} for form in FORMS}
    for key, video in labelled.items():
        references = evaluation.rank_references(video, rank_form)
        assert references is not None, 'it has users'
        pairs['per_user'][key] = Pair(np.asarray(scores[key]), references)
        pairs['mean_user'][key] = Pair(np.asarray(scores[key]), references.mean(axis=0, keepdims=True))
    result: dict[str, object] = {}
    of_videos: dict[str, dict[str, dict[str, float]]] = {key: {} for key in labelled}
    for form, by_key in pairs.items():
        values = {key: correlations(pair) for key, pair in by_key.items()}
        curves = {key: shifted(pair) for key, pair in by_key.items()}
        for key, value in values.items():
            of_videos[key][form] = value | {f'p_{name}': _own_p(curves[key][name]) for name in METRICS}
        p = shift_test(list(curves.values()), seed=seed, permutations=permutations)
        result[form] = {
            name: tables.estimate([[of[name] for of in values.values()]], seed=seed) | {'p': p[name]}
            for name in METRICS
        }
    result['pooled'] = pooled(pairs['per_user'], seed=seed, resamples=resamples)
    result['videos'] = of_videos
    result['constant_scores'] = sum(evaluation.is_constant(scores[key]) for key in labelled)
    result['constant_references'] = sum(
        evaluation.constant_references(video, rank_form) for video in labelled.values()
    )
    return result


def change(one: Mapping[str, Any], other: Mapping[str, Any], form: str, metric: str) -> dict[str, float]:
    """How much more one row of scores agrees with people than another, paired by video.

    Args:
        one: from `measure_agreement`.
        other: from `measure_agreement`, of the same videos.
        form: one of `FORMS`.
        metric: one of `METRICS`.

    Returns:
        `tables.estimate` of the differences.
    """
    of_one, of_other = one['videos'], other['videos']
    return tables.estimate([[of_one[key][form][metric] - of_other[key][form][metric] for key in of_other]])


def _pooled_values(series: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    if not series:
        return dict.fromkeys(METRICS, float('nan'))
    scores, references = (np.concatenate(parts) for parts in zip(*series, strict=True))
    return correlations(Pair(scores, references[None]))


def _own_p(curve: np.ndarray) -> float:
    """The p-value of one video: the share of all its shifts, that by 0 among them, that reach its value."""
    return float('nan') if np.isnan(curve).any() else float(np.mean(_reaches(curve, curve[0])))


def _p_value(null: np.ndarray, value: float) -> float:
    return float('nan') if np.isnan(value) else float((1 + _reaches(null, value).sum()) / (1 + len(null)))


def _reaches(null: np.ndarray, value: float) -> np.ndarray:
    # What equals the value up to rounding reaches it: shifts by 0 are among the draws.
    return np.abs(null) >= abs(value) - 1e-9


def _circular(moved: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """[n]: for every k, `Σ_d Σ_i moved[d, i - k] fixed[d, i]`, of [..., n] arrays."""
    product = np.conj(np.fft.rfft(moved)) * np.fft.rfft(fixed)
    return np.fft.irfft(product.reshape(-1, product.shape[-1]).sum(axis=0), n=moved.shape[-1])


def _signs(values: np.ndarray) -> np.ndarray:
    """[n, n]: the sign of `values[i] - values[i + d]`, going round, at [d, i]."""
    i = np.arange(len(values))
    return np.sign(values[None] - values[(i[None] + i[:, None]) % len(values)])


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    ranks = scipy.stats.rankdata(values)
    return ranks - ranks.mean()


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.sqrt(np.sum(values**2))
