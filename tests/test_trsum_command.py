"""`trsum`: its commands are the modules, its own answers, its signals, and what a shell completes."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from forked import run_all

from trsum_jax import __main__ as trsum
from trsum_jax import __version__

ROOT = pathlib.Path(__file__).resolve().parents[1]
# As pip writes it for the entry point.
SCRIPT = f'#!{sys.executable}\nimport sys\nfrom trsum_jax.__main__ import main\nsys.exit(main())\n'
SAME = [
    *(
        ['train', 'main', *rest.split()]
        for rest in ('tvsun', '--config=configs/tvsum.py --help', 'demo more')
    ),
    *([name, module, '--help-all'] for name, module in trsum.MODULES.items() if name != 'train'),
    ['evaluate', 'evaluate', 'absent.h5'],
    ['summarize', 'summarize', '--vidoe=x'],
]
ANSWERS = {
    '': (1, 'expected a command, one of train, summarize, '),
    'trian demo': (1, 'error: trian: expected a command, found none of that name; did you mean train?'),
    'main demo': (1, 'did you mean train?'),
    'trian --help': (1, 'did you mean train?'),
    '--versoin': (1, 'did you mean --version?'),
    'xyz': (1, 'found none of that name, but train, '),
    'configs more': (1, "unexpected argument 'more'"),
    'completion': (1, 'expected one of bash, zsh, fish, found nothing'),
    'completion bsh': (1, 'expected one of bash, zsh, fish, found bsh'),
    '--help': (0, 'trsum summarize holiday.mp4'),
    'help': (0, 'trsum summarize holiday.mp4'),
    'configs --help': (0, 'trsum summarize holiday.mp4'),
    '--version': (0, f'trsum_jax {__version__}\n'),
    'configs': (0, '\ntvsum  '),
    'completion fish': (0, 'complete --command trsum'),
}


@pytest.fixture(scope='module')
def answers():
    lines = [line.split() for line in ANSWERS]
    lines += [[name, *rest] for name, _, *rest in SAME]
    commands = [['trsum_jax', *line] for line in lines]
    commands += [[f'trsum_jax.{module}', *rest] for _, module, *rest in SAME]
    return run_all(commands)


@pytest.mark.parametrize('line', ANSWERS)
def test_what_trsum_itself_answers(line, answers):
    code, out, told = answers[list(ANSWERS).index(line)]
    expected, words = ANSWERS[line]
    assert code == expected
    assert words in (told if code else out)
    assert (out if code else told) == ''
    assert len(told.splitlines()) == code
    assert len(out.splitlines()) <= 40 or 'completion' in line


@pytest.mark.parametrize('number', range(len(SAME)), ids=[' '.join(one[:1] + one[2:]) for one in SAME])
def test_a_command_answers_as_its_module_does(number, answers):
    ours, theirs = answers[len(ANSWERS) + number], answers[len(ANSWERS) + len(SAME) + number]
    assert ours == theirs
    assert ours[1] or ours[2]


def test_the_help_and_the_configs_are_a_line_each(answers):
    _, out, _ = answers[list(ANSWERS).index('--help')]
    for name in trsum.COMMANDS:
        assert f'\n  {name} ' in out
    _, listed, _ = answers[list(ANSWERS).index('configs')]
    files = [path for path in (ROOT / 'configs').rglob('*.py') if path.stem != '__init__']
    names = {path.relative_to(ROOT / 'configs').with_suffix('').as_posix() for path in files}
    assert sorted(line.split()[0] for line in listed.splitlines()) == sorted(names)
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in listed.splitlines())
    assert max(map(len, (listed + out).splitlines())) <= 100


@pytest.fixture
def home(tmp_path):
    """A folder with `trsum` as pip would install it, some files, and a jax that may not be imported."""
    for folder in ('bin', 'barred', 'runs'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'bin' / 'trsum').write_text(SCRIPT)
    (tmp_path / 'bin' / 'trsum').chmod(0o755)
    (tmp_path / 'barred' / 'jax.py').write_text('raise ImportError("jax was imported")\n')
    for name in ('own.py', 'data.h5', 'holiday.mp4'):
        (tmp_path / name).touch()
    path = os.pathsep.join([str(tmp_path / 'bin'), os.environ['PATH']])
    environment = os.environ | {'PATH': path, 'PYTHONPATH': str(ROOT), 'TMPDIR': str(tmp_path)}
    return tmp_path, environment


COMPLETED = {
    'trsum ': set(trsum.COMMANDS),
    'trsum ex': {'extract '},
    'trsum import --ev': {'--every '},
    'trsum completion ': {'bash', 'zsh', 'fish'},
    'trsum train stu': {f'studies/{path.stem}' for path in (ROOT / 'configs/studies').glob('[!_]*.py')},
    'trsum train o': {'own.py '},
    'trsum train --config=tv': {'tvsum '},
    'trsum train tvsum --wo': {'--workdir '},
    'trsum train --workdir=r': {'runs/'},
    'trsum train --workdir r': {'runs/'},
    'trsum train --dis': {'--distributed '},
    'trsum train --nod': {'--nodistributed '},
    'trsum validate da': {'data.h5 '},
    'trsum fetch --dataset ': {'summe', 'tvsum', 'ovp', 'youtube'},
    'trsum summarize --overwrite hol': {'holiday.mp4 '},
    'trsum evaluate data.h5 --rank=': {'per-user', 'mean-user', 'summary'},
    'trsum summarize --sound ': {'all', 'main', 'none'},
    'trsum summarize --encoder ': {'auto', 'descriptor', 'googlenet', 'efficientnet_lite0', 'onnx'},
    'trsum summarize --people=da': {'data.h5 '},
    'trsum recut --dr': {'--drop '},
    'trsum extract --help': {'--help', '--help-all'},
}
FIELDS = {
    'trsum train --config.generator.ep': {'--config.generator.epochs '},
    'trsum train tvsum --config.study.fi': {'--config.study.first', '--config.study.files'},
}
SHELL = """
eval "$(trsum completion bash)"
while IFS= read -r COMP_LINE; do
  COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMPREPLY=()
  _python_argcomplete trsum
  (IFS='|'; echo "$COMP_LINE|${COMPREPLY[*]}")
