"""TVSum's per-user scores as distributed: `ydata-anno.tsv` or `ydata-tvsum50.mat`."""

import dataclasses
import os
import pathlib
import re

import h5py
import numpy as np

from trsum_jax.data import checks
from trsum_jax.data.records import Dataset
from trsum_jax.errors import InputError

UserScores = dict[str, np.ndarray]


def _read_tsv(path: pathlib.Path) -> UserScores:
    rows: dict[str, list[np.ndarray]] = {}
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f'{path}: expected tab-separated text or a MATLAB v7.3 file, found neither'
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.split('\t')
        if len(fields) != 3:
            expected = 'three fields divided by tabs (video, category, scores)'
            raise InputError(f'{path}, line {number}: expected {expected}, found {len(fields)}')
        try:
            scores = np.array(fields[2].split(','), np.float32)
        except ValueError as error:
            raise InputError(f'{path}, line {number}: expected scores divided by commas: {error}') from error
        if not np.isfinite(scores).all():
            raise InputError(f'{path}, line {number}: expected finite scores, found NaN or infinity')
        users = rows.setdefault(fields[0].strip(), [])
        if users and len(users[0]) != len(scores):
            expected = f'{len(users[0])} scores as in the lines of {fields[0]} before'
            raise InputError(f'{path}, line {number}: expected {expected}, found {len(scores)}')
        users.append(scores)
    return {video: np.stack(users) for video, users in rows.items()}


def _read_mat(path: pathlib.Path) -> UserScores:
    scores = {}
    with checks.open_file(path) as file:
        try:
            table = file['tvsum50']
            names, annotations, lengths = (
                [file[ref][()] for ref in table[field][()].flat]
                for field in ('video', 'user_anno', 'nframes')
            )
            names = [''.join(chr(int(code)) for code in np.ravel(codes)) for codes in names]
            videos = list(zip(names, annotations, [int(np.ravel(n)[0]) for n in lengths], strict=True))
        except (*checks.DAMAGED, ValueError, TypeError, AttributeError, IndexError) as error:
            expected = 'the struct tvsum50 with the fields video, user_anno and nframes'
            raise InputError(f'{path}: expected {expected}, found {error}') from error
    for name, users, n_frames in videos:
        if users.ndim != 2 or n_frames not in users.shape:
            expected = f'[users, {n_frames}] (nframes)'
            raise InputError(
                f'{path}, video {name}, user_anno: expected {expected}, found shape {users.shape}'
            )
        scores[name] = (users if users.shape[1] == n_frames else users.T).astype(np.float32)
        if not np.isfinite(scores[name]).all():
            raise InputError(
                f'{path}, video {name}, user_anno: expected finite scores, found NaN or infinity'
            )
    return scores


def read_user_scores(path: str | os.PathLike) -> UserScores:
    """Reads TVSum's importance ratings.

    Args:
        path: `ydata-anno.tsv` (lines `video<TAB>category<TAB>scores by commas`, one line a user and video,
            one score a frame) or `ydata-tvsum50.mat` (MATLAB v7.3, struct array `tvsum50`).

    Returns:
        For every video by its YouTube id, in the order of the file: [n_users, n_frames] float32.

    Raises:
        InputError: the file is missing, of another kind or disagrees with itself.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f'{path}: expected ydata-anno.tsv or ydata-tvsum50.mat of TVSum, found no such file')
    is_mat = path.suffix == '.mat' or h5py.is_hdf5(path)
    scores = _read_mat(path) if is_mat else _read_tsv(path)
    if not scores:
        raise InputError(f'{path}: expected scores of at least one video, found none')
    return scores


def merge_user_scores(dataset: Dataset, path: str | os.PathLike) -> Dataset:
    """Gives every video of a TVSum file its users' scores.

    A video is found by its own name where the score file knows it; otherwise `video_k` is the k-th video of
    the score file.

    Args:
        dataset: the videos; scores that they hold already are replaced.
        path: a file for `read_user_scores`.

    Returns:
        The dataset with `user_scores` for every video.

    Raises:
        InputError: a video without scores, or with scores for another number of frames.
    """
    scores = read_user_scores(path)
    in_order, videos = list(scores), {}
    for key, video in dataset.videos.items():
        number = re.fullmatch(r'video_(\d+)', key)
        if video.name in scores:
            name = video.name
        elif number and 1 <= int(number[1]) <= len(in_order):
            name = in_order[int(number[1]) - 1]
        else:
            expected = (
                f'scores of {video.id} of {dataset.path}, by its name or as video_1 to video_{len(in_order)}'
            )
            raise InputError(f'{path}: expected {expected}, found none')
        n_frames = scores[name].shape[1]
        if n_frames != video.n_frames:
            expected = f'{video.n_frames} scores a user for {video.id} (n_frames in {dataset.path})'
            raise InputError(f'{path}: expected {expected}, found {n_frames} under {name}')
        videos[key] = dataclasses.replace(video, user_scores=scores[name])
    note = f'user scores are taken from {path}'
    return dataclasses.replace(dataset, videos=videos, notes=(*dataset.notes, note))
