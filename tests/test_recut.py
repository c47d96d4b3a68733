import dataclasses

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('jinja2')

from fractions import Fraction

import edits
from rendered import flash_and_beep
from summarizing import Command

from trsum_jax import recut
from trsum_jax.video import folder, outputs, planning, recutting
from trsum_jax.video.reading import VideoReader


@pytest.fixture
def command(monkeypatch):
    return Command(monkeypatch, recut)


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return edits.clip(tmp_path_factory.mktemp('clip'))


@pytest.fixture
def edited(clip, tmp_path):
    return edits.editor(clip, tmp_path)


@pytest.mark.parametrize('kind', ['steady', 'unsteady', 'started anew'])
def test_the_same_bytes_come_out_again(tmp_path, command, kind):
    beside = {'json': '.json'}
    if kind == 'steady':
        pytest.importorskip('opentimelineio')
        source = flash_and_beep(tmp_path / 'a.mp4', range(250), [50, 120, 220], tick=Fraction(1001, 24000))
        source.with_suffix('.srt').write_text(edits.SRT)
        beside |= {'page': '.html', 'storyboard': '.png', 'subtitles': '.srt', 'timeline': '.edl'}
    elif kind == 'started anew':
        once = flash_and_beep(tmp_path / 'once.ts', range(125), [50, 120], tick=Fraction(1, 25))
        source = tmp_path / 'a.ts'
        source.write_bytes(2 * once.read_bytes())
    else:
        gaps = np.random.default_rng(3).choice([20, 33, 50], 249)
        ticks = np.append(0, np.cumsum(gaps)).tolist()
        source = flash_and_beep(tmp_path / 'a.mkv', ticks, [50, 120], tick=Fraction(1, 1000))
    summary = dataclasses.replace(edits.scored(source), crossfade=0.3, allowed=3.0)
    first = {name: tmp_path / 'first' / f's{ending}' for name, ending in beside.items()}
    outputs.write(summary, outputs.Targets(tmp_path / 'first' / 's.mp4', **first))
    (tmp_path / 'again').mkdir()
    asked = ['--timeline=.edl'] if kind == 'steady' else ['--page=', '--storyboard=']
    assert command(f'--summary={first["json"]}', f'--output={tmp_path}/again/s.mp4', *asked) is None
    made = sorted(path.name for path in (tmp_path / 'again').iterdir())
    assert made == sorted(path.name for path in (tmp_path / 'first').iterdir())
    for name in made:
        assert (tmp_path / 'again' / name).read_bytes() == (tmp_path / 'first' / name).read_bytes(), name
    found, notes = recutting.read_summary(first['json'])
    np.testing.assert_array_equal(found.frame_times, summary.frame_times)
    assert (found.path, found.fps, found.duration, notes) == (source, summary.fps, summary.duration, [])
    assert (found.clock is None) == (kind == 'started anew')


@pytest.mark.parametrize(('change', 'parts', 'shots'), [
    # A frame lasts .04 s: 1.23 s is nearest to the edge at 1.24, 2.53 to that at 2.52.
    (edits.times((1.23, 2.53), (4.4, 5.2), (8.0, 9.6)), [(31, 62), (110, 129), (200, 239)], [0, 31, 63, 110]),
    (edits.times((1.6, 2.8)), [(40, 69)], [0, 40, 70, 110]),
    (edits.times((0, 10)), [(0, 249)], [0, 40, 70, 110]),
    (edits.times((6, 7)), [(150, 174)], [0, 40, 70, 110, 150]),
    # Parts that touch are one.
    (edits.times((1.6, 2.8), (2.8, 3.6)), [(40, 89)], [0, 40, 70, 90]),
])  # fmt: skip
def test_edited_times_go_to_the_nearest_frames(edited, change, parts, shots):
    summary, notes = recutting.read_summary(edited(change))
    np.testing.assert_array_equal(summary.parts, parts)
    assert summary.shots[: len(shots), 0].tolist() == shots
    np.testing.assert_array_equal(summary.shots[1:, 0], summary.shots[:-1, 1] + 1)
    assert summary.shots[-1, 1] == 249
    assert 'the times of its parts were edited' in notes[0]


