import gc
import wave
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('av')

import av
from rendered import grey, steady, write_video

from trsum_jax.errors import InputError
from trsum_jax.video.reading import VideoReader, picture


def picks(path, rate=2.0):
    with VideoReader(path) as reader:
        indices = [index for index, _, _ in reader.sample(rate)]
    return indices, reader


@pytest.mark.parametrize(
    ('fps', 'n_frames', 'expected'),
    [
        (10, 21, [0, 5, 10, 15, 20]),
        (Fraction(25, 2), 26, [0, 7, 13, 19, 25]),  # 0.56, 1.04, 1.52, 2.00 s
        (Fraction(24000, 1001), 40, [0, 12, 24, 36]),  # 0.5005, 1.001, 1.5015 s
        (60, 91, [0, 30, 60, 90]),
        (2, 4, [0, 1, 2, 3]),
        (1, 4, [0, 1, 2, 3]),
    ],
)
def test_picks_at_constant_rates(tmp_path, fps, n_frames, expected):
    indices, reader = picks(steady(tmp_path / 'a.mp4', n_frames, fps))
    assert indices == expected
    assert reader.n_frames == n_frames
    np.testing.assert_allclose(reader.frame_times, np.arange(n_frames) / float(fps), atol=1e-4)
    assert reader.fps == pytest.approx(float(fps), rel=1e-3)
    assert reader.duration == pytest.approx(n_frames / float(fps), rel=1e-3)
    assert reader.notes == []


@pytest.mark.parametrize('start', [0, 40, 5000])
@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
def test_variable_rate_gaps_and_start_time(tmp_path, start, suffix):
    times = np.array([0, 100, 450, 520, 990, 2600, 2650, 3000])
    path = write_video(tmp_path / f'a.{suffix}', map(grey, range(40, 200, 20)), start + times)
    with VideoReader(path) as reader:
        samples = [(index, time, int(rgb.mean().round())) for index, time, rgb in reader.sample(2.0)]
    # 0, then 0.5 s; 1.0 to 2.5 s are all first reached by the frame at 2.6 s, given once; then 3.0 s.
    assert [index for index, _, _ in samples] == [0, 3, 5, 7]
    np.testing.assert_allclose([time for _, time, _ in samples], [0, 0.52, 2.6, 3.0], atol=1e-3)
    np.testing.assert_allclose([level for *_, level in samples], [40, 100, 140, 180], atol=2)
    np.testing.assert_allclose(reader.frame_times, times / 1000, atol=1e-3)


def test_other_rates(tmp_path):
    path = steady(tmp_path / 'a.mp4', 31, 10)
    assert picks(path, 10.0)[0] == list(range(31))
    assert picks(path, 1.0)[0] == [0, 10, 20, 30]
    assert picks(path, 3.0)[0] == [0, 4, 7, 10, 14, 17, 20, 24, 27, 30]
    with pytest.raises(ValueError, match='rate'):
        picks(path, 0.0)


@pytest.mark.parametrize(
    ('suffix', 'codec'),
    [
        ('mp4', 'libx264'),
        ('mp4', 'mpeg4'),
        ('mp4', 'libvpx-vp9'),
        ('mkv', 'libx264'),
        ('mkv', 'libvpx'),
        ('webm', 'libvpx'),
        ('webm', 'libvpx-vp9'),
        ('avi', 'mpeg4'),
        ('avi', 'libx264'),  # frames shown in another order than they are coded, and no presentation times
    ],
)
def test_containers_and_codecs(tmp_path, suffix, codec):
    pictures = map(grey, range(40, 240, 8))
    how = {'tick': Fraction(1, 10), 'fps': 10, 'codec': codec}
    path = write_video(tmp_path / f'a.{suffix}', pictures, range(25), **how)
    with VideoReader(path) as reader:
        samples = [(index, rgb.mean()) for index, _, rgb in reader.sample(2.0)]
    assert [index for index, _ in samples] == [0, 5, 10, 15, 20]
    np.testing.assert_allclose([level for _, level in samples], [40, 80, 120, 160, 200], atol=4)
    np.testing.assert_allclose(reader.frame_times, np.arange(25) / 10, atol=1e-3)
    assert reader.duration == pytest.approx(2.5, abs=2e-3)
    assert reader.notes == []


@pytest.mark.parametrize(
    ('suffix', 'codec'),
    [('mp4', 'libx264'), ('mkv', 'libx264'), ('webm', 'libvpx'), ('mkv', 'mpeg4'), ('avi', 'mpeg4')],
)
def test_dropped_frames(tmp_path, suffix, codec):
    times = np.delete(np.arange(30), [7, 8, 9, 20])
    how = {'tick': Fraction(1, 10), 'fps': 10, 'codec': codec}
    path = write_video(tmp_path / f'a.{suffix}', (grey(12 + 8 * t) for t in times), times, **how)
    with VideoReader(path) as reader:
        samples = [(round(10 * time), rgb.mean()) for _, time, rgb in reader.sample(2.0)]
    np.testing.assert_allclose(reader.frame_times, times / 10, atol=1e-3)
    assert [time for time, _ in samples] == [0, 5, 10, 15, 21, 25]
    np.testing.assert_allclose([level for _, level in samples], [12 + 8 * t for t, _ in samples], atol=4)


@pytest.mark.parametrize('name', ['a.mp4', 'a.mkv', 'a.webm', 'a.ts', 'a.flv', 'a.nut'])
def test_a_clock_that_begins_later_is_not_cut_short(tmp_path, name):
    codec = 'libvpx' if name == 'a.webm' else 'libx264'
    path = write_video(
        tmp_path / name, map(grey, range(40, 160)), range(333, 453), tick=Fraction(1, 25), codec=codec
    )
    with VideoReader(path) as reader:
        assert len(list(reader.frames())) == 120
        assert reader.announced == pytest.approx(4.8, abs=0.1)
    assert reader.notes == []


