import dataclasses
import json
import shutil
import types

import h5py
import numpy as np
import pytest
from forked import command
from tiny import RECIPE, tiny_config

from trsum_jax.data import datasets, folded, splits
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.records import Dataset, Video
from trsum_jax.errors import InputError
from trsum_jax.experiment import inputs, preparation, scorer
from trsum_jax.experiment.run import run_experiment, train
from trsum_jax.files import read_json, write_json
from trsum_jax.protocol import evaluation
from trsum_jax.results import filenames, report, summaries
from trsum_jax.training import runs

pytestmark = pytest.mark.usefixtures('programs_shared')


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A whole experiment at toy size, two folds and two seeds."""
    workdir = tmp_path_factory.mktemp('runs') / 'one'
    config = tiny_config(seeds=(0, 1))
    return config, workdir, run_experiment(config, workdir)


def test_results_hold_what_is_promised(finished):
    _, workdir, text = finished
    results = read_json(workdir / 'results.json')
    names = {'random', 'untrained', 'distance_to_mean', 'change', 'one_out', 'uniform', 'human'}
    assert set(results['baselines']) == set(results['train_baselines']) == names
    assert results['synthetic'] is True
    for part in (results['mean'], results['train_mean'], *results['baselines'].values()):
        assert set(part) == set(evaluation.METRICS)
        for metric, value in part.items():
            assert {'mean', 'low', 'high'} <= set(value)
            if value['mean'] is not None:
                assert value['low'] <= value['mean'] <= value['high'], metric
    for part in ('', 'train_'):
        assert set(results[f'{part}differences']) == names
        for row, of in results[f'{part}differences'].items():
            for metric, value in of.items():
                if value['mean'] is not None:
                    parts = results[f'{part}mean'], results[f'{part}baselines'][row]
                    expected = parts[0][metric]['mean'] - parts[1][metric]['mean']
                    assert value['mean'] == pytest.approx(expected, abs=1e-9), (row, metric)
                    assert value['seeds'] == 2
    assert text.count('| less change ') == 2
    assert set(results['videos']) == {f'video_{i}' for i in range(1, 7)}
    assert all(video['held_out'] for video in results['videos'].values())
    assert results['seeds']['count'] == 2
    last = 'last epoch'
    assert results['selection'] == {'generator': last, 'summarizer': last, 'test': 'never'}
    assert 'summarizer: last epoch. Nothing is chosen on test videos.' in text
    assert 'disjoint 2-fold: all 6 videos tested' in text.partition('\n')[0]
    for part in ('', 'train_'):
        assert set(results[f'{part}over_random']) == {'trsum', *names} - {'random'}
    assert text.count("F over random's") == 2
    assert 'held-out videos' in text
    assert 'synthetic' in text


def test_only_beside_planted_people_stands_what_real_ones_say(finished):
    _, workdir, text = finished
    assert text.count(report.REAL_PEOPLE) == 1
    results = read_json(workdir / 'results.json')
    planted, real = (report.render_results(results | {'synthetic': told}) for told in (True, False))
    assert planted.endswith(f'\n\n{report.REAL_PEOPLE}\n')
    assert report.REAL_PEOPLE not in real
    assert planted.count('\n| ') == real.count('\n| ')


def test_a_table_of_one_rating_and_of_ranks_of_summaries_without_baselines():
    """mAP is in all that is told, and random scores are there all the same."""
    rng, shots = np.random.default_rng(0), np.stack([np.arange(0, 40, 4), np.arange(3, 40, 4)], axis=1)
    videos = {}
    for key in ('a', 'b', 'c'):
        rating, users = rng.random((1, 40)), (rng.random((1, 10)) < 0.3).repeat(4, axis=1)
        parts = {'change_points': shots, 'user_summary': users, 'user_scores': rating, 'fps': 1.0}
        videos[key] = Video(key, np.arange(40), 40, **parts)
    folds = [splits.Fold(('a', 'b'), ('c',)), splits.Fold(('b', 'c'), ('a',))]
    given = folded.Inputs(Dataset('made', videos), tuple(videos), folds, splits.describe(folds))
    places = runs.places((0, 1), 2)
    scores = {report.MODEL: [{key: rng.random(40) for key in videos} for _ in places]}
    header = {'name': 'n', 'preset': 'p', 'method': 'trsum', 'empty_summaries': [], 'dataset': 'made'}
    header['selection'] = {'summarizer': 'last epoch', 'test': 'never'}
    for rank, rows in (('summary', {'random', report.MODEL}), ('per-user', {report.MODEL})):
        settings = types.SimpleNamespace(budget=0.2, rank=rank, baselines=False, random_draws=20)
        measured = report.measure_rows(given, scores, settings, len(places))
        assert set(measured) == rows
        results = report.results_of(given, measured, places, rank, header)
        text = report.render_results(results)
        assert (evaluation.NOT_NEUTRAL in text) == (rank == 'summary')
        assert ("F over random's" in text) == (rank == 'summary')
        assert 'mAP 15%, %' in text and 'their number rounded down' in text
        held_out = [scores[report.MODEL][i]['c'] for i in (0, 2)]
        each = [evaluation.evaluate_video(videos['c'], of)['map_50'] for of in held_out]
        assert results['videos']['c']['map_50'] == pytest.approx(np.mean(each))
        listed, of_folds = report.csv_rows(given, measured, places)
        assert all('map_15' in row for row in (*listed, *of_folds))
        assert set(results['seeds']) == {'count', *evaluation.METRICS, 'map_50', 'map_15'}


def test_the_mean_is_that_of_the_folds_test_videos(finished):
    config, workdir, _ = finished
    results = read_json(workdir / 'results.json')
    folds = inputs.load_inputs(config, workdir).folds
    expected = np.mean(
        [np.mean([results['videos'][key]['kendall_tau'] for key in fold.test]) for fold in folds]
    )
    assert results['mean']['kendall_tau']['mean'] == pytest.approx(expected, abs=1e-12)


def test_the_scores_file_gives_the_metrics_of_its_videos(finished):
    """One run tested every video, so with one seed the file's scores are those that were evaluated."""
    config, workdir, _ = finished
    config = config.copy_and_resolve_references()
    config.seeds = (0,)
    one = workdir.parent / 'one_seed'
    run_experiment(config, one)
    results = read_json(one / 'results.json')
    dataset = datasets.read_dataset(one / 'synthetic.h5')
    with h5py.File(one / 'scores.h5') as file:
        for key, video in dataset.videos.items():
            found = evaluation.evaluate_video(video, file[key]['scores'][()])
            for metric in evaluation.METRICS:
                assert found[metric] == pytest.approx(results['videos'][key][metric], abs=1e-6)


