"""Disks that are full: by a limit on the size of files in this process, or a small disk for another one."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Within it no file of this process grows beyond so many bytes; the answer is as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)


def on_small_disk(
    place: os.PathLike, kilobytes: int, command: list[str], keep: os.PathLike = os.devnull
) -> subprocess.CompletedProcess:
    """Runs a command that has a disk of so many KB at a place, in a namespace of its own.

    Args:
        place: an empty folder.
        kilobytes: the size of its disk.
        command: what to run.
        keep: a folder that is made and gets a copy of what is on the disk at the end.
    """
    script = 'mount -t tmpfs -o size=$1k none "$0" && shift && keep="$1" && shift && "$@"; code=$?; '
    script += '[ "$keep" = /dev/null ] || cp -a "$0" "$keep"; exit $code'
    told = ['sh', '-c', script, str(place), str(kilobytes), str(keep), *command]
    if shutil.which('unshare') is None:
        pytest.skip('needs unshare, for a disk of its own')
    inside = ['unshare', '--user', '--map-root-user', '--mount']
    trial = ['sh', '-c', 'mount -t tmpfs none "$0"', str(place)]
    if subprocess.run([*inside, *trial], capture_output=True, check=False).returncode:
        pytest.skip('may not make a disk of its own')
    return subprocess.run([*inside, *told], capture_output=True, text=True, check=False)
