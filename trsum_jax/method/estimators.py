"""Estimators of the policy gradient, each a pure function of (key, logits, valid, rewards_of, baseline).

All estimate `∇ E[R(a)]` over `a_t ~ Bernoulli(sigmoid(logit_t))` for one segment, and give a `surrogate`
to minimise: its gradient by the logits is *minus* the estimate. `method.relaxations` holds those that
differentiate through the reward, `method.policies` those of other policies, and of the frames' number.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method import episodes
from trsum_jax.method.episodes import Baseline, Draw


class Outcome(NamedTuple):
    """What actions bring.

    Attributes:
        rewards: [K] float32.
        parts: [K, L] float32, what each frame adds to the reward (to first order); `local_credit` alone
            reads it.
    """

    rewards: jax.Array
    parts: jax.Array


class Estimate(NamedTuple):
    """What an estimator gives.

    Attributes:
        surrogate: float32 scalar; minus its gradient by the logits is the estimate.
        rewards: [K] float32, of the episodes drawn from the policy.
        advantages: [K], [K, L], or [K / 2] for pairs, float32, what weighs the episodes; zeros where nothing
            does.
        draw: what further updates by the same episodes read (`policies.ratios`); empty: there are none.
        told: more metrics of the segment, scalars by name.
    """

    surrogate: jax.Array
    rewards: jax.Array
    advantages: jax.Array
    draw: Draw | tuple[()] = ()
    told: Mapping[str, Any] = {}


# [K, L] actions of one segment, all at once (the caller lays them out), to what they bring.
RewardsOf = Callable[[jax.Array], Outcome]
# (rewards [N], actions [N, L] bool, the moving average of the segment's video, rewards_of) -> what rewards
# are measured from, a scalar or [N]; unbiased where an episode's own does not depend on its action.
Level = Callable[[jax.Array, jax.Array, Baseline, RewardsOf], jax.Array]


def reinforce(
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
    """`(1/N) Σ_n (R_n - b) ∇ log π(a_n)` (Williams, 1992; the paper's, with b a moving average per video).

    The estimate is unbiased where the baseline does not depend on the episode's own reward. Only the moving
    average of a video that is seen for the first time does: it starts at these very rewards.

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: rewards of [N, L] bool actions.
        baseline: the moving average of the segment's video, scalars.
        n_episodes: N.
        reduction: of the log-probability, `sum` or `mean`.
        kind: `moving_average`; `leave_one_out`, the mean of the others (RLOO; Kool et al., 2019); `greedy`,
            the reward of the likeliest action, one more evaluation (self-critical; Rennie et al., 2017);
            `none`; or a function of one's own.

    Returns:
        The estimate.
    """
    chex.assert_rank([logits, valid], 1)
    actions = episodes.sample(key, jax.lax.stop_gradient(logits), valid, n_episodes)
    likeliest = (logits > 0) & valid
    rewards, level = rewards_and_level(kind, baseline, actions, likeliest, rewards_of)
    advantages = rewards - level
    surrogate = episodes.surrogate(logits, actions, advantages, valid, reduction)
    return Estimate(surrogate, rewards, advantages, Draw(jax.lax.stop_gradient(logits), actions))


def antithetic(
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
    *,
    n_episodes: int,
    reduction: str = 'sum',
) -> Estimate:
    """REINFORCE with a moving average over N pairs of episodes, one drawn from u and one from 1 - u.

    Each of a pair follows the policy, so the estimate is REINFORCE's in the mean; that they oppose each other
    takes out what is odd in the noise (antithetic variates; Hammersley & Morton, 1956).

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: rewards of [2 N, L] bool actions.
        baseline: the moving average of the segment's video, scalars.
        n_episodes: N pairs, 2 N evaluations.
        reduction: of the log-probability, `sum` or `mean`.

    Returns:
        The estimate, over 2 N episodes.
    """
    chex.assert_rank([logits, valid], 1)
    _, one, other = _pairs(key, logits, valid, n_episodes)
    actions = jnp.concatenate([one, other])
    rewards = rewards_of(actions).rewards
    advantages = rewards - episodes.current_baseline(baseline, jnp.mean(rewards))
    return Estimate(episodes.surrogate(logits, actions, advantages, valid, reduction), rewards, advantages)


def arm(
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
    *,
    n_episodes: int,
    reduction: str = 'sum',
) -> Estimate:
    """`E_u[(R(1[u > σ(-φ)]) - R(1[u < σ(φ)])) (u - 1/2)]`, augment, REINFORCE, merge (Yin & Zhou, 2019).

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: rewards of [2 N, L] bool actions.
        baseline: not used: a pair is its own.
        n_episodes: N pairs, 2 N evaluations.
        reduction: `mean` divides by the valid frames, as with a log-probability.

    Returns:
        The estimate, over 2 N episodes; the advantage of each of the N pairs is the difference.
    """
    chex.assert_rank([logits, valid], 1)
    del baseline
    uniform, one, other = _pairs(key, logits, valid, n_episodes)
    rewards = rewards_of(jnp.concatenate([other, one])).rewards
    advantages = rewards[:n_episodes] - rewards[n_episodes:]
    gradient = jnp.mean(advantages[:, None] * (uniform - 0.5), axis=0)
    return Estimate(towards(gradient, logits, valid, reduction), rewards, advantages)


def disarm(
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
    *,
    n_episodes: int,
    reduction: str = 'sum',
) -> Estimate:
    """`1/2 (R(b) - R(b')) (-1)^b' 1[b ≠ b'] σ(|φ|)`: ARM with u integrated out given the pair.

    (DisARM: Dong, Mnih & Tucker, 2020; U2G: Yin et al., 2020.)

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: rewards of [2 N, L] bool actions.
        baseline: not used: a pair is its own.
        n_episodes: N pairs, 2 N evaluations.
        reduction: `mean` divides by the valid frames, as with a log-probability.

    Returns:
        The estimate, over 2 N episodes; the advantage of each of the N pairs is the difference.
    """
    chex.assert_rank([logits, valid], 1)
    del baseline
    _, one, other = _pairs(key, logits, valid, n_episodes)
    rewards = rewards_of(jnp.concatenate([one, other])).rewards
    advantages = rewards[:n_episodes] - rewards[n_episodes:]
    sign = jnp.where(other, -1.0, 1.0) * (one != other)
    by_frame = 0.5 * sign * jax.nn.sigmoid(jnp.abs(logits))[None]
    gradient = jnp.mean(advantages[:, None] * by_frame, axis=0)
    return Estimate(towards(gradient, logits, valid, reduction), rewards, advantages)


def local_credit(
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
    *,
    n_episodes: int,
    radius: int | jax.Array,
    reduction: str = 'sum',
) -> Estimate:
    """RLOO with an advantage for every frame, from the parts of the reward at most `radius` frames away.

    Biased (ours): what a choice does further off is left out, and with it its noise. Unbiased where the
    reward is the sum of its parts and no part depends on a choice further away.

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: rewards of [N, L] bool actions, with their parts.
        baseline: not used: the others' mean at the same frame stands for it.
        n_episodes: N, at least 2.
        radius: frames to either side; L or more takes all.
        reduction: of the log-probability, `sum` or `mean`.

    Returns:
        The estimate; the advantages are [N, L].
    """
    chex.assert_rank([logits, valid], 1)
    del baseline
    actions = episodes.sample(key, jax.lax.stop_gradient(logits), valid, n_episodes)
    rewards, parts = rewards_of(actions)
    position = jnp.arange(logits.shape[0])
    near = (jnp.abs(position[:, None] - position[None]) <= radius).astype(jnp.float32)
    local = jnp.where(valid[None], parts, 0.0) @ near
    advantages = jnp.where(valid[None], local - jax.vmap(episodes.leave_one_out, 1, 1)(local), 0.0)
    # The score of a Bernoulli by its logit is a - p.
    gradient = jnp.mean(advantages * (actions - jax.nn.sigmoid(logits)[None]), axis=0)
    return Estimate(towards(gradient, logits, valid, reduction), rewards, advantages)


def towards(gradient: jax.Array, logits: jax.Array, valid: jax.Array, reduction: str) -> jax.Array:
    """The surrogate of an estimate that is known itself: the scalar whose gradient is minus it.

    Args:
        gradient: [L] float32, the estimate of `∇ E[R]` by the logits.
        logits: [L] float32.
        valid: [L] bool; the gradient at padding is dropped.
        reduction: `sum`, or `mean`, which divides by the valid frames.

    Returns:
        A float32 scalar.
    """
    chex.assert_rank([gradient, logits, valid], 1)
    terms = jnp.where(valid, jax.lax.stop_gradient(gradient) * logits, 0.0)
    return -jnp.sum(terms) / per(reduction, valid)


def per(reduction: str, valid: jax.Array) -> jax.Array:
    """What a reduction divides by: 1 for `sum`, the number of valid frames for `mean`."""
    return jnp.maximum(jnp.sum(valid), 1).astype(jnp.float32) if reduction == 'mean' else jnp.ones(())


def rewards_and_level(
    kind: str | Level,
    baseline: Baseline,
    actions: jax.Array,
    likeliest: jax.Array,
    rewards_of: RewardsOf,
) -> tuple[jax.Array, jax.Array]:
    """Rewards of episodes, and the baseline b that they are measured from.

    Args:
        kind: as of `reinforce`.
        baseline: the moving average of the segment's video, scalars.
        actions: [N, L] bool.
        likeliest: [L] bool, the policy's likeliest action, which `greedy` evaluates as well.
        rewards_of: rewards of [N, L] bool actions, or [N + 1, L].

    Returns:
        [N] float32, and a scalar, or [N] for `leave_one_out`; of a function of one's own either.
    """
    if kind == 'greedy':
        rewards = rewards_of(jnp.concatenate([actions, likeliest[None]])).rewards
        return rewards[:-1], rewards[-1]
    rewards = rewards_of(actions).rewards
    if callable(kind):
        return rewards, kind(rewards, actions, baseline, rewards_of)
    if kind == 'leave_one_out':
        return rewards, episodes.leave_one_out(rewards)
    if kind == 'none':
        return rewards, jnp.zeros(())
    return rewards, episodes.current_baseline(baseline, jnp.mean(rewards))


def clipped(
    estimate: Callable[..., Estimate],
    most: float,
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
) -> Estimate:
    """An estimator's estimate, shortened where it is longer than `most`.

    Args:
        estimate: any estimator, its options bound.
        most: largest Euclidean norm of the estimate by a segment's logits.
        key: a typed key.
        logits: [L, …] float32, as the estimator needs them.
        valid: [L] bool.
        rewards_of: as the estimator needs it.
        baseline: the moving average of the segment's video, scalars.

    Returns:
        The estimate.
    """

    def surrogate(x: jax.Array) -> tuple[jax.Array, Estimate]:
        found = estimate(key, x, valid, rewards_of, baseline)
        return found.surrogate, found

    gradient, found = jax.grad(surrogate, has_aux=True)(jax.lax.stop_gradient(logits))
    shorter = -gradient * (most / jnp.maximum(jnp.linalg.norm(gradient), most))
    # Not `towards`: a policy may have more than one logit a frame.
    real = valid.reshape(-1, *[1] * (logits.ndim - 1))
    terms = jnp.where(real, jax.lax.stop_gradient(shorter) * logits, 0.0)
    return found._replace(surrogate=-jnp.sum(terms))


def _pairs(
    key: chex.PRNGKey, logits: jax.Array, valid: jax.Array, n_pairs: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """u, and the actions that u and 1 - u draw: `1[u < σ(φ)]`, `1[u > σ(-φ)]`, [N, L] each."""
    p = jax.nn.sigmoid(jax.lax.stop_gradient(logits))[None]
    uniform = jax.random.uniform(key, (n_pairs, logits.shape[0]))
    return uniform, (uniform < p) & valid[None], (1.0 - uniform < p) & valid[None]
