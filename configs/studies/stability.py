"""How smoothly TR-SUM trains, beside AC-SUM-GAN and DR-DSN (Table III).

    python -m trsum_jax.main --config=configs/studies/stability.py --workdir=runs/studies/stability
    python -m trsum_jax.studies.pages.stability --workdir=runs/studies/stability

The first command compares the rewards' curves, which all methods have; the second measures every loss of
every method and draws the curves. Four experiments of 3 folds and 3 seeds each, at the demo's size. The
measures depend on the number of epochs, so every stage has the same. The tables are in `docs/rivals.md`.
"""

import ml_collections

from trsum_jax.configs import demo

EPOCHS = 60


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = demo.get_config(preset)
    config.name = 'stability'
    config.seeds = (0, 1, 2)
    config.study.first = 'trsum'
    config.study.columns = ('kendall_tau', 'train_kendall_tau', 'reward_TVn', 'reward_MS', 'reward_RAUC')
    for stage in ('generator', 'summarizer', 'acsumgan', 'drdsn'):
        config[stage].epochs = EPOCHS
    slow = {'learning_rate': 1e-4, 'discriminator_learning_rate': 1e-5}
    config.variants.trsum = {'method': 'trsum'}
    config.variants.acsumgan = {'method': 'acsumgan'}
    config.variants['acsumgan-slow'] = {'method': 'acsumgan', 'acsumgan': slow}
    config.variants.drdsn = {'method': 'drdsn'}
    return config
