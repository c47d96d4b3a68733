"""Which changes to the code do its tests not see? Mutants by mutmut's operators, against the tests in reach.

    pip install 'mutmut==3.8.1'
    python -m tests.soak.mutants trsum_jax/method/losses.py --told=/tmp/losses.jsonl
    python -m tests.soak.mutants trsum_jax/protocol/*.py --plain --most=100 --seed=0

mutmut's own runner starts pytest for every mutant, and leaves out decorated functions: all of flax's modules.
Here the tests are collected once. A first fork for each test notes the lines that it reaches; then a fork
for each mutant exchanges the code of one function and runs those tests that reach it, the quickest first,
until one fails. A run continues where its file ends. Messages of errors and checks of shapes are left alone.
What is known to change nothing stands in `tests/equivalent_mutants.txt`.
"""

import argparse
import ast
import functools
import gc
import json
import os
import pathlib
import random
import resource
import signal
import sys
import warnings

import coverage
import libcst
import pytest
from libcst import metadata
from mutmut.mutation import file_mutation, mutators, pragma_handling

ROOT = pathlib.Path(__file__).resolve().parents[2]
SLACK_S = 20  # of processor time beside three times what the tests take


class Visitor(file_mutation.MutationVisitor):
    """mutmut's, into decorated functions as well."""

    METADATA_DEPENDENCIES = (
        *file_mutation.MutationVisitor.METADATA_DEPENDENCIES,
        metadata.ByteSpanPositionProvider,
    )

    def _skip_node_and_children(self, node):
        decorated = isinstance(node, libcst.FunctionDef) and node.decorators
        return not decorated and super()._skip_node_and_children(node)


def mutants_of(path):
    """Of a file every mutant: number, line, the lines of its statement, what is changed, the new source."""
    source = path.read_text(encoding='utf-8')
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    lines = source.splitlines()
    silent = set()
    for node in statements:
        if isinstance(node, ast.Raise) or 'chex.assert' in lines[node.lineno - 1]:
            silent |= set(range(node.lineno, node.end_lineno + 1))
    wrapper = metadata.MetadataWrapper(libcst.parse_module(source), unsafe_skip_copy=True)
    visitor = Visitor(mutators.mutation_operators, pragma_handling.IgnoredCode(set(), silent, set()))
    module, found, raw = wrapper.visit(visitor), [], source.encode()
    spans = wrapper.resolve(metadata.ByteSpanPositionProvider)
    for mutation in visitor.mutations:
        if not isinstance(mutation.contained_by_top_level_function, libcst.FunctionDef):
            continue  # a constant, or the field of a class
        span = spans[mutation.original_node]
        old = raw[span.start : span.start + span.length].decode()
        new = module.code_for_node(mutation.mutated_node)
        if old == module.code_for_node(mutation.original_node):
            changed = (raw[: span.start] + new.encode() + raw[span.start + span.length :]).decode()
        else:
            changed = file_mutation.deep_replace(module, mutation.original_node, mutation.mutated_node).code
        line = raw[: span.start].count(b'\n') + 1
        last = line + old.count('\n')
        # The smallest simple statement around it; of an `if`, the line alone; of a signature, the function.
        around = [s for s in statements if s.lineno <= line and last <= s.end_lineno]
        inner = max(around, key=lambda s: s.lineno)
        whole = isinstance(inner, ast.FunctionDef) or not hasattr(inner, 'body')
        reach = (inner.lineno, inner.end_lineno) if whole else (line, last)
        found.append((len(found), line, reach, f'{old!r} -> {new!r}', changed))
    return found


def exchange(name, source):
    """Puts the code of a module's functions and methods in place of what stands there."""
    module = sys.modules[name]
    fresh = {'__name__': name, '__file__': module.__file__}
    exec(compile(source, module.__file__, 'exec'), fresh)
    for key, new in list(fresh.items()):
        old = vars(module).get(key)
        if getattr(new, '__module__', None) != name:
            continue
        if isinstance(new, type):
            for method, made in vars(new).items():
                _exchange_code(vars(old).get(method), made)
        else:
            _exchange_code(old, new)


