"""What stands on a command line: flags and configs read, faults in them as one sentence, and the help."""

import difflib
import pathlib
import re
import runpy
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from trsum_jax import errors
from trsum_jax.errors import InputError
from trsum_jax.files import shown

CONFIG = 'config'
_HELP = re.compile('--?(help|helpshort|helpfull|h|[?])')
_WIDTH = 100


def run(main: Callable[[Sequence[str]], int | None], define_flags: Callable[[], Any] | None = None) -> None:
    """Runs `main` as a command; `--help` and faults of the command line are answered before it.

    Args:
        main: as in `errors.run_command`.
        define_flags: declares the flags that are not declared where the command's module is read.
    """

    def parse(argv: Sequence[str]) -> list[str]:
        if any(map(_HELP.fullmatch, argv[1:])):
            print(_help(define_flags, [arg for arg in argv if not _HELP.fullmatch(arg)]), flush=True)
            sys.exit(0)
        return _read(define_flags, argv)

    errors.run_command(main, parse)


def define_config(default: str) -> None:
    """Declares `--config=FILE` and a flag for every field of that file, such as `--config.model.width`.

    What the command line says of them is checked here: the library reads it as they are declared.

    Args:
        default: the file where none is named.

    Raises:
        InputError: no such file, no config in it, a field that it does not have; names what is near.
    """
    from ml_collections import config_flags

    named, fields = _of_config(sys.argv[1:])
    if named == '':
        raise InputError(f'--{CONFIG}: expected a file, found nothing behind it')
    config = load_config(named or default)
    for field in fields:
        _check_field(config, field)
    text = 'The experiment; configs/NAME.py:published for the literal preset.'
    config_flags.DEFINE_config_file(CONFIG, default, text)


def load_config(named: str) -> Mapping[str, Any]:
    """What a config file gives.

    Args:
        named: `FILE` or `FILE:PRESET`.

    Returns:
        The config.

    Raises:
        InputError: the file does not exist, raises, or gives no config.
    """
    place, given, preset = named.partition(':')
    path, told = pathlib.Path(place), f'--{CONFIG}={shown(named)}'
    if path.is_dir():
        held = ', '.join(sorted(one.name for one in path.glob('*.py') if one.stem != '__init__'))
        raise InputError(f'{told}: expected a file, found a folder, of {held or "no config"}')
    if not path.exists():
        found = f'found no such file (looked for at {shown(path.absolute())})'
        raise InputError(f'{told}: expected a config file, {found}{_of_near(place, _configs_near(path))}')
    try:
        get_config = runpy.run_path(str(path)).get('get_config')
    except (Exception, SystemExit) as error:
        raise InputError(f'{told}: expected a config file, found that {_raised(error, path)}') from error
    if not callable(get_config):
        raise InputError(f'{told}: expected a Python file with a function get_config, found none in it')
    try:
        config = get_config(preset) if given else get_config()
    except (Exception, SystemExit) as error:
        raise InputError(f'{told}: {_raised(error, path)}') from error
    if not hasattr(config, 'items'):
        raise InputError(f'{told}: expected get_config to return a ConfigDict, found {type(config).__name__}')
    return config


def _of_config(args: Sequence[str]) -> tuple[str | None, list[str]]:
    """The config that a command line names, and the fields that it sets."""
    named, fields = [], []
    for arg, after in zip(args, [*args[1:], ''], strict=True):
        if arg == '--':
            break
        if found := re.fullmatch(f'--?{CONFIG}(?:=(.*))?', arg, re.DOTALL):
            if fields:
                raise InputError(
                    f'--{CONFIG}: expected before its fields, found after --{CONFIG}.{fields[0]}'
                )
            named.append(after if found[1] is None else found[1])
        elif found := re.match(rf'--?(?:no)?{CONFIG}\.([^=]*)', arg):
            fields.append(found[1])
    if len(named) > 1:
        raise InputError(f'--{CONFIG}: expected once, found {" and ".join(map(shown, named))}')
    return (named[0] if named else None), fields


def _check_field(config: Mapping[str, Any], field: str) -> None:
    part, so_far = config, CONFIG
    # Of an element, such as seeds[0], the library knows best.
    for name in field.partition('[')[0].split('.'):
        told = f'--{CONFIG}.{shown(field)}: expected a field of the config, found'
        if not hasattr(part, 'items'):
            raise InputError(f'{told} that --{so_far} has none')
        if name not in part:
            near = _of_near(field, dict(_fields(config)), f'--{CONFIG}.')
            raise InputError(f'{told} none of that name{near}')
        part, so_far = part[name], f'{so_far}.{name}'


