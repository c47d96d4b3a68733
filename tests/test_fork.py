"""A fork of three files outside the package, as `docs/forks.md` has them: its study, and its task for a PPO."""

import functools
import hashlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import page_blocks
import pytest
from tiny import RECIPE, shorten

from trsum_jax.command import config_files
from trsum_jax.environments import one_step, selection, toy
from trsum_jax.errors import InputError
from trsum_jax.experiment import scorer
from trsum_jax.files import read_json
from trsum_jax.results import filenames
from trsum_jax.studies.variants import run_variants

pytestmark = pytest.mark.usefixtures('pictures_not_drawn')
FILES = {
    'flips': ('estimators.md', 'flip'),
    'quarters': ('rewards.md', 'quarters'),
    'study': ('forks.md', 'get_config'),
}


@pytest.fixture(scope='module')
def fork(tmp_path_factory):
    """A folder with the three files, where a command runs, whose own path does not hold it."""
    folder = tmp_path_factory.mktemp('fork')
    for name, place in FILES.items():
        (folder / f'{name}.py').write_text(page_blocks.defining(*place), 'utf-8')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # As `trsum` begins: the current folder is not on its path.
        patch.setattr(sys, 'path', [path for path in sys.path if path not in ('', str(folder))])
        yield folder
    for name in FILES:
        sys.modules.pop(name, None)


@pytest.fixture(scope='module')
def study(fork, pictures_not_drawn):
    """The study at toy size, its first and its last variant, and the table."""
    config = shorten(config_files.load('study.py', 'study.py'))
    config.seeds = (0,)
    config.data.synthetic.update(RECIPE)
    config.evaluation.baselines = False
    for name in ('flips', 'reinforce-quarters'):
        del config.variants[name]
    return config, run_variants(config, fork / 'runs')


def test_the_fork_gets_its_table(fork, study):
    _, text = study
    table = text.partition('## ')[0]
    assert '| reinforce ' in table and '| flips-quarters ' in table and '(reconstruction)' in table
    rows = read_json(fork / 'runs' / 'study.json')['variants']
    reward, plain = (rows[name]['reward']['mean'] for name in ('flips-quarters', 'reinforce'))
    # A fifth of a share of the quarters, of which half the frames hold most, is added.
    assert 0.1 < reward - plain < 0.2
    config = read_json(fork / 'runs' / 'flips-quarters' / filenames.CONFIG)['summarizer']
    assert config['estimator'] == 'flips:flip'
    record = read_json(fork / 'runs' / 'flips-quarters' / filenames.RECORD)
    digests = {
        f'{name}:{FILES[name][1]}': hashlib.sha256((fork / f'{name}.py').read_bytes()).hexdigest()
        for name in ('flips', 'quarters')
    }
    assert record['code'] == digests
    assert 'code' not in read_json(fork / 'runs' / 'reinforce' / filenames.RECORD)


def test_another_source_is_refused_and_scores_need_none(fork, study):
    config, text = study
    source = (fork / 'quarters.py').read_text('utf-8')
    (fork / 'quarters.py').write_text(source.replace('quarter = 4 *', 'quarter = 3 *'), 'utf-8')
    with pytest.raises(InputError, match=r'by other code: .* another one of quarters:quarters of .*quarters\.py'):
        run_variants(config, fork / 'runs')
    (fork / 'quarters.py').unlink()
    del sys.modules['quarters']
    assert scorer.load_trained(fork / 'runs' / 'flips-quarters').width == RECIPE['width']
    (fork / 'quarters.py').write_text(source, 'utf-8')
    assert run_variants(config, fork / 'runs') == text


