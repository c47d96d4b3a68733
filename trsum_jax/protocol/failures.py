"""The three ways in which a summary goes wrong, measured: it repeats, it misses events, it takes transitions.

Every measure is of the steps that a summary, or a choice of single frames, selects: [n_steps] bool. They are
the failure signatures that the paper names, in the form of numbers.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from trsum_jax.data.made.planted import Truth
from trsum_jax.data.records import Video
from trsum_jax.protocol import evaluation

MEASURES = ('repeated', 'similarity', 'missed_events', 'transition_preference')


def repeated_share(content: np.ndarray, shot: np.ndarray, selected: np.ndarray) -> float:
    """The share of the selected steps that show what an earlier selected shot has shown already.

    Args:
        content: [n_steps] int, which content each step shows.
        shot: [n_steps] int, the shot of each step.
        selected: [n_steps] bool.

    Returns:
        From 0 to 1; NaN where nothing is selected.
    """
    content, shot = np.asarray(content)[selected], np.asarray(shot)[selected]
    if not len(content):
        return float('nan')
    first_shot = {c: shot[content == c][0] for c in np.unique(content)}
    return float(np.mean([s != first_shot[c] for c, s in zip(content, shot, strict=True)]))


def similarity(features: npt.ArrayLike, selected: np.ndarray) -> float:
    """Mean cosine over all pairs of selected steps: redundancy where no truth is known.

    Args:
        features: [n_steps, D] float.
        selected: [n_steps] bool.

    Returns:
        From -1 to 1; NaN where fewer than two steps are selected.
    """
    chosen = np.asarray(features, np.float64)[selected]
    if len(chosen) < 2:
        return float('nan')
    unit = chosen / np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-12)
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].mean())


def missed_events(event: np.ndarray, selected: np.ndarray) -> float:
    """The share of the events of which no step is selected.

    Args:
        event: [n_steps] int, the number of each step's event, -1 where there is none.
        selected: [n_steps] bool.

    Returns:
        From 0 to 1; NaN where there are no events.
    """
    event = np.asarray(event)
    every = set(event[event >= 0])
    return 1 - len(every & set(event[selected])) / len(every) if every else float('nan')


def transition_preference(transition: np.ndarray, selected: np.ndarray) -> float:
    """How many times more often a selected step is a transition than any step is.

    Args:
        transition: [n_steps] bool.
        selected: [n_steps] bool.

    Returns:
        0 or more, 1 for a choice that does not look; NaN where there are no transitions or nothing is
        selected.
    """
    if not transition.any() or not selected.any():
        return float('nan')
    return float(transition[selected].mean() / transition.mean())


def summary_steps(video: Video, scores: np.ndarray, budget: float = evaluation.BUDGET) -> np.ndarray:
    """The steps that lie in the summary of shots which scores give.

    Args:
        video: with change points.
        scores: [n_steps] float.
        budget: the summary's greatest share of the video.

    Returns:
        [n_steps] bool.
    """
    assert video.change_points is not None
    per_frame = evaluation.frame_scores(scores, video.picks, video.n_frames)
    return evaluation.summarize(per_frame, video.change_points, video.n_frames, budget)[video.picks] > 0


def top_steps(scores: np.ndarray, budget: float = evaluation.BUDGET) -> np.ndarray:
    """The steps of the highest scores, whatever their shots: a choice of key frames.

    Args:
        scores: [n_steps] float.
        budget: their share of all steps; at least one is taken, of equal ones the earlier.

    Returns:
        [n_steps] bool.
    """
    selected = np.zeros(len(scores), bool)
    selected[np.argsort(-np.asarray(scores), kind='stable')[: max(int(len(scores) * budget), 1)]] = True
    return selected


def measure_failures(video: Video, truth: Truth, selected: np.ndarray) -> Mapping[str, float]:
    """All measures of one choice of steps.

    Args:
        video: with features and change points.
        truth: what was planted in it.
        selected: [n_steps] bool.

    Returns:
        The `MEASURES`; NaN where nothing of the kind was planted.
    """
    assert video.features is not None
    return {
        'repeated': repeated_share(truth.content, video.step_shots, selected),
        'similarity': similarity(video.features, selected),
        'missed_events': missed_events(truth.event, selected),
        'transition_preference': transition_preference(truth.transition, selected),
    }
