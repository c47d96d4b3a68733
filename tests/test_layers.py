"""The rules of the house: which room may import which, and what a room may hold."""

import ast
import collections
import functools
import graphlib
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'trsum_jax'
BELOW = {'stopping', 'errors', 'files'}
DATA = {*BELOW, 'data', 'protocol'}
RUNS = {*DATA, 'method', 'runtime', 'training'}
ROOMS = {
    'stopping': set(),
    'errors': {'stopping'},
    'files': {'errors', 'stopping'},
    'command': BELOW,
    'data': {'errors', 'files'},
    'protocol': {'errors', 'files', 'data'},
    'method': {'errors'},
    'runtime': BELOW,
    'training': RUNS,
    'rivals': RUNS,
    'results': RUNS,
    'experiment': {*RUNS, 'rivals', 'results'},
    'studies': {*RUNS, 'results', 'experiment'},
    'environments': {*RUNS, 'results', 'experiment'},
    'video': {*DATA, 'method'},
    'commands': {*RUNS, 'command', 'results', 'experiment', 'studies', 'video'},
}
# Modules: a folder with a row has a reason.
LARGER = {
    '.': 'a module for each command, and the three that every room may import',
    'video': 'reading, choosing and writing of films, to be split',
}
# Modules without a test file of their name, and the file in which they are tested, through what uses them.
TESTED_IN = {
    '__main__': 'test_trsum_command',
    'errors': 'test_stopping',
    'score': 'test_main',
    'command/completion': 'test_trsum_command',
    'command/help_text': 'command/test_command_line',
    'data/fetched/answers': 'data/fetched/test_download',
    'data/folded': 'test_main',
    'data/foreign/matlab_process': 'data/foreign/test_matlab',
    'data/records': 'data/test_datasets',
    'data/stored/arrays': 'data/stored/test_joining',
    'data/stored/bounds': 'data/stored/test_hdf5',
    'data/stored/features': 'training/test_feed',
    'data/stored/hdf5_writer': 'data/test_datasets',
    'data/stored/json_fields': 'test_recut',
    'data/stored/stranger': 'data/stored/test_hdf5',
    'data/stored/text_files': 'data/test_scores',
    'experiment/config': 'benchmarks/test_torch_agreement',
    'experiment/inputs': 'test_main_inputs',
    'environments/one_step': 'studies/test_comparison',
    'environments/selection': 'studies/test_comparison',
    'experiment/bench/estimating': 'method/test_estimators',
    'experiment/bench/functions': 'experiment/bench/test_trials',
    'experiment/run': 'training/test_loop',
    'experiment/scorer': 'test_main',
    'protocol/failures': 'data/made/test_planted',
    'results/filenames': 'experiment/test_workdirs',
    'results/metric_log': 'training/test_loop',
    'results/planted_failures': 'studies/test_comparison',
    'results/report': 'test_main',
    'results/summaries': 'test_main',
    'rivals/acsumgan/game': 'rivals/acsumgan/test_net',
    'runtime/checkpoint': 'training/test_loop',
    'studies/drawing': 'studies/test_comparison',
    'studies/pages/own_and_help': 'studies/test_own_and_help',
    'studies/pages/premise': 'studies/test_premise',
    'studies/pages/stability': 'studies/test_stability',
    'studies/random_summaries': 'studies/test_premise',
    'studies/measures': 'studies/test_comparison',
    'studies/transfer': 'studies/test_comparison',
    'studies/variants': 'experiment/test_check',
    'training/dispatches': 'training/test_grid',
    'video/deinterlacing': 'video/test_sound',
    'video/describing': 'video/test_pictures',
    'video/film_sound': 'video/test_writing',
    'video/folder': 'test_names',
    'video/forms': 'video/written/test_small_film',
    'video/parts': 'video/test_cuts',
    'video/outputs': 'test_summarize',
    'video/targets': 'test_recut',
    'video/picking': 'video/test_writing',
    'video/planning': 'test_summarize',
    'video/record': 'test_recut',
    'video/rendering': 'video/test_page',
    'video/references': 'video/test_sampling',
    'video/stamps': 'video/test_sampling',
    'video/summary': 'video/test_timeline',
    'video/timecode': 'video/test_timeline',
    'video/tone_mapping': 'video/test_pictures',
}
# In the order in which they are read.
ONE_SITTING = (
    *('main', 'experiment/run', 'experiment/config', 'training/corpus', 'training/trsum'),
    *('training/epoch', 'training/grid', 'method/models', 'method/rewards', 'method/episodes'),
)
# In a checkout the configs are a link to a folder beside the package.
FILES = [
    path
    for path in PACKAGE.rglob('*.py')
    if path.name != '__init__.py' and path.relative_to(PACKAGE).parts[0] != 'configs'
]


def room_of(path):
    top = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    return top if top in ROOMS else 'commands'


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding='utf-8'))


