"""Random summaries of a video within the budget, what people think of them, and what needs no generator."""

from typing import NamedTuple

import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.protocol import baselines, evaluation, knapsack

CHOICES = ('shots', 'frames')
WORTH = ('f_avg', 'overlap')
# These need no generator: means over the selected steps, and their number.
STATISTICS = ('distance_to_mean', 'change', 'length')


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