def ppo(env, key, *, updates, batch=64, epochs=4, hidden=32, rate=1e-2, clip=0.2):
    """A plain PPO for environments in gymnax's shape: the mean reward of every update, and what it learned."""
    params = env.default_params
    shape, n_actions = env.observation_space(params).shape, env.action_space(params).shape[0]
    keys = jax.random.split(key, 4)
    sizes = (int(np.prod(shape)), hidden), (hidden, n_actions), (hidden, 1)
    weights = [jax.random.normal(k, size) / size[0] ** 0.5 for k, size in zip(keys, sizes, strict=False)]
    adam = optax.adam(rate)

    def net(weights, seen):
        inner = jnp.tanh(seen.reshape(seen.shape[0], -1) @ weights[0])
        return inner @ weights[1], (inner @ weights[2])[:, 0]

    def log_probability(logits, actions):
        return jnp.sum(jax.nn.log_sigmoid(jnp.where(actions, logits, -logits)), axis=1)

    def loss(weights, seen, actions, reward, before, advantage):
        logits, value = net(weights, seen)
        ratio = jnp.exp(log_probability(logits, actions) - before)
        clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
        gain = jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
        return jnp.mean((value - reward) ** 2) - gain

    def update(now, key):
        reset_key, action_key, step_key = jax.random.split(key, 3)
        seen, states = jax.vmap(env.reset, (0, None))(jax.random.split(reset_key, batch), params)
        logits, value = net(now[0], seen)
        actions = jax.random.uniform(action_key, logits.shape) < jax.nn.sigmoid(logits)
        step = jax.vmap(env.step, (0, 0, 0, None))
        _, _, reward, done, _ = step(jax.random.split(step_key, batch), states, actions, params)
        advantage = (reward - value) / (jnp.std(reward - value) + 1e-6)
        data = seen, actions, reward, log_probability(logits, actions), advantage

        def learn(now, _):
            weights, moments = now
            changes, moments = adam.update(jax.grad(loss)(weights, *data), moments)
            return (optax.apply_updates(weights, changes), moments), None

        return jax.lax.scan(learn, now, None, epochs)[0], (jnp.mean(reward), jnp.all(done))

    @jax.jit
    def train(weights):
        return jax.lax.scan(update, (weights, adam.init(weights)), jax.random.split(keys[3], updates))

    (weights, _), (rewards, done) = train(weights)
    assert done.all()
    return np.asarray(rewards), functools.partial(net, weights)


def test_a_foreign_algorithm_learns_the_real_task(fork, study):
    task = selection.of_workdir(fork / 'runs' / 'flips-quarters', run=1)
    env = one_step.OneStep(task)
    rewards, _ = ppo(env, jax.random.key(0), updates=40)
    assert rewards[-5:].mean() > rewards[:5].mean() + 2 * rewards[:5].std()
    # One state and its reward by the parts that stage 2 is made of.
    seen, state = env.reset(jax.random.key(1))
    assert env.observation_space().contains(seen) and seen.shape == env.observation_space().shape
    valid = np.asarray(seen[:, -1]) > 0
    every = jnp.stack([jnp.zeros(8, bool), jnp.ones(8, bool), jnp.asarray(valid)])
    none, whole, held = map(float, task.reward(state, every))
    # All frames: nothing is lost (.5), and every quarter is held (.2); padding is never selected.
    assert whole == held == pytest.approx(0.7, abs=1e-6)
    assert 0 < none < 0.5
    with pytest.raises(InputError, match='expected a run from 0 to 1, as it has, found 2'):
        selection.of_workdir(fork / 'runs' / 'flips-quarters', run=2)


def test_the_same_algorithm_reaches_the_neighbourhood_of_the_toys_optimum():
    task = toy.make(jax.random.key(1), segments=2, length=6, scenes=2, price=0.4)
    rewards, net = ppo(one_step.OneStep(task), jax.random.key(0), updates=150)
    states = jnp.arange(2)
    logits, _ = net(jax.vmap(task.observe)(states))
    likeliest = jax.vmap(task.reward)(states, logits[:, None] > 0)[:, 0]
    best = jnp.stack([toy.optimum(task, state)[1] for state in states])
    assert np.mean(best - likeliest) < 0.1 * np.mean(best - rewards[0])
