"""VideoXum's annotations: a JSON list of videos with ten people's summaries at one frame a second."""

import os
import pathlib
import reprlib

import numpy as np

from trsum_jax.data.layouts.groups import is_plain
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.stored import bounds, text_files
from trsum_jax.files import shown

_EXPECTED = 'a list of videos with video_id and vsum_onehot'
_RATE = 1.0


def is_json(path: str | os.PathLike) -> bool:
    """Whether a file begins as a JSON list or object does.

    Args:
        path: any file.

    Returns:
        False too for what cannot be read.
    """
    try:
        # To open a pipe would wait for who writes to it.
        if not pathlib.Path(path).is_file():
            return False
        with pathlib.Path(path).open('rb') as file:
            return file.read(64).removeprefix(b'\xef\xbb\xbf').lstrip()[:1] in (b'[', b'{')
    except (OSError, ValueError):
        return False


def read_videoxum(path: str | os.PathLike) -> tuple[Dataset, list[str]]:
    """Reads a file such as `test_videoxum.json`; its videos have no features and no shots.

    Args:
        path: the file; of each video `video_id`, `vsum_onehot` [10, T] of 0 and 1, and `sampled_frames`, T,
            where it is there.

    Returns:
        The dataset of the sound videos in the order of the file, every step a frame, one a second; and the
        faults, as `video/key: expected …, found …`.

    Raises:
        InputError: no JSON, as `text_files.read_json`.
    """
    told = text_files.read_json(path, 'a JSON file of videos')
    videos, faults = {}, []
    entries = told if isinstance(told, list) else []
    if not entries:
        found = 'an empty list' if told == [] else f'a JSON {type(told).__name__}'
        faults.append(f'/: expected {_EXPECTED}, found {found}')
    for i, entry in enumerate(entries):
        if len(faults) >= bounds.MOST_FAULTS:
            faults.append(f'/: found so many faults that {len(entries) - i} more videos are not looked at')
            break
        key = entry.get('video_id') if isinstance(entry, dict) else None
        if not isinstance(key, str) or not is_plain(key) or key in videos:
            twice = ' twice' if isinstance(key, str) and key in videos else ''
            found = 'none' if key is None else f'{shown(reprlib.repr(key))}{twice}'
            faults.append(f'video {i} (counted from 0)/video_id: expected a name of its own, found {found}')
            continue
        summaries, fault = _summaries(entry)
        if summaries is None:
            faults.append(f'{key}/{fault}')
            continue
        n = summaries.shape[1]
        videos[key] = Video(key, np.arange(n, dtype=np.int64), n, user_summary=summaries, fps=_RATE)
    notes = ('VideoXum: every step is a frame, one a second, and there are no shots in the file',)
    return Dataset(str(path), videos, notes), faults


def _summaries(entry: dict) -> tuple[np.ndarray | None, str]:
    """[n_users, T] float32; or None and what is wrong."""
    raw, wanted = entry.get('vsum_onehot'), 'vsum_onehot: expected 0 and 1, [n_users, T]'
    if raw is None:
        return None, f'{wanted}, found no such key'
    try:
        summaries = np.asarray(raw)
    except ValueError:
        return None, f'{wanted}, found rows of different lengths'
    if summaries.dtype.kind not in 'biuf':
        return None, f'{wanted}, found others than numbers'
    if summaries.ndim != 2 or not 0 < len(summaries) <= bounds.MOST_USERS:
        return None, f'{wanted}, found shape {summaries.shape}'
    if not 2 <= summaries.shape[1] <= bounds.MOST_FRAMES:
        return None, f'vsum_onehot: expected 2 to {bounds.MOST_FRAMES} steps, found {summaries.shape[1]}'
    if (other := (summaries != 0) & (summaries != 1)).any():
        user, step = np.argwhere(other)[0]
        return None, f'{wanted}, found {summaries[user, step]} (user {user}, step {step})'
    frames = entry.get('sampled_frames', summaries.shape[1])
    if frames != summaries.shape[1]:
        told = shown(reprlib.repr(frames))
        return None, f'vsum_onehot: expected {told} steps (sampled_frames), found {summaries.shape[1]}'
    return summaries.astype(np.float32), ''
