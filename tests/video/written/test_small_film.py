import av
import numpy as np
import pages
import pytest
from rendered import flash_and_beep, write_video

from trsum_jax.video.written import small_film

RNG = np.random.default_rng(0)


def opened(path):
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.width, frame.height) for frame in container.decode(video=0)]
        sound = [(track.channels, track.bit_rate) for track in container.streams.audio]
    return frames, sound


def test_noise_fits_with_the_same_times(tmp_path):
    noise = (RNG.integers(0, 256, (54, 96, 3), np.uint8) for _ in range(60))
    summary = pages.summary_of(write_video(tmp_path / 'a.mp4', noise, range(0, 2400, 40)), 4, [1, 3], 60)
    # Noise is what no codec makes small.
    sizes = []
    for largest in (40_000, 12_000):
        assert small_film.write_small(summary, tmp_path / 'b.mp4', largest=largest)
        sizes.append((tmp_path / 'b.mp4').stat().st_size)
        frames, sound = opened(tmp_path / 'b.mp4')
        assert [frame[0] for frame in frames] == pytest.approx(np.arange(30) / 25)
        assert not sound
    assert sizes[0] <= 40_000 and sizes[1] <= 12_000
    # What cannot be is not there.
    assert not small_film.write_small(summary, tmp_path / 'c.mp4', largest=3000)
    assert not (tmp_path / 'c.mp4').exists()


@pytest.mark.parametrize(
    ('bits', 'sound', 'channels'),
    [(400_000, 'all', [2]), (150_000, 'all', [1]), (150_000, 'none', []), (40_000, 'all', [])],
)
def test_sound_has_its_share(tmp_path, bits, sound, channels):
    source = flash_and_beep(tmp_path / 'a.mp4', range(0, 4000, 40), [30], tick=pages.Fraction(1, 1000))
    summary = pages.summary_of(source, 4, [1, 3], 100)
    assert small_film.write_small(summary, tmp_path / 'b.mp4', sound=sound, largest=round(bits * 2 / 8))
    frames, heard = opened(tmp_path / 'b.mp4')
    assert len(frames) == 50 and [track[0] for track in heard] == channels


def test_a_large_picture_becomes_smaller_and_keeps_its_shape(tmp_path):
    grey = (np.full((540, 960, 3), 9 * i, np.uint8) for i in range(10))
    summary = pages.summary_of(write_video(tmp_path / 'a.mp4', grey, range(0, 400, 40)), 2, [1], 10)
    assert small_film.write_small(summary, tmp_path / 'b.mp4')
    frames, _ = opened(tmp_path / 'b.mp4')
    assert {frame[1:] for frame in frames} == {(640, 360)}
