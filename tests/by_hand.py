"""The method written a second time, in float64 numpy: what one step of each training is compared with.

One segment at a time, no padding tricks, no automatic gradients: a gradient is a central difference.
"""

import jax
import numpy as np
import optax

from trsum_jax.data.records import Video
from trsum_jax.method import rewards

HEADS, WIDTH = 2, 5


def videos() -> list[Video]:
    """Four videos of random features, one frame a step, in shots of 2, 3 and the rest."""
    rng = np.random.default_rng(0)
    found = []
    for i, n in enumerate((5, 8, 4, 9)):
        shots = np.array([[0, 1], [2, min(4, n - 1)], [5, n - 1]][: 2 + (n > 5)])
        features = rng.standard_normal((n, WIDTH)).astype(np.float32)
        found.append(Video(f'video_{i}', np.arange(n), n, features, shots))
    return found


def exact(tree):
    """A copy in float64."""
    return jax.tree.map(lambda leaf: np.array(leaf, np.float64), tree)


# The networks; `p` holds the parameters of one run, by the names that the modules give them.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(p, x):
    return x @ p['kernel'] + p.get('bias', 0)


def layer_norm(p, x):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-6) * p['scale'] + p['bias']


def gelu(x):
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def attention(p, x):
    query, key, value = np.split(dense(p['query_key_value'], x), 3, axis=1)
    mixed = []
    for head in np.split(np.arange(x.shape[1]), HEADS):
        odds = np.exp(query[:, head] @ key[:, head].T / np.sqrt(len(head)))
        mixed.append(odds / odds.sum(axis=1, keepdims=True) @ value[:, head])
    return dense(p['out'], np.concatenate(mixed, axis=1))


def encoder(p, x, blocks=1):
    """Pre-norm blocks on sinusoidal positions; x [n, D] holds the valid frames alone."""
    x = dense(p['map_in'], x)
    column = np.arange(x.shape[1])
    angle = np.arange(len(x))[:, None] / 10000 ** (column // 2 * 2 / x.shape[1])
    x = x + np.where(column % 2, np.cos(angle), np.sin(angle))
    for i in range(blocks):
        block = p[f'block_{i}']
        x = x + attention(block['attention'], layer_norm(block['norm_attention'], x))
        x = x + dense(block['narrow'], gelu(dense(block['widen'], layer_norm(block['norm_feed_forward'], x))))
    return x


def generator(p, frames, hidden, centred=True, scale=WIDTH**0.5):
    """Rebuilds all n frames; a hidden one shows zeros, which stand for the mean of the others."""
    mean = frames[~hidden].sum(axis=0) / max((~hidden).sum(), 1) if centred else 0
    x = np.where(hidden[:, None], 0, (frames - mean) * scale)
    return dense(p['map_out'], encoder(p['encoder'], x)) / scale + mean


def summarizer(p, frames, centred=True, scale=WIDTH**0.5, blocks=1):
    """Logits of p_t."""
    mean = frames.mean(axis=0) if centred else 0
    return dense(p['score'], encoder(p['encoder'], (frames - mean) * scale, blocks))[:, 0]


def lstm(p, x, name='0'):
    """Hidden states of every step; gates in the order i, f, g, o."""
    kernel = p[f'recurrent_0_{name}']
    hidden = cell = np.zeros(len(kernel))
    found = []
    for projected in dense(p[f'input_0_{name}'], x):
        i, f, g, o = np.split(projected + hidden @ kernel, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        found.append(hidden)
    return np.array(found)


def both_ways(p, x):
    return np.concatenate([lstm(p, x, '0'), lstm(p, x[::-1], '1')[::-1]], axis=1)


# Losses and what follows from them.


def frame_losses(frames, rebuilt):
    lengths = np.linalg.norm(frames, axis=1) * np.linalg.norm(rebuilt, axis=1)
    return np.abs(frames - rebuilt).mean(axis=1) + 1 - (frames * rebuilt).sum(axis=1) / lengths


def log_probability(logits, action):
    p = sigmoid(logits)
    return np.log(np.where(action, p, 1 - p))


def gradient(loss, params, step=1e-5):
    """Central differences of `loss(params)`, one number of one float64 array after another."""

    def of_leaf(leaf):
        found = np.zeros_like(leaf)
        for i in np.ndindex(leaf.shape):
            middle = leaf[i]
            leaf[i] = middle + step
            above = loss(params)
            leaf[i] = middle - step
            found[i] = (above - loss(params)) / (2 * step)
            leaf[i] = middle
        return found

    return jax.tree.map(of_leaf, params)


# The optimizers.


def norm(tree):
    return np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(tree)))


