"""TR-SUM on SumMe: 25 videos, five folds, the paper's model and epochs.

    python -m trsum_jax.main --config=configs/summe.py \\
        --config.data.file=eccv16_dataset_summe_google_pool5.h5

The field reports SumMe's F-score as the best over users (F max). Time and results on the real features:
not measured (the files are not ours to hold). `configs/summe.py:published` makes the literal choices.
"""

import ml_collections

from trsum_jax.configs import default


def get_config(preset: str = 'default') -> ml_collections.ConfigDict:
    config = default.get_config(preset)
    config.name = 'summe'
    config.data.file = 'eccv16_dataset_summe_google_pool5.h5'
    config.evaluation.update({'one_out_windows': (9,), 'rs_sum_passes': 100})
    config.acsumgan.batch = 20  # a fold's training videos
    return config
