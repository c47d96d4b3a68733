"""What a shell completes after `trsum`: commands, configs, flags and their values, files; by argcomplete.

Read without jax: only `--config.` and a tab, which lists the fields, has to wait for it.
"""

import argparse
import importlib
import os
from collections.abc import Mapping, Sequence

import argcomplete

SHELLS = ('bash', 'zsh', 'fish')


def shell_code(words: Sequence[str]) -> str:
    """What a shell has to read to complete `trsum`.

    Args:
        words: the shell's name alone.

    Returns:
        Code, to be evaluated.

    Raises:
        InputError: another shell, or none.
    """
    from trsum_jax.errors import InputError
    from trsum_jax.files import shown

    if len(words) != 1 or words[0] not in SHELLS:
        found = ' '.join(map(shown, words)) or 'nothing'
        raise InputError(f'trsum completion: expected one of {", ".join(SHELLS)}, found {found}')
    return argcomplete.shellcode(['trsum'], shell=words[0])


def answer(modules: Mapping[str, str], told: Mapping[str, str]) -> None:
    """Answers the shell, which asks by its environment, and ends the process.

    Args:
        modules: of the commands that are modules, by name.
        told: what each command, of these and others, is for.
    """
    words = os.environ['COMP_LINE'][: int(os.environ['COMP_POINT'])].split()
    parser = argparse.ArgumentParser(prog='trsum', add_help=False)
    _add_switches(parser, '--help', '--version')
    commands = parser.add_subparsers()
    for name, text in told.items():
        command = commands.add_parser(name, add_help=False, help=text)
        if name == 'completion':
            command.add_argument('shell', choices=SHELLS)
        elif name in modules:
            arguments = command.add_argument('arguments', nargs='*')
            if modules[name] == 'main':
                arguments.completer = _configs
            # Else it is an argument, for which no flag need be known.
            if words[1:2] == [name] and any(word.startswith('-') for word in words):
                _add_flags(command, modules[name], fields=words[-1].startswith('--config.'))
    argcomplete.autocomplete(parser, always_complete_options=False)


def _add_switches(parser: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        parser.add_argument(name, action='store_true')


def _add_flags(parser: argparse.ArgumentParser, module: str, *, fields: bool) -> None:
    from trsum_jax.command import config_files, help_text

    importlib.import_module(f'trsum_jax.{module}').define_flags()
    _add_switches(parser, '--help', '--help-all')
    for flag in help_text.own_flags():
        text = (flag.help or '').replace('%', '%%')
        if flag.boolean:
            parser.add_argument(f'--{flag.name}', f'--no{flag.name}', action='store_true', help=text)
        else:
            choices = getattr(flag.parser, 'enum_values', None)
            parser.add_argument(f'--{flag.name}', choices=choices, help=text)
    if module == 'main':
        parser.add_argument(f'--{help_text.CONFIG}').completer = _configs
        if fields:
            for name, _ in config_files.fields(config_files.load('default', 'default')):
                parser.add_argument(f'--{help_text.CONFIG}.{name}')


def _configs(prefix: str, **_: object) -> list[str]:
    from trsum_jax.command import config_files

    return [*config_files.names(), *argcomplete.FilesCompleter(('py',))(prefix)]
