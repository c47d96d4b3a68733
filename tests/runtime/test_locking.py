"""Of two processes in one workdir the second is told who is first; a lock does not outlive its process."""

import os
import pathlib
import signal
import subprocess
import sys

import ml_collections
import pytest
from tiny import RECIPE, tiny_config

from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.records import Dataset
from trsum_jax.errors import InputError
from trsum_jax.experiment import own_videos
from trsum_jax.experiment.run import run_experiment
from trsum_jax.runtime import locking
from trsum_jax.studies.variants import run_variants

HOLDER = """
import pathlib, sys, time
from trsum_jax.runtime import locking
with locking.held(pathlib.Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `tmp_path / 'run'`."""
    command = [sys.executable, '-c', HOLDER, str(tmp_path / 'run')]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'held\n'
        yield process
        process.kill()


def test_the_second_is_told_who_is_first_and_touches_nothing(holder, tmp_path):
    workdir = tmp_path / 'run'
    told = rf'run: process {holder.pid} on \S+, since \d{{4}}-.*, works in this folder'
    alone = tiny_config()
    several = tiny_config()
    several.variants = ml_collections.ConfigDict({'run': {}})
    dataset = Dataset('videos', {video.key: video for video in generate(Recipe(**RECIPE))})
    for begin in (
        lambda: run_experiment(alone, workdir),
        lambda: run_variants(several, tmp_path),
        lambda: own_videos.train_and_score(dataset, alone, workdir),
    ):
        with pytest.raises(InputError, match=told):
            begin()
    assert [path.name for path in workdir.iterdir()] == [locking.NAME]
    assert [path.name for path in tmp_path.iterdir()] == ['run']
    assert holder.poll() is None


def test_a_killed_process_holds_nothing(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    workdir = tmp_path / 'run'
    assert (workdir / locking.NAME).read_text().startswith(f'process {holder.pid} on ')
    with locking.held(workdir):
        assert (workdir / locking.NAME).read_text().startswith(f'process {os.getpid()} on ')
    assert list(workdir.iterdir()) == []


def test_folders_that_nothing_was_written_to_go_with_the_lock(tmp_path):
    (tmp_path / 'there').mkdir()
    with locking.held(tmp_path / 'there' / 'a' / 'b', tmp_path / 'there' / 'c'):
        (tmp_path / 'there' / 'c' / 'file').write_text('')
        assert (tmp_path / 'there' / 'a' / 'b').is_dir()
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob('*')) == [
        pathlib.Path('there'),
        pathlib.Path('there/c'),
        pathlib.Path('there/c/file'),
    ]


def test_a_lock_file_removed_meanwhile_is_no_lock(tmp_path):
    """One process opens the file, the one before it removes it: the lock would be on what nobody sees."""
    with locking.held(tmp_path):
        (tmp_path / locking.NAME).unlink()
        with locking.held(tmp_path):
            assert (tmp_path / locking.NAME).exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / 'run').write_text('')
    for workdir in (tmp_path / 'run', tmp_path / 'run' / 'below'):
        with pytest.raises(InputError, match='--workdir: '), locking.held(workdir):
            pass
