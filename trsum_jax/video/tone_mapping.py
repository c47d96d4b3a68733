"""What is odd of a film's colours; high dynamic range, PQ and HLG, as a picture for ordinary screens."""

import functools
from collections.abc import Iterator

import av
import numpy as np

# Transfer characteristics by the numbers of ITU-T H.273.
PQ, HLG = 16, 18
NAMES = {PQ: 'PQ', HLG: 'HLG'}
# Matrices of luma and colour, by H.273 too, that FFmpeg's scaler knows; it refuses frames of all others.
KNOWN_MATRICES, _UNSPECIFIED = {0, 1, 2, 4, 5, 6, 7, 9}, 2
# cd/m²: the screen's white, which is HDR's for a page of paper (ITU-R BT.2408); the brightest light that is
# told from brighter ones, which HLG's nominal display has too (ITU-R BT.2100).
_WHITE, _PEAK = 203.0, 1000.0
# ITU-R BT.2087: BT.2020's primaries to BT.709's, in linear light.
_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
# SMPTE ST 2084.
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
# ITU-R BT.2100, HLG.
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
# Steps of the tables: of linear light by its square root, fine enough for 8 bits of sRGB.
_STEPS = 8192
# Rows of a picture at a time: they fit into a processor's cache.
_ROWS = 16


class Colours:
    """What the frames of a pass have said of their colours, as far as a person should know it."""

    def __init__(self):
        """Begins before the first frame."""
        self._transfer, self._unknown = 0, 0

    def settle(self, frame: av.VideoFrame) -> None:
        """Takes note of a frame. A matrix that the scaler does not know becomes an unspecified one in it."""
        if frame.color_trc in NAMES:
            self._transfer = frame.color_trc
        if frame.colorspace not in KNOWN_MATRICES:
            self._unknown, frame.colorspace = frame.colorspace, _UNSPECIFIED

    def notes(self) -> Iterator[str]:
        """The notes, in words."""
        if self._transfer:
            yield (
                f'HDR ({NAMES[self._transfer]}): pictures to look at and to describe are mapped '
                'to the range of an ordinary screen'
            )
        if self._unknown:
            yield (
                f'colours by the matrix {self._unknown} of ITU-T H.273, which is not known here, are read as '
                'usual ones: they may look wrong'
            )


def to_srgb(codes: np.ndarray, transfer: int) -> np.ndarray:
    """Tone-maps a picture by the curve of ITU-R BT.2390 (EETF) on the brightest of each pixel's colours.

    Light up to about half the white stays as it is; above, it is pressed together so that 1000 cd/m² become
    white. Hues stay, but for colours that BT.709 does not hold, which are cut.

    Args:
        codes: [H, W, 3] uint16 R'G'B' of BT.2020, full range.
        transfer: `PQ` or `HLG`.

    Returns:
        [H, W, 3] uint8 sRGB.
    """
    shown = np.empty(codes.shape, np.uint8)
    for start in range(0, len(codes), _ROWS):
        rows = slice(start, start + _ROWS)
        for channel, plane in enumerate(_shown(codes[rows], transfer)):
            shown[rows, :, channel] = plane
    return shown


def _shown(codes: np.ndarray, transfer: int) -> list[np.ndarray]:
    """Red, green and blue of some rows, uint8; plane by plane, which takes a fraction of the time."""
    light = [_light(transfer).take(codes[..., channel]) for channel in range(3)]
    if transfer == HLG:
        # The system's gamma of 1.2 at a peak of 1000 cd/m².
        luma = sum(weight * plane for weight, plane in zip(_LUMA, light, strict=True))
        gain = np.maximum(luma, np.float32(1e-9)) ** np.float32(0.2) * np.float32(_PEAK)
        light = [plane * gain for plane in light]
    ratios, codes_of = _tables()
    brightest = np.maximum(np.maximum(light[0], light[1]), light[2])
    steps = np.sqrt(np.minimum(brightest * np.float32(1 / _PEAK), 1)) * np.float32(_STEPS - 1)
    ratio = ratios.take(steps.astype(np.int32))
    light = [plane * ratio for plane in light]
    planes = []
    for row in _TO_709:
        linear = row[0] * light[0] + row[1] * light[1] + row[2] * light[2]
        steps = np.sqrt(np.clip(linear, 0, 1)) * np.float32(_STEPS - 1)
        planes.append(codes_of.take(steps.astype(np.int32)))
    return planes


@functools.cache
def _light(transfer: int) -> np.ndarray:
    """[65536] float32: of every code its light, of PQ in cd/m², of HLG the scene's in [0, 1]."""
    code = np.arange(65536) / 65535
    if transfer == PQ:
        return pq_to_light(code).astype(np.float32)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - _C) / _A) + _B) / 12).astype(np.float32)


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """What each light is multiplied with, its screen's white being 1, and the sRGB code of each result."""
    steps = np.arange(_STEPS) / (_STEPS - 1)
    light = np.maximum(steps, steps[1] / 2) ** 2 * _PEAK
    ratios = compressed(light) / light / _WHITE
    linear = steps**2
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return ratios.astype(np.float32), np.rint(255 * srgb).astype(np.uint8)


def pq_to_light(code: np.ndarray) -> np.ndarray:
    """Light in cd/m² of codes in [0, 1], by SMPTE ST 2084."""
    power = code ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def light_to_pq(light: np.ndarray) -> np.ndarray:
    """Codes in [0, 1] of light in cd/m², the inverse of `pq_to_light`."""
    power = (light / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def compressed(light: np.ndarray) -> np.ndarray:
    """Light of a screen whose white is 203 cd/m² for light up to 1000, by BT.2390's EETF with black at 0.

    Args:
        light: [...] float64, cd/m².

    Returns:
        [...] float64, cd/m², up to 203.
    """
    source = light_to_pq(np.asarray(_PEAK))
    most = light_to_pq(np.asarray(_WHITE)) / source
    knee = 1.5 * most - 0.5
    code = np.minimum(light_to_pq(light) / source, 1)
    t = np.maximum(code - knee, 0) / (1 - knee)
    above = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    )
    return pq_to_light(np.where(code < knee, code, above) * source)
