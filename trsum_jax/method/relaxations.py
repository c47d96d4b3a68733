"""Estimators that differentiate the reward by the action itself (the paper's open question 1).

The interface is that of `method.estimators`; here the actions are float, in [0, 1], and `rewards_of` must be
differentiable by them: a frame's choice a shows the generator `a * frame + (1 - a) * mask token`.
"""

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method import episodes
from trsum_jax.method.episodes import Baseline
from trsum_jax.method.estimators import Estimate, RewardsOf, per

# Keeps the logarithms of uniform draws finite; float32 has its next number below 1 at 6e-8.
_TINY = 1e-7


def straight_through(
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
    *,
    n_episodes: int,
    reduction: str = 'sum',
) -> Estimate:
    """`(1/N) Σ_n ∂R/∂a(a_n) dp/dφ`: hard actions in, the gradient of p back (Bengio et al., 2013).

    Biased, but where the reward is linear in each frame's choice (multilinear).

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: rewards of [N, L] float32 actions, differentiable.
        baseline: not used.
        n_episodes: N.
        reduction: `mean` divides by the valid frames, as with a log-probability.

    Returns:
        The estimate.
    """
    chex.assert_rank([logits, valid], 1)
    del baseline
    hard = episodes.sample(key, jax.lax.stop_gradient(logits), valid, n_episodes)
    return _through(_replaced(hard, jax.nn.sigmoid(logits)[None], valid), valid, rewards_of, reduction)


def gumbel(
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
    *,
    n_episodes: int,
    temperature: float | jax.Array,
    hard: bool = False,
    reduction: str = 'sum',
) -> Estimate:
    """`∇ R(σ((φ + log u - log(1 - u)) / τ))`, the binary Gumbel-softmax or concrete relaxation.

    (Jang et al., 2017; Maddison et al., 2017.) Biased; the bias falls with the temperature, and the variance
    rises without bound.

    Args:
        key: a typed key.
        logits: [L] float32.
        valid: [L] bool.
        rewards_of: rewards of [N, L] float32 actions, differentiable.
        baseline: not used.
        n_episodes: N.
        temperature: τ, over 0.
        hard: evaluate the reward at the actions rounded to 0 and 1, and differentiate as if they were not
            (the straight-through form of Jang et al.).
        reduction: `mean` divides by the valid frames, as with a log-probability.

    Returns:
        The estimate; unless `hard`, the rewards are those of relaxed actions.
    """
    chex.assert_rank([logits, valid], 1)
    del baseline
    uniform = jax.random.uniform(key, (n_episodes, logits.shape[0]), minval=_TINY, maxval=1.0 - _TINY)
    noisy = logits[None] + jnp.log(uniform) - jnp.log1p(-uniform)
    soft = jax.nn.sigmoid(noisy / temperature)
    actions = _replaced((noisy > 0) & valid[None], soft, valid) if hard else jnp.where(valid[None], soft, 0.0)
    return _through(actions, valid, rewards_of, reduction)


def temperature_at(
    progress: float | jax.Array, epochs: int, start: float | jax.Array, end: float | jax.Array
) -> jax.Array:
    """A temperature that falls from `start` to `end` in equal ratios over a training.

    Args:
        progress: epochs done so far, with fractions.
        epochs: of the training.
        start: temperature at its first step.
        end: temperature at its last.

    Returns:
        A float scalar.
    """
    return start * (end / start) ** jnp.clip(progress / epochs, 0.0, 1.0)


def _replaced(hard: jax.Array, soft: jax.Array, valid: jax.Array) -> jax.Array:
    """The value of `hard` with the gradient of `soft`, 0 at padding."""
    # Adding a difference that is exactly 0 keeps the actions at 0 and 1 to the bit.
    return jnp.where(valid[None], hard + (soft - jax.lax.stop_gradient(soft)), 0.0)


def _through(actions: jax.Array, valid: jax.Array, rewards_of: RewardsOf, reduction: str) -> Estimate:
    rewards = rewards_of(actions).rewards
    surrogate = -jnp.mean(rewards) / per(reduction, valid)
    return Estimate(surrogate, rewards, jnp.zeros_like(rewards))
