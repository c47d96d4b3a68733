import dataclasses
import pathlib

import av
import numpy as np
import pages
import pytest
from rendered import flash_and_beep, write_video

from trsum_jax.video.writing import write_video as write_film
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


@pytest.mark.parametrize('crossfade', [0.0, 0.4])
@pytest.mark.parametrize('size', [(48, 64), (1000, 1000)])
def test_made_beside_the_film_both_are_the_same_bytes(tmp_path, size, crossfade):
    """Of the film's own size, where both take the very same frames, and of a smaller one."""
    source = flash_and_beep(tmp_path / 'a.mp4', range(0, 4000, 40), [30], tick=pages.Fraction(1, 1000))
    if size[0] > 48:
        levels = (np.full((*size, 3), 2 * i, np.uint8) for i in range(100))
        source = write_video(tmp_path / 'b.mp4', levels, range(0, 4000, 40))
    summary = dataclasses.replace(pages.summary_of(source, 4, [1, 3], 100), crossfade=crossfade)
    write_film(summary, tmp_path / 'alone.mp4')
    assert small_film.write_small(summary, tmp_path / 'small.mp4')
    copy = small_film.small_copy(summary, tmp_path / 'copy.mp4')
    n_pixels = 50 * size[0] * size[1]
    seen = []

    def watched(reader, index, frame):
        seen.append(index)

    for least in (n_pixels, n_pixels + 1):
        write_film(summary, tmp_path / 'film.mp4', copy=copy._replace(least=least), watch=watched)
        assert (tmp_path / 'film.mp4').read_bytes() == (tmp_path / 'alone.mp4').read_bytes()
        if least == n_pixels:
            assert copy.output.read_bytes() == (tmp_path / 'small.mp4').read_bytes()
            copy.output.unlink()
    # Of a film of fewer pixels there is none.
    assert not copy.output.exists()
    assert len(seen) == 2 * 50


def test_of_a_film_that_is_too_long_there_is_no_copy(tmp_path):
    summary = pages.summary_of(tmp_path / 'a.mp4', 4, [1, 3], 100)
    assert small_film.small_copy(summary, tmp_path / 'b.mp4') is not None
    hours = dataclasses.replace(summary, frame_times=3000 * summary.frame_times, duration=12_000.0)
    assert small_film.small_copy(hours, tmp_path / 'b.mp4') is None


@pytest.mark.parametrize('fault', ['codec', 'disk', 'folder'])
def test_a_copy_that_cannot_be_written_is_given_up_and_the_film_is_not(tmp_path, fault):
    noise = (RNG.integers(0, 256, (96, 160, 3), np.uint8) for _ in range(60))
    summary = pages.summary_of(write_video(tmp_path / 'a.mp4', noise, range(0, 2400, 40)), 4, [1, 3], 60)
    write_film(summary, tmp_path / 'alone.mp4')
    copy = small_film.small_copy(summary, tmp_path / 'copy.mp4')._replace(least=0)
    if fault == 'codec':
        copy = copy._replace(form=dataclasses.replace(copy.form, pictures='none'))
    elif fault == 'disk':
        if not pathlib.Path('/dev/full').exists():
            pytest.skip('no /dev/full')
        copy.output.symlink_to('/dev/full')
    else:
        copy = copy._replace(output=tmp_path / 'absent' / 'copy.mp4')
    assert write_film(summary, tmp_path / 'film.mp4', copy=copy) == []
    assert (tmp_path / 'film.mp4').read_bytes() == (tmp_path / 'alone.mp4').read_bytes()
    assert not copy.output.is_symlink() and not copy.output.exists()


def test_an_attempt_that_came_out_too_large_is_not_made_again(tmp_path, monkeypatch):
    summary = pages.summary_of(tmp_path / 'a.mp4', 4, [1, 3], 60)
    rates = []

    def written(summary, output, *, form, **_):
        rates.append(int(form.options['maxrate']))
        output.write_bytes(bytes(100))

    monkeypatch.setattr(small_film, 'write_video', written)
    for tried in (0, 8_000_000):
        assert small_film.write_small(summary, tmp_path / 'b.mp4', sound='none', tried=tried)
    assert rates[1] == pytest.approx(rates[0] * 0.9 * 5 / 8, rel=1e-5)
