"""The two stages of one run as pure functions: `init(run) -> state`, `step(state, …) -> (state, metrics)`.

A run is one fold with one seed. Nothing here knows of a grid: `training.grid` adds the leading run axis, and
`training.epoch` calls the step.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import ml_collections
import optax

from trsum_jax.method import augmentation, episodes, estimators, losses, masking, reward_terms
from trsum_jax.method.models import Encoder, Generator, Summarizer
from trsum_jax.method.rewards import unselected
from trsum_jax.method.shot_actions import over_shots
from trsum_jax.training.corpus import Corpus, Segment, gather
from trsum_jax.training.epoch import Batch, Stage
from trsum_jax.training.policy import estimator_of
from trsum_jax.training.steps import (
    Run,
    adamw,
    apply,
    dtype_here,
    gradients,
    how_here,
    microbatch_here,
    over,
    own,
    stream,
    update,
)


class GeneratorState(NamedTuple):
    """Stage 1: parameters and optimizer state."""

    params: Any
    optimizer: Any


class SummarizerState(NamedTuple):
    """Stage 2: parameters, optimizer state, and the baseline of every video.

    `generator` is empty while the generator is frozen; else its own parameters and optimizer state.
    """

    params: Any
    optimizer: Any
    baseline: episodes.Baseline
    generator: tuple[Any, ...] = ()


def build_models(config: ml_collections.ConfigDict, width: int) -> tuple[Generator, Summarizer]:
    """The two modules for features of a width, as the config's `model` describes them.

    Args:
        config: the whole config.
        width: D.

    Returns:
        Generator and summarizer, with encoders of the same sizes.
    """
    model = config.model
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
        dtype=dtype_here(config),
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
    """Stage 1: the generator learns to reconstruct corrupted segments, by default their candidate frames.

    Args:
        config: the whole config.
        generator: the module.
        width: D.
        shards: devices that share a batch (`sharding.DATA`).

    Returns:
        The stage. Its metrics: `loss`, and for the same frames the loss of the two trivial
        reconstructions, `loss_segment_mean` and `loss_copy_nearest`.
    """
    settings, (strategy, most) = config.generator, _strategy(config.masking, config.decomposition.length)
    if settings.loss_frames == 'all':
        most = config.decomposition.length
    optimizer = adamw(settings)
    at_once = microbatch_here(config.layout.microbatch, settings.batch // shards)

    def init(run: Run, frozen: tuple[()]) -> GeneratorState:
        del frozen
        length = config.decomposition.length
        blank = jnp.zeros((length, width)), jnp.ones(length, bool), jnp.zeros(length, bool)
        params = generator.init(stream(run.key, 'generator init'), *blank)['params']
        return GeneratorState(params, optimizer.init(params))

    def corrupt(segment: Segment, corpus: Corpus, run: Run, window_key, fate_key):
        mine = own(config, 'masking', run)
        window = strategy(window_key, segment.valid, segment.shot, mine)
        fate = masking.corrupt(fate_key, window, segment.n_steps, mask=mine.mask, replace=mine.replace)
        shown = jnp.where(fate.replaced[:, None], corpus.frames[segment.first + fate.source], segment.frames)
        compared = segment.valid if settings.loss_frames == 'all' else window >= 0
        # What is compared comes first: nothing else need be rebuilt.
        return shown, fate.masked, compared, jnp.argsort(~compared)[:most]

    def measure(segment: Segment, shown, masked, compared, wanted, rebuilt):
        def loss_of(reconstruction):
            return losses.mean_over(
                losses.frame_losses(segment.frames[wanted], reconstruction), compared[wanted]
            )

        visible = segment.valid & ~masked
        flat = jnp.broadcast_to(losses.mean_frame(shown, visible), shown.shape)
        return {
            'loss': loss_of(rebuilt),
            'loss_segment_mean': loss_of(flat[wanted]),
            'loss_copy_nearest': loss_of(losses.copy_nearest(shown, visible)[wanted]),
        }

    def batch_losses(params, batch: Segment, keys, corpus: Corpus, run: Run):
        window_keys, fate_keys, dropout_keys = jax.vmap(functools.partial(jax.random.split, num=3))(keys).T
        corrupted = jax.vmap(corrupt, (0, None, None, 0, 0))(batch, corpus, run, window_keys, fate_keys)
        shown, masked, _, wanted = corrupted
        rebuilt = apply(generator, params, dropout_keys, shown, batch.valid, masked, wanted)
        metrics = jax.vmap(measure)(batch, *corrupted, rebuilt)
        return metrics['loss'], metrics

    def step(state: GeneratorState, batch: Batch, corpus: Corpus, run: Run, frozen: tuple[()]):
        del frozen

        def loss(params, segments, keys):
            return batch_losses(params, jax.vmap(gather, (None, 0))(corpus, segments), keys, corpus, run)

        items = batch.segments, batch.keys
        grads, metrics = gradients(loss, state.params, items, batch.weight, at_once, shards)
        params, moments = update(settings, optimizer, state.params, state.optimizer, grads, batch.progress)
        return GeneratorState(params, moments), metrics

    shown = ('loss', 'loss_segment_mean', 'loss_copy_nearest')
    return Stage('generator', 'generator', settings.batch, init, step, shown)


def summarizer_stage(
    config: ml_collections.ConfigDict,
    generator: Generator,
    summarizer: Summarizer,
    width: int,
    n_videos: int,
    shards: int = 1,
) -> Stage:
    """Stage 2: a policy gradient, the reward being what the frozen generator rebuilds from the selection.

    With `summarizer.train_generator` a copy of the generator goes on learning, by the summarizer's settings,
    to rebuild what the episodes do not select; the frozen one stays as it was.

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
        `advantage_rms` is over all that the estimator gives, zeros at padding included where it gives one for
        each frame: it compares trainings of one estimator.
    """
    settings = config.summarizer
    optimizer = adamw(settings)
    at_once = microbatch_here(config.layout.microbatch, settings.batch // shards)
    how = how_here(config.layout.episodes)

    def init(run: Run, frozen: Any) -> SummarizerState:
        params = init_summarizer(config, summarizer, stream(run.key, 'summarizer init'), frozen, width)
        baseline = episodes.start_baseline(n_videos, settings.baseline_start)
        own_generator = (frozen, optimizer.init(frozen)) if settings.train_generator else ()
        return SummarizerState(params, optimizer.init(params), baseline, own_generator)

    reward = functools.partial(
        reward_terms.weighted_sum,
        settings.reward_terms.to_dict(),
        reconstruct=settings.reward_reconstruction,
        over=settings.reward_frames,
    )

    def measure(segment: Segment, key, logits, frozen, baseline, progress, run: Run):
        def outcome(action):
            rebuilt = generator.apply({'params': frozen}, segment.frames, segment.valid, unselected(action))
            beside = segment.shot, segment.change, segment.side
            return estimators.Outcome(*reward(segment.frames, segment.valid, action, rebuilt, *beside))

        mine = own(config, 'summarizer', run)
        estimate = estimator_of(settings, progress)
        if settings.actions == 'shots':
            estimate = over_shots(estimate, segment.shot)
        policy, rewards, advantages = estimate(
            key,
            logits,
            segment.valid,
            functools.partial(over, how, outcome),
            episodes.baseline_of(baseline, segment.video),
        )
        penalty = episodes.length_penalty(logits, segment.valid, mine.share, settings.penalty)
        p = jax.nn.sigmoid(jax.lax.stop_gradient(logits))
        p_mean = losses.mean_over(p, segment.valid)
        loss = policy + mine.penalty_weight * penalty
        if settings.train_generator:
            # The actions do not depend on the generator, nor these rewards on the logits.
            loss -= jnp.mean(rewards)
        return loss, {
            'reward': jnp.mean(rewards),
            'reward_std': jnp.std(rewards),
            'advantage_rms': jnp.mean(jnp.square(advantages)),
            'p_mean': p_mean,
            'p_std': jnp.sqrt(losses.mean_over(jnp.square(p - p_mean), segment.valid)),
            'penalty': penalty,
        }

    def batch_losses(params, batch: Segment, keys, frozen, baseline, progress, run: Run):
        sample_keys, dropout_keys = jax.vmap(jax.random.split)(keys).T
        seen = batch.frames
        if settings.permute_features:
            # Another stream than the actions' and the dropout's, which both stay as they are.
            seen = jax.vmap(augmentation.permuted)(jax.vmap(jax.random.fold_in, (0, None))(keys, 2), seen)
        logits = apply(summarizer, params, dropout_keys, seen, batch.valid)
        each = (0, 0, 0, None, None, None, None)
        return jax.vmap(measure, each)(batch, sample_keys, logits, frozen, baseline, progress, run)

    def step(state: SummarizerState, batch: Batch, corpus: Corpus, run: Run, frozen: Any):
        def loss(params, segments, keys):
            rebuilding = params[1] if settings.train_generator else frozen
            gathered = jax.vmap(gather, (None, 0))(corpus, segments)
            return batch_losses(params[0], gathered, keys, rebuilding, state.baseline, batch.progress, run)

        items = batch.segments, batch.keys
        learning = state.params, *state.generator[:1]
        grads, metrics = gradients(loss, learning, items, batch.weight, at_once, shards)
        metrics['gradient_norm'] = jnp.full(batch.weight.shape, optax.tree.norm(grads[0]))
        params, moments = update(settings, optimizer, state.params, state.optimizer, grads[0], batch.progress)
        own_generator = state.generator
        if settings.train_generator:
            own_generator = update(settings, optimizer, *state.generator, grads[1], batch.progress)
        momentum = own(config, 'summarizer', run).baseline_momentum
        baseline = episodes.update_baseline(
            state.baseline, corpus.video[batch.segments], metrics['reward'], batch.weight, momentum
        )
        return SummarizerState(params, moments, baseline, own_generator), metrics

    shown = ('reward', 'reward_std', 'p_mean', 'p_std')
    return Stage('summarizer', 'summarizer', settings.batch, init, step, shown, roots=('advantage_rms',))


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
    """The masking strategy, (…, a run's own `masking`) -> windows, and the most candidates in a segment.

    Where a grid's runs differ in the ratios, the settings hold the greatest of each.
    """
    ratio = settings.mask_ratio
    if settings.strategy == 'dynamic':

        def dynamic(key, valid, shot, mine):
            ratios = {'window_ratio': mine.window_ratio, 'mask_ratio': mine.mask_ratio}
            return masking.dynamic_windows(key, valid, shot, **ratios)

        window = settings.window_ratio
        return dynamic, masking.most_candidates(length, ratio, lambda frames: window * frames)
    size = settings.fixed_length if settings.strategy == 'fixed' else 1

    def fixed(key, valid, shot, mine):
        return masking.fixed_windows(key, valid, shot, window_length=size, mask_ratio=mine.mask_ratio)

    return fixed, masking.most_candidates(length, ratio, lambda frames: size)
