import json
import pathlib
import subprocess
import sys

import h5py
import numpy as np
import pytest
from absl import flags

from trsum_jax import evaluate
from trsum_jax.errors import InputError
from trsum_jax.protocol import baselines, evaluation

ROOT = pathlib.Path(__file__).resolve().parents[1]
N_FRAMES, N_STEPS, SHOT = 300, 20, 15


def write_dataset(path, *, users=True, shots=True, ratings=False, features=True, videos=4):
    rng = np.random.default_rng(0)
    with h5py.File(path, 'w') as file:
        for number in range(1, videos + 1):
            group = file.create_group(f'video_{number}')
            group['picks'] = np.arange(0, N_FRAMES, SHOT)
            group['n_frames'], group['n_steps'] = N_FRAMES, N_STEPS
            if features:
                rows = rng.normal(size=(N_STEPS, 6))
                group['features'] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
            if shots:
                first = np.arange(0, N_FRAMES, SHOT)
                group['change_points'] = np.stack([first, first + SHOT - 1], axis=1)
            if users:
                chosen = rng.random((3, N_STEPS)) < 0.3
                group['user_summary'] = np.repeat(chosen, SHOT, axis=1).astype(np.float32)
            if ratings:
                group['user_scores'] = rng.integers(1, 6, (4, N_FRAMES)).astype(np.float32)
    return path


def write_scores(path, arrays, name='scores'):
    with h5py.File(path, 'w') as file:
        for key, values in arrays.items():
            file[f'{key}/{name}'] = values
    return path


def random_scores(videos=4, length=N_STEPS):
    rng = np.random.default_rng(1)
    return {f'video_{number}': rng.random(length) for number in range(1, videos + 1)}


@pytest.fixture
def command(monkeypatch):
    """Runs the command in this process, with flags of its own."""

    def run(**options):
        values = flags.FlagValues()
        monkeypatch.setattr(flags, 'FLAGS', values)
        evaluate.define_flags(values)
        values(['evaluate', *(f'--{name}={value}' for name, value in options.items())])
        evaluate.main(['evaluate'])
        return json.loads(pathlib.Path(options['output']).read_text()) if 'output' in options else None

    return run


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
    assert found['splits'] == 'all videos as one fold' and found['budget'] == 0.15
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


def test_splits_that_leave_videos_out_must_say_so(command, dataset, tmp_path):
    path, output = tmp_path / 'splits.json', tmp_path / 'results.json'
    path.write_text('[{"train_keys": ["video_1"], "test_keys": ["video_3"]}]')
    with pytest.raises(InputError, match=r'no fold uses 2: video_2, video_4.*--partial_splits'):
        command(dataset=dataset, splits=path, output=output, draws=1)
    assert not output.exists()
    found = command(dataset=dataset, splits=path, output=output, draws=1, partial_splits=True)
    assert 'no fold uses 2 of 4 videos: video_2, video_4' in found['notes']


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


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda s: {k: s[k] for k in ('video_1', 'video_3')}, 'no scores of video_2, video_4'),
        (lambda s: s | {'video_9': s['video_1']}, 'scores of video_9, which the dataset does not have'),
        (
            lambda s: s | {'video_2': s['video_2'][:-1]},
            r'video_2/scores: expected \[20\] .*300\), found \[19\]',
        ),
        (
            lambda s: s | {'video_2': s['video_2'][:, None]},
            r'video_2/scores: expected \[20\].*found \[20, 1\]',
        ),
        (
            lambda s: s | {'video_2': np.where(np.arange(N_STEPS) == 5, np.nan, 1)},
            r'video_2/scores\[5\].*finite.*nan',
        ),
        (lambda s: s | {'video_2': np.array([b'x'] * N_STEPS)}, 'video_2/scores: expected numbers'),
    ],
    ids=['missing', 'unknown', 'length', 'rank', 'nan', 'text'],
)
def test_faults_in_the_scores(command, dataset, tmp_path, edit, message):
    path = write_scores(tmp_path / 'scores.h5', edit(random_scores()))
    with pytest.raises(InputError, match=message):
        command(dataset=dataset, scores=path)


