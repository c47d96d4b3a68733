"""Rows at equal distances, taken to the steps of a video."""

import itertools

import numpy as np
import pytest

from trsum_jax.data.layouts.rows import resample


@pytest.mark.parametrize(('n_rows', 'n_frames', 'picks'), [
    (7, 60, [0, 15, 30, 45]),
    (3, 60, [0, 15, 30, 45]),
    (23, 50, [0, 1, 20, 33, 48]),
    (4, 47, [5, 20, 35]),
])  # fmt: skip
def test_a_step_has_the_mean_over_its_time(n_rows, n_frames, picks):
    """Brute force: the video in as many parts as both divide."""
    rows = np.random.default_rng(0).normal(size=(n_rows, 3))
    fine = np.repeat(rows, n_frames, axis=0)
    edges = np.array([*picks, n_frames]) * n_rows
    expected = [fine[a:b].mean(axis=0) for a, b in itertools.pairwise(edges)]
    found = resample(rows, np.array(picks), n_frames)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_rows_of_the_steps_themselves_stay():
    rows = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
    np.testing.assert_allclose(resample(rows, 15 * np.arange(6), 90), rows, rtol=1e-6)
