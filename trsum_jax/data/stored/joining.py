"""Anybody's arrays of videos joined with a file of annotations: found by id, and checked together."""

import dataclasses
import re
from collections.abc import Container, Sequence
from typing import NamedTuple

import h5py
import numpy as np

from trsum_jax.data import checks
from trsum_jax.data.layouts import groups
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.scores import listing
from trsum_jax.data.stored import bounds
from trsum_jax.data.stored.arrays import Arrays, without_ending
from trsum_jax.errors import InputError
from trsum_jax.files import shown

# What holds a video's features and picks where nothing is said of it.
FEATURES, PICKS = 'features', 'picks'
# Stands for the one whole number of frames a step that fits a video's length.
FITTING = 'fit'
# Behind a video's id in a name: `ID/audio.npy`, `ID_embeddings.npy`.
_DIVIDERS = '/_.'
# Of a picture's time, in frames: rates and frames per second are seldom exact.
_MARGIN = 1e-6


class Steps(NamedTuple):
    """Which frame each row of features is of; one of these at most.

    Attributes:
        picks: the arrays that hold the frames.
        rate: rows a second.
        every: frames from one row to the next, or `FITTING`.
    """

    picks: str | None = None
    rate: float | None = None
    every: int | str | None = None


class Chosen(NamedTuple):
    """The arrays of one video.

    Attributes:
        video: its annotations.
        features: the name of its features.
        picks: the name of its picks; None where they are computed.
    """

    video: Video
    features: str
    picks: str | None


class _Fault(Exception):
    """What is wrong with one video, in words."""


def _alike(name: str) -> str:
    """A name with its spaces as files often have them."""
    return re.sub(r'[ _]+', '_', name.strip())


def _ids(dataset: Dataset) -> dict[str, set[str]]:
    """What each video may be called: its key, and its own name with and without a film's ending."""
    keys: dict[str, set[str]] = {}
    for key, video in dataset.videos.items():
        own = (video.name or '').strip()
        for one in {key, own, without_ending(own)}:
            if one:
                keys.setdefault(_alike(one), set()).add(key)
    return keys


