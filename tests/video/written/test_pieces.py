from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from rendered import counting_decoded, flash_and_beep, levels, scene, steady
from rendered import write_video as render
from summaries import summary_of

from trsum_jax.errors import InputError
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.written import pieces

PARTS = [(7, 30), (50, 61), (110, 149)]


def test_every_clip_is_its_part(tmp_path):
    source = flash_and_beep(tmp_path / 'a.mp4', range(150), [10, 52, 120], tick=Fraction(1, 25))
    film, folder = tmp_path / 'long name of it.mp4', tmp_path / 'clips'
    assert pieces.write_clips(summary_of(source, PARTS), film, folder) == []
    made = sorted(folder.iterdir())
    assert [path.name for path in made] == [f'long name of it-0{number}.mp4' for number in (1, 2, 3)]
    assert pieces.pieces_there(folder, film, '.mp4') == made
    for path, (first, last), flash in zip(made, PARTS, (10, 52, 120), strict=True):
        expected = [255 if i == flash else 40 + i % 100 for i in range(first, last + 1)]
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
            np.testing.assert_allclose(levels(frames), expected, atol=6)
            assert frames[0].pts == 0
            assert container.chapters() == []
        with av.open(str(path)) as container:
            sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
            # The beep is heard with its flash, within the 50 ms that it lasts.
            loudest = np.abs(sound).argmax() / container.streams.audio[0].rate
        assert 0 <= loudest - (flash - first) / 25 < 0.06
    # A shorter summary leaves what it does not replace, and says so.
    (note,) = pieces.write_clips(summary_of(source, PARTS[:1]), film, folder, sound='none')
    assert note.endswith('still there: long name of it-02.mp4, long name of it-03.mp4')
    with av.open(str(made[0])) as container:
        assert not container.streams.audio


def test_stills_are_key_frames_of_full_size(tmp_path):
    pictures = [scene(i, height=48, width=64) for i in range(6) for _ in range(25)]
    summary = summary_of(render(tmp_path / 'a.mp4', pictures, range(0, 6000, 40)), [(26, 48), (102, 120)])
    assert pieces.write_stills(summary, tmp_path / 'a-summary.webm', tmp_path) == []
    for number, shown in ((1, 1), (2, 4)):
        with Image.open(tmp_path / f'a-summary-0{number}.jpg') as still:
            assert still.size == (64, 48)
            assert np.abs(np.asarray(still).astype(int) - scene(shown)).mean() < 12


@pytest.mark.parametrize('kind', ['clips', 'stills'])
def test_a_file_that_cannot_be_sought_in_is_read_once_for_all(tmp_path, monkeypatch, kind):
    # Of MPEG-4 with frames out of order in AVI nothing tells when a frame is shown.
    source = steady(tmp_path / 'a.avi', 150, 25, codec='mpeg4', options={'bf': '2'})
    summary = summary_of(source, [(first, first + 4) for first in range(10, 150, 20)])
    decoded = counting_decoded(monkeypatch, VideoReader)
    write = pieces.write_clips if kind == 'clips' else pieces.write_stills
    write(summary, tmp_path / 'film.mp4', tmp_path / kind)
    assert len(list((tmp_path / kind).iterdir())) == 7
    # Once until it is seen that seeking leads nowhere, and once through; of each part apart more than 500.
    assert len(decoded) <= 300


def test_a_source_with_fewer_frames_is_another(tmp_path):
    summary = summary_of(steady(tmp_path / 'a.mp4', 150, 25), PARTS)
    steady(tmp_path / 'a.mp4', 120, 25)
    shares = []
    with pytest.raises(InputError, match=f'expected {24 + 12 + 40} frames of the summary, found 46'):
        pieces.write_clips(summary, tmp_path / 'b.mp4', tmp_path / 'clips', progress=shares.append)
    # Those that are whole stay.
    assert len(list((tmp_path / 'clips').iterdir())) == 2
    np.testing.assert_allclose(shares, np.arange(1, 47) / 76)


def test_names(tmp_path):
    for name in (
        'film-01.mp4',
        'film-123.mp4',
        'film-1.mp4',
        'film-01.jpg',
        'films-01.mp4',
        'film-01-02.mp4',
    ):
        (tmp_path / name).touch()
    found = pieces.pieces_there(tmp_path, tmp_path / 'film.mp4', '.mp4')
    assert [path.name for path in found] == ['film-01.mp4', 'film-123.mp4']
    long = pieces.piece_place(tmp_path, tmp_path / f'{"n" * 240}.mp4', 7, '.mp4')
    assert len(long.name) < 255 and long.name.endswith('-07.mp4')
