"""What the main job is given: files, splits, further rows, flags; and how it says what is wrong with them."""

import types

import h5py
import numpy as np
import pytest
from feature_files import OTHER_LAYOUTS, write_arrays
from forked import command, run_all
from tiny import RECIPE, tiny_config

from trsum_jax import main, score
from trsum_jax.data import datasets, splits
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.errors import InputError
from trsum_jax.experiment import inputs, preparation, run, scorer
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json, write_json
from trsum_jax.training import corpus

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_drawn')


def test_validation_videos_are_for_all_folds_or_for_none():
    with_some, without = splits.Fold(('a',), ('b',), ('c',)), splits.Fold(('a',), ('b',))
    for folds in ([with_some] * 2, [without] * 2):
        preparation.refuse_some_validation(folds, 's.json')
    with pytest.raises(InputError, match=r's.json: expected validation videos in every fold .* fold 1 '):
        preparation.refuse_some_validation([with_some, without], 's.json')


def test_rows_of_the_command_line_join_those_of_the_config_and_flags_of_the_layout_go_before(monkeypatch):
    config, seen = tiny_config(**{'evaluation.rows': ('a=x.h5',), 'layout.wandb': 'theirs'}), []
    given = types.SimpleNamespace(config=config, rows=['b=y.h5', 'c=z.h5'], workdir='w', distributed=False)
    given.coordinator = given.processes = given.process = None
    given.tensorboard, given.wandb, given.profile = True, '', 'traces'
    monkeypatch.setattr(main.flags, 'FLAGS', given)
    monkeypatch.setattr(run, 'run_experiment', lambda config, workdir: seen.append(config) or '')
    assert main.main(['main']) == 0
    assert seen[0].evaluation.rows == ('a=x.h5', 'b=y.h5', 'c=z.h5')
    layout = seen[0].layout
    assert (layout.tensorboard, layout.wandb, layout.profile) == (True, 'theirs', 'traces')


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


