"""Arrays by anybody's names and rates to videos: what is found, which frames rows are of, every fault."""

import dataclasses
from fractions import Fraction

import h5py
import numpy as np
import pytest

from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import joining
from trsum_jax.data.stored.arrays import find_arrays
from trsum_jax.data.stored.joining import Steps
from trsum_jax.errors import InputError

TITLES = {'video_1': 'Air_Force_One', 'video_2': 'Base jumping', 'video_10': '-esJrBWj2d8.mp4'}
N_FRAMES, FPS = 50, 25.0


def annotated(titles=TITLES, fps=FPS):
    return Dataset(
        'people.h5',
        {
            key: Video(key, np.arange(0, N_FRAMES, 10), N_FRAMES, name=name, fps=fps, gtscore=np.ones(5))
            for key, name in titles.items()
        },
    )


def rows(n=5, width=3, value=0.0):
    return np.full((n, width), value, np.float32) + np.arange(n, dtype=np.float32)[:, None]


def of_names(*names):
    """Arrays of these names, none of which is read."""
    return dict.fromkeys(names, rows)


def chosen(names, **more):
    found, notes = joining.choose(of_names(*names), annotated(), 'here', Steps(), **more)
    return {one.video.key: one.features for one in found}, notes


def joined(features, steps, video=None, **more):
    arrays = {'a': lambda: features} | {name: (lambda value=value: value) for name, value in more.items()}
    video = video or annotated().videos['video_1']
    return joining.join(arrays, joining.Chosen(video, 'a', next(iter(more), None)), steps)


@pytest.mark.parametrize('names', [
    ('video_1', 'video_2', 'video_10'),
    ('Air_Force_One', 'Base jumping', '-esJrBWj2d8'),
    ('Air Force One', 'Base_jumping', '-esJrBWj2d8.mp4'),
    ('video_1_audio', 'Base jumping/audio', '-esJrBWj2d8/audio'),
    ('video_1.features', 'video_2/features', 'video_10_features'),
])  # fmt: skip
def test_ids_are_keys_or_names(names):
    assert chosen(names) == (dict(zip(TITLES, names, strict=True)), [])


def test_features_among_other_arrays():
    """The id alone, or `features`; else it has to be said which."""
    both = [f'{key}_{kind}' for key in TITLES for kind in ('embeddings', 'reduced')]
    with pytest.raises(InputError, match=r'found several: embeddings, reduced\. --array=NAME says which'):
        chosen(both)
    found, notes = chosen(both, array='embeddings')
    assert found == {key: f'{key}_embeddings' for key in TITLES}
    assert notes == ['not used: arrays called reduced']
    assert chosen([*TITLES, 'video_1_labels'])[0] == {key: key for key in TITLES}
    assert chosen([f'{key}/{kind}' for key in TITLES for kind in ('x', 'features')])[0] == {
        key: f'{key}/features' for key in TITLES
    }
    with pytest.raises(InputError, match=r'--array=pixels: .* as embeddings, reduced, found none'):
        chosen(both, array='pixels')
    with pytest.raises(InputError, match=r'found several: \(the id alone\), features'):
        chosen([*TITLES, *(f'{key}_features' for key in TITLES)])


def test_picks_are_found_where_nothing_is_said_of_frames():
    names = [f'{key}/{kind}' for key in TITLES for kind in ('features', 'picks', 'samples')]
    arrays = of_names(*names)

    def picks(steps):
        found, _ = joining.choose(arrays, annotated(), 'here', steps)
        return found[0].picks

    assert picks(Steps()) == 'video_1/picks'
    assert picks(Steps(picks='samples')) == 'video_1/samples'
    assert picks(Steps(rate=2.0)) is None
    with pytest.raises(
        InputError, match=r'expected picks as times beside the features, found none for video_1'
    ):
        picks(Steps(picks='times'))


@pytest.mark.parametrize(('names', 'message'), [
    (['video_1', 'video_10'], r'found no array for 1 of 3 videos, video_2 \(Base jumping\)\. --partial'),
    (['video_1', 'video_2', 'video_10', 'video_3'], 'found arrays of no video, video_3. --partial'),
    (['video_1', 'Air_Force_One', 'video_2', 'video_10'], 'found video_1 and Air_Force_One; keep one'),
    (['holiday', 'video_100'], r'found none; there are holiday, video_100, and the videos are video_1 \(Air'),
])  # fmt: skip
def test_arrays_that_are_missing_or_strange_are_named(names, message):
    with pytest.raises(InputError, match=message):
        chosen(names)


