"""What shots are worth to the masking: the file's, KTS, equal parts, none.

    python -m trsum_jax.main --config=configs/studies/shots.py --workdir=runs/studies/shots

Its time and its tables: `docs/studies.md`.
On generated data the file's shots are the planted, true ones. `kts` and `uniform` also cut the summaries
that F measures; `none` (random frames) and `none-fixed` (fixed windows) mask without shots, and keep the
file's for F.
"""

import ml_collections

from trsum_jax.configs.studies import small


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = small.get_config(preset)
    config.name = 'shots'
    config.study.first = 'file'
    config.study.columns = (
        *('kendall_tau', 'train_kendall_tau', 'f_avg', 'train_f_avg', 'train_one_out_kendall_tau', 'reward'),
    )
    config.variants.update(
        {
            'file': {},
            'kts': {'data': {'shots': 'kts'}},
            'uniform': {'data': {'shots': 'uniform'}},
            'none': {'masking': {'strategy': 'random'}},
            'none-fixed': {'masking': {'strategy': 'fixed'}},
        }
    )
    return config
