import dataclasses

import numpy as np
import pytest

pytest.importorskip('av')

from PIL import Image
from rendered import scene, steady, write_video
from summaries import summary_of

from trsum_jax.errors import InputError
from trsum_jax.video import storyboard


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


def test_key_frames_of_a_changed_file(tmp_path):
    summary = summary_of(steady(tmp_path / 'a.mp4', 60, 10), [(50, 55)])
    other = dataclasses.replace(summary, path=steady(tmp_path / 'b.mp4', 30, 10))
    with pytest.raises(InputError, match=r'b\.mp4: expected 1 key frames, found 0'):
        storyboard.key_frames(other, np.array([[50, 55]]), 20)


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
