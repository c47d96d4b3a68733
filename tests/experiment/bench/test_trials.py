"""Functions by import path: found or named in words, tried before a training, on modules made here."""

import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from tiny import tiny_config

from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.bench import estimating, functions, trials

MODULES = {
    'sound': """
import jax
import jax.numpy as jnp
from trsum_jax.method import episodes, estimators, relaxations

def ranked(key, logits, valid, rewards_of, baseline, *, n_episodes, reduction='sum', power):
    actions = episodes.sample(key, jax.lax.stop_gradient(logits), valid, n_episodes)
    rewards = rewards_of(actions).rewards
    ranks = jnp.argsort(jnp.argsort(rewards)) ** power
    return estimators.Estimate(episodes.surrogate(logits, actions, ranks, valid, reduction), rewards, ranks)

soft = relaxations.gumbel
near = estimators.local_credit
several = estimators.reinforce
LEVEL = 3.0

def pair(key, logits, valid, rewards_of, baseline, *, n_episodes, reduction):
    return jnp.sum(logits), rewards_of(jnp.zeros((1, 8), bool)).rewards

def padded(key, logits, valid, rewards_of, baseline, *, n_episodes, reduction):
    rewards = rewards_of(jnp.zeros((1, 8), bool)).rewards
    return estimators.Estimate(jnp.sum(logits), rewards, rewards)

def odd(key, logits, valid, rewards_of, baseline, *, n_episodes, reduction):
    rewards = rewards_of(jnp.zeros((1, 8), bool)).rewards
    return estimators.Estimate(jnp.sum(logits), rewards[0], rewards)

def telling(key, logits, valid, rewards_of, baseline, *, n_episodes, reduction):
    rewards = rewards_of(jnp.zeros((1, 8), bool)).rewards
    return estimators.Estimate(jnp.sum(logits[:3]), rewards, rewards, told={'gain': logits})

def named(key, logits, valid, rewards_of, baseline, *, n_episodes, reduction):
    found = telling(key, logits, valid, rewards_of, baseline, n_episodes=1, reduction='sum')
    return found._replace(told={'epoch': logits[0]})

def replaced(key, logits, valid, rewards_of, baseline, *, n_episodes, reduction, name):
    found = telling(key, logits, valid, rewards_of, baseline, n_episodes=1, reduction='sum')
    return found._replace(told={name: logits[0]})

def asked(key, logits, valid, rewards_of, baseline, *, n_episodes, reduction):
    if logits[0] > 0:
        return 1

def best(rewards, actions, baseline, rewards_of):
    return jnp.max(rewards)

def two(rewards, actions, baseline, rewards_of):
    return rewards[:2]

def early(of):
    return jnp.sum(jnp.where(of.action & of.valid, 1.0, 0.0)) * 0.1

def vector(of):
    return of.change

def none_selected(of):
    return jnp.sum(of.action) / jnp.sum(of.action)

def all_frames(of):
    return jnp.mean(of.frames)

def near_two(of):
    return jnp.sum(jnp.where(of.action & of.valid, jnp.sqrt(2 - of.change), 0.0))

def exponential(of):
    return jnp.mean(jnp.where(of.valid, jnp.exp(of.change), 0.0))

def largest(of):
    return jnp.max(of.change)

def leaves(of):
    raise SystemExit(0)

def imaginary(of):
    return jnp.complex64(1j)

def halves(of):
    return jnp.mean(of.action.reshape(2, 4))

def eight(key, logits, valid, rewards_of, baseline, *, n_episodes, reduction):
    return several(key, logits.reshape(8), valid, rewards_of, baseline, n_episodes=n_episodes)
""",
    'broken': 'import jax\n\nx = jax.no_such_thing\n',
    'lacking': 'import no_such_library\n',
    'unwritten': 'def (:\n',
    'leaving': 'raise SystemExit(0)\n',
}
RANKED = {'estimator': 'sound:ranked', 'estimator_options': {'power': 0.5}}
OTHER = {'reward_terms': {'coverage': 1.0}}
REFUSED = {
    'no-module': (
        {'estimator': 'absent:ranked'},
        r'estimator=absent:ranked: expected a module absent,',
    ),
    'no-name': (
        RANKED | {'estimator': 'sound:rnked'},
        r'function rnked in .*sound\.py, found ranked, pair',
    ),
    'no-function': ({'baseline': 'sound:LEVEL'}, r'a function LEVEL in .*, found a value \(float\)'),
    'raises': (
        {'estimator': 'broken:x'},
        r'raises AttributeError: .*such_thing.* \(.*broken\.py, line 3\)',
    ),
    'imports': ({'estimator': 'lacking:x'}, r"No module named 'no_such_library' \(.*lacking\.py, line 1\)"),
    'syntax': ({'estimator': 'unwritten:x'}, r'raises SyntaxError: [\w ]+ \(\S*unwritten\.py, line 1\)$'),
    'exit': ({'estimator': 'leaving:x'}, r'raises SystemExit: 0 \(.*leaving\.py, line 1\)'),
    'leaves': ({'reward_terms': {'sound:leaves': 1.0}}, r'raises SystemExit: 0 \(.*sound\.py, line \d+\)'),
    'complex': ({'reward_terms': {'sound:imaginary': 1.0}}, r'a reward of real numbers, found complex'),
    'options': ({'estimator': 'sound:ranked'}, r"called as ranked\(key.* found: missing .*'power'"),
    'arguments': ({'baseline': 'sound:early'}, r'called as early\(rewards, actions, baseline, rewards_of\)'),
    'no-estimate': ({'estimator': 'sound:pair'}, r'expected an Estimate\(.*\) of .*, found a tuple'),
    'shape': ({'estimator': 'sound:odd'}, r'expected rewards of shape \[K\], found shape \[\]'),
    'metric': ({'estimator': 'sound:telling'}, r'expected the metric gain of shape \[\], found shape \[8\]'),
    'name-of-metric': ({'estimator': 'sound:named'}, r"none of stage, epoch, seed, fold, .*, found 'epoch'"),
    **{
        f'metric-{name}': (
            {'estimator': 'sound:replaced', 'estimator_options': {'name': name}},
            rf"expected a name of a metric, none of stage, .*, found '{name}'",
        )
        for name in ('reward', 'p_std', 'gradient_norm', 'gradient_snr', 'value_error')
    },
    'padding': ({'estimator': 'sound:padded'}, r'expected no gradient at a frame of padding, found 1'),
    'traced': (
        {'estimator': 'sound:asked'},
        r'raises TracerBool\w+: .{,201} \(.*sound\.py, line \d+\)',
    ),
    'soft': (
        {'estimator': 'sound:soft'} | OTHER,
        r'differentiates the reward, .* 0 for .* coverage',
    ),
    'parts': ({'estimator': 'sound:near'} | OTHER, r'reads its parts, .* 0 for .* coverage'),
    'train': ({'estimator': 'sound:soft', 'train_generator': True}, r'expected .*train_generator=False'),
    'kind': (RANKED | {'baseline': 'sound:best'}, r'expected a parameter kind, .* baseline sound:best'),
    'level': ({'baseline': 'sound:two'}, r'expected a level of shape \[\] or \[5\], found shape \[2\]'),
    'vector': (
        {'reward_terms': {'sound:vector': 1.0}},
        r'sound:vector: expected a reward of shape \[\]',
    ),
    'empty': (
        {'reward_terms': {'sound:none_selected': 1.0}},
        r'finite numbers \(rewards of all selections',
    ),
    'frames': ({'reward_terms': {'sound:all_frames': 1.0}}, r'does not depend on frames of padding, found'),
}
UNSOUND = {
    'clash': (RANKED | {'estimator_options': {'kind': 'none'}}, r'expected other names than .*, found kind'),
    'ours': ({'estimator_options': {'power': 2}}, r'expected none with reinforce, .* found power'),
    'idle': (
        {'estimator': 'arm', 'baseline': 'sound:best'},
        r'reinforce, .* or of your own, found arm',
    ),
    'dots': ({'estimator': 'sound.ranked'}, r"or MODULE:NAME, found 'sound\.ranked'"),
    'truth': ({'reward_terms': {'sound:early': True}}, r'expected a finite weight, found True'),
    'weight': ({'reward_terms': {'sound:early': 'much'}}, r"expected a finite weight, found 'much'"),
}
SOUND = {
    'name': {'estimator': 'sound:replaced', 'estimator_options': {'name': 'slope'}},
    'estimator': RANKED,
    'baseline': {'baseline': 'sound:best'},
    'both': {'estimator': 'sound:several', 'baseline': 'sound:best', 'reward_terms': {'sound:early': 0.5}},
    'weightless': {'reward_terms': {'absent:early': 0.0}},
}


