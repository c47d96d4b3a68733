import dataclasses
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

import av
from hypothesis import given
from hypothesis import strategies as st
from rendered import scene, write_video
from summarizing import black, film, summarized, toy_config

from trsum_jax.data.records import Video
from trsum_jax.errors import InputError
from trsum_jax.experiment import own_videos
from trsum_jax.protocol import evaluation
from trsum_jax.results import filenames
from trsum_jax.video import choosing, describing
from trsum_jax.video.encoders import loading

pytestmark = pytest.mark.usefixtures('programs_shared')
RNG = np.random.default_rng(0)


def video_of(frame_times, starts, picks, last=0.1):
    """A video of which only times, shots and picks are told."""
    times = np.asarray(frame_times, np.float64)
    n = len(times)
    shots = np.stack([starts, np.append(starts[1:], n) - 1], axis=1).astype(np.int64)
    fps = n / (times[-1] + last)
    picks = np.asarray(picks, np.int64)
    return Video(key='v', picks=picks, n_frames=n, change_points=shots, fps=fps, frame_times=times)


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return film(tmp_path_factory.mktemp('clip') / 'clip.mp4')


def frames_of(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_at_a_steady_rate_the_protocol_chooses():
    video = video_of(np.arange(300) / 25, [0, 30, 75, 80, 150, 190, 260], range(0, 300, 12), last=1 / 25)
    for budget in (0.15, 0.3, 0.5):
        scores = RNG.random(25).astype(np.float32)
        summary, notes = choosing.make_summary('a.mp4', video, scores, budget=budget)
        frames = evaluation.frame_scores(scores, video.picks, 300)
        expected = evaluation.choose_shots(frames, video.change_points, 300, budget)
        np.testing.assert_array_equal(summary.chosen, expected)
        np.testing.assert_array_equal(summary.shots, video.change_points)
        np.testing.assert_allclose(summary.shot_scores, evaluation.shot_scores(frames, video.change_points))
        assert summary.length == pytest.approx(
            expected @ np.diff(video.change_points)[:, 0] / 25 + expected.sum() / 25
        )
        assert notes == []


@pytest.mark.parametrize('seconds', [1.0, 2.5, 4.0, 7.3])
def test_at_an_unsteady_rate_time_is_what_is_weighed(seconds):
    # Frames 20, 30, … 200 ms long: a budget in frames would be another choice.
    gaps = RNG.integers(2, 21, 120) / 100
    edges = np.append(0, np.cumsum(gaps))
    video = video_of(edges[:-1], np.arange(0, 120, 12), range(0, 120, 6), last=gaps[-1])
    scores = RNG.random(20)
    summary, _ = choosing.make_summary('a.mp4', video, scores, seconds=seconds)
    lengths = edges[12::12] - edges[:-12:12]
    values = scores.reshape(10, 2).mean(axis=1)
    fitting = [c for c in itertools.product((0, 1), repeat=10) if lengths @ c <= seconds + 1e-9]
    best = max(fitting, key=lambda c: values @ c)
    np.testing.assert_array_equal(summary.chosen, np.array(best, bool))
    assert summary.length == pytest.approx(lengths @ best)


def test_where_no_shot_fits_the_best_piece_is_cut_out():
    scores = np.array([0.1, 0.2, 0.3, 0.9, 0.5, 0.2, 0.8, 0.1])
    video = video_of(np.arange(80) / 10, [0, 20, 60], range(0, 80, 10))
    summary, notes = choosing.make_summary('a.mp4', video, scores, seconds=1.5)
    # The middle shot is best. Frames 25..39 of it: ten of .9, five of .3; frames 30..44: five of .5.
    np.testing.assert_array_equal(summary.shots[summary.chosen], [[30, 44]])
    np.testing.assert_array_equal(summary.shots[:, 0], [0, 20, 30, 45, 60])
    np.testing.assert_array_equal(summary.shots[:, 1], [19, 29, 44, 59, 79])
    assert summary.shot_scores[summary.chosen] == pytest.approx([(10 * 0.9 + 5 * 0.5) / 15])
    assert notes == ['no shot fits into 1.5 s: of the best one, 1.5 s are taken']


def test_one_shot_longer_than_the_budget_gives_its_middle():
    video = video_of(np.arange(100) / 10, [0], [0])
    summary, _ = choosing.make_summary('a.mp4', video, np.array([0.5]), budget=0.2)
    np.testing.assert_array_equal(summary.parts, [[40, 59]])


def test_scores_without_an_order_choose_at_even_distances():
    video = video_of(np.arange(120) / 10, np.arange(0, 120, 10), range(0, 120, 5))
    summary, notes = choosing.make_summary('a.mp4', video, np.full(24, 0.5), seconds=3.2)
    np.testing.assert_array_equal(np.flatnonzero(summary.chosen), [2, 6, 10])
    assert notes == ['all scores are alike: shots are taken at even distances']


def test_a_frame_longer_than_the_budget_is_shown_whole():
    summary, _ = choosing.make_summary(
        'a.mp4', video_of([0, 10.0], [0, 1], [0, 1], last=10), np.array([0.2, 0.7])
    )
    np.testing.assert_array_equal(summary.parts, [[1, 1]])
    single, notes = choosing.make_summary('a.mp4', video_of([0.0], [0], [0]), np.array([0.5]))
    np.testing.assert_array_equal(single.parts, [[0, 0]])
    assert notes[-1] == 'the summary is the whole video: it is a single frame'


@given(st.data())
def test_never_empty_never_whole_by_accident(data):
    n = data.draw(st.integers(2, 60))
    gaps = np.array(data.draw(st.lists(st.integers(1, 400), min_size=n, max_size=n))) / 100
    starts = sorted({0, *data.draw(st.lists(st.integers(0, n - 1), max_size=8))})
    picks = sorted({0, *data.draw(st.lists(st.integers(0, n - 1), max_size=20))})
    scores = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(picks), max_size=len(picks))))
    budget = data.draw(st.floats(0.01, 0.99))
    edges = np.append(0, np.cumsum(gaps))
    video = video_of(edges[:-1], np.array(starts), picks, last=gaps[-1])
    summary, _ = choosing.make_summary('a.mp4', video, scores, budget=budget)
    assert summary.chosen.any()
    assert not summary.chosen.all()
    np.testing.assert_array_equal(summary.shots[1:, 0], summary.shots[:-1, 1] + 1)
    assert (summary.shots[0, 0], summary.shots[-1, 1]) == (0, n - 1)
    one_frame = len(summary.parts) == 1 and summary.parts[0, 0] == summary.parts[0, 1]
    assert one_frame or summary.length <= budget * edges[-1] + 1e-5


