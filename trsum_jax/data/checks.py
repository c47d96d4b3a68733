"""Reads one video of a feature file as it is and lists everything in it that cannot be used."""

from collections.abc import Set
from typing import NamedTuple

import h5py
import numpy as np

from trsum_jax.data.layouts.rows import check_rows, wrong_in
from trsum_jax.data.layouts.shot_ends import Shots
from trsum_jax.data.records import Video
from trsum_jax.data.stored import bounds
from trsum_jax.data.stored.hdf5 import DAMAGED
from trsum_jax.files import shown

FRAMES_PER_STEP = 15
# The field's own keys, labels among them.
_NUMBERS = (
    'features', 'picks', 'n_frames', 'n_steps', 'change_points', 'n_frame_per_seg', 'user_summary',
    'user_scores', 'gtscore', 'gt_score', 'gtsummary', 'gt_summary', 'fps', 'frame_times',
)  # fmt: skip
_COUNT_FRAMES = ('picks', 'change_points', 'user_summary', 'user_scores', 'frame_times')
# The one rating and the one summary of a video, by steps, as two layouts call them.
RATING, SUMMARY = ('gtscore', 'gt_score'), ('gtsummary', 'gt_summary')
# What is said of frames then.
_OF_STEPS = '; there are no picks and no n_frames, so the steps are the frames'
# Where nothing says which frame a step is of, and there is something by frames: steps a second.
_RATE = 1.0


class Checked(NamedTuple):
    """One video as its file has it; what its shots and its one reference mean, the whole file tells.

    Attributes:
        video: without shots; None where it has a fault.
        before: faults of features, steps and their numbers.
        shots: as the file has them.
        after: faults of people, times and names.
        summary: name and values, [n_steps], of the one summary of the video; None where there is none.
        assumed: which frames the steps are of, where the file does not say: `every 15th`, `every`; or ''.
        norms: sum of the features' L2 norms.
    """

    video: Video | None
    before: list[str]
    shots: Shots
    after: list[str]
    summary: tuple[str, np.ndarray] | None
    assumed: str
    norms: float


class _Parts:
    """The arrays of one group, and the faults found in them so far."""

    def __init__(self, group: h5py.Group, names: Set[str], further: tuple[str, ...] = ()):
        self.faults: list[str] = []
        self.present = names
        self.arrays: dict[str, np.ndarray] = {}
        for name in (name for name in (*_NUMBERS, *further) if name in self.present):
            try:
                # A file has hundreds of thousands of them: h5py's own objects take five times as long.
                item = h5py.h5o.open(group.id, name.encode())
                if not isinstance(item, h5py.h5d.DatasetID):
                    self.fault(name, 'numbers', 'a group')
                elif item.get_space().get_simple_extent_type() == h5py.h5s.NULL:
                    self.fault(name, 'numbers', 'an empty data space')
                elif item.dtype.kind not in 'biuf':
                    self.fault(name, 'numbers', f'type {item.dtype}')
                elif max(item.shape or (0,), default=0) > bounds.MOST_FRAMES:
                    self.fault(name, f'at most {bounds.MOST_FRAMES} in each dimension', f'shape {item.shape}')
                else:
                    array = np.empty(item.shape, item.dtype)
                    if array.size:
                        item.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
                    self.arrays[name] = array
            except DAMAGED as error:
                self.fault(name, 'readable data', f'a damaged part of the file ({error})')

    def fault(self, name: str, expected: object, found: object) -> None:
        """Notes one fault."""
        self.faults.append(f'{name}: expected {expected}, found {found}')

    def get(self, name: str, n_dims: int, layout: str) -> np.ndarray | None:
        """The finite float64 or integer array of that many dimensions, or None and a fault."""
        array = self.arrays.get(name)
        if array is None:
            return None
        if n_dims == 0 and array.size == 1:
            array = array.reshape(())
        if (wrong := wrong_in(array, n_dims, layout)) is not None:
            return self.fault(name, *wrong)
        return array

    def first(self, names: tuple[str, ...]) -> str | None:
        """The name under which the file has it; None where it does not."""
        return next((name for name in names if name in self.arrays), None)

    @property
    def by_steps(self) -> bool:
        """Whether the steps are all the frames that the file knows of."""
        told = {*RATING, *SUMMARY, *_COUNT_FRAMES}
        return not {'picks', 'n_frames'} & self.present and bool(told & self.present)

    def integers(self, name: str, n_dims: int, layout: str) -> np.ndarray | None:
        """As `get`, as int64; whole numbers stored as floats are accepted."""
        array = self.get(name, n_dims, layout)
        if array is None:
            return None
        with np.errstate(invalid='ignore'):
            whole = array.astype(np.int64)
        if (whole != array).any():
            return self.fault(name, 'whole numbers', f'{array[whole != array].flat[0]}')
        return whole


def _features(parts: _Parts, required: bool) -> np.ndarray | None:
    if required and 'features' not in parts.present:
        return parts.fault('features', '[n_steps, D] float32', 'no such key')
    if 'features' not in parts.arrays:
        return None
    features, wrong = check_rows(parts.arrays['features'])
    if wrong:
        parts.faults.append(f'features: {wrong}')
    return features


