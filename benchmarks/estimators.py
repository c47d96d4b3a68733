"""Bias, variance and cost of every estimator: `python -m benchmarks.estimators [--json=FILE] [--only=A,B]`.

What each does to reward and rank correlation is the study `configs/studies/estimators.py`.
"""

import argparse
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
from benchmarks.agreeing import agreement, of_truth
from benchmarks.whole_epoch import compile_epoch
from configs import demo
from configs.studies.estimators import VARIANTS
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.splits import disjoint_folds
from trsum_jax.errors import InputError
from trsum_jax.experiment import config as door
from trsum_jax.experiment.bench import trials
from trsum_jax.experiment.bench.estimating import repeated
from trsum_jax.method import episodes, estimators
from trsum_jax.method.policies import subsets
from trsum_jax.method.rewards import reward_and_parts, unselected
from trsum_jax.runtime.fields import is_path
from trsum_jax.training import corpus, grid, runs, trsum
from trsum_jax.training.epoch import Stage

LENGTH, EPISODES, SEEDS, EPOCHS = 128, 5, (0, 1), 12
SMALL, SMALL_DRAWS = 4, 100_000
SEGMENTS, DRAWS, REFERENCE = 2, 120, 48
ROUNDS = 5
# How far the logits are from those that drew, root mean square, where episodes serve several updates.
MOVED = 0.1


def config_of(fields: dict[str, Any], length: int = LENGTH) -> Any:
    """The demo at the paper's segment length, or another, with a variant's fields."""
    config = demo.get_config('reconstruction')
    config.decomposition.length = length
    config.summarizer.update({'episodes': EPISODES, 'epochs': EPOCHS} | fields)
    return config


def chosen(names: list[str]) -> dict[str, dict[str, Any]]:
    """The study's variants of these names, and estimators by import path.

    Args:
        names: of `VARIANTS`, or `MODULE:NAME` each.

    Returns:
        By name, the fields of the summarizer.

    Raises:
        InputError: no such name, or a function that cannot be used.
    """
    if unknown := [name for name in names if name not in VARIANTS and not is_path(name)]:
        raise InputError(
            f'--only: expected names of {", ".join(VARIANTS)}, or MODULE:NAME of your own, found '
            f'{", ".join(unknown) or "none"}'
        )
    variants = {name: VARIANTS.get(name, {'estimator': name}) for name in names}
    for fields in variants.values():
        for length in (LENGTH, SMALL):
            trials.try_functions(config_of(fields, length))
    return variants


def gradient_of(fields: dict[str, Any], rewards_of: Callable, level: Any, valid: Any) -> Callable:
    """(key, logits) -> one estimate of the gradient by them, at the end of its annealing.

    Of a variant of several updates it is that of a later one: by episodes of a policy `MOVED` away.
    """
    settings = config_of(fields).summarizer
    estimate = door.estimator(settings)
    segment = types.SimpleNamespace(valid=valid)
    now = episodes.Baseline(level, jnp.array(True)), EPOCHS, settings

    def own(key, logits):
        return estimate(key, logits, segment, rewards_of, *now)

    def later(key, logits):
        away = MOVED * jax.random.normal(jax.random.key(6), logits.shape)
        first = own(key, jax.lax.stop_gradient(logits) + away)
        return repeated(settings)(first, logits, segment, settings)

    def one(key, logits):
        found = later if settings.updates > 1 else own
        return -jax.grad(lambda x: found(key, x).surrogate)(logits)

    return one


def of_one_size(fields: dict[str, Any]) -> bool:
    """Whether a variant's policy takes a fixed number of frames: its gradient is another."""
    return fields.get('estimator') == 'subsets'


def is_chain(fields: dict[str, Any]) -> bool:
    """Whether a variant's policy has a coupling beside each logit."""
    return fields.get('estimator') == 'markov'


def bias(fields: dict[str, Any]) -> dict[str, float]:
    """Distance of the mean estimate from the exact gradient at T = 4, over its norm, and what is noise."""
    weights = jnp.array([1.0, 2.0, -0.5, 3.0])

    def reward(action):
        return jax.nn.sigmoid(jnp.sin(action @ weights) + 0.7 * action[0] * action[2])

    def outcome(actions):
        rewards = jax.vmap(reward)(actions.astype(jnp.float32))
        return estimators.Outcome(rewards, jnp.broadcast_to(rewards[:, None] / SMALL, actions.shape))

    actions = jnp.array(list(itertools.product([0.0, 1.0], repeat=SMALL)))

    size = config_of(fields).summarizer.share * SMALL
    possible = (jnp.sum(actions, axis=1) == size) if of_one_size(fields) else jnp.ones(len(actions), bool)

    # Of the frame before: 1 selected, -1 not, 0 none.
    before = jnp.pad(2 * actions[:, :-1] - 1, ((0, 0), (1, 0)))

    def expected(logits):
        given = logits[None, :, 0] + before * logits[None, :, 1] if is_chain(fields) else logits[None]
        p = jax.nn.sigmoid(given)
        probability = jnp.where(possible, jnp.prod(jnp.where(actions > 0, p, 1 - p), axis=1), 0.0)
        return jnp.sum(probability * jax.vmap(reward)(actions)) / jnp.sum(probability)

    logits = jnp.array([0.3, -1.2, 0.8, 0.1])
    if is_chain(fields):
        logits = jnp.stack([logits, jnp.array([0.0, 0.5, -1.0, 0.8])], axis=1)
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
        states, epoch = grid.init(first, self.runs, ()), compile_epoch(first, 'map')
        for number in range(config.generator.epochs):
            states, _ = epoch(states, np.int32(number), self.corpus, self.runs, ())
        self.frozen = states.params

    def stage(self, fields: dict[str, Any]) -> Stage:
        """Stage 2 of a variant."""
        return door.bind(config_of(fields), self.width, len(self.videos)).stages[1]

    def cost(self, variants: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
        """Milliseconds of a step, each variant in turn, and the ratio to the first's in its round."""
        steps = {name: compile_epoch(self.stage(fields), 'map') for name, fields in variants.items()}
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

    def variance(
        self, variants: dict[str, dict[str, Any]]
    ) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
        """`agreement` of every variant, and `of_truth`, each the mean over segments."""
        params = jax.tree.map(lambda x: x[0], self.frozen)
        heads = trsum.summarizer_params(self.bound.second, jax.random.key(4), params)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
        about = []
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

            every = functools.partial(jax.lax.map, outcome)
            flips = _by_flips(outcome, logits, segment.valid)
            about.append(of_truth(flips[0]))
            for name, fields in variants.items():
                own = of_one_size(fields)
                slopes, level = _by_episodes(fields, every, logits, segment.valid) if own else flips
                one = gradient_of(fields, every, level, segment.valid)
                if is_chain(fields):
                    one = functools.partial(_by_score, one)
                drawn = _draws(one, logits, DRAWS, seed=2)
                known = {'known': of_truth(slopes)['known']}
                found[name].append(agreement(drawn, slopes.mean(axis=0)) | known)
        return {name: _mean(of) for name, of in found.items()}, _mean(about)


def _by_score(one: Callable, key: Any, logits: Any) -> Any:
    """Of a chain as it starts, uncoupled, the estimate [L] by φ: there its gradient is the Bernoulli's."""
    return one(key, jnp.stack([logits, jnp.zeros(logits.shape)], axis=1))[:, 0]


def _draws(one: Callable, logits: Any, n: int, seed: int) -> np.ndarray:
    """[n, L], single estimates."""
    keys = jax.random.split(jax.random.key(seed), n)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(lambda key: one(key, logits), keys))(keys))


