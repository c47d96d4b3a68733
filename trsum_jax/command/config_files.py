"""Config files, ours by name and anybody's by path: found, listed, loaded, with faults in one sentence."""

import ast
import difflib
import pathlib
import re
import runpy
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trsum_jax.errors import InputError, raised
from trsum_jax.files import shown

# In a checkout a link to `configs/` at its top; a wheel has the files themselves there.
FOLDER = (pathlib.Path(__file__).resolve().parents[1] / 'configs').resolve()


def names() -> dict[str, pathlib.Path]:
    """Our configs.

    Returns:
        Their files by name: `tvsum`, `studies/choices`; those of the top first.
    """
    found = [path for path in FOLDER.rglob('*.py') if path.stem != '__init__']
    by_name = {path.relative_to(FOLDER).with_suffix('').as_posix(): path for path in found}
    return dict(sorted(by_name.items(), key=lambda one: (one[0].count('/'), one)))


def title(path: pathlib.Path) -> str:
    """The first line of a config's docstring; empty where it has none."""
    text = ast.get_docstring(ast.parse(path.read_text('utf-8'))) or ''
    return text.partition('\n')[0]


def find(named: str, told: str) -> tuple[pathlib.Path, str | None]:
    """The file of a config, and its preset.

    Args:
        named: `NAME` of ours, or `FILE`; `:PRESET` may follow. `configs/NAME.py` is ours too where there is
            no such file, as outside a checkout.
        told: what the command line says, for messages.

    Returns:
        The file, and the preset; None where none is named.

    Raises:
        InputError: neither a config of ours nor a file; names what is near.
    """
    place, given, preset = named.partition(':')
    ours, path = names(), pathlib.Path(place)
    ours |= {} if path.exists() else {f'configs/{name}.py': file for name, file in ours.items()}
    path = ours.get(place, path)
    if path.is_dir():
        held = ', '.join(sorted(one.name for one in path.glob('*.py') if one.stem != '__init__'))
        raise InputError(f'{told}: expected a file, found a folder, of {held or "no config"}')
    if not path.exists():
        near = near_to(place, _like(path)) or '; trsum configs lists them'
        found = f'found no such file (looked for at {shown(path.absolute())})'
        raise InputError(f'{told}: expected a config file, or the name of a config, {found}{near}')
    return path, (preset if given else None)


def load(named: str, told: str) -> Mapping[str, Any]:
    """What a config file gives.

    Args:
        named: as in `find`.
        told: likewise.

    Returns:
        The config.

    Raises:
        InputError: the file does not exist, raises, or gives no config.
    """
    path, preset = find(named, told)
    _lend_configs()
    try:
        get_config = runpy.run_path(str(path)).get('get_config')
    except (Exception, SystemExit) as error:
        raise InputError(f'{told}: expected a config file, found that {_raised(error)}') from error
    if not callable(get_config):
        raise InputError(f'{told}: expected a Python file with a function get_config, found none in it')
    try:
        config = get_config() if preset is None else get_config(preset)
    except (Exception, SystemExit) as error:
        raise InputError(f'{told}: {_raised(error)}') from error
    if not hasattr(config, 'items'):
        raise InputError(f'{told}: expected get_config to return a ConfigDict, found {type(config).__name__}')
    return config


def fields(config: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Every field of a config, as `model.width`, with its value."""
    for name, value in config.items():
        if hasattr(value, 'items') and value:
            yield from fields(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value


def near_to(name: str, known: Iterable[str], before: str = '', cutoff: float = 0.75) -> str:
    """Words on the names that are most like one: as a whole, or in their last part.

    Args:
        name: what was written.
        known: what might have been meant.
        before: put before each, such as `--`.
        cutoff: how much alike, from 0 to 1.

    Returns:
        `; did you mean …?`, or nothing.
    """
    # The last part of `configs/tvsum.py` and of `model.width`, as people remember it.
    known = list(known)
    ends = {re.split('[/.]', one.removesuffix('.py'))[-1]: one for one in reversed(known)}
    end = re.split('[/.]', name.removesuffix('.py'))[-1]
    near = [ends[one] for one in difflib.get_close_matches(end, ends, 2, 0.8)]
    near = list(dict.fromkeys([*difflib.get_close_matches(name, known, 2, cutoff), *near]))[:3]
    return f'; did you mean {" or ".join(before + one for one in near)}?' if near else ''


def _like(path: pathlib.Path) -> list[str]:
    """What might have been meant: names, or files where a file was named."""
    if path.suffix != '.py':
        return list(names())
    beside = path.parent.glob('*.py') if path.parent.is_dir() else ()
    found = [one.as_posix() for one in sorted(beside) if one.stem != '__init__']
    return [*found, *(f'configs/{name}.py' for name in names())]


def _lend_configs() -> None:
    """Config files may import what lies where the command runs, and ours as `configs` as well.

    `from configs import default` is what files say that were written in a checkout.
    """
    # As under `python -m`; last, so that it hides nothing.
    here = str(pathlib.Path.cwd())
    if not {'', here} & set(sys.path):
        sys.path.append(here)
    try:
        import configs
    except ModuleNotFoundError:
        configs = sys.modules['configs'] = types.ModuleType('configs')
        configs.__path__ = []
    places = list(getattr(configs, '__path__', ()))
    if not any(pathlib.Path(place).resolve() == FOLDER for place in places):
        configs.__path__ = [*places, str(FOLDER)]


def _raised(error: BaseException) -> str:
    """An error of somebody's config."""
    return str(error) if isinstance(error, InputError) else raised(error)
