"""The two stages of one run as pure functions: `init(key) -> state`, `epoch(state, …) -> (state, metrics)`.

A run is one fold with one seed. Nothing here knows of a grid: `training.grid` adds the leading run axis.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import ml_collections
import optax

from trsum_jax.method import episodes, estimators, losses, masking
from trsum_jax.method.models import Encoder, Generator, Summarizer
from trsum_jax.method.rewards import reward_and_parts, unselected
from trsum_jax.training.corpus import Corpus, Segment, gather
from trsum_jax.training.policy import estimator_of
from trsum_jax.training.steps import (
    Run,
    adamw,
    apply,
    gradients,
    how_here,
    microbatch_here,
    over,
    scan_epoch,
    stream,
    update,
)


class GeneratorState(NamedTuple):
    """Stage 1: parameters and optimizer state."""

    params: Any
    optimizer: Any


class SummarizerState(NamedTuple):
    """Stage 2: parameters, optimizer state, and the baseline of every video."""

    params: Any
    optimizer: Any
    baseline: episodes.Baseline


class Stage(NamedTuple):
    """A stage of one run.

    Attributes:
        name: `generator` or `summarizer`.
        init: (run, frozen) -> state.
        epoch: (state, number of the epoch, corpus, run, frozen) -> (state, metrics), jit-able. `frozen` is
            what the stage reads and never changes: `()` in stage 1, the generator's parameters in stage 2.
        shown: the metrics that stand beside the progress bar.
    """

    name: str
    init: Callable[..., Any]
    epoch: Callable[..., tuple[Any, dict[str, chex.Array]]]
    shown: tuple[str, ...]


def build_models(config: ml_collections.ConfigDict, width: int) -> tuple[Generator, Summarizer]:
    """The two modules for features of a width, as the config's `model` describes them.

    Args:
        config: the whole config.
        width: D.

    Returns:
        Generator and summarizer, with encoders of the same sizes.
    """
    model = config.model
    dtype = model.dtype
    if dtype == 'auto':
        dtype = 'float32' if jax.default_backend() == 'cpu' else 'bfloat16'
    encoder = Encoder(
        width=model.width,
        layers=model.layers,
        heads=model.heads,
        feed_forward=model.feed_forward,
        norm=model.norm,
        positions=model.positions,
        activation=model.activation,
        dropout=model.dropout,
        cosine_start=model.cosine_start,
        dtype=jnp.dtype(dtype),
        remat=config.layout.remat,
    )
    scale = float(width) ** 0.5 if model.scale_features else 1.0
    return (
        Generator(encoder, mask_token=model.mask_token, centred=model.centred, feature_scale=scale),
        Summarizer(encoder, centred=model.centred, feature_scale=scale, score_std=model.score_std),
    )


def generator_stage(
    config: ml_collections.ConfigDict, generator: Generator, width: int, shards: int = 1
) -> Stage:
    """Stage 1: the generator learns to reconstruct the candidate frames of corrupted segments.

    Args:
        config: the whole config.
        generator: the module.
        width: D.
        shards: devices that share a batch (`sharding.DATA`).

    Returns:
        The stage. Its metrics: `loss`, and for the same candidates the loss of the two trivial
        reconstructions, `loss_segment_mean` and `loss_copy_nearest`.
    """
    settings, (strategy, most) = config.generator, _strategy(config.masking, config.decomposition.length)
    corruption = functools.partial(masking.corrupt, mask=config.masking.mask, replace=config.masking.replace)
    optimizer = adamw(settings)
    at_once = microbatch_here(config.layout.microbatch, settings.batch // shards)

    def init(run: Run, frozen: tuple[()]) -> GeneratorState:
        del frozen
        length = config.decomposition.length
        blank = jnp.zeros((length, width)), jnp.ones(length, bool), jnp.zeros(length, bool)
        params = generator.init(stream(run.key, 'generator init'), *blank)['params']
        return GeneratorState(params, optimizer.init(params))

    def corrupt(segment: Segment, corpus: Corpus, window_key, fate_key):
        window = strategy(window_key, segment.valid, segment.shot)
        fate = corruption(fate_key, window, segment.n_steps)
        shown = jnp.where(fate.replaced[:, None], corpus.frames[segment.first + fate.source], segment.frames)
        # The candidates first: nothing else is compared, and so nothing else need be rebuilt.
        return shown, fate.masked, window >= 0, jnp.argsort(window < 0)[:most]

    def measure(segment: Segment, shown, masked, candidate, wanted, rebuilt):
        def loss_of(reconstruction):
            return losses.mean_over(
                losses.frame_losses(segment.frames[wanted], reconstruction), candidate[wanted]
            )

        visible = segment.valid & ~masked
        flat = jnp.broadcast_to(losses.mean_frame(shown, visible), shown.shape)
        return {
            'loss': loss_of(rebuilt),
            'loss_segment_mean': loss_of(flat[wanted]),
            'loss_copy_nearest': loss_of(losses.copy_nearest(shown, visible)[wanted]),
        }

    def batch_losses(params, batch: Segment, keys, corpus: Corpus):
        window_keys, fate_keys, dropout_keys = jax.vmap(functools.partial(jax.random.split, num=3))(keys).T
        corrupted = jax.vmap(corrupt, (0, None, 0, 0))(batch, corpus, window_keys, fate_keys)
        shown, masked, _, wanted = corrupted
        rebuilt = apply(generator, params, dropout_keys, shown, batch.valid, masked, wanted)
        metrics = jax.vmap(measure)(batch, *corrupted, rebuilt)
        return metrics['loss'], metrics

    def epoch(state: GeneratorState, number, corpus: Corpus, run: Run, frozen: tuple[()]):
        del frozen
        key = jax.random.fold_in(stream(run.key, 'generator'), number)

        def step(state: GeneratorState, progress, segments, weight, step_key):
            def loss(params, segments, keys):
                return batch_losses(params, jax.vmap(gather, (None, 0))(corpus, segments), keys, corpus)

            keys = jax.random.split(step_key, segments.shape[0])
            grads, metrics = gradients(loss, state.params, (segments, keys), weight, at_once, shards)
            params, moments = update(settings, optimizer, state.params, state.optimizer, grads, progress)
            return GeneratorState(params, moments), metrics

        return scan_epoch(step, state, number, key, run, settings.batch)

    return Stage('generator', init, epoch, ('loss', 'loss_segment_mean', 'loss_copy_nearest'))


def summarizer_stage(
    config: ml_collections.ConfigDict,
    generator: Generator,
    summarizer: Summarizer,
    width: int,
    n_videos: int,
    shards: int = 1,
) -> Stage:
    """Stage 2: a policy gradient, the reward being what the frozen generator rebuilds from the selection.

    Args:
        config: the whole config.
        generator: the frozen module; its parameters are the stage's `frozen`.
        summarizer: the module that learns.
        width: D.
        n_videos: V, for the baselines.
        shards: devices that share a batch (`sharding.DATA`).

    Returns:
        The stage. Its metrics: `reward`, `reward_std` (over episodes), `advantage_rms`, `p_mean`, `p_std`
        (over frames), `penalty` (before β), `gradient_norm` (of a step, before the clip).
    """
    settings = config.summarizer
    optimizer = adamw(settings)
    at_once = microbatch_here(config.layout.microbatch, settings.batch // shards)
    how = how_here(config.layout.episodes)

    def init(run: Run, frozen: Any) -> SummarizerState:
        params = init_summarizer(config, summarizer, stream(run.key, 'summarizer init'), frozen, width)
        baseline = episodes.start_baseline(n_videos, settings.baseline_start)
        return SummarizerState(params, optimizer.init(params), baseline)

    reward = functools.partial(
        reward_and_parts, reconstruct=settings.reward_reconstruction, over=settings.reward_frames
    )

    def measure(segment: Segment, key, logits, frozen, baseline, progress):
        def outcome(action):
            rebuilt = generator.apply({'params': frozen}, segment.frames, segment.valid, unselected(action))
            return estimators.Outcome(*reward(segment.frames, segment.valid, action, rebuilt))

        estimate = estimator_of(settings, progress)
        policy, rewards, advantages = estimate(
            key,
            logits,
            segment.valid,
            functools.partial(over, how, outcome),
            episodes.baseline_of(baseline, segment.video),
        )
        penalty = episodes.length_penalty(logits, segment.valid, settings.share, settings.penalty)
        p = jax.nn.sigmoid(jax.lax.stop_gradient(logits))
        p_mean = losses.mean_over(p, segment.valid)
        return policy + settings.penalty_weight * penalty, {
            'reward': jnp.mean(rewards),
            'reward_std': jnp.std(rewards),
            'advantage_square': jnp.mean(jnp.square(advantages)),
            'p_mean': p_mean,
            'p_std': jnp.sqrt(losses.mean_over(jnp.square(p - p_mean), segment.valid)),
            'penalty': penalty,
        }

    def batch_losses(params, batch: Segment, keys, frozen, baseline, progress):
        sample_keys, dropout_keys = jax.vmap(jax.random.split)(keys).T
        logits = apply(summarizer, params, dropout_keys, batch.frames, batch.valid)
        each = (0, 0, 0, None, None, None)
        return jax.vmap(measure, each)(batch, sample_keys, logits, frozen, baseline, progress)

    def epoch(state: SummarizerState, number, corpus: Corpus, run: Run, frozen: Any):
        key = jax.random.fold_in(stream(run.key, 'summarizer'), number)

        def step(state: SummarizerState, progress, segments, weight, step_key):
            def loss(params, segments, keys):
                batch = jax.vmap(gather, (None, 0))(corpus, segments)
                return batch_losses(params, batch, keys, frozen, state.baseline, progress)

            keys = jax.random.split(step_key, segments.shape[0])
            grads, metrics = gradients(loss, state.params, (segments, keys), weight, at_once, shards)
            metrics['gradient_norm'] = jnp.full(weight.shape, optax.tree.norm(grads))
            params, moments = update(settings, optimizer, state.params, state.optimizer, grads, progress)
            baseline = episodes.update_baseline(
                state.baseline, corpus.video[segments], metrics['reward'], weight, settings.baseline_momentum
            )
            return SummarizerState(params, moments, baseline), metrics

        state, metrics = scan_epoch(step, state, number, key, run, settings.batch)
        metrics['advantage_rms'] = jnp.sqrt(metrics.pop('advantage_square'))
        return state, metrics

    return Stage('summarizer', init, epoch, ('reward', 'reward_std', 'p_mean', 'p_std'))


def init_summarizer(
    config: ml_collections.ConfigDict, summarizer: Summarizer, key: chex.PRNGKey, generator: Any, width: int
) -> Any:
    """Parameters of a summarizer before training: the generator's encoder and a random score head.

    Args:
        config: the whole config; `summarizer.from_generator` false gives a random encoder.
        summarizer: the module.
        key: a typed key.
        generator: the generator's parameters.
        width: D.

    Returns:
        The parameters.
    """
    length = config.decomposition.length
    params = summarizer.init(key, jnp.zeros((length, width)), jnp.ones(length, bool))['params']
    if config.summarizer.from_generator:
        params = {**params, 'encoder': generator['encoder']}
    return params


def _strategy(settings: ml_collections.ConfigDict, length: int) -> tuple[Callable, int]:
    """The masking strategy, and the most candidates that it names in a segment."""
    ratio = settings.mask_ratio
    if settings.strategy == 'dynamic':
        window = settings.window_ratio
        strategy = functools.partial(masking.dynamic_windows, window_ratio=window, mask_ratio=ratio)
        return strategy, masking.most_candidates(length, ratio, lambda frames: window * frames)
    size = settings.fixed_length if settings.strategy == 'fixed' else 1
    strategy = functools.partial(masking.fixed_windows, window_length=size, mask_ratio=ratio)
    return strategy, masking.most_candidates(length, ratio, lambda frames: size)
