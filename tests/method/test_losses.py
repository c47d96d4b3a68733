import jax.numpy as jnp
import numpy as np
import pytest
from by_hand import reconstruction_reward

from trsum_jax.method import losses
from trsum_jax.method.rewards import reward_and_parts, unselected

FRAMES = jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]])
REBUILT = jnp.array([[0.0, 1.0], [0.0, 1.0], [3.0, 4.0]])
# Frame 0: L1 (1 + 1)/2, cosine 0. Frame 1: L1 1/2, cosine 1. Frame 2: both perfect.
BY_HAND = np.array([2.0, 0.5, 0.0])


def test_frame_losses_by_hand():
    np.testing.assert_allclose(losses.frame_losses(FRAMES, REBUILT), BY_HAND, atol=1e-6)


def test_a_frame_of_zeros_has_a_finite_loss():
    assert np.all(np.isfinite(losses.frame_losses(jnp.zeros((1, 3)), jnp.zeros((1, 3)))))


def test_mean_over_ignores_what_has_no_weight():
    values = jnp.array([1.0, 2.0, jnp.nan])
    assert losses.mean_over(values, jnp.array([True, True, False])) == 1.5
    assert losses.mean_over(values, jnp.zeros(3, bool)) == 0.0


def test_weights_of_less_than_one_in_all_are_weights_too():
    assert losses.mean_over(jnp.array([1.0, 3.0]), jnp.array([0.375, 0.125])) == 1.5


def test_frames_are_kept_whole_in_part_or_not_at_all():
    frames = FRAMES.at[1].set(jnp.nan)
    kept = losses.keep(frames, jnp.array([True, False, True]))
    np.testing.assert_array_equal(kept, [[1, 0], [0, 0], [3, 4]])
    np.testing.assert_array_equal(losses.keep(FRAMES, jnp.array([0, 0.5, 1])), [[0, 0], [0, 1], [3, 4]])


def test_mean_frame_by_hand():
    np.testing.assert_allclose(losses.mean_frame(FRAMES, jnp.array([False, False, True])), [3.0, 4.0])
    np.testing.assert_allclose(losses.mean_frame(FRAMES, jnp.array([True, False, True])), [2.0, 2.0])
    np.testing.assert_allclose(losses.mean_frame(FRAMES, jnp.zeros(3, bool)), [0.0, 0.0])


def test_copy_nearest_takes_the_earlier_on_a_tie():
    frames = jnp.arange(5.0)[:, None]
    visible = jnp.array([True, False, False, False, True])
    np.testing.assert_array_equal(losses.copy_nearest(frames, visible)[:, 0], [0, 0, 0, 4, 4])
    np.testing.assert_array_equal(losses.copy_nearest(frames, jnp.zeros(5, bool))[:, 0], np.zeros(5))


@pytest.mark.parametrize(
    ('reconstruct', 'over', 'loss'),
    [
        ('generator', 'all', (2.0 + 0.5) / 3),
        ('generator', 'unselected', (0.5 + 0.0) / 2),
        ('composed', 'all', 0.5 / 3),
        ('composed', 'unselected', 0.5 / 2),
    ],
)
def test_reward_by_hand(reconstruct, over, loss):
    # A padded fourth frame, rebuilt badly, must not count.
    frames, rebuilt = (
        jnp.pad(FRAMES, ((0, 1), (0, 0))),
        jnp.pad(REBUILT, ((0, 1), (0, 0)), constant_values=9.0),
    )
    valid = jnp.array([True, True, True, False])
    action = jnp.array([True, False, False, False])
    reward = reconstruction_reward(frames, valid, action, rebuilt, reconstruct=reconstruct, over=over)
    assert reward == pytest.approx(1 / (1 + np.exp(loss)), abs=1e-6)
    soft = reconstruction_reward(
        frames, valid, action.astype(float), rebuilt, reconstruct=reconstruct, over=over
    )
    assert soft == pytest.approx(float(reward), abs=1e-6)


def test_what_an_action_hides_is_of_its_type():
    hard = unselected(jnp.array([True, False]))
    assert hard.dtype == bool
    assert hard.tolist() == [False, True]
    assert unselected(jnp.array([1.0, 0.25])).tolist() == [0.0, 0.75]


@pytest.mark.parametrize(
    ('action', 'reconstruct', 'over', 'shares'),
    [
        ((True, False, False), 'generator', 'all', (2 / 3, 0.5 / 3, 0)),
        ((True, False, False), 'composed', 'all', (0, 0.5 / 3, 0)),
        ((True, False, False), 'generator', 'unselected', (0, 0.5 / 2, 0)),
        ((True, False, True), 'generator', 'unselected', (0, 0.5, 0)),
        ((0.5, 0.0, 0.0), 'generator', 'all', (2 / 3, 0.5 / 3, 0)),
        ((0.5, 0.0, 0.0), 'composed', 'all', (1 / 3, 0.5 / 3, 0)),
        ((0.5, 0.0, 0.0), 'generator', 'unselected', (0.5 * 2 / 2.5, 0.5 / 2.5, 0)),
    ],
)
def test_a_frames_part_in_the_reward_by_hand(action, reconstruct, over, shares):
    valid, how = jnp.ones(3, bool), {'reconstruct': reconstruct, 'over': over}
    reward, parts = reward_and_parts(FRAMES, valid, jnp.array(action), REBUILT, **how)
    assert reward == pytest.approx(1 / (1 + np.exp(sum(shares))), abs=1e-6)
    # The slope of the sigmoid times the frame's share in the loss.
    slope = np.exp(sum(shares)) / (1 + np.exp(sum(shares))) ** 2
    np.testing.assert_allclose(parts, -slope * np.array(shares), atol=1e-6)


def test_selecting_everything_is_the_best_composed_reward():
    everything = jnp.ones(3, bool)
    reward = reconstruction_reward(
        FRAMES, everything, everything, REBUILT, reconstruct='composed', over='all'
    )
    assert reward == 0.5
