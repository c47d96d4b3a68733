"""The game in which AC-SUM-GAN's actor picks the fragments of a summary, and its two losses.

Our choices [O], where we could not confirm the paper's: a picked fragment stands in the state as 1 and is not
picked again; the reward of a pick is `1 - |D(original) - D(rebuilt)|`; rewards to come are discounted
by `DISCOUNT`.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.losses import mean_over

_NEVER = -1e9
DISCOUNT = 0.99


class Game(NamedTuple):
    """What happened in a game of N picks among M fragments.

    Attributes:
        states: [N, M] float32, what the actor saw.
        free: [N, M] bool, the fragments that it could pick.
        picks: [N] int32, what it picked.
        live: [N] bool, whether there was anything left to pick.
        taken: [N, M] bool, the summary after the pick.
    """

    states: chex.Array
    free: chex.Array
    picks: chex.Array
    live: chex.Array
    taken: chex.Array


def play(key: chex.PRNGKey, actor: Callable, scores: chex.Array, present: chex.Array, n_picks: int) -> Game:
    """Lets the actor pick fragments, one by one.

    Args:
        key: a typed key.
        actor: a state [M] to logits [M].
        scores: [M] float32, the fragments' scores.
        present: [M] bool, the fragments that have a frame.
        n_picks: N.

    Returns:
        The game.
    """
    chex.assert_rank([scores, present], 1)

    def step(taken, key):
        state, free = jnp.where(taken, 1.0, scores), present & ~taken
        pick = jax.random.categorical(key, jnp.where(free, actor(state), _NEVER))
        live = jnp.any(free)
        after = taken | (live & (jnp.arange(scores.shape[0]) == pick))
        return after, Game(state, free, pick, live, after)

    return jax.lax.scan(step, jnp.zeros_like(present), jax.random.split(key, n_picks))[1]


def returns(rewards: chex.Array, live: chex.Array, discount: float = DISCOUNT) -> chex.Array:
    """`R_n = r_n + γ R_(n+1)`, every pick's reward and the discounted ones that follow.

    Args:
        rewards: [N] float32.
        live: [N] bool; a pick that was none has no reward.
        discount: γ.

    Returns:
        [N] float32.
    """
    chex.assert_equal_shape([rewards, live])

    def step(later, reward):
        total = reward + discount * later
        return total, total

    return jax.lax.scan(step, jnp.zeros(()), jnp.where(live, rewards, 0.0), reverse=True)[1]


def actor_loss(
    logits: chex.Array, game: Game, advantages: chex.Array, entropy_weight: float
) -> tuple[chex.Array, chex.Array]:
    """`-mean_n (A_n log π(a_n)) - δ mean_n H(π_n)` over the live picks.

    Args:
        logits: [N, M] float32, of the actor in the game's states.
        game: the game.
        advantages: [N] float32, return minus value, constants.
        entropy_weight: δ.

    Returns:
        The loss and the mean entropy, float32 scalars.
    """
    chex.assert_rank([logits, advantages], [2, 1])
    log_policy = jax.nn.log_softmax(jnp.where(game.free, logits, _NEVER))
    of_pick = jnp.take_along_axis(log_policy, game.picks[:, None], axis=1)[:, 0]
    entropy = -jnp.sum(jnp.where(game.free, jnp.exp(log_policy) * log_policy, 0.0), axis=1)
    policy = -mean_over(advantages * of_pick, game.live)
    entropy = mean_over(entropy, game.live)
    return policy - entropy_weight * entropy, entropy


def critic_loss(values: chex.Array, targets: chex.Array, live: chex.Array) -> chex.Array:
    """`mean_n (R_n - V_n)²` over the live picks; [N] each to a scalar."""
    return mean_over(jnp.square(targets - values), live)
