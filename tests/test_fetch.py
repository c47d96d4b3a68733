"""The command `trsum fetch`: what it says, where; a signal in the middle of a file."""

import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import lfs_server
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONTENT = np.random.default_rng(2).bytes(300_000)
NAME = 'eccv16_dataset_summe_google_pool5.h5'
# The command, with another server and a small file.
PROGRAM = """
import runpy, sys
from trsum_jax import stopping
stopping.hold()
from trsum_jax.data.fetched import field_files
server, digest, size, *sys.argv[1:] = sys.argv[1:]
field_files.SERVER = server
file = field_files.FIELD_FILES['summe']._replace(size=int(size), digest=digest)
field_files.FIELD_FILES['summe'] = file
runpy.run_module('trsum_jax.fetch', run_name='__main__', alter_sys=True)
"""


def start(server, cache):
    digest = hashlib.sha256(CONTENT).hexdigest()
    return subprocess.Popen(
        [sys.executable, '-c', PROGRAM, server, digest, str(len(CONTENT)), 'summe'],
        cwd=ROOT,
        env=os.environ | {'XDG_CACHE_HOME': str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_signal_leaves_what_came_and_the_same_command_goes_on(tmp_path):
    place = tmp_path / 'trsum_jax' / 'data' / NAME
    part = place.with_name(f'{NAME}.part')
    with lfs_server.serving(CONTENT, stop_after=100_000, hangs=True) as (server, _):
        process = start(server, tmp_path)
        while process.poll() is None and not (part.exists() and part.stat().st_size == 100_000):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, told = process.communicate()
    assert (process.returncode, out) == (75, ''), told
    assert told.endswith('stopped by SIGTERM; what was finished is saved; the same command continues\n')
    before = told.partition('fetching')[0]
    for words in (
        'features and annotations of SumMe',
        'MIT licence',
        'cite: Gygli',
        'research purposes only',
    ):
        assert words in before
    assert not place.exists()
    with lfs_server.serving(CONTENT) as (server, asked):
        process = start(server, tmp_path)
        out, told = process.communicate()
    assert (process.returncode, out) == (0, f'{place}\n'), told
    assert place.read_bytes() == CONTENT
    assert f'trsum train summe --config.data.file={place}\n' in told
    assert [headers.get('Range') for method, _, headers, _ in asked] == [None, 'bytes=100000-']
