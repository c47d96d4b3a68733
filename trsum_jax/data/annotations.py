"""What people said of videos, as TVSum and SumMe distribute it."""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from trsum_jax.data.foreign import matlab
from trsum_jax.data.foreign.matlab import Judged
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import bounds, hdf5, text_files
from trsum_jax.errors import InputError
from trsum_jax.files import shown

_EXPECTED = 'ydata-anno.tsv or ydata-tvsum50.mat of TVSum, or the folder GT of SumMe'
_NUMBERED = re.compile(r'video_(\d{1,9})')


def _read_tsv(path: pathlib.Path) -> dict[str, np.ndarray]:
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


def is_distributed(path: str | os.PathLike) -> bool:
    """Whether annotations are in the form in which TVSum and SumMe distribute them, not the field's layout.

    Args:
        path: a file or folder.
    """
    path = pathlib.Path(path)
    return path.is_dir() or path.suffix.lower() in ('.mat', '.tsv')


def read_annotations(path: str | os.PathLike) -> dict[str, Video]:
    """Reads what people said of videos, as TVSum and SumMe distribute it.

    Args:
        path: TVSum's `ydata-anno.tsv` (lines `video<TAB>category<TAB>scores by commas`, one line a user and
            video, one score a frame) or `ydata-tvsum50.mat` (struct array `tvsum50`); or SumMe's folder `GT`,
            or one file of it. MATLAB files may be of v5 or v7.3.

    Returns:
        The videos by their own names, in the order of the file: TVSum's with `user_scores`, SumMe's with
        `user_summary` (1 where a user's score is above 0) and `fps`. They have no picks and no features.

    Raises:
        InputError: the file is missing, of another kind or disagrees with itself; ratings that no one gives
            (see `bounds`).
    """
    path = pathlib.Path(path)
    found = _read_folder(path) if path.is_dir() else _read_file(path)
    if not found:
        raise InputError(f'{shown(path)}: expected scores of at least one video, found none')
    videos = {}
    for one in found:
        if len(one.users) > bounds.MOST_USERS or np.abs(one.users).max(initial=0) > bounds.LARGEST_NUMBER:
            expected = f'at most {bounds.MOST_USERS} users and scores up to {bounds.LARGEST_NUMBER:g}'
            said = f'{len(one.users)} users, scores up to {np.abs(one.users).max():g}'
            raise InputError(f'{shown(path)}, video {shown(one.name)}: expected {expected}, found {said}')
        if one.name in videos:
            raise InputError(f'{shown(path)}: expected every video once, found {shown(one.name)} twice')
        users = {'user_summary' if one.is_summary else 'user_scores': one.users}
        none = np.zeros(0, np.int64)
        videos[one.name] = Video(one.name, none, one.users.shape[1], name=one.name, fps=one.fps, **users)
    return videos


def _read_file(path: pathlib.Path) -> list[Judged]:
    hdf5.regular(path, _EXPECTED)
    if matlab.is_mat(path) or hdf5.is_hdf5(path):
        return matlab.read_mats([path])[0]
    return [Judged(name, users, False, None) for name, users in _read_tsv(path).items()]


def _read_folder(path: pathlib.Path) -> list[Judged]:
    try:
        files = sorted(one for one in path.iterdir() if one.suffix.lower() == '.mat' and one.name[0] != '.')
        within = [one.name for one in path.iterdir() if one.name.lower() == 'gt' and one.is_dir()]
    except OSError as error:
        raise InputError(f'{shown(path)}: expected a folder that can be read ({error})') from error
    if not files:
        advice = f'; give its folder {within[0]}' if within else ''
        raise InputError(
            f"{shown(path)}: expected SumMe's folder GT, with a .mat file for each video, found no such "
            f'file in it{advice}'
        )
    found = []
    for file, judged in zip(files, matlab.read_mats(files), strict=True):
        one, *more = judged or [None]
        if more or one is None or not one.is_summary:
            raise InputError(
                f"{shown(file)}: expected a file of SumMe's folder GT, with user_score, found TVSum's struct "
                'tvsum50; give that file itself, not its folder'
            )
        found.append(one)
    return found


