import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('jinja2')

from fractions import Fraction

from rendered import flash_and_beep, steady
from summaries import summary_of
from summarizing import Command

from trsum_jax import recut
from trsum_jax.protocol import evaluation
from trsum_jax.video import outputs, reading, recutting, timeline
from trsum_jax.video.reading import VideoReader

PARTS = [(40, 69), (110, 129), (200, 239)]
SRT = '1\n00:00:01,700 --> 00:00:02,500\nHello\n\n2\n00:00:08,500 --> 00:00:09,000\nBye\n'


def scored(source, parts=PARTS):
    """A summary whose shots have the means of their frames' scores."""
    summary = summary_of(source, parts)
    frames = evaluation.frame_scores(summary.scores, summary.picks, len(summary.frame_times))
    return dataclasses.replace(summary, shot_scores=evaluation.shot_scores(frames, summary.shots))


@pytest.fixture
def command(monkeypatch):
    return Command(monkeypatch, recut)


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """10 s at 25 frames a second, with sound, and its summary's JSON in a folder beside."""
    place = tmp_path_factory.mktemp('clip')
    source = flash_and_beep(place / 'ä #1.mp4', range(250), [50, 120, 220], tick=Fraction(1, 25))
    (place / 'ä #1.srt').write_text(SRT)
    summary = dataclasses.replace(scored(source), allowed=4.0, encoder='descriptor-1')
    timeline.write_json(summary, place / 'first' / 's.json')
    return summary, place / 'first' / 's.json'


@pytest.fixture
def edited(clip, tmp_path):
    """Writes the JSON with an edit into a folder as far from the video, and gives its place."""

    def edit(change=lambda found: None):
        found = json.loads(clip[1].read_text())
        change(found)
        place = tmp_path / 's.json'
        found['source']['file'] = f'../{clip[1].parents[1].name}/a.mp4'
        place.write_text(json.dumps(found))
        return place

    def read(change=lambda found: None):
        return recutting.read_summary(edit(change), clip[0].path)

    edit.read = read
    return edit


@pytest.mark.parametrize('kind', ['steady', 'unsteady', 'started anew'])
def test_the_same_bytes_come_out_again(tmp_path, command, kind):
    beside = {'json': '.json'}
    if kind == 'steady':
        source = flash_and_beep(tmp_path / 'a.mp4', range(250), [50, 120, 220], tick=Fraction(1001, 24000))
        source.with_suffix('.srt').write_text(SRT)
        beside |= {'page': '.html', 'storyboard': '.png', 'subtitles': '.srt', 'timeline': '.edl'}
    else:
        gaps = np.random.default_rng(3).choice([20, 33, 50], 249)
        ticks = np.append(0, np.cumsum(gaps)).tolist()
        source = flash_and_beep(tmp_path / 'a.mkv', ticks, [50, 120], tick=Fraction(1, 1000))
    summary = dataclasses.replace(scored(source), crossfade=0.3, allowed=3.0)
    if kind == 'started anew':
        summary.clock.parts.append(summary.clock.parts[0])
    first = {name: tmp_path / 'first' / f's{ending}' for name, ending in beside.items()}
    outputs.write(summary, outputs.Targets(tmp_path / 'first' / 's.mp4', **first))
    (tmp_path / 'again').mkdir()
    asked = ['--timeline=.edl'] if kind == 'steady' else ['--page=', '--storyboard=']
    assert command(f'--summary={first["json"]}', f'--output={tmp_path}/again/s.mp4', *asked) is None
    made = sorted(path.name for path in (tmp_path / 'again').iterdir())
    assert made == sorted(path.name for path in (tmp_path / 'first').iterdir())
    for name in made:
        assert (tmp_path / 'again' / name).read_bytes() == (tmp_path / 'first' / name).read_bytes(), name
    found, notes = recutting.read_summary(first['json'])
    np.testing.assert_array_equal(found.frame_times, summary.frame_times)
    assert (found.path, found.fps, found.duration, notes) == (source, summary.fps, summary.duration, [])
    assert (found.clock is None) == (kind == 'started anew')


def test_only_what_is_kept_is_decoded(tmp_path, monkeypatch):
    source = steady(tmp_path / 'a.mp4', 600, 5)
    timeline.write_json(summary_of(source, [(565, 575)]), tmp_path / 's.json')
    decoded = []
    plain = reading.deinterlaced

    def counted(frames):
        for frame in plain(frames):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(reading, 'deinterlaced', counted)
    summary, _ = recutting.read_summary(tmp_path / 's.json')
    assert len(decoded) == 0
    outputs.write(summary, outputs.Targets(tmp_path / 'b.mp4'))
    assert 11 <= len(decoded) <= 110
    with VideoReader(tmp_path / 'b.mp4') as reader:
        assert sum(1 for _ in reader.frames()) == 11
