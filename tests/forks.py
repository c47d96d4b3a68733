"""A fork's three files, as the pages have them; and a foreign algorithm, a plain PPO in gymnax's shape."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import page_blocks

FILES = {
    'flips': ('estimators.md', 'def flip('),
    'quarters': ('rewards.md', 'def quarters('),
    'study': ('forks.md', 'def get_config('),
}


def write(folder: pathlib.Path) -> None:
    """Writes the three files."""
    for name, place in FILES.items():
        (folder / f'{name}.py').write_text(page_blocks.holding(*place), 'utf-8')


def ppo(env, params, key, *, updates, batch=64, epochs=4, hidden=32, rate=1e-2, clip=0.2):
    """Trains a network of one hidden layer, to be compiled whole.

    Returns:
        The mean reward of every update, whether all episodes ended, and the weights for `net`.
    """
    shape, n_actions = env.observation_space(params).shape, env.action_space(params).shape[0]
    sizes = (int(np.prod(shape)), hidden), (hidden, n_actions), (hidden, 1)
    weight_key, key = jax.random.split(key)
    keys = jax.random.split(weight_key, len(sizes))
    weights = [jax.random.normal(k, size) / size[0] ** 0.5 for k, size in zip(keys, sizes, strict=True)]
    adam = optax.adam(rate)

    def log_probability(logits, actions):
        return jnp.sum(jax.nn.log_sigmoid(jnp.where(actions, logits, -logits)), axis=1)

    def loss(weights, seen, actions, reward, before, advantage):
        logits, value = net(weights, seen)
        ratio = jnp.exp(log_probability(logits, actions) - before)
        clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
        gain = jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
        return jnp.mean((value - reward) ** 2) - gain

    def update(now, key):
        reset_key, action_key, step_key = jax.random.split(key, 3)
        seen, states = jax.vmap(env.reset, (0, None))(jax.random.split(reset_key, batch), params)
        logits, value = net(now[0], seen)
        actions = jax.random.uniform(action_key, logits.shape) < jax.nn.sigmoid(logits)
        step = jax.vmap(env.step, (0, 0, 0, None))
        _, _, reward, ended, _, _ = step(jax.random.split(step_key, batch), states, actions, params)
        advantage = (reward - value) / (jnp.std(reward - value) + 1e-6)
        data = seen, actions, reward, log_probability(logits, actions), advantage

        def learn(now, _):
            weights, moments = now
            changes, moments = adam.update(jax.grad(loss)(weights, *data), moments)
            return (optax.apply_updates(weights, changes), moments), None

        return jax.lax.scan(learn, now, None, epochs)[0], (jnp.mean(reward), jnp.all(ended))

    now = weights, adam.init(weights)
    (weights, _), (rewards, ended) = jax.lax.scan(update, now, jax.random.split(key, updates))
    return rewards, jnp.all(ended), weights


def net(weights, seen):
    """Logits [B, L] and values [B] of what is seen [B, L, W]."""
    inner = jnp.tanh(seen.reshape(seen.shape[0], -1) @ weights[0])
    return inner @ weights[1], (inner @ weights[2])[:, 0]