def put(*path, value):
    """An edit: a value where this path leads, or nothing there any more."""

    def change(found):
        *way, last = path
        for step in way:
            found = found[step]
        if value is None:
            del found[last]
        else:
            found[last] = value

    return change


HOSTILE = {
    'older': (put('source', value=None), 'with its "source", found none; … summarize the video again'),
    'no parts': (put('parts', value=[]), 'parts: expected a list of at least one object, found []'),
    'parts of text': (put('parts', value='all'), "parts: expected a list of objects, found 'all'"),
    'part of numbers': (put('parts', 1, value=3), 'parts[1]: expected an object, found 3'),
    'nan': (put('parts', 1, 'start', value=float('nan')), 'parts[1].start: expected a number from 0 to 10, '),
    'infinite': (
        put('parts', 1, 'end', value=float('inf')),
        'parts[1].end: expected a number from 4.4 to 10',
    ),
    'text': (put('parts', 0, 'start', value='0:07'), "parts[0].start: expected a number … found '0:07'"),
    'true': (put('parts', 0, 'start', value=True), 'parts[0].start: expected a number … found True'),
    'beyond': (
        put('parts', 2, 'end', value=10.5),
        'parts[2].end: expected a number from 8 to 10 … found 10.5',
    ),
    'huge': (put('parts', 0, 'start', value=10**400), 'parts[0].start: expected a number from 0 to 10'),
    'backwards': (edits.times((3, 2)), 'parts[0].end: expected a number from 3 to'),
    'nothing': (edits.times((3, 3.001)), 'parts[0].end: expected at least a frame'),
    'overlap': (edits.times((1, 3), (2, 4)), 'parts[1].start: expected 3 or more, … without overlap'),
    'unsorted': (edits.times((5, 6), (2, 3)), 'parts[1].start: expected 6 or more'),
    'none chosen': (
        lambda f: [one.update(chosen=False) for one in f['shots']],
        'at least one that is chosen',
    ),
    'chosen by word': (put('shots', 0, 'chosen', value='yes'), 'shots[0].chosen: expected true or false'),
    'hole': (put('shots', 1, value=None), 'shots[1].first_frame: expected a whole number from 40 to 40'),
    'no end': (
        put('shots', 6, value=None),
        'last_frame: expected 249, the last frame of the video, found 239',
    ),
    'times of shots': (put('shots', 1, 'start', value=1.2), 'shots[1].start: expected 1.6, … of "parts"'),
    'mark': (put('shots', 1, 'mark', value='maybe'), "shots[1].mark: expected keep or drop, found 'maybe'"),
    'key frame': (put('shots', 1, 'key_frame', value=7), 'key_frame: expected a whole number from 40 to 69'),
    'score': (put('scores', 3, 'score', value=1.5), 'scores[3].score: expected a number from 0 to 1'),
    'frames': (put('scores', 3, 'frame', value=5), 'scores: expected frames in order, each once'),
    'count': (put('frames', value=10**8), 'frames: expected a whole number from 1 to 10000000'),
    'another count': (put('frames', value=249), 'source.gaps: expected 248 numbers, … found 249'),
    'rate': (put('fps', value=24), 'fps: expected 25, as 250 frames in 10 s have, found 24'),
    'fade': (put('crossfade', value=3), 'crossfade: expected a number from 0 to 1, found 3'),
    'bomb': (put('source', 'gaps', value='1x99999999'), 'source.gaps: expected 249 numbers'),
    'large': (
        put('source', 'gaps', value='999999999999999x249'),
        'source.gaps: expected the times of a video',
    ),
    'words': (
        put('source', 'gaps', value='512 -3x248'),
        "source.gaps: expected whole numbers … found '-3x248'",
    ),
    'tick': (
        put('source', 'tick', value='1/0'),
        "source.tick: expected a fraction such as 1/90000, found '1/0'",
    ),
    'clock': (put('source', 'clock', value=[]), 'source.clock: expected an object, found'),
    'keys': (put('source', 'clock', 'keys', value='9999'), 'source.clock.keys: expected frames below 250'),
    'looks': (put('looks', value='!!'), 'looks: expected up to 24 bytes for each of 50 steps'),
    'address': (put('source', 'file', value='http://a.org/b.mp4'), 'found nothing there; say where it is by'),
    'half a letter': (put('source', 'file', value='\ud800'), 'source.file: expected the name of a file'),
    'digest': (put('source', 'ends', value='0'), 'expected the file that s.json is of, found another'),
}


