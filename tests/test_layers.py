"""Imports run one way: commands; training, video; protocol, method; data; command line; files; errors."""

import ast
import pathlib
import subprocess
import sys

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / 'trsum_jax'
MAY_IMPORT = {
    'stopping': set(),
    'errors': {'stopping'},
    'files': {'errors', 'stopping'},
    'command_line': {'errors', 'files'},
    'data': {'errors', 'files'},
    'protocol': {'errors', 'files', 'data'},
    'fields': set(),
    'method': {'errors'},
    'rivals': {'fields', 'method', 'training'},
    'training': {'stopping', 'errors', 'files', 'fields', 'data', 'protocol', 'method', 'rivals'},
    'video': {'errors', 'files', 'data', 'protocol', 'method'},
    'commands': {
        *('stopping', 'errors', 'files', 'command_line', 'data', 'protocol', 'method', 'training', 'video'),
    },
}
NO_JAX = ('stopping', 'errors', 'files', 'command_line', 'data', 'protocol')


def layer_of(path: pathlib.Path) -> str:
    top = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    return top if top in MAY_IMPORT else 'commands'


def imports(path: pathlib.Path) -> set[str]:
    """Full names of all that a file imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return found


FILES = [path for path in PACKAGE.rglob('*.py') if path.name != '__init__.py']


def test_imports_run_one_way():
    wrong = []
    for path in FILES:
        layer = layer_of(path)
        for name in imports(path):
            parts = name.split('.')
            if parts[0] != 'trsum_jax':
                continue
            target = parts[1] if parts[1] in MAY_IMPORT else 'commands'
            if target not in MAY_IMPORT[layer] | {layer} or (layer == target == 'commands'):
                wrong.append(f'{path.relative_to(PACKAGE)} imports {name}')
    assert not wrong
    assert {layer_of(path) for path in FILES} == set(MAY_IMPORT)


def test_data_and_protocol_do_without_jax():
    # The module's name, not the package's own, which begins alike.
    names = [
        '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)
        for path in FILES
        if layer_of(path) in NO_JAX
    ]
    program = (
        f'import sys, importlib\nsys.modules["jax"] = None\nfor n in {names}: importlib.import_module(n)'
    )
    subprocess.run([sys.executable, '-W', 'error', '-c', program], check=True, cwd=PACKAGE.parent)


def test_no_file_has_outgrown_one_sitting():
    long = {str(path): n for path in FILES if (n := len(path.read_text('utf-8').splitlines())) > 350}
    assert not long
