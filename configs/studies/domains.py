"""Train on one domain, test on another.

    python -m trsum_jax.main --config=configs/studies/domains.py --workdir=runs/studies/domains
    python -m trsum_jax.main --config=configs/studies/domains.py --workdir=DIR \\
        --config.study.first=A --config.study.files="('A.h5', 'B.h5', 'C.h5')"

Its time and its tables: `docs/studies.md`.
A variant is what was trained on; `tau on NAME` is what it does on NAME's videos: all of them, which are new
to it, or, on its own domain, the held-out ones. Domains here: the demo's recipe, one with more noise and
drift, and one with short shots; contents differ between all of them. Files of another encoder's features, or
of another width, cannot be scored: such a cell stays empty, and a message says so.
"""

import ml_collections

from trsum_jax.configs.studies import small


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = small.get_config(preset)
    config.name = 'domains'
    config.study.across = True
    config.study.first = 'plain'
    config.variants.update(
        {
            'plain': {},
            'noisy': {'data': {'synthetic': {'seed': 21, 'noise': 1.2, 'drift': 0.8}}},
            'short-shots': {'data': {'synthetic': {'seed': 22, 'shot_steps': (2, 5), 'pool': 110}}},
        }
    )
    config.study.columns = ('train_kendall_tau',)
    return config
