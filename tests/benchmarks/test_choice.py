"""What is measured of a summary whose scenes are known, by hand."""

import itertools
import pathlib

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

from benchmarks import choice, mixtures
from trsum_jax.video.summary import Summary


def test_what_a_summary_shows_of_known_scenes():
    # Ten frames a second: 5 s of a scene, 10 s of a page, 5 s of that scene again, 4 s of another.
    scenes = np.repeat([0, 1, 0, 2], [50, 100, 50, 40])
    names = ('bird', 'page 1', 'car')
    mixture = mixtures.Mixture(pathlib.Path('m.mp4'), scenes, np.array([False, True, False]), names)
    # Shown: 3 s of the bird, 7 s of the page, 1 s of the bird and half a second of the car.
    starts = np.array([0, 30, 60, 130, 190, 205])
    shots = np.stack([starts, np.append(starts[1:], 240) - 1], axis=1)
    chosen = np.array([True, False, True, False, True, False])
    picks = np.arange(0, 240, 10)
    scores = np.arange(24) / 24
    times = np.arange(240) / 10
    of_shots = np.zeros(6)
    summary = Summary(pathlib.Path('m.mp4'), 10.0, 24.0, times, picks, scores, shots, of_shots, chosen)
    found = choice.measure(summary, mixture, allowed=23.0)
    # Steps of 1 s with the ranks 1 to 24: 1, 2, 3; 7 to 13; 20, and half of 21.
    ranks = (1 + 2 + 3 + sum(range(7, 14)) + 20 + 21 / 2) / 24
    expected = {
        'scenes a minute': 60 * 2 / 11.5,
        'repeated': 1 / 11.5,
        'static': 3 / 11.5,
        'rank': ranks / 11.5,
        'length': 0.5,
        'seconds a part': 11.5 / 3,
    }
    assert found == pytest.approx(expected)


def test_scenes_of_a_mixture_come_back_and_only_pages_stand_still():
    clips = mixtures.clips_of('rendered', {}, np.random.default_rng(0))
    names = [clip.scene for clip in clips]
    assert all(1 <= names.count(scene) <= 3 for scene in names)
    assert all(one != other for one, other in itertools.pairwise(names))
    pages = {clip.scene: clip for clip in clips if clip.scene.startswith('page ')}
    for clip in clips:
        first, later = clip.at(0.0), clip.at(clip.seconds - 0.1)
        np.testing.assert_equal(np.array_equal(first, later), clip.scene in pages)
