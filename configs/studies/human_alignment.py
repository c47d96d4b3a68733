"""Does the reconstruction loss track human judgement? On planted data.

    python -m trsum_jax.main --config=configs/studies/human_alignment.py \\
        --workdir=runs/studies/human_alignment

Every variant writes `human_alignment.json`, a table, a picture of all rows, and the paper's Fig. 11 for each
video. On a real file: `--config.data.file=FILE.h5 --config.data.generate=False`, and the first two variants
alone say something. The tables, with the time they took, are in `docs/human_alignment.md`.
"""

import ml_collections

from trsum_jax.configs import default, demo


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = demo.get_config(preset)
    config.name = 'human_alignment'
    config.evaluation.agreement = True
    config.evaluation.one_out_windows = (5, 9)
    config.study.first = 'distinct'
    config.study.columns = (
        *('one_out_kendall_tau', 'one_out_spearman_rho', 'one_out_f_avg'),
        *('train_one_out_kendall_tau', 'kendall_tau', 'train_kendall_tau'),
    )
    config.variants.distinct = {}
    config.variants.published = default.PUBLISHED
    for annotators in ('represent', 'null'):
        config.variants[annotators] = {'data': {'synthetic': {'annotators': annotators}}}
    return config
