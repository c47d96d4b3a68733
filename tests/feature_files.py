"""Small files in the layouts that people have, for the tests."""

import json

import h5py
import numpy as np

N_STEPS, N_FRAMES, WIDTH = 6, 83, 5


def unit_rows(n=N_STEPS, width=WIDTH, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def field_video(seed=0):
    """The keys of one video as the field's files have them."""
    rng = np.random.default_rng(seed)
    return {
        'features': unit_rows(seed=seed),
        'gtscore': rng.random(N_STEPS).astype(np.float32),
        'gtsummary': np.zeros(N_STEPS, np.float32),
        'user_summary': rng.integers(0, 2, (3, N_FRAMES)).astype(np.float32),
        'change_points': np.array([[0, 29], [30, 60], [61, 82]], np.int32),
        'n_frame_per_seg': np.array([30, 31, 22], np.int32),
        'n_frames': np.array(N_FRAMES),
        'picks': 15 * np.arange(N_STEPS, dtype=np.int32),
        'n_steps': np.array(N_STEPS),
    }


def write_raw(path, videos, **attributes):
    with h5py.File(path, 'w') as file:
        file.attrs.update(attributes)
        for key, parts in videos.items():
            group = file.create_group(key)
            for name, value in parts.items():
                group[name] = value
    return path


def one_reference(n_steps, seed=0, half_open=True):
    """Annotations of one video as Mr. HiSum and TripleSumm have them, by steps of one second: three shots."""
    rng = np.random.default_rng(seed)
    first, last = n_steps // 3, 2 * n_steps // 3
    shots = np.array([[0, first], [first, last], [last, n_steps]])
    summary = np.zeros(n_steps)
    summary[:first] = 1
    return {
        'gt_score': rng.random(n_steps).astype(np.float32),
        'gt_summary': summary,
        'change_points': shots - [0, int(not half_open)],
    }


def hisum_video(n_steps, seed=0, width=WIDTH):
    """A group of Mr. HiSum's file: half-open shots; no picks, no n_frames, no people."""
    parts = one_reference(n_steps, seed)
    parts['gtscore'] = parts.pop('gt_score')
    return parts | {'features': unit_rows(n_steps, width, seed)}


def write_arrays(path, arrays):
    """An array by id at the root, as TripleSumm's features and LLMVS's embeddings are."""
    with h5py.File(path, 'w') as file:
        for key, rows in arrays.items():
            file[key] = rows
    return path


def mr_hisum(folder, steps, width):
    """Mr. HiSum's one file, and no others.

    Args:
        folder: where it goes.
        steps: of each video, by key.
        width: of the features.

    Returns:
        The file of the videos, and those of features.
    """
    videos = {key: hisum_video(n, seed, width) for seed, (key, n) in enumerate(steps.items())}
    return write_raw(folder / 'mr_hisum.h5', videos), []


def triplesumm(folder, steps, width):
    """TripleSumm's file of annotations and one for each of two modalities, as `mr_hisum`."""
    halves = {'visual': width - width // 2, 'audio': width // 2}
    files = [
        write_arrays(
            folder / f'{kind}.h5',
            {key: unit_rows(n, half, seed) for seed, (key, n) in enumerate(steps.items())},
        )
        for kind, half in halves.items()
    ]
    annotations = {key: one_reference(n, n, half_open=False) for key, n in steps.items()}
    return write_raw(folder / 'mosu_gt.h5', annotations), list(map(str, files))


def videoxum(folder, steps, width):
    """VideoXum's JSON and its folder of features, as `mr_hisum`."""
    (folder / 'blip').mkdir()
    told = []
    for seed, (key, n) in enumerate(steps.items()):
        np.savez(folder / 'blip' / f'{key}.npz', features=unit_rows(n, width, seed))
        people = np.random.default_rng(seed).integers(0, 2, (10, n))
        told.append({'video_id': key, 'sampled_frames': n, 'vsum_onehot': people.tolist()})
    path = folder / 'test_videoxum.json'
    path.write_text(json.dumps(told))
    return path, [f'{folder}/blip']


OTHER_LAYOUTS = (mr_hisum, triplesumm, videoxum)
