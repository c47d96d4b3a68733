"""Files of videos in any layout of the field: read; in one (`eccv16_dataset_*_google_pool5.h5`): written."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import h5py
import numpy as np
from tqdm import tqdm

from trsum_jax.data import annotations
from trsum_jax.data import shots as shots_lib
from trsum_jax.data.layouts import groups, modalities
from trsum_jax.data.layouts.videoxum import is_json, read_videoxum
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import hdf5_writer
from trsum_jax.data.stored.hdf5 import DAMAGED, open_file
from trsum_jax.errors import InputError

SHOT_SOURCES = ('file', 'kts', 'uniform')


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


def check_file(
    path: str | os.PathLike,
    *,
    require_features: bool = True,
    side: str = '',
    in_file: bool = False,
    features: Sequence[str] = (),
) -> tuple[Dataset, list[str]]:
    """Reads a file of videos as it is, in the layout that it turns out to have, and lists all faults.

    Args:
        path: HDF5 with a group for each video, or VideoXum's JSON; see `read_dataset`.
        require_features: whether missing features are a fault.
        side: the second modality, read into the videos' `side`: a key in each video's group, or a file of
            arrays by id, as in `features`; none where empty.
        in_file: whether the features stay in their files once they are checked (`stored.Stored`).
        features: files of arrays by id, whose columns stand beside the features that the videos have.

    Returns:
        The dataset of the sound videos, nothing computed or merged, in natural order of their keys; and the
        faults, as `video/key: expected …, found …`.

    Raises:
        InputError: a file that cannot be opened at all, or that lacks videos of this one.
    """
    beside = side if modalities.is_file_of_arrays(side) else ''
    if is_json(path):
        dataset, faults = read_videoxum(path)
        if side and not beside:
            faults.append(f'/: expected a file of arrays by id as a second modality, found the key {side}')
        if require_features and not features:
            words = 'features of each video in files of their own, as data.features or --features, found none'
            faults.append(f'/: expected {words}')
    else:
        required = require_features and not features
        key = '' if beside else side
        dataset, faults = groups.read_groups(path, require_features=required, side=key, in_file=in_file)
    if features and dataset.videos:
        dataset, found = modalities.add_features(dataset, features, in_file=in_file)
        faults += found
    if beside and dataset.videos:
        dataset, found = modalities.add_side(dataset, beside)
        faults += found
    return dataset, faults


def _with_shots(dataset: Dataset, source: str) -> Dataset:
    """The dataset with shots computed where the file has none, or for every video."""
    wanted = [key for key, video in dataset.videos.items() if source != 'file' or video.change_points is None]
    if source != 'uniform':
        blind = [key for key in wanted if dataset.videos[key].features is None]
        if source == 'kts' and blind:
            found = f'none in {groups.of_all(blind, len(dataset.videos))}'
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
        note = f'change_points are missing in {groups.of_all(wanted, len(videos))}: shots are computed by KTS'
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
    features: Sequence[str] = (),
) -> Dataset:
    """Reads a file of videos, checked as a whole.

    Args:
        path: HDF5 with a group for each video. `features` alone are enough: picks are then assumed every 15
            frames and shots are computed. With annotations by frames but no picks and no n_frames (Mr. HiSum,
            TripleSumm) steps are frames. Or VideoXum's JSON. The dataset's notes say all this.
        require_features: False accepts files of annotations alone, whose videos keep `features` None.
        shots: `file` (KTS where the file has none), `kts` or `uniform` (computed for every video).
        user_scores: TVSum's `ydata-anno.tsv` or `ydata-tvsum50.mat`, which replace scores in the file.
        side: the second modality, `[n_steps, K]`, as in `check_file`.
        in_file: whether the features stay in the file, for datasets that do not fit the memory.
        features: files of further features, as in `check_file`.

    Returns:
        The dataset, its videos in natural order of their keys.

    Raises:
        InputError: the first fault of the file and how many more there are.
    """
    if shots not in SHOT_SOURCES:
        raise InputError(f'shots: expected one of {", ".join(SHOT_SOURCES)}, found {shots!r}')
    dataset, faults = check_file(
        path, require_features=require_features, side=side, in_file=in_file, features=features
    )
    if faults:
        more = ''
        if len(faults) > 1:
            flag = '' if require_features else ' --annotations_only'
            flag += ''.join(f' --features={one}' for one in features)
            # It knows of no second modality.
            lists = f': `python -m trsum_jax.validate{flag} {path}` lists them all' if not side else ''
            more = f' (and {len(faults) - 1} more{lists})'
        if faults[0].endswith('/features: expected [n_steps, D] float32, found no such key'):
            more += '; features in files of their own are named by data.features, or --features'
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
    overwrite: bool = True,
) -> None:
    """Writes videos in the field's layout, whole or not at all.

    Args:
        path: the file, replaced where it exists; its folder is made.
        videos: the videos, taken one at a time; parts that are None are left out.
        synthetic: whether the videos were made by a generator.
        encoder: what made the features.
        attributes: further attributes of the file.
        overwrite: as in `files.replacing`.

    Raises:
        InputError: a key that is used twice or holds a `/`; the file cannot be written.
    """
    with hdf5_writer.writing(path, overwrite=overwrite) as (file, check):
        file.attrs.update({'synthetic': synthetic, **(attributes or {})})
        if encoder is not None:
            file.attrs['encoder'] = encoder
        for video in videos:
            if video.key in file or '/' in video.key:
                raise InputError(f'{path}: expected a key without "/", used once, found {video.key}')
            _write_video(file.create_group(video.key), video)
            check()