def test_summaries_name_the_chosen_shots_in_seconds_within_the_budget(finished):
    config, workdir, _ = finished
    dataset = datasets.read_dataset(workdir / 'synthetic.h5')
    for key, found in read_json(workdir / 'summaries.json').items():
        video = dataset.videos[key]
        taken = sum(s['last_frame'] - s['first_frame'] + 1 for s in found['shots'] if s['chosen'])
        assert taken <= int(config.evaluation.budget * video.n_frames)
        assert found['summary_seconds'] == pytest.approx(taken / 30.0)
        assert found['shots'][-1]['end'] == pytest.approx(video.n_frames / 30.0)
        assert len(found['scores']) == video.n_steps


def test_the_log_holds_every_epoch_of_every_run_once(finished):
    config, workdir, _ = finished
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    places = [(line['stage'], line['epoch'], line['seed'], line['fold']) for line in lines]
    expected = {
        (stage, epoch, seed, fold)
        for stage in ('generator', 'summarizer')
        for epoch in range(1, config[stage].epochs + 1)
        for seed in (0, 1)
        for fold in (0, 1)
    }
    assert len(places) == len(expected)
    assert set(places) == expected
    assert {'reward', 'reward_std', 'advantage_rms', 'p_mean', 'p_std'} <= set(lines[-1])
    assert {'loss', 'loss_segment_mean', 'loss_copy_nearest'} <= set(lines[0])


def test_pictures_and_tables_are_there(finished):
    _, workdir, _ = finished
    for name in ('results', 'learning_curves', 'timelines'):
        assert (workdir / 'pictures' / f'{name}.png').read_bytes().startswith(b'\x89PNG')
    assert len((workdir / 'videos.csv').read_text().splitlines()) == 1 + 8 * 4 * 6  # rows, runs, videos
    assert len((workdir / 'folds.csv').read_text().splitlines()) == 1 + 8 * 4 * 2  # rows, runs, sets


def test_a_finished_workdir_is_reported_and_left_alone(finished, capsys):
    config, workdir, text = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob('*.jsonl')}
    assert run_experiment(config, workdir) == text
    assert 'nothing was run again' in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in workdir.rglob('*.jsonl')}


