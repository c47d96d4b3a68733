"""The harness at toy size; no figure is checked here."""

import shutil
import subprocess

import pytest

from benchmarks import measure, workers
from benchmarks.measure import Work


def test_a_worker_that_dies_is_named():
    with pytest.raises(RuntimeError, match='broken'):
        measure.in_turn({'broken': Work('benchmarks.workers:ours', {'size': 'no such size', 'stage': 'x'})})


def test_ratios_are_of_the_paired_times_and_twins_differ_little(monkeypatch):
    times = {'ours': (1.0, 2.0, 4.0), 'twin': (1.1, 2.2, 4.4), 'theirs': (2.0, 4.0, 16.0)}
    timings = {name: measure.Timing(0.0, 0.0, of, 2**20) for name, of in times.items()}
    monkeypatch.setattr(measure, 'in_turn', lambda works, repetitions, label: timings)
    found = measure.compare({'ours': Work(''), 'theirs': Work('')})
    assert found['ratios']['theirs']['ratio'] == 0.5
    assert not found['ratios']['theirs']['none']
    assert found['twin_spread'] == pytest.approx(1.1)
    timings['theirs'] = measure.Timing(0.0, 0.0, (1.05, 2.1, 4.2), 2**20)
    assert measure.compare({'ours': Work(''), 'theirs': Work('')})['ratios']['theirs']['none']


def test_figures_name_the_processor_and_the_commit(monkeypatch, tmp_path):
    listed = tmp_path / 'cpuinfo'
    listed.write_text('model name\t: A CPU: 2\ncpu family\t: 6\nmodel\t\t: 207\n\nmodel name\t: another\n')
    monkeypatch.setattr(measure, '_LISTED', listed)
    monkeypatch.setattr(measure, '_ROOT', tmp_path)
    git = ['git', '-C', str(tmp_path), '-c', 'user.name=a', '-c', 'user.email=a@b']
    subprocess.run([*git, 'init', '-q'], check=True)
    subprocess.run([*git, 'commit', '-q', '--allow-empty', '-m', 'one'], check=True)
    (commit,) = subprocess.run([*git, 'rev-parse', 'HEAD'], capture_output=True, text=True).stdout.split()
    found = measure.machine()
    assert found['processor'] == 'A CPU: 2, family 6, model 207'
    assert commit.startswith(found['commit']) and len(found['commit']) >= 7
    shutil.rmtree(tmp_path / '.git')
    listed.unlink()
    assert measure.machine()['processor']
    assert measure.machine()['commit'] == ''


def test_flops_of_a_step_are_at_least_those_of_its_products():
    # Forward and backward of three layers of 12 W² products over 4 segments of 16 frames.
    products = 3 * 2 * (4 * 16**2 + 2 * 16 * 32) * 3 * 4 * 16
    assert products < workers.step_flops('toy', 'generator') < 10 * products


def test_workers_are_processes_that_take_turns():
    found = measure.in_turn({name: Work('unittest.mock:Mock') for name in ('one', 'other')}, repetitions=3)
    assert set(found) == {'one', 'other'}
    assert all(len(timing.times) == 3 and timing.peak > 2**20 for timing in found.values())
