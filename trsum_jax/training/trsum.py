"""TR-SUM's two stages: of each the `init` and the `step` of one run, as pure functions.

A run is one fold with one seed. What the config says is bound before (`Pretraining`, `Reinforcement`).
Nothing here knows of a grid: `training.grid` adds the run axis, and `training.epoch` calls the steps.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from trsum_jax.data.standard import Standard
from trsum_jax.method import episodes, losses, masking
from trsum_jax.method.estimators import Estimate, Outcome
from trsum_jax.method.models import Generator, Summarizer
from trsum_jax.method.rewards import unselected
from trsum_jax.training.corpus import Corpus, Segment, frames_at, gather
from trsum_jax.training.epoch import Batch, Stage
from trsum_jax.training.runs import MaskingNumbers, PolicyNumbers, Run, own, stream
from trsum_jax.training.steps import Optimizer, apply, gradients, over

ADVANTAGE_UNITS = ('reward', 'spread', 'group')
# Of stage 1: the generator's, and those of two reconstructions that need none (`compare`).
LOSSES = ('loss', 'loss_segment_mean', 'loss_copy_nearest')
# Of stage 2: of a segment, beside what an estimator tells itself; and of a step.
TOLD, NORM = ('reward', 'reward_std', 'advantage_rms', 'p_mean', 'p_std', 'penalty'), 'gradient_norm'


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """What stage 1 is made of.

    Attributes:
        generator: the module.
        width: D.
        length: L.
        windows: (key, valid [L], shot [L], `MaskingNumbers`) -> [L] int32, as the strategies of
            `method.masking`.
        numbers: of the masking.
        everywhere: whether the loss is over all valid frames, not over the candidates alone.
        most: frames that are compared in a segment, at most.
        optimizer: of the generator.
        batch: B, segments in a step.
        at_once: segments at a time.
        shards: devices that share a batch (`sharding.DATA`).
    """

    generator: Generator
    width: int
    length: int
    windows: Callable[..., chex.Array]
    numbers: MaskingNumbers
    everywhere: bool
    most: int
    optimizer: Optimizer
    batch: int
    at_once: int
    shards: int = 1


@dataclasses.dataclass(frozen=True)
class Reinforcement:
    """What stage 2 is made of.

    Attributes:
        summarizer: the module that learns.
        generator: the frozen module; its parameters are the stage's `frozen`.
        width: D.
        length: L.
        n_videos: V, for the baselines.
        view: (keys [B], frames [B, L, D]) -> what the summarizer sees of them.
        loss: `policy_loss`, or a variation of it for a summarizer that gives more than logits.
        estimate: (key, logits, segment, rewards_of, baseline, progress, `PolicyNumbers`) -> `Estimate`,
            an estimator of `method.estimators` with its options bound.
        reward: (frames, valid, action, reconstruction, shot, change, side) -> reward and parts, as
            `reward_terms.weighted_sum`.
        penalty: (logits of p [L], valid [L], share) -> scalar.
        bonus: (logits, valid [L]) -> scalar, what the loss has less of, such as the policy's entropy.
        numbers: share δ, weights of the penalty (β) and of the bonus, momentum of the baselines,
            and what estimators have of their own.
        baseline_start: `first` or `zero`.
        in_units: whether advantages are divided by their own spread, a moving average over the run.
        from_generator: whether the encoder starts with the generator's weights.
        optimizer: of the summarizer.
        batch: B, segments in a step.
        at_once: segments at a time.
        how: the episodes' layout, `map` or `vmap`.
        shards: devices that share a batch (`sharding.DATA`).
    """

    summarizer: Summarizer
    generator: Generator
    width: int
    length: int
    n_videos: int
    view: Callable[[chex.PRNGKey, chex.Array], chex.Array]
    loss: Callable[..., tuple[chex.Array, dict[str, chex.Array]]]
    estimate: Callable[..., Estimate]
    reward: Callable[..., tuple[chex.Array, chex.Array]]
    penalty: Callable[..., chex.Array]
    bonus: Callable[..., chex.Numeric]
    numbers: PolicyNumbers
    baseline_start: str
    in_units: bool
    from_generator: bool
    optimizer: Optimizer
    batch: int
    at_once: int
    how: str
    shards: int = 1


class GeneratorState(NamedTuple):
    """Stage 1: parameters and optimizer state."""

    params: Any
    optimizer: Any


class SummarizerState(NamedTuple):
    """Stage 2: parameters, optimizer state, and the baseline of every video.

    `generator` is empty; where the generator goes on learning (`variations.unfrozen`) it holds its parameters
    and optimizer state. `spread` is empty where advantages are in the reward's unit. `standard` is the run's,
    kept to score other videos by.
    """

    params: Any
    optimizer: Any
    baseline: episodes.Baseline
    generator: tuple[Any, ...] = ()
    spread: episodes.Baseline | tuple[()] = ()
    standard: Standard | tuple[()] = ()


def generator_stage(setup: Pretraining) -> Stage:
    """Stage 1: the generator learns to reconstruct corrupted segments, by default their candidate frames.

    Args:
        setup: what it is made of.

    Returns:
        The stage. Its metrics: `loss`, and for the same frames the loss of the two trivial
        reconstructions, `loss_segment_mean` and `loss_copy_nearest`.
    """
    init, step = functools.partial(start_generator, setup), functools.partial(generator_step, setup)
    return Stage('generator', 'generator', setup.batch, init, step, LOSSES, sees=lambda run: run)


def start_generator(setup: Pretraining, run: Run, frozen: tuple[()]) -> GeneratorState:
    """Random parameters."""
    del frozen
    length = setup.length
    blank = jnp.zeros((length, setup.width)), jnp.ones(length, bool), jnp.zeros(length, bool)
    params = setup.generator.init(stream(run.key, 'generator init'), *blank)['params']
    return GeneratorState(params, setup.optimizer.init(params))


def generator_step(
    setup: Pretraining, state: GeneratorState, batch: Batch, corpus: Corpus, run: Run, frozen: tuple[()]
):
    """A step of stage 1: corrupt, reconstruct, compare, learn."""
    del frozen
    corpus, numbers = corpus._replace(standard=run.standard), own(setup.numbers, 'masking', run)

    def loss(params, chosen, keys):
        segments = jax.vmap(gather, (None, 0))(corpus, chosen)
        return reconstruction_losses(setup, params, segments, keys, corpus, numbers)

    items = batch.segments, batch.keys
    grads, metrics = gradients(loss, state.params, items, batch.weight, setup.at_once, setup.shards)
    rates = own(setup.optimizer.rates, 'generator', run)
    params, moments = setup.optimizer.update(state.params, state.optimizer, grads, batch.progress, rates)
    return GeneratorState(params, moments), metrics


def reconstruction_losses(
    setup: Pretraining,
    params: Any,
    batch: Segment,
    keys: chex.PRNGKey,
    corpus: Corpus,
    numbers: MaskingNumbers,
):
    """The loss of every segment [B], and the metrics [B] each."""
    window_keys, fate_keys, dropout_keys = jax.vmap(functools.partial(jax.random.split, num=3))(keys).T
    each = jax.vmap(functools.partial(corrupted_segment, setup, numbers, corpus))
    shown, masked, compared, wanted = each(batch, window_keys, fate_keys)
    rebuilt = apply(setup.generator, params, dropout_keys, shown, batch.valid, masked, wanted)
    metrics = jax.vmap(compare)(batch, shown, masked, compared, wanted, rebuilt)
    return metrics['loss'], metrics


def corrupted_segment(
    setup: Pretraining,
    numbers: MaskingNumbers,
    corpus: Corpus,
    segment: Segment,
    window_key: chex.PRNGKey,
    fate_key: chex.PRNGKey,
):
    """What the generator sees of a segment [L, D], what is masked, what is compared, and where that is."""
    window = setup.windows(window_key, segment.valid, segment.shot, numbers)
    fate = masking.corrupt(fate_key, window, segment.n_steps, mask=numbers.mask, replace=numbers.replace)
    shown = jnp.where(fate.replaced[:, None], frames_at(corpus, segment.first + fate.source), segment.frames)
    compared = segment.valid if setup.everywhere else window >= 0
    # What is compared comes first: nothing else need be rebuilt.
    return shown, fate.masked, compared, jnp.argsort(~compared)[: setup.most]


def compare(segment: Segment, shown, masked, compared, wanted, rebuilt) -> dict[str, chex.Array]:
    """The metrics of a segment: the loss of its reconstruction, and of two that need no generator."""
    visible = segment.valid & ~masked
    flat = jnp.broadcast_to(losses.mean_frame(shown, visible), shown.shape)
    reconstructions = {
        'loss': rebuilt,
        'loss_segment_mean': flat[wanted],
        'loss_copy_nearest': losses.copy_nearest(shown, visible)[wanted],
    }
    return {
        name: losses.mean_over(losses.frame_losses(segment.frames[wanted], found), compared[wanted])
        for name, found in reconstructions.items()
    }


def summarizer_stage(setup: Reinforcement) -> Stage:
    """Stage 2: a policy gradient, the reward being what the frozen generator rebuilds from the selection.

    Args:
        setup: what it is made of.

    Returns:
        The stage. Its metrics: `reward`, `reward_std` (over episodes), `advantage_rms`, `p_mean`, `p_std`
        (over frames), `penalty` (before β), `gradient_norm` (of a step, before the clip).
        `advantage_rms` is over all that the estimator gives, zeros at padding included where it gives one for
        each frame: it compares trainings of one estimator.
    """
    init, step = functools.partial(start_summarizer, setup), functools.partial(summarizer_step, setup)
    shown = ('reward', 'reward_std', 'p_mean', 'p_std')
    return Stage('summarizer', 'summarizer', setup.batch, init, step, shown, roots=('advantage_rms',))


def start_summarizer(setup: Reinforcement, run: Run, frozen: Any) -> SummarizerState:
    """The generator's encoder and a random score head; no video has a baseline yet."""
    params = summarizer_params(setup, stream(run.key, 'summarizer init'), frozen)
    baseline = episodes.start_baseline(setup.n_videos, setup.baseline_start)
    spread = episodes.start_baseline(1, 'first') if setup.in_units else ()
    return SummarizerState(params, setup.optimizer.init(params), baseline, (), spread, run.standard)


