"""Imports run one way: commands; configs; training, video; protocol, method; data; line; files; errors."""

import ast
import pathlib
import subprocess
import sys

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / 'trsum_jax'
MAY_IMPORT = {
    'stopping': set(),
    'errors': {'stopping'},
    'files': {'errors', 'stopping'},
    'config_files': {'errors', 'files'},
    'help_text': {'config_files'},
    'command_line': {'errors', 'files', 'config_files', 'help_text'},
    'completion': {'errors', 'files', 'config_files', 'help_text'},
    'data': {'errors', 'files'},
    'protocol': {'errors', 'files', 'data'},
    'method': {'errors'},
    'training': {'stopping', 'errors', 'files', 'data', 'protocol', 'method'},
    'video': {'errors', 'files', 'data', 'protocol', 'method'},
    'configs': {'data', 'method', 'training'},
    'commands': {
        *('stopping', 'errors', 'files', 'config_files', 'command_line', 'completion'),
        *('data', 'protocol', 'method', 'training', 'video'),
    },
}
NO_JAX = ('stopping', 'errors', 'files', 'config_files', 'help_text', 'command_line', 'completion')
NO_JAX += ('data', 'protocol')


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


# In a checkout the configs are a link, which is not followed.
FILES = [*PACKAGE.rglob('*.py'), *(PACKAGE / 'configs').rglob('*.py')]
FILES = [path for path in dict.fromkeys(FILES) if path.name != '__init__.py']


def test_imports_run_one_way():
    wrong = []
    for path in FILES:
        layer = layer_of(path)
        for name in imports(path):
            parts = name.split('.')
            if parts[0] != 'trsum_jax' or parts[1] == '__version__':
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
