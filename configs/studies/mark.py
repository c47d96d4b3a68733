"""The mark to beat on new videos: the distance to the video's mean.

    python -m trsum_jax.main --config=configs/studies/mark.py --workdir=runs/studies/mark
    python -m trsum_jax.main --config=configs/studies/mark.py --workdir=runs/studies/mark-confirmed \\
        --config.data.synthetic.seed=12

A scorer learned without labels against that distance. The first set of videos is the one that the
variants were chosen on, the second was looked at once. Each variant keeps the changes before it. What
came out, and why, is in `docs/mark.md`.
"""

import ml_collections

from trsum_jax.configs import demo

STEPS = {
    '0-reconstruction': {},
    '1-sixteen-epochs': {'epochs': 16},
    '2-sixteen-episodes': {'episodes': 16, 'baseline': 'leave_one_out'},
    '3-own-loss': {'estimator': 'local_credit', 'credit_radius': 0},
    '4-permuted': {'permute_features': True},
}
ASIDE = {
    'fifty-epochs': {'epochs': 50},
    'shots': {'actions': 'shots'},
    'straight-through': {'estimator': 'straight_through'},
}


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = demo.get_config(preset)
    config.name = 'mark'
    config.data.folds = 2
    config.data.synthetic.update({'videos': 40, 'seed': 11})
    config.evaluation.update({'random_draws': 10, 'one_out_windows': (9, 33)})
    config.study.first = '0-reconstruction'
    config.study.columns = ('kendall_tau', 'train_kendall_tau', 'reward', 'p_std')
    fields = ml_collections.ConfigDict()
    for name, changed in STEPS.items():
        fields.update(changed)
        config.variants[name] = {'summarizer': fields.to_dict()}
    for name, changed in ASIDE.items():
        config.variants[f'4-but-{name}'] = {'summarizer': fields.to_dict() | changed}
    return config
