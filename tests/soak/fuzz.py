"""Damaged inputs to all commands and readers: `python -m tests.soak.fuzz --trials=1000 --seed=0`, by hand.

A trial damages one sound input (a feature file, scores, splits, ratings, a workdir, a config, weights, a
model, a film), runs one command or reader on it in a process of its own, and looks for a traceback, a crash,
silence, a hang of 20 s more than the sound input takes, more than 2 GB, and files that are half written. It
prints each fault with the command that repeats it, and then a table of trials and faults by command and kind
of damage. Exits with 1 where one failed. Shares of the commands: `cases.SHARES`.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import random
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from tests.soak import cases, damage, watched

_PRELOADED = ('numpy', 'h5py', 'av', 'scipy.stats', 'onnxruntime', 'tabulate', 'trsum_jax.data.datasets',
              'trsum_jax.data.splits', 'trsum_jax.data.annotations', 'trsum_jax.protocol.baselines',
              'trsum_jax.protocol.tables', 'trsum_jax.video.reading',
              'trsum_jax.video.encoders.onnx')  # fmt: skip


def forked(case: cases.Case, arguments: list[str], cwd: str, log: str) -> None:
    """In a process forked from one that has imported everything: a command without JAX, or a reader.

    Args:
        case: whose `read` runs where there is no command line.
        arguments: the command line, or the path to read.
        cwd: where it runs.
        log: the file for its output.
    """
    from trsum_jax.errors import explain

    os.chdir(cwd)
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if case.read is None:
        sys.argv = [case.command, *arguments]
        runpy.run_module(f'trsum_jax.{case.command}', run_name='__main__', alter_sys=True)
        return
    try:
        case.read(*arguments)
    except BaseException as error:
        explained = explain(error)
        if explained is None:
            raise
        code, words = explained
        print(words, file=sys.stderr)
        sys.exit(code)


def _forked_by_number(work: str, index: int, arguments: list[str], cwd: str, log: str) -> None:
    sys.path.insert(0, str(cases.ROOT / 'tests'))
    forked(cases.all_cases(cases.sound_inputs(pathlib.Path(work)))[index], arguments, cwd, log)


class Fuzz:
    """All trials of one seed."""

    def __init__(self, work: pathlib.Path, seed: int):
        self.work, self.seed = work, seed
        cases.make_sound(work)
        self.sound = cases.sound_inputs(work)
        self.cases = cases.all_cases(self.sound)
        self.environment = cases.environment(work)
        self.seconds: dict[str, float] = {}
        shares = [(i / share, name) for name, share in cases.SHARES.items() for i in range(share)]
        self.order = [name for _, name in sorted(shares)]
        self.context = multiprocessing.get_context('forkserver')
        self.context.set_forkserver_preload(list(_PRELOADED))

    def damaged(
        self, case: cases.Case, folder: pathlib.Path, rng: random.Random
    ) -> tuple[pathlib.Path, str, list[str]]:
        """A damaged copy of the case's input, the kind of damage, and more flags."""
        path = folder / case.source.name
        if case.source.is_dir():
            shutil.copytree(case.source, path)
            target = rng.choice(sorted(each for each in path.rglob('*') if each.is_file()))
        else:
            target = path = shutil.copyfile(case.source, path)
        kinds = [*damage.BLIND] * 2 + [*damage.PLACES] + ['other kind']
        kinds += {'.json': ['tree'] * 14, '.jsonl': ['tree'] * 14, '.h5': ['tree'] * 14}.get(
            target.suffix, []
        )
        kinds += ['typo'] * 8 if case.what == 'config.py' else []
        kind = rng.choice([each for each in kinds if each != 'name' or not case.source.is_dir()])
        if kind == 'typo':
            return path, kind, [rng.choice(cases.TYPOS)]
        if kind == 'other kind':
            files = [each for each in self.sound.values() if each.is_file()]
            damage.other_kind(target, rng, files)
        elif kind == 'tree':
            change = damage.h5_tree if target.suffix == '.h5' else damage.json_tree
            # In a process, as HDF5 can crash over what it is told to write.
            process = self.context.Process(target=change, args=(target, rng))
            process.start()
            process.join()
        else:
            moved = (damage.BLIND | damage.PLACES)[kind](target, rng)
            path = moved if target == path else path
        return path, kind, []

    def run(
        self, case: cases.Case, path: pathlib.Path, folder: pathlib.Path, more: list[str], patience: float = 1
    ) -> tuple[list[str], dict]:
        """One run on whatever stands at the path."""
        out, log = folder / 'out', folder / 'log'
        out.mkdir()
        arguments = [str(path)] if case.read else [*case.arguments(str(path), str(out)), *more]

        def start():
            if case.read or case.forked:
                given = (str(self.work), self.cases.index(case), arguments, str(folder), str(log))
                process = self.context.Process(target=_forked_by_number, args=given)
                process.start()
                return process
            command = [sys.executable, '-m', f'trsum_jax.{case.command}', *arguments]
            with log.open('w') as file:
                return subprocess.Popen(
                    command,
                    cwd=folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                )

        usual = self.seconds.get(case.usual, 0.0)
        faults, how = watched.run(start, log, (watched.SECONDS + usual) * patience)
        return faults + watched.left(out), how

    def case_of(self, number: int) -> tuple[cases.Case, random.Random]:
        """The case of a trial, and the generator of all that follows in it."""
        rng = random.Random(f'{self.seed} {number}')
        command = self.order[number % len(self.order)]
        return rng.choice([each for each in self.cases if each.command == command]), rng

    def settle(self, wanted: list[int]) -> None:
        """Runs the cases of trials on their sound inputs: they must pass, and say how long they take."""
        for case in [self.case_of(number)[0] for number in wanted]:
            # The network of the weights is not the one that the command wants.
            if case.usual in self.seconds or case.what == 'zip.pth':
                continue
            folder = pathlib.Path(tempfile.mkdtemp(dir=self.work))
            path = folder / case.source.name
            (shutil.copytree if case.source.is_dir() else shutil.copyfile)(case.source, path)
            self.seconds[case.usual] = 100.0
            faults, how = self.run(case, path, folder, [])
            if faults or how['code']:
                log = (folder / 'log').read_text(errors='replace')
                sys.exit(f'{case.command} fails on the sound {case.what}: {faults} {how}\n{log}')
            self.seconds[case.usual] = how['seconds']
            shutil.rmtree(folder)

    def trial(self, number: int, keep: bool, patience: float = 1) -> tuple[str, str, list[str], dict]:
        """One trial: command and input, kind of damage, faults, how it went."""
        case, rng = self.case_of(number)
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f'{number}-', dir=self.work))
        (folder / 'in').mkdir()
        path, kind, more = self.damaged(case, folder / 'in', rng)
        faults, how = self.run(case, path, folder, more, patience)
        how['path'] = path
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        if patience == 1 and any(fault.startswith('hang') for fault in faults):
            # The machine may have been busy: what hangs hangs again.
            return self.trial(number, keep, patience=3)
        return f'{case.command} {case.what}', kind, faults, how


