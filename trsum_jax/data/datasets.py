"""Feature files in the field's layout (`eccv16_dataset_*_google_pool5.h5`): read, merged, written."""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping

import h5py
import numpy as np
from tqdm import tqdm

from trsum_jax.data import annotations, checks
from trsum_jax.data import shots as shots_lib
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import bounds, hdf5_writer
from trsum_jax.data.stored.features import Stored
from trsum_jax.data.stored.hdf5 import DAMAGED, open_file
from trsum_jax.errors import InputError
from trsum_jax.files import shown

SHOT_SOURCES = ('file', 'kts', 'uniform')


def natural_order(key: str) -> list[tuple[int, str]]:
    """Sort key that puts `video_2` before `video_10`.

    Args:
        key: any text.

    Returns:
        Its parts, numbers by value.
    """
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in re.split(r'(\d+)', key)]


def is_generated(path: str | os.PathLike) -> bool:
    """Whether a file is a feature file that says of itself that it was generated.

    Args:
        path: any file.

    Returns:
        False too for what cannot be read.
    """
    try:
        with open_file(path) as file:
            return bool(file.attrs.get('synthetic', False))
    except (InputError, *DAMAGED):
        return False


def is_plain(key: str | bytes) -> bool:
    """Whether a name within an HDF5 file can stand in messages, tables and files: one line of text.

    Args:
        key: as h5py gives it; bytes where they are no text.
    """
    return isinstance(key, str) and shown(key) == key and len(key) <= bounds.LONGEST_TEXT


def _of_all(keys: list[str], videos: Mapping[str, Video]) -> str:
    return f'{len(keys)} of {len(videos)} videos ({", ".join(keys[:3])}{", …" if len(keys) > 3 else ""})'


def _notes(file: h5py.File, videos: dict[str, Video], synthetic: bool) -> list[str]:
    notes = ['the data are synthetic (made by a generator)'] if synthetic else []
    no_picks = [key for key in videos if 'picks' not in set(file[key])]
    if no_picks:
        step = checks.FRAMES_PER_STEP
        notes.append(
            f'picks are missing in {_of_all(no_picks, videos)}: one step every {step} frames is assumed'
        )
    no_users = [key for key, video in videos.items() if video.user_summary is None]
    if no_users:
        notes.append(f'user_summary is missing in {_of_all(no_users, videos)}: no F-score for them')
    features = [video.features for video in videos.values() if video.features is not None]
    if features:
        norm = np.concatenate([np.linalg.norm(rows, axis=1) for rows in features]).mean()
        if not 0.5 <= norm <= 2:
            advice = 'L2-normalise the rows unless this is meant'
            notes.append(f"the features' mean L2 norm is {norm:.3g}, while the field's are about 1: {advice}")
    return notes


