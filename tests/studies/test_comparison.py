import hashlib
import json
import shutil
import sys

import forks
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from tiny import RECIPE, shorten, tiny_config

from trsum_jax.command import config_files
from trsum_jax.data import datasets
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.environments import one_step, selection
from trsum_jax.errors import InputError
from trsum_jax.experiment import scorer
from trsum_jax.files import read_json
from trsum_jax.protocol import evaluation
from trsum_jax.results import filenames, planted_failures
from trsum_jax.studies import comparison, drawing, measures, transfer
from trsum_jax.studies.variants import expand, refuse_another, run_variants

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_laid_out')


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """Two datasets as files; either training tested on the other."""
    folder = tmp_path_factory.mktemp('domains')
    for name, recipe in (('one', {}), ('two', {'seed': 8})):
        datasets.write_dataset(folder / f'{name}.h5', generate(Recipe(**RECIPE | recipe)), synthetic=True)
    config = tiny_config(**{'model.layers': 1, 'evaluation.untrained_heads': 1})
    config.study.update({
        'columns': ('train_kendall_tau', 'reward', 'one_out_kendall_tau'), 'first': 'two', 'across': True,
        'files': tuple(str(folder / f'{name}.h5') for name in ('one', 'two')),
    })  # fmt: skip
    return folder / 'run', run_variants(config, folder / 'run')


def test_the_means_are_those_of_the_experiments(finished):
    workdir, _ = finished
    found = read_json(workdir / comparison.JSON)
    assert list(found['variants']) == ['two', 'one']
    for name, of in found['variants'].items():
        alone = read_json(workdir / name / filenames.RESULTS)
        assert of['kendall_tau']['mean'] == pytest.approx(alone['mean']['kendall_tau']['mean'], abs=1e-12)
        tau = alone['train_baselines']['one_out']['kendall_tau']['mean']
        assert of['train_one_out_kendall_tau']['mean'] == pytest.approx(tau, abs=1e-12)
    lines = [json.loads(line) for line in (workdir / 'one' / filenames.METRICS).read_text().splitlines()]
    last = [line['reward'] for line in lines if line['stage'] == 'summarizer' and line['epoch'] == 2]
    assert len(last) == 2
    assert found['variants']['one']['reward']['mean'] == pytest.approx(np.mean(last))


def test_what_was_measured_on_other_videos_is_not_paired(finished):
    found = read_json(finished[0] / comparison.JSON)
    assert found['references'] == {'two': 'two', 'one': 'one'}
    # All variants meet the same videos in `tau on NAME`; their own videos differ.
    assert set(found['differences']['one']) == {
        f'{metric} on {name}' for metric in transfer.METRICS for name in ('one', 'two')
    }
    on = 'kendall_tau on one'
    one, two = (found['variants'][name][on]['mean'] for name in ('one', 'two'))
    assert found['differences']['one'][on]['mean'] == pytest.approx(one - two)


def test_a_variant_is_compared_with_the_first_of_the_same_videos():
    a, b = {'v': 'digest'}, {'v': 'another'}
    references = comparison.paired_with({'a': a, 'b': b, 'a2': a, 'b2': b, 'a3': a})
    assert references == {'a': 'a', 'b': 'b', 'a2': 'a', 'b2': 'b', 'a3': 'a'}
    measured = {name: {'m': {(0, 'v'): (i, 1.0), (1, 'v'): (i, 1.0)}} for i, name in enumerate(references)}
    differences = comparison.compare(measured, references, 'a')['differences']
    assert {name: of['m']['mean'] for name, of in differences.items()} == {'a2': 2, 'b2': 2, 'a3': 4}