def test_further_rows_are_of_the_table_alone_and_made_from_the_checkpoints(finished, tmp_path, capsys):
    """Scores that are the model's own differ from it by nothing, and nothing is trained again."""
    config, first, _ = finished
    workdir = tmp_path / 'copy'
    shutil.copytree(first, workdir)
    trained = (workdir / 'metrics.jsonl').read_bytes()
    config = config.copy_and_resolve_references()
    shutil.copy(workdir / 'scores.h5', tmp_path / 'ours.h5')
    config.evaluation.rows = (f'ours={tmp_path}/ours.h5',)
    text = run_experiment(config, workdir)
    told = 'has a table of another evaluation (other rows); made again from the checkpoints'
    assert told in capsys.readouterr().out
    assert (workdir / 'metrics.jsonl').read_bytes() == trained
    results, before = read_json(workdir / 'results.json'), read_json(first / 'results.json')
    assert results['mean'] == before['mean']
    assert {name: of for name, of in results['baselines'].items() if name != 'ours'} == before['baselines']
    assert '| less ours' in text
    dataset = datasets.read_dataset(workdir / 'synthetic.h5')
    with h5py.File(tmp_path / 'ours.h5') as file:
        taus = {
            key: evaluation.evaluate_video(video, file[key]['scores'][()])['kendall_tau']
            for key, video in dataset.videos.items()
        }
    folds = inputs.load_inputs(config, workdir).folds
    expected = np.mean([np.mean([taus[key] for key in fold.test]) for fold in folds])
    assert results['baselines']['ours']['kendall_tau']['mean'] == pytest.approx(expected, abs=1e-9)
    # The same again: nothing is done.
    assert run_experiment(config, workdir) == text
    assert 'nothing was run again' in capsys.readouterr().out
    # Without checkpoints the table is what it is.
    shutil.rmtree(workdir / 'checkpoints' / 'summarizer')
    assert run_experiment(config, workdir) == text
    config.evaluation.rows = ()
    with pytest.raises(InputError, match='expected the evaluation and the further rows of its table'):
        run_experiment(config, workdir)


def test_a_workdir_of_another_config_is_refused_with_the_field(finished):
    config, workdir, text = finished
    other = config.copy_and_resolve_references()
    other.summarizer.episodes = 7
    with pytest.raises(InputError, match=r'summarizer.episodes: 5 there, 7 now'):
        run_experiment(other, workdir)
    assert (workdir / 'results.md').read_text() == text


def test_changed_data_under_the_same_config_are_refused(finished, tmp_path):
    config, _, _ = finished
    config = config.copy_and_resolve_references()
    config.data.file = str(tmp_path / 'data.h5')
    config.data.generate = False
    videos = generate(Recipe(**RECIPE))
    datasets.write_dataset(tmp_path / 'data.h5', videos)
    preparation.prepare(config, tmp_path)
    videos[0].features[0] *= -1
    datasets.write_dataset(tmp_path / 'data.h5', videos)
    with pytest.raises(InputError, match='has changed'):
        preparation.prepare(config, tmp_path)


@pytest.mark.parametrize('most_mb', [scorer._MOST_MB, 1e-9])
def test_scoring_from_a_checkpoint_gives_the_mean_over_runs(finished, monkeypatch, most_mb):
    # In parts no larger than the longest video, and as a whole.
    monkeypatch.setattr(scorer, '_MOST_MB', most_mb)
    config, workdir, _ = finished
    dataset = datasets.read_dataset(workdir / 'synthetic.h5', in_file=True)
    found = scorer.score(scorer.load_trained(workdir), dataset)
    assert list(found) == list(dataset.videos)
    start = preparation.prepare(config, workdir)
    runs = start.score(train(start), False)['trsum']
    for key in dataset.videos:
        np.testing.assert_allclose(found[key], np.mean([run[key] for run in runs], axis=0), atol=1e-6)


def test_scoring_features_of_another_width_is_refused(finished, tmp_path):
    path = tmp_path / 'wide.h5'
    datasets.write_dataset(path, generate(Recipe(**RECIPE | {'width': 9})))
    with pytest.raises(InputError, match=r'6 wide.*found 9'):
        scorer.score(scorer.load_trained(finished[1]), datasets.read_dataset(path))


