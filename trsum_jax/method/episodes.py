"""The policy gradient: episodes, their probability, the baseline, the surrogate loss (paper, section III)."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.losses import mean_over

BASELINES = ('moving_average', 'leave_one_out', 'greedy', 'none')
STARTS = ('first', 'zero')
REDUCTIONS = ('sum', 'mean')
PENALTIES = ('square', 'absolute')


class Baseline(NamedTuple):
    """A moving average of rewards for every video.

    Attributes:
        value: [V] float32.
        seen: [V] bool, whether the video has given a reward yet.
    """

    value: jax.Array
    seen: jax.Array


class Draw(NamedTuple):
    """Episodes of a segment, and the policy that drew them.

    Attributes:
        logits: [L] float32, constants.
        actions: [N, L] bool.
    """

    logits: jax.Array
    actions: jax.Array


def sample(key: chex.PRNGKey, logits: jax.Array, valid: jax.Array, n_episodes: int) -> jax.Array:
    """Draws `a_t ~ Bernoulli(p_t)` for every episode.

    Args:
        key: a typed key.
        logits: [L] float32 of `p_t`.
        valid: [L] bool; padding is never selected.
        n_episodes: N.

    Returns:
        [N, L] bool.
    """
    chex.assert_rank([logits, valid], 1)
    uniform = jax.random.uniform(key, (n_episodes, logits.shape[0]))
    return (uniform < jax.nn.sigmoid(logits)[None]) & valid[None]


def log_probability(logits: jax.Array, action: jax.Array, valid: jax.Array, reduction: str) -> jax.Array:
    """`log π(a) = Σ_t a_t log p_t + (1 - a_t) log(1 - p_t)` over the valid frames of one episode.

    Args:
        logits: [L] float32.
        action: [L] bool.
        valid: [L] bool.
        reduction: `sum` as in the equation, or `mean` over frames, the field's habit.

    Returns:
        A float32 scalar.
    """
    chex.assert_rank([logits, action, valid], 1)
    terms = jnp.where(action, jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits))
    total = jnp.sum(jnp.where(valid, terms, 0.0))
    return total / jnp.maximum(jnp.sum(valid), 1) if reduction == 'mean' else total


def surrogate(
    logits: jax.Array, actions: jax.Array, advantages: jax.Array, valid: jax.Array, reduction: str
) -> jax.Array:
    """The scalar whose gradient is REINFORCE's: `-(1/N) Σ_n A_n ∇ log π(a_n)`.

    Args:
        logits: [L] float32.
        actions: [N, L] bool.
        advantages: [N] float32, constants.
        valid: [L] bool.
        reduction: of the log-probability, `sum` or `mean`.

    Returns:
        A float32 scalar.
    """
    chex.assert_rank([logits, actions, advantages, valid], [1, 2, 1, 1])
    log_probabilities = jax.vmap(log_probability, (None, 0, None, None))(logits, actions, valid, reduction)
    return weighed(log_probabilities, advantages)


def weighed(log_probabilities: jax.Array, advantages: jax.Array) -> jax.Array:
    """`-(1/N) Σ_n A_n log π(a_n)` of any policy, whose gradient is REINFORCE's.

    Args:
        log_probabilities: [N] float32, of the episodes.
        advantages: [N] float32, taken as constants.

    Returns:
        A float32 scalar.
    """
    chex.assert_rank([log_probabilities, advantages], 1)
    return -jnp.mean(jax.lax.stop_gradient(advantages) * log_probabilities)


def length_penalty(logits: jax.Array, valid: jax.Array, share: float | jax.Array, penalty: str) -> jax.Array:
    """`(mean(p) - δ)²` or `|mean(p) - δ|`, which keeps the summary's length near the share δ.

    Args:
        logits: [L] float32.
        valid: [L] bool.
        share: δ.
        penalty: `square` or `absolute`.

    Returns:
        A float32 scalar.
    """
    excess = mean_over(jax.nn.sigmoid(logits), valid) - share
    return jnp.abs(excess) if penalty == 'absolute' else jnp.square(excess)


def leave_one_out(rewards: jax.Array) -> jax.Array:
    """For every episode the mean reward of the others (RLOO; Kool et al., 2019).

    Args:
        rewards: [N] float32, N at least 2.

    Returns:
        [N] float32.
    """
    chex.assert_rank(rewards, 1)
    n = rewards.shape[0]
    return (jnp.sum(rewards) - rewards) / (n - 1)


def start_baseline(n_videos: int, start: str) -> Baseline:
    """A baseline at 0 (`zero`), or one that begins at the first reward of each video (`first`)."""
    return Baseline(jnp.zeros(n_videos), jnp.full(n_videos, start == 'zero'))


def baseline_of(baseline: Baseline, video: int | jax.Array) -> Baseline:
    """The scalars of one video."""
    return Baseline(baseline.value[video], baseline.seen[video])


def current_baseline(own: Baseline, reward: jax.Array) -> jax.Array:
    """The baseline of a segment: its video's average, or its own mean reward where the video is new.

    Args:
        own: scalars of the segment's video.
        reward: float32 scalar, mean reward of the segment's episodes.

    Returns:
        A float32 scalar.
    """
    return jnp.where(own.seen, own.value, reward)


def unit(spread: Baseline | tuple[()], square: jax.Array) -> jax.Array:
    """What advantages are multiplied by to be in units of their own spread (ours).

    Rewards come in any size, which the length penalty and the optimizer's clip should not see.

    Args:
        spread: [1], the moving average of squared advantages; empty: the reward's own unit.
        square: float32 scalar, mean square of the segment's own, which stands in before there is an average.

    Returns:
        A float32 scalar, one over the root; 1 where no advantage was anything but 0.
    """
    if not spread:
        return jnp.ones(())
    now = current_baseline(baseline_of(spread, 0), jax.lax.stop_gradient(square))
    return jax.lax.rsqrt(jnp.where(now > 0, now, 1.0))


def update_spread(
    spread: Baseline | tuple[()], squares: jax.Array, weight: jax.Array, momentum: float | jax.Array
) -> Baseline | tuple[()]:
    """The spread after a batch, as `update_baseline`: one moving average for all videos of a run.

    Args:
        spread: [1], or empty, and then it stays so.
        squares: [B] float32, mean square of each segment's advantages.
        weight: as there, [B].
        momentum: as there.
    """
    if not spread:
        return spread
    return update_baseline(spread, jnp.zeros(squares.shape, int), squares, weight, momentum)


def update_baseline(
    baseline: Baseline,
    video: jax.Array,
    reward: jax.Array,
    weight: jax.Array,
    momentum: float | jax.Array,
) -> Baseline:
    """The moving averages after a batch: `b <- momentum * b + (1 - momentum) * r`.

    `r` is the mean reward of the video's segments in the batch; a video not seen before has `b = r`. Called
    once a step by `trsum.summarizer_step`, with its metric `reward`, whichever baseline is read.

    Args:
        baseline: of all V videos.
        video: [B] int32, the video of each segment.
        reward: [B] float32, mean reward of the segment's episodes.
        weight: [B] float32, 0 for padded segments.
        momentum: of the moving average, in [0, 1).

    Returns:
        The new `Baseline`; videos that the batch does not hold keep theirs.
    """
    chex.assert_equal_shape([video, reward, weight])
    n_videos = baseline.value.shape[0]
    total = jax.ops.segment_sum(weight, video, num_segments=n_videos)
    mean = jax.ops.segment_sum(weight * reward, video, num_segments=n_videos) / jnp.where(
        total > 0, total, 1.0
    )
    moved = jnp.where(baseline.seen, momentum * baseline.value + (1 - momentum) * mean, mean)
    present = total > 0
    return Baseline(jnp.where(present, moved, baseline.value), baseline.seen | present)
