"""Bias, variance and cost of every estimator: `python -m benchmarks.estimators [--json=FILE]`.

What each does to reward and rank correlation is the study `configs/studies/estimators.py`.
"""

import functools
import itertools
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import measure
from configs import demo
from configs.studies.estimators import VARIANTS
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.splits import disjoint_folds
from trsum_jax.experiment import config as door
from trsum_jax.method import episodes, estimators
from trsum_jax.method.rewards import reward_and_parts, unselected
from trsum_jax.training import corpus, grid, runs, trsum
from trsum_jax.training.epoch import Stage

LENGTH, EPISODES, SEEDS, EPOCHS = 128, 5, (0, 1), 12
SMALL, SMALL_DRAWS = 4, 100_000
SEGMENTS, DRAWS, REFERENCE = 2, 120, 48
ROUNDS = 5


def config_of(fields: dict[str, Any]) -> Any:
    """The demo at the paper's segment length, with a variant's fields."""
    config = demo.get_config()
    config.decomposition.length = LENGTH
    config.summarizer.update({'episodes': EPISODES, 'epochs': EPOCHS} | fields)
    return config


def gradient_of(fields: dict[str, Any], rewards_of: Callable, level: Any, valid: Any) -> Callable:
    """(key, logits) -> one estimate [L] of the gradient, at the end of its annealing."""
    estimate = door.estimator(config_of(fields).summarizer)
    segment = types.SimpleNamespace(valid=valid)
    baseline = episodes.Baseline(level, jnp.array(True))

    def one(key, logits):
        return -jax.grad(lambda x: estimate(key, x, segment, rewards_of, baseline, EPOCHS).surrogate)(logits)

    return one


def bias(fields: dict[str, Any]) -> dict[str, float]:
    """Distance of the mean estimate from the exact gradient at T = 4, over its norm, and what is noise."""
    weights = jnp.array([1.0, 2.0, -0.5, 3.0])

    def reward(action):
        return jax.nn.sigmoid(jnp.sin(action @ weights) + 0.7 * action[0] * action[2])

    def outcome(actions):
        rewards = jax.vmap(reward)(actions.astype(jnp.float32))
        return estimators.Outcome(rewards, jnp.broadcast_to(rewards[:, None] / SMALL, actions.shape))

    actions = jnp.array(list(itertools.product([0.0, 1.0], repeat=SMALL)))

    def expected(logits):
        p = jax.nn.sigmoid(logits)[None]
        return jnp.sum(jnp.prod(jnp.where(actions > 0, p, 1 - p), axis=1) * jax.vmap(reward)(actions))

    logits = jnp.array([0.3, -1.2, 0.8, 0.1])
    exact = jax.grad(expected)(logits)
    one = gradient_of(fields | {'credit_radius': 1}, outcome, expected(logits), jnp.ones(SMALL, bool))
    found = jax.jit(jax.vmap(one, (0, None)))(jax.random.split(jax.random.key(1), SMALL_DRAWS), logits)
    norm = jnp.linalg.norm(exact)
    noise = jnp.sqrt(jnp.sum(jnp.var(found, axis=0)) / SMALL_DRAWS)
    return {
        'bias': float(jnp.linalg.norm(jnp.mean(found, axis=0) - exact) / norm),
        'bias_se': float(noise / norm),
    }


