"""AC-SUM-GAN's networks (Apostolidis et al., TCSVT 2021): a GAN over whole videos, with actor and critic.

The paper's, as it is known: features are compressed linearly; a bidirectional LSTM, the state estimator,
scores the frames; the video is cut into M fragments, whose mean scores are the state of a game in which the
actor picks fragments one by one; a variational autoencoder of LSTMs rebuilds the video from the weighted
features; a discriminator LSTM tells original from rebuilt, and its last hidden state is where the two are
compared.

Written from its abstract and from what is told elsewhere of it: the full text was not at hand. Sizes and
rates are those of the settings that its authors released. Ours [O]: the decoder is fed its latent at every
step; actor and critic have two hidden layers; a linear map ends the decoder; features are scaled by `sqrt(D)`
going in, as TR-SUM's are.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from trsum_jax.method.losses import mean_over
from trsum_jax.rivals.recurrent import Linear, Lstm

_LEAST = 1e-6


class StateEstimator(nn.Module):
    """Frame scores by a bidirectional LSTM and one sigmoid unit."""

    width: int
    layers: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: chex.Array, valid: chex.Array) -> chex.Array:
        """[B, T, H] and [B, T] bool to [B, T] float32 in (0, 1)."""
        hidden = Lstm(self.width, self.layers, bidirectional=True, dtype=self.dtype, name='lstm')(x, valid)
        return nn.sigmoid(nn.Dense(1, name='score')(hidden)[..., 0])


class LatentEncoder(nn.Module):
    """Mean and log variance of a video's latent, from the last hidden state of an LSTM."""

    width: int
    layers: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: chex.Array, valid: chex.Array, weights: chex.Array
    ) -> tuple[chex.Array, chex.Array]:
        """[B, T, H], [B, T] bool and the frames' weights [B, T] to two [B, H]."""
        last = Lstm(self.width, self.layers, dtype=self.dtype, name='lstm')(x, valid, weights)[:, -1]
        return nn.Dense(self.width, name='mean')(last), nn.Dense(self.width, name='log_variance')(last)


class Decoder(nn.Module):
    """A video from its latent."""

    width: int
    layers: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latent: chex.Array, valid: chex.Array) -> chex.Array:
        """[B, H] and [B, T] bool to [B, T, H]."""
        hidden = Lstm(self.width, self.layers, dtype=self.dtype, name='lstm')(latent[:, None], valid)
        return Linear(self.width, self.dtype, name='out')(hidden)


class Discriminator(nn.Module):
    """Tells a rebuilt video from the original."""

    width: int
    layers: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: chex.Array, valid: chex.Array) -> tuple[chex.Array, chex.Array]:
        """[B, T, H] and [B, T] bool to the last hidden state [B, H] and the probability of original [B]."""
        last = Lstm(self.width, self.layers, dtype=self.dtype, name='lstm')(x, valid)[:, -1]
        return last, nn.sigmoid(nn.Dense(1, name='class')(last)[..., 0])


class Perceptron(nn.Module):
    """Linear layers with ReLU between them: actor and critic."""

    width: int
    out: int

    @nn.compact
    def __call__(self, state: chex.Array) -> chex.Array:
        """[..., M] to [..., out]."""
        for layer in range(2):
            state = nn.relu(nn.Dense(self.width, name=f'hidden_{layer}')(state))
        return nn.Dense(self.out, name='out')(state)


