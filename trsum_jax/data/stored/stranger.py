"""The process that looks at HDF5 files before we open them: `python -m trsum_jax.data.stored.stranger`.

The HDF5 library can crash, hang or take all memory on a file that is damaged or made to do so. Here it may:
paths come in by stdin (hex, one a line), for each a line of JSON goes out: null, or what is wrong. It ends
by itself where a file keeps it busy for too long, where its memory runs out, or where stdin ends.

What cannot be read is not reported: who reads it, hears it from h5py. It knows nothing of the rest of the
package, so that it starts quickly.
"""

import contextlib
import json
import re
import signal
import sys

import h5py
import numpy as np

from trsum_jax.data.stored import bounds

# What it says once it can be asked.
READY = 'ready'
# Seconds of a processor without progress, which no slow disk takes; of an object's header, or a slab of data.
PATIENCE = 10.0
# Bytes of address space: a slab, a chunk, the library, and room.
MEMORY = 1 << 30
# Bytes of data that are read in advance, in steps of so many. The rest of a large file is read once only.
READ_IN_ADVANCE = 256 << 20
SLAB = 16 << 20
_NUMBERS = (h5py.h5t.INTEGER, h5py.h5t.FLOAT)
_NO_MEMORY = re.compile('memory alloc|unable to alloc|can.t alloc', re.IGNORECASE)


class Refusal(Exception):
    """What is wrong with the file, in words."""


