"""DR-DSN's training as one `Stage`: REINFORCE on diversity and representativeness, an average per video.

The corpus is of whole videos, padded to the longest: one segment a video.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from trsum_jax.method import episodes, losses
from trsum_jax.method.reward_terms import distances, nearness
from trsum_jax.rivals.drdsn import net
from trsum_jax.runtime.fields import Field
from trsum_jax.training.corpus import Corpus, Segment, gather
from trsum_jax.training.epoch import Batch, Stage
from trsum_jax.training.runs import Run, stream
from trsum_jax.training.steps import adam, gradients
from trsum_jax.training.trsum import SummarizerState

# What it is rewarded by, and what else a study may show of its log.
LEARNED = ('reward',)
LOGGED = ('reward', 'reward_std', 'p_mean', 'p_std')
# From the paper as it is known, whose full text was not at hand.
FIELDS = {
    'epochs': Field(60, 'of the training', 'R', least=1),
    'batch': Field(1, 'whole videos in a step', 'O', least=1),
    'width': Field(256, 'of each direction of the LSTM', 'P', least=1),
    'learning_rate': Field(1e-5, 'without their step to a tenth after 30 epochs', 'R', within='(0, inf)'),
    'weight_decay': Field(1e-5, 'that is called L2', 'R', within='[0, inf)'),
    'clip': Field(5.0, 'largest norm of the gradient', 'O', within='(0, inf)'),
    'episodes': Field(5, 'N, of a video', 'P', least=1),
    'window': Field(20, 'λ, frames within which two are compared', 'P', least=0),
    'baseline_momentum': Field(0.9, 'of the moving average', 'O', within='[0, 1)'),
    'log_probability': Field('mean', 'over frames', 'O', choices=episodes.REDUCTIONS),
    'share': Field(0.5, 'ε, of the frames', 'P', within='[0, 1]'),
    'penalty_weight': Field(0.01, 'β', 'R', within='[0, inf)'),
}


def build(settings: Any, width: int, n_videos: int, *, dtype: Any, scale: float) -> tuple[net.Dsn, Stage]:
    """The network and its training.

    Args:
        settings: its part of the config, an attribute for each of `FIELDS`.
        width: D.
        n_videos: V, for the baselines.
        dtype: of the operands of the large products.
        scale: of features going in; not used.

    Returns:
        The module and the stage. Its metrics: `loss`, `reward` and its two parts, `reward_std` (over
        episodes), `p_mean`, `p_std` (over frames).
    """
    del scale
    module = net.Dsn(settings.width, dtype)
    rates = {name: getattr(settings, name) for name in ('learning_rate', 'weight_decay', 'clip')}
    optimizer = adam(**rates)

    def init(run: Run, frozen: tuple[()]) -> SummarizerState:
        del frozen
        blank = jnp.zeros((1, width)), jnp.ones(1, bool)
        params = module.init(stream(run.key, 'rival init'), *blank)['params']
        return SummarizerState(params, optimizer.init(params), episodes.start_baseline(n_videos, 'first'))

    def rewards_of(segment: Segment, actions):
        dissimilarity = net.dissimilarities(segment.frames, settings.window)
        diverse = functools.partial(net.diversity, dissimilarity)
        represent = functools.partial(nearness, distances(segment.frames), segment.valid)
        return jax.vmap(diverse)(actions), jax.vmap(represent)(actions)

    def measure(segment: Segment, logits, actions, baseline):
        diverse, represent = rewards_of(segment, actions)
        rewards = diverse + represent
        b = episodes.current_baseline(episodes.baseline_of(baseline, segment.video), jnp.mean(rewards))
        policy = episodes.surrogate(logits, actions, rewards - b, segment.valid, settings.log_probability)
        penalty = episodes.length_penalty(logits, segment.valid, settings.share, 'square')
        loss = policy + settings.penalty_weight * penalty
        p = jax.nn.sigmoid(jax.lax.stop_gradient(logits))
        p_mean = losses.mean_over(p, segment.valid)
        return loss, {
            'loss': loss,
            'reward': jnp.mean(rewards),
            'reward_diversity': jnp.mean(diverse),
            'reward_representativeness': jnp.mean(represent),
            'reward_std': jnp.std(rewards),
            'p_mean': p_mean,
            'p_std': jnp.sqrt(losses.mean_over(jnp.square(p - p_mean), segment.valid)),
        }

    def step(state: SummarizerState, batch: Batch, corpus: Corpus, run: Run, frozen: tuple[()]):
        del run, frozen

        def loss(params, segments, keys):
            videos = jax.vmap(gather, (None, 0))(corpus, segments)
            logits = module.apply({'params': params}, videos.frames, videos.valid)
            sample = functools.partial(episodes.sample, n_episodes=settings.episodes)
            actions = jax.vmap(sample)(keys, jax.lax.stop_gradient(logits), videos.valid)
            return jax.vmap(measure, (0, 0, 0, None))(videos, logits, actions, state.baseline)

        items = batch.segments, batch.keys
        grads, metrics = gradients(loss, state.params, items, batch.weight, settings.batch)
        params, moments = optimizer.update(state.params, state.optimizer, grads, batch.progress)
        rewards, momentum = metrics['reward'], settings.baseline_momentum
        baseline = episodes.update_baseline(
            state.baseline, corpus.video[batch.segments], rewards, batch.weight, momentum
        )
        return SummarizerState(params, moments, baseline), metrics

    shown = ('reward', 'reward_std', 'p_mean', 'p_std')
    return module, Stage('drdsn', 'rival', settings.batch, init, step, shown)
