"""How the generator's frames are masked: the paper's Table VII, D_R and M_R.

    python -m trsum_jax.main --config=configs/studies/masking.py --workdir=runs/studies/masking

Its time and its tables: `docs/studies.md`.
The paper: dynamic windows are better than random frames and fixed windows, D_R = 0.5, M_R = 0.25 best.
"""

import ml_collections

from trsum_jax.configs.studies import small


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = small.get_config(preset)
    config.name = 'masking'
    config.study.first = 'dynamic'
    config.study.columns = (
        *('kendall_tau', 'train_kendall_tau', 'one_out_kendall_tau'),
        *('train_one_out_kendall_tau', 'loss', 'reward'),
    )
    config.variants.update(
        {
            'dynamic': {},
            'random': {'masking': {'strategy': 'random'}},
            'fixed': {'masking': {'strategy': 'fixed'}},
            'window-25': {'masking': {'window_ratio': 0.25}},
            'window-75': {'masking': {'window_ratio': 0.75}},
            'window-100': {'masking': {'window_ratio': 1.0}},
            'mask-15': {'masking': {'mask_ratio': 0.15}},
            'mask-50': {'masking': {'mask_ratio': 0.5}},
        }
    )
    return config
