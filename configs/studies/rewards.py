"""Which reward mends which failure? Seven of them on planted data.

    python -m trsum_jax.main --config=configs/studies/rewards.py --workdir=runs/studies/rewards

Every variant writes `failures.json` and its table: repeated steps, missed events, transitions taken. In the
study's table each is compared with the paper's reward on the same planted data. The summarizers are trained
on the videos that they score, without labels, since that is where this method learns. The whole table, with
the time it took, is in `docs/rewards.md`.
"""

import ml_collections

from trsum_jax.configs import demo
from trsum_jax.data.made.synthetic import PLANTS

# With these weights a term varies over random episodes 1.2 to 2 times as much as the reconstruction does
# (`python -m trsum_jax.studies.pages.rewards --spread`, and `reward_std` of the first epoch), so that both
# can be heard.
REWARDS = {
    'reconstruction': {},
    'diversity': {'diversity': 1.0},
    'representativeness': {'representativeness': 0.4},
    'transitions': {'transitions': 0.5},
    'coverage': {'coverage': 0.2},
    'side': {'side': 0.1},
    'without': {'reconstruction': 0.0, 'diversity': 1.0, 'representativeness': 0.4},
}


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = demo.get_config(preset)
    config.name = 'rewards'
    config.seeds = (0, 1)
    config.data.folds = 0
    config.data.side = 'side'
    config.data.synthetic.update({'videos': 16, 'seed': 4, 'plant': PLANTS[1]})
    config.generator.epochs = 40
    config.summarizer.epochs = 60
    config.evaluation.update({'random_draws': 5, 'untrained_heads': 2})
    config.study.columns = (
        *('train_kendall_tau', 'frames_repeated', 'frames_missed_events'),
        *('frames_transition_preference', 'summary_missed_events'),
    )
    for plant in PLANTS[1:]:
        for name, terms in REWARDS.items():
            config.variants[f'{plant}-{name}' if terms else plant] = {
                'data': {'synthetic': {'plant': plant}},
                'summarizer': {'reward_terms': terms},
            }
    return config