def test_rows_curves_and_planted_failures_by_hand(tmp_path):
    header = 'seed,fold,set,row,video,' + ','.join(evaluation.METRICS)
    values = ['0.5'] * len(evaluation.METRICS)
    lines = [header, *(','.join(['7', '0', 'train', row, 'v', *values]) for row in ('drdsn', 'trsum'))]
    (tmp_path / 'videos.csv').write_text('\n'.join(lines) + '\n', 'utf-8')
    (tmp_path / filenames.RECORD).write_text(json.dumps({'runs': [[0, 0], [7, 0]], 'videos': {}}), 'utf-8')
    (tmp_path / filenames.RESULTS).write_text(json.dumps({'method': 'drdsn'}), 'utf-8')
    lines = [
        {'stage': 'drdsn', 'epoch': epoch, 'seed': seed, 'fold': 0, 'reward': value}
        | dict.fromkeys(('reward_std', 'p_mean', 'p_std'), 0.5)
        for epoch, values in enumerate([(0, 0), (2, 1), (1, 2), (2, 4)], 1)
        for seed, value in zip((0, 7), values, strict=True)
    ]
    (tmp_path / filenames.METRICS).write_text(''.join(json.dumps(line) + '\n' for line in lines), 'utf-8')
    runs = [
        {'seed': seed, 'fold': 0, 'video': 'v'} | dict.fromkeys(planted_failures.METRICS, value)
        for seed, value in ((0, 0.25), (7, None))
    ]
    (tmp_path / 'failures.json').write_text(json.dumps({'runs': runs}), 'utf-8')
    cells = measures.measure_run(tmp_path)
    first, second = (0, 'fold 0'), (7, 'fold 0')
    assert cells['train_kendall_tau'] == {(7, 'v'): (0.5, 1)}
    assert cells['reward'] == {first: (2, 1), second: (4, 1)}
    assert cells['reward_TVn'] == {first: (4 / 2, 1), second: (1, 1)}
    assert cells['reward_MS'] == {first: ((3 + 2) / 2 / 2, 1), second: ((0 + 1) / 2 / 4, 1)}
    assert cells['reward_RAUC'][first] == (pytest.approx((0 + 2 + 1 + 2 - 1) / 3 / 2), 1)
    assert 'p_std_TVn' not in cells  # a constant curve has none
    assert cells['frames_missed_events'] == {(0, 'v'): (0.25, 1)}


def test_every_training_is_tested_on_every_other(finished):
    found = read_json(finished[0] / comparison.JSON)['variants']
    assert found['one']['kendall_tau on one'] == found['one']['kendall_tau']
    assert found['one']['kendall_tau on two']['videos'] == 6
    assert 'kendall_tau on two' in found['two']


def test_what_a_training_cannot_score_stays_empty_and_is_told(finished, monkeypatch, capsys):
    def refuse(scorer, dataset, any_encoder):
        raise InputError('expected features 6 wide')

    monkeypatch.setattr(transfer.scorer, 'score_runs', refuse)
    workdir, _ = finished
    configs = {name: scorer.load_trained(workdir / name).config for name in ('one', 'two')}
    assert transfer.measure_transfer(configs, workdir) == {'one': {}, 'two': {}}
    assert 'one cannot be tested on two: expected features 6 wide' in capsys.readouterr().out


def test_the_table_names_every_variant_and_yardstick(finished):
    workdir, text = finished
    assert (workdir / comparison.TABLE).read_text('utf-8') in text
    for name in ('one', 'two', 'distance_to_mean', 'change', 'human', 'synthetic data', 'one seed'):
        assert name in text
    assert (workdir / comparison.PICTURE).read_bytes().startswith(b'\x89PNG')


def test_policies_that_ran_off_are_named_below_the_table(finished, tmp_path):
    workdir, text = finished
    assert 'ran off' not in text
    shutil.copytree(workdir, tmp_path / 'run')
    at = tmp_path / 'run' / 'one' / filenames.RESULTS
    at.write_text(json.dumps(read_json(at) | {'policy': {'runs': 2, 'full': 1, 'empty': 0}}))
    config = ml_collections.ConfigDict(read_json(workdir / filenames.CONFIG))
    config.study.across = False
    text = comparison.write(config, expand(config), tmp_path / 'run')
    assert text.count('ran off') == 1
    assert '\n\n`one`: Warning: in 1 of 2 runs the policy ran off to p = 1' in text
    assert text.index('ran off') < text.index('On the same data')


