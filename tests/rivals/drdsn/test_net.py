import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rivals_setting import FOLDS, RivalSetting
from tiny import tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import scorer
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json
from trsum_jax.method import reward_terms
from trsum_jax.results import filenames
from trsum_jax.rivals.drdsn import net

# Cosines: of 0 and 1 it is 0, of 0 and 2 it is .6, of 1 and 2 it is .8.
FRAMES = jnp.array([[3.0, 0.0], [0.0, 4.0], [1.8, 2.4]])
ALL = jnp.ones(3, bool)


def chosen(*frames):
    return jnp.isin(jnp.arange(3), jnp.array(frames))


@pytest.mark.parametrize(
    ('frames', 'window', 'expected'),
    [((0, 1), 20, 1.0), ((0, 2), 20, 0.4), ((0, 2), 1, 1.0), ((0, 1, 2), 20, 1.6 / 3), ((1,), 20, 0.0)],
)
def test_diversity_by_hand(frames, window, expected):
    found = net.diversity(net.dissimilarities(FRAMES, window), chosen(*frames))
    assert float(found) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ('frames', 'expected'),
    [((2,), np.exp(-(7.2**0.5 + 5.8**0.5) / 3)), ((0, 1, 2), 1.0), ((), 0.0)],
)
def test_representativeness_by_hand(frames, expected):
    # From (1.8, 2.4) to (3, 0): 1.2² + 2.4² = 7.2; to (0, 4): 1.8² + 1.6² = 5.8.
    found = reward_terms.nearness(reward_terms.distances(FRAMES), ALL, chosen(*frames))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_rewards_are_those_of_the_double_loop():
    rng = np.random.default_rng(0)
    frames, action = rng.standard_normal((12, 3)).astype(np.float32), rng.random(12) < 0.5
    picked = np.flatnonzero(action)
    pairs = [
        1.0 if abs(s - t) > 3
        else 1 - frames[s] @ frames[t] / np.linalg.norm(frames[s]) / np.linalg.norm(frames[t])
        for s in picked for t in picked if s != t
    ]  # fmt: skip
    nearest = [min(np.linalg.norm(frame - frames[s]) for s in picked) for frame in frames]
    found = net.diversity(net.dissimilarities(frames, 3), jnp.asarray(action))
    assert float(found) == pytest.approx(np.mean(pairs), rel=1e-5)
    found = reward_terms.nearness(reward_terms.distances(frames), jnp.ones(12, bool), jnp.asarray(action))
    assert float(found) == pytest.approx(np.exp(-np.mean(nearest)), rel=1e-5)


def test_padded_frames_change_no_reward():
    padded = jnp.pad(FRAMES, ((0, 4), (0, 0)))
    action = jnp.pad(chosen(0, 2), (0, 4))
    found = net.diversity(net.dissimilarities(padded, 20), action)
    assert float(found) == pytest.approx(0.4, abs=1e-6)
    found = reward_terms.nearness(reward_terms.distances(padded), jnp.pad(ALL, (0, 4)), action)
    assert float(found) == pytest.approx(np.exp(-(5.8**0.5) / 3), rel=1e-5)


@pytest.fixture(scope='module')
def setting():
    return RivalSetting('drdsn', seeds=(0, 7))


@pytest.fixture(scope='module')
def learnt(setting):
    return setting.train()


def test_run_i_of_the_grid_is_run_i_alone(setting, learnt):
    lone = [RivalSetting('drdsn', folds=[fold]) for fold in FOLDS]
    for i, place in enumerate(setting.places):
        alone = lone[place.fold]
        states, history = alone.train(runs=alone.runs._replace(key=setting.runs.key[i : i + 1]))
        chex.assert_trees_all_equal(states, jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], learnt[0]))
        assert history[-1]['reward'][0] == learnt[1][-1]['reward'][i]


def test_longer_padding_changes_rounding_alone(setting, learnt):
    longest = setting.corpus.valid.shape[1]
    # Uniform numbers are drawn by position: the actions of a longer row are others, the scores are not.
    longer = RivalSetting('drdsn', seeds=(0, 7), longest=longest + 9)
    params = jax.tree.map(lambda leaf: leaf[0], learnt[0].params)
    for row in range(setting.corpus.n_segments):
        one, other = (s.corpus for s in (setting, longer))
        n = int(one.n_steps[row])
        scores = [
            setting.module.apply({'params': params}, c.frames[c.index[row]], c.valid[row])[:n]
            for c in (one, other)
        ]
        np.testing.assert_array_equal(*scores)


def test_learning_raises_the_reward():
    setting = RivalSetting('drdsn', **{'drdsn.episodes': 16, 'drdsn.learning_rate': 3e-2})
    _, history = setting.train(epochs=40)
    first, last = (np.mean([h['reward'] for h in part], axis=0) for part in (history[:5], history[-5:]))
    assert np.all(last > first + 0.03)


def test_an_experiment_of_it_leaves_what_one_of_trsum_leaves(tmp_path):
    config = tiny_config(**{'method': 'drdsn', 'drdsn.width': 4, 'drdsn.epochs': 3})
    text = run_experiment(config, tmp_path)
    assert '| drdsn ' in text
    assert '| untrained ' in text
    assert 'one_out' not in text
    found = read_json(tmp_path / filenames.RESULTS)
    assert found['method'] == 'drdsn'
    assert found['epochs'] == [[3]]
    assert (tmp_path / 'pictures' / 'learning_curves.png').stat().st_size > 1000
    assert (tmp_path / 'videos.csv').read_text().count('drdsn,') == 2 * 6
    with pytest.raises(InputError, match='scores no other videos'):
        scorer.load_trained(tmp_path)
