"""Every field of the config, in one table: from it come the config, its checks, and docs/fields.md.

The defaults are what real people chose (`docs/real.md`). `reconstruction` has the paper's reward in the place
of theirs, and `published` makes all of the paper's literal choices. A rival's fields stand with the rival.
"""

import dataclasses
import re
from typing import Any

import ml_collections

from trsum_jax.data.made.synthetic import Recipe
from trsum_jax.errors import InputError
from trsum_jax.experiment import methods
from trsum_jax.experiment.bench.estimating import ESTIMATORS, REPEATABLE, WITH_BASELINE
from trsum_jax.method import decomposition, encoder, episodes, models, reward_terms, rewards
from trsum_jax.method.policies import ratios
from trsum_jax.runtime.fields import Field
from trsum_jax.training import trsum
from trsum_jax.training.stages import valued, variations

PRESETS = ('default', 'reconstruction', 'published')
_REWARD = {'transitions': -0.1}
RECONSTRUCTION = {
    'preset': 'reconstruction',
    'summarizer': {'reward_terms': {**dict.fromkeys(_REWARD, 0.0), 'reconstruction': 1.0}},
}
PUBLISHED = {
    'preset': 'published',
    'data': {'standardize': False},
    'generator': {'aside': 0.0},
    'model': {'centred': False, 'cosine_start': False, 'scale_features': False},
    'summarizer': {
        'baseline_start': 'zero',
        'penalty_weight': 0.001,  # β [P]
        'reward_reconstruction': 'generator',
        **RECONSTRUCTION['summarizer'],
    },
}
LAYOUTS = ('auto', 'map', 'vmap')


def _of_recipe(name: str) -> str:
    """What the docstring of `Recipe` says of an attribute, in one line."""
    told = re.search(rf'^ +{name}: (.*?)(?=^ +\w+: |\Z)', Recipe.__doc__ or '', re.MULTILINE | re.DOTALL)
    return ' '.join(told[1].split()).rstrip('.') if told else ''


