"""A task in the shape of gymnax's environments, for algorithms that are written for these.

Nothing of gymnax is needed: `reset`, `step` and the spaces are called and answer as there.
"""

from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp


class Task(Protocol):
    """What `selection.Selection` and `toy.Toy` are, and what else may be put into this shape."""

    def reset(self, key: chex.PRNGKey) -> jax.Array:
        """A state."""

    def observe(self, state: jax.Array) -> jax.Array:
        """[L, W] float32."""

    def reward(self, state: jax.Array, actions: jax.Array) -> jax.Array:
        """[N] float32, of [N, L] bool."""


class Box(NamedTuple):
    """Arrays of any numbers; attributes and methods as of gymnax's `spaces.Box`."""

    shape: tuple[int, ...]
    dtype: Any = jnp.float32
    low: float = -jnp.inf
    high: float = jnp.inf

    def sample(self, key: chex.PRNGKey) -> jax.Array:
        """A standard normal array: there are no bounds."""
        return jax.random.normal(key, self.shape, self.dtype)

    def contains(self, x: jax.Array) -> jax.Array:
        """Whether all elements are within the bounds."""
        return jnp.all((x >= self.low) & (x <= self.high))


class Binary(NamedTuple):
    """Selections: an array of yes and no, which gymnax has no space for.

    Attributes:
        shape: (L,).
        dtype: bool; of 0 and 1 in other types the environment takes what is not 0 for a yes.
    """

    shape: tuple[int, ...]
    dtype: Any = jnp.bool_

    def sample(self, key: chex.PRNGKey) -> jax.Array:
        """Each frame with probability 1/2."""
        return jax.random.bernoulli(key, 0.5, self.shape)

    def contains(self, x: jax.Array) -> jax.Array:
        """Whether all elements are 0 or 1."""
        return jnp.all((x == 0) | (x == 1))


class OneStep:
    """An environment whose every episode is one step; gymnax's `params` is the task itself, a pytree."""

    def __init__(self, task: Task, *, before_1: bool = False):
        """Takes a task.

        Args:
            task: what stands for `params` where none are given.
            before_1: `step` gives the five values of gymnax before 1.0, `done` for `terminated` and
                `truncated`, as many published algorithms unpack them.
        """
        self.default_params, self.before_1 = task, before_1

    @property
    def name(self) -> str:
        """The task's."""
        return type(self.default_params).__name__

    @property
    def num_actions(self) -> int:
        """L, of which each is yes or no."""
        return self.action_space().shape[0]

    def reset(self, key: chex.PRNGKey, params: Task | None = None) -> tuple[jax.Array, jax.Array]:
        """A new episode.

        Args:
            key: a typed key.
            params: the task.

        Returns:
            What is seen [L, W] float32, and the state.
        """
        task = self._task(params)
        state = task.reset(key)
        return task.observe(state), state

    def step(
        self, key: chex.PRNGKey, state: jax.Array, action: jax.Array, params: Task | None = None
    ) -> tuple[Any, ...]:
        """The one step, after which the next episode begins, as gymnax's environments do by themselves.

        Args:
            key: a typed key, of the next episode.
            state: of this one.
            action: [L] bool, the frames that are selected.
            params: the task.

        Returns:
            What is seen of the next episode and its state; the reward of this one, a float32 scalar; that it
            is terminated, and not truncated; both once more by name, with `discount`, 0.
        """
        reward = self._task(params).reward(state, action.astype(bool)[None])[0]
        info = {'terminated': jnp.array(True), 'truncated': jnp.array(False), 'discount': jnp.zeros(())}
        ends = (info['terminated'],) if self.before_1 else (info['terminated'], info['truncated'])
        return *self.reset(key, params), reward, *ends, info

    def observation_space(self, params: Task | None = None) -> Box:
        """[L, W] without bounds."""
        seen, _ = jax.eval_shape(lambda key: self.reset(key, params), jax.random.key(0))
        return Box(seen.shape)

    def action_space(self, params: Task | None = None) -> Binary:
        """[L] of yes and no."""
        return Binary(self.observation_space(params).shape[:1])

    def _task(self, params: Task | None) -> Task:
        return self.default_params if params is None else params