def choose(
    arrays: Arrays,
    dataset: Dataset,
    where: str,
    steps: Steps,
    *,
    array: str | None = None,
    partial: bool = False,
    beside: bool = False,
) -> tuple[list[Chosen], list[str]]:
    """Finds each video's arrays by its key (`video_1`) or its own name.

    Args:
        arrays: from `find_arrays`.
        dataset: the annotations.
        where: the arrays' place, for messages.
        steps: names the picks; where it says nothing at all, arrays called `picks` are taken.
        array: what stands behind the id in the name of the features (`embeddings` of `ID_embeddings.npy`);
            where None, `features`, or the array that is called by the id alone, or the only one.
        partial: whether videos without arrays, and arrays without a video, are left out.
        beside: whether the arrays may be of more videos than these: those without a video are passed over,
            and messages name an array as `WHERE:NAME`.

    Returns:
        The videos that have features, in the order of the annotations; and notes on what was left out.

    Raises:
        InputError: no features for a video, or arrays of no video, and not `partial`; several arrays that
            may be meant.
    """
    ids = _ids(dataset)
    found: dict[str, dict[str, str]] = {key: {} for key in dataset.videos}
    strange = []
    for name in arrays:
        whole = _alike(name)
        longest = _id_in(whole, ids)
        if longest is None:
            strange.append(name)
            continue
        if len(ids[longest]) > 1:
            raise InputError(
                f'{where}: expected {shown(name)} to be of one video, found that the annotations call '
                f'{listing(sorted(ids[longest]))} so; name the arrays by these keys'
            )
        (key,) = ids[longest]
        kind = whole[len(longest) + 1 :]
        if kind in found[key]:
            raise InputError(
                f'{where}: expected one array for {dataset.videos[key].id}, found {shown(found[key][kind])} '
                f'and {shown(name)}; keep one of them'
            )
        found[key][kind] = name
    kinds = list(dict.fromkeys(kind for of in found.values() for kind in of))
    picks = None if steps.picks is None else _alike(steps.picks)
    if steps == Steps() and PICKS in kinds:
        picks = PICKS
    wanted = _kind_of_features([kind for kind in kinds if kind not in (picks, PICKS)], where, array, beside)
    unused = [kind or '(the id alone)' for kind in kinds if kind not in (wanted, picks)]
    with_features = {key: of for key, of in found.items() if wanted in of}
    called = f'its key or its name{f", then _{wanted} or /{wanted}" if wanted else ""}'
    if not with_features:
        raise InputError(
            f'{where}: expected an array for each video of {shown(dataset.path)}, called by {called}, found '
            f'none; there are {listing(list(arrays), 5)}, and the videos are '
            f'{listing([video.id for video in dataset.videos.values()], 5)}'
        )
    missing = [dataset.videos[key].id for key in found if key not in with_features]
    faults = [f'no array for {len(missing)} of {len(found)} videos, {listing(missing, 5)}'] if missing else []
    passed = [f'arrays of no video, {listing(strange, 5)}'] if strange else []
    faults, passed = (faults, passed) if beside else (faults + passed, [])
    if faults and not partial:
        raise InputError(
            f'{where}: expected an array for each video of {shown(dataset.path)}, called by {called}, found '
            f'{"; and ".join(faults)}{"" if beside else ". --partial leaves them out"}'
        )
    lacking = [dataset.videos[key].id for key, of in with_features.items() if picks and picks not in of]
    if picks and lacking:
        raise InputError(
            f'{where}: expected picks as {shown(picks)} beside the features, found none for '
            f'{listing(lacking, 5)}'
        )
    notes = [f'left out: {fault}' for fault in faults + passed]
    notes += [f'not used: arrays called {listing(unused)}'] if unused else []
    return [
        Chosen(dataset.videos[key], of[wanted], of[picks] if picks else None)
        for key, of in with_features.items()
    ], notes


def _id_in(name: str, ids: Container[str]) -> str | None:
    """The longest id that a name is, or begins with before a divider."""
    ends = [i for i, one in enumerate(name) if one in _DIVIDERS]
    return next((name[:end] for end in (len(name), *reversed(ends)) if name[:end] in ids), None)


def _kind_of_features(kinds: Sequence[str], where: str, array: str | None, beside: bool) -> str:
    """What the features are called behind the id, of all that arrays are called there."""
    if array is not None:
        if kinds and _alike(array) not in kinds:
            told, given = listing([kind for kind in kinds if kind] or ['nothing']), shown(array)
            raise InputError(
                f'{f"{where}:{given}" if beside else f"--array={given}"}: expected what stands behind the id '
                f'in the names of {where}, as {told}, found none of that name'
            )
        return _alike(array)
    sure = [kind for kind in ('', FEATURES) if kind in kinds]
    if len(kinds) > 1 and len(sure) != 1:
        told = listing([kind or '(the id alone)' for kind in kinds])
        raise InputError(
            f'{where}: expected one array for each video, found several: {told}. '
            f'{f"{where}:NAME" if beside else "--array=NAME"} says which are the features'
        )
    return (sure or list(kinds) or [''])[0]