_LEARNING = {
    'learning_rate': Field(1e-4, 'the highest', 'O', within='(0, inf)'),
    'warmup': Field(0.05, 'share of the epochs in which the rate rises', 'O', within='[0, 1)'),
    'weight_decay': Field(1e-2, 'AdamW', 'O', within='[0, inf)'),
    'clip': Field(5.0, 'largest norm of the gradient', 'A', within='(0, inf)'),
}
FIELDS = {
    'name': Field('trsum', 'of the experiment'),
    'preset': Field('default', f'the choices that the config began with: {", ".join(PRESETS)}'),
    'method': Field('trsum', 'trsum, or a rival', choices=methods.NAMES),
    'seeds': Field((0,), 'one run of every fold for each; whole numbers from 0'),
    #
    'data.file': Field('', 'the feature file'),
    'data.user_scores': Field('', "TVSum's ydata-anno.tsv or ydata-tvsum50.mat, or SumMe's folder GT"),
    'data.shots': Field('file', 'where shots are from', choices=('file', 'kts', 'uniform')),
    'data.splits': Field('', 'a file of folds: .json, .yml or .txt; empty: disjoint folds made here'),
    'data.partial_splits': Field(False, 'whether splits may leave videos out of all folds'),
    'data.folds': Field(5, '0: train on all videos, hold none out', least=0),
    'data.split_seed': Field(0, 'of the folds made here', least=0),
    'data.extra_files': Field((), 'more feature files to train on'),
    'data.setting': Field(
        'canonical', "the field's settings of training", choices=('canonical', 'augmented', 'transfer')
    ),
    'data.features': Field(
        (), 'files of arrays by id, or PATH:NAME: columns beside the features that `file` has, or instead'
    ),
    'data.side': Field(
        '', "second modality, [n_steps] or [n_steps, K]: a key in each video's group, or a file as above", 'O'
    ),
    'data.standardize': Field(
        True, "features less the mean of a run's training frames, and in one scale: that of their spread", 'O'
    ),
    'data.stream_mb': Field(
        0.0, 'MB of features on a device at once, read in chunks; 0: all', within='[0, inf)'
    ),
    'data.generate': Field(False, 'generate the data by `synthetic` instead of reading a file'),
    **{
        f'data.synthetic.{field.name}': Field(
            field.default, _of_recipe(field.name), least=0 if field.name == 'seed' else None
        )
        for field in dataclasses.fields(Recipe)
    },
    #
    'decomposition.length': Field(128, 'L, frames in a segment', 'P', least=2),
    'decomposition.views': Field(('sequential', 'dilated'), f'of {", ".join(decomposition.VIEWS)}', 'P'),
    #
    'model.width': Field(1024, 'W of the encoder', 'P', least=1),
    'model.layers': Field(3, 'blocks of the encoder', 'P', least=1),
    'model.heads': Field(8, 'of the attention; a divisor of the width', 'P', least=1),
    'model.feed_forward': Field(4096, "inner width of a block; makes the paper's 37.8M", 'O', least=1),
    'model.positions': Field('sinusoidal', 'added to the features; none [A]', 'O', choices=encoder.POSITIONS),
    'model.dropout': Field(0.0, 'on attention weights and residual branches', 'A', within='[0, 1)'),
    'model.mask_token': Field('zero', 'what stands for a masked frame', 'A', choices=models.MASK_TOKENS),
    'model.centred': Field(True, 'features without the mean of the visible frames', 'O'),
    'model.cosine_start': Field(True, 'the first attention begins as a comparison of frames', 'O'),
    'model.scale_features': Field(True, 'features times sqrt(D) going in', 'O'),
    'model.dtype': Field(
        'auto',
        "of the products, the rivals' too; auto: bfloat16 on GPU and TPU, float32 on CPU",
        choices=('auto', 'float32', 'bfloat16'),
    ),
    #
    'masking.strategy': Field('dynamic', 'of stage 1', 'P', choices=('dynamic', 'fixed', 'random')),
    'masking.window_ratio': Field(0.5, 'D_R, of a shot', 'P', within='(0, 1]'),
    'masking.mask_ratio': Field(0.25, 'M_R, of a segment', 'P', within='(0, 1]'),
    'masking.fixed_length': Field(8, 'frames in a window of `fixed`', 'O', least=1),
    'masking.mask': Field(0.8, 'probability that a window is masked', 'P', within='[0, 1]'),
    'masking.replace': Field(0.1, 'probability that it is replaced; else kept', 'P', within='[0, 1]'),
    #
    'generator.epochs': Field(250, 'of stage 1, at most', 'P', least=1),
    'generator.aside': Field(
        0.2,
        'share of the training videos, if five or more, that stage 1 is judged by and not trained on: the '
        'epoch of the least loss on them is kept; 0: the last',
        'O',
        within='[0, 1)',
    ),
    'generator.patience': Field(50, 'epochs without a lesser loss on them that end stage 1', 'O', least=1),
    'generator.batch': Field(8, 'segments in a step', 'O', least=1),
    **{f'generator.{name}': field for name, field in _LEARNING.items()},
    'generator.loss_frames': Field(
        'candidates', 'which frames the loss is over', 'A', choices=('candidates', 'all')
    ),
    #
    'summarizer.epochs': Field(100, 'of stage 2', 'P', least=1),
    'summarizer.batch': Field(8, 'segments in a step', 'O', least=1),
    **{f'summarizer.{name}': dataclasses.replace(field, mark='O') for name, field in _LEARNING.items()},
    'summarizer.episodes': Field(5, 'N, of a segment', 'P', least=1),
    'summarizer.actions': Field(
        'frames', 'what a draw takes or leaves: a frame, or a shot', 'P', choices=variations.ACTIONS
    ),
    'summarizer.estimator': Field(
        'reinforce',
        'of the policy gradient: docs/estimators.md',
        'P',
        choices=tuple(ESTIMATORS),
        by_path=True,
    ),
    'summarizer.estimator_options': Field({}, 'keyword arguments of an estimator of your own, by name'),
    'summarizer.baseline': Field(
        'moving_average',
        f'of {", ".join(WITH_BASELINE)}; value: the average and a learned value',
        'P',
        choices=(*episodes.BASELINES, valued.VALUE),
        by_path=True,
    ),
    'summarizer.baseline_start': Field(
        'first', "where a video's average begins: its first reward, or 0", 'O', choices=episodes.STARTS
    ),
    'summarizer.baseline_momentum': Field(0.9, 'of the moving average', 'O', within='[0, 1)'),
    'summarizer.credit_radius': Field(8, 'of local_credit, frames to either side', 'O', least=0),
    'summarizer.temperature': Field(1.0, 'of gumbel, at the first step', 'O', within='(0, inf)'),
    'summarizer.temperature_end': Field(1.0, 'at the last: lower anneals', 'O', within='(0, inf)'),
    'summarizer.estimate_clip': Field(
        0.0, "largest norm of a segment's estimate by its logits; 0: none", 'O', within='[0, inf)'
    ),
    'summarizer.updates': Field(
        1,
        f'of a batch by the same episodes, their rewards taken once; of {", ".join(REPEATABLE)}',
        'P',
        least=1,
    ),
    'summarizer.ratio': Field(
        'frame',
        "of the new policy to the old one in further updates: each frame's, their geometric mean, or the "
        "whole episode's",
        'O',
        choices=ratios.RATIOS,
    ),
    'summarizer.ratio_clip': Field(0.2, 'ε, that a ratio may gain by leaving 1', 'O', within='(0, inf)'),
    'summarizer.permute_features': Field(False, 'segments with features in random order and signs', 'O'),
    'summarizer.train_generator': Field(False, 'whether the generator goes on learning in stage 2', 'P'),
    'summarizer.advantage_unit': Field(
        'reward',
        'what advantages are in: its unit, or the root of their own mean square, a moving average over the '
        "run (`spread`) or of a segment's episodes (`group`), which want a `penalty_weight` of some 100",
        'P',
        choices=trsum.ADVANTAGE_UNITS,
    ),
    'summarizer.log_probability': Field('sum', 'over frames', 'P', choices=episodes.REDUCTIONS),
    'summarizer.share': Field(0.5, 'δ, of the frames; subsets takes it exactly', 'P', within='[0, 1]'),
    'summarizer.penalty': Field('square', 'of the distance from the share', 'O', choices=episodes.PENALTIES),
    'summarizer.penalty_weight': Field(
        1.0, "β; the paper's .001 is far too weak for summed log-probabilities", 'O', within='[0, inf)'
    ),
    'summarizer.entropy_weight': Field(
        0.0, "of the bonus for the policy's entropy, nats a frame, in the loss", 'O', within='[0, inf)'
    ),
    'summarizer.reward_reconstruction': Field(
        'composed', 'with the selected frames as they are', 'O', choices=rewards.RECONSTRUCTIONS
    ),
    'summarizer.reward_frames': Field('all', 'compared in the reward', 'O', choices=rewards.FRAMES),
    **{
        f'summarizer.reward_terms.{name}': Field(
            _REWARD.get(name, 0.0),
            'weight of the term in the reward; the paper has reconstruction alone',
            'O',
        )
        for name in reward_terms.TERMS
    },
    'summarizer.from_generator': Field(True, "start from the generator's weights", 'P'),
    #
    **methods.fields_of_rivals(),
    #
    'evaluation.budget': Field(0.15, "of the video's length", within='(0, 1]'),
    'evaluation.rank': Field(
        'per-user', 'where there are only user summaries', choices=('per-user', 'mean-user', 'summary')
    ),
    'evaluation.random_draws': Field(20, 'of the random scores', least=1),
    'evaluation.untrained_heads': Field(8, 'of the row untrained', least=1),
    'evaluation.one_out': Field(True, "the row of the generator's loss without the frame"),
    'evaluation.one_out_windows': Field((), 'likewise without a window of so many frames, a row each', 'O'),
    'evaluation.rs_sum_passes': Field(
        0, "the row of RS-SUM's score, by so many passes of masks, 100 there; 0: no such row", 'A', least=0
    ),
    'evaluation.rows': Field((), "NAME=FILE: anybody's scores as rows of the table; --rows=NAME=FILE too"),
    'evaluation.agreement': Field(False, 'human_alignment.json and its picture', 'O'),
    'evaluation.baselines': Field(True, 'the rows to compare with'),
    #
    'layout.runs': Field('auto', 'map: one after another; vmap: one big product', choices=LAYOUTS),
    'layout.episodes': Field('auto', 'likewise', choices=LAYOUTS),
    'layout.rounded': Field(False, 'datasets of about one size share what is compiled; not in chunks'),
    'layout.microbatch': Field(
        -1, 'segments at a time; 0: the whole batch, -1: 8 on a CPU, else the whole', least=-1
    ),
    'layout.mesh': Field((0, 0), 'devices for runs, and for the segments of a batch; 0: chosen, runs first'),
    'layout.remat': Field(False, 'compute blocks anew in gradients: less memory, not on a CPU, more time'),
    'layout.log_every': Field(10, 'epochs', least=1),
    'layout.tensorboard': Field(False, "the log as TensorBoard's files in the workdir; --tensorboard too"),
    'layout.wandb': Field('', 'a project of Weights & Biases that gets the log; --wandb=PROJECT too'),
    'layout.profile': Field('', 'a folder for a trace of some steps of each stage; --profile=DIR too'),
    'layout.gradient_noise_every': Field(
        0, 'epochs of stage 2 after which variance and signal of its gradient are told; 0: never', least=0
    ),
    'layout.gradient_noise_draws': Field(16, 'of the actions of one batch, for that', least=2),
    'layout.checkpoint_every': Field(10, 'epochs', least=1),
    'layout.grace': Field(
        30.0,
        'seconds that an epoch may still take after SIGTERM; a longer one stops within',
        within='[0, inf)',
    ),
    'layout.checkpoints': Field(2, 'the newest ones of each stage that are kept', least=1),
    #
    'study.columns': Field((), 'metrics in the table of a study of the variants; empty: no study'),
    'study.first': Field('', 'the variant that all others are compared with; empty: the first by name'),
    'study.files': Field((), 'feature files, each a variant of its own in the place of `variants`'),
    'study.across': Field(False, "test every variant's training on the data of every other as well"),
}