@pytest.mark.parametrize('kind', HOSTILE)
def test_what_cannot_be_is_refused_with_its_place(edited, command, kind):
    change, message = HOSTILE[kind]
    place = edited(change)
    found = command(f'--summary={place}')
    assert all(words in found for words in message.split(' … ')), found
    assert found.startswith(str(place.parent))
    assert sorted(path.name for path in place.parent.iterdir()) == ['a.mp4', 's.json']


@pytest.mark.parametrize(('text', 'message'), [
    (b'', 'found a fault in it'),
    (b'[]', 'expected an object, found []'),
    (b'{"source": 1}', 'source: expected an object, found 1'),
    (b'{"a": 1, "a": 2}', 'a is given twice'),
    (b'[' * 100_000, 'too deep to read'),
    (b'\xff\xfe', 'other bytes than text'),
    (None, 'expected a summary (.json) that trsum summarize has written, found no such file'),
])  # fmt: skip
def test_a_file_that_is_no_summary(tmp_path, command, text, message):
    if text is not None:
        (tmp_path / 's.json').write_bytes(text)
    assert message in command(f'--summary={tmp_path}/s.json')


def test_another_video_is_refused_and_a_moved_one_named(edited, command, tmp_path):
    place = edited()
    content = (tmp_path / 'a.mp4').read_bytes()
    (tmp_path / 'a.mp4').unlink()
    assert 's.json: expected its video as ' in command(f'--summary={place}')
    for changed in (content[:-1], content[:-1] + b'?', content + b' '):
        (tmp_path / 'a.mp4').write_bytes(changed)
        assert 'a.mp4: expected the file that s.json is of' in command(f'--summary={place}')
    (tmp_path / 'moved.mp4').write_bytes(content)
    summary, _ = recutting.read_summary(place, tmp_path / 'moved.mp4')
    assert summary.path == tmp_path / 'moved.mp4'


def test_what_is_kept_goes_before_the_budget(edited, command, tmp_path, capsys):
    place = edited(put('crossfade', value=0.4))
    asked = ['--page=', '--storyboard=', '--json=', '--keep=1,5-6', '--drop=2', '--seconds=2']
    assert command(f'--summary={place}', *asked) is None
    told = capsys.readouterr()
    assert 's.json: what is kept takes 5.6 s, more than the 2 s allowed' in told.err
    # 6 s of shots in two parts, less one fade.
    assert '5.6 of 10.0 s (56%)' in told.out
    with VideoReader(tmp_path / 's-cut2.mp4') as reader:
        assert sum(1 for _ in reader.frames()) == 40 + 110 - 10
    assert command(f'--summary={place}', *asked, '--crossfade=0') is None
    with VideoReader(tmp_path / 's-cut3.mp4') as reader:
        assert sum(1 for _ in reader.frames()) == 40 + 110
    found, _ = folder.find_videos(tmp_path)
    assert [path.name for path in found] == ['a.mp4', 's-cut2.mp4', 's-cut3.mp4']
    (tmp_path / 's.mp4').touch()
    assert 's.mp4: exists already' in command(f'--summary={place}', *asked, f'--output={tmp_path}/s.mp4')
    assert command(f'--summary={place}', *asked, '--crossfade=0', '--overwrite') is None
    assert (tmp_path / 's.mp4').read_bytes() == (tmp_path / 's-cut3.mp4').read_bytes()


