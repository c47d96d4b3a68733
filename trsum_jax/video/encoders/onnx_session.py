"""Models of strangers in onnxruntime: from one file, in bounded memory, within a bounded time.

A model is a program. What it may fill and how long its first batch may take is settled before it runs; what
onnxruntime says of it, in whatever words and exceptions, becomes one sentence.
"""

import contextlib
import pathlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime

from trsum_jax.errors import InputError
from trsum_jax.files import kind_of, shown

# Bytes that the numbers of a model may fill at once, beside four times its file.
MEMORY = 1 << 30

# Bytes: the format's own bound.
_LARGEST_FILE = (1 << 31) - 1
# Seconds for loading and for the first batch; any later batch may take ten times as long.
_PATIENCE = 60.0
_PROVIDERS = ('CUDAExecutionProvider', 'CPUExecutionProvider')


def read_model(path: pathlib.Path) -> bytes:
    """The bytes of a model.

    Raises:
        InputError: no file there, or one larger than the format allows.
    """
    if not path.is_file():
        raise InputError(f'{shown(path)}: expected an ONNX model, found {kind_of(path)}')
    if (size := path.stat().st_size) > _LARGEST_FILE:
        raise InputError(
            f'{shown(path)}: expected an ONNX model of at most {_LARGEST_FILE:,} bytes, found {size:,}'
        )
    return path.read_bytes()


def open_session(model: str, raw: bytes, memory: int = MEMORY) -> onnxruntime.InferenceSession:
    """A model ready to run.

    Args:
        model: its name in messages.
        raw: the file's bytes.
        memory: bytes that its numbers may fill at once on a CPU, beside four times its own.

    Returns:
        A session on the best device there is.

    Raises:
        InputError: nothing that onnxruntime runs, weights in other files, or loading that does not end.
    """
    arena = onnxruntime.OrtMemoryInfo(
        'Cpu', onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    limit = onnxruntime.OrtArenaCfg({'max_mem': memory + 4 * len(raw)})
    onnxruntime.create_and_register_allocator(arena, limit)
    options = onnxruntime.SessionOptions()
    # Failures come as exceptions; the log would say them a second time on stderr.
    options.log_severity_level = 4
    options.add_session_config_entry('session.use_env_allocators', '1')
    usable = [each for each in _PROVIDERS if each in onnxruntime.get_available_providers()]
    with (
        _told(f'{model}: expected an ONNX model that onnxruntime runs, all weights in the one file'),
        _within(_PATIENCE, lambda: options.set_load_cancellation_flag(True), f'{model}: loading'),
        tempfile.TemporaryDirectory() as nothing,
    ):
        # Weights in other files would be of any path, and no part of the digest: none are found here.
        options.add_session_config_entry('session.model_external_initializers_file_folder_path', nothing)
        # A second attempt on the same device would be announced on stdout.
        session = onnxruntime.InferenceSession(raw, options, usable, enable_fallback=len(usable) > 1)
        # Names are decoded when they are asked for, and need not be text.
        for each in (*session.get_inputs(), *session.get_outputs()):
            str(each)
        return session


def run(
    session: onnxruntime.InferenceSession, output: str, feed: dict[str, np.ndarray], what: str, *, first: bool
) -> Any:
    """One output of a model for one batch.

    Args:
        session: from `open_session`.
        output: its name.
        feed: the inputs by name.
        what: they, in messages.
        first: whether nothing ran before: then it must end within a minute, and else within ten.

    Returns:
        What the model gives, an array if it is an encoder.

    Raises:
        InputError: it fails, has no room, or does not end.
    """
    options = onnxruntime.RunOptions()
    patience = _PATIENCE if first else 10 * _PATIENCE
    with _told(f'{what} does not run'), _within(patience, lambda: setattr(options, 'terminate', True), what):
        return session.run([output], feed, options)[0]


@contextlib.contextmanager
def _told(expected: str) -> Iterator[None]:
    """Turns what onnxruntime raises, of no common type, into one sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f'{expected}; it says: {shown(" ".join(str(error).split())[:400])}') from error


@contextlib.contextmanager
def _within(seconds: float, stop: Callable[[], None], what: str) -> Iterator[None]:
    """Stops a call of onnxruntime that takes too long."""
    late = threading.Event()

    def end() -> None:
        late.set()
        stop()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if late.is_set():
            raise InputError(
                f'{what} took more than {seconds:g} s, and was stopped; give a smaller --onnx_batch, or a '
                'smaller model'
            ) from error
        raise
    finally:
        timer.cancel()
