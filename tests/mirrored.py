"""What mirrors of a log hold: event files, read byte by byte, and what a stand-in for wandb was told."""

import json
import pathlib
import struct
import types

import pytest

from trsum_jax.files import read_json
from trsum_jax.results import filenames


class Wandb(types.ModuleType):
    """Stands for the library: keeps the runs that it was told of, by id, and their rows."""

    class Error(Exception):
        pass

    def __init__(self):
        super().__init__('wandb')
        self.runs, self.open, self.refuses = {}, [], False

    def init(self, *, id, resume, **told):
        if self.refuses:
            raise self.Error('no API key')
        assert resume == 'allow'
        run = types.SimpleNamespace(id=id, log=lambda row, step: rows.append((step, row)))
        rows = self.runs.setdefault(id, {'told': told, 'rows': []})['rows']
        run.finish = lambda: self.open.remove(id)
        self.open.append(id)
        return run


def lines_of(folder):
    """The rows of all event files below a folder of a stage: by seed and fold, [(epoch, {tag: value})]."""
    found = {}
    for path in sorted(folder.rglob('events.out.tfevents.*')):
        version, *rows = [_event(payload) for payload in _records(path.read_bytes())]
        assert version == (0, {}, 'brain.Event:2')
        found.setdefault(path.parent.name, []).extend((step, values) for step, values, _ in rows)
    return found


def check_rows(workdir, wandb, project):
    """Every line of the log stands once in either mirror, and nothing else does."""
    told = [json.loads(line) for line in (workdir / filenames.METRICS).read_text().splitlines()]
    noted = read_json(workdir / filenames.WANDB)
    assert len(wandb.runs) == 2 and not wandb.open
    for stage in ('generator', 'summarizer'):
        files, rows, means = {}, {}, {}
        for line in (line for line in told if line['stage'] == stage):
            metrics = {name: line[name] for name in line if name not in ('stage', 'epoch', 'seed', 'fold')}
            name, epoch = f'seed-{line["seed"]}-fold-{line["fold"]}', line['epoch']
            files.setdefault(name, []).append((epoch, {f'{stage}/{key}': of for key, of in metrics.items()}))
            rows.setdefault(epoch, {}).update({f'{key}/{name}': of for key, of in metrics.items()})
            for key, value in metrics.items():
                means.setdefault((epoch, f'{key}/mean'), []).append(value)
        found = lines_of(workdir / filenames.TENSORBOARD / stage)
        assert found == {
            name: [(epoch, pytest.approx(values, rel=1e-6)) for epoch, values in each]
            for name, each in files.items()
        }
        for (epoch, key), values in means.items():
            rows[epoch][key] = pytest.approx(sum(values) / len(values))
        run = wandb.runs[noted[stage]['id']]
        assert run['rows'] == list(rows.items()) and noted[stage]['epochs'] == len(rows)
        assert (run['told']['project'], run['told']['name']) == (project, f'{workdir.name} {stage}')


def traces(folder: pathlib.Path):
    """The stages of which there is one; sessions within a second share a folder."""
    return {path.relative_to(folder).parts[0] for path in folder.rglob('*.xplane.pb')}


def _records(data):
    while data:
        (length,) = struct.unpack('<Q', data[:8])
        for part, at in ((data[:8], 8), (data[12 : 12 + length], 12 + length)):
            assert struct.unpack('<I', data[at : at + 4])[0] == _masked(_crc32c(part))
        yield data[12 : 12 + length]
        data = data[16 + length :]


def _crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _masked(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _event(message):
    """Step, scalars by tag, and the version of the file, of a protocol buffer `Event`."""
    step, values, version = 0, {}, ''
    for number, value in _fields(message):
        if number == 2:
            step = value
        elif number == 3:
            version = value.decode()
        elif number == 5:
            of_values = [dict(_fields(one)) for _, one in _fields(value)]
            values |= {one[1].decode(): struct.unpack('<f', one[2])[0] for one in of_values}
    return step, values, version


def _fields(message):
    while message:
        key, message = _varint(message)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, message = _varint(message)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, message = _varint(message)
            value, message = message[:size], message[size:]
        yield number, value


def _varint(message):
    value = 0
    for i, byte in enumerate(message):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, message[i + 1 :]
    raise ValueError('no end')