def get_config(preset: str = 'default') -> ml_collections.ConfigDict:
    """The whole config of the main job.

    Args:
        preset: one of `PRESETS`.

    Returns:
        All fields; `data.file` or `data.generate` is still to be set. `variants` is empty: by NAME, fields
        that differ; each runs in WORKDIR/NAME.

    Raises:
        InputError: no such preset.
    """
    if preset not in PRESETS:
        raise InputError(f'preset: expected one of {", ".join(PRESETS)}, found {preset!r}')
    tree: dict[str, Any] = {}
    for name, field in FIELDS.items():
        *parts, last = name.split('.')
        at = tree
        for part in parts:
            at = at.setdefault(part, {})
        at[last] = field.default
    # A term that somebody has added since is a field too.
    terms = tree['summarizer']['reward_terms']
    tree['summarizer']['reward_terms'] = {**dict.fromkeys(reward_terms.TERMS, 0.0), **terms}
    config = ml_collections.ConfigDict(tree)
    config.variants = ml_collections.ConfigDict()
    config.update({'default': {}, 'reconstruction': RECONSTRUCTION, 'published': PUBLISHED}[preset])
    return config


_ABOVE = """# Every field of the config

Made from the code: `python -m trsum_jax.experiment.fields > docs/fields.md`. Each field is a flag, such as
`--config.model.width=256`. Marks: [P] the paper says so (of a rival, its own paper); [A] the author's earlier
released code does so (RS-SUM); [R] the settings that a rival's authors released; [O] ours.
[choices.md](choices.md) says more."""


def render_fields() -> str:
    """docs/fields.md: a table for each part of the config."""
    lines, part = [_ABOVE], None
    for name, field in FIELDS.items():
        of = name.rpartition('.')[0]
        if of != part:
            part = of
            title = f'`{of}`' if of else 'The experiment'
            lines += ['', f'## {title}', '', '| field | default | may be | mark | |', '|---|---|---|---|---|']
        mark = f'[{field.mark}]' if field.mark else ''
        cells = f'`{name.rpartition(".")[2]}`', f'`{field.default!r}`', field.may_be(), mark, field.says
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    print(render_fields(), end='')
