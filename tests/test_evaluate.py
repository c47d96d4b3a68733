import functools
import json

import evaluating
import h5py
import numpy as np
import pytest
from evaluating import N_FRAMES, N_STEPS, SHOT, random_scores, write_dataset, write_scores
from scipy import stats

from trsum_jax import evaluate
from trsum_jax.protocol import baselines, evaluation


@pytest.fixture
def command(monkeypatch):
    return functools.partial(evaluating.run, monkeypatch)


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / 'dataset.h5')


def test_results_file(command, dataset, tmp_path, capsys):
    scores = random_scores()
    found = command(
        dataset=dataset,
        scores=write_scores(tmp_path / 'scores.h5', scores),
        output=tmp_path / 'results.json',
        summaries=tmp_path / 'summaries.h5',
        draws=2,
    )
    videos = evaluate.datasets.read_dataset(dataset).videos
    for key, video in videos.items():
        assert found['videos'][key] == pytest.approx(evaluation.evaluate_video(video, scores[key]))
    for metric in evaluation.METRICS:
        each = [found['videos'][key][metric] for key in videos]
        assert found['mean'][metric]['mean'] == pytest.approx(np.mean(each))
        assert min(each) <= found['mean'][metric]['low'] <= found['mean'][metric]['high'] <= max(each)
    assert set(found['baselines']) == {'random', 'uniform', 'distance_to_mean', 'change', 'human'}
    humans = [baselines.human_leave_one_out(video)['f_avg'] for video in videos.values()]
    assert found['baselines']['human']['f_avg']['mean'] == pytest.approx(np.mean(humans))
    assert found['baselines']['uniform']['kendall_tau']['mean'] is None
    assert found['dataset'] == str(dataset) and found['rank_against'] == 'per-user'
    assert (found['constant_predictions'], found['empty_summaries'], found['warnings']) == (0, 0, [])
    assert found['splits'] == 'all 4 videos as one fold' and found['budget'] == 0.15
    with h5py.File(tmp_path / 'summaries.h5') as file:
        for key, video in videos.items():
            summary = file[key]['summary'][:]
            assert summary.dtype == np.uint8 and summary.shape == (N_FRAMES,) and summary.sum() == 45
            assert evaluation.summary_f(video, summary)['f_max'] == found['videos'][key]['f_max']
    assert '| scores' in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'dataset.h5', 'results.json', 'scores.h5', 'summaries.h5',
    ]  # fmt: skip


def test_every_form_of_the_scores_gives_the_same(command, dataset, tmp_path):
    scores = random_scores()
    frames = {key: np.repeat(values, SHOT) for key, values in scores.items()}
    files = [
        write_scores(tmp_path / 'steps.h5', scores),
        write_scores(tmp_path / 'frames.h5', frames, 'frame_scores'),
        tmp_path / 'steps.json',
        tmp_path / 'frames.json',
        tmp_path / 'flat.h5',
        tmp_path / 'several.h5:SumMe/ours',
    ]
    with h5py.File(files[4], 'w') as flat, h5py.File(tmp_path / 'several.h5', 'w') as several:
        for key in scores:
            flat[key], several[f'SumMe/ours/{key}'] = scores[key], frames[key]
            several[f'SumMe/theirs/{key}'] = -scores[key]
    files[2].write_text(json.dumps({key: values.tolist() for key, values in scores.items()}))
    files[3].write_text(json.dumps({key: values.tolist() for key, values in frames.items()}))
    videos = [
        command(dataset=dataset, scores=file, output=tmp_path / f'{number}.results', draws=1)['videos']
        for number, file in enumerate(files)
    ]
    assert all(one == videos[0] for one in videos)


def test_splits_mean_over_folds_of_means_over_test_videos(command, dataset, tmp_path):
    folds = [['video_1', 'video_2', 'video_3'], ['video_2']]
    keys = [f'video_{number}' for number in range(1, 5)]
    splits = [{'train_keys': [k for k in keys if k not in test], 'test_keys': test} for test in folds]
    (tmp_path / 'splits.json').write_text(json.dumps(splits))
    found = command(
        dataset=dataset,
        scores=write_scores(tmp_path / 'scores.h5', random_scores()),
        splits=tmp_path / 'splits.json',
        output=tmp_path / 'results.json',
        draws=1,
    )
    f = {key: found['videos'][key]['f_avg'] for key in keys}
    expected = [np.mean([f[key] for key in test]) for test in folds]
    assert found['mean']['f_avg']['mean'] == pytest.approx(np.mean(expected))
    assert [row['f_avg'] for row in found['folds']] == pytest.approx(expected)
    assert 'overlapping' in found['splits']
    assert any('video_4' in note for note in found['notes'])