def imports(path):
    """Full names of all that a file imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return found


def public(path):
    """Names of the public functions and classes of a file."""
    kinds = ast.FunctionDef | ast.ClassDef
    return [n.name for n in tree_of(path).body if isinstance(n, kinds) and not n.name.startswith('_')]


def test_rooms_import_one_way():
    wrong = []
    for path in FILES:
        room = room_of(path)
        for name in imports(path):
            parts = name.split('.')
            if parts[0] != 'trsum_jax' or len(parts) == 1:
                continue
            target = parts[1] if parts[1] in ROOMS or (PACKAGE / f'{parts[1]}.py').exists() else None
            if target is None:
                # The package's own; of its rooms, `experiment` lists the rivals.
                continue
            target = target if target in ROOMS else 'commands'
            if target not in ROOMS[room] | {room} or (room == target == 'commands'):
                wrong.append(f'{path.relative_to(PACKAGE)} imports {name}')
    assert not wrong
    assert {room_of(path) for path in FILES} == set(ROOMS)


def test_no_circle_of_files():
    of = {'.'.join(path.relative_to(ROOT).with_suffix('').parts): path for path in FILES}
    arrows = {
        name: {
            target
            for one in imports(path)
            for target in (one, one.rpartition('.')[0])
            if target in of and target != name
        }
        for name, path in of.items()
    }
    graphlib.TopologicalSorter(arrows).prepare()


def test_no_room_has_more_than_ten_files():
    counts = collections.Counter(path.parent.relative_to(PACKAGE).as_posix() for path in FILES)
    assert {room: n for room, n in counts.items() if n > 10 and room not in LARGER} == {}
    assert all(counts[room] > 10 for room in LARGER)


@pytest.mark.parametrize(
    ('rooms', 'libraries'),
    [
        (('method', 'training', 'rivals'), ('ml_collections',)),
        (('stopping', 'errors', 'files', 'command', 'data', 'protocol'), ('jax',)),
        # Half of a training's start: what draws and counts imports them when it does.
        (('main', 'experiment', 'results', 'studies'), ('matplotlib', 'scipy.stats')),
    ],
)
def test_rooms_do_without(rooms, libraries):
    # The module's name, not the package's own, which begins alike.
    paths = [path for path in FILES if room_of(path) in rooms]
    names = ['.'.join(path.relative_to(ROOT).with_suffix('').parts) for path in paths]
    program = (
        f'import sys, importlib\nsys.modules |= dict.fromkeys({libraries})\n'
        f'for n in {names}: importlib.import_module(n)'
    )
    subprocess.run([sys.executable, '-W', 'error', '-c', program], check=True, cwd=ROOT)


def test_the_methods_name_is_compared_in_one_file():
    names = {'trsum', *(path.name for path in (PACKAGE / 'rivals').iterdir() if path.is_dir())}
    comparing = set()
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                told = {side.value for side in sides if isinstance(side, ast.Constant)}
                method = {ast.unparse(side) for side in sides if isinstance(side, ast.Attribute)}
                if told & names or any(re.search(r'\.(method|OURS)$', one) for one in method):
                    comparing.add(path.relative_to(PACKAGE).as_posix())
    assert comparing == {'experiment/methods.py'}


def test_public_names_are_unique_within_a_room():
    found = collections.defaultdict(list)
    for path in FILES:
        for name in public(path):
            found[path.parent.relative_to(PACKAGE).as_posix(), name].append(path.name)
    # Every command has these two, and every script.
    twice = {
        key: paths
        for key, paths in found.items()
        if len(paths) > 1 and not (key[0] in ('.', 'studies/pages') and key[1] in ('main', 'define_flags'))
    }
    assert not twice


def test_functions_are_nested_two_deep_at_most():
    def depth(node, above=0):
        own = above + isinstance(node, ast.FunctionDef)
        return max([own, *(depth(child, own) for child in ast.iter_child_nodes(node))])

    # A function of a module is the first; two within it.
    deep = {path.relative_to(PACKAGE).as_posix(): n for path in FILES if (n := depth(tree_of(path))) > 3}
    assert not deep


def test_the_method_is_read_in_one_sitting():
    lines = {name: len((PACKAGE / f'{name}.py').read_text('utf-8').splitlines()) for name in ONE_SITTING}
    assert sum(lines.values()) < 1800, lines
    readme = (ROOT / 'README.md').read_text('utf-8').partition('## Reading the code')[2]
    listed = re.findall(r'^\d+\. `trsum_jax/([\w/]+)\.py`', readme.partition('\n## ')[0], re.MULTILINE)
    assert tuple(listed) == ONE_SITTING


def test_no_file_has_outgrown_one_sitting():
    tests = (ROOT / 'tests').rglob('*.py')
    long = {
        str(path): n for path in (*FILES, *tests) if (n := len(path.read_text('utf-8').splitlines())) > 350
    }
    assert not long


def test_every_module_has_a_test_file_in_the_same_place():
    modules = {path.relative_to(PACKAGE).with_suffix('').as_posix() for path in FILES}

    def own(module):
        room, _, name = module.rpartition('/')
        return ROOT / 'tests' / room / f'test_{name}.py'

    assert {module for module in modules if not own(module).exists()} == set(TESTED_IN)
    assert all((ROOT / 'tests' / f'{place}.py').exists() for place in TESTED_IN.values())
