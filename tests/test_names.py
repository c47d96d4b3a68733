"""Names that are hard to write, from the command line to every file: text, lengths, and a folder's order."""

import os
import pathlib
import re
import subprocess
import sys
import types

import h5py
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

from rendered import write_video
from summarizing import black

from trsum_jax import extract, files, score
from trsum_jax.data import datasets
from trsum_jax.errors import InputError
from trsum_jax.video import folder, outputs

NAMES = [
    os.fsdecode(b'caf\xe9.mp4'),
    'two\nlines.mp4',
    '\u65e5\u672c \U0001f600 \u0623 \u202egpj.mp4',
    '-y %03d?#\\.mp4',
    'x' * 251 + '.mp4',
]


@pytest.fixture(scope='module')
def film(tmp_path_factory):
    """Black: nothing is trained."""
    return write_video(tmp_path_factory.mktemp('film') / 'a.mp4', black(20), range(0, 2000, 100), fps=10)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('name', NAMES)
def test_summarize_and_extract_take_any_name(command, film, here, name, capfd):
    pytest.importorskip('opentimelineio')
    pathlib.Path(name).write_bytes(film.read_bytes())
    assert command(f'--video={name}', '--timeline=.edl') is None
    made = sorted(path.name for path in here.iterdir() if path.name != name)
    assert [pathlib.Path(one).suffix for one in made] == ['.edl', '.html', '.json', '.mp4', '.png']
    (stem,) = {pathlib.Path(one).stem for one in made}
    assert stem.endswith('-summary')
    assert stem.startswith(name[:50].removesuffix('.mp4'))
    extract.extract(name, 'f.h5')
    with h5py.File('f.h5') as file:
        assert file['video_1/video_name'].asstr()[()] == files.shown(name)
    told = ''.join(capfd.readouterr())
    assert files.shown(name) in told
    # A name begins no line of its own, and steers no terminal.
    assert '\nlines' not in told
    assert '\u202e' not in told


def test_a_terminal_that_knows_ascii_only(film, here):
    name = os.fsdecode(b'caf\xe9 \xe6\x97\xa5.mp4')
    pathlib.Path(name).write_bytes(film.read_bytes())
    run = [sys.executable, '-m', 'trsum_jax.extract', f'--videos={name}', '--output=f.h5']
    root = pathlib.Path(extract.__file__).parents[1]
    done = subprocess.run(
        run, capture_output=True, env=os.environ | {'PYTHONIOENCODING': 'ascii', 'PYTHONPATH': str(root)}
    )
    assert done.returncode == 0, done.stderr
    assert b'caf\\xe9 \\u65e5.mp4' in done.stdout
    again = subprocess.run([*run[:3], '--videos=\x1b[1mabsent'], capture_output=True)
    assert b'\x1b' not in again.stderr


def test_outputs_of_too_long_a_name_are_refused_before_the_work(command, film, here, monkeypatch):
    def work(*_, **__):
        raise AssertionError('the work has begun')

    monkeypatch.setattr('trsum_jax.summarize.summarize_all', work)
    monkeypatch.setattr('trsum_jax.video.describing.describe', work)
    long = 'x' * 248
    for flag in (f'--output={long}xxxx.mp4', f'--page={long}xxx.html', f'--output=absent/{long}xxxx.mp4'):
        assert re.search('at most 255 bytes|no folder absent', command(f'--video={film}', flag))
    # The film would fit, the page beside it would not.
    told = command(f'--video={film}', f'--output={long}xxx.mp4')
    assert told.startswith('--page=')
    assert 'found 256' in told
    with pytest.raises(InputError, match='at most 255 bytes'):
        extract.extract(film, f'{long}xxxxxx.h5')
    values = {'output': f'{long}xxxxxx.h5', 'summaries': '', 'dataset': 'absent.h5', 'checkpoint': 'absent'}
    values = types.SimpleNamespace(budget=0.15, overwrite=False, features=[], **values)
    monkeypatch.setattr('absl.flags.FLAGS', values)
    with pytest.raises(InputError, match=r'--output=.*at most 255 bytes'):
        score.main(['score'])
    values.output = 'absent.h5/'
    with pytest.raises(
        InputError, match=r'--output=absent\.h5: expected a file of its own, found the file of'
    ):
        score.main(['score'])


def test_a_workdir_that_cannot_keep_checkpoints_is_refused_before_the_work(command, film, here):
    for workdir, said in (
        (os.fsdecode(b'w\xe9'), r'w\xe9: expected a path in UTF-8'),
        ('a.mp4', 'expected a folder, found a file'),
    ):
        (here / 'a.mp4').write_bytes(film.read_bytes())
        assert said in command('--video=a.mp4', f'--workdir={workdir}')
        assert [path.name for path in here.iterdir()] == ['a.mp4']


def test_only_one_place_opens_videos():
    package = pathlib.Path(extract.__file__).parent
    opened = [path.name for path in package.rglob('*.py') if re.search(r'\bav\.open\(', path.read_text())]
    assert opened == ['opening.py']


