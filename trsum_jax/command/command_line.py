"""What stands on a command line: flags, configs and arguments read, faults in them as one sentence."""

import contextlib
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from trsum_jax import errors
from trsum_jax.command import config_files, help_text
from trsum_jax.command.help_text import CONFIG
from trsum_jax.errors import InputError
from trsum_jax.files import at_home, shown

# Which flags the arguments stand for: of the arguments, and the names of the flags that are given.
Arguments = Callable[[Sequence[str], set[str]], Sequence[tuple[str, str]]]

# Fields that a config need not have: options of an estimator, and terms of a reward by import path, which the
# library reads as subscripts.
_OPTION = re.compile(r'summarizer\.estimator_options\.\w+')
_TERM = re.compile(rf'(?<=^--{CONFIG}\.summarizer\.reward_terms)\.([\w./]+:\w+)')
# What stands for an element: a number, or a name, which has no dots.
_ELEMENTS = re.compile(r"""(\[(-?\d+|"[^".\[\]]+"|'[^'.\[\]]+')\])*""")
# Not of a config's fields, which a workdir remembers as they are written.
_FROM_HOME = re.compile(r'(--?\w+=)(~.*)', re.DOTALL)
_HELP = re.compile('--?(help|helpshort|h|[?])')
_WHOLE_HELP = re.compile('--?(help[-_]all|helpfull)')


def run(
    main: Callable[[Sequence[str]], int | None],
    define_flags: Callable[[], Any] | None = None,
    *,
    config: str | None = None,
    arguments: Arguments | None = None,
    common: Sequence[str] = (),
) -> None:
    """Runs `main` as a command; `--help` and faults of the command line are answered before it.

    Args:
        main: as in `errors.run_command`.
        define_flags: declares the flags that are not declared where the command's module is read.
        config: the config where none is named. The command then takes `--config=FILE`, or NAME or FILE as
            its one argument, and a flag for every field of it, such as `--config.model.width`.
        arguments: has arguments stand for flags, as `in_order` does; where None, `main` gets them.
        common: the flags that `--help` shows; all where empty.
    """

    def parse(argv: Sequence[str]) -> list[str]:
        asked = [arg for arg in argv[1:] if _HELP.fullmatch(arg) or _WHOLE_HELP.fullmatch(arg)]
        if not asked:
            return _read(define_flags, argv, config, arguments)
        argv = [arg for arg in argv if arg not in asked]
        faults = _faults_beside_help(define_flags, argv, config, arguments)
        print(help_text.text(common, whole=any(map(_WHOLE_HELP.fullmatch, asked))) + faults, flush=True)
        sys.exit(0)

    errors.run_command(main, parse)


@contextlib.contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Within it a package that is not installed is an `InputError`, which names what installs it.

    Args:
        extra: of the project, which has the package.
        what: is done by the package, such as `summarizing videos`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or '').split('.')[0]
        if package == 'trsum_jax':
            raise
        raise InputError(
            f'{what} needs the package {package}, which is not installed; '
            f'run: pip install "trsum_jax[{extra}]"'
        ) from error


def in_order(*names: str) -> Arguments:
    """Arguments stand for the first of these flags that are not given otherwise.

    Args:
        names: of the flags.

    Returns:
        For `run`; raises `InputError` where there are more arguments than flags.
    """

    def place(words: Sequence[str], given: set[str]) -> list[tuple[str, str]]:
        free = [name for name in names if name not in given]
        if more := words[len(free) :]:
            takes = ' and '.join(f'--{name}' for name in names)
            raise InputError(f'unexpected argument {shown(more[0])!r}; arguments stand for {takes} alone')
        return list(zip(free, words, strict=False))

    return place


def _define_config(default: str) -> None:
    """Declares `--config` and the fields that the line sets, whose faults are found here.

    `sys.argv` loses the config: the library reads it there as the flag is declared, and knows only files.

    Args:
        default: the config where none is named.

    Raises:
        InputError: no such file, no config in it, a field that it does not have; names what is near.
    """
    from ml_collections import config_flags

    named, fields, sys.argv[1:] = _of_config(sys.argv[1:])
    told, place = named or (f'--{CONFIG}', default)
    if not place:
        raise InputError(f'{told}: expected a file, or the name of a config, found nothing behind it')
    config = config_files.load(place, told)
    for field in fields:
        _check_field(config, field)
    path, preset = config_files.find(place, told)
    text = 'The experiment: a name that `trsum configs` lists, or FILE.py; then :reconstruction, :published.'
    # What may be new is checked above.
    new = {'lock_config': False, 'accept_new_attributes': True}
    spec = str(path) + (f':{preset}' if preset is not None else '')
    config_flags.DEFINE_config_file(CONFIG, spec, text, **new)
    flags.FLAGS[CONFIG].default_as_str = place


