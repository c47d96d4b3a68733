"""HDF5 files from strangers: what claims too much, leads elsewhere, or is beyond the library is refused."""

import hashlib
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from feature_files import N_STEPS, field_video, unit_rows, write_raw

from trsum_jax.data import datasets
from trsum_jax.data.stored import bounds, hdf5
from trsum_jax.data.stored.features import Stored
from trsum_jax.errors import InputError


def packed(file, key, data, **options):
    if key in file:
        del file[key]
    return file.create_dataset(key, data=data, compression='gzip', compression_opts=9, **options)


def claimed_picks(file):
    del file['video_1/picks']
    file.create_dataset('video_1/picks', (10**9,), 'i8', chunks=(10**6,), compression='gzip')


def packed_picks(file):
    packed(file, 'video_1/picks', np.zeros(bounds.FREE_DATASET // 4 + 1, 'u1'), chunks=(1 << 20,))


def many(file):
    # Each of them could be: together they are too many.
    for i in range(9):
        file.create_dataset(f'z{i}/user_summary', (bounds.FREE_DATASET // 4,), 'u1', chunks=(1 << 20,))


def huge_text(file):
    file.create_dataset('video_1/video_name', (1,), 'S1000000000', chunks=(1,), compression='gzip')


def huge_chunk(file):
    del file['video_1/gtscore']
    file.create_dataset('video_1/gtscore', (N_STEPS,), 'f4', chunks=(10**9,), maxshape=(None,))


def virtual(file, source, key):
    del file['video_1/features']
    layout = h5py.VirtualLayout((N_STEPS, 5), 'f4')
    layout[:] = h5py.VirtualSource(source, key, (N_STEPS, 5))
    file['video_1'].create_virtual_dataset('features', layout)


def virtual_of_itself(file):
    virtual(file, '.', '/video_1/features')


def virtual_elsewhere(file):
    virtual(file, '../other.h5', '/video_1/features')


def raw_elsewhere(file):
    del file['video_1/features']
    file.create_dataset('video_1/features', (N_STEPS, 5), 'f4', external=[('/etc/hostname', 0, 120)])


def linked_elsewhere(file):
    del file['video_1/features']
    file['video_1/features'] = h5py.ExternalLink('pipe', '/video_1/features')


def linked_by_a_detour(file):
    del file['video_1/features']
    file['video_1/features'] = h5py.SoftLink('/more/deep/out/features')
    file['more/deep/out'] = h5py.ExternalLink('other.h5', '/video_1')


def within_itself(file):
    file['video_1/again'] = file['video_1']


def one_video_as_two(file):
    file['video_9'] = h5py.SoftLink('/video_1')


def groups_within_groups(file):
    file.create_group('/'.join('a' * (bounds.DEEPEST + 1)))


def long_encoder(file):
    file.attrs['encoder'] = np.zeros(60_000, 'u1')


def many_references(file):
    refs = np.array([file['video_1/picks'].ref] * (bounds.MOST_REFERENCES + 1), h5py.ref_dtype)
    file.create_dataset('tvsum50/video', data=refs, dtype=h5py.ref_dtype)


BOMBS = {
    claimed_picks: 'video_1/picks: expected at most .* claims 8000000000 of 0 bytes',
    packed_picks: 'video_1/picks: expected at most .* claims 134217732 of',
    many: 'expected datasets of at most .* together',
    huge_text: 'video_1/video_name: expected at most',
    huge_chunk: 'video_1/gtscore: expected at most',
    virtual_of_itself: 'video_1/features: expected data in the file itself',
    virtual_elsewhere: 'video_1/features: expected data in the file itself',
    raw_elsewhere: 'video_1/features: expected data in the file itself',
    linked_elsewhere: 'video_1/features: .* a link out of it to /video_1/features of pipe',
    linked_by_a_detour: 'more/deep/out: .* a link out of it to /video_1 of other.h5',
    within_itself: 'every group under one name, found one group as video_1/again and video_1',
    one_video_as_two: 'every group under one name, found one group as video_9 and video_1',
    groups_within_groups: 'groups at most 32 deep',
    long_encoder: 'attribute encoder: expected one value, found 60000 bytes',
    many_references: 'tvsum50/video: expected at most 10000 references',
}


@pytest.mark.parametrize('bomb', BOMBS, ids=lambda bomb: bomb.__name__)
def test_bombs_and_ways_out_are_refused_unread(tmp_path, bomb):
    os.mkfifo(tmp_path / 'pipe')
    write_raw(tmp_path / 'other.h5', {'video_1': field_video()})
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video()})
    with h5py.File(path, 'r+') as file:
        bomb(file)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(InputError, match=BOMBS[bomb]) as caught:
        datasets.read_dataset(path)
    assert str(path) in str(caught.value)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / 'pipe.h5')
    for path in (tmp_path / 'pipe.h5', '/dev/zero'):
        with pytest.raises(InputError, match='found a pipe, socket or device'):
            hdf5.open_file(path)
    with pytest.raises(InputError, match='no such file'):
        hdf5.open_file(tmp_path / 'x.h5' / 'below')
    with pytest.raises(InputError, match='expected an HDF5 file'):
        hdf5.open_file('a\0b')


def test_what_real_files_do_is_read(tmp_path):
    """Links within the file, MATLAB's references, summaries of two hours that pack to a 500th."""
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video(), 'video_2': field_video(1)})
    with h5py.File(path, 'r+') as file:
        for name in ('picks', 'gtscore'):
            del file[f'video_2/{name}']
        file['video_2/picks'] = file['video_1/picks']
        file['video_2/gtscore'] = h5py.SoftLink('/video_1/gtscore')
        file['video_2/nowhere'] = h5py.SoftLink('/absent')
        file['video_2/loop'] = h5py.SoftLink('/video_2/loop')
        file['video_1/references'] = np.array(
            [file['video_2'].ref, file['video_1/picks'].ref], h5py.ref_dtype
        )
        group = file.create_group('video_3')
        n_frames = 2 * 3600 * 60
        group['features'], group['n_frames'] = unit_rows(), n_frames
        group['picks'] = np.arange(N_STEPS) * 15
        group['change_points'] = [[0, n_frames - 1]]
        packed(file, 'video_3/user_summary', np.zeros((20, n_frames), 'u1'))
        assert group['user_summary'].id.get_storage_size() * 500 < 20 * n_frames
    videos = datasets.read_dataset(path).videos
    np.testing.assert_array_equal(videos['video_2'].picks, field_video()['picks'])
    np.testing.assert_array_equal(videos['video_2'].gtscore, field_video()['gtscore'])
    assert videos['video_3'].user_summary.shape == (20, n_frames)


