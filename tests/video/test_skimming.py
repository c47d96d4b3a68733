import dataclasses
import threading

import numpy as np
import pytest

pytest.importorskip('av')

import av
from rendered import grey, scene, steady, write_video
from summarizing import black

from trsum_jax import summarize
from trsum_jax.errors import InputError
from trsum_jax.video import cuts, describing, skimming
from trsum_jax.video.encoders import loading
from trsum_jax.video.reading import VideoReader, picture

CASES = [
    ('a.mp4', 'libx264', 200),
    ('a.mkv', 'libx265', 520),
    ('a.webm', 'libvpx', 270),
    ('b.webm', 'libvpx-vp9', 270),
]


@pytest.mark.parametrize(('name', 'codec', 'n_frames'), CASES)
def test_key_frames_and_times_are_those_of_a_whole_pass(tmp_path, name, codec, n_frames):
    source = steady(tmp_path / name, n_frames, 30, codec=codec)
    with VideoReader(source) as whole:
        keys = {i: picture(frame) for i, _, frame in whole.frames() if frame.key_frame}
    watched = []
    with skimming.KeyFrameReader(source, watch=watched.append) as reader:
        given = {i: (time, shown) for i, time, shown in reader.sample(2)}
    assert list(given) == list(keys)
    assert len(watched) == len(keys) < 10
    for i, (time, shown) in given.items():
        assert time == whole.frame_times[i]
        np.testing.assert_array_equal(shown, keys[i])
    assert reader.frame_times == whole.frame_times
    assert reader.duration == pytest.approx(whole.duration)
    assert reader.clock.keys == whole.clock.keys
    assert reader.clock.runs_on
    assert reader.notes == []


@pytest.mark.parametrize(
    ('name', 'n_frames', 'why'),
    [
        ('a.avi', 100, 'does not mark its key frames'),
        ('a.mp4', 80, 'it has only 1 key frame'),
        # Two tell of the change between them alone, which is the same for both.
        ('a.mkv', 80, 'it has only 2 key frames'),
    ],
)
def test_where_key_frames_tell_nothing_all_frames_are_decoded(tmp_path, name, n_frames, why):
    if name == 'a.mkv':
        pictures = [scene(i // 40) for i in range(n_frames)]
        source = write_video(tmp_path / name, pictures, range(0, 40 * n_frames, 40))
    else:
        source = steady(tmp_path / name, n_frames, 25)
    with skimming.KeyFrameReader(source) as reader:
        assert [i for i, _, _ in reader.sample(5)] == list(range(0, n_frames, 5))
    assert reader.n_frames == n_frames
    assert why in reader.notes[0]


def test_where_every_frame_is_a_key_frame_some_are_decoded(tmp_path):
    source = tmp_path / 'a.mp4'
    with av.open(str(source), 'w') as container:
        stream = container.add_stream('libx264', rate=25, width=64, height=48, options={'g': '1'})
        for level in range(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(level), format='rgb24')))
        container.mux(stream.encode())
    watched = []
    with skimming.KeyFrameReader(source, watch=watched.append) as reader:
        assert [i for i, _, _ in reader.sample(2)] == [0, 13, 25, 38, 50, 63, 75, 88]
    assert len(watched) == 8