def test_partial_leaves_both_kinds_out_and_says_so():
    found, notes = chosen(['video_2', 'other'], partial=True)
    assert found == {'video_2': 'video_2'}
    assert len(notes) == 2
    assert 'no array for 2 of 3 videos' in notes[0]
    assert 'arrays of no video, other' in notes[1]
    with pytest.raises(InputError, match='found none'):
        chosen(['other'], partial=True)


def test_a_name_of_two_videos_is_of_neither():
    dataset = annotated({'video_1': 'Cooking', 'video_2': 'Cooking'})
    with pytest.raises(InputError, match='annotations call video_1, video_2 so'):
        joining.choose(of_names('Cooking'), dataset, 'here', Steps())


@pytest.mark.parametrize('fps', [25.0, 30.0, 30000 / 1001])
@pytest.mark.parametrize('rate', [1.0, 2.0, 4.0, 0.7, 25.0])
def test_rows_of_a_rate_are_of_the_frames_shown_at_their_times(fps, rate):
    """Frame j is shown from j / fps on; exact arithmetic says which one a time falls in."""
    video = dataclasses.replace(annotated().videos['video_1'], fps=fps, n_frames=101, picks=np.arange(2))
    exact, apart = Fraction(fps), Fraction(rate).limit_denominator(10)
    expected = [i for i in range(200) if Fraction(i) / apart < 101 / exact]
    frames = [max(j for j in range(101) if j / exact <= i / apart) for i in expected]
    found, faults = joined(rows(len(frames)), Steps(rate=rate), video)
    assert faults == []
    assert found.picks.tolist() == frames
    assert found.picks.dtype == np.int64


@pytest.mark.parametrize('n', [12, 13])
def test_the_last_partial_step_may_be_left_out(n):
    """50 frames, one row every 4: 12 whole steps and half of one."""
    found, faults = joined(rows(n), Steps(every=4))
    assert faults == []
    assert found.picks.tolist() == list(range(0, 4 * n, 4))


@pytest.mark.parametrize(('n', 'apart'), [(11, '4.545'), (14, '3.571')])
def test_rows_that_do_not_fit_a_video_are_counted(n, apart):
    assert joined(rows(n), Steps(every=4)) == (
        None,
        [
            f'a: expected 12 or 13 rows for 50 frames (one every 4 frames), found {n}, one every {apart} '
            'frames'
        ],
    )