def _n_steps(parts: _Parts) -> tuple[int | None, str]:
    """The number of steps, and what says it: features, picks, or what is by frames where these are steps."""
    if (features := parts.arrays.get('features', np.zeros(()))).ndim == 2:
        return len(features), 'features'
    if (picks := parts.arrays.get('picks', np.zeros(()))).ndim == 1:
        return len(picks), 'picks'
    if parts.by_steps and 'features' not in parts.present:
        for name in (*RATING, *SUMMARY, 'user_summary', 'user_scores'):
            if name in parts.arrays and parts.arrays[name].ndim == 1 + name.startswith('user_'):
                return parts.arrays[name].shape[-1], name
    return None, 'picks'


def _steps(parts: _Parts) -> tuple[np.ndarray | None, int | None]:
    """The picks and the number of frames; assumed from the steps where the file says nothing of either."""
    picks = parts.integers('picks', 1, 'shape [n_steps]')
    n_frames = parts.integers('n_frames', 0, 'one number')
    if n_frames is not None and n_frames < 1:
        n_frames = parts.fault('n_frames', '1 or more', n_frames)
    elif n_frames is not None and n_frames > bounds.MOST_FRAMES:
        n_frames = parts.fault('n_frames', f'at most {bounds.MOST_FRAMES}', n_frames)
    n_steps, counted_by = _n_steps(parts)

    if parts.by_steps and n_steps:
        picks, n_frames = np.arange(n_steps, dtype=np.int64), n_steps
    elif 'n_frames' not in parts.present:
        refers = [name for name in _COUNT_FRAMES if name in parts.present]
        if refers:
            parts.fault('n_frames', f'the number of frames that {", ".join(refers)} refer to', 'no such key')
        elif n_steps:
            n_frames = n_steps * FRAMES_PER_STEP
    if 'picks' not in parts.present and 'features' not in parts.present and picks is None:
        parts.fault('picks', '[n_steps], the frame of every step', 'no such key')
    elif 'picks' not in parts.present and n_steps is not None and n_frames is not None and picks is None:
        picks = np.arange(n_steps, dtype=np.int64) * FRAMES_PER_STEP
        n_usual = -(-int(n_frames) // FRAMES_PER_STEP)
        if n_usual != n_steps:
            usual = f'every {FRAMES_PER_STEP}th of {n_frames} frames would be {n_usual} steps'
            picks = parts.fault('picks', f'[{n_steps}], the frame of every step', f'no such key, and {usual}')

    if n_steps is not None:
        if n_steps < 2:
            parts.fault(counted_by, 'at least 2 steps', f'{n_steps}: the video is too short')
        said = parts.integers('n_steps', 0, 'one number')
        if said is not None and said != n_steps:
            parts.fault('n_steps', f'{n_steps} as in {counted_by}', said)
        if picks is not None and len(picks) != n_steps:
            parts.fault('picks', f'length {n_steps} as in features', len(picks))
        for name in (*RATING, *SUMMARY):
            values = parts.get(name, 1, 'shape [n_steps]')
            if values is not None and len(values) != n_steps:
                parts.fault(name, f'length {n_steps} as in {counted_by}', len(values))
    if picks is not None and len(picks):
        falls = np.flatnonzero(np.diff(picks) <= 0)
        if len(falls):
            i = falls[0]
            parts.fault('picks', 'increasing frames', f'{picks[i]} then {picks[i + 1]} at step {i + 1}')
        last_frame = 'the last frame' if n_frames is None else n_frames - 1
        if picks.min() < 0 or (n_frames is not None and picks.max() >= n_frames):
            outside = picks.min() if picks.min() < 0 else picks.max()
            parts.fault('picks', f'frames from 0 to {last_frame}', outside)
    return picks, None if n_frames is None else int(n_frames)


def _shots(parts: _Parts, n_frames: int | None) -> Shots:
    shots = parts.integers('change_points', 2, 'shape [n_shots, 2]')
    lengths = parts.integers('n_frame_per_seg', 1, 'shape [n_shots]')
    if shots is not None and (shots.shape[1] != 2 or len(shots) == 0):
        shots = parts.fault('change_points', 'shape [n_shots, 2], at least 1 shot', f'shape {shots.shape}')
    counted = f'n_frames - 1{_OF_STEPS}' if parts.by_steps else 'n_frames - 1'
    return Shots(shots, lengths, n_frames, counted)


def _by_frame(parts: _Parts, name: str, n_frames: int | None) -> np.ndarray | None:
    """`user_summary` or `user_scores`."""
    values = parts.get(name, 2, 'shape [n_users, n_frames]')
    if values is None:
        return None
    if len(values) == 0:
        parts.fault(name, 'at least 1 user', f'shape {values.shape}')
    if len(values) > bounds.MOST_USERS:
        parts.fault(name, f'at most {bounds.MOST_USERS} users', f'shape {values.shape}')
    if n_frames is not None and values.shape[1] != n_frames:
        counted = f'n_frames{_OF_STEPS if parts.by_steps else ""}'
        parts.fault(name, f'{n_frames} frames a user ({counted})', values.shape[1])
    if name == 'user_summary':
        other = (values != 0) & (values != 1)
        if other.any():
            user, frame = np.argwhere(other)[0]
            found = f'{values[user, frame]} (user {user}, frame {frame})'
            if other.sum() > 1:
                found += f' and {other.sum() - 1} more such entries'
            parts.fault(name, 'only 0 and 1', found)
    return values.astype(np.float32)


def _times(parts: _Parts, n_frames: int | None) -> tuple[float | None, np.ndarray | None]:
    fps = parts.get('fps', 0, 'one number')
    if fps is not None and fps <= 0:
        parts.fault('fps', 'above 0', fps)
    times = parts.get('frame_times', 1, 'shape [n_frames]')
    if times is not None:
        if n_frames is not None and len(times) != n_frames:
            parts.fault('frame_times', f'length {n_frames} (n_frames)', len(times))
        falls = np.flatnonzero(np.diff(times) < 0)
        if len(falls):
            parts.fault('frame_times', 'times that never fall', f'a fall at frame {falls[0] + 1}')
        times = times.astype(np.float64)
    return None if fps is None else float(fps), times


def _side(parts: _Parts, name: str, n_steps: int | None) -> np.ndarray | None:
    if name in _NUMBERS:
        return parts.fault(name, "another key than the layout's own as a second modality", name)
    if name not in parts.present:
        return parts.fault(name, '[n_steps, K], the second modality', 'no such key')
    if name in parts.arrays and parts.arrays[name].ndim == 1:
        parts.arrays[name] = parts.arrays[name][:, None]
    side = parts.get(name, 2, 'shape [n_steps] or [n_steps, K]')
    if side is None:
        return None
    if side.shape[1] == 0 or len(side) != n_steps:
        return parts.fault(name, f'{n_steps} steps and at least 1 column', f'shape {side.shape}')
    return side.astype(np.float32)


def text(item: h5py.Dataset | np.ndarray | str | bytes) -> str:
    """Text from what HDF5 holds.

    Args:
        item: bytes, a string, or an array or dataset whose first element is one of them.

    Returns:
        The text, as one line.

    Raises:
        ValueError: longer than `bounds.LONGEST_TEXT`.
    """
    if getattr(item, 'size', 1) == 0 or getattr(item, 'shape', ()) is None:
        return ''
    value = item[(0,) * item.ndim] if hasattr(item, 'ndim') else item
    value = value.decode('utf-8', 'replace') if isinstance(value, bytes) else str(value)
    if len(value) > bounds.LONGEST_TEXT:
        raise ValueError(f'{len(value)} characters, at most {bounds.LONGEST_TEXT} are taken')
    return shown(value)


def read_video(
    group: h5py.Group, names: Set[str], *, require_features: bool = True, side: str = ''
) -> Checked:
    """Reads one video of a feature file as far as it can be judged by itself.

    Where a file has no picks and no n_frames but something by frames, the steps are the frames, one a second.

    Args:
        group: the video's group; any numeric type is accepted, and scalars as 0-d or one-element arrays.
        names: of all that is in it.
        require_features: whether missing features are a fault.
        side: the key of a second modality, which then must be there; none where empty.

    Returns:
        The video, its shots and its faults; `groups.finish` makes one of them.
    """
    parts = _Parts(group, names, (side,) if side else ())
    features = _features(parts, require_features)
    picks, n_frames = _steps(parts)
    shots = _shots(parts, n_frames)
    before = list(dict.fromkeys(parts.faults))
    parts.faults.clear()
    user_summary = _by_frame(parts, 'user_summary', n_frames)
    user_scores = _by_frame(parts, 'user_scores', n_frames)
    fps, frame_times = _times(parts, n_frames)
    second = _side(parts, side, None if picks is None else len(picks)) if side else None
    try:
        name = text(group['video_name']) if 'video_name' in parts.present else None
    except DAMAGED as error:
        parts.fault('video_name', 'text', f'none that can be read ({error})')
    assumed = ''
    if 'picks' not in parts.present:
        assumed = 'every' if parts.by_steps else f'every {FRAMES_PER_STEP}th'
    after = list(dict.fromkeys(parts.faults))
    if before or after:
        return Checked(None, before, shots, after, None, assumed, 0.0)
    rating, summary = parts.first(RATING), parts.first(SUMMARY)
    video = Video(
        key=group.name.lstrip('/'),
        picks=picks,
        n_frames=n_frames,
        features=features,
        user_summary=user_summary,
        user_scores=user_scores,
        gtscore=None if rating is None else parts.arrays[rating].astype(np.float32),
        name=name,
        fps=_RATE if fps is None and parts.by_steps else fps,
        frame_times=frame_times,
        side=second,
    )
    norms = 0.0 if features is None else float(np.linalg.norm(features, axis=1).sum())
    one = None if summary is None else (summary, parts.arrays[summary])
    return Checked(video, before, shots, after, one, assumed, norms)
