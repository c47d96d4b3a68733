"""Folds: the field's JSON, folds made by seed, extra training videos."""

import json

import pytest

from trsum_jax.data import splits
from trsum_jax.data.splits import Fold
from trsum_jax.errors import InputError

KEYS = [f'video_{i}' for i in range(1, 8)]


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ('name', 'n_videos', 'sentence'),
    [
        ('summe_random5', 25, '5 overlapping draws: 18 of 25 videos ever tested'),
        ('tvsum_random5', 50, '5 overlapping draws: 34 of 50 videos ever tested'),
        ('summe_disjoint5', 25, 'disjoint 5-fold: all 25 videos tested'),
        ('tvsum_disjoint5', 50, 'disjoint 5-fold: all 50 videos tested'),
    ],
)
def test_the_fields_splits(shared, name, n_videos, sentence):
    path = shared / 'data' / 'splits' / f'{name}.json'
    folds = splits.read_splits(path, [f'video_{i}' for i in range(1, n_videos + 1)])
    assert splits.describe(folds) == sentence
    for fold, entry in zip(folds, json.loads(path.read_text()), strict=True):
        assert (list(fold.train), list(fold.test)) == (entry['train_keys'], entry['test_keys'])


def test_paths_before_keys_are_dropped_unless_they_are_part_of_the_key(tmp_path):
    entry = {'train_keys': ['../datasets/x.h5/video_1', 'ovp/video_2'], 'test_keys': ['x.h5/video_3']}
    path = written(tmp_path / 's.json', [entry])
    assert splits.read_splits(path, [*KEYS, 'ovp/video_2'], partial=True) == [
        Fold(('video_1', 'ovp/video_2'), ('video_3',))
    ]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('[{"train_keys": [', 'found a fault in it'),
        ('{"train_keys": [], "test_keys": []}', 'list of folds, found dict'),
        ('[]', 'an empty list'),
        ('[3]', 'fold 0 .*train_keys and test_keys, found int'),
        ([{'train': ['video_1'], 'test_keys': []}], r"found the keys \['test_keys', 'train'\]"),
        ([{'train_keys': 'video_1', 'test_keys': []}], 'train_keys: expected a list'),
        ([{'train_keys': ['video_1'], 'test_keys': [2]}], 'test_keys: expected a list'),
        ([{'train_keys': ['video_1', 'video_99'], 'test_keys': []}], 'train_keys: .*1 unknown: video_99'),
        ([{'train_keys': ['video_1'], 'test_keys': ['a/video_0']}], 'test_keys: .*unknown: a/video_0'),
        ([{'train_keys': ['video_1'] * 2, 'test_keys': []}], 'found twice: video_1'),
        ([{'train_keys': [], 'test_keys': ['video_1']}], 'train_keys: expected at least one'),
        (
            [{'train_keys': ['video_1'], 'test_keys': []}, {'train_keys': KEYS, 'test_keys': ['video_2']}],
            'fold 1 .*found in both: video_2',
        ),
    ],
)
def test_wrong_splits(tmp_path, content, message):
    path = written(tmp_path / 's.json', content)
    with pytest.raises(InputError, match=message) as caught:
        splits.read_splits(path, KEYS)
    assert str(path) in str(caught.value)


def test_no_splits_file(tmp_path):
    with pytest.raises(InputError, match='no such file'):
        splits.read_splits(tmp_path / 's.json', KEYS)


