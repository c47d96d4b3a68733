"""One step of AC-SUM-GAN's training, its four updates in turn, against the same step in numpy (`by_hand`).

Only the noise of the latent and the actor's picks are given.
"""

import functools

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
from by_hand import assert_near, dense, exact, lstm, sigmoid
from rivals_setting import RivalSetting

from trsum_jax.data.splits import Fold
from trsum_jax.rivals.acsumgan import game as picking
from trsum_jax.rivals.acsumgan.net import AcSumGan
from trsum_jax.training.epoch import Batch

WIDTH, FRAGMENTS, SHARE, ENTROPY, DISCOUNT = 2, 4, 0.3, 0.2, 0.99
RATE, DISCRIMINATOR_RATE = 0.1, 0.05


def score(p, frames):
    """Compressed features, and a score of every frame."""
    compressed = dense(p['compression'], frames * np.sqrt(by_hand.WIDTH))
    hidden = by_hand.both_ways(p['estimator']['lstm'], compressed)
    return compressed, sigmoid(dense(p['estimator']['score'], hidden))[:, 0]


def encode(p, x, weights, noise):
    """Mean, log variance, and a draw of the latent."""
    last = lstm(p['encoder']['lstm'], weights[:, None] * x)[-1]
    mean, log_variance = dense(p['encoder']['mean'], last), dense(p['encoder']['log_variance'], last)
    return mean, log_variance, mean + np.exp(log_variance / 2) * noise


def decode(p, latent, n):
    return dense(p['decoder']['out'], lstm(p['decoder']['lstm'], np.tile(latent, (n, 1))))


def judge(p, x):
    """The last hidden state, and the probability that the video is an original."""
    last = lstm(p['discriminator']['lstm'], x)[-1]
    return last, sigmoid(dense(p['discriminator']['class'], last))[0]


def perceptron(p, x):
    for layer in ('hidden_0', 'hidden_1'):
        x = np.maximum(dense(p[layer], x), 0)
    return dense(p['out'], x)


class Trainer:
    """The parameters, all of them as the updates so far have left them, and the optimizers' moments."""

    def __init__(self, state, settings):
        self.params, self.settings = exact(state.params), settings
        self.norms = []
        self.moments = {name: by_hand.moments_of(one) for name, one in state.optimizer.items()}

    def update(self, name, parts, rate, loss):
        """One update of some parts by the gradient of `loss(params)`."""
        own = {part: self.params[part] for part in parts}
        grads = by_hand.gradient(lambda moved: loss(self.params | moved), own)
        self.norms.append(by_hand.norm(grads))
        after, self.moments[name] = by_hand.adam_l2(own, grads, self.moments[name], self.settings, rate)
        self.params = self.params | after


def alternate(trainer, videos, noises, picks_of):
    """The four updates; every loss is the mean of the videos."""
    start = trainer.params
    real = [judge(start, score(start, video)[0])[0] for video in videos]

    def encoder_loss(p, video, noise, real):
        compressed, scores = score(p, video)
        mean, log_variance, latent = encode(p, compressed, scores, noise[0])
        rebuilt = judge(p, decode(p, latent, len(video)))[0]
        prior = (mean**2 + np.exp(log_variance) - 1 - log_variance).mean() / 2
        # The original's side is a constant.
        return ((rebuilt - real) ** 2).mean() + prior + abs(scores.mean() - SHARE)

    def over(loss, *inputs):
        return lambda p: np.mean([loss(p, *one) for one in zip(*inputs, strict=True)])

    first = over(encoder_loss, videos, noises, real)
    trainer.update('encoder', ('compression', 'estimator', 'encoder'), RATE, first)

    p = trainer.params
    pairs = [score(p, video) for video in videos]
    latents = [encode(p, *pair, noise[1])[2] for pair, noise in zip(pairs, noises, strict=True)]

    def decoder_loss(p, pair, latent):
        """Near to the original, and taken for one."""
        rebuilt, probability = judge(p, decode(p, latent, len(pair[1])))
        return ((rebuilt - judge(p, pair[0])[0]) ** 2).mean() + (1 - probability) ** 2

    trainer.update('decoder', ('decoder',), RATE, over(decoder_loss, pairs, latents))
    p = trainer.params
    rebuilt = [decode(p, latent, len(pair[1])) for pair, latent in zip(pairs, latents, strict=True)]

    def discriminator_loss(p, pair, rebuilt):
        """1 for the original, 0 for the rebuilt."""
        return (1 - judge(p, pair[0])[1]) ** 2 + judge(p, rebuilt)[1] ** 2

    second = over(discriminator_loss, pairs, rebuilt)
    trainer.update('discriminator', ('discriminator',), DISCRIMINATOR_RATE, second)
    games = [
        game(trainer.params, *pair, noise[1], picks)
        for pair, noise, picks in zip(pairs, noises, picks_of(pairs), strict=True)
    ]
    trainer.update('actor_critic', ('actor', 'critic'), RATE, over(game_loss, *zip(*games, strict=True)))