def check_file(
    path: str | os.PathLike, *, require_features: bool = True, side: str = '', in_file: bool = False
) -> tuple[Dataset, list[str]]:
    """Reads a feature file as it is and lists all faults of all its videos.

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
    videos, faults, widths = {}, [], {}
    with open_file(path) as file:
        try:
            names = list(file)
            synthetic = bool(file.attrs.get('synthetic', False))
            encoder = (checks.text(file.attrs['encoder']) or None) if 'encoder' in file.attrs else None
        except DAMAGED as error:
            raise InputError(
                f'{shown(path)}: expected an HDF5 file, found a damaged one ({error})'
            ) from error
        keys = sorted(filter(is_plain, names), key=natural_order)
        faults += [
            f'{shown(name)}: expected a name that is plain text' for name in names if not is_plain(name)
        ]
        if not names:
            faults.append('/: expected at least one group such as video_1, found no videos')
        for i, key in enumerate(keys):
            if len(faults) >= bounds.MOST_FAULTS:
                faults.append(f'/: found so many faults that {len(keys) - i} more groups are not looked at')
                break
            try:
                group = file[key]
                features = (
                    group['features'] if isinstance(group, h5py.Group) and 'features' in set(group) else None
                )
                if isinstance(features, h5py.Dataset) and features.ndim == 2:
                    widths[key] = features.shape[1]
            except DAMAGED as error:
                faults.append(f'{key}: expected a group, found a damaged part of the file ({error})')
                continue
            if not isinstance(group, h5py.Group):
                faults.append(f'{key}: expected a group of one video, found an array')
                continue
            video, found = checks.check_video(group, require_features=require_features, side=side)
            faults += [f'{key}/{fault}' for fault in found]
            if video is not None and in_file and video.features is not None:
                features = Stored(path, key, video.features.shape)
                video = dataclasses.replace(video, features=features)
            if video is not None:
                videos[key] = video
        if len(set(widths.values())) > 1:
            usual = collections.Counter(widths.values()).most_common(1)[0][0]
            example = next(key for key, width in widths.items() if width == usual)
            faults += [
                f'{key}/features: expected width {usual} as in {example}, found {width}'
                for key, width in widths.items()
                if width != usual
            ]
        columns = {key: video.side.shape[1] for key, video in videos.items() if video.side is not None}
        faults += [
            f'{key}/{side}: expected {next(iter(columns.values()))} columns as in {next(iter(columns))}, '
            f'found {count}'
            for key, count in columns.items()
            if count != next(iter(columns.values()))
        ]
        notes = _notes(file, videos, synthetic)
    return Dataset(str(path), videos, tuple(notes), synthetic, encoder), faults


def _with_shots(dataset: Dataset, source: str) -> Dataset:
    """The dataset with shots computed where the file has none, or for every video."""
    wanted = [key for key, video in dataset.videos.items() if source != 'file' or video.change_points is None]
    if source != 'uniform':
        blind = [key for key in wanted if dataset.videos[key].features is None]
        if source == 'kts' and blind:
            found = f'none in {_of_all(blind, dataset.videos)}'
            raise InputError(f'{dataset.path}: expected features to compute shots by KTS, found {found}')
        wanted = [key for key in wanted if key not in blind]
    if not wanted:
        return dataset
    videos = dict(dataset.videos)
    for key in tqdm(wanted, 'finding shots', unit='video', delay=1, disable=None, leave=False):
        video = videos[key]
        method = 'uniform' if source == 'uniform' else 'kts'
        features = None if video.features is None else np.asarray(video.features)
        change_points = shots_lib.detect(features, video.picks, video.n_frames, method=method)
        videos[key] = dataclasses.replace(video, change_points=change_points)
    if source == 'file':
        note = f'change_points are missing in {_of_all(wanted, videos)}: shots are computed by KTS'
    else:
        note = f'shots are computed for all videos ({source}), those of the file are not used'
    return dataclasses.replace(dataset, videos=videos, notes=(*dataset.notes, note))


def read_dataset(
    path: str | os.PathLike,
    *,
    require_features: bool = True,
    shots: str = 'file',
    user_scores: str | os.PathLike | None = None,
    side: str = '',
    in_file: bool = False,
) -> Dataset:
    """Reads a feature file of the field, checked as a whole.

    Args:
        path: the HDF5 file, one group a video. `features` alone are enough: picks are then assumed every 15
            frames and shots are computed; the dataset's notes say so.
        require_features: False accepts files of annotations alone, whose videos keep `features` None.
        shots: `file` (KTS where the file has none), `kts` or `uniform` (computed for every video).
        user_scores: TVSum's `ydata-anno.tsv` or `ydata-tvsum50.mat`, which replace scores in the file.
        side: the key of a second modality, `[n_steps, K]`, read into the videos' `side`; none where empty.
        in_file: whether the features stay in the file, for datasets that do not fit the memory.

    Returns:
        The dataset, its videos in natural order of their keys.

    Raises:
        InputError: the first fault of the file and how many more there are.
    """
    if shots not in SHOT_SOURCES:
        raise InputError(f'shots: expected one of {", ".join(SHOT_SOURCES)}, found {shots!r}')
    dataset, faults = check_file(path, require_features=require_features, side=side, in_file=in_file)
    if faults:
        more = ''
        if len(faults) > 1:
            flag = '' if require_features else ' --annotations_only'
            # It knows of no second modality.
            lists = f': `python -m trsum_jax.validate{flag} {path}` lists them all' if not side else ''
            more = f' (and {len(faults) - 1} more{lists})'
        raise InputError(f'{path}: {faults[0]}{more}')
    if user_scores is not None:
        dataset = annotations.merge_user_scores(dataset, user_scores)
    return _with_shots(dataset, shots)


def merge(main: Dataset, extras: Iterable[Dataset]) -> Dataset:
    """Joins further datasets to one, for the field's augmented and transfer settings.

    Args:
        main: the dataset that is evaluated; its keys stay as they are.
        extras: datasets for training, whose videos get the keys `<file stem>/<key>`.

    Returns:
        One dataset: the videos of `main` first, then the extras in order.

    Raises:
        InputError: feature widths, or columns of a second modality, that differ; two files of one name (then
            keys would be ambiguous, and test videos of `main` could come back as training videos).
    """

    def width(dataset: Dataset) -> int | None:
        found = {video.features.shape[1] for video in dataset.videos.values() if video.features is not None}
        return next(iter(found), None)

    def columns(dataset: Dataset) -> int | None:
        return next((v.side.shape[1] for v in dataset.videos.values() if v.side is not None), None)

    videos, notes, stems = dict(main.videos), list(main.notes), {pathlib.Path(main.path).stem: main.path}
    synthetic = main.synthetic
    for extra in extras:
        stem = pathlib.Path(extra.path).stem
        if stem in stems:
            raise InputError(
                f'{extra.path}: expected a file named unlike {stems[stem]}, found the same name {stem}'
            )
        stems[stem] = extra.path
        if width(extra) != width(main):
            expected = f'features of width {width(main)} as in {main.path}'
            raise InputError(f'{extra.path}: expected {expected}, found {width(extra)}')
        if columns(extra) != columns(main):
            expected = f'{columns(main) or "no"} columns of a second modality as in {main.path}'
            raise InputError(f'{extra.path}: expected {expected}, found {columns(extra) or "none"}')
        if extra.encoder != main.encoder:
            encoders = f'{extra.encoder or "not stated"}, of {main.path}: {main.encoder or "not stated"}'
            notes.append(f'{stem}: the features may be of another kind (encoder: {encoders})')
        notes += [f'{stem}: {note}' for note in extra.notes]
        synthetic = synthetic or extra.synthetic
        for key, video in extra.videos.items():
            videos[f'{stem}/{key}'] = dataclasses.replace(video, key=f'{stem}/{key}')
    return dataclasses.replace(main, videos=videos, notes=tuple(notes), synthetic=synthetic)


def _write_video(group: h5py.Group, video: Video) -> None:
    scalars = {
        'n_frames': video.n_frames,
        'n_steps': video.n_steps,
        'fps': video.fps,
        'video_name': video.name,
    }
    arrays = {
        'features': (video.features, np.float32),
        'picks': (video.picks, np.int64),
        'change_points': (video.change_points, np.int64),
        'user_summary': (video.user_summary, np.float32),
        'user_scores': (video.user_scores, np.float32),
        'gtscore': (video.gtscore, np.float32),
        'frame_times': (video.frame_times, np.float64),
        'side': (video.side, np.float32),
    }
    if video.change_points is not None:
        arrays['n_frame_per_seg'] = (video.change_points[:, 1] - video.change_points[:, 0] + 1, np.int64)
    for name, value in scalars.items():
        if value is not None:
            group[name] = value
    for name, (value, dtype) in arrays.items():
        if value is not None:
            packed = {'compression': 'gzip', 'compression_opts': 1} if name.startswith('user_') else {}
            group.create_dataset(name, data=np.asarray(value, dtype), **packed)


def write_dataset(
    path: str | os.PathLike,
    videos: Iterable[Video],
    *,
    synthetic: bool = False,
    encoder: str | None = None,
    attributes: Mapping[str, object] | None = None,
) -> None:
    """Writes videos in the field's layout, whole or not at all.

    Args:
        path: the file, replaced where it exists; its folder is made.
        videos: the videos, taken one at a time; parts that are None are left out.
        synthetic: whether the videos were made by a generator.
        encoder: what made the features.
        attributes: further attributes of the file.

    Raises:
        InputError: a key that is used twice or holds a `/`; the file cannot be written.
    """
    with hdf5_writer.writing(path) as (file, check):
        file.attrs.update({'synthetic': synthetic, **(attributes or {})})
        if encoder is not None:
            file.attrs['encoder'] = encoder
        for video in videos:
            if video.key in file or '/' in video.key:
                raise InputError(f'{path}: expected a key without "/", used once, found {video.key}')
            _write_video(file.create_group(video.key), video)
            check()
