"""The config of the main job: what its fields may be, checked before any work begins."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import ml_collections

from trsum_jax.data.synthetic import Recipe
from trsum_jax.errors import InputError
from trsum_jax.method import decomposition, episodes, models, reward_terms, rewards, shot_actions
from trsum_jax.training import default_config
from trsum_jax.training.policy import BY_FRAME, ESTIMATORS, RELAXED

# The stages of every method, in order; each has a part of the config.
STAGES = {'trsum': ('generator', 'summarizer'), 'drdsn': ('drdsn',), 'acsumgan': ('acsumgan',)}
CHOICES = {
    'method': tuple(STAGES),
    'drdsn.log_probability': episodes.REDUCTIONS,
    'data.shots': ('file', 'kts', 'uniform'),
    'data.setting': ('canonical', 'augmented', 'transfer'),
    'model.norm': models.NORMS,
    'model.positions': models.POSITIONS,
    'model.activation': models.ACTIVATIONS,
    'model.mask_token': models.MASK_TOKENS,
    'model.dtype': ('auto', 'float32', 'bfloat16'),
    'masking.strategy': ('dynamic', 'fixed', 'random'),
    'generator.loss_frames': ('candidates', 'all'),
    'summarizer.estimator': tuple(ESTIMATORS),
    'summarizer.actions': shot_actions.ACTIONS,
    'summarizer.baseline': episodes.BASELINES,
    'summarizer.baseline_start': episodes.STARTS,
    'summarizer.log_probability': episodes.REDUCTIONS,
    'summarizer.penalty': episodes.PENALTIES,
    'summarizer.reward_reconstruction': rewards.RECONSTRUCTIONS,
    'summarizer.reward_frames': rewards.FRAMES,
    'evaluation.rank': ('per-user', 'mean-user'),
    'layout.runs': ('auto', 'map', 'vmap'),
    'layout.episodes': ('auto', 'map', 'vmap'),
}
AT_LEAST = {
    **{f'drdsn.{name}': 1 for name in ('epochs', 'batch', 'width', 'episodes')},
    'drdsn.window': 0,
    **{f'acsumgan.{name}': 1 for name in ('epochs', 'batch', 'width', 'layers', 'picks', 'actor_width')},
    'acsumgan.fragments': 2,
    'decomposition.length': 2,
    'model.width': 1,
    'model.layers': 1,
    'model.heads': 1,
    'model.feed_forward': 1,
    'masking.fixed_length': 1,
    'generator.epochs': 1,
    'generator.batch': 1,
    'summarizer.epochs': 1,
    'summarizer.batch': 1,
    'summarizer.episodes': 1,
    'summarizer.credit_radius': 0,
    'evaluation.random_draws': 1,
    'evaluation.untrained_heads': 1,
    'layout.log_every': 1,
    'layout.microbatch': -1,
    'data.stream_seed': 0,
    'layout.checkpoint_every': 1,
    'layout.checkpoints': 1,
    'data.folds': 0,
    'data.split_seed': 0,
    'data.synthetic.seed': 0,
}
# Lower and upper end, and whether a value may be at each.
RANGES = {
    'acsumgan.learning_rate': (0, math.inf, '()'),
    'acsumgan.discriminator_learning_rate': (0, math.inf, '()'),
    'acsumgan.weight_decay': (0, math.inf, '[)'),
    'acsumgan.clip': (0, math.inf, '()'),
    'acsumgan.share': (0, 1, '[]'),
    'acsumgan.entropy_weight': (0, math.inf, '[)'),
    'acsumgan.discount': (0, 1, '[]'),
    'drdsn.learning_rate': (0, math.inf, '()'),
    'drdsn.weight_decay': (0, math.inf, '[)'),
    'drdsn.clip': (0, math.inf, '()'),
    'drdsn.share': (0, 1, '[]'),
    'drdsn.penalty_weight': (0, math.inf, '[)'),
    'drdsn.baseline_momentum': (0, 1, '[)'),
    'masking.window_ratio': (0, 1, '(]'),
    'masking.mask_ratio': (0, 1, '(]'),
    'masking.mask': (0, 1, '[]'),
    'masking.replace': (0, 1, '[]'),
    'model.dropout': (0, 1, '[)'),
    'model.score_std': (0, math.inf, '()'),
    'generator.learning_rate': (0, math.inf, '()'),
    'generator.warmup': (0, 1, '[)'),
    'generator.weight_decay': (0, math.inf, '[)'),
    'generator.clip': (0, math.inf, '()'),
    'summarizer.learning_rate': (0, math.inf, '()'),
    'summarizer.warmup': (0, 1, '[)'),
    'summarizer.weight_decay': (0, math.inf, '[)'),
    'summarizer.clip': (0, math.inf, '()'),
    'summarizer.share': (0, 1, '[]'),
    'summarizer.penalty_weight': (0, math.inf, '[)'),
    'summarizer.temperature': (0, math.inf, '()'),
    'summarizer.temperature_end': (0, math.inf, '()'),
    'summarizer.estimate_clip': (0, math.inf, '[)'),
    'summarizer.baseline_momentum': (0, 1, '[)'),
    'evaluation.budget': (0, 1, '(]'),
    'data.stream_mb': (0, math.inf, '[)'),
    'layout.grace': (0, math.inf, '[)'),
}
LARGEST_SEED = 2**63 - 1  # that JAX takes
# Lists of texts: names of files, of columns.
TEXTS = ('data.extra_files', 'decomposition.views', 'study.columns', 'study.files')
# Fields that workdirs of earlier versions lack; their defaults are what was done before.
LATER = ('data.partial_splits', 'layout.grace')
# What may differ between two sessions of one experiment: a part, or a field.
FREE = ('layout', 'study', *(f'{stage}.epochs' for stages in STAGES.values() for stage in stages))


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses a config that cannot run.

    Args:
        config: the whole config, resolved.

    Raises:
        InputError: lists every field that is off, with what was expected and found.
    """
    if lacking := missing_fields(config):
        names = f'{", ".join(lacking[:5])}{f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""}'
        raise InputError(
            f'the config cannot run: expected the fields of configs/default.py, found none of {names}; a '
            'config file begins with default.get_config()'
        )
    if faults := _faults_of_types(config):
        raise InputError('the config cannot run:\n  ' + '\n  '.join(faults))
    faults = [
        f'config.{name}: expected one of {", ".join(choices)}, found {_at(config, name)!r}'
        for name, choices in CHOICES.items()
        if _at(config, name) not in choices
    ]
    faults += [
        f'config.{name}: expected {least} or more, found {_at(config, name)}'
        for name, least in AT_LEAST.items()
        if _at(config, name) < least
    ]
    faults += [
        f'config.{name}: expected a number in {ends[0]}{low}, {high}{ends[1]}, found {_at(config, name)}'
        for name, (low, high, ends) in RANGES.items()
        if not _within(_at(config, name), low, high, ends)
    ]
    views = tuple(config.decomposition.views)
    if not views or set(views) - set(decomposition.VIEWS):
        faults.append(
            f'config.decomposition.views: expected some of {", ".join(decomposition.VIEWS)}, found {views}'
        )
    for stage in ('generator', 'summarizer'):
        batch, microbatch = config[stage].batch, config.layout.microbatch
        if microbatch > 0 and batch % microbatch:
            faults.append(
                f'config.layout.microbatch: expected a divisor of config.{stage}.batch = {batch}, '
                f'found {microbatch}'
            )
    width, heads = config.model.width, config.model.heads
    if heads > 0 and width % heads:
        faults.append(f'config.model.heads: expected a divisor of model.width = {width}, found {heads}')
    if config.masking.mask + config.masking.replace > 1:
        faults.append('config.masking: mask and replace are probabilities of one draw; they add up to over 1')
    faults += _faults_of_reward(config) + _faults_of_estimator(config)
    windows = tuple(config.evaluation.one_out_windows)
    if len(set(windows)) != len(windows) or not all(isinstance(w, int) and w > 1 for w in windows):
        faults.append(
            f'config.evaluation.one_out_windows: expected different whole numbers from 2, found {windows}'
        )
    if config.data.stream_mb and config.method != 'trsum':
        faults.append(
            f'config.data.stream_mb: expected 0 with config.method={config.method}, whose corpus is whole '
            f'videos, found {config.data.stream_mb}'
        )
    fields = {field.name for field in dataclasses.fields(Recipe)}
    if unknown := sorted(set(config.data.synthetic) - fields):
        faults.append(
            f'config.data.synthetic: {", ".join(unknown)} unknown; '
            f'expected some of {", ".join(sorted(fields))}'
        )
    mesh = tuple(config.layout.mesh)
    if len(mesh) != 2 or not all(isinstance(n, int) and n >= 0 for n in mesh):
        faults.append(
            'config.layout.mesh: expected two whole numbers from 0, devices for runs and for data, '
            f'found {mesh}'
        )
    seeds = tuple(config.seeds)
    sound = [isinstance(seed, int) and 0 <= seed <= LARGEST_SEED for seed in seeds]
    if not seeds or len(set(seeds)) != len(seeds) or not all(sound):
        faults.append(f'config.seeds: expected different whole numbers from 0 to 2**63 - 1, found {seeds}')
    if faults:
        raise InputError('the config cannot run:\n  ' + '\n  '.join(faults))