def test_the_whole_video_is_a_summary_where_that_is_asked_for():
    video = video_of(np.arange(40) / 10, [0, 20], range(0, 40, 5))
    for how in ({'budget': 1.0}, {'seconds': 100.0}):
        summary, notes = choosing.make_summary('a.mp4', video, RNG.random(8) + 0.1, **how)
        assert summary.chosen.all()
        assert 'the summary is the whole video' in notes[0]


def test_trained_on_the_video_itself_and_again_from_its_checkpoint(clip, tmp_path, capsys):
    first = summarized(clip, config=toy_config(), workdir=tmp_path / 'w', budget=0.2)
    assert first.scores.shape == (24,)
    assert np.ptp(first.scores) > 0
    assert len(first.frame_times) == 120
    assert 0 < first.length <= 0.2 * 12
    again = summarized(clip, config=toy_config(), budget=0.2)
    np.testing.assert_array_equal(again.scores, first.scores)
    np.testing.assert_array_equal(again.chosen, first.chosen)
    other = summarized(clip, config=toy_config(seed=1))
    assert not np.array_equal(other.scores, first.scores)
    capsys.readouterr()
    scored = summarized(clip, checkpoint=tmp_path / 'w', seconds=2.4)
    np.testing.assert_allclose(scored.scores, first.scores, atol=1e-6)
    np.testing.assert_array_equal(scored.chosen, first.chosen)
    assert 'generator' not in capsys.readouterr().err

    foreign = dataclasses.replace(loading.load('descriptor'), name='another-1')
    with pytest.raises(InputError, match=r'features of the encoder descriptor-1, .*, found another-1'):
        summarized(clip, checkpoint=tmp_path / 'w', encoder=foreign)
    with pytest.raises(InputError, match='score only'):
        summarized(clip, checkpoint=tmp_path / 'w', workdir=tmp_path / 'x')

    features = (tmp_path / 'w' / own_videos.FEATURES).read_bytes()
    other = film(tmp_path / 'other.mp4', (4, 5, 4, 6, 4, 4))
    with pytest.raises(InputError, match=r'holds a training on other videos; .* --checkpoint='):
        summarized(other, config=toy_config(), workdir=tmp_path / 'w')
    assert (tmp_path / 'w' / own_videos.FEATURES).read_bytes() == features

    # As after a training on one of the field's files, none of which says its encoder.
    record = json.loads((tmp_path / 'w' / filenames.RECORD).read_text())
    (tmp_path / 'w' / filenames.RECORD).write_text(json.dumps(record | {'encoder': None}))
    with pytest.raises(InputError, match=r'does not say it, .* found descriptor-1.* --any_encoder'):
        summarized(clip, checkpoint=tmp_path / 'w')
    capsys.readouterr()
    options = {'encoder': foreign, 'any_encoder': True}
    assert summarized(clip, checkpoint=tmp_path / 'w', **options).chosen.any()
    assert 'scores mean something only if another-1 made' in capsys.readouterr().err
    with pytest.raises(InputError, match='--any_encoder says something of a --checkpoint'):
        summarized(clip, any_encoder=True)


