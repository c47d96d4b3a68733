"""REINFORCE without the noise of how many frames an episode happens to select (a control variate).

`E[(|a| - Σp) ∇ log π(a)] = ∇ Σp`: how a Bernoulli policy's mean count moves is known exactly. So
`(R - b - c (|a| - Σp)) ∇ log π(a) + c ∇ Σp` has the expectation of REINFORCE, `∇ E[R]`, for every b and c
that do not depend on the episode's own action. Where the reward follows the count, a c near the slope of one
by the other takes that part out of the noise.
"""

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method import episodes
from trsum_jax.method.episodes import Baseline
from trsum_jax.method.estimators import Estimate, Level, RewardsOf, per, rewards_and_level

# What the slope is shrunk by, in variances of one count: with few episodes their counts may hardly differ.
_RIDGE = 0.25
# Keeps a slope finite where no count varies: all p at 0 or 1.
_SMALL = 1e-6


def count_control(
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
    *,
    n_episodes: int,
    reduction: str = 'sum',
    kind: str | Level = 'moving_average',
) -> Estimate:
    """`(1/N) Σ_n (R_n - b_n - c_n (|a_n| - d_n)) ∇ log π(a_n) + c_n ∇ Σp`, c_n fitted to the other episodes.

    `c_n` is the slope of their rewards by their counts,
    `Σ_m≠n (R_m - b_n)(|a_m| - d_n) / (Σ_m≠n (|a_m| - d_n)² + Σp(1 - p) / 4)`. The counts are measured as the
    rewards are: from a constant where b is one (`d_n = Σp`), from the others' mean where b is that. So b, c
    and d know nothing of a_n, and the estimate is unbiased. Of a new video, whose average would begin at
    these very rewards, the others' means are taken, and not, as in `reinforce`, the mean of all.

    The denominator is of the counts that were drawn, though its mean is known: what is not count in the
    rewards is then all that c_n errs by. With the mean, c_n would vary as the drawn counts do.

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: rewards of [N, L] bool actions.
        baseline: the moving average of the segment's video, scalars.
        n_episodes: N, at least 2; with `leave_one_out` the slope is 0 unless it is 3.
        reduction: of the log-probability, `sum` or `mean`; `Σp` is divided likewise.
        kind: as of `reinforce`.

    Returns:
        The estimate.
    """
    chex.assert_rank([logits, valid], 1)
    p = jnp.where(valid, jax.nn.sigmoid(logits), 0.0)
    now = jax.lax.stop_gradient(p)
    actions = episodes.sample(key, jax.lax.stop_gradient(logits), valid, n_episodes)
    likeliest = (logits > 0) & valid
    rewards, level = rewards_and_level(kind, baseline, actions, likeliest, rewards_of)
    counts = jnp.sum(actions, axis=1).astype(jnp.float32)
    relative = ~baseline.seen if kind == 'moving_average' else jnp.array(kind == 'leave_one_out')
    level = jnp.where(relative, episodes.leave_one_out(rewards), level)
    usual = jnp.where(relative, episodes.leave_one_out(counts), jnp.sum(now))

    # [n, m]: the other episodes m as episode n sees them.
    others = 1.0 - jnp.eye(n_episodes)
    better = others * (rewards[None] - level[:, None])
    longer = others * (counts[None] - usual[:, None])
    spread = jnp.sum(jnp.square(longer), axis=1) + _RIDGE * jnp.sum(now * (1.0 - now))
    slope = jnp.sum(better * longer, axis=1) / jnp.maximum(spread, _SMALL)

    advantages = rewards - level - slope * (counts - usual)
    known = jnp.mean(jax.lax.stop_gradient(slope)) * jnp.sum(p) / per(reduction, valid)
    surrogate = episodes.surrogate(logits, actions, advantages, valid, reduction) - known
    return Estimate(surrogate, rewards, advantages)