def test_cells_of_the_table_by_hand():
    value = {'mean': 0.12345, 'low': -0.00001, 'high': 0.2}
    assert comparison.cell('train_kendall_tau', value) == '0.123 [0.000, 0.200]'
    assert comparison.cell('train_f_avg', value) == '12.3 [0.0, 20.0]'
    assert comparison.cell('reward', value, '+') == '+0.1235 [+0.0000, +0.2000]'
    assert comparison.cell('reward', {'mean': None}) == '–'


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('columns', ('kendall',), 'study.columns: expected some of f_avg, .* found kendall'),
        ('first', 'none', 'study.first: expected one of base'),
        ('files', ('a/x.h5', 'b/x.h5'), 'files of different names'),
    ],
)
def test_a_study_that_cannot_be_is_refused(field, value, message):
    config = tiny_config()
    config.variants = ml_collections.ConfigDict({'base': {}})
    config.study[field] = value
    with pytest.raises(InputError, match=message):
        expand(config)


@pytest.mark.parametrize('fields', [3, {'summarizer': 3}, {'seeds': 'ab'}])
def test_a_variant_that_is_no_part_of_a_config_is_named(fields):
    config = tiny_config()
    with config.ignore_type():
        config.variants = ml_collections.ConfigDict({'odd': fields})
    with pytest.raises(InputError, match=r'variants\.odd'):
        expand(config)


def test_a_study_knows_its_folder_by_its_variants_where_its_config_is_lost(finished, tmp_path):
    workdir, _ = finished
    config = ml_collections.ConfigDict(read_json(workdir / filenames.CONFIG))
    variants = expand(config)
    for name in variants:
        (tmp_path / name).mkdir()
        shutil.copy(workdir / name / filenames.CONFIG, tmp_path / name)
    (tmp_path / filenames.RESULTS).write_text('{}')
    (tmp_path / filenames.CONFIG).write_text('')
    refuse_another(config, variants, tmp_path)
    variants['one'].seeds = variants['two'].seeds = (7,)
    with pytest.raises(InputError, match=r'holds results\.json but no sound config\.json'):
        refuse_another(config, variants, tmp_path)


def test_what_cannot_be_tested_across_is_refused_before_training():
    config = tiny_config()
    config.variants = ml_collections.ConfigDict({'one': {}, 'rival': {'method': 'drdsn'}})
    config.study.across = True
    config.study.columns = ('kendall_tau',)
    with pytest.raises(InputError, match='found another method in rival'):
        expand(config)
    del config.variants.rival
    config.study.columns = ()
    with pytest.raises(InputError, match=r'found no config\.study\.columns'):
        expand(config)


def test_the_name_of_a_file_is_no_part_of_the_metric():
    value = {'mean': 0.12345, 'low': 0.1, 'high': 0.2}
    assert comparison.cell('kendall_tau on half_a', value) == '0.123 [0.100, 0.200]'
    assert comparison.cell('f_avg on tau', value) == '12.3 [10.0, 20.0]'
    assert measures.title('train_kendall_tau on kendall_tau') == 'train tau on kendall_tau'


def test_a_study_of_which_nothing_could_be_measured_still_ends(finished, tmp_path):
    found = read_json(finished[0] / comparison.JSON) | {'columns': ['one_out_f_max']}
    for of in found['variants'].values():
        of.pop('one_out_f_max', None)
    drawing.draw(tmp_path / 'study.png', found)
    assert (tmp_path / 'study.png').stat().st_size > 1000


def test_videos_of_other_people_are_not_the_same(tmp_path):
    data = {'file': 'a.h5', 'generate': False, 'user_scores': '', 'synthetic': {}, 'shots': 'file'}
    (tmp_path / filenames.RECORD).write_text(json.dumps({'videos': {'v': 'digest'}}), 'utf-8')
    found = []
    for changed in ({}, {'shots': 'kts'}, {'user_scores': 'other.tsv'}):
        (tmp_path / filenames.CONFIG).write_text(json.dumps({'data': data | changed}), 'utf-8')
        found.append(measures.videos(tmp_path))
    assert found[0] == found[1] != found[2]


@pytest.fixture(scope='module')
def fork(tmp_path_factory):
    """A folder with a fork's three files, where a command runs that began with another path."""
    folder = tmp_path_factory.mktemp('fork')
    forks.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # As `trsum` begins: the current folder is not on its path.
        patch.setattr(sys, 'path', [path for path in sys.path if path not in ('', str(folder))])
        yield folder
    for name in forks.FILES:
        sys.modules.pop(name, None)


