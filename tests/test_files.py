"""Files written whole, what killed processes leave, and names as text."""

import errno
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from trsum_jax import files
from trsum_jax.errors import InputError

NAN = float('nan')


def test_json_is_strict(tmp_path):
    path = tmp_path / 'new' / 'results.json'
    tree = {
        'nan': NAN,
        'inf': np.float32('inf'),
        'deep': [{'x': np.array([1.0, NAN])}, (np.int64(3), np.bool_(True))],
        4: pathlib.PurePosixPath('a/b'),
        'none': None,
    }
    files.write_json(path, tree)

    def refuse(name):
        raise AssertionError(name)

    assert json.loads(path.read_text(), parse_constant=refuse) == {
        'nan': None,
        'inf': None,
        'deep': [{'x': [1.0, None]}, [3, True]],
        '4': 'a/b',
        'none': None,
    }


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'results.json'
    files.write_json(path, {'a': 1})
    with pytest.raises(TypeError):
        files.write_json(path, {'a': object()})
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert json.loads(path.read_text()) == {'a': 1}
    assert [p.name for p in tmp_path.iterdir()] == ['results.json']


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='cannot be written'):
        files.write_json(tmp_path / 'file' / 'results.json', {})


def test_what_a_killed_process_left_is_removed_and_a_running_ones_is_not(tmp_path):
    path = tmp_path / 'o.mp4'
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    stays = [
        tmp_path / name for name in (f'.o.mp4.{os.getppid()}.tmp', f'.p.mp4.{gone.pid}.tmp', '.o.mp4.x.tmp')
    ]
    for left in (*stays, tmp_path / f'.o.mp4.{gone.pid}.tmp'):
        left.write_text('half')
    files.write_text(path, 'whole')
    assert sorted(tmp_path.iterdir()) == sorted([*stays, path])


@pytest.mark.parametrize('letter', ['x', '\u65e5', os.fsdecode(b'\xe9')])
def test_the_longest_names_that_a_folder_takes_can_be_written(tmp_path, letter):
    letters = files.LONGEST_NAME // len(os.fsencode(letter)) * letter
    one, other = (tmp_path / (letters[:-1] + end) for end in 'ab')
    with files.replacing(one) as first, files.replacing(other) as second:
        first.write_text('one')
        second.write_text('other')
    assert (one.read_text(), other.read_text()) == ('one', 'other')


