"""TVSum's per-user scores as distributed: `ydata-anno.tsv` or `ydata-tvsum50.mat`."""

import collections
import dataclasses
import os
import pathlib
import re

import h5py
import numpy as np

from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import bounds, hdf5, text_files
from trsum_jax.errors import InputError
from trsum_jax.files import shown

UserScores = dict[str, np.ndarray]
_EXPECTED = 'ydata-anno.tsv or ydata-tvsum50.mat of TVSum'
_NUMBERED = re.compile(r'video_(\d{1,9})')


def _read_tsv(path: pathlib.Path) -> UserScores:
    rows: dict[str, list[np.ndarray]] = {}
    lines = text_files.read_text(path, _EXPECTED, bounds.LARGEST_TABLE).splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f'{shown(path)}, line {number}'
        fields = line.split('\t')
        if len(fields) != 3:
            expected = 'three fields divided by tabs (video, category, scores)'
            raise InputError(f'{where}: expected {expected}, found {len(fields)}')
        try:
            with np.errstate(over='ignore'):
                scores = np.array(fields[2].split(','), np.float32)
        except ValueError as error:
            raise InputError(f'{where}: expected scores divided by commas: {str(error)[:200]}') from error
        if not np.isfinite(scores).all():
            raise InputError(f'{where}: expected finite scores, found NaN or infinity')
        users = rows.setdefault(fields[0].strip(), [])
        if users and len(users[0]) != len(scores):
            expected = f'{len(users[0])} scores as in the lines of {shown(fields[0].strip())} before'
            raise InputError(f'{where}: expected {expected}, found {len(scores)}')
        users.append(scores)
    return {video: np.stack(users) for video, users in rows.items()}


def _read_mat(path: pathlib.Path) -> UserScores:
    scores = {}
    with hdf5.open_file(path) as file:
        try:
            fields = {name: _referred(file, name) for name in ('video', 'user_anno', 'nframes')}
            names = [''.join(chr(int(code)) for code in np.ravel(codes)) for codes in fields['video']]
            lengths = [int(np.ravel(n)[0]) for n in fields['nframes']]
            videos = list(zip(names, fields['user_anno'], lengths, strict=True))
            if len(set(names)) < len(names):
                raise ValueError('a video twice')
        except hdf5.DAMAGED as error:
            expected = 'the struct tvsum50 with the fields video, user_anno and nframes'
            raise InputError(f'{shown(path)}: expected {expected}, found {error}') from error
    for name, users, n_frames in videos:
        where = f'{shown(path)}, video {shown(name)}, user_anno'
        if users.ndim != 2 or n_frames not in users.shape:
            expected = f'[users, {n_frames}] (nframes)'
            raise InputError(f'{where}: expected {expected}, found shape {users.shape}')
        with np.errstate(over='ignore'):
            scores[name] = (users if users.shape[1] == n_frames else users.T).astype(np.float32)
        if not np.isfinite(scores[name]).all():
            raise InputError(f'{where}: expected finite scores, found NaN or infinity')
    return scores


def _referred(file: h5py.File, field: str) -> list[np.ndarray]:
    """What the struct's references refer to: each array once, so that all fit where each does."""
    references = file['tvsum50'][field]
    if references.shape is None:
        raise ValueError(f'an empty data space as {field}')
    if references.size > bounds.MOST_REFERENCES:
        raise ValueError(f'{references.size} videos')
    found, seen = [], set()
    for reference in references[()].flat:
        item = file[reference]
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in 'biuf' or item.size > _most(field):
            raise ValueError(f'{field} other than numbers')
        if (address := h5py.h5o.get_info(item.id).addr) in seen and field == 'user_anno':
            raise ValueError('one user_anno for two videos')
        seen.add(address)
        found.append(item[()])
    return found


def _most(field: str) -> int:
    """Numbers of one video in a field."""
    return bounds.MOST_USERS * bounds.MOST_FRAMES if field == 'user_anno' else bounds.LONGEST_TEXT


