"""Pictures that are not plain: interlaced ones, and those of high dynamic range."""

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

import av
import av.filter
import h5py
from av.codec.context import Flags
from rendered import steady
from summaries import summary_of
from summarizing import Command, film

from trsum_jax import extract
from trsum_jax.video import describing, storyboard, tone_mapping
from trsum_jax.video.encoders import loading
from trsum_jax.video.reading import VideoReader, picture
from trsum_jax.video.writing import write_video

HEIGHT, WIDTH = 96, 128


def fields(path, order, n_frames=20, codec='libx264'):
    """A bar that moves from field to field: a frame holds two moments, the first one in the field `order`."""
    with av.open(str(path), 'w') as out:
        options = {'x264-params': f'{order}=1'} if codec == 'libx264' else {}
        stream = out.add_stream(codec, rate=25, pix_fmt='yuv420p', options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        # The encoder heeds the frame's own mark, which only a filter sets.
        marking = av.filter.Graph()
        source = marking.add_buffer(
            width=WIDTH, height=HEIGHT, format=av.VideoFormat('yuv420p'), time_base=Fraction(1, 25)
        )
        marking.link_nodes(source, marking.add('setfield', order), marking.add('buffersink')).configure()
        for i in range(n_frames):
            shown = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
            for moment, row in enumerate((0, 1) if order == 'tff' else (1, 0)):
                at = 3 * (2 * i + moment) % (WIDTH - 16)
                shown[row::2, at : at + 12] = 230
            frame = av.VideoFrame.from_ndarray(shown, 'rgb24').reformat(format='yuv420p')
            frame.pts, frame.time_base = i, Fraction(1, 25)
            marking.vpush(frame)
            out.mux(stream.encode(marking.vpull()))
        out.mux(stream.encode())
    return path


def combed(frame):
    """How much each row differs from its neighbours' mean."""
    rows = frame.to_ndarray(format='gray').astype(int)
    return np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean()


@pytest.mark.parametrize(
    ('name', 'order'), [('a.ts', 'tff'), ('a.ts', 'bff'), ('a.mp4', 'tff'), ('a.vob', 'tff')]
)
def test_interlaced_pictures_become_whole(tmp_path, name, order):
    codec = 'mpeg2video' if name == 'a.vob' else 'libx264'
    source = fields(tmp_path / name, order, codec=codec)
    with av.open(str(source)) as container:
        before = list(container.decode(video=0))
    assert all(frame.interlaced_frame for frame in before)
    assert combed(before[8]) > 5
    with VideoReader(source) as reader:
        after = [frame for *_, frame in reader.frames()]
    np.testing.assert_allclose(reader.frame_times, np.arange(20) / 25, atol=1e-4)
    assert [frame.pts for frame in after] == [frame.pts for frame in before]
    assert not any(frame.interlaced_frame for frame in after)
    # The picture is that of the first moment: its bar stands where the first field had it.
    for i, frame in enumerate(after):
        assert combed(frame) < 0.5
        bright = np.flatnonzero(frame.to_ndarray(format='gray')[40:56].mean(axis=0) > 130)
        assert abs(bright[0] - 6 * i % (WIDTH - 16)) <= 2
    assert reader.notes == ['interlaced: 20 of 20 frames are deinterlaced']

    write_video(summary_of(source, [(3, 8), (12, 15)]), tmp_path / 'film.mp4')
    with av.open(str(tmp_path / 'film.mp4')) as film:
        shown = list(film.decode(video=0))
    for i, frame in zip([*range(3, 9), *range(12, 16)], shown, strict=True):
        assert not frame.interlaced_frame
        assert np.abs(picture(frame).astype(int) - picture(after[i])).mean() < 3


def test_progressive_pictures_pass_untouched(tmp_path):
    source = steady(tmp_path / 'a.mp4', 20, 25)
    with av.open(str(source)) as container:
        before = [frame.to_ndarray() for frame in container.decode(video=0)]
    with VideoReader(source) as reader:
        after = [frame.to_ndarray() for *_, frame in reader.frames()]
    assert reader.notes == []
    np.testing.assert_array_equal(before, after)


# SMPTE ST 2084's table: light in cd/m² and the code of 10 bits, narrow range, that stands for it.
LIGHTS, CODES = [0, 1, 10, 100, 203, 1000, 4000, 10_000], [64, 195, 327, 509, 573, 723, 855, 940]
NARROW = (np.array(CODES) - 64) / 876


def test_light_of_pq():
    np.testing.assert_allclose(tone_mapping.pq_to_light(NARROW), LIGHTS, rtol=0.02, atol=0.01)
    light = np.geomspace(0.001, 10_000, 50)
    np.testing.assert_allclose(tone_mapping.pq_to_light(tone_mapping.light_to_pq(light)), light, rtol=1e-6)


def test_tone_mapping_keeps_the_dark_and_presses_the_bright():
    light = np.geomspace(0.01, 1000, 400)
    shown = tone_mapping.compressed(light)
    np.testing.assert_allclose(shown[light < 85], light[light < 85], rtol=1e-6)
    assert np.all(np.diff(shown) > 0)
    assert shown[-1] == pytest.approx(203)
    assert tone_mapping.compressed(np.array(10_000.0)) == pytest.approx(203)
    assert 100 < tone_mapping.compressed(np.array(203.0)) < 203


def codes_of(rows):
    return np.rint(65535 * np.asarray(rows, np.float64)).astype(np.uint16)[:, None]


def test_greys_and_colours():
    greys = np.repeat(NARROW[:, None], 3, axis=1)
    shown = tone_mapping.to_srgb(codes_of(greys), tone_mapping.PQ)[:, 0]
    assert np.all(np.ptp(shown.astype(int), axis=1) <= 1)
    levels = shown[:, 1].astype(float)
    assert levels[0] == 0
    assert np.all(np.diff(levels[:6]) > 0)
    assert levels[5:].tolist() == [255] * 3
    # 10 cd/m² of a white of 203, by sRGB's curve.
    assert levels[2] == pytest.approx(255 * (1.055 * (10 / 203) ** (1 / 2.4) - 0.055), abs=1.5)
    # BT.709's red is (0.6274, 0.0691, 0.0164) in BT.2020's light: it comes out as red alone.
    red = tone_mapping.light_to_pq(80 * np.array([0.6274, 0.0691, 0.0164]))
    assert tone_mapping.to_srgb(codes_of([red]), tone_mapping.PQ)[0, 0, 1:].max() <= 3
    # HLG's white at three quarters of the signal is 203 cd/m² too, by BT.2408.
    both = [
        tone_mapping.to_srgb(codes_of([[code] * 3]), kind)[0, 0, 0].astype(int)
        for code, kind in ((0.75, tone_mapping.HLG), (NARROW[4], tone_mapping.PQ))
    ]
    assert abs(both[0] - both[1]) <= 2
    assert tone_mapping.to_srgb(codes_of([[0] * 3, [1] * 3]), tone_mapping.HLG)[:, 0, 0].tolist() == [0, 255]


def of_matrix(path, matrix):
    """Six scenes of a second, in a file that names that matrix of H.273 (and BT.709's other numbers)."""
    plain = film(path.with_suffix('.mkv'), seeds=range(6), seconds=1)
    with av.open(str(plain)) as container, av.open(str(path), 'w') as out:
        source = container.streams.video[0]
        context = out.add_stream_from_template(source).codec_context
        context.color_primaries, context.color_trc, context.colorspace = 1, 1, 6
        for packet in container.demux(source):
            if packet.size:
                packet.stream = out.streams.video[0]
                out.mux(packet)
    plain.unlink()
    content = path.read_bytes()
    assert content.count(b'nclx\0\1\0\1\0\6') == 1
    path.write_bytes(content.replace(b'nclx\0\1\0\1\0\6', b'nclx\0\1\0\1\0' + bytes([matrix])))
    return path


@pytest.mark.parametrize('matrix', [3, 8, 14])
def test_a_matrix_that_the_scaler_does_not_know_is_read_as_an_unspecified_one(tmp_path, monkeypatch, matrix):
    # Telephones write 3, which is reserved; 8 is YCgCo, 14 ICtCp.
    paths = of_matrix(tmp_path / 'odd.mp4', matrix), of_matrix(tmp_path / 'usual.mp4', 2)
    (odd, notes), (usual, _) = (describing.describe(path, 'a', loading.load('descriptor')) for path in paths)
    assert np.array_equal(odd.features, usual.features)
    (note,) = notes
    assert note.startswith(f'colours by the matrix {matrix} of ITU-T H.273')
    command = Command(monkeypatch)
    for more in ([], ['--fast']):
        output = tmp_path / f'film{len(more)}.mp4'
        assert command(f'--video={paths[0]}', f'--output={output}', '--quick', *more) is None
        with av.open(str(output)) as made:
            assert next(made.decode(video=0)).colorspace == 2


def test_what_ffmpeg_refuses_of_one_video_leaves_the_others(tmp_path, monkeypatch):
    odd, usual = of_matrix(tmp_path / 'odd.mp4', 14), of_matrix(tmp_path / 'usual.mp4', 2)
    monkeypatch.setattr(tone_mapping, 'KNOWN_MATRICES', {*range(20)})
    left_out = {}
    extract.extract(tmp_path, tmp_path / 'f.h5', left_out=left_out)
    assert list(left_out) == [odd]
    assert 'odd.mp4: FFmpeg gives up on it (Operation not supported)' in left_out[odd]
    with h5py.File(tmp_path / 'f.h5') as file:
        assert [file[key]['video_name'][()].decode() for key in file] == [usual.name]


def hdr(path, transfer, mastered=True):
    """Ten frames of HEVC in 10 bits: grey at 203 cd/m² above, darkness below."""
    code = tone_mapping.light_to_pq(np.array(203.0)) if transfer == tone_mapping.PQ else 0.75
    options = {'x265-params': 'log-level=none:pools=1:frame-threads=1'}
    if mastered:
        options['x265-params'] += (
            ':max-cll=1000,400:master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,1)'
        )
    with av.open(str(path), 'w') as out:
        stream = out.add_stream('libx265', rate=25, pix_fmt='yuv420p10le', options=options)
        stream.width, stream.height = 64, 64
        context = stream.codec_context
        context.color_range, context.colorspace = 1, 9
        context.color_primaries, context.color_trc = 9, transfer
        luma = np.full((96, 64), 512, np.uint16)
        luma[:32], luma[32:64] = round(64 + 876 * float(code)), 64
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(luma, 'yuv420p10le')
            frame.pts, frame.time_base = i, Fraction(1, 25)
            frame.colorspace, frame.color_range = 9, 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize(('transfer', 'name'), [(tone_mapping.PQ, 'PQ'), (tone_mapping.HLG, 'HLG')])
def test_high_dynamic_range_is_shown_on_an_ordinary_screen(tmp_path, transfer, name):
    source = hdr(tmp_path / 'a.mp4', transfer, mastered=transfer == tone_mapping.PQ)
    white = float(tone_mapping.compressed(np.array(203.0))) / 203
    expected = 255 * (1.055 * white ** (1 / 2.4) - 0.055)
    summary = summary_of(source, [(2, 6)])
    (shown,) = storyboard.key_frames(summary, summary.parts, 64)
    assert shown[:24].mean() == pytest.approx(expected, abs=3)
    assert shown[40:].max() < 8
    _, notes = describing.describe(source, 'a', loading.load('descriptor'))
    assert any(note.startswith(f'HDR ({name}): pictures to look at') for note in notes)

    (note,) = write_video(summary, tmp_path / 'film.mp4')
    lost = ', without the data of its mastering display and its light levels'
    assert note == f'HDR ({name}): the film keeps its colour tags, but in 8 bits' + lost * (name == 'PQ')
    # The film is itself HDR in its tags, and is shown alike.
    film = summary_of(tmp_path / 'film.mp4', [(0, 3)])
    (again,) = storyboard.key_frames(film, film.parts, 64)
    assert np.abs(again.astype(int) - shown).mean() < 4
