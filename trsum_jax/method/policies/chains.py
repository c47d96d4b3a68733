"""A sequential policy: the choice at a frame depends on the choice before it, `π(a) = Π_t π(a_t | a_{t-1})`.

    π(a_t = 1 | a_{t-1}) = sigmoid(φ_t + κ_t s),   s = 1 after a frame that is selected, -1 after one that is
                                                   not, 0 at the first

φ_t and the coupling κ_t are linear in what the encoder gives at t, so that this is a maximum entropy Markov
model (McCallum, Freitag & Pereira, 2000), and 2 κ_t the logarithm of the odds ratio of two neighbours: over 0
they go together, under 0 they avoid each other. With all κ at 0 it is the Bernoulli policy; there training
begins, from the same φ.

Of all sequential policies the chain is the one that is known exactly: the probability that a frame is
selected, which is its score, and the entropy follow from a forward recursion (Baum et al., 1970), where a
longer memory would leave 2^T histories, or a mean over episodes, to score by. What it cannot say is how many
frames were selected so far. Neighbours are frames of one segment: the next ones in the sequential view, those
m apart in the dilated one. Padding is skipped.
"""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from trsum_jax.method import episodes
from trsum_jax.method.episodes import Baseline
from trsum_jax.method.estimators import Estimate, Level, RewardsOf, rewards_and_level
from trsum_jax.method.losses import entropies, mean_over
from trsum_jax.method.models import Summarizer


class ChainSummarizer(Summarizer):
    """The summarizer whose policy is the chain: φ by the score head, κ by a second one that starts at 0."""

    def heads(self, x: jax.Array) -> jax.Array:
        """φ and κ of the encoder's output [..., L, width], [..., L, 2] float32."""
        coupling = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros, name='coupling')
        return jnp.stack([super().heads(x), coupling(x)[..., 0]], axis=-1)

    @staticmethod
    def scores(logits: jax.Array, valid: jax.Array) -> jax.Array:
        """As `marginal_logits`, under leading axes."""
        return jnp.vectorize(marginal_logits, signature='(l,k),(l)->(l)')(logits, valid)

    @staticmethod
    def entropy(logits: jax.Array, valid: jax.Array) -> jax.Array:
        """As `entropy_of_chain`."""
        return entropy_of_chain(logits, valid)


def markov(
    key: chex.PRNGKey,
    logits: jax.Array,
    valid: jax.Array,
    rewards_of: RewardsOf,
    baseline: Baseline,
    *,
    n_episodes: int,
    reduction: str = 'sum',
    kind: str | Level = 'moving_average',
) -> Estimate:
    """REINFORCE, `(1/N) Σ_n (R_n - b) ∇ log π(a_n)`, with the chain for π.

    Unbiased for the expected reward of the chain, where the baseline is as in `estimators.reinforce`.

    Args:
        key: a typed key.
        logits: [L, 2] float32, φ and κ.
        valid: [L] bool.
        rewards_of: rewards of [N, L] bool actions.
        baseline: the moving average of the segment's video, scalars.
        n_episodes: N.
        reduction: of the log-probability, `sum` or `mean`.
        kind: as of `estimators.reinforce`; `greedy` takes the likelier choice at each frame, one after
            another.

    Returns:
        The estimate.
    """
    chex.assert_shape(logits, (*valid.shape, 2))
    now = jax.lax.stop_gradient(logits)
    uniform = jax.random.uniform(key, (n_episodes, valid.shape[0]))
    actions = follow(now, valid, uniform)
    likelier = follow(now, valid, jnp.full((1, valid.shape[0]), 0.5))[0]
    rewards, level = rewards_and_level(kind, baseline, actions, likelier, rewards_of)
    advantages = rewards - level
    of_one = jax.vmap(log_probability_of_chain, (None, 0, None, None))
    log_probabilities = of_one(logits, actions, valid, reduction)
    return Estimate(episodes.weighed(log_probabilities, advantages), rewards, advantages)