def clipped(grads, most):
    length = norm(grads)
    return jax.tree.map(lambda g: g * min(1, most / length), grads)


def adam(grads, moments):
    """The direction, and the moments after it."""
    count = moments['count'] + 1
    mu = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments['mu'], grads)
    nu = jax.tree.map(lambda n, g: 0.999 * n + 0.001 * g**2, moments['nu'], grads)
    direction = jax.tree.map(
        lambda m, n: m / (1 - 0.9**count) / (np.sqrt(n / (1 - 0.999**count)) + 1e-8), mu, nu
    )
    return direction, {'count': count, 'mu': mu, 'nu': nu}


def rate_at(progress, settings):
    """Up in a line over the warm-up, then down along half a cosine; `progress` in epochs."""
    warmup = settings.warmup * settings.epochs
    if progress < warmup:
        return settings.learning_rate * progress / warmup
    return settings.learning_rate * (1 + np.cos(np.pi * (progress - warmup) / (settings.epochs - warmup))) / 2


def adamw(params, grads, moments, settings, progress):
    """Clip, Adam, weight decay beside it: parameters and moments after."""
    direction, moments = adam(clipped(grads, settings.clip), moments)
    rate = rate_at(progress, settings)
    after = jax.tree.map(lambda p, d: p - rate * (d + settings.weight_decay * p), params, direction)
    return after, moments


def adam_l2(params, grads, moments, settings, rate):
    """Clip, weight decay within the gradient, Adam at a constant rate."""
    grads = jax.tree.map(lambda g, p: g + settings.weight_decay * p, clipped(grads, settings.clip), params)
    direction, moments = adam(grads, moments)
    return jax.tree.map(lambda p, d: p - rate * d, params, direction), moments


# States as in the middle of a training, where nothing is 0, or 1, or the same everywhere.


def moved(params, rng):
    """Parameters some way from where they were."""
    return jax.tree.map(lambda leaf: leaf + np.float32(0.2) * drawn(leaf, rng), params)


def on_the_way(optimizer, rng):
    """An optimizer's state after 7 steps."""
    mu = jax.tree.map(lambda leaf: np.float32(0.03) * drawn(leaf, rng), optax.tree.get(optimizer, 'mu'))
    nu = jax.tree.map(lambda leaf: np.float32(1e-3) * (1 + drawn(leaf, rng) ** 2), mu)
    return optax.tree.set(optimizer, count=np.int32(7), mu=mu, nu=nu)


def midway(state, rng):
    """The state of a stage with other parameters and moments."""
    return state._replace(params=moved(state.params, rng), optimizer=on_the_way(state.optimizer, rng))


def drawn(leaf, rng):
    return rng.standard_normal(leaf.shape).astype(np.float32)


def moments_of(optimizer):
    """As `adam` takes them."""
    return {name: exact(optax.tree.get(optimizer, name)) for name in ('count', 'mu', 'nu')}


def assert_near(found, expected):
    """Of two trees: equal but for the rounding of float32."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), exact(found), expected)


def reconstruction_reward(*episode, **how):
    """The reward alone of `rewards.reward_and_parts`."""
    return rewards.reward_and_parts(*episode, **how)[0]
