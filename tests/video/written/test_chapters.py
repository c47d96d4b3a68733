import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest
from rendered import flash_and_beep, steady
from summaries import summary_of

from trsum_jax.video.writing import write_video
from trsum_jax.video.written import chapters

# Shots 2, 4 and 6 of six.
PARTS = [(7, 30), (50, 61), (110, 149)]


@pytest.mark.parametrize('fps', [Fraction(25), Fraction(30000, 1001)])
def test_the_film_has_a_chapter_for_each_part(tmp_path, fps):
    source = flash_and_beep(tmp_path / 'a.mp4', range(150), [3], tick=1 / fps)
    write_video(summary_of(source, PARTS), tmp_path / 'b.mp4')
    with av.open(str(tmp_path / 'b.mp4')) as container:
        found = container.chapters()
        assert [one['metadata']['title'] for one in found] == ['Shot 2', 'Shot 4', 'Shot 6']
        edges = [float(one[name] * one['time_base']) for one in found for name in ('start', 'end')]
        expected = [frame / float(fps) for frame in (0, 24, 24, 36, 36, 76)]
        assert edges == pytest.approx(expected, abs=1e-3)
        assert len(container.streams.video) == len(container.streams.audio) == 1
    write_video(summary_of(source, PARTS[:1]), tmp_path / 'c.mp4')
    with av.open(str(tmp_path / 'c.mp4')) as container:
        assert container.chapters() == []


def test_as_text(tmp_path):
    summary = summary_of(steady(tmp_path / 'a.mp4', 150, 25), [(7, 30), (50, 61), (100, 109), (110, 149)])
    # As if a frame lasted 2 s: parts of 48, 24 and 100 s, the last of two shots.
    summary = dataclasses.replace(summary, frame_times=2.0 * np.arange(150), duration=300.0)
    chapters.write_chapters(summary, tmp_path / 'b.txt')
    assert (tmp_path / 'b.txt').read_text('utf-8') == '0:00 Shot 2\n0:48 Shot 4\n1:12 Shots 6–7\n'
    # 1.2 s, 0.6 s, …: a second is named once.
    summary = dataclasses.replace(summary, frame_times=np.arange(150) / 20, duration=7.5)
    chapters.write_chapters(summary, tmp_path / 'b.txt')
    assert (tmp_path / 'b.txt').read_text('utf-8') == '0:00 Shot 2\n0:01 Shot 4\n0:02 Shots 6–7\n'
    summary = dataclasses.replace(summary, frame_times=np.arange(150) / 100, duration=1.5)
    chapters.write_chapters(summary, tmp_path / 'b.txt')
    assert (tmp_path / 'b.txt').read_text('utf-8') == '0:00 Shot 2, Shot 4, Shots 6–7\n'
