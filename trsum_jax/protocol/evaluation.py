"""The field's evaluation: scores to a summary of shots, its F-scores, and rank correlations."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import scipy

from trsum_jax.data.records import Video
from trsum_jax.protocol import highlights, knapsack

METRICS = ('f_avg', 'f_max', 'kendall_tau', 'spearman_rho')
# The form that ranks frames by the summary: it needs the row `random` beside it.
SUMMARY = 'summary'
RANK_FORMS = ('per-user', 'mean-user', SUMMARY)
NOT_NEUTRAL = (
    "Ranks by `summary` are not neutral: random scores can be far above 0, most of all where users' "
    'summaries were made by the same knapsack, since both take short shots. Compare with the row `random`.'
)
BUDGET = 0.15


def frame_scores(scores: np.ndarray, picks: np.ndarray, n_frames: int) -> np.ndarray:
    """Holds each step's score until the next pick: `s[picks[i]:picks[i+1]] = scores[i]`.

    Args:
        scores: [n_steps] float, one score per sampled step.
        picks: [n_steps] int, the frame of each step, increasing.
        n_frames: number of frames of the video.

    Returns:
        [n_frames] of the scores' dtype; zero before the first pick.
    """
    scores, picks = np.asarray(scores), np.asarray(picks)
    held = np.zeros(n_frames, scores.dtype)
    held[picks[0] :] = np.repeat(scores, np.diff(picks, append=n_frames))
    return held


def shot_scores(frame_scores: np.ndarray, change_points: np.ndarray) -> np.ndarray:
    """The mean score of every shot's frames.

    Args:
        frame_scores: [n_frames] float.
        change_points: [n_shots, 2] int, first and last frame of each shot, both inclusive.

    Returns:
        [n_shots] float64.
    """
    frames = np.asarray(frame_scores, np.float64)
    return np.array([frames[first : last + 1].mean() for first, last in change_points])


def choose_shots(
    frame_scores: np.ndarray, change_points: np.ndarray, n_frames: int, budget: float = BUDGET
) -> np.ndarray:
    """Chooses shots by 0/1 knapsack: value is the mean score, weight the length in frames.

    Args:
        frame_scores: [n_frames] float.
        change_points: [n_shots, 2] int, both ends inclusive.
        n_frames: number of frames of the video; the capacity is `int(n_frames * budget)`.
        budget: the summary's greatest share of the video.

    Returns:
        [n_shots] bool, True where the shot is chosen.
    """
    change_points = np.asarray(change_points)
    lengths = change_points[:, 1] - change_points[:, 0] + 1
    return knapsack.solve(shot_scores(frame_scores, change_points), lengths, int(n_frames * budget))


def shots_to_summary(chosen: np.ndarray, change_points: np.ndarray, n_frames: int) -> np.ndarray:
    """Marks the frames of the chosen shots.

    Args:
        chosen: [n_shots] bool.
        change_points: [n_shots, 2] int, both ends inclusive.
        n_frames: number of frames of the video.

    Returns:
        [n_frames] uint8, 1 on the frames of the chosen shots.
    """
    summary = np.zeros(n_frames, np.uint8)
    for first, last in np.asarray(change_points)[chosen]:
        summary[first : last + 1] = 1
    return summary


def summarize(
    frame_scores: np.ndarray, change_points: np.ndarray, n_frames: int, budget: float = BUDGET
) -> np.ndarray:
    """Makes the summary of a video: the shots of `choose_shots` as a mask over its frames.

    Args:
        frame_scores: [n_frames] float.
        change_points: [n_shots, 2] int, both ends inclusive.
        n_frames: number of frames of the video.
        budget: the summary's greatest share of the video.

    Returns:
        [n_frames] uint8, 1 on the frames of the chosen shots; all zero where no shot of positive value fits.
    """
    chosen = choose_shots(frame_scores, change_points, n_frames, budget)
    return shots_to_summary(chosen, change_points, n_frames)


def f_scores(summary: np.ndarray, user_summary: np.ndarray) -> np.ndarray:
    """The F-score of a summary against every user's: `F = 2PR / (P + R)`, 0 where that is 0/0.

    Args:
        summary: [n_frames] of 0 and 1.
        user_summary: [n_users, n_frames] of 0 and 1.

    Returns:
        [n_users] float64, from 0 to 1.
    """
    summary, users = np.asarray(summary) > 0, np.asarray(user_summary) > 0
    both = np.sum(users & summary, axis=1)
    total = np.sum(users, axis=1) + np.sum(summary)
    # 2PR / (P + R) with P = both / |S| and R = both / |G|; total is 0 only where both are empty
    return 2.0 * both / np.maximum(total, 1)


def summary_f(video: Video, summary: np.ndarray) -> dict[str, float]:
    """Both reductions of a summary's F-scores over the users of a video.

    Args:
        video: gives `user_summary`.
        summary: [n_frames] of 0 and 1.

    Returns:
        `f_avg` (mean over users) and `f_max` (best user), NaN where the video has no user summaries.
    """
    if video.user_summary is None:
        return {'f_avg': float('nan'), 'f_max': float('nan')}
    scores = f_scores(summary, video.user_summary)
    return {'f_avg': float(scores.mean()), 'f_max': float(scores.max())}


def rank_correlations(scores: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kendall's tau-b and Spearman's rho of the scores against every reference.

    Args:
        scores: [n_steps] float.
        references: [n_users, n_steps] float.

    Returns:
        Taus and rhos, each [n_users] float64; NaN where the scores or the reference are constant, which
        have no rank.
    """
    scores, references = np.asarray(scores), np.asarray(references)
    taus, rhos = np.full(len(references), np.nan), np.full(len(references), np.nan)
    if is_constant(scores):
        return taus, rhos
    # Ranked once, and not for every reference: `scipy.stats.spearmanr` is five times slower here.
    rank, ranks = scipy.stats.rankdata(scores), scipy.stats.rankdata(references, axis=1)
    for user, reference in enumerate(references):
        if not is_constant(reference):
            taus[user] = scipy.stats.kendalltau(scores, reference).statistic
            rhos[user] = np.corrcoef(rank, ranks[user])[1, 0]
    return taus, rhos