def join(arrays: Arrays, chosen: Chosen, steps: Steps) -> tuple[Video | None, list[str]]:
    """One video's annotations with its features, checked as a feature file's are.

    Args:
        arrays: from `find_arrays`.
        chosen: from `choose`.
        steps: which frame each row is of; where it says nothing, those of the annotations' picks.

    Returns:
        The video, None where it has a fault; and the faults. `gtscore`, which is by steps, stays where the
        steps are the annotations' own.
    """
    video = chosen.video
    try:
        features = arrays[chosen.features]()
        if features.ndim != 2:
            raise _Fault(f'expected [n_steps, D], found shape {features.shape}')
        picks = arrays[chosen.picks]() if chosen.picks else _picks(len(features), video, steps)
    except _Fault as fault:
        return None, [f'{shown(chosen.features)}: {fault}']
    except InputError as error:
        return None, [str(error)]
    # In memory alone, for the same checks as a file's.
    with h5py.File('video', 'w', driver='core', backing_store=False) as file:
        group = file.create_group('video')
        for name, value in ((FEATURES, features), (PICKS, picks), ('n_frames', video.n_frames)):
            group[name] = value
        joined, faults = groups.finish(checks.read_video(group, set(group)))
    told = {FEATURES: chosen.features, PICKS: chosen.picks or chosen.features}
    if joined is None:
        parts = [fault.partition(': ') for fault in faults]
        return None, [f'{shown(told.get(name, name))}: {name}: {fault}' for name, _, fault in parts]
    same = np.array_equal(joined.picks, video.picks)
    return dataclasses.replace(
        video, features=joined.features, picks=joined.picks, gtscore=video.gtscore if same else None
    ), []


def _picks(n_steps: int, video: Video, steps: Steps) -> np.ndarray:
    """[n_steps] int64; _Fault where so many rows do not fit the video."""
    n_frames = video.n_frames
    if steps.rate is not None:
        if not video.fps:
            raise _Fault('--rate: expected frames per second in the annotations, found none; give --fps')
        if steps.rate > video.fps:
            raise _Fault(f'--rate: expected at most the {video.fps:g} frames a second, found {steps.rate:g}')
        apart, told = video.fps / steps.rate, f'{steps.rate:g} a second of {video.fps:g} frames'
    elif steps.every == FITTING:
        apart = _fitting(n_steps, n_frames)
        told = f'every {apart}'
    elif steps.every is not None:
        apart, told = steps.every, f'one every {steps.every} frames'
    else:
        if not video.n_steps:
            raise _Fault(
                'expected to be told which frame each row is of, as the annotations have no picks; give '
                '--picks, --rate or --every'
            )
        if n_steps != video.n_steps:
            raise _Fault(
                f'expected {video.n_steps} rows, one for each of the picks of the annotations, found '
                f'{n_steps}; --picks, --rate or --every says which frames they are of'
            )
        return video.picks
    full = max(int(np.ceil(n_frames / apart - _MARGIN)), 1)
    # The last step may be only partly in the video, and then some leave it out.
    least = max(int(np.floor(n_frames / apart + _MARGIN)), 1)
    if not least <= n_steps <= full:
        wanted = f'{full}' if least == full else f'{least} or {full}'
        raise _Fault(
            f'expected {wanted} rows for {n_frames} frames ({told}), found {n_steps}, one every '
            f'{n_frames / max(n_steps, 1):.4g} frames'
        )
    return np.floor(np.arange(n_steps) * apart + _MARGIN).astype(np.int64)


def _fitting(n_steps: int, n_frames: int) -> int:
    """The whole number of frames a step that gives so many steps, the last partial one or not."""
    if not 1 <= n_steps <= n_frames <= bounds.MOST_FRAMES:
        raise _Fault(f'expected 1 to {n_frames} rows for {n_frames} frames, found {n_steps}')
    near = np.arange(max(n_frames // (n_steps + 1), 1), n_frames // max(n_steps - 1, 1) + 2)
    fits = near[(n_frames // near == n_steps) | (-(-n_frames // near) == n_steps)]
    if len(fits) != 1:
        found = f'{listing([str(one) for one in fits.tolist()], 5)} do' if len(fits) else 'none does'
        raise _Fault(
            f'--every={FITTING}: expected one whole number of frames a step that makes {n_steps} rows of '
            f'{n_frames} frames, found that {found}; give --picks or --rate'
        )
    return int(fits[0])