@pytest.mark.parametrize('cores', [1, 2, 5])
def test_decoders_side_by_side_keep_the_order_and_count_what_is_damaged(tmp_path, monkeypatch, cores):
    pictures = [scene(i // 40) for i in range(400)]
    whole = write_video(tmp_path / 'a.mp4', pictures, range(0, 16_000, 40))
    with av.open(str(whole)) as container:
        keys = [(p.pos, p.size) for p in container.demux(video=0) if p.is_keyframe]
    source, (place, size) = tmp_path / 'b.mp4', keys[3]
    data = bytearray(whole.read_bytes())
    # Behind the head of its first unit.
    data[place + 5 : place + size] = bytes([255] * (size - 5))
    source.write_bytes(data)
    monkeypatch.setattr(skimming, 'cores', lambda _: cores)
    with skimming.KeyFrameReader(whole) as reader:
        given = [(i, shown) for i, _, shown in reader.sample(2)]
    assert [i for i, _ in given] == reader.clock.keys.tolist()
    assert len(given) == len(keys) > 8
    with skimming.KeyFrameReader(source) as reader:
        rest = [(i, shown) for i, _, shown in reader.sample(2)]
    assert [note for note in reader.notes if 'damaged' in note] == ['1 damaged packets left out']
    del given[3]
    for (i, shown), (number, found) in zip(given, rest, strict=True):
        assert i == number
        np.testing.assert_array_equal(shown, found)


@pytest.mark.parametrize('cores', [1, 2, 3])
def test_parameters_that_change_midway_are_known_to_every_decoder(tmp_path, monkeypatch, cores):
    """Of a .flv, in which a stream of another size follows, after its parameters."""
    parts = []
    for name, height in (('a.flv', 48), ('b.flv', 96)):
        images = [scene(i // 30, height=height) for i in range(120)]
        source = write_video(tmp_path / name, images, range(0, 4800, 40))
        with av.open(str(source)) as container:
            parts.append([frame.to_ndarray() for frame in container.decode(video=0) if frame.key_frame])
    head = 13
    whole = tmp_path / 'a.flv'
    whole.write_bytes(whole.read_bytes() + (tmp_path / 'b.flv').read_bytes()[head:])
    monkeypatch.setattr(skimming, 'cores', lambda _: cores)
    with skimming.KeyFrameReader(whole) as reader, av.open(str(whole)) as container:
        keys = [packet for packet in container.demux(video=0) if packet.is_keyframe]
        assert sum(packet.has_sidedata('new_extradata') for packet in keys) == 1
        given = [frame.to_ndarray() for frames in reader._side_by_side(iter(keys)) for frame in frames]
    expected = parts[0] + parts[1]
    assert len(given) == len(expected) > 6
    for found, wanted in zip(given, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_pass_over_key_frames_may_be_left_early(tmp_path):
    source = steady(tmp_path / 'a.mp4', 500, 30)
    before = threading.active_count()
    with skimming.KeyFrameReader(source) as reader:
        frames = reader.frames()
        assert next(frames)[0] == 0
        frames.close()
    assert threading.active_count() == before


def test_scenes_that_the_encoder_saw_begin_to_the_frame(tmp_path, capsys):
    starts = np.cumsum([0, 87, 111, 64, 98])
    lengths = np.diff(np.append(starts, 450))
    pictures = [scene(number) for number, length in enumerate(lengths) for _ in range(length)]
    source = write_video(tmp_path / 'a.mp4', pictures, range(0, 18_000, 40))
    watcher = cuts.Watcher()
    video, _ = describing.describe(source, 'v', loading.load('descriptor'), watch=watcher, fast=True)
    changes = skimming.spread(watcher.changes(), video)
    np.testing.assert_array_equal(cuts.find_cuts(changes), starts[1:])
    assert len(changes.change) == len(changes.detail) == 450
    # Within the scenes nothing moves.
    assert np.delete(changes.change, starts[1:]).max() < 0.4
    summary = summarize.summarize(source, quick=True, fast=True, budget=0.4)
    assert set(starts.tolist()) <= set(summary.shots[:, 0].tolist())
    assert all(np.sum((starts > first) & (starts <= last)) <= 1 for first, last in summary.parts)
    assert summary.length >= 1.5


def test_one_picture_throughout_has_no_order(tmp_path, capsys):
    source = write_video(tmp_path / 'a.mp4', black(600), range(0, 24_000, 40))
    summary = summarize.summarize(source, quick=True, fast=True)
    assert summary.chosen.any()
    assert 'all scores are alike' in capsys.readouterr().err


def test_clips_need_the_frames_between(tmp_path):
    encoder = dataclasses.replace(loading.load('descriptor'), clip=4)
    source = steady(tmp_path / 'a.mp4', 20, 10)
    with pytest.raises(InputError, match='--fast: expected an encoder of single pictures'):
        summarize.summarize(source, quick=True, fast=True, encoder=encoder)