def _table(counts: collections.Counter, failed: collections.Counter) -> str:
    import tabulate

    kinds = sorted({kind for _, kind in counts})
    commands = sorted({command for command, _ in counts}, key=list(cases.SHARES).index)

    def cell(command, kind):
        n, bad = counts[command, kind], failed[command, kind]
        return f'{n} ({bad} FAILED)' if bad else n or ''

    rows = [
        [
            kind,
            *(cell(command, kind) for command in commands),
            sum(counts[command, kind] for command in commands),
        ]
        for kind in kinds
    ]
    total = [sum(n for (command, _), n in counts.items() if command == each) for each in commands]
    return tabulate.tabulate([*rows, ['all', *total, sum(total)]], ['damage', *commands, 'all'])


def main() -> int:
    """Runs the trials on two threads and prints what failed."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--trials', type=int, default=1000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', type=int, action='append', help='the number of one trial; keeps its folder')
    parser.add_argument('--command', choices=list(cases.SHARES), help='the trials of one command')
    parser.add_argument('--workers', type=int, default=2)
    given = parser.parse_args()
    sys.path.insert(0, str(cases.ROOT / 'tests'))
    work = pathlib.Path(tempfile.mkdtemp(prefix='fuzz-'))
    print(f'seed {given.seed}; inputs and trials in {work}', flush=True)
    begun, counts, failed = time.monotonic(), collections.Counter(), collections.Counter()
    fuzz = Fuzz(work, given.seed)
    numbers = given.only or range(given.trials)
    wanted = [n for n in numbers if given.command in (None, fuzz.order[n % len(fuzz.order)])]
    fuzz.settle(wanted)
    print(f'all sound inputs pass, after {time.monotonic() - begun:.0f} s', flush=True)
    faults_by_kind, peak, lock = collections.Counter(), 0, threading.Lock()
    with concurrent.futures.ThreadPoolExecutor(given.workers) as pool:
        futures = {pool.submit(fuzz.trial, n, bool(given.only)): n for n in wanted}
        for future in concurrent.futures.as_completed(futures):
            number = futures[future]
            case, kind, faults, how = future.result()
            with lock:
                command = case.split()[0]
                counts[command, kind] += 1
                peak = max(peak, how['peak'])
            if given.only:
                print(
                    f'{number}: {case}, {kind}: code {how["code"]}, {how["seconds"]:.1f} s, {how["path"]!r}'
                )
            if faults:
                failed[command, kind] += 1
                faults_by_kind[faults[0].split(':')[0]] += 1
                again = shlex.join(
                    ['python', '-m', 'tests.soak.fuzz', f'--seed={given.seed}', f'--only={number}']
                )
                print(f'FAILED {number}: {case}, {kind}: {"; ".join(faults)}\n  {again}', flush=True)
    print(_table(counts, failed))
    print(
        f'{sum(counts.values())} trials, {sum(failed.values())} failed ({dict(faults_by_kind)}); '
        f'largest {peak >> 20} MiB; {time.monotonic() - begun:.0f} s; seed {given.seed}'
    )
    if not given.only and not failed:
        with contextlib.suppress(OSError):
            shutil.rmtree(work)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
