"""Features of several files: TripleSumm's h5 of each modality, MSVA's folders, LLMVS's embeddings."""

import re

import numpy as np
import pytest
from feature_files import N_FRAMES, WIDTH, field_video, one_reference, unit_rows, write_arrays, write_raw

from trsum_jax.data import datasets
from trsum_jax.data.layouts.rows import resample
from trsum_jax.errors import InputError

STEPS = {'aBcDeFgHiJk': 12, '-_aBcDeFgHi': 9}
KINDS = {'visual': 4, 'text': 3, 'audio': 2}


def rows_of(kind, seed):
    return unit_rows(list(STEPS.values())[seed], KINDS[kind], seed)


@pytest.fixture
def mosu(tmp_path):
    """TripleSumm's files; those of features know of one more video, as splits of a dataset do."""
    for kind in KINDS:
        arrays = {key: rows_of(kind, seed) for seed, key in enumerate(STEPS)}
        write_arrays(tmp_path / f'{kind}.h5', arrays | {'another_one': unit_rows(5, KINDS[kind])})
    annotations = {key: one_reference(n, n, half_open=False) for key, n in STEPS.items()}
    return write_raw(tmp_path / 'mosu_gt.h5', annotations)


def test_modalities_are_columns_in_their_order(mosu):
    files = [f'{mosu.parent}/{kind}.h5' for kind in KINDS]
    dataset = datasets.read_dataset(mosu, features=files)
    for seed, key in enumerate(STEPS):
        expected = np.concatenate([rows_of(kind, seed) for kind in KINDS], axis=1)
        np.testing.assert_array_equal(dataset.videos[key].features, expected)
        assert dataset.videos[key].user_scores.shape == (1, STEPS[key])
    (note,) = [note for note in dataset.notes if note.startswith('columns')]
    told = [f'{KINDS[kind]} of {path}' for kind, path in zip(KINDS, files, strict=True)]
    assert note == f'columns of the features: {", ".join(told)}'


def test_one_of_them_is_the_second_modality_instead(mosu):
    visual, audio = f'{mosu.parent}/visual.h5', f'{mosu.parent}/audio.h5'
    dataset = datasets.read_dataset(mosu, features=[visual], side=audio)
    for seed, key in enumerate(STEPS):
        np.testing.assert_array_equal(dataset.videos[key].features, rows_of('visual', seed))
        np.testing.assert_array_equal(dataset.videos[key].side, rows_of('audio', seed))


def test_features_that_stay_in_their_files_are_the_same(mosu):
    files = [f'{mosu.parent}/{kind}.h5' for kind in KINDS]
    whole, left = (datasets.read_dataset(mosu, features=files, in_file=stays) for stays in (False, True))
    for key, video in left.videos.items():
        assert not isinstance(video.features, np.ndarray)
        assert video.features.shape == (STEPS[key], 9)
        np.testing.assert_array_equal(np.asarray(video.features), whole.videos[key].features)
    write_arrays(mosu.parent / 'text.h5', {key: unit_rows(n, 5) for key, n in STEPS.items()})
    with pytest.raises(InputError, match='changed since the command began'):
        np.asarray(left.videos['aBcDeFgHiJk'].features)


def test_msvas_and_llmvss_rows_are_taken_to_the_steps_beside_the_fields_own(tmp_path):
    """MSVA has a folder of `.npy` by names, of another length; LLMVS an h5 by keys."""
    titles = {'video_1': 'Air_Force_One', 'video_2': 'Base jumping'}
    videos = {key: field_video(i) | {'video_name': title} for i, (key, title) in enumerate(titles.items())}
    path = write_raw(tmp_path / 'summe.h5', videos, encoder='googlenet')
    (tmp_path / 'RGB').mkdir()
    flow = {title: unit_rows(17, 3, i) for i, title in enumerate(titles.values())}
    for title, rows in flow.items():
        np.save(tmp_path / 'RGB' / f'{title}.npy', rows)
    pool = {key: unit_rows(6, 2, i) for i, key in enumerate(titles)}
    write_arrays(tmp_path / 'gen_pool.h5', pool)
    dataset = datasets.read_dataset(path, features=[f'{tmp_path}/RGB', f'{tmp_path}/gen_pool.h5'])
    for i, (key, title) in enumerate(titles.items()):
        resampled = resample(flow[title], field_video()['picks'], N_FRAMES)
        expected = np.concatenate([unit_rows(seed=i), resampled, pool[key]], axis=1)
        np.testing.assert_array_equal(dataset.videos[key].features, expected)
    told = '; '.join(dataset.notes)
    assert f'columns of the features: {WIDTH} of the file itself, 3 of {tmp_path}/RGB' in told
    assert f'{tmp_path}/RGB: rows of another number than the steps' in told
    assert 'gen_pool.h5: rows of another number' not in told
    assert dataset.encoder is None


@pytest.mark.parametrize(
    ('arrays', 'expected'),
    [
        ({'-_aBcDeFgHi': None}, 'no array for 1 of 2 videos, -_aBcDeFgHi'),
        (
            {'aBcDeFgHiJk': None, '-_aBcDeFgHi': None, 'else': 12},
            'found none; there are else, and',
        ),
        ({'-_aBcDeFgHi': 8}, 'expected 9 rows, one for each step of the video, found 8'),
        ({'-_aBcDeFgHi': np.full((9, 4), np.nan)}, 'expected finite numbers, found 36 NaN'),
        ({'-_aBcDeFgHi': np.zeros((9, 2, 2))}, r'expected shape .*found shape \(9, 2, 2\)'),
        ({'-_aBcDeFgHi': unit_rows(9, 3)}, 'expected 3 columns as in the videos before, found 4'),
    ],
)
def test_wrong_variants_are_a_sentence_each(mosu, arrays, expected):
    path = mosu.parent / 'visual.h5'
    arrays = {key: n for key, n in (STEPS | arrays).items() if n is not None}
    made = {key: unit_rows(n, 4) if isinstance(n, int) else n for key, n in arrays.items()}
    write_arrays(path, made)
    with pytest.raises(InputError) as told:
        datasets.read_dataset(mosu, features=[str(path)])
    assert re.search(expected, str(told.value)), told.value
    assert 'visual.h5' in str(told.value)
    assert '\n' not in str(told.value)


def test_a_second_modality_of_one_row_or_of_no_file(mosu):
    visual = f'{mosu.parent}/visual.h5'
    write_arrays(mosu.parent / 'audio.h5', {key: np.ones((1, 2)) for key in STEPS})
    with pytest.raises(InputError, match=r'audio\.h5: expected at least 2 rows, found 1'):
        datasets.read_dataset(mosu, features=[visual], side=f'{mosu.parent}/audio.h5')
    with pytest.raises(InputError, match='expected a folder of'):
        datasets.read_dataset(mosu, features=[f'{mosu.parent}/absent.h5'])
