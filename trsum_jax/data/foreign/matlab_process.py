"""The process that reads MATLAB files before v7.3: `python -m trsum_jax.data.foreign.matlab_process`.

scipy reads them with code that trusts what the file says of sizes; here it may run out of memory, hang or
crash. Paths come in by stdin (hex, one a line). For each, a line of JSON goes out, what is wrong or null and
the bytes that follow: the parts that we use, as an `.npz` without objects. It ends by itself where a file
keeps it busy for too long, or where stdin ends.
"""

import io
import json
import pathlib
import signal
import sys
import warnings

import numpy as np
import scipy.io

from trsum_jax.data.stored import bounds

# What is read of a file: TVSum's struct, and SumMe's variables.
STRUCT, SUMMARIES = 'tvsum50', ('user_score', 'nFrames', 'FPS')
FIELDS = ('video', 'user_anno', 'nframes')
# Seconds of a processor for the whole file, and bytes of address space.
PATIENCE = 60
MEMORY = 3 << 30


class Refusal(Exception):
    """What is wrong with the file, in words."""


def parts(path: pathlib.Path) -> dict[str, np.ndarray]:
    """What a file holds of the variables that we use.

    Args:
        path: a MATLAB file before v7.3.

    Returns:
        Plain arrays: `0/video`, `0/user_anno`, `0/nframes`, `1/video` and so on of the struct; or those of
        `SUMMARIES` that are there.

    Raises:
        Refusal: none of them, or others than numbers and text.
    """
    found = scipy.io.loadmat(path, variable_names=[STRUCT, *SUMMARIES])
    table = found.get(STRUCT)
    if table is None and SUMMARIES[0] not in found:
        names = [name for name, *_ in scipy.io.whosmat(path)]
        told = ', '.join(names[:10]) + (', …' if len(names) > 10 else '')
        raise Refusal(f'found the variables {told}' if names else 'found no variable')
    if table is None:
        return {name: _plain(name, found[name]) for name in SUMMARIES if name in found}
    if not isinstance(table, np.ndarray) or not set(FIELDS) <= set(table.dtype.names or ()):
        raise Refusal(f'found {STRUCT} without the fields {", ".join(FIELDS)}')
    if table.size > bounds.MOST_REFERENCES:
        raise Refusal(f'found {table.size} videos')
    return {
        f'{i}/{name}': _plain(name, record[name]) for i, record in enumerate(table.flat) for name in FIELDS
    }


def _plain(name: str, value: object) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in 'biufU':
        raise Refusal(f'found {name} other than numbers and text')
    return value


def answer(path: pathlib.Path) -> tuple[str | None, bytes]:
    """What is wrong with a file, and what was read of it.

    Args:
        path: as for `parts`.

    Returns:
        Words, or None; and an `.npz`, empty where something is wrong.
    """
    packed = io.BytesIO()
    try:
        found = parts(path)
        claimed, size = sum(array.nbytes for array in found.values()), path.stat().st_size
        if claimed > max(bounds.FREE_DATASET, bounds.MOST_PACKED * size):
            raise Refusal(f'found {claimed} bytes of numbers in a file of {size}')
        np.savez(packed, **found)
    except Refusal as refusal:
        return str(refusal), b''
    except MemoryError:
        return f'found one that asks for more than {MEMORY >> 30} GB: it is damaged', b''
    except Exception as error:
        # What scipy raises of a damaged file can be anything.
        return f'found one that cannot be read ({type(error).__name__}: {str(error)[:200]})', b''
    return None, packed.getvalue()


def main() -> None:
    """Answers until stdin ends."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter('ignore')
    for line in sys.stdin:
        # Without a handler the signal ends the process, wherever the library is.
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        fault, packed = answer(pathlib.Path(bytes.fromhex(line).decode('utf-8', 'surrogateescape')))
        sys.stdout.buffer.write(json.dumps([fault, len(packed)]).encode() + b'\n' + packed)
        sys.stdout.buffer.flush()


if __name__ == '__main__':
    main()