class Trained:
    """The demo's data with a generator trained on them, one fold and `SEEDS`."""

    def __init__(self):
        config = config_of({})
        self.videos = generate(Recipe(**config.data.synthetic))
        keys = [video.key for video in self.videos]
        self.folds = disjoint_folds(keys, 3, 0)[:1]
        self.width = self.videos[0].features.shape[1]
        self.corpus = corpus.build(self.videos, LENGTH, tuple(config.decomposition.views))
        self.runs = runs.make_runs(runs.places(SEEDS, 1), self.folds, keys, self.corpus)
        self.bound = door.bind(config, self.width, len(self.videos))
        self.generator, self.summarizer = self.bound.generator, self.bound.summarizer
        first, _ = self.bound.stages
        states, epoch = grid.init(first, self.runs, ()), grid.compile_epoch(first, 'map')
        for number in range(config.generator.epochs):
            states, _ = epoch(states, np.int32(number), self.corpus, self.runs, ())
        self.frozen = states.params

    def stage(self, fields: dict[str, Any]) -> Stage:
        """Stage 2 of a variant."""
        return door.bind(config_of(fields), self.width, len(self.videos)).stages[1]

    def cost(self, variants: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
        """Milliseconds of a step, each variant in turn, and the ratio to the first's in its round."""
        steps = {name: grid.compile_epoch(self.stage(fields), 'map') for name, fields in variants.items()}
        n_steps = len(SEEDS) * -(-self.runs.segments.shape[1] // config_of({}).summarizer.batch)
        times = {name: [] for name in variants}
        for _ in range(ROUNDS + 1):
            for name, step in steps.items():
                states = grid.init(self.stage(variants[name]), self.runs, self.frozen)
                jax.block_until_ready(states)
                started = time.perf_counter()
                jax.block_until_ready(step(states, np.int32(0), self.corpus, self.runs, self.frozen))
                times[name].append(time.perf_counter() - started)
        first = np.array(next(iter(times.values())))[1:]
        return {
            name: {
                'ms': 1e3 * float(np.median(of[1:])) / n_steps,
                'cost': float(np.median(np.array(of[1:]) / first)),
            }
            for name, of in times.items()
        }

    def variance(self, variants: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
        """Variance of one estimate over the squared norm of the gradient, and its cosine with it."""
        params = jax.tree.map(lambda x: x[0], self.frozen)
        heads = trsum.summarizer_params(self.bound.second, jax.random.key(4), params)
        found = {name: [] for name in variants}
        whole = np.flatnonzero(np.asarray(self.corpus.valid).all(axis=1))[:SEGMENTS]
        for at in whole:
            segment = corpus.gather(self.corpus, at)
            logits = self.summarizer.apply({'params': heads}, segment.frames, segment.valid)

            def outcome(action, segment=segment):
                hidden = unselected(action)
                rebuilt = self.generator.apply({'params': params}, segment.frames, segment.valid, hidden)
                how = {'reconstruct': 'composed', 'over': 'all'}
                return estimators.Outcome(
                    *reward_and_parts(segment.frames, segment.valid, action, rebuilt, **how)
                )

            truth, level = _by_flips(outcome, logits, segment.valid)
            for name, fields in variants.items():
                every = functools.partial(jax.lax.map, outcome)
                one = gradient_of(fields, every, level, segment.valid)
                keys = jax.random.split(jax.random.key(2), DRAWS)
                drawn = np.asarray(
                    jax.jit(lambda k, x, f=one: jax.lax.map(lambda i: f(i, x), k))(keys, logits)
                )
                middle = drawn.mean(axis=0)
                cosines = drawn @ truth / np.linalg.norm(drawn, axis=1) / np.linalg.norm(truth)
                found[name].append(
                    {
                        'variance': drawn.var(axis=0, ddof=1).sum() / (truth @ truth),
                        'cosine': cosines.mean(),
                        'mean_cosine': middle @ truth / np.linalg.norm(middle) / np.linalg.norm(truth),
                    }
                )
        return {
            name: {key: float(np.mean([one[key] for one in of])) for key in of[0]}
            for name, of in found.items()
        }


def _by_flips(outcome: Callable, logits: Any, valid: Any) -> tuple[np.ndarray, Any]:
    """The gradient and the mean reward, by `p (1 - p) (R(a, a_t = 1) - R(a, a_t = 0))` at every frame.

    Nearly free of noise beside the others, as every frame is flipped in every action drawn.
    """
    actions = episodes.sample(jax.random.key(9), logits, valid, REFERENCE)
    diagonal = jnp.eye(LENGTH, dtype=bool)

    def both(action):
        rewards = jax.vmap(lambda flip: outcome(action ^ flip).rewards)(diagonal)
        own = outcome(action).rewards
        return jnp.where(action, own - rewards, rewards - own), own

    slopes, rewards = jax.jit(lambda a: jax.lax.map(both, a))(actions)
    p = jax.nn.sigmoid(logits)
    return np.asarray(jnp.mean(slopes, axis=0) * p * (1 - p)), jnp.mean(rewards)


def rows(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a variant, for the table."""
    return [
        {
            'estimator': name,
            'bias, T = 4': f'{one["bias"]:.3f} (noise {one["bias_se"]:.3f})',
            'variance': one['variance'],
            'cosine': one['cosine'],
            'cosine of the mean': one['mean_cosine'],
            'ms a step': one['ms'],
            'cost': one['cost'],
        }
        for name, one in found.items()
    ]


def main(argv: list[str]) -> None:
    """Measures all variants and prints the table."""
    path = measure.parse_json_flag(argv, 'estimators')
    found = {name: bias(fields) for name, fields in VARIANTS.items()}
    print({name: round(one['bias'], 4) for name, one in found.items()}, flush=True)
    trained = Trained()
    for name, more in trained.variance(VARIANTS).items():
        found[name] |= more
        print(name, more, flush=True)
    for name, more in trained.cost(VARIANTS).items():
        found[name] |= more
    print(f'\n{measure.table(rows(found))}')
    measure.write(path, 'estimators', {'variants': found})


if __name__ == '__main__':
    main(sys.argv[1:])
