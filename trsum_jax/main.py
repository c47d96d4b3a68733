"""The main job: both stages, cross-validated, to a table.

python -m trsum_jax.main --config=configs/tvsum.py [--workdir=DIR] [--config.any.field=value]
"""

import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from trsum_jax.errors import InputError, run_command

CONFIG = config_flags.DEFINE_config_file(
    'config', 'configs/demo.py', 'The experiment; configs/NAME.py:published for the literal preset.'
)
WORKDIR = flags.DEFINE_string('workdir', '', 'Where everything goes; runs/NAME-PRESET by default.')


def main(argv: Sequence[str]) -> int:
    """Runs the experiment of the command line and prints its table."""
    if len(argv) > 1:
        raise InputError(f'expected flags only, found {argv[1:]}; a field is set as --config.field=value')
    from trsum_jax.training import experiment, suite

    config = CONFIG.value
    workdir = pathlib.Path(WORKDIR.value or f'runs/{config.name}-{config.preset}').expanduser()
    print(suite.run(config, workdir) if config.variants else experiment.run(config, workdir))
    return 0


if __name__ == '__main__':
    run_command(main)
