"""A policy over the selections of exactly k frames: `π(a) ∝ Π_t exp(φ_t a_t)` over all a with |a| = k.

It is the Bernoulli policy given its count (conditional Bernoulli: Chen, Dempster & Liu, 1994), so
`log π(a) = log Bernoulli(a) - log P(|a| = k)`. The probabilities of all counts come from the recursion of the
elementary symmetric polynomials, frame by frame, in logarithms; k may be traced.

A number added to all logits changes nothing here: the gradient is 0 in that direction. What holds the mean of
p = sigmoid(φ), which is what scores a frame, is the length penalty alone. Every policy has logits at which it
is 0, so that it asks for no compromise with the reward, at any β over 0.
"""

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method import episodes
from trsum_jax.method.episodes import Baseline
from trsum_jax.method.estimators import Estimate, Level, RewardsOf, per, rewards_and_level

# The logarithm of 0. Minus infinity has no gradient: less itself it is no number.
_NEVER = -1e30
# How far beyond the logits a level is looked for, and how often the interval is halved.
_BEYOND, _HALVINGS = 20.0, 24


def subsets(
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
    *,
    n_episodes: int,
    share: float | jax.Array,
    reduction: str = 'sum',
    kind: str | Level = 'moving_average',
) -> Estimate:
    """REINFORCE, `(1/N) Σ_n (R_n - b) ∇ log π(a_n)`, over the selections of `subset_size` frames.

    Unbiased for the expected reward of *this* policy, which is not that of a Bernoulli policy; where the
    baseline is as in `reinforce`.

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: rewards of [N, L] bool actions.
        baseline: the moving average of the segment's video, scalars.
        n_episodes: N.
        share: δ, of the valid frames.
        reduction: of the log-probability: `mean` divides by the valid frames.
        kind: as of `reinforce`; the likeliest action of `greedy` takes the largest logits.

    Returns:
        The estimate.
    """
    chex.assert_rank([logits, valid], 1)
    size = subset_size(valid, share)
    now = jax.lax.stop_gradient(logits)
    actions = sample_subsets(key, now, valid, size, n_episodes)
    falling = jnp.argsort(jnp.where(valid, -now, jnp.inf))
    likeliest = jnp.zeros_like(valid).at[falling].set(jnp.arange(valid.shape[0]) < size)
    rewards, level = rewards_and_level(kind, baseline, actions, likeliest, rewards_of)
    advantages = rewards - level
    of_one = jax.vmap(log_probability_of_subset, (None, 0, None, None))
    log_probabilities = of_one(logits, actions, valid, size) / per(reduction, valid)
    return Estimate(episodes.weighed(log_probabilities, advantages), rewards, advantages)


def subset_size(valid: jax.Array, share: float | jax.Array) -> jax.Array:
    """k: the share of the valid frames, rounded (halves to the even number), and at least 1.

    Args:
        valid: [L] bool.
        share: δ, in [0, 1].

    Returns:
        An int32 scalar.
    """
    chex.assert_rank(valid, 1)
    frames = jnp.sum(valid)
    return jnp.clip(jnp.round(share * frames).astype(jnp.int32), 1, frames)


def log_probability_of_subset(
    logits: jax.Array, action: jax.Array, valid: jax.Array, size: int | jax.Array
) -> jax.Array:
    """`log π(a) = Σ_t a_t φ_t - log Σ_|b|=k exp(Σ_t b_t φ_t)` of an action that takes k of the valid frames.

    Its gradient by the logits is the action less the probabilities that each frame is taken.

    Args:
        logits: [L] float32.
        action: [L] bool, of k valid frames.
        valid: [L] bool.
        size: k, from 1 to the number of valid frames.

    Returns:
        A float32 scalar.
    """
    chex.assert_rank([logits, action, valid], 1)
    logits = _levelled(logits, valid, size)
    of_count = log_probability_of_counts(logits, valid)[-1, size]
    return episodes.log_probability(logits, action, valid, 'sum') - of_count


def sample_subsets(
    key: chex.PRNGKey, logits: jax.Array, valid: jax.Array, size: int | jax.Array, n_episodes: int
) -> jax.Array:
    """Draws selections of k valid frames, exactly from π, from the last frame to the first.

    A frame is taken with its probability given how many of the frames up to it are still to be taken:
    `p_t P(k - 1 of those before) / P(k of those up to it)`.

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool; padding is never selected.
        size: k, from 1 to the number of valid frames.
        n_episodes: N.

    Returns:
        [N, L] bool, k in each row.
    """
    chex.assert_rank([logits, valid], 1)
    logits = _levelled(logits, valid, size)
    counts = log_probability_of_counts(logits, valid)
    uniform = jax.random.uniform(key, (logits.shape[0], n_episodes))

    def decide(left: jax.Array, frame: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        logit, real, up_to_it, before, after, u = frame
        # With none left the last column is read: as many as there are positions, which is never yet.
        taken = u < jnp.exp(jax.nn.log_sigmoid(logit) + before[left - 1] - after[left])
        # Rounding must not take a frame too few.
        taken = real & (taken | (left == up_to_it))
        return left - taken, taken

    start = jnp.full(n_episodes, size, jnp.int32)
    frames = logits, valid, jnp.cumsum(valid), counts[:-1], counts[1:], uniform
    return jax.lax.scan(decide, start, frames, reverse=True)[1].T


def log_probability_of_counts(logits: jax.Array, valid: jax.Array) -> jax.Array:
    """How many frames a Bernoulli policy takes: `log P(j of the first t)` for all t and j.

    `P(j of t) = (1 - p_t) P(j of t - 1) + p_t P(j - 1 of t - 1)`, up to `Π(1 - p)` the recursion of the
    elementary symmetric polynomials of the odds.

    Args:
        logits: [L] float32.
        valid: [L] bool; padding is not taken.

    Returns:
        [L + 1, L + 1] float32, by t and j; -1e30 or so where it cannot be.
    """
    chex.assert_rank([logits, valid], 1)

    def add(before: jax.Array, frame: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        logit, real = frame
        one_more = jnp.concatenate([jnp.full(1, _NEVER), before[:-1]]) + jax.nn.log_sigmoid(logit)
        after = jnp.where(real, jnp.logaddexp(before + jax.nn.log_sigmoid(-logit), one_more), before)
        return after, after

    none = jnp.full(logits.shape[0] + 1, _NEVER).at[0].set(0.0)
    return jnp.concatenate([none[None], jax.lax.scan(add, none, (logits, valid))[1]])


def _levelled(logits: jax.Array, valid: jax.Array, size: int | jax.Array) -> jax.Array:
    """The same policy at the logits that take k frames on average.

    Of all levels it is the one at which a count of k is likeliest: its logarithm is small, so that float32
    knows it well.
    """
    now = jax.lax.stop_gradient(logits)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        too_many = jnp.sum(jnp.where(valid, jax.nn.sigmoid(now - middle), 0.0)) > size
        return jnp.where(too_many, middle, low), jnp.where(too_many, high, middle)

    most = jnp.max(jnp.abs(jnp.where(valid, now, 0.0))) + _BEYOND
    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (-most, most))
    return logits - (low + high) / 2
