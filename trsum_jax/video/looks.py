"""What the steps of a video look like, in few numbers that a summary's JSON holds."""

import base64

import numpy as np

from trsum_jax.data.standard import in_float64
from trsum_jax.data.stored.json_fields import Fields
from trsum_jax.video.encoders.encoder import unit_rows

_WIDTH, _LARGEST = 24, 127


def sketch(features: np.ndarray) -> np.ndarray:
    """Features in so few numbers that the distances between steps stay about the same.

    Rows of length one lie close to the plane of their first principal directions; of those 24 are kept, in
    steps of a 127th of the largest number.

    Args:
        features: [n_steps, D] float.

    Returns:
        [n_steps, at most 24] int8; rows scaled to length one are about as far from each other as the
        features' are.
    """
    if len(features) < features.shape[1]:
        unit = unit_rows(np.asarray(features, np.float64))
        lengths, places = np.linalg.eigh(unit @ unit.T)
        few = (places * np.sqrt(np.maximum(lengths, 0)))[:, ::-1][:, :_WIDTH]
    else:
        together = sum(unit.T @ unit for unit in map(unit_rows, in_float64(features)))
        axes = np.linalg.eigh(together)[1][:, ::-1][:, :_WIDTH]
        few = np.concatenate([unit @ axes for unit in map(unit_rows, in_float64(features))])
    return np.rint(_LARGEST * few / max(np.abs(few).max(), 1e-12)).astype(np.int8)


def text_of(looks: np.ndarray) -> str:
    """A sketch as text."""
    return base64.b64encode(looks.tobytes()).decode('ascii')


def read_looks(found: Fields, key: str, n_steps: int) -> np.ndarray:
    """A sketch from the text of a JSON.

    Args:
        found: holds the text.
        key: its field.
        n_steps: how many rows there are.

    Returns:
        [n_steps, K] int8.

    Raises:
        InputError: damage.
    """
    try:
        held = base64.b64decode(found.text(key), validate=True)
    except ValueError:
        held = b''
    if not held or len(held) % n_steps or len(held) > _WIDTH * n_steps:
        found.refuse(
            key, f'up to {_WIDTH} bytes for each of {n_steps} steps, in base64', f'{len(held)} bytes'
        )
    return np.frombuffer(held, np.int8).reshape(n_steps, -1)
