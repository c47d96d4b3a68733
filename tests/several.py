"""Several processes of the main job on this machine's loopback."""

import socket

import warm
import xla
from warm import ROOT


def start(process, processes, port, workdir, *flags, devices=1, config='tests/tiny.py', cwd=ROOT):
    """One of them, on its own virtual devices."""
    command = ['trsum_jax.main', f'--config={ROOT / config}', f'--workdir={workdir}']
    if processes > 1:
        command += ['--distributed', f'--coordinator=127.0.0.1:{port}']
        command += [f'--processes={processes}', f'--process={process}']
    return warm.start(*command, *flags, cwd=cwd, XLA_FLAGS=xla.flags(devices))


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
