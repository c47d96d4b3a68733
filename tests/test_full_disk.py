"""A full disk is one sentence, and leaves no half file behind."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
from disks import largest_file
from tiny import RECIPE

from trsum_jax import evaluate
from trsum_jax.data import datasets
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.stored import hdf5_writer
from trsum_jax.errors import InputError
from trsum_jax.results import summaries

VIDEOS = generate(Recipe(**RECIPE))
SCORES = {video.key: np.linspace(0, 1, video.n_steps) for video in VIDEOS}
FRAMES = {video.key: np.random.default_rng(0).integers(0, 2, 100_000, np.uint8) for video in VIDEOS}
WRITERS = {
    'features': lambda path: datasets.write_dataset(path, VIDEOS),
    'scores': lambda path: summaries.write_scores(path, SCORES),
    'summaries': lambda path: evaluate.write_summaries(path, FRAMES),
}


@pytest.mark.parametrize('size', [0, 500, 3000, 6000])
@pytest.mark.parametrize('name', WRITERS)
def test_what_does_not_fit_is_told_and_the_file_before_it_stays(name, size, tmp_path, capfd):
    path = tmp_path / 'out.h5'
    path.write_text('before')
    with largest_file(size), pytest.raises(InputError, match=r'out\.h5: cannot be written \(File too large'):
        WRITERS[name](path)
    assert path.read_text() == 'before'
    assert list(tmp_path.iterdir()) == [path]
    assert capfd.readouterr() == ('', '')
    WRITERS[name](path)
    assert path.stat().st_size > 6000


def test_long_work_ends_at_the_first_part_that_does_not_fit(tmp_path):
    taken = []

    def videos():
        for video in VIDEOS:
            taken.append(video.key)
            yield video

    with largest_file(9000), pytest.raises(InputError, match='cannot be written'):
        datasets.write_dataset(tmp_path / 'out.h5', videos())
    assert len(taken) < len(VIDEOS)


def test_a_file_holds_what_was_written(tmp_path):
    values = np.random.default_rng(0).standard_normal((300, 50))
    with hdf5_writer.writing(tmp_path / 'out.h5') as (file, check):
        for number in range(20):
            file.create_dataset(f'group_{number}/values', data=values[number:], compression='gzip')
            check()
    with h5py.File(tmp_path / 'out.h5') as file:
        for number in range(20):
            np.testing.assert_array_equal(file[f'group_{number}/values'], values[number:])


FAILING = """
import errno, pathlib, sys
import jax.numpy as jnp
from absl import logging
from orbax.checkpoint._src.path import async_path
from trsum_jax.errors import InputError
from trsum_jax.runtime import checkpoint

# As in all commands.
logging.set_verbosity(logging.FATAL)

async def full(*arguments):
    raise OSError(errno.ENOSPC, 'No space left on device')

async_path.write_text = full
states = {f'leaf_{i}': jnp.zeros((2, 20000)) + i for i in range(400)}
try:
    with checkpoint.Saver(pathlib.Path(sys.argv[1]), 2) as saver:
        saver.save(1, states)
except InputError as error:
    print(error)
"""


def test_writers_of_a_checkpoint_that_has_failed_say_nothing_more(tmp_path):
    """One of orbax's files meets a full disk while hundreds of others are being written."""
    program = [sys.executable, '-c', FAILING, str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert 'could not be written ([Errno 28] No space left on device)' in done.stdout
    assert 'Traceback' not in done.stderr
    assert 'never awaited' not in done.stderr
