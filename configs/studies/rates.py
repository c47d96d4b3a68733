"""Learning rates of stage 2, and weights of the entropy bonus: one grid.

    python -m trsum_jax.main --config=configs/studies/rates.py --workdir=runs/studies/rates

One generator serves all of them.
"""

import ml_collections

from trsum_jax.configs.studies import small

# The base has 1e-3.
LEARNING_RATES = ('1e-5', '3e-5', '1e-4', '3e-4', '3e-3', '1e-2', '3e-2', '1e-1')
ENTROPY_WEIGHTS = ('1e-3', '3e-3', '1e-2', '3e-2', '1e-1', '3e-1', '1e0')


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = small.get_config(preset)
    config.name = 'rates'
    config.study.first = 'base'
    config.study.columns = (*config.study.columns, 'p_std', 'gradient_norm')
    fields = {'base': {}}
    fields |= {f'rate-{rate}': {'learning_rate': float(rate)} for rate in LEARNING_RATES}
    fields |= {f'entropy-{weight}': {'entropy_weight': float(weight)} for weight in ENTROPY_WEIGHTS}
    for name, changed in fields.items():
        config.variants[name] = {'summarizer': changed}
    return config