def test_a_tilde_is_the_home_folder_in_every_path_of_the_config(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    videos = generate(Recipe(**RECIPE))
    datasets.write_dataset(tmp_path / 'main.h5', videos)
    keys = [video.key for video in videos]
    write_json(tmp_path / 'splits.json', [{'train_keys': keys[1:], 'test_keys': keys[:1]}])
    write_json(tmp_path / 'scores.json', {video.key: [0.5] * video.n_steps for video in videos})
    config = tiny_config(**{'data.file': '~/main.h5', 'data.generate': False, 'data.splits': '~/splits.json'})
    config.evaluation.rows = ('mine=~/scores.json',)
    given = inputs.load_inputs(config, tmp_path)
    assert [fold.test for fold in given.folds] == [('video_1',)]
    np.testing.assert_array_equal(given.rows['mine']['video_1'], [0.5] * videos[0].n_steps)
    config.data.user_scores = '~/anno.tsv'
    with pytest.raises(InputError, match=f'^{tmp_path}/anno.tsv: '):
        inputs.load_inputs(config, tmp_path)
    # Of nobody there is no home; a file may be called so.
    config.data.update({'user_scores': '', 'file': '~nobody-of-this-name/main.h5'})
    with pytest.raises(InputError, match=r'^~nobody-of-this-name/main\.h5: no such file'):
        inputs.load_inputs(config, tmp_path)


def test_features_alone_are_enough_for_scores_and_shots(tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / 'bare.h5', 'w') as file:
        for i in range(3):
            rows = np.repeat(rng.standard_normal((4, 12)), 6, axis=0) + 0.1 * rng.standard_normal((24, 12))
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            file[f'video_{i + 1}/features'] = rows.astype(np.float32)
    config = tiny_config(**{
        'data.file': str(tmp_path / 'bare.h5'), 'data.generate': False, 'data.folds': 0,
        'evaluation.baselines': False,
    })  # fmt: skip
    text = run_experiment(config, tmp_path / 'run')
    assert 'no people to compare with' in text
    results = read_json(tmp_path / 'run' / 'results.json')
    assert results['mean']['f_avg']['mean'] is None
    summaries = read_json(tmp_path / 'run' / 'summaries.json')
    assert len(summaries) == 3
    assert all(found['shots'] for found in summaries.values())


@pytest.mark.usefixtures('pictures_not_laid_out')
def test_other_layouts_train_score_and_evaluate_as_they_are(tmp_path, monkeypatch):
    """Shapes are those of the test before, so that nothing is compiled anew."""
    steps, told, lines = {f'video_{i + 1}': 24 for i in range(3)}, [], []
    for layout in OTHER_LAYOUTS:
        folder = tmp_path / layout.__name__
        folder.mkdir()
        path, files = layout(folder, steps, 12)
        fields = {'data.file': str(path), 'data.features': tuple(files), 'data.folds': 0}
        config = tiny_config(**fields, **{'data.generate': False, 'evaluation.baselines': False})
        given = inputs.load_inputs(config, folder)
        assert given.labelled
        frames = corpus.arrays(list(given.dataset.videos.values()), 8, ('sequential',)).frames
        assert frames.shape == (3 * 24, 12)
        if not told:
            told.append(run_experiment(config, tmp_path / 'run'))
        scores = folder / 'scores.h5'
        values = types.SimpleNamespace(checkpoint=tmp_path / 'run', dataset=path, features=files)
        values.output, values.summaries, values.budget, values.overwrite = scores, '', 0.15, False
        # Of another layout's features than it was trained on.
        values.any_encoder = True
        monkeypatch.setattr(score.flags, 'FLAGS', values)
        assert score.main(['score']) == 0
        flags = [f'--features={one}' for one in files]
        lines.append(['trsum_jax.validate', str(path), *flags])
        lines.append(
            ['trsum_jax.evaluate', str(path), str(scores), *flags, f'--output={folder}/r.json', '--draws=1']
        )
    assert 'one rating (gtscore) and one summary (gt_summary)' in told[0]
    # Two files of features, of which the second has lost a video.
    with h5py.File(tmp_path / 'triplesumm' / 'audio.h5') as file:
        rows = {key: file[key][()] for key in ('video_1', 'video_2')}
    lines.append(
        ['trsum_jax.evaluate', *lines[3][1:2], f'--features={write_arrays(tmp_path / "two.h5", rows)}']
    )
    *sound, (code, _, fault) = run_all(lines)
    assert [one[0] for one in sound] == [0] * 6, sound
    for layout in OTHER_LAYOUTS:
        mean = read_json(tmp_path / layout.__name__ / 'r.json')['mean']
        assert mean['kendall_tau']['videos'] == mean['f_avg']['videos'] == 3
    assert code == 1
    assert 'two.h5: expected an array for each video' in fault
    assert 'found no array for 1 of 3 videos, video_3' in fault
    assert fault.count('\n') == 1


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


def test_splits_may_say_which_videos_of_extra_files_are_trained_on(tmp_path):
    datasets.write_dataset(tmp_path / 'main.h5', generate(Recipe(**RECIPE)))
    datasets.write_dataset(tmp_path / 'more.h5', generate(Recipe(**RECIPE | {'videos': 4, 'seed': 9})))
    test = [f'd/main.h5/video_{i}' for i in range(1, 7)]
    (tmp_path / 'splits.yml').write_text(f'train_keys: [x/more.h5/video_3]\ntest_keys: [{", ".join(test)}]\n')
    config = tiny_config(**{
        'data.file': str(tmp_path / 'main.h5'), 'data.generate': False,
        'data.splits': str(tmp_path / 'splits.yml'),
    })  # fmt: skip
    with pytest.raises(InputError, match=r"found no more\.h5; .*\('more\.h5',\).*setting=transfer"):
        inputs.load_inputs(config, tmp_path)
    config.data.extra_files, config.data.setting = (str(tmp_path / 'more.h5'),), 'augmented'
    with pytest.raises(InputError, match=r'setting: expected transfer, .*found augmented'):
        inputs.load_inputs(config, tmp_path)
    config.data.setting = 'transfer'
    given = inputs.load_inputs(config, tmp_path)
    (fold,) = given.folds
    assert fold.train == ('more/video_3',) and set(fold.test) == set(given.keys)
    assert any(
        'no fold uses 3 of 10 videos: more/video_1, more/video_2' in note for note in given.dataset.notes
    )
    (tmp_path / 'splits.yml').write_text(f'train_keys: [{test[0]}]\ntest_keys: [{", ".join(test[1:])}]\n')
    config.data.setting = 'augmented'
    (fold,) = inputs.load_inputs(config, tmp_path).folds
    # Splits that name none of them: all videos of extra files join, as ever.
    assert len(fold.train) == 1 + 4


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