def test_faults_in_the_layout_of_the_scores(command, dataset, tmp_path):
    path = write_scores(tmp_path / 'scores.h5', random_scores(), 'score')
    with pytest.raises(InputError, match=r'expected one of video_1/scores .* holds score'):
        command(dataset=dataset, scores=path)
    with h5py.File(tmp_path / 'flat.h5', 'w') as file:
        for key in random_scores():
            file[key] = np.zeros(N_STEPS - 1)
    with pytest.raises(InputError, match=r'video_1: expected \[20\] or \[300\]'):
        command(dataset=dataset, scores=tmp_path / 'flat.h5')
    path.write_bytes(dataset.read_bytes()[:3000])
    with pytest.raises(InputError, match='truncated'):
        command(dataset=dataset, scores=path)
    with pytest.raises(InputError, match='no such file'):
        command(dataset=dataset, scores=tmp_path / 'none.h5')


def test_faults_in_the_flags(command, dataset, tmp_path):
    scores = write_scores(tmp_path / 'scores.h5', random_scores())
    with pytest.raises(InputError, match='--budget'):
        command(dataset=dataset, budget=0)
    with pytest.raises(InputError, match='--summaries needs --scores'):
        command(dataset=dataset, summaries=tmp_path / 'summaries.h5')
    with pytest.raises(InputError, match='expected a file of its own, found the file of --scores'):
        command(dataset=dataset, scores=scores, output=scores, overwrite=True)
    with pytest.raises(InputError, match='found a folder there'):
        command(dataset=dataset, output=tmp_path)
    (tmp_path / 'splits.json').write_text('[{"train_keys": ["video_1"], "test_keys": []}]')
    with pytest.raises(InputError, match='expected folds with test_keys'):
        command(dataset=dataset, splits=tmp_path / 'splits.json', partial_splits=True)
    with pytest.raises(InputError, match='name that file too'):
        command(dataset=dataset, partial_splits=True)
    bare = write_dataset(tmp_path / 'bare.h5', shots=False, features=False)
    with pytest.raises(InputError, match='change_points'):
        command(dataset=bare, scores=scores, summaries=tmp_path / 'summaries.h5')


def test_overwrites_only_when_asked(command, dataset, tmp_path):
    output = tmp_path / 'results.json'
    output.write_text('mine')
    with pytest.raises(InputError, match='exists'):
        command(dataset=dataset, output=output, draws=1)
    assert output.read_text() == 'mine'
    assert 'baselines' in command(dataset=dataset, output=output, draws=1, overwrite=True)


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


@pytest.mark.parametrize(('row', 'message'), [
    ('scores.h5', 'expected NAME=FILE'),
    ('=scores.h5', 'expected NAME=FILE'),
    ('a=', 'expected NAME=FILE'),
    ('a|b=scores.h5', 'expected NAME=FILE'),
    ('human=scores.h5', 'expected a name of its own, found one that the table has already'),
    ('a=none.h5', 'none.h5: expected an HDF5 or JSON file of scores, found no such file'),
    ('a=some.h5', 'some.h5: no scores of video_2, video_3, video_4'),
    ('a=scores.h5:x', r'scores\.h5:x: expected a group of that name in scores\.h5, found none'),
    ('a=scores.h5:video_1/scores', 'expected a group of that name'),
])  # fmt: skip
def test_faults_in_further_rows(command, dataset, tmp_path, monkeypatch, row, message):
    write_scores(tmp_path / 'scores.h5', random_scores())
    write_scores(tmp_path / 'some.h5', random_scores(videos=1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        command(dataset=dataset, rows=row)


def test_a_row_stands_once_and_its_file_is_never_written_over(command, dataset, tmp_path):
    path = write_scores(tmp_path / 'scores.h5', random_scores())
    videos, row = evaluate.datasets.read_dataset(dataset).videos, f'a={path}'
    with pytest.raises(InputError, match='expected a name of its own, found it twice'):
        evaluate.read_rows([row, row], videos, list(videos), ())
    with pytest.raises(InputError, match='expected a file of its own, found a file of --rows'):
        command(dataset=dataset, rows=row, output=path, overwrite=True)


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


def test_command_line(dataset, tmp_path):
    def run(path):
        line = [sys.executable, '-m', 'trsum_jax.evaluate', f'--dataset={path}', '--draws=1']
        return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)

    done = run(dataset)
    assert done.returncode == 0 and '| human' in done.stdout, done.stderr
    done = run(tmp_path / 'none.h5')
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and 'Traceback' not in done.stderr
