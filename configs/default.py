"""The main job with every setting at its default.

python -m trsum_jax.main --config=configs/default.py --config.data.file=FILE.h5 --workdir=DIR
python -m trsum_jax.main --config=configs/default.py:reconstruction --config.data.file=FILE.h5
python -m trsum_jax.main --config=configs/default.py:published --config.data.file=FILE.h5

The fields are in `trsum_jax/experiment/fields.py`.
"""

from trsum_jax.experiment.fields import PRESETS, PUBLISHED, RECONSTRUCTION, get_config

__all__ = ['PRESETS', 'PUBLISHED', 'RECONSTRUCTION', 'get_config']
