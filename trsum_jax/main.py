"""The main job: all stages, cross-validated, to a table.

    trsum train [CONFIG] [--workdir=DIR] [--config.any.field=value]
    python -m trsum_jax.main --config=configs/tvsum.py

CONFIG is a name that `trsum configs` lists (demo by default), or a file. NAME:reconstruction has
the paper's reward, NAME:published all of its literal choices. The workdir holds tables, pictures,
scores, summaries and checkpoints.
Interrupted in any way, the same command continues; after SIGTERM or SIGHUP the exit code is 75.
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    from trsum_jax import stopping

    stopping.heed(continues=True)

from collections.abc import Sequence

from absl import flags

from trsum_jax.command import command_line
from trsum_jax.errors import InputError
from trsum_jax.files import at_home, shown

# Flags that are fields of `layout` by a shorter name.
FOLLOWED = ('tensorboard', 'wandb', 'profile')
COMMON = (
    *('workdir', 'config', 'rows', *FOLLOWED, 'distributed'),
    *('config.data.file', 'config.data.user_scores', 'config.data.splits'),
    *('config.data.folds', 'config.seeds', 'config.method', 'config.generator.epochs'),
    *('config.summarizer.epochs', 'config.summarizer.episodes', 'config.summarizer.estimator'),
    *('config.layout.microbatch', 'config.evaluation.budget', 'config.evaluation.agreement'),
)


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_string('workdir', '', 'Where everything goes; runs/NAME-PRESET by default.')
    text = "Anybody's scores as a row of the table, NAME=FILE as for evaluate; may be repeated."
    flags.DEFINE_multi_string('rows', [], text)
    flags.DEFINE_bool('tensorboard', False, "The log for TensorBoard as well, in the workdir's tensorboard/.")
    flags.DEFINE_string('wandb', '', 'A project of Weights & Biases that the log is sent to.')
    flags.DEFINE_string('profile', '', 'A folder for a trace of some steps of each stage.')
    flags.DEFINE_bool('distributed', False, 'One of several processes of one experiment.')
    text = 'HOST:PORT of process 0; not on TPU pods, Slurm, Open MPI, which tell it themselves.'
    flags.DEFINE_string('coordinator', None, text)
    flags.DEFINE_integer('processes', None, 'How many processes there are; likewise.', lower_bound=1)
    flags.DEFINE_integer('process', None, 'The number of this one, from 0; likewise.', lower_bound=0)
    text = 'Seconds that the processes may take to find each other.'
    flags.DEFINE_float('start_timeout', 60, text, lower_bound=1)


def main(argv: Sequence[str]) -> int:
    """Runs the experiment of the command line and prints its table."""
    if len(argv) > 1:
        raise InputError(
            f'unexpected argument {shown(argv[1])!r}; the config comes before its fields, a field is set as '
            '--config.field=value'
        )
    from trsum_jax.experiment import check
    from trsum_jax.experiment.run import run_experiment
    from trsum_jax.runtime import processes
    from trsum_jax.studies.variants import run_variants

    given = flags.FLAGS
    if given.distributed:
        processes.start(given.coordinator, given.processes, given.process, given.start_timeout)
    elif (given.coordinator, given.processes, given.process) != (None, None, None):
        raise InputError('--coordinator, --processes and --process: expected --distributed with them')
    config = given.config
    check.check(config)
    config.evaluation.rows = (*config.evaluation.rows, *given.rows)
    config.layout.update({name: getattr(given, name) for name in FOLLOWED if getattr(given, name)})
    workdir = at_home(given.workdir or f'runs/{config.name}-{config.preset}')
    run = run_variants if config.variants or config.study.files else run_experiment
    with processes.together():
        processes.say(run(config, workdir))
    return 0


if __name__ == '__main__':
    command_line.run(main, define_flags, config='demo', common=COMMON)
