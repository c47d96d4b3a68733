"""A trace whose disk has no room ends in words; what a trace holds: `training/test_loop`."""

import resource

import jax
import jax.numpy as jnp
import pytest

from trsum_jax.errors import InputError
from trsum_jax.runtime import profiling


def test_a_trace_that_cannot_be_written_is_told_in_words(tmp_path):
    now, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    message = r'--profile: .*trace: the trace cannot be written \(.*\); make room'
    # As where a disk is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, most))
    try:
        with pytest.raises(InputError, match=message), profiling.traced(tmp_path / 'trace'):
            jax.block_until_ready(jnp.arange(3) + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (now, most))
        # JAX has one trace at a time, and before 0.12 forgets it only once it is written.
        if jax.__version_info__ < (0, 12):
            jax.profiler.stop_trace()
