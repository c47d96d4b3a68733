"""People who judged a video, and how well its summary agrees with them, by the protocol."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from trsum_jax.data import annotations, datasets
from trsum_jax.data.records import Video
from trsum_jax.data.stored import hdf5
from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.protocol import baselines, evaluation, tables
from trsum_jax.video.summary import Summary

SUMMARY = 'summary'
# Files of the field count frames by length and rate, which rounds.
_ROUNDING = 1


def read_people(path: str | os.PathLike, films: Sequence[pathlib.Path]) -> dict[pathlib.Path, Video]:
    """The people of some films, found by the films' names.

    Args:
        path: a file in the field's layout, with `user_summary` or `user_scores` (features are not needed); or
            what `annotations.read_annotations` reads.
        films: the video files. `Jumps.webm` is the video of the name (`video_name`) or key `Jumps`.

    Returns:
        By film, the video of the file; without those that have nobody there.

    Raises:
        InputError: a file that cannot be read, two of its videos for one film, or nobody for any of them.
    """
    if not pathlib.Path(path).is_dir():
        hdf5.regular(path, 'a file of annotations')
    if annotations.is_distributed(path) or not hdf5.is_hdf5(path):
        known = list(annotations.read_annotations(path).values())
    else:
        known = list(datasets.read_dataset(path, require_features=False).videos.values())
    found = {}
    for film in films:
        names = {film.name, annotations.bare_name(film.name)}
        same = [v for v in known if v.has_users and names & {v.key, annotations.bare_name(v.name or v.key)}]
        if len(same) > 1:
            both = ' and '.join(video.id for video in same)
            raise InputError(f'{shown(path)}: expected one video for {shown(film)}, found {both}')
        if same:
            found[film] = same[0]
    if not found:
        there = [video.name or video.key for video in known if video.has_users]
        listed = ', '.join(map(shown, there[:5])) + (', …' if len(there) > 5 else '')
        raise InputError(
            f'{shown(path)}: expected people of {shown(films[0].name)}, by its name without suffix, found '
            f'those of {listed or "no video"}; give the film the name that it has there'
        )
    return found


def with_people(video: Video, annotated: Video, path: str | os.PathLike) -> tuple[Video, list[str]]:
    """A video as it was decoded, with what people said of its frames.

    Args:
        video: with the film's frames and their number.
        annotated: from `read_people`.
        path: the file of annotations, for messages.

    Returns:
        The video with `user_summary` and `user_scores`, [n_users, n_frames]; and what a person should know:
        where the file counts one frame more or less, which its rounding explains, the last one is left out
        or stands twice.

    Raises:
        InputError: the file speaks of another number of frames.
    """
    more = video.n_frames - annotated.n_frames
    if abs(more) > _ROUNDING:
        raise InputError(
            f'{shown(video.name)}: expected {annotated.n_frames} frames, as many as people judged under '
            f'{annotated.id} in {shown(path)}, found {video.n_frames}; give the film that they saw, not '
            'one cut or converted to another rate'
        )

    def fitted(marks: np.ndarray | None) -> np.ndarray | None:
        return marks if marks is None else np.pad(marks, ((0, 0), (0, 1)), 'edge')[:, : video.n_frames]

    there = {'user_summary': fitted(annotated.user_summary), 'user_scores': fitted(annotated.user_scores)}
    note = f'{shown(path)} counts {annotated.n_frames} frames, found {video.n_frames}; the last one is fitted'
    return dataclasses.replace(video, **there), [note] if more else []


def agreement(video: Video, summary: Summary, share: float, *, seed: int = 0) -> dict[str, dict[str, float]]:
    """How well a summary agrees with people, and what other rows reach on the same steps and shots.

    Args:
        video: which the summary was made of, with people.
        summary: F-scores are those of the frames that it shows, correlations those of its scores.
        share: of the video that a summary may fill.
        seed: of the random row.

    Returns:
        `summary`, and the rows of `baselines.without_model`: random scores, evenly spaced shots, the distance
        to the mean, people against each other. Each has the `evaluation.METRICS`.
    """
    shows = np.zeros(video.n_frames, np.uint8)
    for first, last in summary.parts:
        shows[first : last + 1] = 1
    of_scores = evaluation.evaluate_video(video, summary.scores, budget=share)
    rows = {SUMMARY: of_scores | evaluation.summary_f(video, shows)}
    return rows | baselines.without_model(video, budget=share, seed=seed)


def agreement_table(agreements: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The agreement of summaries with people, as a table for a terminal.

    Args:
        agreements: by film, from `agreement`; at least one.

    Returns:
        A row each; means over the films, with 95% intervals where there are several.
    """
    rows = dict.fromkeys(row for rows in agreements.values() for row in rows)
    per_film = {row: {film: rows[row] for film, rows in agreements.items() if row in rows} for row in rows}
    return tables.render({row: tables.aggregate([metrics]) for row, metrics in per_film.items()})