class AcSumGan(nn.Module):
    """All parts; the parameters of each stand under its name in `PARTS`.

    Attributes:
        width: H, of the compressed features and of all LSTMs.
        layers: of each LSTM.
        fragments: M.
        actor_width: of the hidden layers of actor and critic.
        feature_scale: features are multiplied by it.
        dtype: of the operands of the large products (`Lstm`).
    """

    width: int
    layers: int
    fragments: int
    actor_width: int
    feature_scale: float
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Names the parts."""
        self.compression = Linear(self.width, self.dtype)
        self.estimator = StateEstimator(self.width, self.layers, self.dtype)
        self.encoder = LatentEncoder(self.width, self.layers, self.dtype)
        self.decoder = Decoder(self.width, self.layers, self.dtype)
        self.discriminator = Discriminator(self.width, self.layers, self.dtype)
        self.actor = Perceptron(self.actor_width, self.fragments)
        self.critic = Perceptron(self.actor_width, 1)

    def __call__(self, frames: chex.Array, valid: chex.Array) -> chex.Array:
        """Logits of every frame's importance: its score times its fragment's probability, over the greatest.

        The paper's game needs a score that ranks all frames, not the picked fragments alone [O].

        Args:
            frames: [B, T, D] float32.
            valid: [B, T] bool.

        Returns:
            [B, T] float32.
        """
        _, scores = self.score(frames, valid)

        def importance(scores, valid):
            fragment = fragments_of(valid, self.fragments)
            state, present = fragment_scores(scores, fragment, valid, self.fragments)
            probability = jax.nn.softmax(jnp.where(present, self.actor(state), -jnp.inf))
            value = scores * probability[fragment] / jnp.max(probability)
            return jax.scipy.special.logit(jnp.clip(value, _LEAST, 1 - _LEAST))

        return jax.vmap(importance)(scores, valid)

    def score(self, frames: chex.Array, valid: chex.Array) -> tuple[chex.Array, chex.Array]:
        """Compressed features [B, T, H] and frame scores [B, T] from frames [B, T, D]."""
        compressed = self.compression(frames * self.feature_scale)
        return compressed, self.estimator(compressed, valid)

    def encode(
        self, compressed: chex.Array, weights: chex.Array, valid: chex.Array, noise: chex.Array
    ) -> tuple[chex.Array, chex.Array, chex.Array]:
        """Mean, log variance and a draw [B, H] of the latent of the features weighted by [B, T]."""
        mean, log_variance = self.encoder(compressed, valid, weights)
        return mean, log_variance, mean + jnp.exp(0.5 * log_variance) * noise

    def decode(self, latent: chex.Array, valid: chex.Array) -> chex.Array:
        """The rebuilt compressed features, [B, T, H]."""
        return self.decoder(latent, valid)

    def judge(self, x: chex.Array, valid: chex.Array) -> tuple[chex.Array, chex.Array]:
        """The discriminator: last hidden state [B, H], probability of original [B]."""
        return self.discriminator(x, valid)

    def act(self, state: chex.Array) -> chex.Array:
        """The actor's logits, [..., M]."""
        return self.actor(state)

    def value(self, state: chex.Array) -> chex.Array:
        """The critic's value of a state, [...]."""
        return self.critic(state)[..., 0]

    def every_part(self, frames: chex.Array, valid: chex.Array) -> None:
        """Calls each part once, for `init`."""
        compressed, scores = self.score(frames, valid)
        _, _, latent = self.encode(compressed, scores, valid, jnp.zeros((frames.shape[0], self.width)))
        self.judge(self.decode(latent, valid), valid)
        state = jnp.zeros((frames.shape[0], self.fragments))
        self.act(state)
        self.value(state)


PARTS = ('compression', 'estimator', 'encoder', 'decoder', 'discriminator', 'actor', 'critic')


def fragments_of(valid: chex.Array, fragments: int) -> chex.Array:
    """The fragment of every frame: M runs of consecutive frames whose lengths differ by one at most.

    Args:
        valid: [T] bool, true up to the video's length n.
        fragments: M; where n < M, some fragments are empty.

    Returns:
        [T] int32 in [0, M), `floor(t M / n)`; M - 1 over padding.
    """
    chex.assert_rank(valid, 1)
    step = jnp.arange(valid.shape[0])
    return jnp.minimum(step * fragments // jnp.maximum(jnp.sum(valid), 1), fragments - 1)


def fragment_scores(
    scores: chex.Array, fragment: chex.Array, valid: chex.Array, fragments: int
) -> tuple[chex.Array, chex.Array]:
    """The state of the game: every fragment's mean score.

    Args:
        scores: [T] float32.
        fragment: [T] int32 from `fragments_of`.
        valid: [T] bool.
        fragments: M.

    Returns:
        [M] float32, 0 where a fragment is empty, and [M] bool, whether it has a frame.
    """
    chex.assert_rank([scores, fragment, valid], 1)
    total = jax.ops.segment_sum(jnp.where(valid, scores, 0.0), fragment, num_segments=fragments)
    count = jax.ops.segment_sum(valid.astype(jnp.float32), fragment, num_segments=fragments)
    return total / jnp.maximum(count, 1.0), count > 0


def prior_loss(mean: chex.Array, log_variance: chex.Array) -> chex.Array:
    """`KL(N(mean, e^log_variance) || N(0, 1))`, averaged over the latent's H entries [O].

    Args:
        mean: [H] float32.
        log_variance: [H] float32.

    Returns:
        A float32 scalar, `-1/2 mean(1 + log_variance - mean² - e^log_variance)`.
    """
    chex.assert_rank([mean, log_variance], 1)
    return -0.5 * jnp.mean(1 + log_variance - jnp.square(mean) - jnp.exp(log_variance))


def sparsity_loss(scores: chex.Array, valid: chex.Array, share: float) -> chex.Array:
    """`|mean score - σ|` over the valid frames; [T] float32 and [T] bool to a scalar."""
    return jnp.abs(mean_over(scores, valid) - share)