def is_constant(scores: np.ndarray) -> bool:
    """Whether all scores are equal, so that they have no rank."""
    return bool(np.all(scores == scores[0]))


def mean_defined(values: npt.ArrayLike) -> float:
    """The mean of the values that are not NaN; NaN where there is none."""
    values = np.asarray(values, np.float64)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float('nan')


def mean_correlations(scores: np.ndarray, references: np.ndarray | None) -> dict[str, float]:
    """Kendall's tau-b and Spearman's rho, as their means over the references that have a rank.

    Args:
        scores: [n] float.
        references: [n_references, n] float, or None.

    Returns:
        `kendall_tau` and `spearman_rho`; NaN where nothing has a rank.
    """
    values = (np.zeros(0),) * 2 if references is None else rank_correlations(scores, references)
    return {name: mean_defined(of) for name, of in zip(METRICS[2:], values, strict=True)}


def rank_references(video: Video, rank_form: str = 'per-user') -> np.ndarray | None:
    """What the rank correlations of a video compare with.

    Args:
        video: its raw annotator scores at the picks are taken where it has them, else the users' summaries.
        rank_form: for summaries, `per-user` (each user's) or `mean-user` (their mean as one reference). By
            `summary` it is the mean of the users' summaries at all frames, for the summary of 0 and 1 that
            the scores give; raw annotator scores are not looked at.

    Returns:
        [n_references, n_steps] float64, by `summary` [1, n_frames]; None where the video has no users, or by
        `summary` no users' summaries or no shots.

    Raises:
        ValueError: where the form is none of `RANK_FORMS`.
    """
    if rank_form not in RANK_FORMS:
        raise ValueError(f'rank_form must be one of {RANK_FORMS}, found {rank_form!r}')
    if rank_form == SUMMARY:
        if video.user_summary is None or video.change_points is None:
            return None
        return np.asarray(video.user_summary, np.float64).mean(axis=0, keepdims=True)
    if video.user_scores is not None:
        return np.asarray(video.user_scores[:, video.picks], np.float64)
    if video.user_summary is None:
        return None
    users = np.asarray(video.user_summary[:, video.picks], np.float64)
    return users.mean(axis=0, keepdims=True) if rank_form == 'mean-user' else users


