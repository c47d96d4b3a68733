"""Shots that show as much of a video as fits, nothing twice: ours, for people, and not the protocol's."""

from typing import NamedTuple

import numpy as np

# How shots are chosen: so that nothing is shown twice, which is ours; or as the field's protocol does.
COVERAGE, KNAPSACK = CHOICES = ('coverage', 'knapsack')
# Moments look alike up to about this share of the distance that moments of the video have in the mean.
_ALIKE = 0.5
# Seconds of what looks like a moment, at a usual score, that leave 1/e of it to be shown.
_ENOUGH = 2.0
# What is covered are moments at even distances, at most so many; and moments that are compared at once.
_MOST, _BLOCK = 2048, 4096
# Shots of whose worth more than this share is new come first; others only if these fill less than that share
# of the time.
_NEW, _FILLED = 0.6, 0.8
# Shots whose gains are computed at once, at most: their rows are copied in float64.
_TOGETHER = 256
# However often a moment was shown, more of it is worth more than nothing.
_LEAST = 1e-200


class Content(NamedTuple):
    """What shots show of the moments of a video.

    Attributes:
        covers: [n_shots, n_moments] float32 in [0, 1], how much of a moment a shot has shown.
        worth: [n_moments] float64, one over the number of moments that look like it: a scene counts once,
            however long it lasts.
    """

    covers: np.ndarray
    worth: np.ndarray


def content(
    shots: np.ndarray, picks: np.ndarray, edges: np.ndarray, features: np.ndarray, scores: np.ndarray
) -> Content:
    """Compares all that is shown with all that there is to show.

    Two moments look alike by `exp(-d^2 / s^2)` for the distance `d` of their features, scaled to length one,
    and half of the video's own mean distance (as a root of squares) as `s`. A shot covers a moment by
    `1 - exp(-m / 2 s)`, where `m` are its seconds, each as far as it looks like the moment and weighed by its
    score: the first seconds of a scene are worth most. Scores are taken by their ranks, for of a model that
    gives .48 to .52 the order is all that it says; a score of 0 is worth nothing.

    Args:
        shots: [n_shots, 2] int, first and last frame, both inclusive, covering the video.
        picks: [n_steps] int, the frame of every step, increasing.
        edges: [n_frames + 1] float64, when every frame begins, and the end of the last one, in seconds.
        features: [n_steps, D] float.
        scores: [n_steps] float, 0 or more.

    Returns:
        The content of every shot.
    """
    # Slow to import, or of the extra `video`; help needs no more than names.
    from scipy import sparse, stats

    from trsum_jax.video.encoders.encoder import unit_rows

    ranks = np.where(scores > 0, stats.rankdata(scores), 0.0)
    ranks /= max(ranks.mean(), 1e-12)
    bounds = np.union1d(shots[:, 0], picks)
    seconds = np.diff(edges[np.append(bounds, len(edges) - 1)])
    shot = np.searchsorted(shots[:, 0], bounds, side='right') - 1
    step = np.maximum(np.searchsorted(picks, bounds, side='right') - 1, 0)
    shares = (seconds * ranks[step] / _ENOUGH, (shot, step))
    weights = sparse.csr_array(shares, shape=(len(shots), len(picks)))

    moments = unit_rows(features[np.unique(np.linspace(0, len(features) - 1, _MOST).astype(np.int64))])
    # The mean squared distance of two moments is twice their mean squared distance from the mean.
    scale = 2 * _ALIKE**2 * max(float(moments.var(axis=0).sum()), 1e-12)
    shown, density = np.zeros((len(shots), len(moments)), np.float32), np.zeros(len(moments))
    for first in range(0, len(features), _BLOCK):
        some = slice(first, first + _BLOCK)
        alike = np.exp(-np.maximum(2 - 2 * unit_rows(features[some]) @ moments.T, 0) / scale)
        shown += weights[:, some] @ alike
        density += alike.sum(axis=0)
    # Every moment looks like itself, but for one without a length.
    return Content(-np.expm1(-shown), 1 / np.maximum(density, 1))