def test_an_address_is_no_file(tmp_path):
    for address in ('https://example.org/a.mp4', 'file:///a.mp4', 'rtsp://camera/1'):
        with pytest.raises(InputError, match='found an address; download it first'):
            VideoReader(address)


def test_frames_come_one_at_a_time(tmp_path):
    with VideoReader(steady(tmp_path / 'a.mp4', 400, 10)) as reader:
        next(reader.sample(2.0))
        assert reader.n_frames == 1


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('turned', [0, 90, 180, 270])
def test_pictures_stand_upright(tmp_path, turned, mirrored):
    coded = grey(30)
    coded[:24, :32] = 220
    coded[24:, :32] = 120
    path = write_video(tmp_path / 'a.mp4', [coded] * 3, [0, 500, 1000], turned=turned, mirrored=mirrored)
    with VideoReader(path) as reader:
        shown = [rgb for _, _, rgb in reader.sample(2.0)][1]
    expected = np.rot90(coded, turned // 90)  # numpy turns counter-clockwise, as the metadata counts
    expected = expected[:, ::-1] if mirrored else expected
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 5


def test_clock_that_restarts(tmp_path):
    first, second = (steady(tmp_path / name, 20, 10) for name in ('a.ts', 'b.ts'))
    joined = tmp_path / 'c.ts'
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    indices, reader = picks(joined)
    assert indices == [0, 5, 10, 15, 20, 25, 30, 35]
    assert reader.n_frames == 40
    assert np.all(np.diff(reader.frame_times) > 0)
    assert any('clock goes back' in note for note in reader.notes)


def test_cut_short_but_readable(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (60, 48, 64, 3), np.uint8)
    whole = write_video(tmp_path / 'a.mkv', pictures, range(0, 6000, 100)).read_bytes()
    cut = tmp_path / 'cut.mkv'
    cut.write_bytes(whole[: len(whole) // 2])
    indices, reader = picks(cut)
    assert 10 < reader.n_frames < 50
    assert indices == list(range(0, reader.n_frames, 5))
    assert any('cut short' in note for note in reader.notes)


def test_cut_short_without_index(tmp_path):
    whole = steady(tmp_path / 'a.mp4', 50, 10).read_bytes()
    (tmp_path / 'cut.mp4').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r'cut\.mp4: cannot be opened .* download broke off'):
        VideoReader(tmp_path / 'cut.mp4')


def test_what_is_no_video(tmp_path):
    (tmp_path / 'text.mp4').write_text('not a video\n' * 50)
    (tmp_path / 'empty.mp4').touch()
    for name in ('text.mp4', 'empty.mp4'):
        with pytest.raises(InputError, match=f'{name}: cannot be opened as a video'):
            VideoReader(tmp_path / name)
    with pytest.raises(InputError, match='found nothing there'):
        VideoReader(tmp_path / 'absent.mp4')
    with pytest.raises(InputError, match='found a folder there'):
        VideoReader(tmp_path)
    with wave.open(str(tmp_path / 'sound.wav'), 'wb') as sound:
        sound.setparams((1, 2, 8000, 0, 'NONE', ''))
        sound.writeframes(bytes(8000))
    with pytest.raises(InputError, match='expected a video stream, found only audio'):
        VideoReader(tmp_path / 'sound.wav')


def test_real_clip_at_12_5_frames_a_second(shared):
    indices, reader = picks(shared / 'data' / 'videos' / 'car-detection.mp4')
    assert reader.n_frames == 377
    assert reader.fps == pytest.approx(12.5)
    assert reader.duration == pytest.approx(30.16)
    assert indices == [int(np.ceil(k * 0.5 * 12.5)) for k in range(61)]


def test_damage_in_a_stream_is_counted(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (100, 48, 64, 3), np.uint8)
    path = write_video(tmp_path / 'a.ts', pictures, range(100), tick=Fraction(1, 25), codec='mpeg2video')
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    whole = path.read_bytes()
    path.write_bytes(whole[: places[40]] + whole[places[47] : places[70]] + whole[places[73] :])
    _, reader = picks(path)
    # Pictures that rest on lost ones come, but may look it.
    assert reader.n_frames == 90
    assert 'frames missing: about 10, in places: 2 (damage, or the recorder left them out)' in reader.notes
    assert any(note.startswith('frames that came damaged') for note in reader.notes)
    assert reader.frame_times[40] == pytest.approx(47 / 25)


def test_an_unsteady_rate_is_no_damage(tmp_path):
    times = np.cumsum(np.random.default_rng(3).choice([20, 33, 50, 700], 60))
    _, reader = picks(write_video(tmp_path / 'a.mkv', map(grey, range(40, 100)), times))
    assert reader.notes == []


def test_frames_are_let_go_of_at_once(tmp_path):
    with VideoReader(steady(tmp_path / 'a.mp4', 24, 25)) as reader:
        gc.collect()
        gc.disable()
        try:
            for _ in reader.sample(25):
                pass
            kept = sum(issubclass(type(one), av.VideoFrame) for one in gc.get_objects())
        finally:
            gc.enable()
    assert kept < 3


@pytest.mark.parametrize('width', [50, 64, 854])
def test_a_picture_is_what_pyav_copies_of_a_frame_and_outlives_it(width):
    # FFmpeg begins every row at a multiple of some bytes, so that narrow ones have gaps between them.
    colours = np.random.default_rng(0).integers(0, 256, (36, width, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(colours, 'rgb24').reformat(format='yuv420p')
    expected = frame.to_ndarray(format='rgb24')
    seen = picture(frame)
    del frame
    gc.collect()
    assert np.array_equal(seen, expected)
