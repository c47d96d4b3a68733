"""Scores and summaries as files that other programs, and people, can use."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tabulate

from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import hdf5_writer
from trsum_jax.files import write_json
from trsum_jax.protocol import evaluation


def write_scores(path: str | os.PathLike, scores: Mapping[str, np.ndarray]) -> None:
    """Writes `video_N/scores`, the file that `python -m trsum_jax.evaluate --scores` reads.

    Args:
        path: the HDF5 file, replaced where it exists.
        scores: by video key, [n_steps] float.
    """
    with hdf5_writer.writing(path) as (file, _):
        for key, values in scores.items():
            file[f'{key}/scores'] = np.asarray(values, np.float32)


def describe_summary(video: Video, scores: np.ndarray, budget: float) -> dict[str, Any]:
    """One video's scores and the shots that its summary takes.

    Args:
        video: with change points.
        scores: [n_steps] float.
        budget: the summary's share of the video.

    Returns:
        `name`, `frames`, `summary_frames`, `seconds` (length, None where the file tells no time),
        `summary_seconds`, `shots`: for each
        its first and last frame, start and end in seconds, mean score and whether it is chosen; and `scores`:
        for each step its frame, second and score.
    """
    per_frame = evaluation.frame_scores(scores, video.picks, video.n_frames)
    values = evaluation.shot_scores(per_frame, video.change_points)
    chosen = evaluation.choose_shots(per_frame, video.change_points, video.n_frames, budget)
    shots = [
        {
            'first_frame': int(first),
            'last_frame': int(last),
            'start': second_of(video, first),
            'end': second_of(video, last + 1),
            'score': float(value),
            'chosen': bool(taken),
        }
        for (first, last), value, taken in zip(video.change_points, values, chosen, strict=True)
    ]
    seconds = second_of(video, video.n_frames)
    lengths = [shot['end'] - shot['start'] for shot in shots if shot['chosen'] and seconds is not None]
    return {
        'name': video.name,
        'frames': video.n_frames,
        'summary_frames': sum(s['last_frame'] - s['first_frame'] + 1 for s in shots if s['chosen']),
        'seconds': seconds,
        'summary_seconds': sum(lengths) if seconds is not None else None,
        'shots': shots,
        'scores': [
            {'frame': int(frame), 'second': second_of(video, frame), 'score': float(score)}
            for frame, score in zip(video.picks, scores, strict=True)
        ],
    }


def render_summaries(dataset: Dataset, scores: Mapping[str, np.ndarray], budget: float) -> str:
    """What the summary of every video takes, as a Markdown table.

    Args:
        dataset: the videos.
        scores: by video key, [n_steps] float.
        budget: the summary's share of the video.

    Returns:
        One row a video: its length, its summary's, and when the chosen shots begin and end (in seconds, or
        in frames where the file tells no time).
    """
    rows = []
    for key, values in scores.items():
        video = dataset.videos[key]
        found = describe_summary(video, values, budget)
        timed = found['seconds'] is not None
        first, last = ('start', 'end') if timed else ('first_frame', 'last_frame')
        chosen = [shot for shot in found['shots'] if shot['chosen']]
        lengths = (found['seconds'], found['summary_seconds']) if timed else ('–', '–')
        shots = ', '.join(f'{shot[first]:.6g}–{shot[last]:.6g}' for shot in chosen)
        rows.append([video.id, *lengths, shots or 'none: no shot fits the budget'])
    headers = ['video', 'seconds', 'summary', 'chosen shots']
    return tabulate.tabulate(rows, headers, tablefmt='github', floatfmt='.1f')


def second_of(video: Video, frame: int) -> float | None:
    """When a frame begins, in seconds from the first; for `n_frames`, when the last one ends.

    Args:
        video: with `frame_times`, or `fps`, or neither.
        frame: from 0 to `n_frames`.

    Returns:
        Seconds, None where the file tells no time.
    """
    if video.frame_times is None:
        return frame / video.fps if video.fps else None
    if frame < video.n_frames:
        return float(video.frame_times[frame])
    last = float(video.frame_times[-1])
    return last + (1 / video.fps if video.fps else last / max(video.n_frames - 1, 1))


def write_summaries(
    path: str | os.PathLike, dataset: Dataset, scores: Mapping[str, np.ndarray], budget: float
) -> None:
    """Writes `describe_summary` of every scored video as JSON, by video key.

    Args:
        path: the JSON file, replaced where it exists.
        dataset: the videos.
        scores: by video key, [n_steps] float.
        budget: the summary's share of the video.
    """
    write_json(
        path, {key: describe_summary(dataset.videos[key], values, budget) for key, values in scores.items()}
    )