def _of_config(args: Sequence[str]) -> tuple[tuple[str, str] | None, list[str], list[str]]:
    """The config that a command line names, what it says of it, the fields that it sets, and the rest."""
    named, fields, rest = [], [], []
    for arg, value in _words(args):
        if found := re.fullmatch(f'--?{CONFIG}(?:=(.*))?', arg, re.DOTALL):
            if fields:
                raise InputError(
                    f'--{CONFIG}: expected before its fields, found after --{CONFIG}.{fields[0]}'
                )
            place = (value[0] if value else '') if found[1] is None else found[1]
            named.append((f'--{CONFIG}={shown(place)}' if place else f'--{CONFIG}', place))
        elif not _is_flag(arg) and not fields:
            named.append((shown(arg), arg))
        else:
            arg = _TERM.sub(lambda term: f'["{term[1].replace(".", "/")}"]', arg)
            if found := re.match(rf'--?(?:no)?{CONFIG}\.([^=]*)', arg):
                fields.append(found[1])
            rest += [arg, *value]
    if len(named) > 1:
        raise InputError(f'--{CONFIG}: expected once, found {" and ".join(shown(one) for _, one in named)}')
    return (named[0] if named else None), fields, rest


def _words(args: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """A line's parts: a flag, with its value where that is the next word; an argument; `--` and the rest."""
    rest = iter(args)
    for arg in rest:
        value: Sequence[str] = ()
        name = arg.lstrip('-')
        if arg == '--':
            value = tuple(rest)
        elif _is_flag(arg) and (name == CONFIG or (name in flags.FLAGS and not flags.FLAGS[name].boolean)):
            value = tuple(itertools.islice(rest, 1))
        yield arg, value


def _expanded(arg: str) -> str:
    """A flag whose value begins with `~`, which bash leaves as it is."""
    found = _FROM_HOME.fullmatch(arg)
    return f'{found[1]}{at_home(found[2])}' if found else arg


def _is_flag(arg: str) -> bool:
    return arg.startswith('-') and arg != '-'


def _placed(args: Sequence[str], arguments: Arguments) -> list[str]:
    """The line with flags in the place of its arguments."""
    words, given, rest = [], [], []
    for arg, value in _words(args):
        if arg == '--':
            words += value
        elif _is_flag(arg):
            given.append(arg.lstrip('-').partition('=')[0])
            rest += [arg, *value]
        else:
            words.append(arg)
    for name, word in arguments(words, set(given)):
        if name in given and not isinstance(flags.FLAGS[name], flags.MultiFlag):
            raise InputError(f'--{name}: expected once, found {shown(word)} for it as well')
        rest.append(f'--{name}={word}')
    return rest


def _check_field(config: Mapping[str, Any], field: str) -> None:
    if _OPTION.fullmatch(field):
        return
    part, so_far = config, CONFIG
    names, bracket, rest = field.partition('[')
    if not _ELEMENTS.fullmatch(bracket + rest):
        raise InputError(
            f'--{CONFIG}.{shown(field)}: expected an element as [0], or ["NAME"] without dots, '
            f'found {shown(bracket + rest)}'
        )
    # Of an element, such as seeds[0], the library knows best; `part["name"]` is a field too.
    for name in [*names.split('.'), *re.findall(r'^["\']([^:]*)["\']\]', rest)]:
        told = f'--{CONFIG}.{shown(field)}: expected a field of the config, found'
        if not hasattr(part, 'items'):
            raise InputError(f'{told} that --{so_far} has none')
        if name not in part:
            near = config_files.near_to(field, dict(config_files.fields(config)), f'--{CONFIG}.')
            raise InputError(f'{told} none of that name{near}')
        part, so_far = part[name], f'{so_far}.{name}'


def _read(
    define_flags: Callable[[], Any] | None,
    argv: Sequence[str],
    config: str | None,
    arguments: Arguments | None,
) -> list[str]:
    """Declares the flags and reads them."""
    sys.argv = [_expanded(arg) for arg in argv]
    try:
        if define_flags is not None:
            define_flags()
        if config is not None:
            _define_config(config)
        elif arguments is not None:
            sys.argv[1:] = _placed(sys.argv[1:], arguments)
        return flags.FLAGS(sys.argv)
    except flags.UnrecognizedFlagError as error:
        names = [flag.name for flag in help_text.own_flags()]
        names += [f'{CONFIG}.{field}' for field in help_text.fields_of_config()]
        near = config_files.near_to(error.flagname, names, '--') or '; --help-all shows all'
        raise InputError(f'--{shown(error.flagname)}: no such flag{near}') from error
    # The last ones are how a config's fields say that they cannot be set.
    except LookupError as error:
        named = ', '.join(arg for arg in argv[1:] if re.match(rf'--?{CONFIG}\.[^=]*\[', arg)) or 'a field'
        raise InputError(
            f'{shown(named)}: expected an element that the list has, found none there'
        ) from error
    except (flags.Error, AttributeError, TypeError) as error:
        raise InputError(_in_words(str(error))) from error


def _faults_beside_help(*line: Any) -> str:
    """Reads the line for the help on it; what is wrong with it stands below."""
    try:
        _read(*line)
    except InputError as error:
        flags.FLAGS.mark_as_parsed()
        # Without the flags that a command needs there is still help.
        return '' if 'found none; --help' in str(error) else f'\n\nerror: {error}'
    return ''


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