def with_later_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config of an earlier version with the fields that came later (`LATER`).

    Args:
        config: what a `config.json` holds.

    Returns:
        The same where it has them all.
    """
    defaults = flatten(default_config.get_config())
    whole = {name: dict(part) if isinstance(part, Mapping) else part for name, part in config.items()}
    for name in LATER:
        part, field = name.split('.')
        if isinstance(whole.get(part), dict):
            whole[part].setdefault(field, defaults[name])
    return whole


def missing_fields(config: Mapping[str, Any]) -> list[str]:
    """Names of the fields that a config should have and has not; a variant's study may be empty.

    Args:
        config: of any origin.

    Returns:
        Such as `model.width`, in the order of the default config.
    """
    there = flatten(config)
    return [
        name
        for name in flatten(default_config.get_config())
        if name not in there
        and not (name == 'variants' and 'variants' in config)
        and not (name.startswith('study.') and 'study' in there)
    ]


def _faults_of_types(config: Mapping[str, Any]) -> list[str]:
    """Fields of another type than in the default config: a file may hold anything."""
    there, faults = flatten(config), []
    for name, usual in flatten(default_config.get_config()).items():
        value = there.get(name, usual)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if isinstance(usual, bool):
            fits, expected = isinstance(value, bool), 'True or False'
        elif isinstance(usual, int | float):
            fits = whole or (isinstance(usual, float) and isinstance(value, float))
            expected = 'a number' if isinstance(usual, float) else 'a whole number'
        elif isinstance(usual, list):
            fits = isinstance(value, list) and (
                name not in TEXTS or all(isinstance(one, str) for one in value)
            )
            expected = 'several texts' if name in TEXTS else 'several values'
        else:
            fits, expected = isinstance(value, type(usual)), 'a text' if isinstance(usual, str) else 'fields'
        if not fits:
            faults.append(f'config.{name}: expected {expected}, found {value!r}')
    return faults


def _faults_of_reward(config: ml_collections.ConfigDict) -> list[str]:
    name, weights = 'config.summarizer.reward_terms', config.summarizer.reward_terms
    terms = ', '.join(reward_terms.TERMS)
    faults = [
        f'{name}.{term}: expected one of {terms}' for term in sorted(set(weights) - set(reward_terms.TERMS))
    ]
    faults += [
        f'{name}.{term}: expected a finite weight, found {weight}'
        for term, weight in weights.items()
        if not math.isfinite(weight)
    ]
    if not any(weights.values()):
        faults.append(f'{name}: expected a weight other than 0 for one of {terms}, found none: no reward')
    if weights.get('side') and not config.data.side:
        faults.append(f'{name}.side: expected the key of a second modality in config.data.side, found none')
    return faults


def _faults_of_estimator(config: ml_collections.ConfigDict) -> list[str]:
    settings = config.summarizer
    faults = [
        f'config.summarizer.{field}: {name} needs config.summarizer.episodes of 2 or more'
        for field, name in (('baseline', 'leave_one_out'), ('estimator', 'local_credit'))
        if settings[field] == name
        and settings.episodes < 2
        # The other estimators do not read the baseline.
        and (field == 'estimator' or settings.estimator == 'reinforce')
    ]
    others = [name for name, weight in settings.reward_terms.items() if weight and name != 'reconstruction']
    if others and settings.estimator in BY_FRAME:
        faults.append(
            f'config.summarizer.estimator: {settings.estimator} needs the reward by frames or by soft '
            f'choices, which reconstruction alone gives; expected 0 for reward_terms {", ".join(others)}'
        )
    if settings.train_generator and not settings.reward_terms.get('reconstruction', 0) > 0:
        faults.append(
            'config.summarizer.train_generator: expected False, or reward_terms.reconstruction over 0: the '
            'generator learns by that term alone'
        )
    if settings.train_generator and settings.estimator in RELAXED:
        faults.append(
            f'config.summarizer.train_generator: expected False with estimator={settings.estimator}, which '
            'differentiates the reward itself'
        )
    return faults


def flatten(config: Any, prefix: str = '') -> dict[str, Any]:
    """A nested config as `{'model.width': 1024, …}`, in JSON's types; an empty part stays, as `{}`."""
    flat = {}
    for name, value in config.items():
        if hasattr(value, 'items') and value:
            flat |= flatten(value, f'{prefix}{name}.')
        else:
            plain = dict(value) if hasattr(value, 'items') else value
            flat[prefix + name] = list(plain) if isinstance(plain, tuple | list) else plain
    return flat


def differences(config: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """How a config differs from that of an earlier session, a line for every field that may not.

    `layout` and the numbers of epochs may differ (`FREE`).

    Args:
        config: of now.
        other: what a `config.json` holds.

    Returns:
        Lines such as `model.width: 64 there, 128 now`.
    """
    there, now = flatten(other), flatten(config)
    return [
        f'{name}: {there.get(name, "absent")} there, {now.get(name, "absent")} now'
        for name in dict.fromkeys([*there, *now])
        if not is_free(name) and there.get(name) != now.get(name)
    ]


def is_free(name: str) -> bool:
    """Whether a field, such as `layout.mesh`, may differ between two sessions of one experiment."""
    return bool({name, name.split('.')[0]} & set(FREE))


def _within(value: float, low: float, high: float, ends: str) -> bool:
    above = value > low or (ends[0] == '[' and value == low)
    return above and (value < high or (ends[1] == ']' and value == high))


def _at(config: ml_collections.ConfigDict, name: str) -> Any:
    for part in name.split('.'):
        config = config[part]
    return config
