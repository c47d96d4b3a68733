"""The experiment that every study varies: small, two folds, two seeds.

    python -m trsum_jax.main --config=configs/studies/small.py

Synthetic data, unless `--config.data.file=FILE.h5 --config.data.generate=False` names a feature file; any
study takes these flags. For the paper's sizes, set `model`, `decomposition.length`, `epochs` and
`data.folds` likewise.
"""

import ml_collections

from trsum_jax.configs import demo


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = demo.get_config(preset)
    config.name = 'small'
    config.seeds = (0, 1)
    config.data.folds = 2
    config.data.synthetic.update({'videos': 16, 'seed': 4})
    config.generator.update({'batch': 4, 'epochs': 40})
    config.summarizer.update({'batch': 4, 'epochs': 20})
    config.evaluation.random_draws = 10
    config.study.columns = ('kendall_tau', 'train_kendall_tau', 'train_f_avg', 'reward', 'p_mean')
    return config