def test_scoring_features_of_another_encoder_is_refused(finished, tmp_path):
    def features(encoder, **recipe):
        path = tmp_path / f'{encoder}.h5'
        datasets.write_dataset(path, generate(Recipe(**RECIPE | recipe)), encoder=encoder)
        return path

    config = tiny_config(**{'data.file': str(features('alpha-1')), 'data.generate': False})
    preparation.prepare(config, tmp_path / 'run')
    record = read_json(tmp_path / 'run' / filenames.RECORD)
    assert record['encoder'] == 'alpha-1'

    trained = dataclasses.replace(scorer.load_trained(finished[1]), encoder=record['encoder'])
    for width in (6, 9):
        with pytest.raises(
            InputError, match=r'beta-1\.h5: expected .* alpha-1, .* found beta-1; take that one'
        ):
            scorer.score(trained, datasets.read_dataset(features('beta-1', width=width)))
    # A video that is in both shows that the features are the same, where a file does not say it.
    same, unknown = (scorer.score(trained, datasets.read_dataset(features(e))) for e in ('alpha-1', None))
    np.testing.assert_array_equal(same['video_1'], unknown['video_1'])


def test_features_that_nothing_shows_to_be_of_the_same_encoder_need_a_word(finished, tmp_path):
    datasets.write_dataset(tmp_path / 'new.h5', generate(Recipe(**RECIPE | {'seed': 8, 'videos': 2})))
    dataset, trained = datasets.read_dataset(tmp_path / 'new.h5'), scorer.load_trained(finished[1])
    unnamed = "features of the very encoder .*none of the field's does"
    for of_training, of_file, words in (
        (None, None, f'{unnamed}; found features that do not say'),
        (None, 'beta-1', f'{unnamed}; found beta-1'),
        ('alpha-1', None, 'features of the encoder alpha-1, .*found features that do not say'),
        ('alpha-1', 'beta-1', 'features of the encoder alpha-1, .*found beta-1'),
    ):
        given = (
            dataclasses.replace(trained, encoder=of_training),
            dataclasses.replace(dataset, encoder=of_file),
        )
        with pytest.raises(InputError, match=rf'new\.h5: expected {words}.*--any_encoder scores them'):
            scorer.score(*given)
    assert set(scorer.score(*given, any_encoder=True)) == {'video_1', 'video_2'}


def test_a_training_of_an_older_version_is_refused_with_what_it_lacks(finished, tmp_path):
    for name in (filenames.CONFIG, filenames.RECORD):
        told = read_json(finished[1] / name)
        told.pop('method', None)
        write_json(tmp_path / name, told)
    with pytest.raises(InputError, match=r'config\.json: expected .* found none of method; train again'):
        scorer.load_trained(tmp_path)


def test_scoring_the_training_videos_says_that_they_are(finished, tmp_path):
    trained = scorer.load_trained(finished[1])
    datasets.write_dataset(tmp_path / 'new.h5', generate(Recipe(**RECIPE | {'seed': 8})))
    assert scorer.known_videos(trained, datasets.read_dataset(tmp_path / 'new.h5')) == []
    assert len(scorer.known_videos(trained, datasets.read_dataset(finished[1] / 'synthetic.h5'))) == 6


def test_times_follow_the_presentation_times_of_the_frames():
    video = Video('v', np.array([0]), 4, fps=2.0, frame_times=np.array([0.0, 0.1, 0.7, 2.0]))
    assert [summaries.second_of(video, frame) for frame in (0, 2, 4)] == [0.0, 0.7, 2.5]


def test_the_score_command_writes_what_evaluate_reads(finished, tmp_path):
    _, workdir, _ = finished
    data, scores = f'--dataset={workdir}/synthetic.h5', f'{tmp_path}/scores.h5'
    flags = (f'--checkpoint={workdir}', data, f'--output={scores}', f'--summaries={tmp_path}/s.json')
    datasets.write_dataset(tmp_path / 'new.h5', generate(Recipe(**RECIPE | {'seed': 8})), encoder='beta-1')
    other = command('trsum_jax.score', flags[0], f'--dataset={tmp_path}/new.h5', flags[2])
    assert other.returncode == 1 and '--any_encoder scores them' in other.stderr
    run = command('trsum_jax.score', *flags, '--any_encoder')
    assert run.returncode == 0, run.stderr
    assert 'note: scores mean something only if' in run.stdout
    assert len(read_json(tmp_path / 's.json')) == 6
    again = command('trsum_jax.score', *flags)
    assert again.returncode == 1
    assert '--overwrite' in again.stderr
    run = command('trsum_jax.evaluate', data, f'--scores={scores}', f'--output={tmp_path}/r.json')
    assert run.returncode == 0, run.stderr
    assert read_json(tmp_path / 'r.json')['mean']['kendall_tau']['mean'] is not None
