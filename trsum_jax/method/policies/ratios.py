"""The clipped ratio: further updates by episodes that an older policy drew (PPO, GRPO, GSPO).

The rewards are taken once, which is the dear part, and the policy moves several times. Episodes of the old
policy then stand for those of the new one by the ratio of their probabilities, `π(a) / π_old(a)`, and what a
ratio may gain is bounded: `min(r A, clip(r, 1 - ε, 1 + ε) A)` (Schulman et al., 2017).

An action in {0, 1}^T is *one* step of the decision process: a reward follows all T choices, which do not see
each other. So the exact ratio is that of the whole action, a product of T ratios. Its logarithm has a
variance of `Σ p (1 - p) δ²` for logits that moved by δ: at T = 128, p = 1/2 and δ = .1 its standard deviation
is .57, and three of four lie beyond a clip of .2. Three ratios are therefore had:

- `frame`: one for each frame, of its own choice, each clipped by itself (PPO's and GRPO's, by token). For
  independent choices that is more than a habit. Without the clip its expected gradient at frame t is
  `p_t (1 - p_t) E_old[R(a_t = 1) - R(a_t = 0)]`: exact in the frame's own move, with all *others* as they
  were. So the bias is of first order in how far the others moved, 0 where the reward has no interaction
  between frames, and the variance does not grow with T. So learn independent agents (de Witt et al., 2020).
- `mean`: one for each episode, the T-th root of the whole ratio, times T (GSPO's; Zheng et al., 2025). Frames
  share one clip, which has to be narrower, as a mean of T logarithms moves less. As a weight it is so near to
  1 that it corrects hardly anything: the bias is nearly that of taking the old episodes as new ones.
- `episode`: the whole ratio. Without the clip it is unbiased, and its variance explodes with T.

With the clip all three are biased, by intent. Where both policies are one all three have the gradient of
REINFORCE.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method import episodes
from trsum_jax.method.episodes import Baseline, Draw
from trsum_jax.method.estimators import Estimate, RewardsOf, per

RATIOS = ('frame', 'mean', 'episode')
# Beyond it the logarithm of a ratio has no gradient: the ratio is as good as infinite, in float32 soon so.
_MOST = 20.0
# Of a reward in float32, a few steps of its last digit.
_ROUNDING = 1e-6


def again(
    draw: Draw,
    rewards: jax.Array,
    advantages: jax.Array,
    logits: jax.Array,
    valid: jax.Array,
    *,
    ratio: str,
    clip: float | jax.Array,
    reduction: str = 'sum',
) -> Estimate:
    """`(1/N) Σ_n ∇ min(r_n A_n, clip(r_n, 1 - ε, 1 + ε) A_n)`, of episodes drawn before.

    Args:
        draw: the episodes, and the logits that drew them.
        rewards: [N] float32, of the episodes.
        advantages: [N] float32, as they were then.
        logits: [L] float32, of now.
        valid: [L] bool.
        ratio: `frame`, `mean` or `episode`.
        clip: ε.
        reduction: `mean` divides by the valid frames, as with a log-probability.

    Returns:
        The estimate. It tells `ratio_clipped`, the share of the ratios that the clip keeps from any gradient.
    """
    chex.assert_rank([draw.actions, rewards, advantages, logits, valid], [2, 1, 1, 1, 1])
    now, old = (jax.nn.log_sigmoid(jnp.where(draw.actions, x, -x)) for x in (logits, draw.logits))
    by_frame = jnp.where(valid[None], now - old, 0.0)
    whole, frames = jnp.sum(by_frame, axis=1, keepdims=True), per('mean', valid)
    # The logarithms, and how often each counts.
    logs, weight = {
        'frame': (by_frame, valid.astype(jnp.float32)),
        'mean': (whole / frames, frames[None]),
        'episode': (whole, jnp.ones(1)),
    }[ratio]
    ratios = jnp.exp(jnp.clip(logs, -_MOST, _MOST))
    free = ratios * advantages[:, None]
    kept = jnp.minimum(free, jnp.clip(ratios, 1.0 - clip, 1.0 + clip) * advantages[:, None])
    surrogate = -jnp.mean(kept @ weight) / per(reduction, valid)
    clipped = jnp.mean((kept < free) @ weight) / jnp.maximum(jnp.sum(weight), 1.0)
    return Estimate(surrogate, rewards, advantages, draw, {'ratio_clipped': clipped})


def in_own_unit(
    estimate: Callable[..., Estimate],
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
) -> Estimate:
    """An estimator whose advantages weigh in units of the root of their own mean square over the episodes.

    With the baseline `leave_one_out` these are GRPO's, `(R_n - mean R) / std R`, to the last factor
    (Shao et al., 2024): `R_n` less the others' mean is `N / (N - 1)` times `R_n` less the mean of all, and
    the unit takes that out. Biased: a segment whose rewards hardly differ counts as much as one whose rewards
    differ widely, and the unit is made of the very rewards (Liu et al., 2025, leave it out).

    Args:
        estimate: any estimator that is linear in its advantages, its options bound.
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: as the estimator needs it.
        baseline: the moving average of the segment's video, scalars.

    Returns:
        The estimate; the advantages that it tells are in the reward's unit.
    """
    found = estimate(key, logits, valid, rewards_of, baseline)
    square = jnp.mean(jnp.square(found.advantages))
    # What equal rewards differ by in float32 must not become as large as any other difference.
    square = jnp.where(square > jnp.square(_ROUNDING * jnp.max(jnp.abs(found.rewards))), square, 0.0)
    # Without an average, the segment's own stands in.
    own = episodes.unit(episodes.start_baseline(1, 'first'), square)
    return found._replace(surrogate=found.surrogate * own)
