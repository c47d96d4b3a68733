import dataclasses
import os
import re

import numpy as np
import pytest

pytest.importorskip('av')

from matplotlib import font_manager
from PIL import Image
from rendered import scene, steady, write_video
from summaries import summary_of

from trsum_jax.errors import InputError
from trsum_jax.video import outputs, page, storyboard


def test_key_frames_are_those_of_highest_score(tmp_path):
    summary = summary_of(steady(tmp_path / 'a.mp4', 100, 10), [(20, 59)])
    summary = dataclasses.replace(
        summary, picks=np.arange(0, 100, 5), scores=np.linspace(0, 1, 20, dtype=np.float32)
    )
    # The second span holds no score, so its middle is taken; frame i has level 40 + i.
    spans = np.array([[50, 62], [41, 44], [0, 99], [55, 60], [6, 12]])
    found = storyboard.key_frames(summary, spans, 24)
    assert [picture.shape for picture in found] == [(24, 32, 3)] * 5
    np.testing.assert_allclose([p.mean() for p in found], [100, 82, 135, 100, 50], atol=3)


@pytest.mark.parametrize(('turned', 'size'), [(0, (30, 40)), (90, (30, 22)), (180, (30, 40))])
def test_key_frames_stand_upright(tmp_path, turned, size):
    source = write_video(tmp_path / 'a.mp4', [scene(2)] * 12, range(0, 1200, 100), turned=turned)
    (found,) = storyboard.key_frames(summary_of(source, [(2, 5)]), np.array([[2, 5]]), 30)
    assert found.shape[:2] == size
    upright = Image.fromarray(np.rot90(scene(2), turned // 90).copy()).resize(size[::-1])
    assert np.abs(found.astype(int) - np.asarray(upright)).mean() < 12


@pytest.mark.parametrize(('shape', 'height'), [((700, 300), 120), ((600, 50), 300), ((1, 1), 9)])
def test_a_picture_is_as_if_made_smaller_at_once(shape, height):
    # Of middle tones: what goes beyond black and white is cut off between columns and rows, too.
    seen = np.random.default_rng(3).integers(90, 160, (*shape, 3), np.uint8)
    size = max(1, round(height * shape[1] / shape[0])), height
    at_once = np.asarray(Image.fromarray(seen).resize(size, Image.Resampling.LANCZOS))
    # As are fractions, and Pillow takes first what leaves less.
    assert np.abs(storyboard._resized(seen, 1.0, height).astype(int) - at_once).max() <= 1


def test_key_frames_of_a_changed_file(tmp_path):
    summary = summary_of(steady(tmp_path / 'a.mp4', 60, 10), [(50, 55)])
    other = dataclasses.replace(summary, path=steady(tmp_path / 'b.mp4', 30, 10))
    with pytest.raises(InputError, match=r'b\.mp4: expected 1 key frames, found 0'):
        storyboard.key_frames(other, np.array([[50, 55]]), 20)


@pytest.mark.parametrize('turned', [0, 90])
def test_key_frames_are_kept_while_the_film_is_written(tmp_path, monkeypatch, turned):
    images = [scene(number) for number in range(4) for _ in range(5)]
    source = write_video(tmp_path / 'a.mp4', images, range(0, 2000, 100), turned=turned)
    summary = summary_of(source, [(0, 4), (10, 14)])
    film, alone, drawn = (tmp_path / name for name in ('s.mp4', 'alone.html', 'alone.png'))
    outputs.write(summary, outputs.Targets(film))
    page.write_page(summary, film, alone)
    storyboard.draw(summary, drawn)

    def again(*_):
        raise AssertionError('the video is read once more')

    monkeypatch.setattr(storyboard, 'pictures_at', again)
    outputs.write(summary, outputs.Targets(film, page=tmp_path / 's.html', storyboard=tmp_path / 's.png'))
    assert (tmp_path / 's.html').read_bytes() == alone.read_bytes()
    assert (tmp_path / 's.png').read_bytes() == drawn.read_bytes()


@pytest.mark.parametrize('n_parts', [1, 6, 40])
@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_the_picture_holds_the_key_frames(tmp_path, n_parts, suffix):
    colours = np.random.default_rng(1).integers(30, 226, (200, 3))
    images = [np.full((48, 64, 3), colour, np.uint8) for colour in colours]
    source = write_video(tmp_path / 'a.mp4', images, range(0, 20_000, 100))
    summary = summary_of(source, [(5 * part, 5 * part + 2) for part in range(n_parts)])
    storyboard.draw(summary, tmp_path / f'b.{suffix}')
    drawn = np.asarray(Image.open(tmp_path / f'b.{suffix}').convert('RGB')).reshape(-1, 3)
    assert len(drawn) > 500_000
    near = [
        np.all(np.abs(drawn - frame[0, 0].astype(int)) < 8, axis=1).mean() > 0.002
        for frame in storyboard.key_frames(summary, summary.parts, 20)
    ]
    assert sum(near) >= min(n_parts, 30)


def test_a_name_with_signs_and_an_ending_that_is_no_picture(tmp_path):
    source = steady(tmp_path / 'cost $5^ & $6_\\frac.mp4', 30, 10)
    storyboard.draw(summary_of(source, [(3, 8)]), tmp_path / 'b.png')
    with pytest.raises(InputError, match=r'b\.txt: expected a picture ending in \.png or \.jpg'):
        storyboard.draw(summary_of(source, [(3, 8)]), tmp_path / 'b.txt')
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ['.mp4', '.png']


NAMES = [
    '\u65e5' * 80 + '.mp4',
    '\u0623\u0628\u062c \u05d0\u05d1 \u0e01\u0e21.mp4',
    '\U0001f469\u200d\U0001f467 \u2764\ufe0f.mp4',
    'two\nlines \x1b[31m.mp4',
    os.fsdecode(b'caf\xe9.mp4'),
]


@pytest.mark.parametrize('name', NAMES)
def test_any_name_is_drawn_without_a_warning(tmp_path, name, caplog):
    source = steady(tmp_path / 'a.mp4', 30, 10).rename(tmp_path / name)
    storyboard.draw(summary_of(source, [(3, 8)]), tmp_path / 'b.png')
    assert caplog.records == []
    # The ground stays free at the right, where the length stands, and is drawn upon at the left.
    drawn = np.asarray(Image.open(tmp_path / 'b.png').convert('L'))
    assert drawn.shape[1] == 1320
    assert (drawn[:40, :300] < 128).any()


def test_letters_that_no_font_has_are_told_by_their_number():
    fonts = [font_manager.get_font(font.fname) for font in font_manager.fontManager.ttflist]
    nowhere = chr(0x10FFF0)
    assert storyboard.drawable(f'a{nowhere}b') == (
        'a\\U0010fff0b', {'family': ['DejaVu Sans'], 'weight': 'normal'}
    )  # fmt: skip
    assert storyboard.drawable('plain') == ('plain', {'family': ['DejaVu Sans'], 'weight': 'bold'})
    plain = font_manager.get_font(font_manager.findfont('DejaVu Sans'))
    (stix,) = (f for f in fonts if f.family_name == 'STIXGeneral' and f.style_name == 'Regular')
    letter = next(chr(code) for code in sorted(stix.get_charmap()) if not plain.get_char_index(code))
    text, look = storyboard.drawable(f'a{letter}')
    assert text == f'a{letter}'
    families = look['family']
    assert families[0] == 'DejaVu Sans'
    assert any(
        font_manager.get_font(font_manager.findfont(family)).get_char_index(ord(letter))
        for family in families[1:]
    )


def test_a_long_title_keeps_its_beginning_and_its_end():
    text, _ = storyboard.drawable('begin' + 'x' * 300 + 'end.mp4')
    assert len(text) == 60
    assert re.fullmatch('beginx+…x+end.mp4', text)