# Cuts, and what a summary is called where its name was taken while it was made.
SINCE = ('-2', '-cut2', '-cut2-3')


@pytest.fixture
def mixed(tmp_path, film):
    place = tmp_path / 'mixed'
    place.mkdir()
    names = ['clip10.mp4', 'clip2.mp4', 'clip3.3GP', 'clip1.mp4', 'clip01.mp4', 'no ending', 'x.vob', 'b.dat']
    for name in (*names, 'clip2-summary.mp4', *(f'clip2-summary{more}.mp4' for more in SINCE)):
        (place / name).write_bytes(film.read_bytes())
    (place / 'z-summary.mp4').write_bytes(film.read_bytes())
    (place / 'broken.mxf').write_text('no film')
    for name in ('a.jpg', 'b.JPG', 'c.srt', 'odd.xyz', '.hidden.mp4', 'list.m3u8'):
        (place / name).write_text('no film')
    (place / 'below').mkdir()
    os.mkfifo(place / 'pipe.mp4')
    return place


def test_a_folder_is_told_by_names_and_content_and_nothing_is_passed_over_in_silence(mixed):
    found, (note,) = folder.find_videos(mixed)
    assert [path.name for path in found] == [
        'b.dat', 'broken.mxf', 'clip01.mp4', 'clip1.mp4', 'clip2.mp4', 'clip3.3GP', 'clip10.mp4', 'no ending',
        'x.vob', 'z-summary.mp4'
    ]  # fmt: skip
    assert note == (
        'passed over no videos by name: 2 .jpg, 1 .srt, 1 .m3u8; no videos by content: odd.xyz; summaries '
        'that were made before: clip2-summary-2.mp4, clip2-summary-cut2-3.mp4, clip2-summary-cut2.mp4, '
        'clip2-summary.mp4; no files: pipe.mp4; hidden: 1; folders below: 1'
    )


def test_the_order_of_a_folder_is_that_of_its_numbers(mixed, tmp_path):
    extract.extract(mixed, tmp_path / 'f.h5', left_out={})
    names = [video.name for video in datasets.read_dataset(tmp_path / 'f.h5').videos.values()]
    assert names[1:6] == ['clip01.mp4', 'clip1.mp4', 'clip2.mp4', 'clip3.3GP', 'clip10.mp4']


def test_a_folder_with_files_that_break_early_late_and_in_writing(command, tmp_path, capsys, monkeypatch):
    pytest.importorskip('opentimelineio')
    # Black films: nothing is trained.
    place = tmp_path / 'films'
    place.mkdir()
    whole = write_video(place / 'clip10.mp4', black(40), range(0, 4000, 100)).read_bytes()
    for name in ('clip2.mp4', 'clip3.mp4', '_-summary.mp4', 'clip2-summary.mp4', 'film.of.mine'):
        (place / name).write_bytes(whole)
    (place / 'early.mp4').write_text('no film')
    (place / 'late.mp4').write_bytes(empty_of_pictures(whole))
    (place / 'a.jpg').write_text('a picture')

    def full(summary, output, **options):
        if summary.path.name == 'clip3.mp4':
            raise InputError('clip3-summary.mp4: cannot be written (No space left on device)')
        return write(summary, output, **options)

    write = outputs.writing.write_video
    monkeypatch.setattr(outputs.writing, 'write_video', full)
    flags = (f'--videos={place}', '--page=', '--storyboard=', '--timeline=edl')
    assert command(*flags, code=2) is None
    told = capsys.readouterr()
    made = {path.name for path in (place / 'summaries').iterdir()}
    names = ['_-summary', 'clip2', 'clip10', 'film.of']
    assert made == {f'{name}-summary{end}' for name in names for end in ('.mp4', '.json', '.edl')}
    assert re.findall(r'^(\S+): [\d.]+ of 4', told.out, re.MULTILINE) == [
        '_-summary.mp4', 'clip2.mp4', 'clip10.mp4', 'film.of.mine'
    ]  # fmt: skip
    for said in (
        'passed over no videos by name: 1 .jpg; summaries that were made before: clip2-summary.mp4\n',
        r'left out: \S*early.mp4: cannot be opened as a video',
        r'left out: \S*late.mp4: expected frames, found none that decode',
        'not written: clip3-summary.mp4: cannot be written .No space left on device.',
        '3 of 7 videos were left out, for the reasons above',
    ):
        assert re.search(said, told.err), said
    assert 'early.mp4: cannot be opened' in command(*flags, '--overwrite', '--strict')
    for name in names:
        next(place.glob(f'{name}.m*')).unlink()
    (place / 'clip3.mp4').unlink()
    (place / 'clip2-summary.mp4').unlink()
    assert 'none of the videos can be read' in command(*flags, '--overwrite')


def empty_of_pictures(movie):
    begin = movie.index(b'mdat') + 4
    end = movie.index(b'moov') - 4
    return movie[:begin] + bytes(end - begin) + movie[end:]
