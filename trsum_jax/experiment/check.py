"""The config of the main job: what its fields may be, checked before any work begins."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import ml_collections

from trsum_jax.data.made.synthetic import Recipe
from trsum_jax.errors import InputError
from trsum_jax.experiment import methods
from trsum_jax.experiment.bench.estimating import (
    BY_FRAME,
    ESTIMATORS,
    GIVEN,
    RELAXED,
    REPEATABLE,
    SUMMARIZERS,
    WITH_BASELINE,
    other_terms,
)
from trsum_jax.experiment.fields import FIELDS, get_config
from trsum_jax.method import decomposition, reward_terms
from trsum_jax.runtime.fields import is_path
from trsum_jax.training.stages.valued import VALUE

LARGEST_SEED = 2**32 - 1  # JAX keeps 32 bits of a seed: larger ones are the same as smaller ones
# Lists of texts: names of files, of columns.
TEXTS = (
    *('data.extra_files', 'data.features', 'decomposition.views'),
    *('evaluation.rows', 'study.columns', 'study.files'),
)
# Fields that workdirs of earlier versions lack, with what was done before.
LATER = {
    'data.features': (),
    'data.partial_splits': False,
    'data.standardize': False,
    'evaluation.rows': (),
    'generator.aside': 0.0,
    'generator.patience': 50,
    'evaluation.rs_sum_passes': 0,
    'layout.rounded': False,
    'layout.grace': 30.0,
    'layout.tensorboard': False,
    'layout.wandb': '',
    'layout.profile': '',
    'layout.gradient_noise_every': 0,
    'layout.gradient_noise_draws': 16,
    'summarizer.advantage_unit': 'reward',
    'summarizer.entropy_weight': 0.0,
    'summarizer.estimator_options': {},
    'summarizer.ratio': 'frame',
    'summarizer.ratio_clip': 0.2,
    'summarizer.updates': 1,
}
# Fields of earlier versions, which are constants now, with the only value that is still done.
GONE = {
    'model.norm': 'pre',
    'model.activation': 'gelu',
    'model.score_std': 0.02,
    'layout.attention': 'own',
    'data.stream_seed': 0,
    'acsumgan.discount': 0.99,
}
# Where the data are: what they are is in the workdir's record.
PLACES = tuple(
    f'data.{name}' for name in ('file', 'user_scores', 'side', 'extra_files', 'features', 'splits')
)
# What may differ between two sessions of one experiment: a part, or a field.
FREE = (
    *('layout', 'study', 'evaluation', *PLACES),
    *(f'{stage}.epochs' for stages in methods.STAGES.values() for stage in stages),
)


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
    # A variant has no study, and a reward may lack terms.
    there = flatten(config)
    faults = [
        f'config.{name}: {fault}, found {there[name]!r}'
        for name, field in FIELDS.items()
        if name in there and (fault := field.fault(there[name]))
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
    if config.data.stream_mb and not methods.is_ours(config):
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
        faults.append(f'config.seeds: expected different whole numbers from 0 to 2**32 - 1, found {seeds}')
    if faults:
        raise InputError('the config cannot run:\n  ' + '\n  '.join(faults))


def of_this_version(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config of an earlier version with the fields that came since (`LATER`), without those that went.

    Args:
        config: what a `config.json` holds.

    Returns:
        The same where it is of this version. A field that went stays where its value was another one. Rivals
        that came since are there with what they are by default: another method's training reads none of it.
    """
    whole = {name: dict(part) if isinstance(part, Mapping) else part for name, part in config.items()}
    for name, before in LATER.items():
        part, field = name.split('.')
        if isinstance(whole.get(part), dict):
            whole[part].setdefault(field, before)
    for name, field in methods.fields_of_rivals().items():
        part, last = name.split('.')
        if part != whole.get('method') and isinstance(whole.setdefault(part, {}), dict):
            whole[part].setdefault(last, field.default)
    for name, constant in GONE.items():
        part, field = name.split('.')
        if isinstance(whole.get(part), dict) and whole[part].get(field) == constant:
            del whole[part][field]
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
        for name in flatten(get_config())
        if name not in there
        # A part that is empty by default, and is not here.
        and not any(field.startswith(f'{name}.') for field in there)
        and not (name.startswith('study.') and 'study' in there)
    ]