def _exchange_code(old, new):
    old, new = _plain(old), _plain(new)
    if hasattr(old, '__code__') and hasattr(new, '__code__'):
        old.__code__, old.__defaults__, old.__kwdefaults__ = (
            new.__code__,
            new.__defaults__,
            new.__kwdefaults__,
        )


def _plain(function):
    """The function within a property, a flax method, or a `jax.custom_vjp`."""
    for inner in ('fget', '__func__', '__wrapped__'):
        while getattr(function, inner, None) is not None:
            function = getattr(function, inner)
    return function


class Late:
    """Arrays and keys of test modules that are made after the fork: JAX's threads do not live through one."""

    NAMES = ('array', 'asarray', 'ones', 'zeros', 'arange', 'full', 'insert')

    def __init__(self):
        import jax
        import jax.numpy as jnp
        import numpy as np

        self.kind = type('LateArray', (np.ndarray,), {})
        self.kept = {(jnp, name): getattr(jnp, name) for name in self.NAMES}
        self.kept |= {(jax.random, name): getattr(jax.random, name) for name in ('key', 'split')}
        for name in self.NAMES:
            function = getattr(np, name)
            setattr(jnp, name, lambda *a, _f=function, **k: np.asarray(_f(*a, **k)).view(self.kind))
        for name in ('key', 'split'):
            setattr(jax.random, name, functools.partial(functools.partial, getattr(jax.random, name)))

    def restore(self):
        for (module, name), function in self.kept.items():
            setattr(module, name, function)

    def make(self, items):
        import jax
        import jax.numpy as jnp
        import numpy as np

        def late(leaf):
            return isinstance(leaf, self.kind) or getattr(leaf, 'func', None) in self.kept.values()

        def made(leaf):
            if isinstance(leaf, self.kind):
                return jnp.asarray(leaf.view(np.ndarray))
            return leaf.func(*map(made, leaf.args), **leaf.keywords) if late(leaf) else leaf

        for names in [vars(module) for module in {item.module for item in items}]:
            for key, value in list(names.items()):
                leaves = jax.tree.leaves(value, is_leaf=late)
                if not key.startswith('__') and any(map(late, leaves)):
                    names[key] = jax.tree.map(made, value, is_leaf=late)


