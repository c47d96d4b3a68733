"""Frames in a segment, and which views there are: the paper's Fig. 5.

    python -m trsum_jax.main --config=configs/studies/segment_length.py --workdir=runs/studies/segment_length

Its time and its tables: `docs/studies.md`.
The paper goes from 64 to 256 on videos of several hundred frames; the demo's videos have 100 to 200, so that
lengths begin at a quarter of it, and 256 takes every video whole. Longer segments are fewer, and so are the
updates of an epoch.
"""

import ml_collections

from trsum_jax.configs.studies import small


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = small.get_config(preset)
    config.name = 'segment_length'
    config.study.first = 'both-64'
    for length in (16, 32, 64, 128, 256):
        config.variants[f'both-{length}'] = {'decomposition': {'length': length}}
    for view in ('sequential', 'dilated'):
        config.variants[f'{view}-64'] = {'decomposition': {'length': 64, 'views': (view,)}}
    return config
