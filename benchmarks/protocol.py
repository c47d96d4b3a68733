"""Knapsack, F-score and KTS against the field's loops: `python -m benchmarks.protocol [--json=FILE]`.

The loops are written from the published descriptions, in the form in which they are in use: the knapsack's
table filled cell by cell, frames compared one by one; for KTS a matrix of the scatters of all segments, first
step by last, and a loop over the number of changes and the last step, with the least over the first step
vectorised. (With the matrix the other way round, KTS's loop reads memory in order and is about 2.5 times
faster.) Their workers fail where their result is not ours.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.measure import Work
from trsum_jax.data import shots
from trsum_jax.data.kts import kts
from trsum_jax.protocol import evaluation

VMAX = 1.0
WIDTH = 1024


def reference_knapsack(values: list[float], weights: list[int], capacity: int) -> list[int]:
    """The chosen items, by a table over items and capacities."""
    table = [[0.0] * (capacity + 1) for _ in range(len(values) + 1)]
    for i in range(1, len(values) + 1):
        for room in range(1, capacity + 1):
            table[i][room] = table[i - 1][room]
            if weights[i - 1] <= room:
                taken = table[i - 1][room - weights[i - 1]] + values[i - 1]
                if taken > table[i][room]:
                    table[i][room] = taken
    chosen, room = [], capacity
    for i in range(len(values), 0, -1):
        if table[i][room] != table[i - 1][room]:
            chosen.append(i - 1)
            room -= weights[i - 1]
    return chosen[::-1]


def reference_f_scores(
    scores: np.ndarray, picks: np.ndarray, change_points: np.ndarray, users: np.ndarray
) -> list[float]:
    """Every user's F-score of the summary of these scores, frame by frame."""
    n_frames = users.shape[1]
    frames = [0.0] * n_frames
    ends = [*picks[1:].tolist(), n_frames]
    for score, first, end in zip(scores.tolist(), picks.tolist(), ends, strict=True):
        for frame in range(first, end):
            frames[frame] = score
    values, weights = [], []
    for first, last in change_points.tolist():
        values.append(float(np.mean(frames[first : last + 1])))
        weights.append(last - first + 1)
    summary = [0] * n_frames
    for shot in reference_knapsack(values, weights, int(n_frames * evaluation.BUDGET)):
        for frame in range(change_points[shot, 0], change_points[shot, 1] + 1):
            summary[frame] = 1
    found = []
    for user in users.tolist():
        both = marked = theirs = 0
        for ours, other in zip(summary, user, strict=True):
            both += ours and other
            marked += ours
            theirs += other
        precision, recall = both / max(marked, 1), both / max(theirs, 1)
        found.append(2 * precision * recall / (precision + recall) if both else 0.0)
    return found


def reference_kts(features: np.ndarray, max_changes: int, vmax: float) -> np.ndarray:
    """The change points of KTS by the dynamic program over all segments."""
    rows = np.asarray(features, np.float64)
    rows = rows - rows.mean(axis=0)
    n = len(rows)
    gram = rows @ rows.T
    sums = np.zeros((n + 1, n + 1))
    sums[1:, 1:] = gram.cumsum(axis=0).cumsum(axis=1)
    squares = np.append(0, np.cumsum(gram.diagonal()))
    scatters = np.zeros((n + 1, n + 1))
    for stop in range(1, n + 1):
        first = np.arange(stop)
        inside = sums[stop, stop] - sums[first, stop] - sums[stop, first] + sums[first, first]
        scatters[:stop, stop] = squares[stop] - squares[first] - inside / (stop - first)

    costs, firsts = np.full((max_changes + 1, n + 1), np.inf), np.zeros((max_changes + 1, n + 1), np.int64)
    costs[0] = scatters[0]
    for changes in range(1, max_changes + 1):
        for stop in range(changes + 1, n + 1):
            candidates = costs[changes - 1, changes:stop] + scatters[changes:stop, stop]
            least = candidates.argmin()
            costs[changes, stop] = candidates[least]
            firsts[changes, stop] = changes + least
    objective = costs[:, n] / n
    for changes in range(1, max_changes + 1):
        objective[changes] += vmax * changes / (2 * n) * (math.log(n / changes) + 1)
    found, stop = [], n
    for changes in range(int(objective.argmin()), 0, -1):
        stop = int(firsts[changes, stop])
        found.append(stop)
    return np.array(found[::-1], np.int64)