def summarizer_params(setup: Reinforcement, key: chex.PRNGKey, generator: Any) -> Any:
    """Before training: the encoder of the generator, given by its parameters, and a random score head."""
    blank = jnp.zeros((setup.length, setup.width)), jnp.ones(setup.length, bool)
    params = setup.summarizer.init(key, *blank)['params']
    return {**params, 'encoder': generator['encoder']} if setup.from_generator else params


def summarizer_step(
    setup: Reinforcement, state: SummarizerState, batch: Batch, corpus: Corpus, run: Run, frozen: Any
):
    """A step of stage 2: sample, reconstruct, reward, learn from the advantages, move the baselines."""
    grads, metrics = policy_gradient(setup, state, batch, corpus, run, frozen)
    metrics[NORM] = jnp.full(batch.weight.shape, optax.tree.norm(grads))
    rates = own(setup.optimizer.rates, 'summarizer', run)
    params, moments = setup.optimizer.update(state.params, state.optimizer, grads, batch.progress, rates)
    videos, momentum = corpus.video[batch.segments], own(setup.numbers, 'summarizer', run).baseline_momentum
    baseline = episodes.update_baseline(state.baseline, videos, metrics['reward'], batch.weight, momentum)
    spread = episodes.update_spread(state.spread, metrics['advantage_rms'], batch.weight, momentum)
    return state._replace(params=params, optimizer=moments, baseline=baseline, spread=spread), metrics


