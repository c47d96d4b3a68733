"""XLA's flags for tests: compilation is most of the suite's time, so it optimizes little."""

import functools
import os
import subprocess
import sys

# With all of them a program of the suite compiles in a fifth of the time.
FAST = (
    '--xla_backend_optimization_level=0',
    '--xla_cpu_use_fusion_emitters=false',
    '--xla_cpu_parallel_codegen_split_count=1',
)


def flags(devices: int) -> str:
    """`XLA_FLAGS` for so many virtual CPU devices."""
    return ' '.join([f'--xla_force_host_platform_device_count={devices}', *_known()])


@functools.cache
def _known() -> tuple[str, ...]:
    """`FAST`, or the first alone: XLA ends a process that names a flag which its version does not have."""
    # A worker of xdist has what its parent has found.
    if all(flag in os.environ.get('XLA_FLAGS', '').split() for flag in FAST):
        return FAST
    command = [sys.executable, '-c', 'import jax; jax.devices()']
    env = os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': ' '.join(FAST)}
    probe = subprocess.run(command, env=env, capture_output=True, check=False)
    return FAST if probe.returncode == 0 else FAST[:1]