def read_user_scores(path: str | os.PathLike) -> UserScores:
    """Reads TVSum's importance ratings.

    Args:
        path: `ydata-anno.tsv` (lines `video<TAB>category<TAB>scores by commas`, one line a user and video,
            one score a frame) or `ydata-tvsum50.mat` (MATLAB v7.3, struct array `tvsum50`).

    Returns:
        For every video by its YouTube id, in the order of the file: [n_users, n_frames] float32.

    Raises:
        InputError: the file is missing, of another kind or disagrees with itself; ratings that no one gives
            (see `bounds`).
    """
    path = pathlib.Path(path)
    hdf5.regular(path, _EXPECTED)
    is_mat = path.suffix.lower() == '.mat' or hdf5.is_hdf5(path)
    scores = _read_mat(path) if is_mat else _read_tsv(path)
    if not scores:
        raise InputError(f'{shown(path)}: expected scores of at least one video, found none')
    for name, users in scores.items():
        if len(users) > bounds.MOST_USERS or np.abs(users).max(initial=0) > bounds.LARGEST_NUMBER:
            expected = f'at most {bounds.MOST_USERS} users and scores up to {bounds.LARGEST_NUMBER:g}'
            found = f'{len(users)} users, scores up to {np.abs(users).max():g}'
            raise InputError(f'{shown(path)}, video {shown(name)}: expected {expected}, found {found}')
    return scores


def bare_name(name: str) -> str:
    """A video's name without folders and suffix: `extract` keeps the file's name, TVSum has the id alone."""
    return re.sub(r'(?<=.)\.[A-Za-z0-9]{1,5}$', '', re.split(r'[/\\]', name.strip())[-1])


def _own_name(video: Video) -> str | None:
    """What a video is called beside its number; None where it has nothing but its number."""
    names = (name.strip() for name in (video.name, video.key) if name)
    return next((name for name in names if name and not _NUMBERED.fullmatch(name)), None)


def _matches(dataset: Dataset, scores: UserScores, path: str) -> dict[str, str]:
    """Key to the name in the score file, by name or, where no video has one, by position."""
    names = {key: _own_name(video) for key, video in dataset.videos.items()}
    if not any(names.values()):
        in_order, found = list(scores), {}
        for key, video in dataset.videos.items():
            numbered = _NUMBERED.fullmatch(key.strip())
            number = int(numbered[1]) if numbered else 0
            if not 1 <= number <= len(in_order):
                expected = f'scores of {video.id} of {dataset.path}, by its name or as video_1 to '
                raise InputError(f'{path}: expected {expected}video_{len(in_order)}, found none')
            found[key] = in_order[number - 1]
        return found
    times = collections.Counter(map(bare_name, scores))
    bare = {bare_name(name): name for name in scores}
    found = {
        key: name if name in scores else bare[bare_name(name)]
        for key, name in names.items()
        if name is not None and (name in scores or times[bare_name(name)] == 1)
    }
    if without := [video.id for key, video in dataset.videos.items() if key not in found]:
        listed = ', '.join(without[:5]) + (', …' if len(without) > 5 else '')
        raise InputError(
            f'{path}: expected scores of every video of {dataset.path} by its name, without folder and '
            f'suffix, found none of {len(without)} of {len(names)}: {listed}. The names there are such as '
            f'{shown(next(iter(scores)))}. By position they are matched only where no video has a name'
        )
    shared = collections.Counter(found.values())
    if twice := [dataset.videos[key].id for key, name in found.items() if shared[name] > 1]:
        raise InputError(
            f'{path}: expected scores of its own for every video of {dataset.path}, found one name for '
            f'{" and ".join(twice[:5])}, without folder and suffix; leave one of them out, or rename it'
        )
    return found


def merge_user_scores(dataset: Dataset, path: str | os.PathLike) -> Dataset:
    """Gives every video of a TVSum file its users' scores.

    A video is found by its own name, `ID` or `ID.mp4`. Where no video has a name, `video_k` is the k-th video
    of the score file, and a note says so.

    Args:
        dataset: the videos; scores that they hold already are replaced.
        path: a file for `read_user_scores`.

    Returns:
        The dataset with `user_scores` for every video.

    Raises:
        InputError: a video without scores, or with scores for another number of frames.
    """
    scores, path = read_user_scores(path), shown(path)
    videos, matches = {}, _matches(dataset, scores, path)
    for key, video in dataset.videos.items():
        name = matches[key]
        n_frames = scores[name].shape[1]
        if n_frames != video.n_frames:
            expected = f'{video.n_frames} scores a user for {video.id} (n_frames in {dataset.path})'
            raise InputError(f'{path}: expected {expected}, found {n_frames} under {shown(name)}')
        videos[key] = dataclasses.replace(video, user_scores=scores[name])
    note = f'user scores are taken from {path}'
    if not any(map(_own_name, dataset.videos.values())):
        note += ' by position, video_k being its k-th video: no video has a name'
    return dataclasses.replace(dataset, videos=videos, notes=(*dataset.notes, note))
