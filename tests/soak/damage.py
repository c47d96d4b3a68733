"""Kinds of damage to files, functions of a file and a random generator: blind ones, and of JSON and HDF5."""

import json
import os
import pathlib
import random
import shutil

import h5py
import numpy as np

# Numbers in a sound input are fewer.
_MOST = 10**7
HUGE = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 10**9, 2**63 - 1, 2**64 - 1, 2**40, 10**12)
NAMES = (
    *('talk: one', '14:03:22', 'http:127.0.0.1:9?', 'concat:a|b', 'subfile,,start,0,end,9,,:a', 'async:a'),
    *(
        '-dash',
        '%d',
        '%03d.%s',
        'two\nlines',
        'tab\there',
        '日本語',
        '\u202eturned',
        ' \' "quoted',
        'a' * 235,
    ),
    *('\udcff\udce9', '*', '#', '~', 'name;rm', '<b>bold', '$HOME', 'pipe:', 'e\u0301', '\x7f', '..a.b.'),
)


def _edit(change):
    """A kind of damage from a function of the bytes."""

    def damage(path: pathlib.Path, rng: random.Random) -> pathlib.Path:
        raw = bytearray(path.read_bytes())
        path.write_bytes(bytes(change(raw, rng)))
        return path

    return damage


def _place(raw: bytearray, rng: random.Random) -> int:
    """Headers are small and matter most: half of all places are among the first and last bytes."""
    near = min(len(raw), 2048)
    return rng.choice((rng.randrange(len(raw)), rng.randrange(near), len(raw) - 1 - rng.randrange(near)))


def _flipped(raw, rng):
    for _ in range(rng.choice((1, 1, 4, 32, 200)) if raw else 0):
        raw[_place(raw, rng)] ^= 1 << rng.randrange(8)
    return raw