def policy_gradient(
    setup: Reinforcement, state: SummarizerState, batch: Batch, corpus: Corpus, run: Run, frozen: Any, *beside
):
    """The gradient of a batch's mean loss by the parameters, and its segments' metrics [B] each."""
    corpus = corpus._replace(standard=run.standard)

    def loss(params, chosen, keys, *beside):
        segments = jax.vmap(gather, (None, 0))(corpus, chosen)
        return policy_losses(setup, params, segments, keys, frozen, state, batch.progress, run, *beside)

    items = batch.segments, batch.keys, *beside
    return gradients(loss, state.params, items, batch.weight, setup.at_once, setup.shards)


def policy_losses(
    setup: Reinforcement,
    params: Any,
    batch: Segment,
    keys: chex.PRNGKey,
    frozen: Any,
    state: SummarizerState,
    progress: chex.Numeric,
    run: Run,
    *beside: chex.ArrayTree,
):
    """The loss of every segment [B], and the metrics [B] each; a variation's loss reads what is `beside`."""
    sample_keys, dropout_keys = jax.vmap(jax.random.split)(keys).T
    seen = setup.view(keys, batch.frames)
    logits = apply(setup.summarizer, params, dropout_keys, seen, batch.valid, method='policy')
    numbers = own(setup.numbers, 'summarizer', run)
    return jax.vmap(functools.partial(setup.loss, setup, frozen, state, progress, numbers))(
        batch, sample_keys, logits, *beside
    )


def policy_loss(
    setup: Reinforcement,
    frozen: Any,
    state: SummarizerState,
    progress: chex.Numeric,
    numbers: PolicyNumbers,
    segment: Segment,
    key: chex.PRNGKey,
    logits: chex.Array,
):
    """The surrogate loss of one segment with length penalty and entropy bonus, and its metrics."""
    rewards_of = functools.partial(over, setup.how, functools.partial(outcome_of, setup, frozen, segment))
    now = episodes.baseline_of(state.baseline, segment.video), progress, numbers
    found = setup.estimate(key, logits, segment, rewards_of, *now)
    # Squared here: `Stage.roots` takes the root of the epoch's mean.
    square = jnp.mean(jnp.square(found.advantages))
    surrogate = found.surrogate * episodes.unit(state.spread, square)
    scores = setup.summarizer.scores(logits, segment.valid)
    penalty = setup.penalty(scores, segment.valid, numbers.share)
    pull = numbers.penalty_weight * penalty - numbers.entropy_weight * setup.bonus(logits, segment.valid)
    p = jax.nn.sigmoid(jax.lax.stop_gradient(scores))
    p_mean = losses.mean_over(p, segment.valid)
    p_std = jnp.sqrt(losses.mean_over(jnp.square(p - p_mean), segment.valid))
    told = jnp.mean(found.rewards), jnp.std(found.rewards), square, p_mean, p_std, penalty
    return surrogate + pull, {**found.told, **dict(zip(TOLD, told, strict=True))}


def outcome_of(setup: Reinforcement, frozen: Any, segment: Segment, action: chex.Array) -> Outcome:
    """What an action [L] brings: the generator rebuilds what it hides, and that is compared."""
    rebuilt = setup.generator.apply({'params': frozen}, segment.frames, segment.valid, unselected(action))
    beside = segment.shot, segment.change, segment.side
    return Outcome(*setup.reward(segment.frames, segment.valid, action, rebuilt, *beside))
