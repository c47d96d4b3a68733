"""Every choice that the paper leaves open, one step at a time, and aside.

    python -m trsum_jax.main --config=configs/studies/choices.py --workdir=runs/studies/choices

Its time and its tables: `docs/studies.md`.
From one preset to the other: `0-published` makes the paper's literal choices; every step keeps those before
it, and `7-standardized` is the preset `reconstruction`, with which all are compared. A step up to the third
stands there once more without positions, as the author's earlier code has none. Each `7-but-…` is that preset
with one choice made otherwise. When stage 1 ends is no step: all have the generator of the least loss on
videos that are held aside, of which the paper's literal choices know nothing.
"""

from typing import Any

import ml_collections

from trsum_jax.configs import default
from trsum_jax.configs.studies import small

STEPS = {
    '0-published': {},
    '1-first-baseline': {'summarizer': {'baseline_start': 'first'}},
    '2-penalty-1': {'summarizer': {'penalty_weight': 1.0}},
    '3-composed-reward': {'summarizer': {'reward_reconstruction': 'composed'}},
    '4-scaled-features': {'model': {'scale_features': True}},
    '5-centred': {'model': {'centred': True}},
    '6-cosine-start': {'model': {'cosine_start': True}},
    '7-standardized': {'preset': 'reconstruction', 'data': {'standardize': True}},
}
# Steps in which features go in as they are, and where positions are larger than them.
UNSCALED = ('0-published', '1-first-baseline', '2-penalty-1', '3-composed-reward')
ASIDE = {
    'mean-log': {'summarizer': {'log_probability': 'mean', 'penalty_weight': 0.01}},
    'mean-log-beta-1e-3': {'summarizer': {'log_probability': 'mean', 'penalty_weight': 0.001}},
    'leave-one-out': {'summarizer': {'baseline': 'leave_one_out'}},
    'advantages-in-units': {'summarizer': {'advantage_unit': 'spread', 'penalty_weight': 100.0}},
    'absolute-penalty': {'summarizer': {'penalty': 'absolute'}},
    'unselected-reward': {'summarizer': {'reward_frames': 'unselected'}},
    'loss-all-frames': {'generator': {'loss_frames': 'all'}},
    'no-positions': {'model': {'positions': 'none'}},
    'learned-mask': {'model': {'mask_token': 'learned'}},
    'narrow-feed-forward': {'model': {'feed_forward': 64}},
}


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = small.get_config(preset)
    config.name = 'choices'
    config.study.first = '7-standardized'
    config.study.columns = (
        *('kendall_tau', 'train_kendall_tau', 'train_one_out_kendall_tau'),
        *('p_mean', 'p_std', 'reward_std', 'advantage_rms'),
    )
    fields = ml_collections.ConfigDict(default.PUBLISHED)
    del fields.generator
    for name, changed in STEPS.items():
        fields.update(changed)
        config.variants[name] = fields.to_dict()
        if name in UNSCALED:
            config.variants[f'{name}-no-positions'] = _changed(fields, ASIDE['no-positions'])
    for name, changed in ASIDE.items():
        config.variants[f'7-but-{name}'] = _changed(fields, changed)
    return config


def _changed(fields: ml_collections.ConfigDict, changed: dict[str, Any]) -> dict[str, Any]:
    one = fields.copy_and_resolve_references()
    with one.unlocked():
        one.update(changed)
    return one.to_dict()
