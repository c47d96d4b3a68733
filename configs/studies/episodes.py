"""N, δ and β; where the summarizer starts; the generator frozen or not.

    python -m trsum_jax.main --config=configs/studies/episodes.py --workdir=runs/studies/episodes

Its time and its tables: `docs/studies.md`.
One generator serves all of them; those that differ in δ and β are one grid.
"""

import ml_collections

from trsum_jax.configs.studies import small


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = small.get_config(preset)
    config.name = 'episodes'
    config.study.first = 'base'
    config.study.columns = (*config.study.columns, 'reward_std')
    fields = {
        'base': {},
        'episodes-2': {'episodes': 2},
        'episodes-20': {'episodes': 20},
        'share-15': {'share': 0.15},
        'share-30': {'share': 0.3},
        'share-70': {'share': 0.7},
        'beta-0': {'penalty_weight': 0.0},
        'beta-1e-3': {'penalty_weight': 0.001},
        'beta-1e-1': {'penalty_weight': 0.1},
        'beta-1e1': {'penalty_weight': 10.0},
        'random-start': {'from_generator': False},
        'generator-unfrozen': {'train_generator': True},
    }
    for name, changed in fields.items():
        config.variants[name] = {'summarizer': changed}
    return config