@pytest.mark.parametrize('n_folds', [2, 3, 7])
def test_disjoint_folds_test_every_video_once(n_folds):
    folds = splits.disjoint_folds(KEYS, n_folds, seed=3)
    assert sorted(key for fold in folds for key in fold.test) == sorted(KEYS)
    for fold in folds:
        assert sorted((*fold.train, *fold.test)) == sorted(KEYS)
        assert len(fold.test) in (7 // n_folds, -(-7 // n_folds))
    assert splits.describe(folds) == f'disjoint {n_folds}-fold: all 7 videos tested'


def test_disjoint_folds_depend_on_the_seed_alone():
    assert splits.disjoint_folds(KEYS, 3, seed=0) == splits.disjoint_folds(KEYS, 3, seed=0)
    assert len({tuple(splits.disjoint_folds(KEYS, 3, seed=seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize('n_folds', [0, 1, 8])
def test_impossible_numbers_of_folds(n_folds):
    with pytest.raises(InputError, match=f'expected 2 to 7 .*found {n_folds}'):
        splits.disjoint_folds(KEYS, n_folds, seed=0)


def test_train_on_all():
    folds = splits.train_on_all(KEYS)
    assert folds == [Fold(tuple(KEYS), ())]
    assert splits.describe(folds) == 'trained on all 7 videos, no test videos'
    with pytest.raises(InputError, match='at least one'):
        splits.train_on_all([])


def test_augmented_and_transfer():
    folds = [Fold(('a', 'b'), ('c',)), Fold(('b', 'c'), ('a',)), Fold(('a', 'c'), ('b',))]
    augmented = splits.augment(folds, ['ovp/a', 'ovp/b'])
    assert augmented[0] == Fold(('a', 'b', 'ovp/a', 'ovp/b'), ('c',))
    assert [fold.test for fold in augmented] == [fold.test for fold in folds]
    said = 'disjoint 3-fold: all 3 videos tested, augmented by 2 videos of other datasets'
    assert splits.describe(augmented) == said
    transferred = splits.transfer(['a', 'b', 'c'], ['ovp/a', 'ovp/b'])
    assert transferred == [Fold(('ovp/a', 'ovp/b'), ('a', 'b', 'c'))]
    assert splits.describe(transferred) == 'transfer: trained on 2 videos of other datasets, tested on 3'


def test_extra_videos_must_be_other_videos():
    for extra, message in ((['b'], 'found b in both'), ([], 'at least one')):
        with pytest.raises(InputError, match=message):
            splits.augment([Fold(('a',), ('b',))], extra)
        with pytest.raises(InputError, match=message):
            splits.transfer(['a', 'b'], extra)


def test_describe_other_kinds_of_splits():
    assert splits.describe([Fold(('a', 'b'), ('c',))]) == 'one split: 1 of 3 videos tested'
    two = [Fold(('a', 'b'), ('c',)), Fold(('a', 'c'), ('b',))]
    assert splits.describe(two) == '2 disjoint test sets: 2 of 3 videos tested'


def test_validation_videos_are_named_and_neither_unused_nor_lost():
    folds = [Fold(('a', 'b'), ('c',), ('d',)), Fold(('a', 'c'), ('b', 'c'), ('d', 'e'))]
    said = '2 overlapping draws: 2 of 5 videos ever tested, 2 for validation'
    assert splits.describe(folds) == said
    assert splits.describe([Fold(('a', 'b'), (), ('c',))]) == (
        'trained on all 2 videos, no test videos, 1 for validation'
    )
    assert splits.unused(folds, ['a', 'b', 'c', 'd', 'e', 'f']) == ['f']
    assert [fold.validation for fold in splits.augment(folds, ['ovp/a'])] == [('d',), ('d', 'e')]
    with pytest.raises(InputError, match='found d in both'):
        splits.augment(folds, ['d'])
    # Workdirs know the folds of before by this text.
    assert repr(Fold(('a',), ('b',))) == "Fold(train=('a',), test=('b',))"


def test_keys_of_several_datasets_are_refused_not_taken_for_ours(tmp_path):
    path = tmp_path / 'augmented.json'
    fold = {
        'train_keys': ['../d/ovp.h5/video_1', '../d/tvsum.h5/video_2'],
        'test_keys': ['../d/tvsum.h5/video_3'],
    }
    path.write_text(json.dumps([fold]))
    with pytest.raises(InputError, match=r'keys of 2.*extra training files'):
        splits.read_splits(path, ['video_1', 'video_2', 'video_3'])


def test_the_splits_of_another_dataset_are_refused(shared):
    tvsum = [f'video_{i}' for i in range(1, 51)]
    for name in ('summe_random5', 'summe_disjoint5'):
        path = shared / 'data' / 'splits' / f'{name}.json'
        with pytest.raises(InputError, match=r'no fold uses 25: video_26, .*video_50.*partial_splits'):
            splits.read_splits(path, tvsum)
        folds = splits.read_splits(path, tvsum, partial=True)
        assert splits.unused(folds, tvsum) == tvsum[25:]
        (note,) = splits.unused_note(folds, tvsum)
        assert note.startswith('no fold uses 25 of 50 videos: video_26, ') and note.endswith('video_50')
    whole = splits.read_splits(shared / 'data' / 'splits' / 'tvsum_random5.json', tvsum)
    assert splits.unused_note(whole, tvsum) == ()


def test_keys_that_name_the_file_of_another_dataset(tmp_path):
    def read(file, dataset):
        fold = {'train_keys': [f'../d/{file}/{key}' for key in KEYS[1:]], 'test_keys': [f'{file}/{KEYS[0]}']}
        return splits.read_splits(written(tmp_path / 's.json', [fold]), KEYS, dataset=dataset)

    summe, tvsum = (f'eccv16_dataset_{name}_google_pool5.h5' for name in ('summe', 'tvsum'))
    with pytest.raises(InputError, match=rf'videos of {tvsum}, found keys of {summe}, by its name another'):
        read(summe, f'data/{tvsum}')
    for file, dataset in [(tvsum, 'TVSum_dino.h5'), (summe, 'features.h5'), ('features.h5', summe)]:
        assert len(read(file, dataset)) == 1
    assert len(read('mine.h5', 'summe_and_tvsum.h5')) == 1
