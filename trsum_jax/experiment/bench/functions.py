"""Functions by import path, `MODULE:NAME`: which a config names, where they are, what their source was.

The module is found as any import finds it; `trsum` adds the current folder to the path, as `python -m` does.
"""

import importlib
import inspect
import pathlib
import types
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections

from trsum_jax.errors import InputError, raised
from trsum_jax.files import sha256, shown
from trsum_jax.runtime.fields import is_path


def terms_of(config: ml_collections.ConfigDict) -> list[str]:
    """The import paths among the terms of a config's reward; a term of weight 0 is not asked for."""
    return [name for name, weight in config.summarizer.reward_terms.items() if weight and is_path(name)]


def named_in(config: ml_collections.ConfigDict) -> dict[str, str]:
    """By field, such as `config.summarizer.estimator`, the import path that stands there.

    Args:
        config: the whole config.

    Returns:
        In the order of the config; empty where all is the package's own.
    """
    fields = config.summarizer
    found = {name: fields[name] for name in ('estimator', 'baseline') if is_path(fields[name])}
    found |= {f'reward_terms.{name}': name for name in terms_of(config)}
    return {f'config.summarizer.{name}': path for name, path in found.items()}


def function(path: str) -> Callable[..., Any]:
    """The function of an import path.

    Args:
        path: `MODULE:NAME`; `/` in it is as a dot.

    Returns:
        The function.

    Raises:
        InputError: no such module, one that raises or has no file, no such name in it, or nothing to call.
    """
    module, name = _module(path), path.partition(':')[2]
    told = f'expected a function {name} in {shown(source(path))}, found'
    if not hasattr(module, name):
        own = [n for n, value in vars(module).items() if getattr(value, '__module__', '') == module.__name__]
        raise InputError(f'{told} {", ".join(own) or "none at all"}')
    found = getattr(module, name)
    if not callable(found):
        raise InputError(f'{told} a value ({type(found).__name__})')
    return found


def call(path: str, *args: Any, **options: Any) -> Any:
    """Calls the function of an import path, which is not looked for before.

    Args:
        path: `MODULE:NAME`.
        *args: of the function.
        **options: of the function.

    Returns:
        What it gives.

    Raises:
        InputError: as `function`, or it raises: the segment on which it was tried is a made one.
    """
    found = function(path)
    try:
        return found(*args, **options)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f'{path}: expected it to run on all segments, found that {raised(error)}') from error


def parameters(found: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters; none where it is written in C and does not tell them."""
    try:
        return tuple(inspect.signature(found).parameters)
    except (TypeError, ValueError):
        return ()


def digests(paths: Sequence[str]) -> dict[str, str]:
    """What the source of each function is: the SHA-256 of its module's file.

    Args:
        paths: import paths.

    Returns:
        By path. What a module imports from elsewhere is not in it.

    Raises:
        InputError: as `function`.
    """
    return {path: sha256(source(path)) for path in paths}


def source(path: str) -> pathlib.Path:
    """The file that a function's module stands in.

    Args:
        path: `MODULE:NAME`.

    Returns:
        Its path.

    Raises:
        InputError: no such module, or one that raises or has no file.
    """
    return pathlib.Path(str(_module(path).__file__))


def _module(path: str) -> types.ModuleType:
    name = path.replace('/', '.').partition(':')[0]
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        lacking = error.name if isinstance(error, ModuleNotFoundError) else None
        # The module itself, or the folder that it is in; not what it imports.
        if lacking and f'{name}.'.startswith(f'{lacking}.'):
            raise InputError(
                f'expected a module {name}, found none of that name in the current folder '
                f'({shown(pathlib.Path.cwd())}) nor among the installed ones; PYTHONPATH=FOLDER adds a folder'
            ) from error
        raise InputError(f'expected a module that can be imported, found that {raised(error)}') from error
    if not getattr(module, '__file__', None):
        raise InputError(f'expected a module of a file, found that {name} has none')
    own = pathlib.Path(f'{name.replace(".", "/")}.py').resolve()
    there = pathlib.Path(module.__file__).resolve()
    if own.exists() and own != there:
        raise InputError(
            f'expected the module {name} of {shown(own)}, found that {shown(there)} comes before it; '
            'give the file another name'
        )
    return module