done
"""


def completed(lines, home, **more):
    """What bash is answered to each line and a tab."""
    folder, environment = home
    done = subprocess.run(
        ['bash', '--norc', '-c', SHELL],
        input='\n'.join(lines) + '\n',
        cwd=folder,
        env=environment | more,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ''
    found = [line.split('|') for line in done.stdout.splitlines()]
    return {line: set(words) for line, *words in found}


def test_bash_completes_commands_configs_flags_and_files_without_jax(home):
    path = os.pathsep.join([str(home[0] / 'barred'), str(ROOT)])
    assert completed(COMPLETED, home, PYTHONPATH=path) == COMPLETED


def test_bash_completes_the_fields_of_a_config(home):
    assert completed(FIELDS, home) == FIELDS


@pytest.mark.parametrize(('line', 'number', 'code'), [
    ('train demo', signal.SIGTERM, 75),
    ('summarize a.mp4 --workdir=here', signal.SIGHUP, 75),
    ('evaluate a.h5', signal.SIGINT, 130),
    ('configs', signal.SIGTERM, 143),
])  # fmt: skip
def test_a_signal_before_the_first_slow_import_is_answered_as_by_the_module(line, number, code, home):
    folder, environment = home
    (folder / 'absl').mkdir()
    (folder / 'absl' / '__init__.py').write_text(
        'import sys, time\nprint("ready", file=sys.stderr, flush=True)\ntime.sleep(60)\n'
    )
    path = os.pathsep.join([str(folder), str(ROOT)])
    with subprocess.Popen(
        ['trsum', *line.split()],
        cwd=folder,
        env=environment | {'PYTHONPATH': path},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr.readline() == 'ready\n'
        process.send_signal(number)
        told = process.stderr.read()
    assert process.returncode == code
    assert told.startswith(f'stopped by {number.name}; ')
    assert told.count('\n') == 1


def test_a_signal_before_the_module_is_found_waits_for_it(home):
    folder, environment = home
    program = (
        'import os, runpy, signal, sys\n'
        'from trsum_jax import __main__\n'
        'run = runpy.run_module\n'
        'def stopped(*args, **options):\n'
        '    os.kill(os.getpid(), signal.SIGTERM)\n'
        '    run(*args, **options)\n'
        'runpy.run_module = stopped\n'
        '__main__.main()\n'
    )
    command = [sys.executable, '-c', program, 'train', 'demo']
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert done.stderr == 'stopped by SIGTERM; what was finished is saved; the same command continues\n'
    assert not (folder / 'runs' / 'demo-default').exists()


def test_a_reader_that_has_seen_enough_is_no_fault(home):
    folder, environment = home
    line = 'set -o pipefail; trsum configs | true; echo "$?"'
    done = subprocess.run(
        ['bash', '-c', line], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout in ('0\n', '1\n')
    assert done.stderr == ''


MINE = """
from configs import default, other
from trsum_jax.configs.studies import small
import beside

def get_config(preset='default'):
    config = default.get_config(preset)
    config.name = f'{other.NAME} {beside.NAME} {small.get_config().name}'
    return config
"""


def test_outside_a_checkout_config_files_find_ours_and_their_own(home):
    """As installed: the package is there, and nothing else of the checkout."""
    folder, environment = home
    (folder / 'site').mkdir()
    (folder / 'site' / 'trsum_jax').symlink_to(ROOT / 'trsum_jax')
    (folder / 'configs').mkdir()
    (folder / 'configs' / 'mine.py').write_text(MINE)
    (folder / 'configs' / 'other.py').write_text('NAME = "other"\n')
    (folder / 'beside.py').write_text('NAME = "beside"\n')
    (folder / 'own.py').write_text('from configs import default\nget_config = default.get_config\n')
    (folder / 'demo').mkdir()
    named = ['demo', 'configs/demo.py:published', 'studies/choices', 'configs/mine.py', './own.py']
    program = (
        'import sys; del sys.path[0]\nfrom trsum_jax.command import config_files\n'
        f'for name in {named}:\n'
        '    found = config_files.load(name, name)\n    print(found.name, found.preset)\n'
    )
    command = [sys.executable, '-c', program]
    path = {'PYTHONPATH': str(folder / 'site')}
    done = subprocess.run(
        command, cwd=folder, env=environment | path, capture_output=True, text=True, check=False
    )
    assert done.stderr == ''
    assert done.stdout.splitlines() == [
        *('demo default', 'demo published', 'choices reconstruction'),
        *('other beside small default', 'trsum default'),
    ]
