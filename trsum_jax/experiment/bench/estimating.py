"""Which estimator of the policy gradient a config means, by name or by import path, with its options."""

import functools
from collections.abc import Callable
from typing import Any

import chex
import ml_collections

from trsum_jax.experiment.bench import functions
from trsum_jax.method import estimators, relaxations
from trsum_jax.method.policies import chains, counting, ratios, subsets
from trsum_jax.runtime.fields import is_path
from trsum_jax.training.runs import PolicyNumbers
from trsum_jax.training.stages import valued, variations

ESTIMATORS = {
    'reinforce': estimators.reinforce,
    'antithetic': estimators.antithetic,
    'arm': estimators.arm,
    'disarm': estimators.disarm,
    'local_credit': estimators.local_credit,
    'straight_through': relaxations.straight_through,
    'gumbel': relaxations.gumbel,
    'gumbel_straight_through': functools.partial(relaxations.gumbel, hard=True),
    'count_control': counting.count_control,
    'subsets': subsets.subsets,
    'markov': chains.markov,
}
# The module that gives what an estimator draws from, where that is more than the logits of p.
SUMMARIZERS = {'markov': chains.ChainSummarizer}
# These take `summarizer.baseline`.
WITH_BASELINE = tuple(name for name, one in ESTIMATORS.items() if 'kind' in functions.parameters(one))
# Keyword arguments that fields of the config set: every estimator gets the first two, and the others where it
# has a parameter of the name.
GIVEN = ('n_episodes', 'reduction', 'kind', 'radius', 'share', 'temperature')
# The first differentiate the reward by float actions; `BY_FRAME`, which holds them too, need more of a reward
# than its value.
RELAXED = ('straight_through', 'gumbel', 'gumbel_straight_through')
BY_FRAME = ('local_credit', *RELAXED)
# These give the `episodes.Draw` that further updates are made of.
REPEATABLE = ('reinforce',)


def estimator(fields: ml_collections.ConfigDict) -> Callable[..., estimators.Estimate]:
    """`Reinforcement.estimate`: the estimator that a config names, with its options.

    Args:
        fields: `config.summarizer`.

    Returns:
        (key, logits, segment, rewards_of, baseline, progress, numbers) -> `estimators.Estimate`. Progress
        is epochs done so far, with fractions: a temperature falls with them. Of the `runs.PolicyNumbers`, in
        which the runs of a grid may differ, some estimators take their own: `subsets` δ for its size. One by
        import path is found when it is first called: what only scores does without it.
    """
    chosen = ESTIMATORS.get(fields.estimator, functools.partial(functions.call, fields.estimator))

    def estimate(key, logits, segment, rewards_of, baseline, progress, numbers):
        one = functools.partial(chosen, **options_of(fields, progress, numbers))
        return _wrapped(fields, one, segment)(key, logits, segment.valid, rewards_of, baseline)

    return estimate


def repeated(fields: ml_collections.ConfigDict) -> Callable[..., estimators.Estimate]:
    """What `several_updates.learning_again` repeats the estimator of a config by.

    Args:
        fields: `config.summarizer`; its estimator is one of `REPEATABLE`.

    Returns:
        (`Estimate` of the first update, logits [L], segment, numbers) -> `Estimate`.
    """
    options = {'ratio': fields.ratio, 'reduction': fields.log_probability}

    def repeat(first, logits, segment, numbers):
        def one(key, logits, valid, rewards_of, baseline):
            del key, rewards_of, baseline
            known = first.draw, first.rewards, first.advantages
            return ratios.again(*known, logits, valid, clip=numbers.ratio_clip, **options)

        return _wrapped(fields, one, segment)(None, logits, segment.valid, None, None)

    return repeat


def _wrapped(
    fields: ml_collections.ConfigDict, one: Callable[..., estimators.Estimate], segment: Any
) -> Callable[..., estimators.Estimate]:
    """An estimator with what the config asks of all of them, for a segment."""
    if fields.advantage_unit == 'group':
        one = functools.partial(ratios.in_own_unit, one)
    if fields.estimate_clip:
        one = functools.partial(estimators.clipped, one, fields.estimate_clip)
    return variations.over_shots(one, segment.shot) if fields.actions == 'shots' else one


def other_terms(fields: ml_collections.ConfigDict) -> list[str]:
    """The terms of a config's reward beside the reconstruction, which alone has a gradient and parts.

    Args:
        fields: `config.summarizer`.

    Returns:
        Names.
    """
    return [name for name, weight in fields.reward_terms.items() if weight and name != 'reconstruction']


def options_of(
    fields: ml_collections.ConfigDict, progress: chex.Numeric, numbers: PolicyNumbers
) -> dict[str, Any]:
    """The keyword arguments of the estimator that a config names.

    Args:
        fields: `config.summarizer`.
        progress: epochs done so far, with fractions.
        numbers: of the run.

    Returns:
        `GIVEN`, as far as it takes them, and `estimator_options`.

    Raises:
        InputError: as `functions.function`.
    """
    kind = fields.baseline
    takes = functions.parameters(ESTIMATORS.get(fields.estimator) or functions.function(fields.estimator))
    if kind == valued.VALUE:
        # The average comes with the value on top (`valued.with_value`).
        kind = 'moving_average'
    given = {
        'kind': functools.partial(functions.call, kind) if is_path(kind) else kind,
        'radius': numbers.credit_radius,
        'share': numbers.share,
    }
    if 'temperature' in takes:
        ends = numbers.temperature, numbers.temperature_end
        given['temperature'] = relaxations.temperature_at(progress, fields.epochs, *ends)
    always = {'n_episodes': fields.episodes, 'reduction': fields.log_probability}
    return always | {n: v for n, v in given.items() if n in takes} | fields.estimator_options.to_dict()
