"""Twelve candidates for the default, on real videos.

    python -m trsum_jax.main --config=configs/studies/candidates.py --workdir=runs/studies/candidates \\
        --config.data.file=FILE.h5 --config.data.folds=7

Small models, five seeds. `--config.data.folds=0` trains on all videos. All that is not named in a candidate
is the preset `reconstruction`, the default of then; the rule of choice, and what it came to, are in
`docs/real.md`.
"""

import ml_collections

from trsum_jax.configs import default

# A weight gives its term the spread of the reconstruction, .004, over random halves of SumMe's frames.
CHANGE = {'reward_terms': {'transitions': -0.1}}
SHOTS = {'actions': 'shots'}
COUNT_CONTROL = {'estimator': 'count_control', 'baseline': 'leave_one_out'}
CANDIDATES = {
    '01-before': {'generator': {'aside': 0.0, 'epochs': 60}},
    '02-held-aside': {},
    '03-long': {'generator': {'aside': 0.0, 'epochs': 600}},
    '04-unselected': {'summarizer': {'reward_frames': 'unselected'}},
    '05-count-control': {'summarizer': COUNT_CONTROL},
    '06-own-loss': {'summarizer': {'estimator': 'local_credit', 'credit_radius': 0}},
    '07-permuted': {'summarizer': {**COUNT_CONTROL, 'permute_features': True}},
    '08-shots': {'summarizer': SHOTS},
    '09-change': {'summarizer': CHANGE},
    '10-representative': {'summarizer': {'reward_terms': {'representativeness': 0.25}}},
    '11-change-and-shots': {'summarizer': {**CHANGE, **SHOTS}},
    '12-change-alone': {'summarizer': {'reward_terms': {'reconstruction': 0.0, 'transitions': -0.1}}},
}


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = default.get_config(preset)
    config.name = 'candidates'
    config.seeds = (0, 1, 2, 3, 4)
    config.data.folds = 7
    config.decomposition.length = 64
    config.model.update({'width': 64, 'heads': 4, 'feed_forward': 256})
    config.generator.learning_rate = 1e-3
    config.summarizer.update({'epochs': 60, 'learning_rate': 1e-3})
    config.evaluation.one_out_windows = (9,)
    config.study.first = '02-held-aside'
    config.study.columns = (
        *('kendall_tau', 'f_avg', 'f_max', 'train_kendall_tau', 'train_f_avg', 'train_f_max'),
        *('loss_aside', 'loss_aside_copy_nearest', 'reward_std', 'p_mean', 'p_std'),
    )
    for name, changed in CANDIDATES.items():
        config.variants[name] = changed
    return config