@pytest.fixture(scope='module', autouse=True)
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp('modules')
    for name, text in MODULES.items():
        (folder / f'{name}.py').write_text(text, 'utf-8')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
    for name in MODULES:
        sys.modules.pop(name, None)


def config_of(fields):
    config = tiny_config()
    for part in ('estimator_options', 'reward_terms'):
        for name, value in fields.get(part, {}).items():
            config.summarizer[part][name] = value
    config.summarizer.update({n: v for n, v in fields.items() if not isinstance(v, dict)})
    return config


@pytest.mark.parametrize('case', SOUND)
def test_what_can_run_is_let_through(case):
    config = config_of(SOUND[case])
    check.check(config)
    trials.try_functions(config)


@pytest.mark.parametrize('case', REFUSED)
def test_what_cannot_run_is_named_with_what_was_expected(case):
    fields, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as error:
        trials.try_functions(config_of(fields))
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize('case', UNSOUND)
def test_what_fits_nothing_is_refused_before_any_module_is_read(case):
    fields, message = UNSOUND[case]
    with pytest.raises(InputError, match=message):
        check.check(config_of(fields))


def test_several_faults_are_told_together():
    with pytest.raises(InputError) as error:
        trials.try_functions(config_of(REFUSED['no-module'][0] | REFUSED['level'][0]))
    assert len(str(error.value).splitlines()) == 3


