"""What the method learns on planted data: annotators, contents, presets.

    python -m trsum_jax.main --config=configs/synthetic.py --workdir=runs/synthetic

Twelve experiments of 3 folds and 2 seeds each, on generated data of one recipe. The table is in
`docs/results.md`, with the time it took; an interrupted run continues with the same command.
"""

import ml_collections

from trsum_jax.configs import default, demo


def get_config(preset: str = 'reconstruction') -> ml_collections.ConfigDict:
    config = demo.get_config(preset)
    config.name = 'synthetic'
    config.seeds = (0, 1)
    config.data.folds = 3
    config.data.synthetic.seed = 2
    for annotators in ('distinct', 'represent', 'null'):
        for contents in ('shared', 'private'):
            data = {'synthetic': {'annotators': annotators, 'contents': contents}}
            config.variants[f'{annotators}-{contents}'] = {'data': data}
            config.variants[f'{annotators}-{contents}-published'] = {'data': data, **default.PUBLISHED}
    return config
