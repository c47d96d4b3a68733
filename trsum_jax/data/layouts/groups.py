"""HDF5 files with a group for each video: the field's layout, Mr. HiSum's, and TripleSumm's annotations."""

import collections
import dataclasses
import os
import pathlib
import re
from concurrent.futures import Future, ThreadPoolExecutor

import h5py
import numpy as np

from trsum_jax.data import checks
from trsum_jax.data.checks import Checked
from trsum_jax.data.layouts.shot_ends import are_half_open, check_shots
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import bounds
from trsum_jax.data.stored.features import Stored, digest_of
from trsum_jax.data.stored.hdf5 import DAMAGED, open_file
from trsum_jax.errors import InputError
from trsum_jax.files import shown


def natural_order(key: str) -> list[tuple[int, str]]:
    """Sort key that puts `video_2` before `video_10`.

    Args:
        key: any text.

    Returns:
        Its parts, numbers by value.
    """
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in re.split(r'(\d+)', key)]


def is_plain(key: str | bytes) -> bool:
    """Whether a name within a file can stand in messages, tables and files: one line of text.

    Args:
        key: as h5py gives it; bytes where they are no text.
    """
    return isinstance(key, str) and shown(key) == key and len(key) <= bounds.LONGEST_TEXT


def finish(
    checked: Checked, half_open: bool = False, one_reference: bool = False
) -> tuple[Video | None, list[str]]:
    """One video of a file of which everything is known.

    Args:
        checked: from `checks.read_video`.
        half_open: whether the file's shots are `[a, b)`.
        one_reference: whether the file has no people, so that its one rating and its one summary of each
            video stand in their place: `user_scores` and `user_summary` of one row, each step's value held
            until the next step.

    Returns:
        The video (None where it has a fault), and the faults as `key: expected …, found …`.
    """
    shots, faults = check_shots(checked.shots, half_open)
    video, after = checked.video, list(checked.after)
    name, summary = checked.summary if one_reference and checked.summary else ('', None)
    if summary is not None and (other := (summary != 0) & (summary != 1)).any():
        step = int(np.flatnonzero(other)[0])
        found = f'{summary[step]} (step {step})'
        after.append(f"{name}: expected only 0 and 1, as it stands for people's summaries, found {found}")
    faults = [*checked.before, *dict.fromkeys(faults), *after]
    if video is None or faults:
        return None, faults
    video = dataclasses.replace(video, change_points=shots)
    if one_reference and video.gtscore is not None:
        video = dataclasses.replace(video, user_scores=_held(video, video.gtscore))
    if summary is not None:
        video = dataclasses.replace(video, user_summary=_held(video, summary))
    return video, []


def _held(video: Video, values: np.ndarray) -> np.ndarray:
    """[1, n_frames] float32: each step's value until the next step; 0 before the first."""
    held = np.zeros((1, video.n_frames), np.float32)
    held[0, video.picks[0] :] = np.repeat(values, np.diff(video.picks, append=video.n_frames))
    return held


def read_groups(
    path: str | os.PathLike, *, require_features: bool = True, side: str = '', in_file: bool = False
) -> tuple[Dataset, list[str]]:
    """Reads a file of groups as it is and lists all faults of all its videos.

    Args:
        path: the HDF5 file, one group a video.
        require_features: whether missing features are a fault.
        side: the key of a second modality, read into the videos' `side`; none where empty.
        in_file: whether the features stay in the file once they are checked (`stored.Stored`).

    Returns:
        The dataset of the sound videos in natural order of their keys, nothing computed or merged; and the
        faults, as `video/key: expected …, found …`.

    Raises:
        InputError: the file cannot be opened as HDF5 at all.
    """
    path = pathlib.Path(path)
    # Hashing does not hold the interpreter's lock, so the next video is read meanwhile.
    with open_file(path) as file, ThreadPoolExecutor(1) as beside:
        try:
            names = list(file)
            synthetic = bool(file.attrs.get('synthetic', False))
            encoder = (checks.text(file.attrs['encoder']) or None) if 'encoder' in file.attrs else None
        except DAMAGED as error:
            raise InputError(
                f'{shown(path)}: expected an HDF5 file, found a damaged one ({error})'
            ) from error
        keys = sorted(filter(is_plain, names), key=natural_order)
        strange = [
            f'{shown(name)}: expected a name that is plain text' for name in names if not is_plain(name)
        ]
        if not names:
            strange.append('/: expected at least one group such as video_1, found no videos')
        read: dict[str, Checked] = {}
        widths: dict[str, int] = {}
        others: dict[str, str] = {}
        digest: Future[str] | None = None
        n_faults, n_left = len(strange), 0
        for i, key in enumerate(keys):
            if n_faults >= bounds.MOST_FAULTS:
                n_left = len(keys) - i
                break
            group, held, fault = _group(file, key)
            if fault:
                others[key] = fault
                n_faults += 1
                continue
            checked = checks.read_video(group, held, require_features=require_features, side=side)
            n_faults += len(checked.before) + len(checked.after)
            features = None if checked.video is None else checked.video.features
            width = _width(group, held) if features is None else features.shape[1]
            if width is not None:
                widths[key] = width
            if in_file and features is not None:
                if digest is not None:
                    # Two videos are in memory, not all that the thread has not come to.
                    digest.result()
                digest = beside.submit(digest_of, features)
                stored = Stored(path, key, features.shape, digest, group['features'])
                checked = checked._replace(video=dataclasses.replace(checked.video, features=stored))
            read[key] = checked
    half_open = are_half_open(checked.shots for checked in read.values())
    one_reference = not any(checked.video.has_users for checked in read.values() if checked.video)
    videos, faults = {}, strange
    for i, key in enumerate(keys[: len(keys) - n_left]):
        if len(faults) >= bounds.MOST_FAULTS and not n_left:
            n_left = len(keys) - i
            break
        if key in others:
            faults.append(f'{key}: {others[key]}')
            continue
        video, found = finish(read[key], half_open, one_reference)
        faults += [f'{key}/{fault}' for fault in found]
        if video is not None:
            videos[key] = video
    if n_left:
        faults.append(f'/: found so many faults that {n_left} more groups are not looked at')
    faults += _of_widths(videos, widths, side)
    sound = {key: read[key] for key in videos}
    notes = ['the data are synthetic (made by a generator)'] if synthetic else []
    notes += _notes(sound, videos, half_open, one_reference)
    return Dataset(str(path), videos, tuple(notes), synthetic, encoder), faults


