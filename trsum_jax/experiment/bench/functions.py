"""Functions by import path, `MODULE:NAME`: which a config names, where they are, what their source was.

The module is found as any import finds it; `trsum` adds the current folder to the path, as `python -m` does.
"""

import importlib
import inspect
import pathlib
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections

from trsum_jax.errors import InputError
from trsum_jax.files import sha256, shown
from trsum_jax.runtime.fields import is_path

# Where the lines of other people's code stand, ours among them, in the traceback of an error.
_NOT_THEIRS = (
    '<',
    str(pathlib.Path(__file__).resolve().parents[2]),
    *(sysconfig.get_paths()[name] for name in ('stdlib', 'purelib', 'platlib')),
)


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
    module, _, name = path.replace('/', '.').partition(':')
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        lacking = error.name or module
        if not (module == lacking or module.startswith(f'{lacking}.')):
            raise InputError(f'expected a module that can be imported, found that {raised(error)}') from error
        raise InputError(
            f'expected a module {module}, found none of that name in the current folder '
            f'({shown(pathlib.Path.cwd())}) nor among the installed ones; PYTHONPATH=FOLDER adds a folder'
        ) from error
    except Exception as error:
        raise InputError(f'expected a module that can be imported, found that {raised(error)}') from error
    if not getattr(found, '__file__', None):
        raise InputError(f'expected a module of a file, found that {module} has none')
    if not hasattr(found, name):
        own = [n for n, value in vars(found).items() if getattr(value, '__module__', '') == found.__name__]
        raise InputError(
            f'expected a function {name} in {shown(found.__file__)}, found {", ".join(own) or "none at all"}'
        )
    value = getattr(found, name)
    if not callable(value):
        kind = type(value).__name__
        raise InputError(f'expected a function {name} in {shown(found.__file__)}, found a value ({kind})')
    return value


def call(path: str, *args: Any, **options: Any) -> Any:
    """Calls the function of an import path: it is not looked for before."""
    return function(path)(*args, **options)


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
        InputError: as `function`.
    """
    function(path)
    return pathlib.Path(str(importlib.import_module(path.replace('/', '.').partition(':')[0]).__file__))


def raised(error: BaseException) -> str:
    """What an error of somebody's code says, with the last line of theirs that it passed.

    Args:
        error: any.

    Returns:
        Such as `it raises NameError: name 'x' is not defined (mine.py, line 3)`.
    """
    at = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_NOT_THEIRS)
    ]
    if isinstance(error, SyntaxError):
        at = [(error.filename or '', error.lineno)]
    where = f' ({shown(at[-1][0])}, line {at[-1][1]})' if at else ''
    return f'it raises {type(error).__name__}: {" ".join(str(error).split())}{where}'
