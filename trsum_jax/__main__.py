"""TR-SUM, video summarization without labels: `trsum COMMAND …`, or `python -m trsum_jax COMMAND …`.

    trsum train demo                         the whole job on generated data, in under 3 minutes
    trsum train tvsum --workdir=runs/tvsum   the same on a dataset's feature file
    trsum summarize holiday.mp4              a summary of a video, trained on that video

`trsum COMMAND --help` says what a command takes, `--help-all` the rest of it, `trsum --version`
which version this is. `trsum train` is `python -m trsum_jax.main`, `trsum import` is
`python -m trsum_jax.importing`, and all others but `configs` and `completion` have their own names.
"""

# For those who complete all Python commands at once: PYTHON_ARGCOMPLETE_OK

import os
import sys
from collections.abc import Sequence

from trsum_jax import stopping

# What is run as `python -m trsum_jax.MODULE`.
MODULES = {'train': 'main', 'import': 'importing'} | {
    name: name for name in ('summarize', 'recut', 'evaluate', 'score', 'extract', 'validate', 'fetch')
}
COMMANDS = {
    'train': 'both stages, cross-validated, to a table',
    'summarize': 'a video in, its summary out; or a folder of them',
    'recut': 'a summary made again from its JSON, without training',
    'evaluate': "anybody's scores by the field's protocol, beside baselines",
    'score': 'a feature file by a trained workdir, without training',
    'extract': 'videos to a feature file',
    'import': "anybody's arrays and a dataset's annotations to a feature file",
    'validate': 'feature files checked whole, every fault listed',
    'fetch': "one of the field's four feature files, from the network, checked",
    'configs': 'the names that `trsum train` knows',
    'completion': 'for a shell: eval "$(trsum completion bash)" in ~/.bashrc; or zsh, or fish',
}
_HELP = {'help', '--help', '-h', '--help-all', '--helpfull'}


def main() -> None:
    """Runs the command of the command line as its module is run: the same code, from its first line on."""
    if '_ARGCOMPLETE' in os.environ:
        from trsum_jax.command import completion

        completion.answer(MODULES, COMMANDS)
    stopping.hold()
    import runpy

    if len(sys.argv) > 1 and sys.argv[1] in MODULES:
        module = f'trsum_jax.{MODULES[sys.argv.pop(1)]}'
        runpy.run_module(module, run_name='__main__', alter_sys=True)
        return
    stopping.heed()
    from trsum_jax import errors

    errors.run_command(answer, errors.unparsed)


def answer(argv: Sequence[str]) -> None:
    """What needs no module of its own: the help, the version, the configs, a shell's completion."""
    from trsum_jax import __version__
    from trsum_jax.command import config_files
    from trsum_jax.errors import InputError
    from trsum_jax.files import shown

    name, rest = (argv[1], argv[2:]) if len(argv) > 1 else ('', [])
    if not name:
        among = ', '.join(COMMANDS)
        raise InputError(f'expected a command, one of {among}, found none; trsum --help says more')
    if name in ('--version', '-V'):
        text = f'trsum_jax {__version__}'
    elif _HELP & {name, *(rest if name in COMMANDS else ())}:
        text = _help()
    elif name == 'completion':
        from trsum_jax.command import completion

        text = completion.shell_code(rest)
    elif name == 'configs':
        if rest:
            raise InputError(f'trsum configs: unexpected argument {shown(rest[0])!r}')
        text = _configs()
    else:
        near = config_files.near_to(name, [*COMMANDS, '--help', '--version'], cutoff=0.6)
        told = near or f', but {", ".join(COMMANDS)}'
        raise InputError(f'{shown(name)}: expected a command, found none of that name{told}')
    print(text, flush=True)


def _help() -> str:
    lines = [f'  {name:<12} {text}' for name, text in COMMANDS.items()]
    return '\n'.join([__doc__.strip(), '', *lines])


def _configs() -> str:
    from trsum_jax.command import config_files

    ours = config_files.names()
    width = max(map(len, ours), default=0)
    return '\n'.join(f'{name:<{width}}  {config_files.title(path)}' for name, path in ours.items())


if __name__ == '__main__':
    main()