@pytest.mark.parametrize(('how', 'longest'), [({'seconds': 4.0}, 4), ({'budget': 0.05}, 3), ({}, 6)])
def test_shots_are_cut_so_that_a_short_summary_can_choose(tmp_path, how, longest):
    path = film(tmp_path / 'a.mp4', range(5), seconds=12)
    # The choice that shows nothing twice divides a still scene into a short shot and a rest.
    summary = summarized(path, config=toy_config(), choice='knapsack', **how)
    assert np.diff(summary.seconds(summary.shots)).max() <= longest
    assert np.diff(summary.seconds(summary.shots)).max() > 0.6 * longest
    assert {12, 24, 36, 48} <= set(np.round(summary.seconds(summary.shots)[:, 0], 6))


@pytest.mark.parametrize('place', ['https://example.org/a.mp4', '/absent/a.mp4'])
def test_a_wrong_place_is_told_of_the_video_not_of_its_output(command, place):
    assert command(f'--video={place}').startswith(f'{place}: expected a ')


def test_a_timeline_without_its_package_is_refused_before_any_work(command, clip, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'opentimelineio', None)
    told = command(f'--video={clip}', f'--output={tmp_path}/s.mp4', f'--timeline={tmp_path}/s.otio')
    assert 'pip install "trsum_jax[timeline]"' in told
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_order_is_seen():
    assert describing.alike(np.ones((5, 4)))
    assert describing.alike(np.zeros((5, 4)))
    assert not describing.alike(np.eye(4))
    with_noise = np.ones((50, 4)) + 1e-3 * RNG.normal(size=(50, 4))
    assert describing.alike(with_noise)


def test_blank_pictures_are_not_shown(tmp_path, capsys):
    pictures = [*black(40), *(scene(seed) for seed in (0, 1, 0) for _ in range(20)), *black(20)]
    path = write_video(tmp_path / 'a.mp4', pictures, range(0, 12_000, 100))
    summary = summarized(path, config=toy_config(), seconds=4)
    assert (summary.scores[:8] == 0).all()
    assert (summary.scores[8:20] > 0).all()
    assert summary.parts.min() >= 40
    assert summary.parts.max() < 100
    assert '12 pictures are blank' in capsys.readouterr().err


def test_command_writes_all_parts_and_replaces_none(command, clip, tmp_path, capsys):
    output = tmp_path / 's.mp4'
    assert command(f'--video={clip}', f'--output={output}', '--seconds=3') is None
    told = capsys.readouterr()
    shown = frames_of(output) / 10
    assert 1 <= shown <= 3
    assert f'clip.mp4: {shown:.1f} of 12.0 s' in told.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ['s.html', 's.json', 's.mp4', 's.png']
    assert str(tmp_path / 's.html') in told.out
    assert 'looking at clip.mp4' in told.err
    assert 'writing s.mp4' in told.err
    assert json.loads((tmp_path / 's.json').read_text())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert 's.mp4: exists already' in command(f'--video={clip}', f'--output={output}')
    output.unlink()
    assert 's.html: exists already' in command(f'--video={clip}', f'--output={output}')
    assert all(path.read_bytes() == content for path, content in before.items() if path != output)
    assert command(f'--video={clip}', f'--output={output}', '--overwrite', '--page=', '--seconds=2') is None
    assert frames_of(output) <= 20
    assert (tmp_path / 's.html').read_bytes() == before[tmp_path / 's.html']


