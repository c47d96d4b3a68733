"""Stage 2 with a learned baseline: what a segment's reward is expected to be over its video's average.

The summarizer gives a value beside its logits, from one forward pass (`models.Summarizer.value`). Added to
the moving average of the video it is what rewards are measured from, and it is trained by the squared error
`½ (average + value - mean reward)²` beside the policy. Both depend on the segment and on the past alone, and
not on its actions, so the estimate stays unbiased. A video that is new is measured as without a value.

The head alone learns from the error: the encoder does not (`stop_gradient`). The baseline must change the
noise of the policy gradient and nothing else; a shared encoder would be pulled towards features that tell the
reward of a segment, which is no matter of which frames to choose. That is also why there is no coefficient:
Adam divides each gradient by its size, and nothing is weighed against it. The head begins at 0, so that a
training begins as with the moving average.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.episodes import Baseline
from trsum_jax.method.estimators import Estimate
from trsum_jax.training import trsum
from trsum_jax.training.corpus import Segment
from trsum_jax.training.runs import PolicyNumbers
from trsum_jax.training.trsum import Reinforcement, SummarizerState

# As a baseline of the config.
VALUE = 'value'
METRICS = ('value_error',)


def valued_loss(
    setup: Reinforcement,
    frozen: Any,
    state: SummarizerState,
    progress: chex.Numeric,
    numbers: PolicyNumbers,
    segment: Segment,
    key: chex.PRNGKey,
    given: tuple[chex.Array, chex.Array],
):
    """`trsum.policy_loss` of a summarizer that gives logits [L] and a value, a scalar."""
    logits, value = given
    own = dataclasses.replace(setup, estimate=functools.partial(with_value, setup.estimate, value))
    return trsum.policy_loss(own, frozen, state, progress, numbers, segment, key, logits)


def with_value(
    estimate: Callable[..., Estimate],
    value: chex.Array,
    key: chex.PRNGKey,
    logits: chex.Array,
    segment: Segment,
    rewards_of: Callable,
    baseline: Baseline,
    *rest: Any,
) -> Estimate:
    """An estimate whose moving average is that of the video with a value on top, which learns from it.

    Args:
        estimate: as `Reinforcement.estimate`, that measures from the moving average.
        value: float32 scalar, what the segment's reward is expected to be over the average.
        key: a typed key.
        logits: [L] float32.
        segment: as the estimate needs it.
        rewards_of: likewise.
        baseline: the moving average of the segment's video, scalars.
        *rest: of the estimate.

    Returns:
        The estimate; its surrogate has the error, and it tells `value_error`, the square of what was missed.
    """
    level = baseline._replace(value=baseline.value + jax.lax.stop_gradient(value))
    found = estimate(key, logits, segment, rewards_of, level, *rest)
    missed = baseline.value + value - jax.lax.stop_gradient(jnp.mean(found.rewards))
    error = jnp.where(baseline.seen, jnp.square(missed), 0.0)
    return found._replace(surrogate=found.surrogate + error / 2, told={**found.told, 'value_error': error})
