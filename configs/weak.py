"""The demo on planted videos whose trivial rows stand where SumMe's stand.

    python -m trsum_jax.main --config=configs/weak.py

People there choose 13% of a video and agree with each other as SumMe's do, and the features show little of
why: neither the distance to the mean nor the change between frames says much. All frames share a large part.
The fields follow the statistics of 14 real videos, by a rule and with a table in `docs/real.md`.
"""

import ml_collections

from trsum_jax.configs import demo

RECIPE = {
    'frames_per_step': 7,
    'steps': (229, 633),
    'shot_steps': (7, 32),
    'pool': 120,
    'users': 16,
    'ratings': False,
    'summary_share': 0.14,
    'disagreement': 1.1,
    'hidden': 0.9,
    'moving': 0.05,
    'common': 20.0,
    'own': 1.1,
    'noise': 0.45,
}


def get_config(preset: str = 'default') -> ml_collections.ConfigDict:
    config = demo.get_config(preset)
    config.name = 'weak'
    config.data.synthetic.update(RECIPE)
    return config