def form_at_steps(rank_form: str) -> str:
    """The form for what is asked of scores at steps: `per-user` in the place of `summary`."""
    return 'per-user' if rank_form == SUMMARY else rank_form


def rank_against(video: Video, rank_form: str = 'per-user') -> str | None:
    """The name of what `rank_references` gives: `annotator scores`, `one rating`, a form, or None."""
    if rank_form == SUMMARY:
        return SUMMARY if video.user_summary is not None and video.change_points is not None else None
    if video.user_scores is not None:
        return 'annotator scores' if highlights.one_rating(video) is None else 'one rating'
    return rank_form if video.user_summary is not None else None


def both_levels(video: Video, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a video at its steps and at its frames, from either one.

    Args:
        video: gives `picks` and `n_frames`.
        scores: [n_steps] or [n_frames] float; the length decides.

    Returns:
        Step scores [n_steps] and frame scores [n_frames].

    Raises:
        ValueError: where the length is neither.
    """
    scores = np.asarray(scores)
    if scores.shape == (video.n_steps,):
        return scores, frame_scores(scores, video.picks, video.n_frames)
    if scores.shape == (video.n_frames,):
        return scores[video.picks], scores
    raise ValueError(
        f'{video.id}: expected {video.n_steps} scores (one a step) or {video.n_frames} (one a frame), '
        f'found shape {scores.shape}'
    )


def evaluate_video(
    video: Video,
    scores: np.ndarray,
    *,
    budget: float = BUDGET,
    rank_form: str = 'per-user',
    rounding: str = 'down',
) -> dict[str, float]:
    """Scores of one video to the metrics of the protocol.

    Args:
        video: with shots and users as far as it has them.
        scores: [n_steps] or [n_frames] float; the length decides.
        budget: the summary's greatest share of the video.
        rank_form: see `rank_references`.
        rounding: see `highlights.measure_highlights`.

    Returns:
        The `METRICS`, F from 0 to 1, and where the video has one rating those of `highlights.SHARES`; NaN
        where one cannot be measured (no shots, no users) or is undefined (constant scores). References
        without a rank (a user who rated all alike) are left out of the mean.
    """
    step_scores, per_frame = both_levels(video, scores)
    metrics, compared = dict.fromkeys(METRICS, float('nan')), step_scores
    if video.change_points is not None:
        summary = summarize(per_frame, video.change_points, video.n_frames, budget)
        metrics |= summary_f(video, summary)
        compared = summary if rank_form == SUMMARY else step_scores
    metrics |= mean_correlations(compared, rank_references(video, rank_form))
    if highlights.one_rating(video) is not None:
        metrics |= highlights.measure_highlights(video, step_scores, rounding)
    return metrics


def measured(several: Iterable[Mapping[str, object]]) -> list[str]:
    """The metrics of some videos: the `METRICS`, and those of `highlights.SHARES` that any of them has."""
    there = {name for one in several for name in one}
    return [*METRICS, *(name for name in highlights.SHARES if name in there)]


def constant_references(video: Video, rank_form: str = 'per-user') -> int:
    """How many of the references of `rank_references` have no rank, being constant."""
    references = rank_references(video, rank_form)
    return 0 if references is None else sum(map(is_constant, references))