def follow(logits: jax.Array, valid: jax.Array, uniform: jax.Array) -> jax.Array:
    """Walks along the chain: a frame is selected where `u_t < π(1 | a_{t-1})`. Of uniform u exact draws.

    Args:
        logits: [L, 2] float32, φ and κ.
        valid: [L] bool; padding is never selected.
        uniform: [N, L] float32 in [0, 1).

    Returns:
        [N, L] bool.
    """
    chex.assert_rank([logits, valid, uniform], [2, 1, 2])

    def decide(before: jax.Array, frame: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        after_taken, after_left, real, u = frame
        taken = real & (u < jax.nn.sigmoid(jnp.where(before, after_taken, after_left)))
        return jnp.where(real, taken, before), taken

    start = jnp.zeros(uniform.shape[0], bool)
    return jax.lax.scan(decide, start, (*_given(logits, valid), valid, uniform.T))[1].T


def log_probability_of_chain(
    logits: jax.Array, action: jax.Array, valid: jax.Array, reduction: str = 'sum'
) -> jax.Array:
    """`log π(a) = Σ_t log π(a_t | a_{t-1})` over the valid frames, all at once: the action is known.

    Args:
        logits: [L, 2] float32, φ and κ.
        action: [L] bool.
        valid: [L] bool.
        reduction: `sum`, or `mean` over frames.

    Returns:
        A float32 scalar.
    """
    chex.assert_rank([logits, action, valid], [2, 1, 1])
    up_to = jax.lax.cummax(jnp.where(valid, jnp.arange(valid.shape[0]), -1))
    # Before the first there is none, and whichever is read is of no weight.
    before = action[jnp.concatenate([jnp.zeros(1, int), up_to[:-1]])]
    given = jnp.where(before, *_given(logits, valid))
    return episodes.log_probability(given, action, valid, reduction)


def marginal_logits(logits: jax.Array, valid: jax.Array) -> jax.Array:
    """`log P(a_t = 1) - log P(a_t = 0)` of every frame, whatever was chosen before it.

    `P(a_t = 1) = P(a_{t-1} = 1) σ(φ_t + κ_t) + P(a_{t-1} = 0) σ(φ_t - κ_t)`, likewise for 0, in logarithms.

    Args:
        logits: [L, 2] float32, φ and κ.
        valid: [L] bool.

    Returns:
        [L] float32; at padding that of the last frame before it.
    """
    taken, left = _marginals(logits, valid)
    return (taken - left)[1:]


def entropy_of_chain(logits: jax.Array, valid: jax.Array) -> jax.Array:
    """`H(a) / T = (1/T) Σ_t H(a_t | a_{t-1})`, in nats a frame, as `losses.entropy` is of a Bernoulli policy.

    Args:
        logits: [L, 2] float32, φ and κ.
        valid: [L] bool.

    Returns:
        A float32 scalar, from 0 to log 2.
    """
    taken, left = _marginals(logits, valid)
    after_taken, after_left = (entropies(given) for given in _given(logits, valid))
    return mean_over(jnp.exp(taken[:-1]) * after_taken + jnp.exp(left[:-1]) * after_left, valid)


def _given(logits: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[L] each, the logits after a frame that is selected and after one that is not; at the first φ twice."""
    coupling = jnp.where(jnp.cumsum(valid) > 1, logits[:, 1], 0.0)
    return logits[:, 0] + coupling, logits[:, 0] - coupling


def _marginals(logits: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[L + 1] each, `log P(a_t = 1)` and `log P(a_t = 0)`; before the first frame both are log 1/2."""
    chex.assert_rank([logits, valid], [2, 1])

    def step(
        before: tuple[jax.Array, jax.Array], frame: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        after_taken, after_left, real = frame
        taken, left = (
            jnp.logaddexp(
                before[0] + jax.nn.log_sigmoid(sign * after_taken),
                before[1] + jax.nn.log_sigmoid(sign * after_left),
            )
            for sign in (1.0, -1.0)
        )
        now = jnp.where(real, taken, before[0]), jnp.where(real, left, before[1])
        return now, now

    start = jnp.log(0.5), jnp.log(0.5)
    _, (taken, left) = jax.lax.scan(step, start, (*_given(logits, valid), valid))
    return jnp.concatenate([start[0][None], taken]), jnp.concatenate([start[1][None], left])