def _zeroed(raw, rng):
    start = _place(raw, rng) if raw else 0
    end = min(len(raw), start + rng.choice((1, 8, 64, 1024, len(raw) // 3 + 1)))
    raw[start:end] = bytes(end - start)
    return raw


def _swapped(raw, rng):
    size = rng.choice((4, 16, 128, max(1, len(raw) // 5)))
    if len(raw) > 2 * size:
        a, b = sorted(rng.sample(range(len(raw) - size), 2))
        raw[a : a + size], raw[b : b + size] = raw[b : b + size], raw[a : a + size]
    return raw


def _doubled(raw, rng):
    start = _place(raw, rng) if raw else 0
    part = raw[start : start + rng.choice((4, 64, 1024, len(raw)))]
    return raw[:start] + part * rng.choice((2, 2, 5, 50)) + raw[start + len(part) :]


def _huge(raw, rng):
    for _ in range(rng.choice((1, 1, 3)) if len(raw) > 8 else 0):
        size = rng.choice((4, 8))
        number = (rng.choice(HUGE) % 2 ** (8 * size)).to_bytes(size, rng.choice(('little', 'big')))
        place = min(_place(raw, rng), len(raw) - size)
        raw[place : place + size] = number
    return raw


def _folder(path, rng):
    path.unlink()
    path.mkdir()
    return path


def _pipe(path, rng):
    path.unlink()
    os.mkfifo(path)
    return path


def _gone(path, rng):
    path.unlink()
    return path


def _looped(path, rng):
    path.unlink()
    path.symlink_to(rng.choice((path.name, 'nowhere', '/dev/zero', '/proc/self/mem')))
    return path


def _renamed(path, rng):
    while True:
        name = rng.choice(NAMES) + path.suffix
        if name != path.name and len(os.fsencode(name)) < 250:
            return path.rename(path.with_name(name))


BLIND = {
    'flipped': _edit(_flipped),
    'zeroed': _edit(_zeroed),
    'cut': _edit(lambda raw, rng: raw[: rng.choice((_place(raw, rng), rng.randrange(64))) if raw else 0]),
    'extended': _edit(lambda raw, rng: raw + rng.randbytes(rng.choice((1, 100, 100_000)))),
    'swapped': _edit(_swapped),
    'doubled': _edit(_doubled),
    'huge numbers': _edit(_huge),
    'random': _edit(lambda raw, rng: rng.randbytes(rng.choice((1, 16, 512, 20_000)))),
    'empty': _edit(lambda raw, rng: b''),
}
PLACES = {'folder': _folder, 'pipe': _pipe, 'gone': _gone, 'link': _looped, 'name': _renamed}


def other_kind(path: pathlib.Path, rng: random.Random, files: list[pathlib.Path]) -> pathlib.Path:
    """Another file under the name."""
    shutil.copyfile(rng.choice([each for each in files if each.suffix != path.suffix]), path)
    return path


def _odd(rng: random.Random) -> object:
    return rng.choice(
        [
            *(None, True, -1, 0, 1e308, float('nan'), float('inf'), 10**30, 2**63, 1.5, '', 'video_1'),
            *(
                'x' * 10_000,
                '\ud800',
                '\0',
                [],
                {},
                [[]],
                [None],
                {'': {}},
                [1, 'a', None],
                [float('nan')] * 3,
            ),
            *(['video_1'] * 1000, [10**400]),
        ]
    )


def json_tree(path: pathlib.Path, rng: random.Random) -> pathlib.Path:
    """Values of other types, keys lost, doubled and invented, and nesting beyond all reason."""
    lines = path.suffix == '.jsonl'
    text = path.read_text(encoding='utf-8')
    trees = [json.loads(line) for line in text.splitlines()] if lines else [json.loads(text)]
    holder = [rng.choice(trees)] if lines and trees else trees
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, key = holder, 0
        while isinstance(at[key], dict | list) and at[key] and rng.random() < 0.75:
            at = at[key]
            key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
        action = rng.random()
        if action < 0.6 or at is holder:
            at[key] = _odd(rng)
        elif action < 0.8:
            del at[key]
            if not at:
                break
        elif isinstance(at, dict):
            at[rng.choice(('', 'video_99', 'a/b', '\n', key.upper()))] = at.pop(key)
        else:
            at.append(at[key])
    out = '\n'.join(json.dumps(tree) for tree in (trees if lines else holder))
    if rng.random() < 0.1:
        out = rng.choice(('[', '{"a":')) * 5000 + out
    path.write_text(out, encoding='utf-8')
    return path


def h5_tree(path: pathlib.Path, rng: random.Random) -> pathlib.Path:
    """Arrays of other types, shapes and contents, sizes that are only claimed, and links that lead astray."""
    with h5py.File(path, 'r+') as file:
        names = []
        file.visit(names.append)
        for _ in range(rng.choice((1, 1, 2, 5))):
            name = rng.choice(names)
            if name not in file:
                continue
            old = file[name]
            # An earlier damage may only claim its size.
            known = isinstance(old, h5py.Dataset) and (old.size or 0) < _MOST
            old = old[()] if known else None
            del file[name]
            _replace(file, name, old, rng)
        if rng.random() < 0.1:
            file.attrs[rng.choice(('encoder', 'synthetic', 'rate'))] = rng.choice(
                (np.nan, 'x' * 5000, b'\xff', [1, 2])
            )
    return path


def _replace(file: h5py.File, name: str, old: object, rng: random.Random) -> None:
    shape = np.shape(old) or (1,)
    kind = rng.randrange(16)
    if kind < 5 and isinstance(old, np.ndarray | np.generic) and np.asarray(old).dtype.kind in 'fiu':
        new, kinds = np.array(old, np.float64), (np.float64, np.float32, np.int64)
        new.flat[rng.randrange(new.size) if new.size else slice(0)] = rng.choice(
            (np.nan, np.inf, -1, 1e300, 2.0**53, 10**12, 0.5, 0)
        )
        with np.errstate(all='ignore'):
            file[name] = new.astype(rng.choice(kinds)) if np.isfinite(new).all() else new
    elif kind == 5:
        file[name] = np.resize(
            np.zeros(1) if old is None else old, rng.choice(((), (0,), (7,), (*shape, 1), shape[::-1]))
        )
    elif kind == 6:
        file[name] = rng.choice(
            (b'\xff\xfe', 'text', np.array([b'a', b'b']), np.array(True), h5py.Empty('f4'))
        )
    elif kind == 7:
        file.create_dataset(
            name, rng.choice(((10**9,), (10**12,), (10**5, 10**6), (2**62,))), 'f4', chunks=True
        )
    elif kind == 8:
        file[name] = rng.choice((10**9, 10**12, 2**63 - 1, -5, 0))
    elif kind == 9:
        file[name] = np.zeros(shape, rng.choice(('f2', 'i1', 'c8', 'S3', [('a', 'f4'), ('b', 'i4')])))
    elif kind == 10:
        file[name] = h5py.SoftLink(rng.choice((f'/{name}', '/nowhere', '/')))
    elif kind == 11:
        file[name] = h5py.ExternalLink(
            rng.choice(('/etc/passwd', '/dev/zero', file.filename, '../pipe')), '/'
        )
    elif kind == 12:
        layout = h5py.VirtualLayout(shape, 'f4')
        layout[...] = h5py.VirtualSource(rng.choice(('.', file.filename, '/etc/passwd')), name, shape)
        file.create_virtual_dataset(name, layout)
    elif kind == 13:
        file[name] = file['/']
    elif kind == 14:
        at = file.create_group(name)
        for _ in range(rng.choice((1, 600))):
            at = at.create_group('a')
    elif kind == 15:
        data = np.zeros(shape, 'f4')
        file.create_dataset(name, data=data, **({'compression': 'gzip'} if data.ndim else {}))