@pytest.fixture(scope='module')
def forked(fork, programs_shared, pictures_not_drawn):
    """The fork's study at toy size, of two variants, with its table; it shares programs with `finished`."""
    config = shorten(config_files.load('study.py', 'study.py'))
    config.seeds = (0,)
    config.data.synthetic.update(RECIPE)
    config.evaluation.baselines = False
    for stage in ('generator', 'summarizer'):
        config[stage].learning_rate = 1e-4
    for name in ('flips', 'reinforce-quarters'):
        del config.variants[name]
    return config, run_variants(config, fork / 'runs')


def test_a_fork_of_three_files_gets_its_table(fork, forked):
    table = forked[1].partition('## ')[0]
    assert '| reinforce ' in table and '| flips-quarters ' in table and '(reconstruction)' in table
    found = read_json(fork / 'runs' / comparison.JSON)['variants']
    more = found['flips-quarters']['reward']['mean'] - found['reinforce']['reward']['mean']
    # A fifth of the share of quarters that half the frames hold.
    assert 0.1 < more < 0.2
    config = read_json(fork / 'runs' / 'flips-quarters' / filenames.CONFIG)['summarizer']
    assert config['estimator'] == 'flips:flip'
    sources = {'flips:flip': fork / 'flips.py', 'quarters:quarters': fork / 'quarters.py'}
    digests = {path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in sources.items()}
    assert read_json(fork / 'runs' / 'flips-quarters' / filenames.RECORD)['code'] == digests
    assert 'code' not in read_json(fork / 'runs' / 'reinforce' / filenames.RECORD)


def test_another_source_is_refused_and_who_only_scores_needs_none(fork, forked):
    config, _ = forked
    source, workdir = (fork / 'quarters.py').read_text('utf-8'), fork / 'runs' / 'flips-quarters'
    (fork / 'quarters.py').write_text(source.replace('quarter = 4 *', 'quarter = 3 *'), 'utf-8')
    with pytest.raises(InputError, match=r'other code: .* one of quarters:quarters of .*quarters\.py\. R'):
        run_variants(config, fork / 'runs')
    (fork / 'quarters.py').unlink()
    del sys.modules['quarters']
    assert scorer.load_trained(workdir).width == RECIPE['width']
    # With this the next test goes on.
    (fork / 'quarters.py').write_text(source, 'utf-8')


def test_a_foreign_algorithm_learns_the_task_of_a_training(fork, forked):
    config, _ = forked
    task = selection.of_workdir(fork / 'runs' / 'flips-quarters', run=1)
    env = one_step.OneStep(task)

    @jax.jit
    def trained(key, task):
        rewards, done, _ = forks.ppo(env, task, key, updates=40)
        seen, state = env.reset(key, task)
        every = jnp.stack([jnp.zeros(8, bool), jnp.ones(8, bool), seen[:, -1] > 0])
        return rewards, done, seen, task.reward(state, every)

    rewards, done, seen, (none, whole, held) = trained(jax.random.key(0), task)
    assert done
    assert rewards[-5:].mean() > rewards[:5].mean() + 2 * rewards[:5].std()
    space = env.observation_space()
    assert space.contains(seen) and seen.shape == space.shape == (8, RECIPE['width'] + 1)
    # All frames: nothing is lost (.5), and every quarter is held (.2); padding is never selected.
    assert whole == held == pytest.approx(0.7, abs=1e-6)
    assert 0 < none < 0.5
    again = selection.of_config(expand(config)['flips-quarters'], fork / 'runs' / 'flips-quarters', run=1)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(task), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match='expected a run from 0 to 1, as it has, found 2'):
        selection.of_workdir(fork / 'runs' / 'flips-quarters', run=2)


@pytest.mark.parametrize(
    ('name', 'preset'), [('0-published', 'published'), ('7-standardized', 'reconstruction')]
)
def test_the_steps_of_choices_lead_from_one_preset_to_the_other(name, preset):
    from trsum_jax.configs.studies import choices, small

    found, whole = expand(choices.get_config())[name].to_dict(), small.get_config(preset).to_dict()
    # When stage 1 ends is no step.
    whole['generator']['aside'] = small.get_config().generator.aside
    for of_study in ('name', 'study', 'variants'):
        del found[of_study], whole[of_study]
    assert found == whole
