"""A film, its summary as JSON, and edits of that as people make them, for the tests of `recut`."""

import dataclasses
import json
from fractions import Fraction

from rendered import flash_and_beep
from summaries import summary_of

from trsum_jax.protocol import evaluation
from trsum_jax.video import timeline

PARTS = [(40, 69), (110, 129), (200, 239)]
SRT = '1\n00:00:01,700 --> 00:00:02,500\nHello\n\n2\n00:00:08,500 --> 00:00:09,000\nBye\n'


def scored(source, parts=PARTS):
    """A summary whose shots have the means of their frames' scores."""
    summary = summary_of(source, parts)
    frames = evaluation.frame_scores(summary.scores, summary.picks, len(summary.frame_times))
    return dataclasses.replace(summary, shot_scores=evaluation.shot_scores(frames, summary.shots))


def clip(place):
    """10 s at 25 frames a second, with sound, and its summary's JSON in a folder beside."""
    source = flash_and_beep(place / 'ä #1.mp4', range(250), [50, 120, 220], tick=Fraction(1, 25))
    (place / 'ä #1.srt').write_text(SRT)
    summary = dataclasses.replace(scored(source), allowed=4.0, encoder='descriptor-1')
    timeline.write_json(summary, place / 'first' / 's.json')
    return summary, place / 'first' / 's.json'


def editor(clip, folder):
    """What writes the summary's JSON after an edit, beside a link to its video."""

    def edit(change=lambda found: None):
        found = json.loads(clip[1].read_text())
        found['source']['file'] = 'a.mp4'
        change(found)
        (folder / 's.json').write_text(json.dumps(found))
        return folder / 's.json'

    (folder / 'a.mp4').symlink_to(clip[0].path)
    return edit


def times(*spans):
    """An edit that leaves a JSON with these parts, in seconds."""

    def change(found):
        found['parts'] = [{'start': start, 'end': end} for start, end in spans]

    return change