def test_command_on_a_folder(command, clip, tmp_path, capsys):
    folder = tmp_path / 'films'
    folder.mkdir()
    (folder / 'a.mp4').write_bytes(clip.read_bytes())
    film(folder / 'b.mkv', (4, 5, 4, 6, 4, 4))
    assert command(f'--videos={folder}', '--storyboard=', '--page=') is None
    made = sorted(path.name for path in (folder / 'summaries').iterdir())
    assert made == ['a-summary.json', 'a-summary.mp4', 'b-summary.json', 'b-summary.mp4']
    assert (
        command(f'--videos={folder}', f'--video={folder}/a.mp4', f'--output={tmp_path}/x.mp4', '--page=')
        is None
    )
    told = capsys.readouterr()
    assert 'training on 2 videos, 48 pictures' in told.err
    assert 'learning 2 videos, part 1 of 2' in told.err and 'learning 2 videos, part 2 of 2' in told.err
    assert not re.search('loss|reward|parameters|segments|runs', told.err)
    assert not (tmp_path / 'x.html').exists()
    assert 'no name of one file' in command(f'--videos={folder}', f'--json={tmp_path}/y.json')
    assert 'an ending, .otio or .edl or .xml or .fcpxml, with' in command(
        f'--videos={folder}', f'--timeline={tmp_path}/y.edl'
    )
    assert 'expected a folder' in command(f'--videos={folder}', f'--output={tmp_path}/y.mp4')
    assert not (tmp_path / 'y.mp4').exists()


@pytest.mark.parametrize('package', ['av', 'jinja2', 'skimage'])
def test_without_the_video_extra(package, clip, tmp_path):
    program = (
        f'import runpy, sys; sys.modules[{package!r}] = None; '
        'runpy.run_module("trsum_jax.summarize", run_name="__main__")'
    )
    run = [sys.executable, '-c', program]
    flags = [f'--video={clip}', f'--output={tmp_path}/s.mp4', '--encoder=descriptor']
    done = subprocess.run([*run, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "trsum_jax[video]"' in done.stderr
    assert 'Traceback' not in done.stderr
    assert '--storyboard' in subprocess.run([*run, '--help'], capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'expected --video=FILE, or --videos=DIR'),
        (['--video=V', '--seconds=3', '--budget=0.2'], 'found both'),
        (['--video=V', '--budget=0'], '--budget=0: expected a share'),
        (['--video=V', '--budget=15'], '--budget=15: expected a share'),
        (['--video=V', '--seconds=-1'], '--seconds=-1: expected a length'),
        (['--video=V', '--shortest=-1'], '--shortest=-1: expected seconds, 0 or more'),
        (['--video=V', '--rate=0'], '--rate=0: expected samples per second'),
        (['--video=V', '--seed=-1'], '--seed=-1'),
        (['--video=V', '--output=V'], 'expected a file of its own, found the video'),
        (['--video=V', '--output=D/s.avi'], 'expected a name ending in .mp4'),
        (['--video=V', '--output=D/absent/s.mp4'], 'make it first'),
        (['--video=V', '--timeline=D/s.txt'], '.otio or .edl'),
        (['--video=V', '--page=D/s.html', '--json=D/s.html'], 'expected a name ending in .json'),
        (['--video=V', '--checkpoint=D/absent'], 'expected the workdir of a training'),
    ],
)
def test_flags_that_make_no_sense_are_answered_before_any_work(command, clip, tmp_path, arguments, message):
    places = {'V': str(clip), 'D': str(tmp_path)}
    filled = [a.replace('=V', f'={places["V"]}').replace('=D', f'={places["D"]}') for a in arguments]
    if not any(a.startswith('--output') for a in filled):
        filled.append(f'--output={tmp_path}/s.mp4')
    assert message in command(*filled)
    assert list(tmp_path.iterdir()) == []


def test_as_a_command_of_its_own(tmp_path):
    # A still picture: nothing is trained, so that this is quick.
    still = write_video(tmp_path / 'still.mp4', [scene(0)] * 60, range(0, 6000, 100), fps=10)
    run = [sys.executable, '-m', 'trsum_jax.summarize', f'--video={still}', '--encoder=descriptor']
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'all scores are alike' in done.stderr
    assert frames_of(tmp_path / 'still-summary.mp4') <= 9
    assert (tmp_path / 'still-summary.html').stat().st_size > 10_000
    again = subprocess.run(run, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stderr.startswith('error: ')
    assert again.stderr.count('\n') == 1
