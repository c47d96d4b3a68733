"""Actions that take whole shots: a summary is made of shots, and a hidden shot has no neighbours to copy."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.episodes import Baseline
from trsum_jax.method.estimators import Estimate, Outcome, RewardsOf

ACTIONS = ('frames', 'shots')


def over_shots(estimate: Callable[..., Estimate], shot: chex.Array) -> Callable[..., Estimate]:
    """An estimator whose every draw decides on all frames that a shot has in the segment (ours).

    A shot's logit is the mean of its frames', so that the gradient of its frames is the same.

    Args:
        estimate: (key, logits, valid, rewards_of, baseline) -> `Estimate`, as of `method.estimators`.
        shot: [L] int32, the shot of each frame.

    Returns:
        The same, for frames' logits [L]. What an estimator has by frame stands at the first frame of a shot,
        zeros elsewhere; `local_credit`'s radius is between first frames, so that 0 is a shot's own loss.
    """

    def decide(
        key: chex.PRNGKey, logits: chex.Array, valid: chex.Array, rewards_of: RewardsOf, baseline: Baseline
    ) -> Estimate:
        chex.assert_rank([logits, valid, shot], 1)
        length = logits.shape[0]
        same = (shot[:, None] == shot[None]) & valid[:, None] & valid[None]
        # A shot stands at its first frame; padding, at itself, is none.
        first = jnp.where(valid, jnp.argmax(same, axis=1), jnp.arange(length))
        stands = valid & (first == jnp.arange(length))

        def summed(values):
            return jax.ops.segment_sum(jnp.where(valid, values, 0.0), first, num_segments=length)

        def rewards_of_shots(actions):
            taken = actions[:, first]
            hard = taken.dtype == bool
            outcome = rewards_of(taken & valid[None] if hard else jnp.where(valid[None], taken, 0.0))
            return Outcome(outcome.rewards, jax.vmap(summed)(outcome.parts))

        of_shots = summed(logits) / jnp.maximum(summed(jnp.ones(length)), 1.0)
        return estimate(key, of_shots, stands, rewards_of_shots, baseline)

    return decide
