"""The files of summaries: the writing of all of them."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import av
import numpy as np
import tabulate
import tqdm

from trsum_jax import files
from trsum_jax.errors import INCOMPLETE, InputError
from trsum_jax.video import opening, page, people, reading, storyboard, timeline, writing
from trsum_jax.video.summary import Summary, clock
from trsum_jax.video.targets import Targets, Whole
from trsum_jax.video.written import chapters, index_page, pieces, preview, small_film, subtitles, together

# What was not there when the work was planned.
_MEANWHILE = 'it, or a file of its set, came to be while this ran, and is kept'
_BAR = '{desc}: {percentage:.0f}% |{bar}| {elapsed}, {remaining} left'


def write(summary: Summary, targets: Targets, sound: str = 'all') -> list[str]:
    """Writes all parts of a summary, each whole or not at all, with a progress bar.

    Args:
        summary: what to write.
        targets: where to.
        sound: which tracks the film and the timeline have: `all`, the `main` one, or `none`.

    Returns:
        What a person should know.

    Raises:
        InputError: a file that cannot be written.
    """
    if summary.clock is None:
        # It takes a pass over the whole video: once for all that has sound or is sought.
        summary = dataclasses.replace(summary, clock=reading.clock_of(summary.path))
    wanted, seen = set(), {}
    if targets.storyboard:
        wanted |= {summary.key_frame(span) for span in storyboard.of_storyboard(summary)}
    if targets.page:
        wanted |= {summary.key_frame(span) for span in summary.shots[page.pictured(summary)]}

    def watch(reader: reading.VideoReader, index: int, frame: av.VideoFrame) -> None:
        # While the film is written, so that its frames are decoded once.
        if index in wanted:
            seen[index] = storyboard.upright(reader, frame, storyboard.HEIGHT)

    with opening.naming(summary.path), contextlib.ExitStack() as stack:
        copy = None
        if targets.page:
            # Without such a folder the film is written all the same, and a page that needs no copy.
            with contextlib.suppress(OSError):
                small = stack.enter_context(files.temporary_folder()) / 'small.mp4'
                copy = small_film.small_copy(summary, small, sound=sound)
        with _bar(targets.video) as progress:
            notes = writing.write_video(
                summary, targets.video, sound=sound, progress=progress, watch=watch, copy=copy
            )
        return notes + _write_others(summary, targets, sound, seen, copy.output if copy else None)


def _write_others(
    summary: Summary,
    targets: Targets,
    sound: str,
    seen: Mapping[int, np.ndarray],
    small: pathlib.Path | None,
) -> list[str]:
    """What is written beside the film; the arguments are those of `write`, and of `page.write_page`."""
    notes = []
    if targets.json:
        timeline.write_json(summary, targets.json)
    if targets.timeline:
        notes += timeline.write_otio(summary, targets.timeline, sound=sound)
    if targets.subtitles:
        notes += subtitles.write_subtitles(summary, targets.subtitles)
    if targets.chapters:
        chapters.write_chapters(summary, targets.chapters)
    if targets.preview:
        preview.write_preview(summary, targets.preview)
    if targets.clips:
        with _bar(targets.clips, delay=1) as progress:
            notes += pieces.write_clips(summary, targets.video, targets.clips, sound=sound, progress=progress)
    if targets.stills:
        notes += pieces.write_stills(summary, targets.video, targets.stills)
    if targets.storyboard:
        storyboard.draw(summary, targets.storyboard, seen)
    if targets.page:
        # A large film may have to be written again, small.
        with _bar(targets.page, delay=1) as progress:
            page.write_page(
                summary,
                targets.video,
                targets.page,
                recut=targets.json,
                sound=sound,
                small=small,
                progress=progress,
                seen=seen,
            )
    return notes


def write_whole(
    whole: Whole, written: Sequence[tuple[Summary, Targets]], left_out: Mapping[pathlib.Path, str]
) -> None:
    """Writes what summaries have together, and says where it is.

    Args:
        whole: where to.
        written: the summaries, and where their own files are.
        left_out: videos without one, and why.

    Raises:
        InputError: a file that cannot be written, or a film that cannot be read again.
    """
    asked, whole = whole, whole.free()
    begins = [0.0] * len(written)
    if whole.film:
        with _bar(whole.film) as progress:
            begins = together.write_together(
                [summary for summary, _ in written],
                [targets.video for _, targets in written],
                whole.film,
                progress=progress,
            )
    if whole.index:
        entries = [
            index_page.Entry(summary, targets.video, targets.page, begin)
            for (summary, targets), begin in zip(written, begins, strict=True)
        ]
        index_page.write_index(entries, left_out, whole.index, whole.film)
    if places := [place for place in (whole.index, whole.film) if place]:
        if whole != asked:
            files.tell(asked.index or asked.film, f'{_MEANWHILE}: the new one is {files.shown(places[0])}')
        print('together: ' + ', '.join(map(files.shown, places)), end='\n\n')


@contextlib.contextmanager
def _bar(place: pathlib.Path, delay: float = 0.0) -> Iterator[Callable[[float], None]]:
    """What shows the share done of writing a file, from 0 to 1; nothing before so many seconds."""
    with tqdm.tqdm(desc=f'writing {files.shown(place.name)}', total=1.0, bar_format=_BAR, delay=delay) as bar:
        yield lambda done: bar.update(done - bar.n)


def write_and_tell(summary: Summary, targets: Targets, sound: str) -> Targets:
    """Writes all parts of a summary, and says what was chosen, where it is, and what a person should know.

    Args:
        summary: what to write.
        targets: where to.
        sound: as `write`.

    Returns:
        Where they are: under other names where something has come to be there since the work began.

    Raises:
        InputError: a file that cannot be written.
    """
    asked, targets = targets, targets.free()
    if targets != asked:
        files.tell(asked.video, f'{_MEANWHILE}: this summary is {files.shown(targets.video)}')
    for note in write(summary, targets, sound):
        files.tell(summary.path, note)
    share, name = summary.length / summary.duration, files.shown(summary.path.name)
    print(f'{name}: {summary.length:.1f} of {summary.duration:.1f} s ({share:.0%})\n')
    print(table(summary), end='\n\n')
    print('written: ' + ', '.join(map(files.shown, targets.places())), end='\n\n')
    return targets


def write_all(
    planned: Sequence[tuple[Summary, Targets]],
    whole: Whole,
    sound: str,
    left_out: dict[pathlib.Path, str] | None,
    n_videos: int,
    judges: str | None = None,
) -> int:
    """Writes summaries one after another, and then what they have together; says what is left out.

    Args:
        planned: the summaries, and where each goes.
        whole: where what they have together goes.
        sound: as `write`.
        left_out: videos without a summary, and why; those that cannot be written are added. Where None, that
            is an error.
        n_videos: all of them.
        judges: the file of people that the summaries were compared with, for a table.

    Returns:
        0, or `INCOMPLETE` where videos were left out.

    Raises:
        InputError: as `write_whole`; a summary that cannot be written, without `left_out`; none is written.
    """
    written = []
    for summary, targets in planned:
        try:
            written.append((summary, write_and_tell(summary, targets, sound)))
        except InputError as error:
            if left_out is None:
                raise
            left_out[summary.path] = str(error)
            print(f'not written: {error}', file=sys.stderr)
    if written:
        write_whole(whole, written, left_out or {})
    if found := {str(one.path): one.agreement for one, _ in planned if one.agreement}:
        print(f'agreement with each of the people of {files.shown(judges)}, on average:\n')
        print(people.agreement_table(found), end='\n\n')
    if not left_out:
        return 0
    told = f'{len(left_out)} of {n_videos} videos were left out, for the reasons above'
    if not written:
        raise InputError(told)
    print(told, file=sys.stderr)
    return INCOMPLETE


def table(summary: Summary) -> str:
    """When the parts of a summary begin and end, and how they scored, for a terminal.

    Args:
        summary: to show.

    Returns:
        One row a part; the score is the mean of its shots, by their lengths.
    """
    rows = []
    for part, (start, end) in zip(summary.parts, summary.seconds(summary.parts), strict=True):
        inside = summary.inside(part)
        lengths = (summary.shots[:, 1] - summary.shots[:, 0] + 1)[inside]
        score = (summary.shot_scores[inside] * lengths).sum() / lengths.sum()
        rows.append((len(rows) + 1, clock(start), clock(end), end - start, score))
    headers = ('part', 'from', 'to', 'seconds', 'score')
    return tabulate.tabulate(rows, headers, floatfmt=('', '', '', '.1f', '.2f'), disable_numparse=[1, 2])
