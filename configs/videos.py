"""Your own videos, without labels: train on all of them, summarize each.

    python -m trsum_jax.extract --videos=DIR --output=videos.h5
    python -m trsum_jax.main --config=configs/videos.py --config.data.file=videos.h5 --workdir=runs/mine

A small model, because a few videos are few. Scores, shots and the chosen ones with their times are in
`summaries.json`.
"""

import ml_collections

from trsum_jax.configs import default


def get_config(preset: str = 'default') -> ml_collections.ConfigDict:
    config = default.get_config(preset)
    config.name = 'videos'
    config.data.folds = 0
    config.decomposition.length = 64
    config.model.width = 64
    config.model.heads = 4
    config.model.feed_forward = 256
    config.generator.epochs = 300
    config.generator.learning_rate = 1e-3
    config.generator.batch = 4
    config.summarizer.epochs = 150
    config.summarizer.learning_rate = 1e-3
    config.summarizer.batch = 4
    return config
