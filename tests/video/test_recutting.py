"""What is decoded for a summary that is made again; `test_recut` has all else."""

import dataclasses

import pytest

pytest.importorskip('av')
pytest.importorskip('jinja2')

from rendered import counting_decoded, steady
from summaries import summary_of

from trsum_jax.video import outputs, recutting, timeline
from trsum_jax.video.reading import VideoReader


@pytest.fixture
def decoded(monkeypatch):
    """All frames that are decoded from now on."""
    return counting_decoded(monkeypatch, VideoReader)


def test_only_what_is_kept_is_decoded(tmp_path, decoded):
    source = steady(tmp_path / 'a.mp4', 600, 5)
    timeline.write_json(summary_of(source, [(565, 575)]), tmp_path / 's.json')
    decoded.clear()
    summary, _ = recutting.read_summary(tmp_path / 's.json')
    assert len(decoded) == 0
    outputs.write(summary, outputs.Targets(tmp_path / 'b.mp4'))
    assert 11 <= len(decoded) <= 110
    with VideoReader(tmp_path / 'b.mp4') as reader:
        assert sum(1 for _ in reader.frames()) == 11


def test_the_clock_of_a_file_is_read_once_for_all_parts(tmp_path, decoded):
    summary = summary_of(steady(tmp_path / 'a.mp4', 100, 250), [(10, 19), (40, 49), (70, 79)])
    decoded.clear()
    summary = dataclasses.replace(summary, clock=None)
    outputs.write(summary, outputs.Targets(tmp_path / 'b.mp4', clips=tmp_path / 'clips'))
    assert len(list((tmp_path / 'clips').iterdir())) == 3
    # For the clock; then the film and its three clips, from the only key frame up to their ends.
    assert len(decoded) <= 100 + 80 + 20 + 50 + 80
