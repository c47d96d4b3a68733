"""The whole job on generated data, for a first look: under 3 minutes.

    python -m trsum_jax.main --config=configs/demo.py

A small model, three folds, 2 cores. The data are synthetic: people there prefer shots whose content
appears once in the video.
"""

import ml_collections

from trsum_jax.configs import default


def get_config(preset: str = 'default') -> ml_collections.ConfigDict:
    config = default.get_config(preset)
    config.name = 'demo'
    config.data.folds = 3
    config.data.generate = True
    config.data.synthetic.update({'videos': 24, 'width': 64, 'pool': 60, 'seed': 1})
    config.decomposition.length = 64
    config.model.width = 64
    config.model.heads = 4
    config.model.feed_forward = 256
    config.generator.epochs = 60
    config.generator.learning_rate = 1e-3
    config.summarizer.epochs = 50
    config.summarizer.learning_rate = 1e-3
    # The rivals likewise: smaller models with ten times the learning rates, and DR-DSN's a hundred times.
    config.acsumgan.update({'batch': 8, 'width': 64, 'actor_width': 64, 'fragments': 32, 'picks': 5})
    config.acsumgan.update({'learning_rate': 1e-3, 'discriminator_learning_rate': 1e-4})
    config.drdsn.update({'width': 64, 'learning_rate': 1e-3})
    return config
