"""Kernel temporal segmentation, exact, without ever holding the costs of all segments.

The objective of KTS is `cost_m + G(m)`: the least scatter with `m` changes, and a penalty concave in `m`. So
its minimum lies on the lower convex hull of `(m, cost_m)`, and there a fixed price a change, `G'(m)`, has
that very segmentation as its only optimum. With a price instead of a number of changes, one sweep over the
video is enough, and a start that a later one beats once can never win again (Killick et al. 2012, PELT).
Each sweep also bounds `cost_m` from below for every `m`; prices are tried until nothing can be better than
the best that was found. At last the usual dynamic program over the number of changes runs on those few
segments that can be part of an optimum: it decides ties as it would on all segments.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trsum_jax.data.standard import in_float64
from trsum_jax.errors import InputError

_BLOCK = 128
# Prices in one sweep: they share the scatters, and cost little more than one.
_PRICES = 12
# Of the total scatter: what rounding may make of equal costs.
_ROUNDING = 1e-11


class _Edges(NamedTuple):
    """Segments `start..end - 1`, sorted by end, then start; the excess is over the best that ends there."""

    starts: np.ndarray
    ends: np.ndarray
    scatters: np.ndarray
    excess: np.ndarray

    def at(self, which: np.ndarray) -> '_Edges':
        return _Edges(*(column[which] for column in self))


class _Sweep(NamedTuple):
    """Of every price: the least cost of the whole video with the price for every change, and the changes."""

    prices: np.ndarray
    costs: np.ndarray
    changes: np.ndarray
    edges: _Edges | None


class _Rows:
    """Features in a unit, less their mean, in float64; a block at a time, for all would be a large copy."""

    def __init__(self, features: np.ndarray, unit: float):
        self._features, self._unit, self._mean = features, unit, 0.0
        self._mean = sum(some.sum(axis=0) for some in self._parts()) / len(features)

    def __len__(self) -> int:
        return len(self._features)

    @property
    def width(self) -> int:
        return self._features.shape[1]

    def _less_mean(self, some: np.ndarray) -> np.ndarray:
        return some / self._unit - self._mean

    def _parts(self) -> Iterator[np.ndarray]:
        return map(self._less_mean, in_float64(self._features))

    def block(self, begin: int) -> np.ndarray:
        return self._less_mean(self._features[begin : begin + _BLOCK].astype(np.float64))

    def scatter(self) -> float:
        """Of all of them together."""
        return sum(float((some**2).sum()) for some in self._parts())


def _sweep(rows: _Rows, prices: np.ndarray, longest: int, slack: float = 0.0, edges: bool = False) -> _Sweep:
    """Finds the best segmentation for each price of a change; keeps what is within `slack` of the best."""
    n, which = len(rows), np.arange(len(prices))
    # Of the first t steps; every segment pays, so the first one's price is paid in advance.
    costs, segments = np.full((len(prices), n + 1), np.inf), np.zeros((len(prices), n + 1), np.int64)
    costs[:, 0] = -prices
    starts, kept = np.zeros(0, np.int64), []
    # Of every start still in question: the sum of its rows so far, the square of that, the sum of squares.
    sums, squares, traces = np.empty((n, rows.width)), np.zeros(0), np.zeros(0)
    for begin in range(0, n, _BLOCK):
        block = rows.block(begin)
        size, n_old = len(block), len(starts)
        steps = np.arange(begin, begin + size)
        starts = np.append(starts, steps)
        gram = block @ block.T
        own = gram.diagonal()[:, None]
        # Adding one step at a time to every segment avoids the cancellation of differences of sums.
        to_last = np.cumsum(np.tril(gram)[:, ::-1], axis=1)[:, ::-1]
        to_last = np.concatenate([block @ sums[:n_old].T + to_last[:, :1], to_last], axis=1)
        begun = starts <= steps[:, None]
        square = np.append(squares, np.zeros(size)) + np.cumsum((2 * to_last - own) * begun, axis=0)
        trace = np.append(traces, np.zeros(size)) + np.cumsum(own * begun, axis=0)
        lengths = steps[:, None] + 1 - starts
        scatters = np.maximum(trace - square / np.maximum(lengths, 1), 0)
        scatters[~begun | (lengths > longest)] = np.inf

        before = costs[:, starts]
        for row, last in enumerate(steps):
            width = n_old + row + 1
            candidates = before[:, :width] + scatters[row, :width]
            first = candidates.argmin(axis=1)
            costs[:, last + 1] = candidates[which, first] + prices
            segments[:, last + 1] = segments[which, starts[first]] + 1
            if row + 1 < size:
                before[:, width] = costs[:, last + 1]
        if edges:
            excess = before[0] + scatters + prices[0] - costs[0, steps + 1, None]
            row, column = np.nonzero(excess <= slack)
            kept.append((starts[column], steps[row] + 1, scatters[row, column], excess[row, column]))

        alive = (before + scatters[-1] < costs[:, begin + size, None] + slack).any(axis=0)
        own_sums = np.cumsum(block[::-1], axis=0)[::-1]
        n_kept = np.count_nonzero(alive[:n_old])
        if n_kept < n_old:
            sums[:n_kept] = sums[:n_old][alive[:n_old]]
        sums[:n_kept] += own_sums[0]
        starts, squares, traces = starts[alive], square[-1, alive], trace[-1, alive]
        sums[n_kept : len(starts)] = own_sums[alive[n_old:]]
    found = _Edges(*map(np.concatenate, zip(*kept, strict=True))) if edges else None
    return _Sweep(prices, costs[:, n], segments[:, n] - 1, found)


def _within(edges: _Edges, n: int, slack: float) -> _Edges:
    """The segments that lie on a segmentation of the whole video within `slack` of the best."""
    to_end = np.full(n + 1, np.inf)
    to_end[n] = 0
    bounds = np.searchsorted(edges.ends, np.arange(n + 2))
    for end in range(n, 0, -1):
        into = slice(bounds[end], bounds[end + 1])
        starts = edges.starts[into]
        to_end[starts] = np.minimum(to_end[starts], edges.excess[into] + to_end[end])
    return edges.at(edges.excess + to_end[edges.ends] <= slack)


def _by_changes(edges: _Edges, n: int, most: int, rounding: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """The dynamic program of KTS on these segments: `cost_m` for 0..most, and the segments chosen there."""
    heads = np.flatnonzero(np.diff(edges.ends, prepend=-1))
    sizes = np.diff(heads, append=len(edges.ends))
    index = np.arange(len(edges.ends), dtype=np.int32)
    cost, at_end, chosen = np.full(n + 1, np.inf), np.zeros(most + 1), []
    cost[0] = 0
    for changes in range(most + 1):
        candidates = cost[edges.starts] + edges.scatters
        least = np.minimum.reduceat(candidates, heads)
        first = np.where(candidates <= np.repeat(least + rounding, sizes), index, np.int32(len(index)))
        chosen.append(np.minimum.reduceat(first, heads))
        cost[:] = np.inf
        cost[edges.ends[heads]] = least
        at_end[changes] = cost[n]
    return at_end, chosen


class _Search:
    """What the sweeps have shown: the least scatter for some numbers of changes, a bound below it for all.

    Everything is in units of the scatter: `penalty` is `G(m)` for 0..most.
    """

    def __init__(self, rows: _Rows, most: int, longest: int, penalty: np.ndarray):
        self.rows, self.most, self.longest, self.penalty = rows, most, longest, penalty
        self.total = rows.scatter()
        self.rounding = _ROUNDING * self.total
        self.bound = np.zeros(most + 1)
        fewest = -(-len(rows) // longest) - 1
        self.bound[:fewest] = np.inf
        # A price from which on there are no more changes than are allowed.
        self.high = 2 * self.total / max(most - fewest, 0.5) or 1.0
        self.best, self.changes, self.price, self.slack = np.inf, 0, 0.0, 0.0
        if longest >= len(rows):
            self.bound[0] = self.total
            self.note(0, self.total, self.total, 0.0)

    def note(self, changes: int, scatter: float, price: float, excess: float) -> None:
        """A segmentation exists, and at this price of a change it costs `excess` more than the best."""
        if changes <= self.most and scatter + self.penalty[changes] < self.best:
            self.best, self.changes = scatter + self.penalty[changes], changes
            self.price, self.slack = price, excess

    def sweep(self, prices: np.ndarray) -> list[tuple[float, int, float]]:
        """Tries prices; returns price, number of changes and scatter of each, by rising price."""
        found = _sweep(self.rows, np.unique(prices), self.longest)
        lines = []
        for price, cost, changes in zip(*(column.tolist() for column in found[:3]), strict=True):
            self.bound = np.maximum(self.bound, cost - price * np.arange(self.most + 1))
            self.note(changes, cost - price * changes, price, 0.0)
            lines.append((price, changes, cost - price * changes))
        return lines

    def open(self) -> np.ndarray:
        """The numbers of changes that may still be better than the best that was found."""
        return np.flatnonzero(self.bound + self.penalty < self.best - self.rounding)

    def steepest(self, lines: list[tuple[float, int, float]]) -> tuple[float, int]:
        """Where a price gives more changes than are allowed: the slope of the hull's edge above `most`.

        Returns that price, and the number of changes at the edge's left end, at most `most`.
        """
        # From below, because little can be ruled out at a price that is too high.
        price = self.high / 64
        while lines[-1][1] > self.most:
            if price > lines[-1][0]:
                lines = [*lines, *self.sweep(np.array([price]))]
            price *= 2
        while True:
            low = max(line for line in lines if line[1] > self.most)
            high = min(line for line in lines if line[1] <= self.most)
            slope = (high[2] - low[2]) / (low[1] - high[1])
            if high[1] == self.most or not low[0] < slope < high[0]:
                return high[0], high[1]
            found = self.sweep(np.append(np.linspace(low[0], high[0], _PRICES + 1)[1:-1], slope))
            at = next(line for line in found if line[0] == slope)
            if at[2] + slope * at[1] >= high[2] + slope * high[1] - self.rounding:
                return slope, high[1]
            lines = [low, *found, high]

    def between(self, price: float, numbers: np.ndarray) -> None:
        """Settles numbers of changes within an edge of the hull, of that slope: none is best at any price.

        What costs more than `slack` over the best at this price is left out, for a growing `slack`, until
        the number has its least scatter or cannot be best.
        """
        n, slack = len(self.rows), 0.02 * price + self.rounding
        while numbers.size:
            needed = (self.best - self.penalty + price * np.arange(self.most + 1))[numbers]
            found = _sweep(self.rows, np.array([price]), self.longest, slack, edges=True)
            cost = found.costs[0]
            scatter = _by_changes(_within(found.edges, n, slack), n, self.most, self.rounding)[0]
            for m in numbers.tolist():
                self.bound[m] = max(self.bound[m], min(scatter[m], cost + slack - price * m))
                if scatter[m] < np.inf:
                    self.note(m, scatter[m], price, scatter[m] + price * m - cost)
            numbers = np.intersect1d(numbers, self.open())
            slack = min(4 * slack, needed.max() - cost) + self.rounding


def kts(
    features: np.ndarray, *, max_changes: int, vmax: float, longest: int | None = None, unit: float = 1.0
) -> np.ndarray:
    """Finds the change points of kernel temporal segmentation with a linear kernel.

    Minimises `cost_m / n + vmax * m / (2 n) * (log(n / m) + 1)` over the number of changes `m` and their
    places, where `cost_m` is the scatter within segments, `sum_t |x_t - mean of its segment|^2`. The result
    is exact at every length (in float64; the first minimum on ties), by the way described in this file's
    head. Memory grows with n times D; time and memory grow with the square of n only where nothing can be
    ruled out: without any scene, time does (seconds for 14,400 steps); where all steps are equally far from
    each other, to the last bit, so that every segmentation is as good as any, memory does too.

    Args:
        features: [n, D] float, one row a step.
        max_changes: most changes allowed; more than n - 1 counts as n - 1.
        vmax: scale of the penalty, 0 or more; fewer shots for larger values. Meant for rows of unit norm.
        longest: most steps of a segment, 1 or more; no limit by default.
        unit: what counts as a length of one; the features are divided by it.

    Returns:
        [m] int64, the first steps of the new shots (step 0 is not among them), increasing.

    Raises:
        InputError: features that are not two-dimensional or not finite; a negative `vmax` or `max_changes`;
            a `longest` that needs more changes.

    Reference: Potapov et al., Category-Specific Video Summarization, ECCV 2014.
    """
    features = np.asarray(features)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise InputError(f'KTS: expected finite features [n, D], found an array of shape {features.shape}')
    if not vmax >= 0 or max_changes < 0:
        raise InputError(f'KTS: expected vmax and max_changes >= 0, found {vmax} and {max_changes}')
    n = len(features)
    most, longest = min(max_changes, n - 1), max(n, 1) if longest is None else longest
    if longest < 1 or (most + 1) * longest < n:
        raise InputError(f'KTS: {most} changes of {n} steps cannot leave segments of at most {longest}')
    if most < 1:
        return np.zeros(0, np.int64)

    m = np.arange(1, most + 1)
    penalty = np.append(0, vmax * m / 2 * (np.log(n / m) + 1))
    price = np.append(np.inf, vmax / 2 * np.log(n / m))
    search = _Search(_Rows(features, unit), most, longest, penalty)
    tried, limit, edge = np.zeros(most + 1, bool), most, None
    while True:
        numbers = search.open()
        numbers = numbers[(numbers <= limit) & ~tried[numbers]]
        if numbers.size == 0:
            break
        places = np.unique(np.linspace(0, len(numbers) - 1, _PRICES).round().astype(int))
        lines = search.sweep(price[numbers[places]])
        tried[numbers[places]] = True
        if edge is None and lines[0][1] > most:
            edge, limit = search.steepest(lines)
    if edge is not None:
        search.between(edge, search.open())

    if search.changes == 0:
        return np.zeros(0, np.int64)
    slack = search.slack + search.rounding
    edges = _sweep(search.rows, np.array([search.price]), longest, slack, edges=True).edges
    edges = _within(edges, n, slack)
    chosen = _by_changes(edges, n, search.changes, search.rounding)[1]
    heads = edges.ends[np.flatnonzero(np.diff(edges.ends, prepend=-1))]
    changes, end = [], n
    for first in reversed(chosen[1:]):
        end = int(edges.starts[first[np.searchsorted(heads, end)]])
        changes.append(end)
    return np.array(changes[::-1], np.int64)
