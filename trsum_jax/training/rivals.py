"""What TR-SUM is compared with, trained in the same grid: DR-DSN, and adversarial AC-SUM-GAN.

Both read whole videos, padded to the longest, which are a corpus of one segment a video. Each is one `Stage`
of one run, as `training.stages` makes two.
"""

import functools

import jax
import jax.numpy as jnp
import ml_collections
import optax
from flax import linen as nn

from trsum_jax.method import dsn, episodes, losses
from trsum_jax.training import adversarial
from trsum_jax.training.corpus import Corpus, Segment, gather
from trsum_jax.training.epoch import Batch, Stage
from trsum_jax.training.stages import SummarizerState
from trsum_jax.training.steps import Run, adam, dtype_here, gradients, stream


def build(config: ml_collections.ConfigDict, width: int, n_videos: int) -> tuple[nn.Module, Stage]:
    """The module and the one stage of the rival that `config.method` names.

    Args:
        config: the whole config; `method` is not `trsum`.
        width: D.
        n_videos: V.

    Returns:
        A module whose `__call__(frames, valid)` gives the logits of a video's scores, and its stage.
    """
    if config.method == 'acsumgan':
        adversary = adversarial.build_module(config, width)
        return adversary, adversarial.acsumgan_stage(config, adversary, width)
    module = dsn.Dsn(config.drdsn.width, dtype_here(config))
    return module, dsn_stage(config, module, width, n_videos)


def dsn_stage(config: ml_collections.ConfigDict, module: dsn.Dsn, width: int, n_videos: int) -> Stage:
    """DR-DSN's training: REINFORCE on diversity and representativeness, a moving average per video.

    Args:
        config: the whole config.
        module: the network.
        width: D.
        n_videos: V, for the baselines.

    Returns:
        The stage. Its metrics: `loss`, `reward` and its two parts, `reward_std` (over episodes), `p_mean`,
        `p_std` (over frames).
    """
    settings = config.drdsn
    optimizer = adam(settings)

    def init(run: Run, frozen: tuple[()]) -> SummarizerState:
        del frozen
        blank = jnp.zeros((1, width)), jnp.ones(1, bool)
        params = module.init(stream(run.key, 'rival init'), *blank)['params']
        return SummarizerState(params, optimizer.init(params), episodes.start_baseline(n_videos, 'first'))

    def rewards_of(segment: Segment, actions):
        dissimilarity = dsn.dissimilarities(segment.frames, settings.window)
        distance = dsn.distances(segment.frames)
        represent = functools.partial(dsn.representativeness, distance, segment.valid)
        return jax.vmap(functools.partial(dsn.diversity, dissimilarity))(actions), jax.vmap(represent)(
            actions
        )

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
        updates, moments = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        rewards, momentum = metrics['reward'], settings.baseline_momentum
        baseline = episodes.update_baseline(
            state.baseline, corpus.video[batch.segments], rewards, batch.weight, momentum
        )
        return SummarizerState(params, moments, baseline), metrics

    return Stage('drdsn', 'rival', settings.batch, init, step, ('reward', 'reward_std', 'p_mean', 'p_std'))
