"""A toy of the task, of at most 12 frames: its best selection and its gradient are known by enumeration."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp

from trsum_jax.errors import InputError
from trsum_jax.method import episodes
from trsum_jax.method.reward_terms import representativeness

MOST = 12


@functools.partial(jax.tree_util.register_dataclass, data_fields=('frames', 'price'), meta_fields=())
@dataclasses.dataclass(frozen=True)
class Toy:
    """Segments of a few scenes, of which every frame selected has a price. A state is a segment's number.

    Attributes:
        frames: [S, T, D] float32.
        price: float32 scalar, of all frames together.
    """

    frames: jax.Array
    price: jax.Array

    def reset(self, key: chex.PRNGKey) -> jax.Array:
        """Any segment, each as likely."""
        return jax.random.randint(key, (), 0, self.frames.shape[0])

    def observe(self, state: jax.Array) -> jax.Array:
        """[T, D + 1] float32: the frames, and 1 at each, as `selection.Selection` says it."""
        return jnp.pad(self.frames[state], ((0, 0), (0, 1)), constant_values=1.0)

    def reward(self, state: jax.Array, actions: jax.Array) -> jax.Array:
        """`exp(-(1/T) Σ_t min_{s selected} ‖x_t - x_s‖)` less the price of the share that is selected.

        Args:
            state: int32 scalar.
            actions: [N, T] bool.

        Returns:
            [N] float32.
        """
        chex.assert_rank(actions, 2)
        frames, all_valid = self.frames[state], jnp.ones(self.frames.shape[1], bool)
        shown = jax.vmap(representativeness, (None, None, 0))(frames, all_valid, actions)
        return shown - self.price * jnp.mean(actions.astype(jnp.float32), axis=1)


def make(
    key: chex.PRNGKey,
    *,
    segments: int = 4,
    length: int = 9,
    scenes: int = 3,
    noise: float = 0.1,
    price: float = 0.5,
) -> Toy:
    """Segments whose frames show one of some scenes each, at random, every scene at least once.

    Args:
        key: a typed key.
        segments: S.
        length: T, at most `MOST`.
        scenes: in each segment, at most T; they are 2 apart.
        noise: spread of the frames around their scene.
        price: of all frames together; without noise, and while it is small, one frame of each scene is best.

    Returns:
        The toy.

    Raises:
        InputError: too many frames to enumerate their selections, or more scenes than frames.
    """
    if not 1 <= scenes <= length <= MOST:
        raise InputError(
            f'expected scenes <= length <= {MOST}, at least one, found length {length} and scenes {scenes}'
        )
    order_key, noise_key = jax.random.split(key)
    numbers = jnp.broadcast_to(jnp.arange(length) % scenes, (segments, length))
    scene = jax.random.permutation(order_key, numbers, axis=1, independent=True)
    frames = jnp.sqrt(2.0) * jax.nn.one_hot(scene, scenes)
    spread = noise * jax.random.normal(noise_key, frames.shape)
    return Toy(frames + spread, jnp.float32(price))


def every_action(length: int) -> jax.Array:
    """[2^T, T] bool: all selections of T frames."""
    return (jnp.arange(2**length)[:, None] >> jnp.arange(length)[None]) & 1 == 1


@jax.jit
def optimum(toy: Toy, state: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The best selection of a segment.

    Args:
        toy: from `make`.
        state: int32 scalar.

    Returns:
        [T] bool, and its reward.
    """
    actions = every_action(toy.frames.shape[1])
    rewards = toy.reward(state, actions)
    best = jnp.argmax(rewards)
    return actions[best], rewards[best]


@jax.jit
def expected_reward(toy: Toy, state: jax.Array, logits: jax.Array) -> jax.Array:
    """`E[R(a)]` over `a_t ~ Bernoulli(sigmoid(logit_t))`, the sum over all selections.

    Args:
        toy: from `make`.
        state: int32 scalar.
        logits: [T] float32.

    Returns:
        A float32 scalar; its gradient by the logits is the exact policy gradient.
    """
    actions, all_valid = every_action(logits.shape[0]), jnp.ones(logits.shape[0], bool)
    of = jax.vmap(episodes.log_probability, (None, 0, None, None))
    return jnp.sum(jnp.exp(of(logits, actions, all_valid, 'sum')) * toy.reward(state, actions))


@jax.jit
def exact_gradient(toy: Toy, state: jax.Array, logits: jax.Array) -> jax.Array:
    """`∇ E[R(a)]` by the logits.

    Args:
        toy: from `make`.
        state: int32 scalar.
        logits: [T] float32.

    Returns:
        [T] float32.
    """
    return jax.grad(expected_reward, argnums=2)(toy, state, logits)