def fragment_of(n):
    return np.arange(n) * FRAGMENTS // n


def fragment_means(scores):
    return np.array([scores[fragment_of(len(scores)) == k].mean() for k in range(FRAGMENTS)])


def game(p, compressed, scores, noise, picks):
    """What the actor saw and what was free at every pick, the picks, their returns, the critic's values."""
    taken, states, free, rewards = np.zeros(FRAGMENTS, bool), [], [], []
    for pick in picks:
        states.append(np.where(taken, 1, fragment_means(scores)))
        free.append(~taken)
        taken = taken | (np.arange(FRAGMENTS) == pick)
        kept = scores * taken[fragment_of(len(scores))]
        rebuilt = decode(p, encode(p, compressed, kept, noise)[2], len(scores))
        rewards.append(1 - abs(judge(p, compressed)[1] - judge(p, rebuilt)[1]))
    returns = [sum(DISCOUNT**k * later for k, later in enumerate(rewards[n:])) for n in range(len(rewards))]
    values = [perceptron(p['critic'], state)[0] for state in states]
    return states, free, picks, returns, values


def game_loss(p, states, free, picks, returns, values):
    """The actor's policy gradient and entropy, and the critic's squared error, means over the picks."""
    total = 0
    for state, open_, pick, returned, value in zip(states, free, picks, returns, values, strict=True):
        odds = np.where(open_, np.exp(perceptron(p['actor'], state)), 0)
        policy = odds[open_] / odds.sum()
        total -= (returned - value) * np.log(odds[pick] / odds.sum())
        total += ENTROPY * (policy * np.log(policy)).sum()
        total += (returned - perceptron(p['critic'], state)[0]) ** 2
    return total / len(picks)


def test_a_step_of_acsumgan_is_that_of_numpy():
    fields = {
        'batch': 3, 'width': WIDTH, 'layers': 1, 'fragments': FRAGMENTS, 'picks': 3, 'actor_width': 3,
        'learning_rate': RATE, 'discriminator_learning_rate': DISCRIMINATOR_RATE, 'weight_decay': 0.2,
        'clip': 0.2, 'share': SHARE, 'entropy_weight': ENTROPY,
    }  # fmt: skip
    videos, rng = by_hand.videos(), np.random.default_rng(6)
    setting = RivalSetting(
        'acsumgan', videos=videos, folds=[Fold(tuple(video.key for video in videos), ())],
        **{f'acsumgan.{name}': value for name, value in fields.items()},
    )  # fmt: skip
    run = jax.tree.map(lambda leaf: leaf[0], setting.runs)
    state = jax.jit(setting.stage.init)(run, ())
    state = state._replace(
        params=by_hand.moved(state.params, rng),
        optimizer={name: by_hand.on_the_way(one, rng) for name, one in state.optimizer.items()},
    )
    # The last row, of video 0, is padding.
    keys = jax.random.split(jax.random.key(7), 3)
    batch = Batch(jnp.array([1, 2, 0]), jnp.array([1.0, 1, 0]), keys, jnp.float32(3))
    after, _ = jax.jit(setting.stage.step)(state, batch, setting.corpus, run, ())

    # Drawn as the step draws: two noises and the key of a game for every video.
    *noise_keys, game_keys = jax.vmap(lambda key: jax.random.split(key, 3))(keys[:2]).T
    normal = jax.vmap(lambda key: jax.random.normal(key, (WIDTH,)))
    noises = list(zip(*(np.array(normal(of_video), np.float64) for of_video in noise_keys), strict=True))

    @jax.jit
    @jax.vmap
    def play(key, means):
        """The actor is as it was: the updates before its own leave it alone."""
        act = functools.partial(setting.module.apply, {'params': state.params}, method=AcSumGan.act)
        return picking.play(key, act, means, jnp.ones(FRAGMENTS, bool), 3).picks

    def picks_of(pairs):
        means = np.array([fragment_means(scores) for _, scores in pairs], np.float32)
        return np.asarray(play(game_keys, means))

    trainer = Trainer(state, setting.config.acsumgan)
    alternate(trainer, [videos[i].features.astype(np.float64) for i in (1, 2)], noises, picks_of)
    assert min(trainer.norms) < 0.2 < max(trainer.norms), 'all are clipped, or none'
    assert_near(after.params, trainer.params)
    for name, moments in trainer.moments.items():
        assert_near(by_hand.moments_of(after.optimizer[name]), moments)
