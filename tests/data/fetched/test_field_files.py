"""The field's four files: fetched from a server of Git LFS, and told from others."""

import hashlib
import re
import types

import lfs_server
import numpy as np
import pytest

from trsum_jax import validate
from trsum_jax.data.fetched import field_files
from trsum_jax.errors import InputError

CONTENT = np.random.default_rng(1).bytes(400_000)
NAME = 'eccv16_dataset_tvsum_google_pool5.h5'


@pytest.fixture
def small(monkeypatch):
    """TVSum's file is a small one of these bytes."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = field_files.FIELD_FILES['tvsum']._replace(size=len(CONTENT), digest=digest)
    monkeypatch.setitem(field_files.FIELD_FILES, 'tvsum', file)

    def at(server):
        monkeypatch.setattr(field_files, 'SERVER', server)

    return at


def test_broken_off_then_resumed_then_kept(small, tmp_path):
    with lfs_server.serving(CONTENT, stop_after=150_000) as (server, _):
        small(server)
        with pytest.raises(InputError, match=r'broken off after 150,000 of 400,000 .*goes on where it stop'):
            field_files.fetch_field_file('tvsum', tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f'{NAME}.part']
    with lfs_server.serving(CONTENT) as (server, asked):
        small(server)
        path = field_files.fetch_field_file('tvsum', tmp_path)
        assert path == tmp_path / NAME
        assert path.read_bytes() == CONTENT
        assert field_files.fetch_field_file('tvsum', tmp_path) == path
    (_, batch, _, _), (_, got, headers, _) = asked
    assert (batch[-14:], got) == ('/objects/batch', '/file?signed=1')
    assert (headers['Range'], headers['X-Token']) == ('bytes=150000-', 'abc')
    assert field_files.fetch_field_file('tvsum', tmp_path) == path, 'needs no network any more'


def test_other_bytes_are_refused_and_removed(small, tmp_path):
    digest = hashlib.sha256(CONTENT).hexdigest()

    def answer(href):
        one = {'oid': digest, 'size': len(CONTENT), 'actions': {'download': {'href': href}}}
        return {'objects': [one]}

    wrong = CONTENT[:-1] + b'?'
    with lfs_server.serving(wrong, answer=answer) as (server, _):
        small(server)
        with pytest.raises(InputError, match=f'expected the SHA-256 {digest}, found .* it was removed'):
            field_files.fetch_field_file('tvsum', tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_offline(small, tmp_path):
    with lfs_server.serving(CONTENT) as (server, _):
        small(server)
    place = re.escape(str(tmp_path / NAME))
    message = rf'RS-SUM, LFS file {NAME}: cannot be fetched \(.*refused\).* put it at {place} \(docs/data\.md'
    with pytest.raises(InputError, match=message):
        field_files.fetch_field_file('tvsum', tmp_path)


def test_a_file_is_known_by_its_size_and_hash(small, tmp_path, monkeypatch):
    path = tmp_path / 'renamed.h5'
    path.write_bytes(CONTENT)
    assert field_files.which_field_file(path) == 'tvsum, to the bit'
    path.write_bytes(CONTENT[:-1] + b'?')
    assert re.match(
        'no: of the size of tvsum, with the SHA-256 [0-9a-f]{64} in', field_files.which_field_file(path)
    )
    path.write_bytes(CONTENT[:-1])
    # Files of another size, which may be large, are not read.
    monkeypatch.setattr(field_files, 'sha256', None)
    assert field_files.which_field_file(path) == 'no'
    assert field_files.which_field_file(tmp_path) == field_files.which_field_file(tmp_path / 'absent') == 'no'


def test_validate_says_which_a_damaged_file_was(small, tmp_path, capsys):
    path = tmp_path / 'tvsum.h5'
    path.write_bytes(CONTENT[:-1] + b'?')
    values = types.SimpleNamespace(annotations_only=False, features=[])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate.flags, 'FLAGS', values)
        assert validate.main(['validate', str(path)]) == 1
    told = capsys.readouterr().out
    assert '1 fault\n  expected an HDF5 file, found a file of another kind\n' in told
    assert "\n  one of the field's four: no: of the size of tvsum, with the SHA-256 " in told
