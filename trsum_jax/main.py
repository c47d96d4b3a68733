"""The main job: both stages, cross-validated, to a table.

python -m trsum_jax.main --config=configs/tvsum.py [--workdir=DIR] [--config.any.field=value]

Interrupted in any way, the same command continues; after SIGTERM or SIGHUP the exit code is 75.
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    from trsum_jax import stopping

    stopping.heed(continues=True)

import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from trsum_jax.errors import InputError, run_command

CONFIG = config_flags.DEFINE_config_file(
    'config', 'configs/demo.py', 'The experiment; configs/NAME.py:published for the literal preset.'
)
WORKDIR = flags.DEFINE_string('workdir', '', 'Where everything goes; runs/NAME-PRESET by default.')
DISTRIBUTED = flags.DEFINE_bool('distributed', False, 'One of several processes of one experiment.')
COORDINATOR = flags.DEFINE_string(
    'coordinator', None, 'HOST:PORT of process 0; not on TPU pods, Slurm, Open MPI, which tell it themselves.'
)
PROCESSES = flags.DEFINE_integer('processes', None, 'How many processes there are; likewise.', lower_bound=1)
PROCESS = flags.DEFINE_integer('process', None, 'The number of this one, from 0; likewise.', lower_bound=0)
START_TIMEOUT = flags.DEFINE_float(
    'start_timeout', 60, 'Seconds that the processes may take to find each other.', lower_bound=1
)


def main(argv: Sequence[str]) -> int:
    """Runs the experiment of the command line and prints its table."""
    if len(argv) > 1:
        raise InputError(f'expected flags only, found {argv[1:]}; a field is set as --config.field=value')
    from trsum_jax.training import experiment, processes, suite

    if DISTRIBUTED.value:
        processes.start(COORDINATOR.value, PROCESSES.value, PROCESS.value, START_TIMEOUT.value)
    elif (COORDINATOR.value, PROCESSES.value, PROCESS.value) != (None, None, None):
        raise InputError('--coordinator, --processes and --process: expected --distributed with them')
    config = CONFIG.value
    workdir = pathlib.Path(WORKDIR.value or f'runs/{config.name}-{config.preset}').expanduser()
    run = suite.run if config.variants or config.study.files else experiment.run
    with processes.together():
        processes.say(run(config, workdir))
    return 0


if __name__ == '__main__':
    run_command(main)
