"""Shots that show as much of a video as fits, nothing twice: ours, for people, and not the protocol's."""

import heapq
from typing import NamedTuple

import numpy as np
from scipy import sparse, stats

# Moments look alike up to about this share of the distance that moments of the video have in the mean.
_ALIKE = 0.6
# Seconds of a moment's like that are worth about as much as all that could follow.
_ENOUGH = 2.0
# What is covered are moments at even distances, at most so many; and moments that are compared at once.
_MOST, _BLOCK = 2048, 4096


class Content(NamedTuple):
    """What shots show of the moments of a video.

    Attributes:
        shown: [n_shots, n_moments] float32, seconds in which a shot shows what looks like a moment, each as
            long as it looks like it (0 to 1), and weighed by its score.
        rarity: [n_moments] float64, one over the number of moments that look like it: a scene counts once,
            however long it lasts.
    """

    shown: np.ndarray
    rarity: np.ndarray

    def worth(self, mass: np.ndarray) -> float:
        """Of a summary that shows `mass` [n_moments] of the moments."""
        return float(self.rarity @ np.log1p(mass / _ENOUGH))


def content(
    shots: np.ndarray, picks: np.ndarray, edges: np.ndarray, features: np.ndarray, scores: np.ndarray
) -> Content:
    """Compares all that is shown with all that there is to show.

    Two moments look alike by `exp(-d^2 / s^2)` for the distance `d` of their features, scaled to length one,
    and .6 of the video's own mean distance as `s`. Scores are taken by their ranks: of a model that gives
    .48 to .52 the order is all that it says. A score of 0 is worth nothing.

    Args:
        shots: [n_shots, 2] int, first and last frame, both inclusive, covering the video.
        picks: [n_steps] int, the frame of every step, increasing.
        edges: [n_frames + 1] float64, when every frame begins, and the end of the last one, in seconds.
        features: [n_steps, D] float.
        scores: [n_steps] float, 0 or more.

    Returns:
        The content of every shot.
    """
    worth = np.where(scores > 0, stats.rankdata(scores), 0.0)
    worth /= max(worth.mean(), 1e-12)
    bounds = np.union1d(shots[:, 0], picks)
    seconds = np.diff(edges[np.append(bounds, len(edges) - 1)])
    shot = np.searchsorted(shots[:, 0], bounds, side='right') - 1
    step = np.maximum(np.searchsorted(picks, bounds, side='right') - 1, 0)
    weights = sparse.csr_array((seconds * worth[step], (shot, step)), shape=(len(shots), len(picks)))

    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.asarray(features / np.maximum(lengths, 1e-12), np.float32)
    moments = unit[np.unique(np.linspace(0, len(unit) - 1, _MOST).astype(np.int64))]
    # The mean squared distance of two moments is twice their mean squared distance from the mean.
    scale = 2 * _ALIKE**2 * max(float(moments.var(axis=0).sum()), 1e-12)
    shown = np.zeros((len(shots), len(moments)), np.float32)
    density = np.zeros(len(moments))
    for first in range(0, len(unit), _BLOCK):
        some = slice(first, first + _BLOCK)
        squares = np.maximum(2 - 2 * unit[some] @ moments.T, 0)
        alike = np.exp(-squares / scale)
        shown += weights[:, some] @ alike
        density += alike.sum(axis=0)
    return Content(shown, 1 / density)


def choose(
    of_shots: Content, weights: np.ndarray, capacity: int, *, able: np.ndarray, keep: np.ndarray
) -> np.ndarray:
    """Takes the shot of greatest gain for its length, again and again, as long as one fits.

    A summary is worth `sum_j rarity_j log(1 + m_j / 2 s)`, where `m_j` are the seconds, weighed by score, in
    which it shows what looks like moment `j`: the first seconds of a scene are worth most, and those that
    show again what has been seen, in this shot or another, less and less. That is the reward for diversity of
    Lin & Bilmes (A Class of Submodular Functions for Document Summarization, 2011), a concave function of
    what is taken of each cluster, with every moment as the centre of a soft cluster; the penalty for
    redundancy of maximal marginal relevance (Carbonell & Goldstein, 1998) in a form that is monotone and
    submodular. So the better of this greedy choice and the best single shot is worth at least `(1 - 1/e) / 2`
    of the best choice (Khuller, Moss & Naor, 1999; Lin & Bilmes, 2010), and a gain found before is a bound
    for later, so that few are computed again.

    Args:
        of_shots: from `content`.
        weights: [n_shots] int, what each shot weighs, at least 1.
        capacity: the greatest total weight.
        able: [n_shots] bool, which of them may be taken.
        keep: [n_shots] bool, which of them are taken first, even where they weigh more.

    Returns:
        [n_shots] bool, True where the shot is taken; one that adds nothing is not.
    """
    chosen = np.array(keep, bool)
    mass = of_shots.shown[chosen].sum(axis=0, dtype=np.float64)
    worth, room = of_shots.worth(mass), capacity - int(weights[chosen].sum())

    def gain(shot: int) -> float:
        return of_shots.worth(mass + of_shots.shown[shot]) - worth

    gains = {shot: gain(shot) for shot in np.flatnonzero(able & ~chosen & (weights <= room)).tolist()}
    queue = [(-one / weights[shot], shot) for shot, one in gains.items()]
    heapq.heapify(queue)
    while queue:
        _, shot = heapq.heappop(queue)
        if weights[shot] > room:
            continue
        now = (-gain(shot) / weights[shot], shot)
        if queue and now > queue[0]:
            heapq.heappush(queue, now)
        elif now[0] < 0:
            chosen[shot] = True
            mass += of_shots.shown[shot]
            worth, room = of_shots.worth(mass), room - int(weights[shot])
    if gains and not keep.any() and max(gains.values()) > worth:
        chosen[:] = False
        chosen[max(gains, key=gains.__getitem__)] = True
    return chosen