# The process that looks through files, as it would be if the library failed on some.
FAILING = """
import os, signal, time
from trsum_jax.data.stored import stranger
inspect = stranger.inspect
def failing(path):
    name = os.path.basename(path)
    if name == b'crash.h5' or (name == b'worn.h5' and failing.served):
        os.kill(os.getpid(), signal.SIGSEGV)
    while name == b'hang.h5':
        pass
    if name == b'slow.h5':
        # As a network disk that is woken.
        time.sleep(1.5)
    failing.served += 1
    return inspect(path)
failing.served = 0
stranger.inspect, stranger.PATIENCE = failing, 1.0
stranger.main()
"""


@pytest.fixture
def failing(monkeypatch):
    def start():
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
        helper = subprocess.Popen([sys.executable, '-c', FAILING], **pipes)
        assert helper.stdout.readline() == b'ready\n'
        return helper

    hdf5._stop()
    monkeypatch.setattr(hdf5, '_start', start)
    yield
    hdf5._stop()


def test_a_crash_or_hang_of_the_library_is_a_sentence(tmp_path, failing):
    def reads(name):
        return len(datasets.read_dataset(write_raw(tmp_path / name, {'video_1': field_video()})).videos) == 1

    assert reads('sound.h5')
    with pytest.raises(
        InputError, match=r'crash\.h5: .*library cannot read: it ends it \(Segmentation fault'
    ):
        reads('crash.h5')
    with pytest.raises(InputError, match=r'hang\.h5: .*cannot read: it keeps it busy for more than'):
        reads('hang.h5')
    assert reads('slow.h5')
    assert reads('again.h5')
    # A process that other files have worn out says nothing of this one.
    assert reads('worn.h5')


