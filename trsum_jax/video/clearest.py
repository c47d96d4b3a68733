"""Which frame stands for a shot: one of high score that is sharp and lies in no fade."""

import numpy as np

from trsum_jax.video import cuts

# Of the contrast and the sharpness that are usual in a shot: less is faded or blurred.
_CLEAR = 0.9
_ROUNDING = 1e-6


def clearest_frames(
    shots: np.ndarray, frames: np.ndarray, edges: np.ndarray, changes: cuts.Changes, scenes: np.ndarray
) -> np.ndarray:
    """The frame of every shot that shows it best on a page.

    Left out are the shot's ends that `cuts.trim` leaves out of a part (of another scene, black, faded,
    cross-fading, blurred), then frames of little contrast or sharpness for this shot. Of what is left the
    frames of highest score are taken, and of these the sharpest.

    Args:
        shots: [n_shots, 2] int, first and last frame, both inclusive.
        frames: [n_frames] float, the score of every frame.
        edges: [n_frames + 1] float64, when every frame begins, and the end of the last one, in seconds.
        changes: of all frames.
        scenes: [n] int, where scenes begin.

    Returns:
        [n_shots] int64, a frame within each shot.
    """
    found = []
    for first, last in np.asarray(shots).tolist():
        # Half a shot stays, however much of it is dull.
        least = (edges[last + 1] - edges[first]) / 2
        begin, end = cuts.trim((first, last), edges, changes, scenes, least)
        within = slice(begin, end + 1)
        sharpness, contrast = changes.sharpness[within], changes.contrast[within]
        clear = (sharpness >= _CLEAR * np.median(sharpness)) & (contrast >= _CLEAR * np.median(contrast))
        if not clear.any():
            clear[:] = True
        scores = np.where(clear, frames[within], -np.inf)
        best = scores >= scores.max() - _ROUNDING
        found.append(begin + int(np.argmax(np.where(best, sharpness, -np.inf))))
    return np.array(found, np.int64)
