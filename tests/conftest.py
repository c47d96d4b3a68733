"""Settings shared by all tests: strict ranks, two CPU devices, and the data that some tests need."""

import os
import pathlib

import pytest

os.environ.setdefault('XLA_FLAGS', '--xla_force_host_platform_device_count=2')
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

SHARED = pathlib.Path(__file__).resolve().parents[2] / 'shared'


@pytest.fixture(scope='session')
def shared() -> pathlib.Path:
    """The folder of real annotations and reference outputs beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f'needs the reference data in {SHARED.name}/ beside the checkout')
    return SHARED
