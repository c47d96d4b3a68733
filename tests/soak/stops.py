"""Stops every command by SIGINT, SIGTERM and SIGHUP at ten moments, each time with an empty cache.

python -m tests.soak.stops [--moments=10] [--commands=main,score] [--seed=0]

Run from the checkout; not part of the suite. A command first runs in peace, which tells how long it takes;
the moments are spread over that time, each moved at random, the signals in turn. A stop has to be answered
within two seconds (ten where training waits for its epoch) by one sentence, last on stderr, and the
documented code, without a traceback, a dump, a temporary file, or half a result. `main` and
`summarize --workdir` then run to their end, to the same results as in peace. A line for each stop is printed,
and in the end the counts as JSON.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import summarizing
import tiny
import xla
from soak import interruptions

from trsum_jax.errors import PREEMPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Where these go on after a stop.
CONTINUES = ('main', 'summarize --workdir')
_ANSWERED_S, _SAVED_S = 2.0, 10.0
_BAD = re.compile('Traceback|Thread 0x|Fatal Python|Check failure|core dumped|Aborted|Segmentation')


def commands(inputs: pathlib.Path, out: pathlib.Path) -> dict[str, list[str]]:
    """Every command, from inputs of `make_inputs`, into a folder."""
    film, data = inputs / 'film.mp4', inputs / 'data.h5'
    summarize = ['summarize', f'--video={film}', f'--output={out}/summary.mp4', '--overwrite']
    return {
        'main': ['main', '--config=tests/tiny.py', f'--workdir={out}/run', *interruptions.SHORT,
                 f'--config.data.file={data}', '--config.data.generate=False'],
        'summarize': summarize,
        'summarize --workdir': [*summarize, f'--workdir={out}/run'],
        'extract': ['extract', f'--videos={inputs}/films', f'--output={out}/films.h5', '--overwrite'],
        'evaluate': ['evaluate', f'--dataset={data}', f'--scores={inputs}/scores.h5', '--draws=300',
                     f'--output={out}/results.json', f'--summaries={out}/summaries.h5', '--overwrite'],
        'validate': ['validate', str(data)],
        'score': ['score', f'--checkpoint={inputs}/run', f'--dataset={data}', f'--output={out}/scores.h5',
                  '--overwrite'],
    }  # fmt: skip


def make_inputs(folder: pathlib.Path) -> None:
    """A film, a folder of films, a feature file, scores and a trained workdir."""
    summarizing.film(folder / 'film.mp4')
    (folder / 'films').mkdir()
    for i in range(6):
        summarizing.film(folder / 'films' / f'{i}.mp4', range(i, i + 8))
    tiny.write_data(folder)
    with h5py.File(folder / 'data.h5') as data, h5py.File(folder / 'scores.h5', 'w') as scores:
        for key in data:
            scores[f'{key}/scores'] = np.random.default_rng(0).random(len(data[key]['features']))
    run(commands(folder, folder)['main'], folder).wait()


def run(command: list[str], folder: pathlib.Path) -> subprocess.Popen:
    """A command as a process, with an empty cache and a folder for temporary files of its own."""
    shutil.rmtree(folder / 'cache', ignore_errors=True)
    (folder / 'tmp').mkdir(exist_ok=True)
    with (folder / 'stdout').open('w') as out, (folder / 'stderr').open('w') as err:
        return subprocess.Popen(
            [sys.executable, '-m', f'trsum_jax.{command[0]}', *command[1:]],
            env=os.environ
            | {'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache'), 'TMPDIR': str(folder / 'tmp')},
            stdout=out,
            stderr=err,
        )


def faults(name: str, number: signal.Signals, code: int, took: float, folder: pathlib.Path) -> list[str]:
    """What is wrong with how a command that was stopped has ended."""
    err = (folder / 'stderr').read_text()
    last = err.rstrip('\n').rpartition('\n')[2].rpartition('\r')[2]
    wanted = PREEMPTED if name in CONTINUES and number != signal.SIGINT else 128 + number
    found = []
    if code != wanted:
        found.append(f'exit code {code}, expected {wanted}')
    if not last.startswith(f'stopped by {number.name}; '):
        found.append(f'last words {last[:200]!r}')
    if bad := _BAD.search(err):
        found.append(f'{bad[0]!r} on stderr')
    if took > (_SAVED_S if ' heard: ' in err else _ANSWERED_S):
        found.append(f'answered after {took:.1f} s')
    found += [f'left: {path}' for path in (folder / 'tmp').iterdir()]
    # Checkpoints under a temporary name are cleared by the next session.
    left = [one for one in folder.rglob('.*.tmp') if one.is_file()]
    return found + [f'left: {path.name}' for path in left]


def differences(name: str, one: pathlib.Path, other: pathlib.Path) -> list[str]:
    """Between two finished commands that continue."""
    if name == 'main':
        return interruptions.differences(one / 'run', other / 'run')
    found = interruptions.differences_in_training(one / 'run', other / 'run')
    ends = ('.mp4', '.html', '.json', '.png')
    return found + [
        end for end in ends if (one / f'summary{end}').read_bytes() != (other / f'summary{end}').read_bytes()
    ]


def main() -> None:
    """Prints one line a stop and the sum as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--moments', type=int, default=10)
    parser.add_argument('--commands', default='')
    parser.add_argument('--seed', type=int, default=0)
    given = parser.parse_args()
    os.environ['XLA_FLAGS'] = xla.flags(1)
    os.environ['PYTHONPATH'] = os.pathsep.join(['tests', '.', os.environ.get('PYTHONPATH', '')])
    # Started by `nohup` or in the background of a script, the commands would inherit that they are ignored.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    draw = random.Random(given.seed)
    total: collections.Counter = collections.Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as root:
        inputs = pathlib.Path(root) / 'inputs'
        inputs.mkdir()
        make_inputs(inputs)
        for name in filter(None, given.commands.split(',') if given.commands else commands(inputs, inputs)):
            peace = pathlib.Path(root) / f'{name}, in peace'
            peace.mkdir()
            begun = time.monotonic()
            code = run(commands(inputs, peace)[name], peace).wait()
            lasted = time.monotonic() - begun
            assert code == 0, (peace / 'stderr').read_text()
            for i in range(given.moments):
                folder = pathlib.Path(root) / f'{name}, {i}'
                folder.mkdir()
                number = SIGNALS[i % len(SIGNALS)]
                # The first twentieth of a second is Python's own start.
                moment = 0.05 + lasted * (i + draw.random()) / given.moments
                process = run(commands(inputs, folder)[name], folder)
                time.sleep(moment)
                process.send_signal(number)
                begun = time.monotonic()
                code = process.wait()
                took = time.monotonic() - begun
                over = code == 0
                found = [] if over else faults(name, number, code, took, folder)
                if name in CONTINUES:
                    run(commands(inputs, folder)[name], folder).wait()
                    found += differences(name, peace, folder)
                total[f'{name}{", over before" if over else ""}'] += 1
                wrong += [f'{name}, {number.name} after {moment:.2f} s: {fault}' for fault in found]
                how = f'code {code} in {took:.2f} s, {found or "as documented"}'
                print(f'{name}, {number.name} after {moment:.2f} of {lasted:.1f} s: {how}', flush=True)
                shutil.rmtree(folder)
    print(json.dumps({'seed': given.seed, 'stops': total.total(), 'by command': total, 'wrong': wrong}))
    sys.exit(bool(wrong))


if __name__ == '__main__':
    main()
