"""Which estimator a config names, with its options bound."""

import functools
from collections.abc import Callable

import chex
import ml_collections

from trsum_jax.method import estimators, relaxations

ESTIMATORS = {
    'reinforce': estimators.reinforce,
    'antithetic': estimators.antithetic,
    'arm': estimators.arm,
    'disarm': estimators.disarm,
    'local_credit': estimators.local_credit,
    'straight_through': relaxations.straight_through,
    'gumbel': relaxations.gumbel,
    'gumbel_straight_through': functools.partial(relaxations.gumbel, hard=True),
}
# These differentiate the reward by the action; `BY_FRAME` ask more of it than its value.
RELAXED = ('straight_through', 'gumbel', 'gumbel_straight_through')
BY_FRAME = ('local_credit', *RELAXED)


def estimator_of(settings: ml_collections.ConfigDict, progress: chex.Numeric) -> Callable:
    """The estimator of a config's `summarizer`, at a point of the training.

    Args:
        settings: `config.summarizer`.
        progress: epochs behind, with fractions; the temperature falls with them.

    Returns:
        (key, logits [L], valid [L], rewards_of, baseline) -> `estimators.Estimate`.
    """
    name, options = settings.estimator, {}
    if name == 'reinforce':
        options['kind'] = settings.baseline
    if name == 'local_credit':
        options['radius'] = settings.credit_radius
    if name.startswith('gumbel'):
        options['temperature'] = relaxations.temperature_at(
            progress, settings.epochs, settings.temperature, settings.temperature_end
        )
    bound = functools.partial(
        ESTIMATORS[name], n_episodes=settings.episodes, reduction=settings.log_probability, **options
    )
    if settings.estimate_clip:
        return functools.partial(estimators.clipped, bound, settings.estimate_clip)
    return bound