def scenes(n: int, n_scenes: int, noise: float = 0.7, width: int = WIDTH) -> np.ndarray:
    """[n, width] float32 rows of unit norm in scenes of random lengths, each about one direction."""
    rng = np.random.default_rng(0)
    cuts = np.sort(rng.choice(np.arange(1, n), n_scenes - 1, replace=False))
    scene = np.searchsorted(cuts, np.arange(n), side='right')
    rows = rng.normal(size=(n_scenes, width))[scene] + noise * rng.normal(size=(n, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def evaluation_work(n_frames: int, n_shots: int, n_users: int, loops: bool) -> Callable[[], None]:
    """A worker: the F-scores of random scores against random users."""
    rng = np.random.default_rng(0)
    picks = np.arange(0, n_frames, 15)
    scores = rng.random(len(picks))
    starts = np.sort(rng.choice(np.arange(1, n_frames), n_shots - 1, replace=False))
    change_points = np.stack([np.append(0, starts), np.append(starts, n_frames) - 1], axis=1)
    users = (rng.random((n_users, n_frames)) < evaluation.BUDGET).astype(np.uint8)

    def ours() -> np.ndarray:
        frames = evaluation.frame_scores(scores, picks, n_frames)
        return evaluation.f_scores(evaluation.summarize(frames, change_points, n_frames), users)

    expected = ours()

    def run() -> None:
        found = reference_f_scores(scores, picks, change_points, users) if loops else ours()
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)

    return run


def kts_work(n: int, n_scenes: int, max_changes: int, loops: bool) -> Callable[[], None]:
    """A worker: KTS of scenes."""
    features = scenes(n, n_scenes)
    expected = kts(features, max_changes=max_changes, vmax=VMAX)

    def run() -> None:
        find = reference_kts if loops else _kts
        np.testing.assert_array_equal(find(features, max_changes, VMAX), expected)

    return run


def shots_work(n: int, n_scenes: int, noise: float) -> Callable[[], None]:
    """A worker: KTS as for a long video, any number of changes that leaves 2 s a shot on average."""
    features = scenes(n, n_scenes, noise)
    picks = 12 * np.arange(n)
    return lambda: shots.detect(features, picks, 12 * n)


def compare_evaluation(
    n_frames: int = 70_000, n_shots: int = 700, n_users: int = 20, repetitions: int = 7
) -> dict[str, Any]:
    """Knapsack and F-score against the field's loops."""
    size = {'n_frames': n_frames, 'n_shots': n_shots, 'n_users': n_users}
    label = f'knapsack and F-score, {n_frames:,} frames, {n_shots} shots, {n_users} users'
    return _compare('evaluation_work', size, label, repetitions, 50)


def compare_kts(
    n: int = 5000, n_scenes: int = 340, max_changes: int = 500, repetitions: int = 1
) -> dict[str, Any]:
    """KTS against its reference form, which tries all numbers of changes."""
    size = {'n': n, 'n_scenes': n_scenes, 'max_changes': max_changes}
    changes = len(kts(scenes(n, n_scenes), max_changes=max_changes, vmax=VMAX))
    label = f'KTS, {n:,} steps, {changes} changes found, all up to {max_changes} tried by the loops'
    return _compare('kts_work', size, label, repetitions, 40)


def long_videos(n: int = 14_400, repetitions: int = 3) -> list[dict[str, Any]]:
    """Time and memory of KTS for a video of two hours: in scenes of 8 s, and in one without any."""
    found = []
    for kind, n_scenes, noise in (('scenes', max(n // 16, 1), 0.7), ('one scene', 1, 0.02)):
        work = Work('benchmarks.protocol:shots_work', {'n': n, 'n_scenes': n_scenes, 'noise': noise})
        timing = measure.in_turn({'ours': work}, repetitions, f'KTS, {kind}')['ours']
        found.append(
            {
                'label': f'KTS, {n:,} steps ({n / 7200:.2g} h), {kind}',
                'seconds': timing.median,
                'peak_mb': timing.peak / 2**20,
                'goal_s': 60.0,
                'goal_mb': 2000.0,
                'repetitions': repetitions,
            }
        )
    return found


def rows(comparisons: list[dict[str, Any]], long: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table's rows."""
    against = [
        {
            'work': one['label'],
            'ours, s': one['workers']['ours']['median_s'],
            'theirs, s': one['workers']['loops']['median_s'],
            'times faster': one['times_faster'],
            'goal': f'≥ {one["goal"]} times',
            'reached': 'yes' if one['times_faster'] >= one['goal'] else 'no',
            'repetitions': one['repetitions'],
            'ours / theirs, peak MB': '{:.0f} / {:.0f}'.format(
                *(one['workers'][name]['peak_mb'] for name in ('ours', 'loops'))
            ),
        }
        for one in comparisons
    ]
    alone = [
        {
            'work': one['label'],
            'ours, s': one['seconds'],
            'theirs, s': '–',
            'times faster': '–',
            'goal': f'< {one["goal_s"]:.0f} s, < {one["goal_mb"]:.0f} MB',
            'reached': 'yes' if one['seconds'] < one['goal_s'] and one['peak_mb'] < one['goal_mb'] else 'no',
            'repetitions': one['repetitions'],
            'ours / theirs, peak MB': f'{one["peak_mb"]:.0f} / –',
        }
        for one in long
    ]
    return against + alone


def main(argv: list[str]) -> None:
    """Measures everything and prints the table."""
    path = measure.parse_json_flag(argv, 'protocol')
    comparisons = []
    for compare in (compare_evaluation, compare_kts):
        comparisons.append(compare())
        # The loops take minutes: what is measured is shown at once.
        print(f'\n{measure.table(rows(comparisons[-1:], []))}', flush=True)
    long = long_videos()
    print(f'\n{measure.table(rows([], long))}', flush=True)
    measure.write(path, 'protocol', {'comparisons': comparisons, 'long_videos': long})


def _kts(features: np.ndarray, max_changes: int, vmax: float) -> np.ndarray:
    return kts(features, max_changes=max_changes, vmax=vmax)


def _compare(build: str, size: dict[str, int], label: str, repetitions: int, goal: float) -> dict[str, Any]:
    works = {
        name: Work(f'benchmarks.protocol:{build}', {**size, 'loops': name == 'loops'})
        for name in ('ours', 'loops')
    }
    found = measure.compare(works, repetitions, label)
    faster = 1 / found['ratios']['loops']['ratio']
    return found | {'times_faster': faster, 'goal': goal, 'repetitions': repetitions}


if __name__ == '__main__':
    main(sys.argv[1:])
