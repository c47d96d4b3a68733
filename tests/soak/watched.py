"""Runs one trial in a process of its own, watches its time and memory, and reads what it left."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import av
import h5py
from PIL import Image

SECONDS = 20.0
BYTES = 2 << 30
_POLL = 0.05
_CRASHED = re.compile(
    r'Traceback \(most recent call last\)|Fatal Python error|Segmentation fault|core dumped|Aborted|'
    r'HDF5-DIAG|terminate called|Check failed|Exception ignored|'
    r'(?:Runtime|Deprecation|User|Resource|Future)Warning'
)


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f'/proc/{each}/task').iterdir():
                found += map(int, (task / 'children').read_text().split())
    return found


def _resident(pid: int) -> int:
    total = 0
    for each in _tree(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(pathlib.Path(f'/proc/{each}/statm').read_text().split()[1])
    return total * os.sysconf('SC_PAGE_SIZE')


def run(start, log: pathlib.Path, seconds: float = SECONDS) -> tuple[list[str], dict]:
    """Runs a trial and judges how it ended.

    Args:
        start: starts it, its output going to `log`, and gives the process: of `subprocess` or
            `multiprocessing`.
        log: where the output goes.
        seconds: after which it hangs.

    Returns:
        What is wrong, in words, nothing where all is well; `code`, `seconds`, `peak` in bytes.
    """
    faults, peak, begun = [], 0, time.monotonic()
    process = start()
    popen = isinstance(process, subprocess.Popen)
    while (process.poll() if popen else process.exitcode) is None:
        peak = max(peak, _resident(process.pid))
        if peak > BYTES:
            faults.append(f'memory: {peak >> 20} MiB')
        elif time.monotonic() - begun > seconds:
            faults.append(f'hang: more than {seconds:.0f} s')
        if faults:
            for pid in _tree(process.pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            break
        time.sleep(_POLL)
    code = process.wait() if popen else process.join() or process.exitcode
    text = log.read_text(encoding='utf-8', errors='replace') if log.exists() else ''
    if not faults:
        if code < 0 or code >= 128:
            faults.append(f'crash: exit code {code}')
        elif code and not text.strip():
            faults.append(f'silence: exit code {code} without a word')
        if found := _CRASHED.search(text):
            # Of a traceback the last line says what it was.
            lines = text[found.start() :].strip().splitlines()
            faults.append(f'text: {found[0]}: {lines[-1 if found[0].startswith("Traceback") else 0][:160]}')
    return faults, {'code': code, 'seconds': time.monotonic() - begun, 'peak': peak}


def _read(path: pathlib.Path) -> None:
    if path.suffix == '.h5':
        with h5py.File(path) as file:
            file.visititems(lambda _, each: each[()] if isinstance(each, h5py.Dataset) else None)
    elif path.suffix == '.json':
        json.loads(path.read_text(encoding='utf-8'))
    elif path.suffix == '.png':
        with Image.open(path) as picture:
            picture.load()
    elif path.suffix == '.mp4':
        with av.open(f'file:{path}') as container:
            next(container.decode(video=0))
    elif not path.stat().st_size:
        raise ValueError('empty')


def left(folder: pathlib.Path) -> list[str]:
    """What stands in a folder of outputs and should not: unfinished files, and files that cannot be read.

    Args:
        folder: in which nothing but outputs lie.

    Returns:
        The faults, in words.
    """
    faults = []
    for path in folder.rglob('*'):
        name = path.name
        if name.endswith(('.tmp', '.part')) or 'checkpoint-tmp' in name:
            faults.append(f'half file: {name!r} was left')
        elif path.is_file() and path.parent == folder:
            try:
                _read(path)
            except Exception as error:
                faults.append(f'half file: {name!r} cannot be read ({type(error).__name__}: {error})')
    return faults
