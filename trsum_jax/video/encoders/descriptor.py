"""Frames to features without downloaded weights: colour, gradient and layout statistics."""

import functools

import numpy as np
from skimage import color, feature, transform

from trsum_jax.video.encoders.encoder import Encoder

NAME = 'descriptor-1'
WIDTH = 1024

_SIDE = 96
_LAYOUT = 8
_HUES, _TONES = 16, 8
_CELLS, _ORIENTATIONS = 8, 8
_PATCHES, _PATTERNS = 4, 10
_FULL_CHROMA = 64.0
_FAINT_CONTRAST = 0.02


def descriptor(rgb: np.ndarray) -> np.ndarray:
    """Describes one frame by what colours, edges and textures it has, and where.

    The frame is first averaged down to 96 x 96 pixels whatever its size and shape, so that the same picture
    in two resolutions has nearly the same descriptor. Four parts, each of length one before they are joined
    (none outweighs the others), and the whole of length one again:

    | part      | width                 | what                                                              |
    |-----------|-----------------------|-------------------------------------------------------------------|
    | layout    | 192 = 8 x 8 x 3       | mean CIELAB colour of each cell, mid-grey as the origin           |
    | colour    | 160 = 5 x (16 + 8 + 8)| of the frame and its quarters: hue weighted by chroma, lightness, |
    |           |                       | chroma; square roots of shares                                    |
    | gradient  | 512 = 8 x 8 x 8       | histogram of oriented gradients, normalised over the frame        |
    | texture   | 160 = 4 x 4 x 10      | uniform local binary patterns; square roots of shares             |

    A frame without edges (black, a fade) has gradient zero, and faint edges count less, so that the noise of
    a dark frame is not blown up. Colour and texture are never zero, so every frame, black ones too, has a
    descriptor of length one.

    Args:
        rgb: [H, W, 3] uint8.

    Returns:
        [1024] float32 of Euclidean length 1.

    Raises:
        ValueError: `rgb` has another shape or dtype.
    """
    if rgb.ndim != 3 or rgb.shape[-1] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f'expected a frame [H, W, 3] uint8, found {list(rgb.shape)} {rgb.dtype}')
    small = np.clip(_small(rgb) / 255, 0, 1)
    lab = color.rgb2lab(small)
    grey = color.rgb2gray(small)
    parts = [_layout(lab), _colour(lab), _gradient(grey), _texture(grey)]
    joined = np.concatenate(parts).astype(np.float64)
    return (joined / np.linalg.norm(joined)).astype(np.float32)


def load_descriptor() -> Encoder:
    """The descriptor as an encoder, picture by picture."""
    return Encoder(NAME, 1, descriptor, lambda rows: rows)


def _small(rgb: np.ndarray) -> np.ndarray:
    """The frame by `resize_local_mean`, rows first, without most of its products, which are with 0."""
    for _ in range(2):
        rows = rgb.reshape(len(rgb), -1)
        means = [weights @ rows[span].astype(np.float32, copy=False) for span, weights in _means(len(rgb))]
        rgb = np.stack(means).reshape(_SIDE, -1, 3).transpose(1, 0, 2)
    return rgb


@functools.lru_cache(maxsize=8)
def _means(n: int) -> list[tuple[slice, np.ndarray]]:
    """Of every small row: which of `n` large ones it is a mean of, and their weights."""
    # The large rows as channels of a picture one pixel wide: all else would be products with 0 and 1.
    every = _resized(np.eye(n, dtype=np.float32)[:, None], (_SIDE, 1))[:, 0]
    spans = [slice(used[0], used[-1] + 1) for used in map(np.flatnonzero, every)]
    return [(span, weights[span]) for span, weights in zip(spans, every, strict=True)]


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return transform.resize_local_mean(picture, size, preserve_range=True, channel_axis=-1)


def _unit(part: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(part)
    return part / length if length > 0 else part


def _layout(lab: np.ndarray) -> np.ndarray:
    cells = _resized(lab, (_LAYOUT, _LAYOUT))
    return _unit((cells - np.array([50, 0, 0])).ravel())


def _shares(position: np.ndarray, weight: np.ndarray, bins: int, *, circular: bool) -> np.ndarray:
    """Shares of `bins` bins, [5, bins], of all pixels and those of each quarter.

    Every pixel is split between the two bins whose centres are nearest.
    """
    low = np.floor(position - 0.5).astype(np.int64)
    part = position - 0.5 - low
    ends = np.stack([low, low + 1])
    ends = ends % bins if circular else np.clip(ends, 0, bins - 1)
    lower, right = np.indices(position.shape) // (_SIDE // 2)
    places = (2 * lower + right) * bins + ends
    counts = np.bincount(places.ravel(), np.stack([weight * (1 - part), weight * part]).ravel(), 4 * bins)
    quarters = 4 * counts.reshape(4, bins) / position.size
    return np.concatenate([quarters.mean(axis=0, keepdims=True), quarters])


def _colour(lab: np.ndarray) -> np.ndarray:
    lch = color.lab2lch(lab)
    chroma = np.minimum(lch[..., 1] / _FULL_CHROMA, 1)
    hue = lch[..., 2] / (2 * np.pi) * _HUES
    lightness = lch[..., 0] / 100 * _TONES
    shares = [
        _shares(hue, chroma, _HUES, circular=True),
        _shares(lightness, np.ones_like(chroma), _TONES, circular=False),
        _shares(chroma * _TONES, np.ones_like(chroma), _TONES, circular=False),
    ]
    return _unit(np.sqrt(np.concatenate(shares, axis=1).ravel()))


def _gradient(grey: np.ndarray) -> np.ndarray:
    cell = _SIDE // _CELLS
    halves = feature.hog(
        grey,
        orientations=2 * _ORIENTATIONS,
        pixels_per_cell=(cell, cell),
        cells_per_block=(_CELLS, _CELLS),
        block_norm='L2',
    )
    # Joined across 0 degrees, so that an upright edge is the middle of a bin and not the border of two.
    histograms = np.roll(halves.reshape(-1, 2 * _ORIENTATIONS), 1, axis=1).reshape(-1, 2).sum(axis=1)
    contrast = grey.std()
    return _unit(histograms) * contrast / (contrast + _FAINT_CONTRAST)


def _texture(grey: np.ndarray) -> np.ndarray:
    patterns = feature.local_binary_pattern(np.round(grey * 255).astype(np.uint8), 8, 1, method='uniform')
    patch = _SIDE // _PATCHES
    rows, columns = np.indices(grey.shape) // patch
    cells = (rows * _PATCHES + columns) * _PATTERNS + patterns.astype(np.int64)
    counts = np.bincount(cells.ravel(), minlength=_PATCHES**2 * _PATTERNS)
    return _unit(np.sqrt(counts))
