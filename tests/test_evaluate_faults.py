"""What `evaluate` refuses, and how it says so."""

import functools
import pathlib
import subprocess
import sys

import evaluating
import h5py
import numpy as np
import pytest
from evaluating import N_STEPS, random_scores, write_dataset, write_scores

from trsum_jax import evaluate
from trsum_jax.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture
def command(monkeypatch):
    return functools.partial(evaluating.run, monkeypatch)


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / 'dataset.h5')


def test_splits_that_leave_videos_out_must_say_so(command, dataset, tmp_path):
    path, output = tmp_path / 'splits.json', tmp_path / 'results.json'
    path.write_text('[{"train_keys": ["video_1"], "test_keys": ["video_3"]}]')
    with pytest.raises(InputError, match=r'no fold uses 2: video_2, video_4.*--partial_splits'):
        command(dataset=dataset, splits=path, output=output, draws=1)
    assert not output.exists()
    found = command(dataset=dataset, splits=path, output=output, draws=1, partial_splits=True)
    assert 'no fold uses 2 of 4 videos: video_2, video_4' in found['notes']


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


def test_command_line(dataset, tmp_path):
    def run(path):
        line = [sys.executable, '-m', 'trsum_jax.evaluate', f'--dataset={path}', '--draws=1']
        return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)

    done = run(dataset)
    assert done.returncode == 0 and '| human' in done.stdout, done.stderr
    done = run(tmp_path / 'none.h5')
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and 'Traceback' not in done.stderr
