"""Files of splits in the forms of several projects of the field, and what is none of them."""

import json

import pytest

from trsum_jax.data.foreign.split_files import read_split_file
from trsum_jax.data.stored import bounds
from trsum_jax.errors import InputError

FOLDS = [(['video_1', 'video_10'], ['video_2']), (['video_2'], ['video_10', 'video_1'])]
AS_YAML = """\
- test_keys:
  - video_2
  train_keys:
  - video_1
  - video_10
- test_keys:
  - video_10
  - video_1
  train_keys:
  - video_2
"""
AS_TEXT = """\
TVSum/split0/video_1,video_10/video_2
TVSum/split1/video_2/video_10,video_1

"""
AS_JSON = json.dumps([{'train_keys': train, 'test_keys': test} for train, test in FOLDS])


@pytest.mark.parametrize(
    ('name', 'content', 'before'),
    [
        ('s.json', AS_JSON, ''),
        ('s', AS_JSON, ''),
        ('s.yml', AS_YAML, ''),
        ('s.YAML', AS_JSON, ''),
        ('s.txt', AS_TEXT, 'TVSum/'),
        ('s.txt', '\ufeff' + AS_TEXT.replace('\n', '\r\n'), 'TVSum/'),
    ],
)
def test_one_list_of_folds_in_every_form(tmp_path, name, content, before):
    path = tmp_path / name
    path.write_bytes(content.encode())
    found = read_split_file(path)
    assert [(split.train, split.test) for split in found] == [
        tuple([before + key for key in side] for side in fold) for fold in FOLDS
    ]
    assert all(split.validation == [] and str(path) in split.where for split in found)


@pytest.mark.parametrize('name', ['s.json', 's.yml'])
def test_one_object_with_validation(tmp_path, name):
    fold = {
        'train_keys': ['a', 'null', '1e5', '2020-01-01'],
        'val_keys': ['-on'],
        'test_keys': ['0x1F', '10'],
    }
    text = json.dumps(fold)
    if name == 's.yml':
        # Without quotes: what YAML takes for numbers and dates are ids all the same.
        text = ''.join(f'{key}: [{", ".join(names)}]\n' for key, names in fold.items())
    (tmp_path / name).write_text(text)
    (split,) = read_split_file(tmp_path / name)
    assert split[1:] == (fold['train_keys'], fold['test_keys'], fold['val_keys'])
    (tmp_path / name).write_text(json.dumps([fold, fold]))
    assert [split[1:] for split in read_split_file(tmp_path / name)] == [split[1:]] * 2


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('s.yml', '- &a [x, x]\n- [*a, *a]\n', r'every list in full, found a reference .*\(\*a\)'),
        ('s.yml', '[' * 9, 'too deep to read'),
        ('s.yml', '[' * 50_000, 'too deep|nesting depth'),
        ('s.yml', 'train_keys: [a]\ntrain_keys: [b]\n', 'a key is given twice'),
        ('s.yml', '? [a]\n: b\n', 'found a fault in it: .*unhashable'),
        ('s.yml', 'train_keys: [a\n', 'found a fault in it: '),
        ('s.yml', 'a: \x07', 'found a fault in it: '),
        ('s.yml', '', 'list of folds, or one object with .*; found NoneType'),
        ('s.yml', '- !!python/object/apply:os.system [exit]', r'fold 0 .*val_keys, found list'),
        ('s.yml', '- train_keys: [a]\n  test_keys: {}\n', 'fold 0 .*test_keys: expected a list .*found {}'),
        ('s.json', '{"train_keys": ["a"]}', r"an object with .*val_keys, found the keys \['train_keys'\]"),
        (
            's.json',
            '{"train_keys": [], "test_keys": [], "val_keys": 3}',
            'val_keys: expected a list .*found 3',
        ),
        ('s.json', AS_TEXT, r'JSON \(\.yml and \.txt are read by their endings\), found a fault'),
        ('s.txt', AS_JSON, r'line 1: expected DATASET/FOLD/.*, found 1 parts divided by /'),
        ('s.txt', 'a/b/c,,d/e\n', 'line 1: .*found an empty name'),
        ('s.txt', '/b/c/e\n', 'line 1: .*found an empty name'),
        ('s.txt', '\n', 'expected lines such as .*, found none'),
    ],
)
def test_what_is_no_file_of_splits(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_split_file(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(('name', 'most'), [('s.yaml', bounds.LARGEST_YAML), ('s.txt', bounds.LARGEST_JSON)])
def test_a_file_of_any_size_is_not_read(tmp_path, name, most):
    with (tmp_path / name).open('wb') as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=f'of at most {most} bytes, found {1 << 40}'):
        read_split_file(tmp_path / name)
