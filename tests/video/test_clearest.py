"""The frame that stands for a shot, on frames of which everything is known."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip('av')

import av
import pages
from rendered import scene
from scipy import ndimage

from trsum_jax.video import cuts
from trsum_jax.video.clearest import clearest_frames


def blurred(picture):
    return ndimage.gaussian_filter(picture.astype(float), (4, 4, 0)).astype(np.uint8)


def chosen(pictures, scores, shots=None):
    """Numbers of the key frames of shots, by default of one; ten frames a second."""
    n = len(pictures)
    watcher = cuts.Watcher()
    for picture in pictures:
        watcher(av.VideoFrame.from_ndarray(picture, format='rgb24'))
    changes, edges = watcher.changes(), np.arange(n + 1) / 10
    shots = np.array([[0, n - 1]] if shots is None else shots)
    scenes = cuts.find_scenes(edges[:-1], changes).starts
    return clearest_frames(shots, np.asarray(scores, float), edges, changes, scenes).tolist()


@pytest.mark.parametrize(
    ('damage', 'worst'),
    [
        ('fade in', range(8)),
        ('fade out', range(22, 30)),
        ('blur', range(10, 20)),
        ('black', range(12, 16)),
    ],
)
def test_no_key_frame_where_nothing_can_be_seen(damage, worst):
    pictures = [scene(1)] * 30
    for i in worst:
        shade = {'fade in': i / 8, 'fade out': (29 - i) / 8, 'black': 0}.get(damage)
        pictures[i] = blurred(scene(1)) if shade is None else (scene(1) * shade).astype(np.uint8)
    # The score alone would take one of the worst.
    scores = np.isin(np.arange(30), worst).astype(float)
    (found,) = chosen(pictures, scores)
    assert found not in worst


def test_the_sharpest_of_the_highest_score():
    pictures = [ndimage.gaussian_filter(scene(1), (0, 0.4, 0)) for _ in range(30)]
    pictures[17] = pictures[25] = scene(1)
    # From 20 on the score is less: frame 25 is as sharp, and not as important.
    assert chosen(pictures, [0.2] * 10 + [0.8] * 10 + [0.4] * 10) == [17]


def test_every_shot_has_its_own_even_where_all_of_it_is_dull():
    pictures = [scene(1)] * 12 + [np.zeros_like(scene(1))] * 12 + [scene(2)]
    shots = [[0, 11], [12, 23], [24, 24]]
    found = np.array(chosen(pictures, np.linspace(0, 1, 25), shots))
    assert np.all((found >= np.array(shots)[:, 0]) & (found <= np.array(shots)[:, 1]))


def test_a_part_shows_the_key_frame_of_its_best_shot():
    summary = pages.summary_of('absent.mp4')
    summary = dataclasses.replace(
        summary,
        shots=np.array([[0, 9], [10, 19], [20, 29]]),
        picks=np.array([0, 10, 20]),
        scores=np.array([0.1, 0.9, 0.5], np.float32),
        key_frames=np.array([7, 13, 28]),
    )
    assert [summary.key_frame(np.array(span)) for span in ((0, 29), (20, 29), (0, 9))] == [13, 28, 7]
    # None lies in it: the frame of highest score does; nor does a score: the middle one.
    assert [summary.key_frame(np.array(span)) for span in ((8, 12), (1, 5))] == [10, 3]