def test_the_whole_number_of_frames_that_fits():
    for every in (1, 3, 7, 14):
        for n in (10597 // every, -(-10597 // every)):
            video = dataclasses.replace(annotated().videos['video_1'], n_frames=10597)
            found, _ = joined(rows(n), Steps(every='fit'), video)
            assert set(np.diff(found.picks)) == {every}
    # 427 rows of 1286 frames: every 3rd frame makes 428 or 429, every 4th 321 or 322.
    video = dataclasses.replace(annotated().videos['video_1'], n_frames=1286)
    _, faults = joined(rows(427), Steps(every='fit'), video)
    assert 'found that none does' in faults[0]
    # 3 rows of 50 frames: every 13th makes 3 or 4, every 24th 2 or 3, and all between.
    assert 'found that 13, 14, 15, 16, 17 and' in joined(rows(3), Steps(every='fit'))[1][0]


def test_without_a_word_the_annotations_own_picks_hold():
    found, _ = joined(rows(5), Steps())
    assert found.picks.tolist() == [0, 10, 20, 30, 40]
    assert found.gtscore is not None
    assert joined(rows(5), Steps(every=12))[0].gtscore is None
    assert (
        'expected 5 rows, one for each of the picks of the annotations, found 6'
        in joined(rows(6), Steps())[1][0]
    )


@pytest.mark.parametrize(('features', 'picks', 'message'), [
    (np.zeros((5, 1, 3)), None, r'a: expected \[n_steps, D\], found shape \(5, 1, 3\)'),
    (rows(1), [0], 'a: features: expected at least 2 steps, found 1'),
    (np.zeros((5, 0)), None, 'a: features: expected at least 1 feature a step'),
    (np.full((5, 3), np.nan), None, 'a: features: expected finite numbers, found 15 NaN or infinite'),
    (np.full((5, 3), 1e300), None, 'a: features: expected finite numbers, found 15'),
    (rows(5), [0, 1, 2, 3], 'p: picks: expected length 5 as in features, found 4'),
    (rows(5), [0, 1, 1, 3, 4], 'p: picks: expected increasing frames, found 1 then 1'),
    (rows(5), [0, 1, 2, 3, 50], 'p: picks: expected frames from 0 to 49, found 50'),
    (rows(5), [0, 1, 2, 3, 4.5], 'p: picks: expected whole numbers, found 4.5'),
])  # fmt: skip
def test_every_fault_of_an_array_names_it(features, picks, message):
    more = {} if picks is None else {'p': np.array(picks)}
    found, faults = joined(features, Steps(), **more)
    assert found is None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(faults[0])


def test_a_rate_needs_frames_per_second_and_no_more_than_these():
    video = dataclasses.replace(annotated().videos['video_1'], fps=None)
    assert 'expected frames per second' in joined(rows(4), Steps(rate=2.0), video)[1][0]
    assert 'at most the 25 frames a second, found 26' in joined(rows(4), Steps(rate=26.0))[1][0]


def test_names_of_arrays_in_folders_and_files(tmp_path):
    """A folder's files and their members, folders in it; an HDF5 file's root, and its groups; one `.npz`."""
    (tmp_path / 'in' / 'c').mkdir(parents=True)
    for name in ('a', 'b_x', 'c/audio'):
        np.save(tmp_path / 'in' / f'{name}.npy', rows())
    np.savez(tmp_path / 'in' / 'd.npz', features=rows(value=7.0), picks=np.arange(5))
    (tmp_path / 'in' / 'notes.txt').write_text('hello')
    found = find_arrays(tmp_path / 'in')
    assert set(found) == {'a', 'b_x', 'c/audio', 'd/features', 'd/picks'}
    np.testing.assert_array_equal(found['d/features'](), rows(value=7.0))
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file['a'], file['b/features'], file['b/name'] = rows(), rows(value=1.0), 'text'
    found = find_arrays(tmp_path / 'x.h5')
    assert set(found) == {'a', 'b/features', 'b/name'}
    np.testing.assert_array_equal(found['b/features'](), rows(value=1.0))
    with pytest.raises(InputError, match='expected an array of numbers as b/name'):
        found['b/name']()
    np.savez(tmp_path / 'all.npz', a=rows(), b=rows())
    assert set(find_arrays(tmp_path / 'all.npz')) == {'a', 'b'}


@pytest.mark.parametrize(('titles', 'key'), [
    ({'video_1': 'Air', 'video_2': 'Base jumping'}, 'video_2'),
    ({'video_1': None, 'video_2': None}, 'video_1'),
])  # fmt: skip
def test_a_group_that_tells_its_name_is_that_video(titles, key, tmp_path):
    """`video_1` is another film in the next file: `extract` numbers what it is given."""
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file['video_1/features'], file['video_1/video_name'] = rows(), 'Base jumping.webm'
    people = annotated(titles)
    arrays = find_arrays(tmp_path / 'x.h5', named=people.named)
    found, _ = joining.choose(arrays, people, 'x.h5', Steps(), array='features', partial=True)
    assert [one.video.key for one in found] == [key]
    np.testing.assert_array_equal(arrays[found[0].features](), rows())


def test_places_without_arrays(tmp_path):
    with pytest.raises(InputError, match='found nothing there'):
        find_arrays(tmp_path / 'x')
    with pytest.raises(InputError, match=r'an array for each video, found none$'):
        find_arrays(tmp_path)
    (tmp_path / 'video_1.p').write_bytes(b'\x80\x04.')
    with pytest.raises(InputError, match=r'there is video_1\.p, a pickle, which is a program and is not run'):
        find_arrays(tmp_path)
    with pytest.raises(InputError, match=r'found one ending in \.p'):
        find_arrays(tmp_path / 'video_1.p')
    np.save(tmp_path / 'a.npy', rows())
    (tmp_path / 'a').mkdir()
    np.save(tmp_path / 'a' / 'x.npy', rows())
    np.savez(tmp_path / 'a.npz', x=rows())
    with pytest.raises(InputError, match=r'found two of a/x, as in \.npy and \.npz'):
        find_arrays(tmp_path)