def _faults_of_types(config: Mapping[str, Any]) -> list[str]:
    """Fields of another type than in the default config: a file may hold anything."""
    there, faults = flatten(config), []
    for name, usual in flatten(get_config()).items():
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
    terms = ', '.join([*reward_terms.TERMS, 'or MODULE:NAME'])
    faults = [
        f'{name}.{term}: expected one of {terms}'
        for term in sorted(set(weights) - set(reward_terms.TERMS))
        if not is_path(term)
    ]
    faults += [
        f'{name}.{term}: expected a finite weight, found {weight!r}'
        for term, weight in weights.items()
        if isinstance(weight, bool) or not (isinstance(weight, int | float) and math.isfinite(weight))
    ]
    if not any(weights.values()):
        faults.append(f'{name}: expected a weight other than 0 for one of {terms}, found none: no reward')
    if weights.get('side') and not config.data.side:
        faults.append(f'{name}.side: expected the key of a second modality in config.data.side, found none')
    return faults


def _faults_of_estimator(config: ml_collections.ConfigDict) -> list[str]:
    settings = config.summarizer
    relative = settings.estimator in WITH_BASELINE and settings.baseline == 'leave_one_out'
    # Of the others a baseline takes a level, and count_control a slope.
    fewest = {'local_credit': 2, 'count_control': 3 if relative else 2}.get(settings.estimator, 1)
    faults = [
        f'config.summarizer.{field}: {settings[field]} needs config.summarizer.episodes of {least} or more, '
        f'found {settings.episodes}'
        for field, least in (('baseline', 2 if relative else 1), ('estimator', fewest))
        if settings.episodes < least
    ]
    if taken := sorted(set(settings.estimator_options) & set(GIVEN)):
        faults.append(
            f'config.summarizer.estimator_options: expected other names than {", ".join(GIVEN)}, '
            f'which other fields set, found {", ".join(taken)}'
        )
    if settings.estimator_options and settings.estimator in ESTIMATORS:
        faults.append(
            f'config.summarizer.estimator_options: expected none with {settings.estimator}, whose options '
            f'are fields of their own, found {", ".join(settings.estimator_options)}'
        )
    asked = is_path(settings.baseline) or settings.baseline == VALUE
    if asked and settings.estimator in set(ESTIMATORS) - set(WITH_BASELINE):
        faults.append(
            f'config.summarizer.baseline: expected an estimator that takes {settings.baseline}, one of '
            f'{", ".join(WITH_BASELINE)} or of your own, found {settings.estimator}'
        )
    if settings.estimator in SUMMARIZERS and settings.actions != 'frames':
        faults.append(
            f'config.summarizer.actions: expected frames with {settings.estimator}, which scores frames by '
            f'its policy over them, found {settings.actions}'
        )
    others = other_terms(settings)
    if others and settings.estimator in BY_FRAME:
        faults.append(
            f'config.summarizer.estimator: {settings.estimator} needs the reward by frames or by soft '
            f'choices, which reconstruction alone gives; expected 0 for reward_terms {", ".join(others)}, '
            'and reconstruction over 0, as the preset reconstruction has them (`CONFIG:reconstruction`)'
        )
    if settings.train_generator and not settings.reward_terms.get('reconstruction', 0) > 0:
        faults.append(
            'config.summarizer.train_generator: expected False, or reward_terms.reconstruction over 0, as '
            'the preset reconstruction has it (`CONFIG:reconstruction`): the generator learns by it alone'
        )
    if settings.advantage_unit == 'group' and settings.estimator in BY_FRAME:
        faults.append(
            f'config.summarizer.advantage_unit: expected reward or spread with {settings.estimator}, which '
            'does not weigh whole episodes, found group'
        )
    if settings.updates > 1 and settings.estimator not in REPEATABLE:
        faults.append(
            f'config.summarizer.updates: expected 1 with estimator={settings.estimator}, whose episodes '
            f'serve no further updates (those of {", ".join(REPEATABLE)} do), found {settings.updates}'
        )
    if settings.updates > 1 and settings.train_generator:
        faults.append(
            'config.summarizer.updates: expected 1 with train_generator, whose rewards change with each '
            f'update, found {settings.updates}'
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

    `layout`, the numbers of epochs, the evaluation and the places of the data may differ (`FREE`), and what
    belongs to a method that is not trained.

    Args:
        config: of now.
        other: what a `config.json` holds.

    Returns:
        Lines such as `model.width: 64 there, 128 now`.
    """
    idle = set(methods.RIVALS) - {other.get('method'), config.get('method')}
    return [
        line
        for name, line in changes(config, other).items()
        if not is_free(name) and name.split('.')[0] not in idle
    ]


def changes(config: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str]:
    """By name of a field that differs at all, a line as of `differences`."""
    there, now = flatten(other), flatten(config)
    return {
        name: f'{name}: {there.get(name, "absent")} there, {now.get(name, "absent")} now'
        for name in dict.fromkeys([*there, *now])
        if there.get(name) != now.get(name)
    }


def is_free(name: str) -> bool:
    """Whether a field, such as `layout.mesh`, may differ between two sessions of one experiment."""
    return bool({name, name.split('.')[0]} & set(FREE))