def test_without_scores_the_baselines_alone_and_reproducible(command, dataset, tmp_path):
    runs = [command(dataset=dataset, output=tmp_path / f'{n}.json', draws=2, seed=n // 2) for n in range(3)]
    first, second, other = runs
    assert first == second
    assert first['baselines']['random'] != other['baselines']['random']
    assert not {'videos', 'mean', 'folds'} & set(first)


def test_what_the_file_lacks_is_said_once(command, tmp_path, capsys):
    path = write_dataset(tmp_path / 'tv.h5', users=False, shots=False, features=False, ratings=True)
    found = command(
        dataset=path,
        scores=write_scores(tmp_path / 'scores.h5', random_scores()),
        output=tmp_path / 'results.json',
        draws=1,
    )
    assert found['rank_against'] == 'annotator scores'
    assert found['mean']['f_avg']['mean'] is None
    assert isinstance(found['mean']['kendall_tau']['mean'], float)
    assert set(found['baselines']) == {'random', 'human'}
    assert sum('no F-score' in note for note in found['notes']) == 1
    assert capsys.readouterr().out.count('note: ') == len(found['notes'])


def test_users_without_shots_and_videos_without_users(command, tmp_path):
    path = write_dataset(tmp_path / 'no_shots.h5', shots=False, features=False)
    found = command(dataset=path, output=tmp_path / 'a.json', draws=1)
    assert any('change_points, which all 4 videos lack' in note for note in found['notes'])
    path = write_dataset(tmp_path / 'no_users.h5', users=False)
    found = command(dataset=path, output=tmp_path / 'b.json', draws=1)
    assert any('users, which all 4 videos lack' in note for note in found['notes'])
    assert found['rank_against'] is None


def test_constant_scores_and_empty_summaries_are_counted_and_said(command, dataset, tmp_path, capsys):
    scores = random_scores()
    scores['video_2'], scores['video_3'] = np.ones(N_STEPS), np.zeros(N_STEPS)
    found = command(
        dataset=dataset,
        scores=write_scores(tmp_path / 'scores.h5', scores),
        output=tmp_path / 'results.json',
        draws=1,
    )
    assert (found['constant_predictions'], found['empty_summaries']) == (2, 1)
    assert found['videos']['video_2']['kendall_tau'] is None
    assert (found['mean']['kendall_tau']['videos'], found['mean']['kendall_tau']['missing']) == (2, 2)
    constant, empty = (line for line in capsys.readouterr().out.splitlines() if line.startswith('warning: '))
    assert 'constant' in constant and 'video_2, video_3' in constant
    assert 'empty summary' in empty and 'video_3' in empty and 'video_2' not in empty


def test_references_without_a_rank_are_counted(command, dataset, tmp_path):
    with h5py.File(dataset, 'r+') as file:
        file['video_1/user_summary'][0] = 0
    found = command(dataset=dataset, output=tmp_path / 'a.json', draws=1)
    assert (found['constant_references'], found['rank_against']) == (1, 'per-user')
    assert any('no rank' in note for note in found['notes'])
    found = command(dataset=dataset, rank='mean-user', output=tmp_path / 'b.json', draws=1)
    assert (found['constant_references'], found['rank_against']) == (0, 'mean-user')


def test_ranks_of_summaries_are_never_without_those_of_random_scores(command, dataset, tmp_path, capsys):
    scores = write_scores(tmp_path / 'scores.h5', random_scores() | {'video_2': np.ones(N_STEPS)})
    options = {'dataset': dataset, 'scores': scores, 'draws': 2}
    found = command(**options, rank='summary', output=tmp_path / 'a.json')
    printed = capsys.readouterr().out
    assert found['rank_against'] == 'summary' and evaluation.NOT_NEUTRAL in printed
    videos = evaluate.datasets.read_dataset(dataset).videos
    for key, video in videos.items():
        summary = evaluation.summarize(
            np.repeat(random_scores()[key], SHOT) if key != 'video_2' else np.ones(N_FRAMES),
            video.change_points,
            N_FRAMES,
        )
        tau = stats.kendalltau(summary, video.user_summary.mean(axis=0)).statistic
        assert found['videos'][key]['kendall_tau'] == pytest.approx(tau)
    for row in ('random', 'uniform', 'human'):
        assert isinstance(found['baselines'][row]['kendall_tau']['mean'], float)
    # The summary of constant scores has a rank.
    assert found['constant_predictions'] == 0
    other = command(**options, output=tmp_path / 'b.json')
    assert evaluation.NOT_NEUTRAL not in capsys.readouterr().out
    for metric in ('f_avg', 'f_max'):
        assert other['mean'][metric] == found['mean'][metric]
    # Over random: of one fold the quotient of the means.
    ours, by_chance = found['mean']['f_avg']['mean'], found['baselines']['random']['f_avg']['mean']
    assert found['over_random']['scores']['f_avg'] == pytest.approx(ours / by_chance)
    assert f"F over random's, in % (PoR; F avg, F max): scores {100 * ours / by_chance:.0f}, " in printed
    path = write_dataset(tmp_path / 'no_shots.h5', shots=False, features=False)
    found = command(dataset=path, rank='summary', output=tmp_path / 'c.json', draws=1)
    assert 'without user_summary and change_points, which all 4 videos lack' in ' '.join(found['notes'])


def test_one_rating_a_video(command, tmp_path, capsys):
    """As Mr. HiSum: a rating and a summary of each video, and two segments of 15% in a minute at most."""
    with h5py.File(write_dataset(tmp_path / 'one.h5', users=False, features=False), 'r+') as file:
        for number, group in enumerate(file.values()):
            rng = np.random.default_rng(number)
            group['user_scores'] = np.repeat(rng.random(N_STEPS), SHOT)[None].astype(np.float32)
            group['user_summary'] = np.repeat(rng.random(N_STEPS) < 0.2, SHOT)[None].astype(np.float32)
            # A step of 15 frames lasts five seconds, so that it is a segment.
            group['fps'] = 3.0
    scores = random_scores()
    options = {'dataset': tmp_path / 'one.h5', 'draws': 2}
    options['scores'] = write_scores(tmp_path / 'scores.h5', scores)
    found = command(**options, output=tmp_path / 'a.json')
    assert (found['rank_against'], found['rounding']) == ('one rating', 'down')
    assert 'mAP of segments of 5 s, their number rounded down' in capsys.readouterr().out
    precisions = []
    for number, (key, values) in enumerate(scores.items()):
        rating = np.random.default_rng(number).random(N_STEPS)
        tau = stats.kendalltau(values, rating).statistic
        assert found['videos'][key]['kendall_tau'] == pytest.approx(tau)
        # 15% of 20 are three: where they stand among the scores.
        places = np.sort(np.argsort(np.argsort(-values))[np.argsort(-rating)[:3]]) + 1
        precisions.append(np.mean([1, 2, 3] / places))
        assert found['videos'][key]['map_15'] == pytest.approx(precisions[-1])
    assert found['mean']['map_15']['mean'] == pytest.approx(np.mean(precisions))
    assert found['folds'][0]['map_15'] == pytest.approx(np.mean(precisions))
    by_chance = found['baselines']['random']['map_15']['mean']
    assert found['differences']['random']['map_15']['mean'] == pytest.approx(np.mean(precisions) - by_chance)
    # 20 segments divide evenly: rounding is the same, and is told.
    up = command(**options, output=tmp_path / 'b.json', rounding='up')
    assert up['mean'] == found['mean'] and up['rounding'] == 'up'


def test_tvsum_scores_from_its_own_file(command, tmp_path):
    path = write_dataset(tmp_path / 'dataset.h5', videos=2)
    ratings = np.random.default_rng(0).integers(1, 6, (3, N_FRAMES))
    lines = [f'{name}\tVT\t{",".join(map(str, user))}' for name in ('first', 'second') for user in ratings]
    (tmp_path / 'ydata-anno.tsv').write_text('\n'.join(lines))
    found = command(
        dataset=path, user_scores=tmp_path / 'ydata-anno.tsv', output=tmp_path / 'results.json', draws=1
    )
    assert found['rank_against'] == 'annotator scores'


def test_further_rows_and_what_ours_have_more_than_each(command, dataset, tmp_path, capsys):
    ours, theirs = random_scores(), {key: -values for key, values in random_scores().items()}
    paths = [write_scores(tmp_path / f'{name}.h5', of) for name, of in (('ours', ours), ('theirs', theirs))]
    three, last = ['video_1', 'video_2', 'video_3'], ['video_4']
    splits = [{'train_keys': last, 'test_keys': three}, {'train_keys': three, 'test_keys': last}]
    (tmp_path / 'splits.json').write_text(json.dumps(splits))
    options = {'dataset': dataset, 'scores': paths[0], 'splits': tmp_path / 'splits.json', 'draws': 1}
    found = command(**options, rows=f'the others={paths[1]}', output=tmp_path / 'r.json')
    alone = command(**options | {'scores': paths[1]}, output=tmp_path / 'alone.json')
    assert found['rows'] == {'the others': alone['mean']}
    assert alone['rows'] == {}
    assert set(found['differences']) == {'the others', *found['baselines']}
    for metric in evaluation.METRICS:
        each = [found['videos'][key][metric] - alone['videos'][key][metric] for key in ours]
        mean = found['mean'][metric]['mean'] - alone['mean'][metric]['mean']
        told = found['differences']['the others'][metric]
        assert told['mean'] == pytest.approx((np.mean(each[:3]) + each[3]) / 2) == pytest.approx(mean)
        assert min(each) <= told['low'] <= told['mean'] <= told['high'] <= max(each)
    assert found['differences']['uniform']['kendall_tau']['mean'] is None
    out = capsys.readouterr().out
    assert '| the others ' in out
    assert '| less the others ' in out
    command(dataset=dataset, rows=f'a={paths[1]}', output=tmp_path / 'rows.json', draws=1)
    assert '| a ' in capsys.readouterr().out


def test_released_scores_reach_what_they_are_known_to(shared):
    """Of a published method, on TVSum, in a group of a file with several."""
    path = shared / 'data' / 'real' / 'released_scores.h5'
    if not path.exists():
        pytest.skip(f'needs {path.name}')
    videos = evaluate.datasets.read_dataset(
        shared / 'data' / 'tvsum_annotations.h5', require_features=False
    ).videos
    rows = evaluate.read_rows([f'csnet={path}:TVSum/csnet'], videos, list(videos), ())
    taus = [evaluation.evaluate_video(videos[key], of)['kendall_tau'] for key, of in rows['csnet'].items()]
    assert len(taus) == 50
    assert np.mean(taus) == pytest.approx(-0.012, abs=0.0005)


def test_csnet_through_the_command(command, shared, tmp_path):
    released = shared / 'vectors/summe_csnet.h5'
    found = command(
        dataset=shared / 'data/summe_annotations.h5',
        scores=released,
        splits=shared / 'data/splits/summe_disjoint5.json',
        output=tmp_path / 'results.json',
        summaries=tmp_path / 'summaries.h5',
        draws=1,
    )
    with h5py.File(released) as expected, h5py.File(tmp_path / 'summaries.h5') as summaries:
        assert len(expected) == len(summaries) == len(found['videos']) == 25
        for key, video in expected.items():
            np.testing.assert_array_equal(summaries[key]['summary'][:], video['machine_summary'][:])
            assert 100 * found['videos'][key]['f_max'] == pytest.approx(video['fscore_max_percent'][()])
        mean = np.mean([video['fscore_max_percent'][()] for video in expected.values()])
    assert 100 * found['mean']['f_max']['mean'] == pytest.approx(mean)


def test_runs_on_tvsum_annotations(command, shared, tmp_path):
    with h5py.File(shared / 'data/tvsum_annotations.h5') as whole, h5py.File(tmp_path / 'tv.h5', 'w') as part:
        for key in ('video_1', 'video_2', 'video_10'):
            whole.copy(key, part)
    found = command(dataset=tmp_path / 'tv.h5', output=tmp_path / 'results.json', draws=1)
    assert found['rank_against'] == 'annotator scores'
    assert 0.05 < found['baselines']['human']['kendall_tau']['mean'] < 0.5
    assert found['baselines']['random']['f_max']['mean'] is None
