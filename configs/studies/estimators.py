"""Every estimator of the policy gradient, all else being the same.

    python -m trsum_jax.main --config=configs/studies/estimators.py --workdir=runs/studies/estimators

What each is, and what was measured of its bias, variance and cost, is in `docs/estimators.md`.
"""

import ml_collections

from trsum_jax.configs.studies import small

# Advantages have a spread of about .01. Divided by it they are a hundred times as large, and so has the
# length penalty to be, or p goes to 1.
IN_UNITS = {'advantage_unit': 'group', 'penalty_weight': 100.0}
VARIANTS = {
    'reinforce': {},
    'no-baseline': {'baseline': 'none'},
    'leave-one-out': {'baseline': 'leave_one_out'},
    'self-critical': {'baseline': 'greedy'},
    'antithetic': {'estimator': 'antithetic'},
    'arm': {'estimator': 'arm'},
    'disarm': {'estimator': 'disarm'},
    'local-credit': {'estimator': 'local_credit'},
    'straight-through': {'estimator': 'straight_through'},
    'gumbel': {'estimator': 'gumbel'},
    'gumbel-annealed': {'estimator': 'gumbel', 'temperature_end': 0.1},
    'gumbel-annealed-clipped': {'estimator': 'gumbel', 'temperature_end': 0.1, 'estimate_clip': 0.002},
    'gumbel-straight-through': {'estimator': 'gumbel_straight_through'},
    'count-control': {'estimator': 'count_control'},
    'count-control-leave-one-out': {'estimator': 'count_control', 'baseline': 'leave_one_out'},
    'subsets': {'estimator': 'subsets'},
    'subsets-leave-one-out': {'estimator': 'subsets', 'baseline': 'leave_one_out'},
    'value': {'baseline': 'value'},
    'ppo': {'updates': 4, 'baseline': 'value'},
    'grpo': {'updates': 4, 'baseline': 'leave_one_out', **IN_UNITS},
    'dr-grpo': {'updates': 4, 'baseline': 'leave_one_out'},
    'gspo': {
        **{'updates': 4, 'baseline': 'leave_one_out', 'ratio': 'mean', 'ratio_clip': 0.004},
        **IN_UNITS,
    },
    'whole-ratio': {'updates': 4, 'baseline': 'leave_one_out', 'ratio': 'episode'},
    'markov': {'estimator': 'markov'},
}


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = small.get_config(preset)
    config.name = 'estimators'
    config.study.first = 'reinforce'
    config.study.columns = ('kendall_tau', 'train_kendall_tau', 'reward', 'p_std', 'gradient_norm_TVn')
    for name, fields in VARIANTS.items():
        config.variants[name] = {'summarizer': fields}
    return config
