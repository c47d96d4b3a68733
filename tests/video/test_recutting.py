"""What is decoded for a summary that is made again, and its marks; `test_recut` has all else."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('jinja2')

import edits
from rendered import counting_decoded, steady
from summaries import summary_of

from trsum_jax.errors import InputError
from trsum_jax.video import choosing, outputs, recutting, timeline
from trsum_jax.video.reading import VideoReader


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return edits.clip(tmp_path_factory.mktemp('clip'))


@pytest.fixture
def edited(clip, tmp_path):
    return edits.editor(clip, tmp_path)


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


def test_edited_marks_are_what_is_shown(edited):
    def change(found):
        for number, one in enumerate(found['shots'], 1):
            one['chosen'] = number in (1, 2, 7)

    summary, notes = recutting.read_summary(edited(change))
    np.testing.assert_array_equal(summary.parts, [(0, 69), (240, 249)])
    assert notes == ['the chosen shots were edited']

    def both(found):
        change(found)
        edits.times((1, 2))(found)

    with pytest.raises(InputError, match='parts: expected times or chosen shots that were edited, found'):
        recutting.read_summary(edited(both))


def test_marks_hold_until_they_are_overruled(clip, tmp_path):
    place = tmp_path / 's.json'
    kept, _ = choosing.choose_again(clip[0], {0, 4}, {1, 5}, 5.0)
    timeline.write_json(kept, place)
    again, _ = recutting.read_summary(place)
    np.testing.assert_array_equal(choosing.choose_again(again, (), ())[0].chosen, kept.chosen)
    other, _ = choosing.choose_again(again, {5}, {4})
    assert other.with_marks((), ()) == ({0, 5}, {1, 4})
    assert other.chosen[[0, 5]].all() and not other.chosen[[1, 4]].any()


def test_what_is_chosen_by_hand_overrules_marks_and_says_so(edited):
    def marked(*marks, chosen=()):
        def change(found):
            for number, mark in marks:
                found['shots'][number]['mark'] = mark
            for number in chosen:
                found['shots'][number]['chosen'] = True

        return change

    # Of the seven shots 2, 4 and 6 are shown.
    summary, notes = recutting.read_summary(edited(marked((1, 'keep'), (2, 'drop'), chosen=[2])))
    assert (summary.kept, summary.dropped) == ({40}, set())
    assert notes == ['the chosen shots were edited', 'what was edited overrules the marks of shots 3']
    assert choosing.choose_again(summary, (), (), 6.0)[0].chosen[2]

    def parts_too(found):
        marked((1, 'keep'), (3, 'keep'), (4, 'drop'))(found)
        edits.times((4.4, 5.2), (8.0, 9.6))(found)

    summary, notes = recutting.read_summary(edited(parts_too))
    assert (summary.kept, summary.dropped) == ({110}, {130})
    assert 'overrules the marks of shots 2' in notes[1]
    # Marks that were edited alone stay, for a cut that asks for them.
    summary, notes = recutting.read_summary(edited(marked((0, 'keep'), (3, 'drop'))))
    assert (summary.kept, summary.dropped) == ({0}, {110})
    assert len(notes) == 1 and 'marks were edited, of shots 1, 4: they hold' in notes[0]
    assert choosing.choose_again(summary, (), (), 6.0)[0].chosen[[0, 3]].tolist() == [True, False]


def test_a_mark_stays_with_a_shot_whose_beginning_people_move(edited):
    def change(found):
        # Shots 2, of 1.6 to 2.8 s, and 5, of 5.2 to 8 s.
        found['shots'][1]['mark'], found['shots'][4]['mark'] = 'keep', 'drop'
        edits.times((1.2, 2.8), (8, 9.6))(found)

    summary, _ = recutting.read_summary(edited(change))
    assert (summary.kept, summary.dropped) == ({30}, {130})
    kept, dropped = summary.with_marks((), ())
    assert summary.seconds(summary.shots)[[*kept, *dropped]].tolist() == [[1.2, 2.8], [5.2, 8.0]]