# Since 3.14 a folder that there cannot be is called absent.
LONG_FOLDER = 'File name too long' if sys.version_info < (3, 14) else 'found no folder'
REFUSED = {
    'there already': ('old.json', 'exists already; give another name, or --overwrite'),
    'the input': ('in.h5', 'expected a file of its own, found the dataset'),
    'the input by another way': ('link/../in.h5', 'expected a file of its own, found the dataset'),
    'a folder': ('folder', 'found a folder there'),
    'nothing': ('', 'found a folder there'),
    'in no folder': ('absent/a.json', 'found no folder absent; make it first'),
    'in a file': ('in.h5/a.json', r'in\.h5 is a file'),
    'too long': (256 * 'x', 'names of at most 255 bytes, as its folder takes, found 256'),
    'too long in bytes': (86 * '\u65e5', 'at most 255 bytes, as its folder takes, found 258'),
    'in folders of too long a name': (f'{256 * "x"}/a', LONG_FOLDER),
    'far too long': (f'{2100 * "x/"}a', 'found no folder|File name too long'),
    'below a link to itself': ('loop/a', 'nothing can be written there|found no folder'),
    'in the system': ('/proc/a.json', 'nothing can be written there'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_what_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    name, said = REFUSED[case]
    (tmp_path / 'folder' / 'below').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('folder')
    (tmp_path / 'loop').symlink_to('loop')
    for there in ('old.json', 'in.h5'):
        (tmp_path / there).write_text('precious')
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(InputError, match=f'--output=.*: .*{said}'):
        files.check_outputs([('--output', name)], {'in.h5': 'the dataset'}, overwrite=False)
    assert sorted(tmp_path.rglob('*')) == before


def test_what_can_be_written_passes_and_leaves_no_trace(tmp_path):
    (tmp_path / 'old.json').write_text('old')
    fine = [tmp_path / name for name in ('old.json', 'two\nlines', 255 * 'x', '-', os.fsdecode(b'\xe9'))]
    files.check_outputs([('--output', path) for path in fine], overwrite=True)
    files.check_outputs([('--output', tmp_path / 'a/b/c.json')], overwrite=False, makes_folders=True)
    assert [path.name for path in tmp_path.iterdir()] == ['old.json']
    with pytest.raises(
        InputError, match=r'--json=.*: expected a file of its own, found that it is --page too'
    ):
        files.check_outputs(
            [('--page', tmp_path / 'a'), ('--json', tmp_path / 'x' / '..' / 'a')],
            overwrite=True,
            makes_folders=True,
        )
    with pytest.raises(InputError, match='at most 255 bytes'):
        files.check_outputs([('--page', tmp_path / (256 * 'x'))], overwrite=True, makes_folders=True)


def test_an_input_that_has_another_name_is_not_written_to(tmp_path):
    # As where letters have no case: the file is there under a name that nobody has told.
    (tmp_path / 'holiday.mp4').write_text('precious')
    os.link(tmp_path / 'holiday.mp4', tmp_path / 'Holiday.mp4')
    with pytest.raises(InputError, match='expected a file of its own, found the video'):
        files.check_outputs(
            [('--output', tmp_path / 'Holiday.mp4')], {tmp_path / 'holiday.mp4': 'the video'}, overwrite=True
        )
    # What is to be replaced may be one file under two names.
    files.check_outputs([(f'--{path.stem}', path) for path in tmp_path.iterdir()], overwrite=True)


def test_what_came_to_be_meanwhile_is_kept(tmp_path):
    path = tmp_path / 'a.h5'
    (tmp_path / 'a-2.h5').write_text('older')
    told = r'a\.h5: came to be while this ran, .* is .*a-3\.h5'
    with pytest.raises(InputError, match=told), files.replacing(path, overwrite=False) as temporary:
        temporary.write_text('mine')
        path.write_text('theirs')
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert found == {'a.h5': 'theirs', 'a-2.h5': 'older', 'a-3.h5': 'mine'}
    with files.replacing(tmp_path / 'b.h5', overwrite=False) as temporary:
        temporary.write_text('mine')
    assert (tmp_path / 'b.h5').read_text() == 'mine'


def test_a_temporary_folder_on_a_disk_without_locks(monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOSYS, 'Function not implemented')

    monkeypatch.setattr(files.fcntl, 'flock', unknown)
    with files.temporary_folder() as folder:
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.skipif(os.getuid() == 0, reason='this user may write everywhere (root)')
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r'nothing can be written there \(Permission denied\)'):
        files.check_outputs([('--output', tmp_path / 'a')], overwrite=True)


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('plain \u65e5\u672c.mp4', 'plain \u65e5\u672c.mp4'),
        (b'caf\xe9.mp4', 'caf\\xe9.mp4'),
        (os.fsdecode(b'caf\xe9.mp4'), 'caf\\xe9.mp4'),
        ('two\nlines\r\x1b[31m', 'two\\nlines\\r\\x1b[31m'),
        ('a\u202e4pm.exe\u2028b', 'a\\u202e4pm.exe\\u2028b'),
        ('\U0001f469\u200d\U0001f467.mp4', '\U0001f469\u200d\U0001f467.mp4'),
        (pathlib.Path('a/b.mp4'), 'a/b.mp4'),
    ],
)
def test_any_name_is_one_line_of_text(name, text):
    assert files.shown(name) == text
    assert len(files.shown(name).encode('utf-8').splitlines()) == 1


def test_bytes_of_a_name_that_are_no_text_do_not_stop_a_file(tmp_path):
    name = os.fsdecode(b'caf\xe9')
    files.write_json(tmp_path / 'a.json', {'name': name, 'path': pathlib.Path(name)})
    assert json.loads((tmp_path / 'a.json').read_text()) == {'name': 'caf\\xe9', 'path': 'caf\\xe9'}
