import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')

import av
from rendered import counting_decoded, scene

from trsum_jax.summarize import summarize_all
from trsum_jax.video import describing, references, sampling, skimming
from trsum_jax.video.encoders import loading
from trsum_jax.video.reading import VideoReader

N, FPS = 150, 25


def drawn(path, codec, options=(), n=N, flags=0, uneven=0):
    """Scenes that move, of as many frames that are no reference as the encoder is told."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=FPS, width=128, height=96, options=dict(options))
        stream.pix_fmt, stream.codec_context.time_base = 'yuv420p', Fraction(1, 4 * FPS)
        stream.codec_context.flags |= flags
        for i in range(n):
            seen = np.roll(scene(i // 40, height=96, width=128), 2 * i, axis=1)
            frame = av.VideoFrame.from_ndarray(seen, 'rgb24')
            frame.pts, frame.time_base = 4 * i + uneven * (i % 3), Fraction(1, 4 * FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def x265(text):
    return {'x265-params': f'log-level=none:{text}'}


@pytest.mark.parametrize('rate', [0.9, 25.0])
@pytest.mark.parametrize(
    ('name', 'codec', 'options', 'most'),
    [
        ('a.mp4', 'libx264', {}, 0.8),
        ('a.mkv', 'libx264', {'x264-params': 'bframes=8:b-adapt=0'}, 0.7),
        ('a.mov', 'libx264', {'x264-params': 'bframes=8:b-pyramid=strict:open-gop=1:keyint=30'}, 0.8),
        ('b.mp4', 'libx265', x265('bframes=4:b-adapt=0'), 0.8),
        ('b.mkv', 'libx265', x265('bframes=8:b-adapt=0:open-gop=1:keyint=40'), 0.8),
        # Frames of one layer lean on those of another; or nothing says which frames are leant on.
        ('c.mp4', 'libx265', x265('temporal-layers=3:bframes=7:b-adapt=0'), 1),
        ('a.avi', 'libx264', {}, 1),
        ('a.webm', 'libvpx-vp9', {}, 1),
    ],
)
def test_samples_are_those_of_a_whole_pass(tmp_path, monkeypatch, name, codec, options, most, rate):
    source = drawn(tmp_path / name, codec, options, uneven=name.startswith('b'))
    with VideoReader(source) as whole:
        expected = list(whole.sample(rate))
    decoded = counting_decoded(monkeypatch, sampling.SampleReader)
    with sampling.SampleReader(source) as reader:
        found = list(reader.sample(rate))
    assert [sample[:2] for sample in found] == [sample[:2] for sample in expected]
    np.testing.assert_array_equal([sample[2] for sample in found], [sample[2] for sample in expected])
    assert reader.frame_times == whole.frame_times
    assert reader.duration == whole.duration
    assert reader.notes == whole.notes
    for of_all in ('keys', 'parts', 'origin'):
        assert getattr(reader.clock, of_all) == getattr(whole.clock, of_all)
    np.testing.assert_array_equal(reader.clock.places, whole.clock.places)
    if most == 1 or rate == FPS:
        assert len(decoded) == N
    else:
        assert len(found) <= len(decoded) <= most * N


def joined(path, unit):
    """HEVC whose later clean starts are units of another type; frames that lead there are never shown."""
    options = x265('bframes=4:b-pyramid=0:b-adapt=0:open-gop=1:keyint=30:scenecut=0')
    drawn(path, 'libx265', options, n=120)
    data, found = bytearray(path.read_bytes()), 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            place, end = packet.pos, (packet.pos or 0) + packet.size
            while packet.size and place < end:
                if data[place + 4] >> 1 & 63 == 21:
                    found += 1
                    data[place + 4] = data[place + 4] & 0x81 | unit << 1 if found > 1 else data[place + 4]
                place += 4 + int.from_bytes(data[place : place + 4], 'big')
    assert found > 2
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(('unit', 'shown'), [(21, 120), (16, 116)])
def test_frames_that_a_join_hides_are_not_counted(tmp_path, unit, shown):
    source = joined(tmp_path / 'a.mp4', unit)
    with VideoReader(source) as whole:
        expected = list(whole.sample(1.0))
    assert whole.n_frames == shown
    for kind in (sampling.SampleReader, skimming.KeyFrameReader):
        with kind(source) as reader:
            found = list(reader.sample(1.0))
        assert reader.frame_times == whole.frame_times
        if kind is sampling.SampleReader:
            assert [sample[:2] for sample in found] == [sample[:2] for sample in expected]
        else:
            assert any('joined of several' in note for note in reader.notes) == (shown < 120)


LEFT = """
import sys
from trsum_jax.video import sampling
for k in range(400):
    with sampling.SampleReader(sys.argv[1]) as reader:
        for n, _ in enumerate(reader.sample(5.0)):
            if n >= k % 12:
                break
    reader = None