def _mean(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([one[key] for one in found])) for key in found[0]}


def _by_flips(outcome: Callable, logits: Any, valid: Any) -> tuple[np.ndarray, Any]:
    """[K, L], the gradient by each of K actions, and the mean reward.

    It is `p (1 - p) (R(a, a_t = 1) - R(a, a_t = 0))` at every frame; its mean over actions is nearly free of
    noise beside the others, as every frame is flipped in every action drawn.
    """
    actions = episodes.sample(jax.random.key(9), logits, valid, REFERENCE)
    diagonal = jnp.eye(LENGTH, dtype=bool)

    def both(action):
        rewards = jax.vmap(lambda flip: outcome(action ^ flip).rewards)(diagonal)
        own = outcome(action).rewards
        return jnp.where(action, own - rewards, rewards - own), own

    slopes, rewards = jax.jit(lambda a: jax.lax.map(both, a))(actions)
    p = jax.nn.sigmoid(logits)
    return np.asarray(slopes) * np.asarray(p * (1 - p)), jnp.mean(rewards)


def _by_episodes(
    fields: dict[str, Any], rewards_of: Callable, logits: Any, valid: Any
) -> tuple[np.ndarray, Any]:
    """What `_by_flips` gives, of a policy of one size, in which no single frame can be flipped.

    As many evaluations, all as episodes, with the mean of the others as the baseline.
    """
    size = subsets.subset_size(valid, config_of(fields).summarizer.share)
    actions = subsets.sample_subsets(jax.random.key(9), logits, valid, size, REFERENCE)
    level = jnp.mean(jax.jit(rewards_of)(actions).rewards)
    more = {'episodes': LENGTH, 'baseline': 'leave_one_out'}
    return _draws(gradient_of(fields | more, rewards_of, level, valid), logits, REFERENCE, seed=8), level


def rows(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a variant, for the table."""
    return [
        {
            'estimator': name,
            'bias, T = 4': f'{one["bias"]:.3f} (noise {one["bias_se"]:.3f})',
            'variance': one['variance'],
            'cosine': one['cosine'],
            'of the mean': one['mean_cosine'],
            'variance, centred': one['centred_variance'],
            'cosine, centred': one['centred_cosine'],
            'of the mean, centred': one['centred_mean_cosine'],
            'ms a step': one['ms'],
            'cost': one['cost'],
        }
        for name, one in found.items()
    ]


def main(argv: list[str]) -> None:
    """Measures all variants and prints the table."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.estimators')
    parser.add_argument('--json', default='', help='write the figures here too')
    text = 'of the variants these, or estimators of your own as MODULE:NAME, with commas; costs by the first'
    parser.add_argument('--only', default='', help=text)
    flags = parser.parse_args(argv)
    try:
        variants = chosen(flags.only.split(',')) if flags.only else VARIANTS
    except InputError as error:
        parser.error(str(error))
    found = {name: bias(fields) for name, fields in variants.items()}
    print({name: round(one['bias'], 4) for name, one in found.items()}, flush=True)
    trained = Trained()
    agree, truth = trained.variance(variants)
    for name, more in agree.items():
        found[name] |= more
        print(name, more, flush=True)
    for name, more in trained.cost(variants).items():
        found[name] |= more
    print(f'\n{measure.table(rows(found))}')
    print(
        f'\ncosine of a constant with the gradient: {truth["constant"]:.3f}; centred gradient: halves of the '
        f'actions agree by {truth["halves"]:.3f}, all of them with one without noise by {truth["known"]:.3f}'
    )
    for name, fields in variants.items():
        if of_one_size(fields):
            known = found[name]['known']
            print(f'{name}: its own centred gradient agrees with one without noise by {known:.3f}')
    measure.write(flags.json, 'estimators', {'variants': found, 'truth': truth})


if __name__ == '__main__':
    main(sys.argv[1:])
