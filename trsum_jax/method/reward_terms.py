"""What else may count in an episode's reward besides the reconstruction, and the weighted sum of it all.

Every term is a pure function of one segment and one action; padded frames never matter. Means are taken over
the selected frames, so that no term rewards a mere number of frames; the length is the penalty's business.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from trsum_jax.method.losses import mean_over
from trsum_jax.method.rewards import reward_and_parts

_EPSILON = 1e-8


def diversity(frames: jax.Array, valid: jax.Array, action: jax.Array) -> jax.Array:
    """Mean dissimilarity `1 - cos` over all pairs of selected frames (DR-DSN; Zhou et al., AAAI 2018).

    Args:
        frames: [L, D] float.
        valid: [L] bool.
        action: [L] bool, the selected frames.

    Returns:
        A float32 scalar in [0, 2]; 0 where fewer than two frames are selected.
    """
    chex.assert_rank([frames, valid, action], [2, 1, 1])
    chosen = valid & action
    unit = jnp.where(chosen[:, None], _unit(frames), 0.0)
    count = jnp.sum(chosen).astype(jnp.float32)
    # |Σ u|² holds every ordered pair's cosine, and that of each frame with itself.
    cosines = jnp.sum(jnp.square(jnp.sum(unit, axis=0))) - jnp.sum(jnp.square(unit))
    pairs = count * (count - 1)
    return jnp.where(pairs > 0, 1.0 - cosines / jnp.maximum(pairs, 1.0), 0.0)


def representativeness(frames: jax.Array, valid: jax.Array, action: jax.Array) -> jax.Array:
    """`exp(-(1/T) Σ_t min_{s selected} ‖x_t - x_s‖)`: how near every frame has a selected one (DR-DSN).

    Args:
        frames: [L, D] float.
        valid: [L] bool.
        action: [L] bool, the selected frames.

    Returns:
        A float32 scalar in [0, 1]; 0 where no frame is selected.
    """
    chex.assert_rank([frames, valid, action], [2, 1, 1])
    x = jnp.where(valid[:, None], frames.astype(jnp.float32), 0.0)
    return nearness(distances(x), valid, valid & action)


def distances(frames: jax.Array) -> jax.Array:
    """`‖x_t - x_s‖` between all frames.

    Args:
        frames: [L, D] float32.

    Returns:
        [L, L] float32, 0 on the diagonal.
    """
    chex.assert_rank(frames, 2)
    squares = jnp.sum(jnp.square(frames), axis=1)
    apart = jnp.sqrt(jnp.maximum(squares[:, None] + squares[None] - 2 * frames @ frames.T, 0.0))
    # A frame's distance to itself is 0, whatever the rounding above makes of it: its root is not small.
    return jnp.where(jnp.eye(frames.shape[0], dtype=bool), 0.0, apart)


def nearness(distance: jax.Array, valid: jax.Array, chosen: jax.Array) -> jax.Array:
    """`exp(-mean_t min_{s chosen} d_ts)`: `representativeness` from distances that are known.

    Args:
        distance: [L, L] float32.
        valid: [L] bool; padding is not averaged over.
        chosen: [L] bool, the selected frames, all of them valid.

    Returns:
        A float32 scalar in [0, 1]; 0 where nothing is chosen.
    """
    chex.assert_rank([distance, valid, chosen], [2, 1, 1])
    nearest = jnp.min(jnp.where(chosen[None], distance, jnp.inf), axis=1)
    return jnp.where(jnp.any(chosen), jnp.exp(-mean_over(nearest, valid)), 0.0)


def transitions(change: jax.Array, valid: jax.Array, action: jax.Array) -> jax.Array:
    """Minus the mean change at the selected frames: a discount on frames next to a large change.

    Args:
        change: [L] float32, how much the video changes at each frame (`data.shots.frame_change`).
        valid: [L] bool.
        action: [L] bool, the selected frames.

    Returns:
        A float32 scalar; 0 where no frame is selected.
    """
    chex.assert_rank([change, valid, action], 1)
    return -mean_over(change, valid & action)


def coverage(shot: jax.Array, valid: jax.Array, action: jax.Array) -> jax.Array:
    """The share of the segment's shots that have a selected frame.

    Args:
        shot: [L] int32, the shot of each frame.
        valid: [L] bool.
        action: [L] bool, the selected frames.

    Returns:
        A float32 scalar in [0, 1].
    """
    chex.assert_rank([shot, valid, action], 1)
    same = (shot[:, None] == shot[None]) & valid[:, None] & valid[None]
    covered = jnp.any(same & action[None], axis=1)
    # Each frame weighs one over the frames of its shot, so that every shot weighs 1.
    weight = jnp.where(valid, 1.0 / jnp.maximum(jnp.sum(same, axis=1), 1), 0.0)
    return mean_over(covered.astype(jnp.float32), weight)


def side_agreement(side: jax.Array, valid: jax.Array, action: jax.Array) -> jax.Array:
    """Correlation of the action with each column of a second modality, averaged over the columns.

    Args:
        side: [L, K] float32, such as the energy of the sound at each frame.
        valid: [L] bool.
        action: [L] bool, the selected frames.

    Returns:
        A float32 scalar in [-1, 1]; a column that is constant, or an action that is, counts as 0.
    """
    chex.assert_rank([side, valid, action], [2, 1, 1])
    weight = valid.astype(jnp.float32)[:, None]
    count = jnp.maximum(jnp.sum(weight), 1.0)

    def centred(x: jax.Array) -> jax.Array:
        x = jnp.where(weight > 0, x, 0.0)
        return (x - jnp.sum(x, axis=0, keepdims=True) / count) * weight

    a, s = centred(action.astype(jnp.float32)[:, None]), centred(side.astype(jnp.float32))
    product = jnp.sum(a * s, axis=0)
    spread = jnp.sqrt(jnp.sum(jnp.square(a), axis=0) * jnp.sum(jnp.square(s), axis=0))
    return jnp.mean(jnp.where(spread > _EPSILON, product / jnp.maximum(spread, _EPSILON), 0.0))


def _unit(frames: jax.Array) -> jax.Array:
    frames = frames.astype(jnp.float32)
    return frames / jnp.maximum(jnp.linalg.norm(frames, axis=1, keepdims=True), _EPSILON)


class Episode(NamedTuple):
    """What a term may look at: one segment, one action, and what came of it.

    Attributes:
        frames: [L, D], the original features.
        valid: [L] bool.
        action: [L] bool, the frames that the episode selects.
        shot: [L] int32, the shot of each frame.
        change: [L] float32, how much the video changes at each frame.
        side: [L, K] float32, a second modality.
        reconstructed: a float32 scalar, the paper's reward.
    """

    frames: jax.Array
    valid: jax.Array
    action: jax.Array
    shot: jax.Array
    change: jax.Array
    side: jax.Array
    reconstructed: jax.Array


# All terms: another one is a function above and a line here. The config, its checks and the tests read this.
TERMS: dict[str, Callable[[Episode], jax.Array]] = {
    'reconstruction': lambda of: of.reconstructed,
    'diversity': lambda of: diversity(of.frames, of.valid, of.action),
    'representativeness': lambda of: representativeness(of.frames, of.valid, of.action),
    'transitions': lambda of: transitions(of.change, of.valid, of.action),
    'coverage': lambda of: coverage(of.shot, of.valid, of.action),
    'side': lambda of: side_agreement(of.side, of.valid, of.action),
}


def weighted_sum(
    weights: Mapping[str, float],
    frames: jax.Array,
    valid: jax.Array,
    action: jax.Array,
    reconstruction: jax.Array,
    shot: jax.Array,
    change: jax.Array,
    side: jax.Array,
    *,
    reconstruct: str,
    over: str,
    more: Mapping[str, Callable[[Episode], jax.Array]] = MappingProxyType({}),
) -> tuple[jax.Array, jax.Array]:
    """`Σ_k w_k R_k` of one episode; with `reconstruction` alone at weight 1, the paper's reward.

    Args:
        weights: by name among `TERMS` and `more`; a term of weight 0, or not named, is not computed.
        frames: [L, D], the original features.
        valid: [L] bool.
        action: [L] bool, the frames that the episode selects; float in [0, 1] where reconstruction is alone.
        reconstruction: [L, D], what the generator makes of the selected frames.
        shot: [L] int32.
        change: [L] float32, how much the video changes at each frame.
        side: [L, K] float32.
        reconstruct: see `reward_and_parts`.
        over: see `reward_and_parts`.
        more: terms beside `TERMS`.

    Returns:
        A float32 scalar, and [L] float32, the frames' parts in the reconstruction's share of it
        (`rewards.reward_and_parts`): the other terms have none.
    """
    reconstructed, parts = reward_and_parts(
        frames, valid, action, reconstruction, reconstruct=reconstruct, over=over
    )
    of = Episode(frames, valid, action, shot, change, side, reconstructed)
    terms = {**TERMS, **more}
    total = sum(
        (weights[name] * term(of) for name, term in terms.items() if weights.get(name)), jnp.zeros(())
    )
    return total, weights.get('reconstruction', 0.0) * parts