def choose(
    of_shots: Content, weights: np.ndarray, capacity: int, *, able: np.ndarray, keep: np.ndarray
) -> np.ndarray:
    """Takes the shot of greatest gain for its length, again and again, as long as one fits.

    A summary is worth `sum_j worth_j (1 - prod_s (1 - covers_sj))` over its shots `s`: what shows again what
    has been seen adds next to nothing. That is the coverage of El-Arini et al. (Turning Down the Noise in the
    Blogosphere, 2009), one of the concave functions of what is taken of a cluster that Lin & Bilmes argue for
    (A Class of Submodular Functions for Document Summarization, 2011), with every moment as the centre of a
    soft cluster. It does what maximal marginal relevance is meant to do (Carbonell & Goldstein, 1998), but as
    one function of the set, which is monotone and submodular: a gain found before is a bound for later, and
    few are computed again. The better of the greedy choice and the best single shot would be worth at least
    `(1 - 1/e) / 2` of the best choice (Khuller, Moss & Naor, 1999; Lin & Bilmes, 2010). But it spends what is
    left of the time on whatever still fits, mostly on short shots of what was seen. So shots come first that
    add more than .6 of what they are worth by themselves. Only if these fill less than .8 of the time are
    others taken, for all of the rest.

    Args:
        of_shots: from `content`.
        weights: [n_shots] int, what each shot weighs, at least 1.
        capacity: the greatest total weight.
        able: [n_shots] bool, which of them may be taken.
        keep: [n_shots] bool, which of them are taken first, even where they weigh more.

    Returns:
        [n_shots] bool, True where the shot is taken; one that adds nothing is not.
    """
    covers, chosen = of_shots.covers, np.array(keep, bool)
    # By rows: a copy of all in float64 would be large.
    by_itself = np.array([float(row @ of_shots.worth) for row in covers])
    left = of_shots.worth * np.maximum(np.prod(1.0 - covers[chosen], axis=0), _LEAST)
    room = capacity - int(weights[chosen].sum())
    bounds, reached = by_itself / weights, 0.0
    for new in (_NEW, 0.0):
        if new < _NEW and capacity - room >= _FILLED * capacity:
            break
        free, least = able & ~chosen & (weights <= room), new * by_itself
        while (shot := _best(covers, left, weights, least, bounds, free)) is not None:
            chosen[shot] = True
            room, reached = room - int(weights[shot]), reached + bounds[shot] * weights[shot]
            left = np.maximum(left * (1.0 - covers[shot]), _LEAST)
            free &= ~chosen & (weights <= room)
    alone = np.where(able & (weights <= capacity), by_itself, 0.0)
    if not keep.any() and alone.max() > reached:
        chosen[:] = False
        chosen[alone.argmax()] = True
    return chosen


def _best(
    covers: np.ndarray,
    left: np.ndarray,
    weights: np.ndarray,
    least: np.ndarray,
    bounds: np.ndarray,
    free: np.ndarray,
) -> int | None:
    """The free shot of greatest gain for its length, of equal ones the first; None without.

    Gains are computed in the order of `bounds`, which they had before, of more and more shots until one is
    above all that come after. `bounds` keeps them, and shots that gain no more than `least` leave `free`.
    """
    order = np.flatnonzero(free)
    order = order[np.argsort(-bounds[order], kind='stable')]
    best, done, some = -np.inf, 0, 1
    while done < len(order) and bounds[order[done]] >= best:
        now = order[done : done + some]
        # Row by row alike, so that shots that show the same gain the same.
        gains = np.einsum('sm,m->s', covers[now], left)
        bounds[now], free[now] = gains / weights[now], gains > least[now]
        best = max(best, bounds[now][free[now]].max(initial=-np.inf))
        done, some = done + some, min(2 * some, _TOGETHER)
    return int(np.where(free, bounds, -np.inf).argmax()) if free.any() else None