def _group(file: h5py.File, key: str) -> tuple[h5py.Group | None, set[str], str]:
    """The group of a video and the names in it, or what is wrong."""
    try:
        group = file[key]
        held = set(group) if isinstance(group, h5py.Group) else None
    except DAMAGED as error:
        return None, set(), f'expected a group, found a damaged part of the file ({error})'
    if held is None:
        beside = 'arrays by id go beside a file of annotations, as data.features or --features'
        return None, set(), f'expected a group of one video, found an array; {beside}'
    return group, held, ''


def _width(group: h5py.Group, held: set[str]) -> int | None:
    """Columns of the features, whatever else is wrong with them."""
    try:
        features = group['features'] if 'features' in held else None
        is_table = isinstance(features, h5py.Dataset) and features.ndim == 2
        return features.shape[1] if is_table else None
    except DAMAGED:
        return None


def _of_widths(videos: dict[str, Video], widths: dict[str, int], side: str) -> list[str]:
    faults = []
    if len(set(widths.values())) > 1:
        usual = collections.Counter(widths.values()).most_common(1)[0][0]
        example = next(key for key, width in widths.items() if width == usual)
        faults += [
            f'{key}/features: expected width {usual} as in {example}, found {width}'
            for key, width in widths.items()
            if width != usual
        ]
    columns = {key: video.side.shape[1] for key, video in videos.items() if video.side is not None}
    return faults + [
        f'{key}/{side}: expected {next(iter(columns.values()))} columns as in {next(iter(columns))}, '
        f'found {count}'
        for key, count in columns.items()
        if count != next(iter(columns.values()))
    ]


def of_all(keys: list[str], n_videos: int) -> str:
    """Some of a file's videos, in words.

    Args:
        keys: theirs.
        n_videos: of the file.

    Returns:
        Such as `2 of 25 videos (video_1, video_7)`.
    """
    return f'{len(keys)} of {n_videos} videos ({", ".join(keys[:3])}{", …" if len(keys) > 3 else ""})'


def _notes(
    read: dict[str, Checked], videos: dict[str, Video], half_open: bool, one_reference: bool
) -> list[str]:
    notes, n = [], len(read)
    for assumed in sorted({checked.assumed for checked in read.values()} - {''}):
        where = of_all([key for key, checked in read.items() if checked.assumed == assumed], n)
        if assumed == 'every':
            notes.append(
                f'picks and n_frames are missing in {where}: every step is taken for a frame, one a second'
            )
        else:
            step = f'one step every {checks.FRAMES_PER_STEP} frames is assumed'
            notes.append(f'picks are missing in {where}: {step}')
    if half_open and any(video.change_points is not None for video in videos.values()):
        notes.append('the shots are half-open, [a, b), by all change_points of the file: b begins the next')
    if one_reference and any(video.has_users for video in videos.values()):
        names = {'user_scores': 'rating (gtscore)', 'user_summary': 'summary (gt_summary)'}
        have = [
            said
            for name, said in names.items()
            if any(getattr(video, name) is not None for video in videos.values())
        ]
        notes.append(f'there are no people: one {" and one ".join(have)} of each video stand in their place')
    no_users = [key for key, video in videos.items() if video.user_summary is None]
    if no_users:
        notes.append(f'user_summary is missing in {of_all(no_users, n)}: no F-score for them')
    steps = sum(video.n_steps for video in videos.values() if video.features is not None)
    if steps:
        norm = sum(checked.norms for checked in read.values()) / steps
        if not 0.5 <= norm <= 2:
            advice = 'L2-normalise the rows unless this is meant'
            notes.append(f"the features' mean L2 norm is {norm:.3g}, while the field's are about 1: {advice}")
    return notes