class _Walk:
    """One file, group by group."""

    def __init__(self, file: h5py.File):
        self._file, self._size = file, file.id.get_filesize()
        self._names, self._claimed, self._to_read = 0, 0, READ_IN_ADVANCE
        # Where each object was found first by name; None where only a reference has led to it.
        self._seen: dict[int, bytes | None] = {h5py.h5o.get_info(file.id).addr: b'/'}
        self._soft: list[tuple[h5py.h5g.GroupID, bytes, bytes, int]] = []

    def everything(self) -> None:
        """Raises Refusal at the first thing that is wrong."""
        root = h5py.h5o.open(self._file.id, b'/')
        for name in ('synthetic', 'encoder'):
            with _reading():
                self._attribute(root, name)
        waiting = [(root, b'', 0)]
        while waiting or self._soft:
            if waiting:
                waiting += self._group(*waiting.pop())
            else:
                # Last, when it is known that no name on the way leads out of the file.
                group, name, path, depth = self._soft.pop()
                waiting += self._object(group, name, path, depth)

    def _attribute(self, root: h5py.h5g.GroupID, name: str) -> None:
        if not h5py.h5a.exists(root, name.encode()):
            return
        attribute = h5py.h5a.open(root, name.encode())
        size = attribute.get_space().get_simple_extent_npoints() * attribute.get_type().get_size()
        if size > bounds.LONGEST_TEXT * 4:
            raise Refusal(f'attribute {name}: expected one value, found {size} bytes')
        self._file.attrs[name]

    def _group(self, group: h5py.h5g.GroupID, path: bytes, depth: int) -> list[tuple]:
        """Looks at what a group names; returns the groups among it."""
        found = []
        with _reading():
            self._count(group.get_num_objs())
            for name in group:
                _progress()
                with _reading():
                    found += self._linked(group, name, path + b'/' + name if path else name, depth)
        return found

    def _count(self, names: int) -> None:
        self._names += names
        if self._names > bounds.MOST_NAMES:
            raise Refusal(f'expected at most {bounds.MOST_NAMES} names, found more')

    def _linked(self, group: h5py.h5g.GroupID, name: bytes, path: bytes, depth: int) -> list[tuple]:
        kind = group.links.get_info(name).type
        if kind == h5py.h5l.TYPE_SOFT:
            self._soft.append((group, name, path, depth))
        elif kind == h5py.h5l.TYPE_HARD:
            return self._object(group, name, path, depth)
        else:
            to = ''
            if kind == h5py.h5l.TYPE_EXTERNAL:
                to = f' to {_text(b" of ".join(reversed(group.links.get_val(name))))}'
            raise Refusal(
                f'{_text(path)}: expected data in the file itself, found a link out of it{to}; copy the data '
                'into the file'
            )
        return []

    def _object(self, group: h5py.h5g.GroupID, name: bytes, path: bytes, depth: int) -> list[tuple]:
        with _reading():
            return self._known(h5py.h5o.open(group, name), path, depth)
        return []

    def _known(
        self, item: h5py.h5g.GroupID | h5py.h5d.DatasetID, path: bytes, depth: int, named: bool = True
    ) -> list[tuple]:
        """A dataset is looked at; a group is returned. Both the first time."""
        address = h5py.h5o.get_info(item).addr
        is_group, is_new = isinstance(item, h5py.h5g.GroupID), address not in self._seen
        other = self._seen.get(address)
        if is_group and named and other is not None:
            both = f'{_text(path)} and {_text(other)}'
            raise Refusal(f'expected every group under one name, found one group as {both}')
        self._seen[address] = path if named else other
        if not is_new:
            return []
        if is_group and depth >= bounds.DEEPEST:
            raise Refusal(f'{_text(path)}: expected groups at most {bounds.DEEPEST} deep, found more')
        if isinstance(item, h5py.h5d.DatasetID):
            return self._dataset(item, path, depth)
        return [(item, path, depth + 1)] if is_group else []

    def _dataset(self, item: h5py.h5d.DatasetID, path: bytes, depth: int) -> list[tuple]:
        created = item.get_create_plist()
        layout, kind = created.get_layout(), item.get_type()
        if layout == h5py.h5d.VIRTUAL or created.get_external_count():
            raise Refusal(
                f'{_text(path)}: expected data in the file itself, found a dataset whose data are in other '
                'places (virtual or external); copy the data into the file'
            )
        size, n = kind.get_size(), item.get_space().get_simple_extent_npoints()
        chunk = created.get_chunk() if layout == h5py.h5d.CHUNKED else ()
        claimed = max(n * max(size, 4), int(np.prod([1, *chunk], dtype=object)) * size if chunk else 0)
        stored = min(item.get_storage_size(), self._size)
        if claimed > max(bounds.FREE_DATASET, bounds.MOST_PACKED * stored):
            raise Refusal(
                f'{_text(path)}: expected at most {bounds.FREE_DATASET} bytes, or {bounds.MOST_PACKED} for '
                f'each byte in the file, found that its header claims {claimed} of {stored} bytes'
            )
        self._claimed += claimed
        if self._claimed > max(bounds.FREE_FILE, bounds.MOST_PACKED * self._size):
            raise Refusal(
                f'expected datasets of at most {bounds.FREE_FILE} bytes together, or {bounds.MOST_PACKED} '
                f'for each byte of the file, found that their headers claim {self._claimed} of {self._size}'
            )
        if not chunk and kind.get_class() in _NUMBERS:
            # In one piece as they are: nothing to unpack, nothing to go wrong but the read itself.
            return []
        return self._data(h5py.Dataset(item), chunk, claimed, path, depth)

    def _data(
        self, dataset: h5py.Dataset, chunk: tuple[int, ...], claimed: int, path: bytes, depth: int
    ) -> list[tuple]:
        """Reads what will be read: packed numbers, the first of other values, what references refer to."""
        if dataset.size == 0:
            return []
        if h5py.check_ref_dtype(dataset.dtype) is h5py.Reference:
            if dataset.size > bounds.MOST_REFERENCES:
                raise Refusal(
                    f'{_text(path)}: expected at most {bounds.MOST_REFERENCES} references, found more'
                )
            return [one for ref in dataset[()].flat if ref for one in self._referred(ref, path, depth)]
        if dataset.dtype.kind not in 'biuf' or self._to_read <= 0 or dataset.ndim == 0:
            dataset[(0,) * dataset.ndim]
            return []
        step = max(1, SLAB * len(dataset) // claimed)
        step = max(step // chunk[0], 1) * chunk[0] if chunk else step
        for start in range(0, len(dataset), step):
            _progress()
            dataset[start : start + step]
            self._to_read -= min(claimed, SLAB)
            if self._to_read <= 0:
                break
        return []

    def _referred(self, ref: h5py.Reference, path: bytes, depth: int) -> list[tuple]:
        _progress()
        with _reading():
            item = h5py.h5r.dereference(ref, self._file.id)
            return self._known(item, path + b' (reference)', depth, named=False)
        return []


def _text(name: bytes) -> str:
    return name.decode('utf-8', 'surrogateescape')


@contextlib.contextmanager
def _reading():
    """Passes over what cannot be read: only where it asks for too much memory it is refused here."""
    try:
        yield
    except Refusal:
        raise
    except MemoryError as error:
        raise Refusal(_too_much()) from error
    except Exception as error:
        if _NO_MEMORY.search(str(error)):
            raise Refusal(_too_much()) from error


def _too_much() -> str:
    return f'expected a file that is read in {MEMORY >> 30} GB, found one that asks for more: it is damaged'


def _progress() -> None:
    # Without a handler the signal ends the process, wherever the library is.
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)


def inspect(path: bytes) -> str | None:
    """Looks through a whole HDF5 file, and reads of it what fits in `READ_IN_ADVANCE`.

    Args:
        path: the file, as the system has it.

    Returns:
        What is wrong; None where nothing is, and where it is no HDF5 file.
    """
    try:
        with _reading(), h5py.File(path, 'r') as file:
            _Walk(file).everything()
    except Refusal as refusal:
        return str(refusal)
    return None


def main() -> None:
    """Answers until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(READY, flush=True)
    for line in sys.stdin.buffer:
        _progress()
        answer = inspect(bytes.fromhex(line.decode()))
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main()