def test_a_function_in_a_folder_is_named_with_a_dot_or_a_slash(tmp_path, monkeypatch):
    (tmp_path / 'own' / 'deep').mkdir(parents=True)
    (tmp_path / 'own' / 'deep' / 'terms.py').write_text('def one(of):\n    return 1\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert functions.function('own.deep.terms:one') is functions.function('own/deep/terms:one')
    assert functions.source('own/deep/terms:one') == tmp_path / 'own' / 'deep' / 'terms.py'


def test_a_file_that_a_library_hides_is_named(tmp_path, monkeypatch):
    (tmp_path / 'json.py').write_text('def dumps(of):\n    return 1.0\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r'module json of .*json\.py, found that .*__init__\.py comes'):
        functions.function('json:dumps')


def test_the_trial_has_as_many_frames_as_a_segment():
    config = config_of({'estimator': 'sound:eight', 'reward_terms': {'sound:halves': 1.0}})
    trials.try_functions(config)
    config.decomposition.length = 9
    with pytest.raises(InputError, match='run on a made segment of 9 frames, found that it raises') as error:
        trials.try_functions(config)
    assert all(word in str(error.value) for word in ('estimator=sound:eight', 'terms.sound:halves'))


@pytest.mark.parametrize('length', [2, 3, 8, 128, 129])
def test_the_change_of_made_frames_is_as_of_real_ones_at_any_length(length):
    """It goes from 0 to 2 (`data.shots`); padding has more."""
    config = config_of(
        {'reward_terms': {'sound:near_two': 1.0, 'sound:exponential': 1.0, 'sound:early': 1.0}}
    )
    config.decomposition.length = length
    trials.try_functions(config)
    config = config_of({'reward_terms': {'sound:largest': 1.0}})
    config.decomposition.length = length
    with pytest.raises(InputError, match='does not depend on frames of padding, found'):
        trials.try_functions(config)


def test_what_fails_on_a_whole_segment_alone_is_told_in_words():
    """As of a module that was changed while it was used."""
    told = r': expected it to run on all segments, found that it raises .* \(.*sound\.py, line \d+\)'
    valid, fields = jnp.ones(6, bool), config_of({'estimator': 'sound:eight'}).summarizer
    estimate = estimating.estimator(fields)
    with pytest.raises(InputError, match='sound:eight' + told):
        estimate(jax.random.key(0), jnp.zeros(6), SimpleNamespace(valid=valid), None, None, 0.0, fields)
    with pytest.raises(InputError, match='sound:halves' + told):
        functions.call('sound:halves', SimpleNamespace(action=jnp.ones(7, bool)))