"""


def test_a_pass_that_is_left_does_not_hang(tmp_path):
    many = x265('bframes=8:b-adapt=0:open-gop=1:keyint=30:scenecut=0')
    source = drawn(tmp_path / 'a.mp4', 'libx265', many, n=120)
    subprocess.run([sys.executable, '-c', LEFT, str(source)], check=True, timeout=60)


def test_no_rate_is_no_rate(tmp_path):
    with (
        sampling.SampleReader(drawn(tmp_path / 'a.mp4', 'libx264', n=20)) as reader,
        pytest.raises(ValueError, match='above 0'),
    ):
        next(reader.sample(0.0))


@pytest.mark.parametrize(
    ('name', 'codec', 'options'),
    [
        ('a.mp4', 'libx264', {'x264-params': 'bframes=8:b-adapt=0:slices=3'}),
        ('a.mkv', 'libx264', {'x264-params': 'bframes=3:b-pyramid=none:aud=1'}),
        ('b.mp4', 'libx265', x265('bframes=4:b-adapt=0')),
        ('b.mkv', 'libx265', x265('bframes=8:b-adapt=0:aud=1')),
    ],
)
def test_references_are_what_the_decoder_takes_for_them(tmp_path, name, codec, options):
    source = drawn(tmp_path / name, codec, options)
    with av.open(str(source)) as container:
        context = container.streams.video[0].codec_context
        assert references.may_tell(context)
        told = {p.pts: references.is_reference(context, p) for p in container.demux(video=0) if p.size}
    with av.open(str(source)) as container:
        container.streams.video[0].codec_context.skip_frame = 'NONREF'
        decoded = {frame.pts for frame in container.decode(video=0)}
    assert len(told) == N
    assert {pts for pts, reference in told.items() if reference} == decoded
    assert {pts for pts, reference in told.items() if reference is False} == told.keys() - decoded != set()


def test_what_is_no_packet_of_whole_units_tells_no_reference():
    class Context:
        extradata = bytes([1, 100, 0, 31, 0xFF])
        codec = type('Codec', (), {'canonical_name': 'h264'})

    unit = bytes([0, 0, 0, 3, 0x41, 1, 2])
    assert references.is_reference(Context, unit) is True
    assert references.is_reference(Context, bytes([0, 0, 0, 3, 0x01, 1, 2])) is False
    # Of a delimiter nothing follows; nor of a unit that ends behind the packet, or is empty.
    assert references.is_reference(Context, bytes([0, 0, 0, 2, 9, 0xF0])) is None
    assert references.is_reference(Context, bytes([0, 0, 0, 2, 9, 0xF0]) + unit) is True
    for broken in (unit[:-1], unit + bytes(2), unit + bytes(4), unit + bytes([0, 0, 1, 0, 9])):
        assert references.is_reference(Context, broken) is None


def broken(tmp_path):
    """Every third packet's pictures are damaged, the file around them is whole."""
    source, target = drawn(tmp_path / 'whole.mp4', 'libx264'), tmp_path / 'broken.mp4'
    file = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        for packet in list(container.demux(video=0))[10:-1:3]:
            file[packet.pos + 8 : packet.pos + packet.size] = bytes(packet.size - 8)
    target.write_bytes(file)
    return target


def lacking(tmp_path):
    """Packets are left out, as recorders of networks do."""
    source, target = drawn(tmp_path / 'whole.mp4', 'libx264'), tmp_path / 'lacking.mp4'
    with av.open(str(source)) as whole, av.open(str(target), 'w') as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            if packet.dts is not None and not 20 <= number < 40:
                packet.stream = stream
                container.mux(packet)
    return target


def interlaced(tmp_path):
    from av.codec.context import Flags

    options = {'x264-params': 'tff=1'}
    return drawn(
        tmp_path / 'interlaced.mp4', 'libx264', options, flags=Flags.interlaced_dct | Flags.interlaced_me
    )


@pytest.mark.parametrize('kind', [broken, lacking, interlaced])
def test_what_packets_do_not_tell_is_decoded_whole(tmp_path, kind):
    source = kind(tmp_path)
    with sampling.SampleReader(source) as reader, pytest.raises(sampling.MisledError):
        list(reader.sample(2.0))
    encoder = loading.load('descriptor')
    video, notes = describing.describe(source, 'video_1', encoder)
    with VideoReader(source) as whole:
        expected = [(index, encoder.encode([picture])[0]) for index, _, picture in whole.sample(2.0)]
    assert notes == whole.notes != []
    assert video.n_frames == whole.n_frames
    np.testing.assert_array_equal(video.frame_times, whole.frame_times)
    np.testing.assert_array_equal(video.picks, [index for index, _ in expected])
    np.testing.assert_allclose(video.features, [row for _, row in expected], atol=1e-6)


def test_features_are_taken_without_the_frames_between(tmp_path, monkeypatch):
    source = drawn(tmp_path / 'a.mp4', 'libx264')
    decoded = counting_decoded(monkeypatch, VideoReader)
    describing.describe(source, 'video_1', loading.load('descriptor'))
    assert N / 25 * 2 <= len(decoded) < 0.8 * N


def test_films_that_are_only_learned_from_are_not_decoded_whole(tmp_path, monkeypatch):
    paths = [drawn(tmp_path / f'{name}.mp4', 'libx264', n=60) for name in 'ab']
    how = {'rate': 2.0, 'limits': {'share': 0.15}}
    encoder = loading.load('descriptor')
    whole, blank, changes = describing.describe_all(paths, encoder, **how)
    assert set(blank) == set(changes) == set(paths)
    decoded = counting_decoded(monkeypatch, VideoReader)
    videos, blank, changes = describing.describe_all(paths, encoder, watched={paths[0]}, **how)
    assert set(blank) == set(changes) == {paths[0]}
    assert 60 < len(decoded) < 0.9 * 120
    for path in paths:
        np.testing.assert_array_equal(videos[path].features, whole[path].features)
        np.testing.assert_array_equal(videos[path].change_points, whole[path].change_points)


def test_summarize_watches_what_it_summarizes(tmp_path, monkeypatch):
    class Asked(Exception):
        """Nothing further is wanted."""

    def describe_all(paths, encoder, *, watched, **how):
        assert (paths, watched) == ([tmp_path / 'a.mp4', tmp_path / 'b.mp4'], {tmp_path / 'a.mp4'})
        raise Asked

    monkeypatch.setattr(describing, 'describe_all', describe_all)
    with pytest.raises(Asked):
        summarize_all([tmp_path / 'a.mp4'], also=[tmp_path / 'b.mp4'], encoder='descriptor')