class Mutants:
    """The plugin: forks for every test, then for every mutant."""

    def __init__(self, given):
        self.given, self.failed, self.late = given, False, None

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self, session):
        if not self.given.plain:
            self.late = Late()
        try:
            return (yield)
        finally:
            if self.late:
                self.late.restore()

    def pytest_runtest_logreport(self, report):
        self.failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        warnings.filterwarnings('ignore', message='.*fork')
        told = pathlib.Path(self.given.told)
        done = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
        for path in self.given.files:
            __import__(self.name(path))
        bridge = sys.modules.get('jax._src.xla_bridge')
        if bridge and bridge.backends_are_initialized():
            raise pytest.UsageError('a test module computes as it is read, before the forks')
        gc.collect()
        gc.freeze()
        with told.open('a') as file:

            def tell(**what):
                file.write(json.dumps(what) + '\n')
                file.flush()
                done.append(what)

            known = {one['test'] for one in done if 'test' in one}
            for item in session.items:
                if item.nodeid not in known:
                    tell(test=item.nodeid, **self.reached(item))
            reach = {one['test']: one for one in done if 'test' in one}
            known = {(one['file'], one['number']) for one in done if 'file' in one}
            for path in self.given.files:
                every = mutants_of(ROOT / path)
                # A larger sample holds the smaller one.
                chosen = random.Random(self.given.seed).sample(every, len(every))[: self.given.most]
                if self.given.only:
                    chosen = [every[int(number)] for number in self.given.only.split(',')]
                for number, line, lines, what, source in chosen:
                    if (path, number) in known and not self.given.only:
                        continue
                    items = self.items(session, reach, path, lines)
                    result = self.tried(items, reach, path, source) if items else 'no test'
                    tell(
                        file=path,
                        number=number,
                        line=line,
                        what=what,
                        all=len(every),
                        result=result,
                        tests=len(items),
                    )
        return True

    def name(self, path):
        return path.removesuffix('.py').replace('/', '.')

    def items(self, session, reach, path, lines):
        """The tests that reach the lines, those of the module's own file and then the quickest first."""
        inside = set(range(lines[0], lines[1] + 1))
        found = []
        for item in session.items:
            of = reach[item.nodeid]
            if of['passed'] and inside & set(of['lines'].get(path, ())):
                own = item.path.name == f'test_{pathlib.Path(path).name}'
                found.append((of['seconds'] * (0.3 if own else 1.0), item.nodeid, item))
        return [item for _, _, item in sorted(found, key=lambda one: one[:2])]

    def reached(self, item):
        """In a fork: which lines of the files one test reaches, and whether it passes."""

        def work():
            cov = coverage.Coverage(data_file=None, include=[str(ROOT / path) for path in self.given.files])
            cov.set_option('run:disable_warnings', ['no-data-collected'])
            cov.start()
            passed = self.passes([item])
            cov.stop()
            data, seconds = cov.get_data(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
            lines = {path: sorted(data.lines(str(ROOT / path)) or ()) for path in self.given.files}
            return {'passed': passed, 'seconds': seconds, 'lines': lines}

        return self.forked([item], work, 300) or {'passed': False, 'seconds': 0.0, 'lines': {}}

    def tried(self, items, reach, path, source):
        """In a fork: the result of a mutant."""

        def work():
            try:
                exchange(self.name(path), source)
            except Exception as error:
                return f'killed as it is read: {type(error).__name__}'
            return 'survived' if self.passes(items) else f'killed by {self.last}'

        seconds = 3 * sum(reach[item.nodeid]['seconds'] for item in items) + SLACK_S
        return self.forked(items, work, int(seconds)) or 'killed by time'

    def passes(self, items):
        for item, after in zip(items, [*items[1:], None], strict=True):
            self.last = item.nodeid
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self.failed:
                return False
        return True

    def forked(self, items, work, seconds):
        """What `work` returns in a child; nothing where it dies or needs too long."""
        read, write = os.pipe()
        child = os.fork()
        if not child:
            code = 1
            try:
                os.close(read)
                quiet = os.open(os.devnull, os.O_WRONLY)
                os.dup2(quiet, 1)
                os.dup2(quiet, 2)
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
                signal.alarm(20 * seconds)
                if self.late:
                    self.late.make(items)
                with os.fdopen(write, 'w') as file:
                    file.write(json.dumps(work()))
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        with os.fdopen(read) as file:
            text = file.read()
        os.waitpid(child, 0)
        return json.loads(text) if text else None


def main() -> int:
    """Forks, tells, and prints the sums."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('files', nargs='+', help='from the root of the checkout')
    parser.add_argument(
        '--tests', default='', help='files, folders or ids; the folder of the module by default'
    )
    parser.add_argument('--told', default='/tmp/mutants.jsonl', help='a line for every test and mutant')
    parser.add_argument('--most', type=int, default=10**9, help='a random sample of so many of each file')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', default='', help='numbers of mutants of one file, tried once more')
    parser.add_argument(
        '--plain', action='store_true', help='the tests make no array of JAX as they are read'
    )
    parser.add_argument('--without', default='', help='an expression: tests that are not taken, as for -k')
    given = parser.parse_args()
    os.chdir(ROOT)
    tests = given.tests.split() or sorted({f'tests/{pathlib.Path(path).parts[1]}' for path in given.files})
    options = ['-n0', '-q', '-s', '-p', 'no:cacheprovider', *tests]
    if given.without:
        options += ['-k', f'not ({given.without})']
    plugin = Mutants(given)
    sys.path.insert(0, str(ROOT / 'tests'))
    import conftest  # noqa: F401  (settings of the tests, before jax is imported)

    code = pytest.main(options, plugins=[plugin])
    for path in given.files:
        of = {}
        for line in pathlib.Path(given.told).read_text().splitlines():
            one = json.loads(line)
            if one.get('file') == path:
                of[one['number']] = one
        left = [one for one in of.values() if not one['result'].startswith('killed')]
        every = max([one['all'] for one in of.values()], default=0)
        print(f'{path}: {every} mutants, {len(of)} tried, {len(left)} left')
        for one in left:
            print(
                f'  {one["number"]} line {one["line"]}: {one["what"]} ({one["result"]}, {one["tests"]} tests)'
            )
    return int(code)


if __name__ == '__main__':
    sys.exit(main())
