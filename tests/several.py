"""Several processes of the main job on this machine's loopback."""

import os
import pathlib
import socket
import subprocess
import sys

import xla

ROOT = pathlib.Path(__file__).resolve().parents[1]


def start(process, processes, port, workdir, *flags, devices=1, config='tests/tiny.py', cwd=ROOT):
    """One of them, on its own virtual devices."""
    command = [sys.executable, '-m', 'trsum_jax.main', f'--config={ROOT / config}', f'--workdir={workdir}']
    if processes > 1:
        command += ['--distributed', f'--coordinator=127.0.0.1:{port}']
        command += [f'--processes={processes}', f'--process={process}']
    env = os.environ | {'XLA_FLAGS': xla.flags(devices), 'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "tests"}'}
    return subprocess.Popen(
        [*command, *flags], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def start_all(processes, workdir, *flags, devices=1):
    """All of them."""
    port = free_port()
    return [start(i, processes, port, workdir, *flags, devices=devices) for i in range(processes)]


def ended(started, timeout=240):
    """Exit codes and what was said, in the order of the processes."""
    try:
        told = [process.communicate(timeout=timeout)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return [process.returncode for process in started], told


def free_port():
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]
