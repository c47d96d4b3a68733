"""Whole benchmarks at toy size; no figure is checked: `python -m pytest tests/soak/whole_benchmarks.py`."""

import importlib
import os
import time

import numpy as np
import pytest

from benchmarks import films, grid, large_set, measure, steps
from trsum_jax.data import datasets
from trsum_jax.video.reading import VideoReader


@pytest.fixture(scope='module')
def compared():
    with pytest.MonkeyPatch.context() as patch:
        # The tests' own cache: no time is checked here.
        patch.setattr(grid, '_environment', lambda cache, folder: dict(os.environ))
        return grid.compare_grid('toy', 'on', folds=2, seeds=(0,))


def test_one_process_and_a_process_a_run_do_the_same_work(compared):
    assert len(compared['each_s']) == 2
    assert compared['ratio'] == pytest.approx(compared['one_s'] / sum(compared['each_s']))
    assert compared['loss_differs_by'] < 1e-4


def test_a_start_is_timed_until_the_first_epoch():
    found = grid.cold_start('toy', repetitions=1)
    assert len(found['cached_s']) == 1
    assert min(found['empty_s'], *found['cached_s']) > 0


def in_this_process(works, repetitions, label):
    """A start of JAX and of PyTorch for each worker takes longer than all that they do here."""
    timings = {}
    for name, work in works.items():
        module, _, function = work.build.partition(':')
        run = getattr(importlib.import_module(module), function)(**work.options)
        started = time.perf_counter()
        run()
        timings[name] = measure.Timing(0.0, 0.0, (time.perf_counter() - started,) * repetitions, 1)
    return timings


def test_the_comparison_runs_at_toy_size(monkeypatch):
    pytest.importorskip('torch')
    monkeypatch.setattr(measure, 'in_turn', in_this_process)
    found = steps.compare_steps('toy', 'summarizer', repetitions=1)
    assert set(found['ratios']) == {'torch_best', 'torch_field'}
    assert all(row['ours, s'] > 0 for row in steps.rows([found]))


def test_a_large_set_is_read_once_a_phase(tmp_path):
    path, splits, workdir = tmp_path / 'all.h5', tmp_path / 'splits.json', tmp_path / 'run'
    workdir.mkdir()
    datasets.write_dataset(path, large_set.made(60, (20, 40), 256), synthetic=True)
    large_set.write_splits(splits, 60)
    rows = large_set.run_phases(path, splits, 0.5, workdir)
    times = {row['phase']: row['times the file'] for row in rows}
    assert times['an epoch of the generator'] < 1.2 and times['scoring'] < 1.2
    # Small files have more of names and numbers than of features.
    assert times['opening, checking, splits'] < 2


@pytest.mark.parametrize('codec', films.CODECS)
def test_films_are_pieces_without_a_seam(tmp_path, codec):
    films.make_piece(tmp_path / 'piece.mp4', '180p', codec)
    films.repeat(tmp_path / 'piece.mp4', tmp_path / 'film.mp4', 0.6)
    with VideoReader(tmp_path / 'film.mp4') as reader:
        shown = [frame.to_ndarray(format='gray').mean() for *_, frame in reader.frames()]
    assert reader.n_frames == 3 * films.PIECE * films.FPS
    assert np.ptp(np.diff(reader.frame_times)) < 1e-3
    assert reader.notes == []
    assert np.ptp(np.array(shown).reshape(3, -1), axis=0).max() < 1
    timed = films.timed(films.decoding(tmp_path / 'film.mp4'))
    assert timed['processor_seconds'] > 0 and timed['peak_bytes'] > 1e7
