"""Folds: files of splits, folds made by seed, extra training videos."""

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
        ('{"train_keys": [], "test_keys": []}', 'train_keys: expected at least one'),
        ('[]', 'an empty list'),
        ('[3]', 'fold 0 .*train_keys, test_keys and, .*, found int'),
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


NAMES = ('summe', 'tvsum', 'ovp', 'youtube')
FILES = {name: f'eccv16_dataset_{name}_google_pool5' for name in NAMES}


def of(name, *numbers):
    return [f'../datasets/{FILES[name]}.h5/video_{i}' for i in numbers]


# As DSNet's: the file of each video stands before its key.
AUGMENTED = {'train_keys': [*of('ovp', 4, 1), *of('tvsum', 2), *of('summe', 9)], 'test_keys': of('tvsum', 1)}
TRANSFER = {'train_keys': [*of('youtube', 11), *of('ovp', 2)], 'test_keys': of('tvsum', 2, 1)}


@pytest.mark.parametrize(
    ('ovp', 'summe', 'dataset'),
    [(FILES['ovp'], FILES['summe'], FILES['tvsum']), ('my_OVP', 'dino-summe', 'features')],
)
def test_keys_of_other_files_are_their_videos(tmp_path, ovp, summe, dataset):
    """A file is found by its name, or by the name of its dataset; the tested one is ours by any name."""
    path = written(tmp_path / 's.yml', [AUGMENTED])
    extras = {summe: ['video_9'], ovp: ['video_1', 'video_4'], 'other': ['video_1']}
    (fold,) = splits.read_splits(path, KEYS[:2], dataset=f'{dataset}.h5', extras=extras)
    assert fold == Fold((f'{ovp}/video_4', f'{ovp}/video_1', 'video_2', f'{summe}/video_9'), ('video_1',))
    assert (
        splits.describe([fold]) == 'one split: 1 of 2 videos tested, augmented by 3 videos of other datasets'
    )
    with pytest.raises(InputError, match=r'train_keys: .*1 unknown: \.\./datasets/.*ovp.*/video_4'):
        splits.read_splits(path, KEYS[:2], extras=extras | {ovp: ['video_1']})


def test_extra_files_that_are_not_given_are_named_with_the_setting(tmp_path):
    wanted = {'augmented': (AUGMENTED, ('ovp', 'summe')), 'transfer': (TRANSFER, ('youtube', 'ovp'))}
    for setting, (entry, names) in wanted.items():
        path = written(tmp_path / 's.json', entry)
        files = ', '.join(f"'{FILES[name]}.h5'" for name in names)
        told = rf'found no .*extra_files="\({files},\)" --config.data.setting={setting}$'
        with pytest.raises(InputError, match=told):
            splits.read_splits(path, KEYS[:2], extras={})
        # Who does not train needs none of them.
        (fold,) = splits.read_splits(path, KEYS[:2])
        assert fold.train[0] == f'{FILES[names[0]]}/video_{4 if setting == "augmented" else 11}'
    assert splits.describe([fold]) == 'transfer: trained on 2 videos of other datasets, tested on 2'


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        (AUGMENTED | {'test_keys': [*of('tvsum', 1), *of('ovp', 5)]}, 'one dataset as test_keys .*keys of 2'),
        (AUGMENTED | {'val_keys': of('ovp', 5)}, 'one dataset as test_keys .*keys of 2'),
        (AUGMENTED | {'test_keys': []}, 'expected videos of one dataset, found keys of 3.*data.extra_files'),
        (AUGMENTED | {'test_keys': of('summe', 9)}, 'found keys of .*summe.*by its name another'),
    ],
)
def test_videos_of_other_files_are_only_trained_on(tmp_path, entry, message):
    with pytest.raises(InputError, match=message):
        splits.read_splits(written(tmp_path / 's.json', entry), KEYS, dataset='my_tvsum.h5', extras={})


def test_validation_videos_are_in_no_other_part(tmp_path):
    entry = {'train_keys': KEYS[:3], 'val_keys': KEYS[3:5], 'test_keys': KEYS[5:]}
    path = written(tmp_path / 's.json', entry)
    assert splits.read_splits(path, KEYS) == [Fold(tuple(KEYS[:3]), tuple(KEYS[5:]), tuple(KEYS[3:5]))]
    for other, words in (('train_keys', 'does not train on'), ('test_keys', 'does not test on')):
        written(path, entry | {other: [*entry[other], KEYS[3]]})
        with pytest.raises(InputError, match=rf'validation videos that the fold {words}, .*: {KEYS[3]}'):
            splits.read_splits(path, KEYS)


def test_splits_as_lines_are_of_the_dataset_that_they_name(tmp_path):
    path = written(
        tmp_path / 's.txt', 'SumMe/split0/video_1,video_3/video_2\nSumMe/split1/video_2,video_3/video_1'
    )
    for dataset in ('features.h5', f'{FILES["summe"]}.h5'):
        folds = splits.read_splits(path, KEYS[:3], dataset=dataset)
        assert folds == [
            Fold(('video_1', 'video_3'), ('video_2',)),
            Fold(('video_2', 'video_3'), ('video_1',)),
        ]
    with pytest.raises(InputError, match='found keys of SumMe, by its name another dataset'):
        splits.read_splits(path, KEYS[:3], dataset=f'{FILES["tvsum"]}.h5')


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