@pytest.mark.parametrize(('flags', 'message'), [
    (['--keep=0'], "--keep=0: expected numbers of shots as on the page, such as 3,5-7, found '0'"),
    (['--keep=3,,5'], "found ''"),
    (['--keep=7-5'], "found '7-5'"),
    (['--drop=x'], '--drop=x: expected numbers of shots'),
    (['--keep=3-5', '--drop=1,4'], '--keep and --drop: expected different shots, found 4 in both'),
    (['--keep=8'], 'from 1 to 7'),
    (['--drop=1-7'], '--drop: expected a shot that stays, found all 7'),
    (['--seconds=0'], '--seconds=0: expected a length above 0'),
    (['--crossfade=1.5'], '--crossfade: expected seconds from 0 to 1, found 1.5'),
    (['--output=b.avi'], 'expected a name ending in .mp4'),
])  # fmt: skip
def test_flags_that_make_no_sense(edited, command, tmp_path, flags, message):
    assert message in command(f'--summary={edited()}', *flags)
    assert len(list(tmp_path.iterdir())) == 2


def test_files_that_came_to_be_meanwhile_are_kept(edited, command, tmp_path, monkeypatch, capsys):
    path = edited()
    planned = planning.plan_recut

    def slowly(given, video):
        found = planned(given, video)
        # Another one of these was faster.
        (tmp_path / 's-cut2.json').write_text('edited since')
        return found

    monkeypatch.setattr(planning, 'plan_recut', slowly)
    assert command(f'--summary={path}', '--page=', '--storyboard=') is None
    assert (tmp_path / 's-cut2.json').read_text() == 'edited since'
    made = {one.name for one in tmp_path.iterdir()}
    assert {'s-cut2-2.mp4', 's-cut2-2.json'} <= made and 's-cut2.mp4' not in made
    told = capsys.readouterr()
    assert 's-cut2-2.mp4' in told.out
    assert 'came to be while this ran, and is kept: this summary is ' in told.err


def test_scores_may_begin_behind_the_first_frame(edited, command, tmp_path):
    # As of a film whose first key frame is damaged, looked at with --fast.
    path = edited(put('scores', 0, 'frame', value=3))
    assert command(f'--summary={path}', f'--output={tmp_path}/b.mp4', '--page=', '--storyboard=') is None
    assert recutting.read_summary(tmp_path / 'b.json')[0].picks[0] == 3


def test_a_film_keeps_its_kind(edited, command, tmp_path):
    place = edited()
    asked = f'--summary={place}', '--page=', '--storyboard=', '--json=', '--keep=1'
    # The video, which is no film of its summary, has the JSON's name.
    (tmp_path / 's.mov').symlink_to(tmp_path / 'a.mp4')
    (tmp_path / 's.webm').touch()
    assert command(*asked) is None
    assert command(*asked, '--output=.mov') is None
    assert command(*asked, '--overwrite') is None
    made = {path.name: path.read_bytes()[:4] for path in tmp_path.iterdir()}
    assert sorted(made) == ['a.mp4', 's-cut2.webm', 's-cut3.mov', 's.json', 's.mov', 's.webm']
    assert made['s-cut2.webm'] == made['s.webm'] == b'\x1a\x45\xdf\xa3'


def test_what_a_note_counts_is_the_film_that_is_asked_for(edited, command, capsys):
    place = edited(put('crossfade', value=0.4))
    asked = '--page=', '--storyboard=', '--json=', '--keep=1,5-6', '--seconds=2', '--crossfade=0'
    assert command(f'--summary={place}', *asked) is None
    told = capsys.readouterr()
    assert 'what is kept takes 6 s, more than' in told.err
    assert ': 6.0 of 10.0 s' in told.out


@pytest.mark.parametrize('flag', ['--keep=1', '--drop=3', '--seconds=5'])
def test_what_is_chosen_by_hand_is_not_chosen_anew(edited, command, tmp_path, flag):
    def another(found):
        found['shots'][0]['chosen'] = True

    # The numbers of shots whose times were edited are on no page yet.
    for change in (edits.times((1.23, 2.53), (5, 7)), another):
        found = command(f'--summary={edited(change)}', flag)
        assert (
            's.json: expected shots chosen by hand in it, or by --keep, --drop and --seconds, found' in found
        )
        assert len(list(tmp_path.iterdir())) == 2