def _fields(config: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if hasattr(value, 'items') and value:
            yield from _fields(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value


def _configs_near(path: pathlib.Path) -> list[str]:
    folders = dict.fromkeys([path.parent, pathlib.Path('configs'), pathlib.Path('configs/studies')])
    found = [one for folder in folders if folder.is_dir() for one in sorted(folder.glob('*.py'))]
    return [one.as_posix() for one in found if one.stem != '__init__']


def _of_near(name: str, names: Iterable[str], before: str = '') -> str:
    """Words on the names that are most like one: as a whole, or in their last part."""
    # The last part of `configs/tvsum.py` and of `model.width`, as people remember it.
    names = list(names)
    ends = {re.split('[/.]', one.removesuffix('.py'))[-1]: one for one in reversed(names)}
    end = re.split('[/.]', name.removesuffix('.py'))[-1]
    near = [ends[one] for one in difflib.get_close_matches(end, ends, 2, 0.8)]
    near = list(dict.fromkeys([*difflib.get_close_matches(name, names, 2, 0.75), *near]))[:3]
    return f'; did you mean {" or ".join(before + one for one in near)}?' if near else ''


def _raised(error: Exception, path: pathlib.Path) -> str:
    """An error of somebody's config, with the line of the file."""
    if isinstance(error, InputError):
        return str(error)
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
    what = error.msg if isinstance(error, SyntaxError) else ' '.join(str(error).split())
    return f'it raises {type(error).__name__}: {what}' + (f' (line {line})' if line else '')


def _read(define_flags: Callable[[], Any] | None, argv: Sequence[str]) -> list[str]:
    """Declares the flags and reads them."""
    try:
        if define_flags is not None:
            define_flags()
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        names = [*(flag.name for flag in _own_flags()), *(f'{CONFIG}.{field}' for field in _config_fields())]
        near = _of_near(error.flagname, names, '--') or '; --help shows all'
        raise InputError(f'--{shown(error.flagname)}: no such flag{near}') from error
    # The last ones are how a config's fields say that they cannot be set.
    except LookupError as error:
        named = ', '.join(arg for arg in argv[1:] if re.match(rf'--?{CONFIG}\.[^=]*\[', arg)) or 'a field'
        raise InputError(
            f'{shown(named)}: expected an element that the list has, found none there'
        ) from error
    except (flags.Error, AttributeError, TypeError) as error:
        raise InputError(_in_words(str(error))) from error


def _in_words(fault: str) -> str:
    """What absl says of a flag's value, as our other messages are."""
    if missing := re.findall(r'Flag --(\S+) must have a value other than None', fault):
        return f'expected {" and ".join(f"--{name}=…" for name in missing)}, found none; --help says more'
    if found := re.match(r'Missing value for flag (\S+)', fault):
        return f'{found[1]}: expected a value, as {found[1]}=…, found none'
    found = re.match('flag --([^=]+)=(.*?): ', fault, re.DOTALL)
    if not found or found[1] not in flags.FLAGS:
        return ' '.join(fault.split())
    parser, kind = flags.FLAGS[found[1]].parser, flags.FLAGS[found[1]].flag_type()
    bounds = getattr(parser, 'lower_bound', None), getattr(parser, 'upper_bound', None)
    expected = {'bool': 'true or false', 'int': 'a whole number', 'float': 'a number'}.get(kind, f'a {kind}')
    if hasattr(parser, 'enum_values'):
        expected = f'one of {", ".join(parser.enum_values)}'
    elif bounds != (None, None):
        expected = parser.syntactic_help
    elif 'ConfigDict' in fault:
        expected = f'a field of it with its value, such as --{found[1]}.NAME=…'
    return f'--{found[1]}: expected {expected}, found {shown(found[2])!r}'


def _own_flags() -> list[flags.Flag]:
    """The command's own flags, in the order in which they were declared."""
    modules = flags.FLAGS.flags_by_module_dict()
    own = [name for name in modules if name == sys.argv[0] or name.startswith('trsum_jax')]
    return [flag for name in own for flag in modules[name]]


def _config_fields() -> dict[str, Any]:
    return dict(_fields(flags.FLAGS[CONFIG].value)) if CONFIG in flags.FLAGS else {}


def _help(define_flags: Callable[[], Any] | None, argv: Sequence[str]) -> str:
    """What the command is for, and its flags with their defaults, or the values that the line gives them."""
    try:
        _read(define_flags, argv)
        faults = ''
    except InputError as error:
        flags.FLAGS.mark_as_parsed()
        # Without the flags that a command needs there is still help.
        faults = '' if 'found none; --help' in str(error) else f'\n\nerror: {error}'
    lines = [(sys.modules['__main__'].__doc__ or '').strip(), '']
    for flag in _own_flags():
        name = f'--[no]{flag.name}' if flag.boolean else f'--{flag.name}'
        value = '' if flag.boolean or flag.default in (None, '') else f'={flag.default_as_str.strip(chr(39))}'
        text = ' '.join((flag.help or '').split())
        lines += textwrap.wrap(f'  {name + value:<24} {text}', _WIDTH, subsequent_indent=' ' * 27)
    if fields := _config_fields():
        lines += ['', f'Fields of --{CONFIG}={flags.FLAGS[CONFIG].config_filename}, each a flag:']
        parts: dict[str, list[str]] = {}
        for field, value in fields.items():
            part = field.partition('.')[0] if '.' in field else ''
            parts.setdefault(part, []).append(f'--{CONFIG}.{field}={value!r}'.replace(' ', ''))
        for each in parts.values():
            text = ' '.join(each)
            lines += textwrap.wrap(
                text, _WIDTH, initial_indent='  ', subsequent_indent='    ', break_on_hyphens=False
            )
    return '\n'.join(lines) + faults
