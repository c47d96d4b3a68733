"""TR-SUM on TVSum: 50 videos, five folds, the paper's model and epochs.

    python -m trsum_jax.main --config=configs/tvsum.py \\
        --config.data.file=eccv16_dataset_tvsum_google_pool5.h5 --config.data.user_scores=ydata-anno.tsv

Time and results on the real features: not measured (the files are not ours to hold). An accelerator is
advisable: the model has 37.8M parameters. `configs/tvsum.py:published` makes the paper's literal choices.
"""

import ml_collections

from trsum_jax.configs import default


def get_config(preset: str = 'default') -> ml_collections.ConfigDict:
    config = default.get_config(preset)
    config.name = 'tvsum'
    config.data.file = 'eccv16_dataset_tvsum_google_pool5.h5'
    config.evaluation.update({'one_out_windows': (9,), 'rs_sum_passes': 100})
    return config
