"""A trace of some steps, for those who want to see where the time goes."""

import contextlib
import pathlib
from collections.abc import Iterator

import jax

from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.runtime import processes

# Enough to see one that is warm, few enough that a trace stays small.
STEPS = 4


@contextlib.contextmanager
def traced(folder: pathlib.Path | None) -> Iterator[None]:
    """Writes a trace of what the devices do within, by the first process alone, and says where.

    Args:
        folder: of the trace; none: nothing is traced.

    Raises:
        InputError: the folder cannot be made, or has no room.
    """
    if folder is None or not processes.first():
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'--profile: expected a folder that can be made, {shown(folder)} cannot ({error})'
        ) from error
    options = jax.profiler.ProfileOptions()
    # Every call of Python hides what the devices do.
    options.python_tracer_level = 0
    jax.profiler.start_trace(folder, create_perfetto_trace=True, profiler_options=options)
    try:
        yield
    finally:
        try:
            jax.profiler.stop_trace()
        except (OSError, jax.errors.JaxRuntimeError) as error:
            raise InputError(
                f'--profile: {shown(folder)}: the trace cannot be written ({" ".join(str(error).split())}); '
                'make room, or leave the flag out: the same command continues'
            ) from error
    processes.say(
        f'a trace of the first steps: {shown(folder)}; its perfetto_trace.json.gz opens on '
        'https://ui.perfetto.dev, and `pip install xprof` shows the folder'
    )
