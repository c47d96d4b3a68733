import numpy as np
import pytest
from PIL import Image
from rendered import scene
from rendered import write_video as render
from summaries import summary_of

from trsum_jax.video.written import preview

# One second and half a second of the second and the fifth scene, each 1 s long.
PARTS = [(25, 49), (105, 117)]


@pytest.fixture(scope='module')
def summary(tmp_path_factory):
    path = tmp_path_factory.mktemp('film') / 'a.mp4'
    pictures = [scene(i, height=96, width=160) for i in range(6) for _ in range(25)]
    return summary_of(render(path, pictures, range(0, 6000, 40)), PARTS)


def read(path):
    """Pictures and their milliseconds."""
    with Image.open(path) as found:
        assert found.info['loop'] == 0
        pictures, lasts = [], []
        for number in range(found.n_frames):
            found.seek(number)
            pictures.append(np.asarray(found.convert('RGB')).astype(int))
            lasts.append(found.info['duration'])
    return pictures, lasts


@pytest.mark.parametrize('ending', preview.PREVIEWS)
def test_it_shows_every_part_for_its_time(tmp_path, summary, ending):
    preview.write_preview(summary, tmp_path / f'p{ending}')
    pictures, lasts = read(tmp_path / f'p{ending}')
    assert {picture.shape for picture in pictures} == {(96, 160, 3)}
    shown = {1: 0, 4: 0}
    for picture, ms in zip(pictures, lasts, strict=True):
        apart = {i: np.abs(picture - scene(i, height=96, width=160)).mean() for i in range(6)}
        nearest = min(apart, key=apart.get)
        assert apart[nearest] < 15
        shown[nearest] += ms
    assert shown == {1: 1000, 4: 500}


@pytest.mark.parametrize('ending', preview.PREVIEWS)
def test_it_is_no_larger_than_it_may_be(tmp_path, ending):
    # Noise: what compresses worst.
    pictures = np.random.default_rng(0).integers(0, 256, (15, 96, 160, 3), dtype=np.uint8)
    film = render(tmp_path / 'a.mp4', pictures, range(0, 1500, 100), fps=10)
    summary, small = summary_of(film, [(0, 9)]), tmp_path / f'q{ending}'
    preview.write_preview(summary, tmp_path / f'p{ending}')
    whole = (tmp_path / f'p{ending}').stat().st_size
    preview.write_preview(summary, small, largest=whole // 3)
    assert whole // 12 < small.stat().st_size <= whole // 3
    shown, lasts = read(small)
    height, width, _ = shown[0].shape
    assert 40 < width < 160
    assert width / height == pytest.approx(160 / 96, rel=0.05)
    assert sum(lasts) == 1000


# 160 s: of two parts of 120 and 40 s nine and three seconds are shown; of 150 parts of 1 s not all.
@pytest.mark.parametrize('parts', [[(0, 119), (200, 239)], [(i, i) for i in range(0, 300, 2)]])
def test_a_long_summary_is_shown_in_part(tmp_path, parts):
    pictures = [scene(i // 80) for i in range(320)]
    summary = summary_of(render(tmp_path / 'a.mp4', pictures, range(0, 320_000, 1000), fps=1), parts)
    preview.write_preview(summary, tmp_path / 'p.gif')
    pictures, lasts = read(tmp_path / 'p.gif')
    assert sum(lasts) == 12_000
    assert np.abs(pictures[0] - scene(0)).mean() < 15
