"""AC-SUM-GAN's training as one `Stage`: four updates in turn, each of its own parts and no other.

1. compression, state estimator, encoder: `L_recon + L_prior + L_sparsity`;
2. decoder: `L_recon + L_gen`;
3. discriminator: `L_orig + L_sum`;
4. actor and critic: a game of N picks, each rewarded by the discriminator.

`L_recon` compares the discriminator's last hidden states; the other adversarial losses are squared distances
from a label, 1 for original and 0 for rebuilt. That the updates alternate and what each loss compares is the
paper's; their exact order, and that the original's side of `L_recon` is a constant (else the compression
could satisfy it by sending everything to 0), are ours [O].
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from trsum_jax.method import losses
from trsum_jax.rivals.acsumgan import game
from trsum_jax.rivals.acsumgan.net import (
    PARTS,
    AcSumGan,
    fragment_scores,
    fragments_of,
    prior_loss,
    sparsity_loss,
)
from trsum_jax.runtime.fields import Field
from trsum_jax.training.corpus import Corpus, Segment, gather
from trsum_jax.training.epoch import Batch, Stage
from trsum_jax.training.runs import Run, stream
from trsum_jax.training.steps import Optimizer, adam

# What it minimizes or is rewarded by, and what a study may show of its log.
LEARNED = (
    *('loss_recon', 'loss_prior', 'loss_sparsity', 'loss_gen', 'loss_orig', 'loss_sum'),
    *('loss_actor', 'loss_critic', 'reward'),
)
LOGGED = ('reward', 'loss_recon', 'loss_sparsity', 'loss_gen', 'loss_actor', 'loss_critic')
# From the paper as it is known, whose full text was not at hand.
FIELDS = {
    'epochs': Field(100, 'of the training', 'R', least=1),
    'batch': Field(40, 'whole videos; more than a fold trains on cost time for nothing', 'R', least=1),
    'width': Field(512, 'of the compressed features and the LSTMs', 'R', least=1),
    'layers': Field(2, 'of every LSTM', 'R', least=1),
    'fragments': Field(60, 'M', 'R', least=2),
    'picks': Field(9, 'of a game, 15% of the fragments', 'R', least=1),
    'actor_width': Field(256, 'of the hidden layers of actor and critic', 'O', least=1),
    'learning_rate': Field(1e-4, 'of all but the discriminator', 'R', within='(0, inf)'),
    'discriminator_learning_rate': Field(1e-5, 'of the discriminator', 'R', within='(0, inf)'),
    'weight_decay': Field(0.0, 'that is called L2', 'O', within='[0, inf)'),
    'clip': Field(5.0, "largest norm of the gradient [R], of each part's update", 'O', within='(0, inf)'),
    'share': Field(0.5, 'σ; the paper tries several', 'R', within='[0, 1]'),
    'entropy_weight': Field(0.1, 'δ', 'R', within='[0, inf)'),
}
UPDATES = {
    'encoder': ('compression', 'estimator', 'encoder'),
    'decoder': ('decoder',),
    'discriminator': ('discriminator',),
    'actor_critic': ('actor', 'critic'),
}

_PICKS_AT_ONCE = 3


class GanState(NamedTuple):
    """Parameters of every part, and an optimizer's state for each of the `UPDATES`."""

    params: Any
    optimizer: dict[str, Any]


def build(settings: Any, width: int, n_videos: int, *, dtype: Any, scale: float) -> tuple[AcSumGan, Stage]:
    """The networks and their training.

    Args:
        settings: its part of the config, an attribute for each of `FIELDS`.
        width: D.
        n_videos: V; not used.
        dtype: of the operands of the large products.
        scale: factor on features going in.

    Returns:
        The module and the stage. Its metrics: `loss_` and the name of every loss, `reward` (mean over picks),
        `entropy` of the actor, `p_mean` and `p_std` of the frame scores.
    """
    del n_videos
    module = AcSumGan(settings.width, settings.layers, settings.fragments, settings.actor_width, scale, dtype)
    shared = {'weight_decay': settings.weight_decay, 'clip': settings.clip}
    rates = dict.fromkeys(UPDATES, settings.learning_rate)
    rates['discriminator'] = settings.discriminator_learning_rate
    optimizers = {name: adam(learning_rate=rate, **shared) for name, rate in rates.items()}

    def init(run: Run, frozen: tuple[()]) -> GanState:
        del frozen
        blank = jnp.zeros((1, 1, width)), jnp.ones((1, 1), bool)
        key = stream(run.key, 'rival init')
        params = module.init(key, *blank, method=AcSumGan.every_part)['params']
        moments = {name: optimizers[name].init(_only(params, parts)) for name, parts in UPDATES.items()}
        return GanState(params, moments)

    def step(state: GanState, batch: Batch, corpus: Corpus, run: Run, frozen: tuple[()]):
        del run, frozen
        videos = jax.vmap(gather, (None, 0))(corpus, batch.segments)
        return alternate(module, settings, optimizers, state, videos, batch)

    shown = ('loss_recon', 'loss_orig', 'loss_sum', 'reward', 'p_mean')
    return module, Stage('acsumgan', 'rival', settings.batch, init, step, shown)


