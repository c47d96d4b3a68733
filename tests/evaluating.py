"""The command `evaluate` in the tests' own process, and small files for it."""

import json
import pathlib

import h5py
import numpy as np
from absl import flags

from trsum_jax import evaluate

N_FRAMES, N_STEPS, SHOT = 300, 20, 15


def write_dataset(path, *, users=True, shots=True, ratings=False, features=True, videos=4):
    rng = np.random.default_rng(0)
    with h5py.File(path, 'w') as file:
        for number in range(1, videos + 1):
            group = file.create_group(f'video_{number}')
            group['picks'] = np.arange(0, N_FRAMES, SHOT)
            group['n_frames'], group['n_steps'] = N_FRAMES, N_STEPS
            if features:
                rows = rng.normal(size=(N_STEPS, 6))
                group['features'] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
            if shots:
                first = np.arange(0, N_FRAMES, SHOT)
                group['change_points'] = np.stack([first, first + SHOT - 1], axis=1)
            if users:
                chosen = rng.random((3, N_STEPS)) < 0.3
                group['user_summary'] = np.repeat(chosen, SHOT, axis=1).astype(np.float32)
            if ratings:
                group['user_scores'] = rng.integers(1, 6, (4, N_FRAMES)).astype(np.float32)
    return path


def write_scores(path, arrays, name='scores'):
    with h5py.File(path, 'w') as file:
        for key, values in arrays.items():
            file[f'{key}/{name}'] = values
    return path


def random_scores(videos=4, length=N_STEPS):
    rng = np.random.default_rng(1)
    return {f'video_{number}': rng.random(length) for number in range(1, videos + 1)}


def run(patch, **options):
    """Runs the command in this process, with flags of its own; what it wrote to its `--output`."""
    values = flags.FlagValues()
    patch.setattr(flags, 'FLAGS', values)
    evaluate.define_flags(values)
    values(['evaluate', *(f'--{name}={value}' for name, value in options.items())])
    evaluate.main(['evaluate'])
    return json.loads(pathlib.Path(options['output']).read_text()) if 'output' in options else None
