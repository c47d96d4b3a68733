"""How estimates of a gradient agree with it, as they are and by the order of frames that they give."""

import numpy as np


def centred(values: np.ndarray) -> np.ndarray:
    """[…, L] without the mean over frames: what tells frames from each other."""
    return values - values.mean(axis=-1, keepdims=True)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[…], of […, L] and [L]; 0 of an estimate that is 0, as where all ratios are clipped."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b)
    return a @ b / np.where(lengths > 0, lengths, 1.0)


def agreement(drawn: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """How single estimates and their mean agree with the gradient, as they are and centred.

    A gradient that is nearly the same at every frame has a cosine near 1 with every constant, which says
    nothing of the order of frames; the centred figures are those of the order.

    Args:
        drawn: [K, L], single estimates.
        truth: [L], the gradient.

    Returns:
        The variance of one estimate over the squared norm of the gradient; the mean cosine of one estimate,
        and the cosine of their mean, with it; the same of what is centred.
    """
    return {
        f'{part}{name}': float(value)
        for part, k, t in (('', drawn, truth), ('centred_', centred(drawn), centred(truth)))
        for name, value in {
            'variance': k.var(axis=0, ddof=1).sum() / (t @ t),
            'cosine': cosine(k, t).mean(),
            'mean_cosine': cosine(k.mean(axis=0), t),
        }.items()
    }


def of_truth(slopes: np.ndarray) -> dict[str, float]:
    """What a constant scores, and how well the gradient itself is known.

    Args:
        slopes: [K, L], the gradient by each action that was flipped.

    Returns:
        The cosine of a constant with the gradient; the cosine of the centred gradients of two halves of the
        actions, and from it that of the centred gradient of all actions with the one without noise.
    """
    half = len(slopes) // 2
    halves = cosine(centred(slopes[:half].mean(axis=0)), centred(slopes[half:].mean(axis=0)))
    return {
        'constant': float(cosine(np.ones(slopes.shape[1]), slopes.mean(axis=0))),
        'halves': float(halves),
        # Spearman and Brown's formula for twice as many, and the root of that: against no noise at all.
        'known': float(np.sqrt(max(2 * halves / (1 + halves), 0.0))),
    }