def test_a_process_that_cannot_start_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video()})
    hdf5._stop()
    monkeypatch.setattr(hdf5.stranger, '__name__', 'trsum_jax.nowhere')
    with pytest.raises(InputError, match=r'does not start here; .* -m trsum_jax\.nowhere says why'):
        hdf5.open_file(path)
    assert not hdf5._helpers


def test_an_interrupted_look_leaves_no_process(tmp_path, monkeypatch):
    # A file that is older, on a slow machine, would not be looked through again.
    monkeypatch.setattr(hdf5, '_SETTLED', 1000.0)
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video()})
    hdf5.open_file(path).close()
    helper = hdf5._helpers[os.getpid()]

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(hdf5, '_answer', interrupted)
        hdf5.open_file(path)
    assert helper.returncode is not None
    hdf5.open_file(path).close()


def test_a_file_is_looked_through_again_only_when_it_changed(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(hdf5, '_SETTLED', -1.0)
    monkeypatch.setattr(hdf5, '_ask', asked.append)
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video()})
    for _ in range(3):
        hdf5.open_file(path).close()
    assert asked == [path]
    write_raw(path, {'video_1': field_video(), 'video_2': field_video()})
    hdf5.open_file(path).close()
    assert asked == [path, path]
    monkeypatch.setattr(hdf5, '_SETTLED', 1000.0)
    path = write_raw(tmp_path / 'young.h5', {'video_1': field_video()})
    for _ in range(2):
        hdf5.open_file(path).close()
    assert asked[2:] == [path, path]


@pytest.mark.parametrize(
    'how', [{}, {'chunks': (2, 5)}, {'compression': 'gzip'}, {'dtype': 'f8'}, {'dtype': '>f4'}]
)
def test_features_in_the_file_are_those_that_the_library_reads(tmp_path, monkeypatch, how):
    features = field_video()['features']
    with h5py.File(tmp_path / 'x.h5', 'w', userblock_size=512) as file:
        file.create_dataset('video_1/features', data=features, **how)
    (video,) = datasets.read_dataset(tmp_path / 'x.h5', in_file=True).videos.values()
    assert video.features.digest() == hashlib.sha256(features.tobytes()).hexdigest()
    if not how:
        monkeypatch.setattr(Stored, '_by_library', None)
    for _ in range(2):
        found = np.asarray(video.features)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, features)


def test_features_that_changed_under_way(tmp_path):
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video()})
    stored = Stored(path, 'video_1', (N_STEPS, 5))
    np.testing.assert_array_equal(np.asarray(stored), field_video()['features'])
    write_raw(path, {'video_1': field_video() | {'features': unit_rows(4)}})
    with pytest.raises(InputError, match=r'video_1/features \(6, 5\) as it was before, found \(4, 5\)'):
        np.asarray(stored)
    write_raw(path, {'video_2': field_video()})
    with pytest.raises(InputError, match='found none that can be read'):
        np.asarray(stored)
    path = write_raw(tmp_path / 'y.h5', {'video_1': field_video()})
    (video,) = datasets.read_dataset(path, in_file=True).videos.values()
    write_raw(path, {'video_1': field_video() | {'features': unit_rows(4)}})
    with pytest.raises(InputError, match=r'video_1/features \(6, 5\) as it was before, found \(4, 5\)'):
        np.asarray(video.features)
