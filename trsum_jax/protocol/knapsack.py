"""The 0/1 knapsack of the field's protocol, with float values and its rule for equal values."""

import numpy as np


def solve(values: np.ndarray, weights: np.ndarray, capacity: int) -> np.ndarray:
    """Chooses the items of greatest total value whose weights sum to at most the capacity.

    `best[c] = max(best[c], best[c - w_i] + v_i)` over the items in order, in float64; the choice is read
    back from the last item. An item is taken only where that is strictly better, so items of equal worth
    go to the earlier one and an item of no value is never taken.

    Args:
        values: [n] float, what each item is worth; may be zero or negative.
        weights: [n] int, what each item weighs, at least 1.
        capacity: the greatest total weight, at least 0; it may be met exactly.

    Returns:
        [n] bool, True where the item is chosen.

    Raises:
        ValueError: where values and weights differ in length, or a weight is below 1.
    """
    values, weights = np.asarray(values, np.float64), np.asarray(weights, np.int64)
    if values.ndim != 1 or values.shape != weights.shape:
        raise ValueError(f'values {values.shape} and weights {weights.shape} must be of one length')
    if weights.size and weights.min() < 1:
        raise ValueError(f'weights must be at least 1, found {weights.min()}')
    capacity = max(int(capacity), 0)
    best = np.zeros(capacity + 1)
    # A bit for every item and capacity: of a day's video that is 0.8 GB.
    better = np.zeros((len(values), capacity // 8 + 1), np.uint8)
    for item, (value, weight) in enumerate(zip(values, weights, strict=True)):
        if weight > capacity:
            continue
        taken = best[: capacity + 1 - weight] + value
        is_better = np.zeros(capacity + 1, bool)
        is_better[weight:] = taken > best[weight:]
        better[item] = np.packbits(is_better)
        np.maximum(best[weight:], taken, out=best[weight:])

    chosen = np.zeros(len(values), bool)
    room = capacity
    for item in range(len(values) - 1, -1, -1):
        if better[item, room // 8] >> (7 - room % 8) & 1:
            chosen[item] = True
            room -= weights[item]
    return chosen
