"""What the main job is given: files, splits, further rows, flags; and how it says what is wrong with them."""

import types

import h5py
import numpy as np
import pytest
from forked import command
from tiny import RECIPE, tiny_config

from trsum_jax import main
from trsum_jax.data import datasets
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.errors import InputError
from trsum_jax.experiment import inputs, run, scorer
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_drawn')


def test_rows_of_the_command_line_join_those_of_the_config(monkeypatch):
    config, seen = tiny_config(**{'evaluation.rows': ('a=x.h5',)}), []
    given = types.SimpleNamespace(config=config, rows=['b=y.h5', 'c=z.h5'], workdir='w', distributed=False)
    given.coordinator = given.processes = given.process = None
    monkeypatch.setattr(main.flags, 'FLAGS', given)
    monkeypatch.setattr(run, 'run_experiment', lambda config, workdir: seen.append(config) or '')
    assert main.main(['main']) == 0
    assert seen[0].evaluation.rows == ('a=x.h5', 'b=y.h5', 'c=z.h5')


def test_further_rows_are_checked_before_any_training(tmp_path):
    config = tiny_config()
    for rows, words in (
        (('one_out=x.h5',), 'found one that the table has already'),
        (('acsumgan=x.h5',), 'found one that the table has already'),
        (('a=x.h5',), r'x\.h5: expected an HDF5 or JSON file of scores, found no such file'),
    ):
        config.evaluation.rows = rows
        with pytest.raises(InputError, match=words):
            run_experiment(config, tmp_path)
    assert not (tmp_path / 'checkpoints').exists()


@pytest.mark.parametrize('name', ['scores.h5', 'synthetic.h5', 'results.md', 'pictures'])
def test_files_that_the_command_did_not_leave_are_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text('mine')
    with pytest.raises(InputError, match=f'holds {name}'):
        run_experiment(tiny_config(), tmp_path)
    assert (tmp_path / name).read_text() == 'mine'


def test_a_folder_without_a_training_cannot_score(tmp_path):
    with pytest.raises(InputError, match='expected the workdir of a training'):
        scorer.load_trained(tmp_path)


def test_a_copy_of_the_dataset_as_an_extra_file_would_leak_and_is_refused(tmp_path):
    for name in ('main', 'copy'):
        datasets.write_dataset(tmp_path / f'{name}.h5', generate(Recipe(**RECIPE)))
    config = tiny_config(**{'data.file': str(tmp_path / 'main.h5'), 'data.generate': False})
    config.data.extra_files = (str(tmp_path / 'copy.h5'),)
    with pytest.raises(InputError, match='canonical'):
        inputs.load_inputs(config, tmp_path)
    config.data.setting = 'augmented'
    with pytest.raises(InputError, match='leak'):
        inputs.load_inputs(config, tmp_path)


def test_splits_that_leave_videos_out_must_say_so(tmp_path):
    datasets.write_dataset(tmp_path / 'main.h5', generate(Recipe(**RECIPE)))
    (tmp_path / 'splits.json').write_text(
        '[{"train_keys": ["video_1", "video_4"], "test_keys": ["video_2"]}]'
    )
    config = tiny_config(**{'data.file': str(tmp_path / 'main.h5'), 'data.generate': False})
    config.data.splits = str(tmp_path / 'splits.json')
    with pytest.raises(InputError, match=r'no fold uses 3: video_3, video_5, video_6.*partial_splits=True'):
        inputs.load_inputs(config, tmp_path)
    config.data.partial_splits = True
    given = inputs.load_inputs(config, tmp_path)
    assert 'no fold uses 3 of 6 videos: video_3, video_5, video_6' in given.dataset.notes
    assert given.folds[0].train == ('video_1', 'video_4')


def test_features_alone_are_enough_for_scores_and_shots(tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / 'bare.h5', 'w') as file:
        for i in range(3):
            rows = np.repeat(rng.standard_normal((4, 12)), 6, axis=0) + 0.1 * rng.standard_normal((24, 12))
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            file[f'video_{i + 1}/features'] = rows.astype(np.float32)
    config = tiny_config(**{'data.file': str(tmp_path / 'bare.h5'), 'data.generate': False, 'data.folds': 0})
    text = run_experiment(config, tmp_path / 'run')
    assert 'no people to compare with' in text
    results = read_json(tmp_path / 'run' / 'results.json')
    assert results['mean']['f_avg']['mean'] is None
    summaries = read_json(tmp_path / 'run' / 'summaries.json')
    assert len(summaries) == 3
    assert all(found['shots'] for found in summaries.values())


@pytest.mark.parametrize(('setting', 'train'), [('augmented', 6 - 3 + 4), ('transfer', 4)])
def test_extra_files_join_or_replace_the_training_videos(tmp_path, setting, train):
    datasets.write_dataset(tmp_path / 'main.h5', generate(Recipe(**RECIPE)))
    datasets.write_dataset(tmp_path / 'more.h5', generate(Recipe(**RECIPE | {'videos': 4, 'seed': 9})))
    config = tiny_config(**{
        'data.file': str(tmp_path / 'main.h5'), 'data.generate': False, 'data.setting': setting,
        'data.extra_files': (str(tmp_path / 'more.h5'),),
    })  # fmt: skip
    given = inputs.load_inputs(config, tmp_path)
    assert {len(fold.train) for fold in given.folds} == {train}
    assert len(given.keys) == 6
    assert setting in given.split
    assert setting in run_experiment(config, tmp_path / 'run')
    results = read_json(tmp_path / 'run' / 'results.json')
    assert set(results['videos']) == set(given.keys)
    assert results['mean']['kendall_tau']['videos'] == 6


def test_a_missing_data_file_is_explained(tmp_path):
    run = command('trsum_jax.main', '--config=configs/tvsum.py', f'--workdir={tmp_path}/w')
    assert run.returncode == 1
    for part in ('eccv16_dataset_tvsum_google_pool5.h5', 'looked for at', 'features [n_steps, D]', 'extract'):
        assert part in run.stderr
    assert 'Traceback' not in run.stderr
    assert not (tmp_path / 'w').exists()


def test_a_misspelt_field_is_named():
    run = command('trsum_jax.main', '--config.model.widht=3')
    assert run.returncode != 0
    assert 'widht' in run.stderr


def test_a_workdir_that_cannot_be_made_is_one_message(tmp_path):
    (tmp_path / 'file').write_text('')
    run = command('trsum_jax.main', '--config=configs/demo.py', f'--workdir={tmp_path}/file/sub')
    assert run.returncode == 1
    assert 'Traceback' not in run.stderr
    assert str(tmp_path / 'file') in run.stderr


def test_a_field_of_the_command_line_reaches_the_config():
    run = command('trsum_jax.main', '--config=configs/demo.py:published', '--config.model.heads=3')
    assert run.returncode == 1
    assert 'config.model.heads: expected a divisor of model.width = 64, found 3' in run.stderr
