import av
import numpy as np
import pages
import pytest
from rendered import flash_and_beep, grey, write_video

from trsum_jax.video.writing import write_video as write_film
from trsum_jax.video.written import together

TICK = pages.Fraction(1, 1000)


def summary_of(path, n_frames, fps):
    """All of a video as its summary."""
    summary = pages.summary_of(path, 1, [0], n_frames)
    times = np.arange(n_frames) / fps
    return pages.Summary(**vars(summary) | {'fps': fps, 'frame_times': times, 'duration': n_frames / fps})


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """One film of three: 2 s at 10 a second with a beep, 3 s at 25 upright, 1 s at 50 that is wide."""
    folder = tmp_path_factory.mktemp('together')
    beep = flash_and_beep(folder / 'a #1.mp4', range(0, 2000, 100), [10], tick=TICK)
    tall = [np.full((96, 48, 3), 60 + i, np.uint8) for i in range(75)]
    write_video(folder / 'b.mp4', tall, range(0, 3000, 40))
    wide = [np.full((40, 120, 3), 200, np.uint8)] * 50
    write_video(folder / 'c.mp4', wide, range(0, 1000, 20), fps=50)
    summaries = [
        summary_of(beep, 20, 10),
        summary_of(folder / 'b.mp4', 75, 25),
        summary_of(folder / 'c.mp4', 50, 50),
    ]
    films = [folder / f'film-{i}.mp4' for i in range(3)]
    for summary, film in zip(summaries, films, strict=True):
        write_film(summary, film)
    begins = together.write_together(summaries, films, folder / 'all.mp4')
    return folder / 'all.mp4', begins


def test_one_size_one_rate_and_every_frame_at_its_time(made):
    path, begins = made
    assert begins == [0, 2, 5]
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format='gray')) for frame in container.decode(video=0)]
        assert [chapter['metadata']['title'] for chapter in container.chapters()] == ['a #1', 'b', 'c']
    # The size and the rate of the second one, which is half of it all.
    assert [time for time, _ in frames] == pytest.approx(np.arange(150) / 25)
    pictures = np.array([picture for _, picture in frames]).astype(int)
    assert pictures.shape[1:] == (96, 48)
    # 64x48 becomes 48x36, and 120x40 becomes 48x16, between black bars.
    for first, last, high in ((0, 50, 36), (50, 125, 96), (125, 150, 16)):
        top = (96 - high) // 2
        assert pictures[first:last, : max(top - 2, 0)].max(initial=0) < 20
        assert pictures[first:last, 96 - max(top - 2, 0) :].max(initial=0) < 20
        assert pictures[first:last, top + 2 : 94 - top].min() > 30
    # Frame i is of level 40 + i at 10 a second, shown from the tick nearest to its time on.
    middles = pictures[:, 48, 24]
    shown = np.floor(np.arange(50) / 2.5 + 1e-6)
    seen = np.delete(np.arange(50), np.flatnonzero(shown == 10))
    assert np.abs(middles[seen] - 40 - shown[seen]).max() <= 3
    assert middles[:50][shown == 10].min() > 240
    assert np.abs(middles[50:125] - 60 - np.arange(75)).max() <= 3


def test_sound_stays_with_its_pictures_and_silence_where_there_is_none(made):
    with av.open(str(made[0])) as container:
        (track,) = container.streams.audio
        assert (track.rate, track.channels) == (48_000, 2)
        samples = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    loud = np.flatnonzero(np.abs(samples).max(axis=0) > 0.1) / 48_000
    # The beep of the flash, for 50 ms.
    assert loud.min() == pytest.approx(1.0, abs=0.03) and loud.max() == pytest.approx(1.05, abs=0.03)
    assert samples.shape[1] / 48_000 == pytest.approx(6, abs=0.05)


def test_silent_films_make_a_silent_one_and_progress_ends_at_one(tmp_path):
    film = write_video(tmp_path / 'a.mp4', [grey(90)] * 10, range(0, 1000, 100), fps=10)
    summary = summary_of(film, 10, 10)
    done = []
    begins = together.write_together([summary] * 2, [film] * 2, tmp_path / 'b.webm', progress=done.append)
    assert begins == [0, 1] and done[-1] == 1 and done == sorted(done)
    with av.open(str(tmp_path / 'b.webm')) as container:
        assert not container.streams.audio and sum(1 for _ in container.decode(video=0)) == len(done)
