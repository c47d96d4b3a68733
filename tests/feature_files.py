"""Small feature files in the field's layout, for the tests."""

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