def alternate(
    module: AcSumGan,
    settings: Any,
    optimizers: dict[str, Optimizer],
    state: GanState,
    videos: Segment,
    batch: Batch,
) -> tuple[GanState, dict[str, jax.Array]]:
    """The four updates on one batch of videos.

    Args:
        module: the networks.
        settings: as for `build`.
        optimizers: one for each of `UPDATES`.
        state: before.
        videos: B whole videos.
        batch: their weights, 0 for a row that is no video, and their keys.

    Returns:
        The state after, and every video's metrics, [B] each, as they were before the update that uses them.
    """
    share = batch.weight / jnp.maximum(jnp.sum(batch.weight), 1.0)
    noise_key, again_key, game_key = jax.vmap(functools.partial(jax.random.split, num=3))(batch.keys).T
    draw = jax.vmap(functools.partial(jax.random.normal, shape=(settings.width,)))
    noise, again = draw(noise_key), draw(again_key)
    metrics: dict[str, jax.Array] = {}

    def call(params, method, *inputs):
        return module.apply({'params': params}, *inputs, method=method)

    def apart(params, rebuilt, real):
        hidden, probability = call(params, AcSumGan.judge, rebuilt, videos.valid)
        return jnp.mean(jnp.square(hidden - real), axis=-1), probability

    def encoder_losses(params):
        compressed, scores = call(params, AcSumGan.score, videos.frames, videos.valid)
        mean, log_variance, latent = call(params, AcSumGan.encode, compressed, scores, videos.valid, noise)
        real, _ = call(params, AcSumGan.judge, jax.lax.stop_gradient(compressed), videos.valid)
        recon, _ = apart(params, call(params, AcSumGan.decode, latent, videos.valid), real)
        prior = jax.vmap(prior_loss)(mean, log_variance)
        sparsity = jax.vmap(sparsity_loss, (0, 0, None))(scores, videos.valid, settings.share)
        mean_score = jax.vmap(losses.mean_over)(scores, videos.valid)
        spread = jax.vmap(losses.mean_over)(jnp.square(scores - mean_score[:, None]), videos.valid)
        told = {'loss_recon': recon, 'loss_prior': prior, 'loss_sparsity': sparsity}
        told |= {'p_mean': mean_score, 'p_std': jnp.sqrt(spread)}
        return recon + prior + sparsity, told

    def update(state: GanState, name: str, of_videos):
        """One update of its own parts by the weighted mean of the videos' losses."""

        def loss(own):
            values, told = of_videos({**state.params, **own})
            return jnp.sum(jnp.where(share > 0, values, 0.0) * share), told

        own = _only(state.params, UPDATES[name])
        grads, told = jax.grad(loss, has_aux=True)(own)
        metrics.update(told)
        after, moments = optimizers[name].update(own, state.optimizer[name], grads, batch.progress)
        return GanState({**state.params, **after}, {**state.optimizer, name: moments})

    state = update(state, 'encoder', encoder_losses)
    # Neither of these three is touched by the updates that follow.
    compressed, scores = call(state.params, AcSumGan.score, videos.frames, videos.valid)
    _, _, latent = call(state.params, AcSumGan.encode, compressed, scores, videos.valid, again)
    real, _ = call(state.params, AcSumGan.judge, compressed, videos.valid)

    def decoder_losses(params):
        recon, probability = apart(params, call(params, AcSumGan.decode, latent, videos.valid), real)
        gen = jnp.square(1 - probability)
        return recon + gen, {'loss_gen': gen}

    state = update(state, 'decoder', decoder_losses)
    rebuilt = call(state.params, AcSumGan.decode, latent, videos.valid)

    def discriminator_losses(params):
        _, of_original = call(params, AcSumGan.judge, compressed, videos.valid)
        _, of_rebuilt = call(params, AcSumGan.judge, rebuilt, videos.valid)
        orig, rest = jnp.square(1 - of_original), jnp.square(of_rebuilt)
        return orig + rest, {'loss_orig': orig, 'loss_sum': rest}

    state = update(state, 'discriminator', discriminator_losses)
    games, rewards = _games(module, settings, state.params, videos, compressed, scores, again, game_key)

    def game_losses(params):
        values = call(params, AcSumGan.value, games.states)
        returned = jax.vmap(game.returns, (0, 0))(rewards, games.live)
        advantages = returned - jax.lax.stop_gradient(values)
        logits = call(params, AcSumGan.act, games.states)
        actor, entropy = jax.vmap(game.actor_loss, (0, 0, 0, None))(
            logits, games, advantages, settings.entropy_weight
        )
        critic = jax.vmap(game.critic_loss)(values, returned, games.live)
        reward = jax.vmap(losses.mean_over)(rewards, games.live)
        told = {'loss_actor': actor, 'loss_critic': critic, 'entropy': entropy, 'reward': reward}
        return actor + critic, told

    return update(state, 'actor_critic', game_losses), metrics


def _games(module, settings, params, batch: Segment, compressed, scores, noise, keys):
    """A game of every video, [B, …], and the reward of every pick, [B, N]."""

    def call(method, *inputs):
        return module.apply({'params': params}, *inputs, method=method)

    def play(key, scores, valid):
        fragment = fragments_of(valid, settings.fragments)
        state, present = fragment_scores(scores, fragment, valid, settings.fragments)
        actor = functools.partial(call, AcSumGan.act)
        played = game.play(key, actor, state, present, settings.picks)
        return played, played.taken[:, fragment]

    games, kept = jax.vmap(play)(keys, scores, batch.valid)
    _, of_original = call(AcSumGan.judge, compressed, batch.valid)

    def reward(kept):
        _, _, latent = call(AcSumGan.encode, compressed, scores * kept, batch.valid, noise)
        _, of_rebuilt = call(AcSumGan.judge, call(AcSumGan.decode, latent, batch.valid), batch.valid)
        return 1 - jnp.abs(of_original - of_rebuilt)

    # A few at a time: one alone makes small products, all at once hold the states of all their steps.
    rewards = jax.lax.map(reward, jnp.swapaxes(kept, 0, 1), batch_size=_PICKS_AT_ONCE)
    return games, rewards.T


def _only(params: Any, parts: tuple[str, ...]) -> Any:
    return {part: params[part] for part in PARTS if part in parts}
