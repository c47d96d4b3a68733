"""What `--help` and `--help-all` say: what a command is for, its flags, the fields of its config."""

import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags

from trsum_jax.command import config_files

CONFIG = 'config'
_WIDTH = 100


def own_flags() -> list[flags.Flag]:
    """The command's own flags, in the order in which they were declared."""
    modules = flags.FLAGS.flags_by_module_dict()
    own = [name for name in modules if name == sys.argv[0] or name.startswith('trsum_jax')]
    return [flag for name in own for flag in modules[name]]


def fields_of_config() -> dict[str, Any]:
    """The fields of the config that the command has, with their values; none where it has no config."""
    return dict(config_files.fields(flags.FLAGS[CONFIG].value)) if CONFIG in flags.FLAGS else {}


def text(common: Sequence[str], *, whole: bool) -> str:
    """The help, of at most 100 columns.

    Args:
        common: the flags, fields of the config among them, that it shows; all where empty.
        whole: show all, whatever is common.

    Returns:
        The docstring of the command's module, its flags with their defaults, or the values that the line
        gives them, and where the rest is.
    """
    lines = [(sys.modules['__main__'].__doc__ or '').strip(), '']
    shown, fields = own_flags(), fields_of_config()
    every = len(shown) + len(fields)
    if common and not whole:
        shown = [flag for flag in shown if flag.name in common]
        fields = {name: value for name, value in fields.items() if f'{CONFIG}.{name}' in common}
    for flag in shown:
        lines += _line(flag)
    if fields:
        lines += ['', f'Fields of --{CONFIG}={flags.FLAGS[CONFIG].default_as_str}, each a flag:']
        lines += _listing(fields.items())
    if rest := every - len(shown) - len(fields):
        what = 'flags, the fields of the config among them' if fields else 'flags'
        lines += ['', f'--help-all shows the other {rest} {what}.']
    return '\n'.join(lines)


def _line(flag: flags.Flag) -> list[str]:
    name = f'--[no]{flag.name}' if flag.boolean else f'--{flag.name}'
    value = '' if flag.boolean or flag.default in (None, '') else f'={flag.default_as_str.strip(chr(39))}'
    told = ' '.join((flag.help or '').split())
    return textwrap.wrap(f'  {name + value:<24} {told}', _WIDTH, subsequent_indent=' ' * 27)


def _listing(fields: Iterable[tuple[str, Any]]) -> list[str]:
    """A paragraph for each part of the config."""
    parts: dict[str, list[str]] = {}
    for field, value in fields:
        part = field.partition('.')[0] if '.' in field else ''
        parts.setdefault(part, []).append(f'--{CONFIG}.{field}={value!r}'.replace(' ', ''))
    indents = {'initial_indent': '  ', 'subsequent_indent': '    '}
    return [
        line
        for part in parts.values()
        for line in textwrap.wrap(' '.join(part), _WIDTH, break_on_hyphens=False, **indents)
    ]