def as_dataset(path: str | os.PathLike) -> Dataset:
    """What `read_annotations` reads, as a dataset without steps, features and shots.

    Args:
        path: as there.

    Returns:
        The dataset, its videos' keys being their names.

    Raises:
        InputError: as there.
    """
    return Dataset(shown(path), read_annotations(path))


def bare_name(name: str) -> str:
    """A video's name without folders and suffix: `extract` keeps the file's name, TVSum has the id alone."""
    bare = re.sub(r'(?<=.)\.[A-Za-z0-9]{1,5}$', '', re.split(r'[/\\]', name.strip())[-1])
    # SumMe's films and files have one or the other.
    return bare.replace(' ', '_')


def _own_name(video: Video) -> str | None:
    """What a video is called beside its number; None where it has nothing but its number."""
    names = (name.strip() for name in (video.name, video.key) if name)
    return next((name for name in names if name and not _NUMBERED.fullmatch(name)), None)


def _matches(dataset: Dataset, scores: Mapping[str, Video], path: str) -> dict[str, str]:
    """Key to the name in the score file, by name or, where no video has one, by position."""
    names = {key: _own_name(video) for key, video in dataset.videos.items()}
    # Files in a folder have no order but that of their names.
    ordered = not any(video.user_summary is not None for video in scores.values())
    if ordered and not any(names.values()):
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
            f'{shown(next(iter(scores)))}. {_advice(scores, ordered)}'
        )
    shared = collections.Counter(found.values())
    if twice := [dataset.videos[key].id for key, name in found.items() if shared[name] > 1]:
        raise InputError(
            f'{path}: expected scores of its own for every video of {dataset.path}, found one name for '
            f'{" and ".join(twice[:5])}, without folder and suffix; leave one of them out, or rename it'
        )
    return found


def _advice(scores: Mapping[str, Video], ordered: bool) -> str:
    if ordered:
        return 'By position they are matched only where no video has a name'
    if len(scores) == 1:
        return 'That is one file: for more than its video give the folder GT that it came in'
    return 'Each file of a folder GT is called as its video is, and SumMe has no order to go by'


def merge_user_scores(dataset: Dataset, path: str | os.PathLike) -> Dataset:
    """Gives every video of TVSum its users' scores, or of SumMe its users' summaries.

    A video is found by its own name, `ID` or `ID.mp4`. Where no video has a name, `video_k` is the k-th video
    of TVSum's file, and a note says so.

    Args:
        dataset: the videos; what they hold already of the same kind is replaced.
        path: a file or folder for `read_annotations`.

    Returns:
        The dataset with `user_scores`, or `user_summary`, for every video.

    Raises:
        InputError: a video without scores, or with scores for another number of frames.
    """
    scores, path = read_annotations(path), shown(path)
    videos, matches = {}, _matches(dataset, scores, path)
    for key, video in dataset.videos.items():
        name = matches[key]
        judged = scores[name]
        if judged.n_frames != video.n_frames:
            expected = f'{video.n_frames} scores a user for {video.id} (n_frames in {dataset.path})'
            raise InputError(f'{path}: expected {expected}, found {judged.n_frames} under {shown(name)}')
        told = {'user_scores': judged.user_scores, 'user_summary': judged.user_summary}
        given = {part: users for part, users in told.items() if users is not None}
        videos[key] = dataclasses.replace(video, **given)
    kind = 'user summaries' if any(one.user_summary is not None for one in scores.values()) else 'user scores'
    note = f'{kind} are taken from {path}'
    if not any(map(_own_name, dataset.videos.values())):
        note += ' by position, video_k being its k-th video: no video has a name'
    return dataclasses.replace(dataset, videos=videos, notes=(*dataset.notes, note))
