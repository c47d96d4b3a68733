"""A summary as a film of few bytes, to be part of a page that is sent around."""

import dataclasses
import pathlib
from collections.abc import Callable

from trsum_jax.video.forms import FORMS, Form
from trsum_jax.video.summary import Summary
from trsum_jax.video.writing import Copy, write_video

LARGEST = 5_000_000
# Bits per second: with fewer in all there is nothing to look at; sound gets a share, and none where that is
# too few for speech; for two channels it takes more.
_LEAST, _SOUND, _SPEECH, _STEREO = 24_000, (0.2, 64_000), 12_000, 40_000
# For the container, and what the encoder does beyond its limit.
_SPARE = 0.92
# Bits of a pixel at that limit, and pixels of a picture: 160x90 to 640x360.
_BITS, _PIXELS = 0.07, (14_400, 230_400)
# Pixels of all frames of a film that are likely to take more than `LARGEST` in full size: .13 bits each.
_LARGE = 300_000_000


def write_small(
    summary: Summary,
    output: pathlib.Path,
    *,
    sound: str = 'all',
    largest: int = LARGEST,
    tried: int = 0,
    progress: Callable[[float], None] | None = None,
) -> bool:
    """Writes the film of a summary again, with the same times, in at most so many bytes (.mp4).

    The longer it is, the smaller and coarser are its pictures; sound, of the main track, becomes mono and
    then is left out. Of half an hour nothing could be seen.

    Args:
        summary: what to write.
        output: replaced where it exists.
        sound: `none`, or the main track.
        largest: bytes.
        tried: bytes of the copy of `small_copy`, where there is one and it is too large.
        progress: as `write_video`; it may begin again.

    Returns:
        Whether it could be written in so few bytes; else there is no file.

    Raises:
        InputError: as `write_video`.
    """
    bits = _rate(summary, largest) * (_lowered(largest, tried) if tried else 1)
    while bits >= _LEAST:
        form, heard = _how(summary, sound, bits)
        write_video(summary, output, sound=heard, form=form, progress=progress)
        if (size := output.stat().st_size) <= largest:
            return True
        output.unlink()
        bits *= _lowered(largest, size)
    return False


def small_copy(summary: Summary, output: pathlib.Path, *, sound: str = 'all') -> Copy | None:
    """The film of `write_small`, to be made while that of full size is, where that will be a large one.

    Args:
        summary: what to write.
        output: where the copy goes.
        sound: as of `write_small`.

    Returns:
        For `write_video`; None where the film is too long for a copy.
    """
    bits = _rate(summary, LARGEST)
    return Copy(output, *_how(summary, sound, bits), _LARGE) if bits >= _LEAST else None


def _rate(summary: Summary, largest: int) -> float:
    """Bits a second, of a film of so many bytes."""
    return _SPARE * 8 * largest / summary.length


def _lowered(largest: int, size: int) -> float:
    """What to multiply a rate by that gave too many bytes."""
    return 0.9 * largest / size


def _how(summary: Summary, sound: str, bits: float) -> tuple[Form, str]:
    """Form and sound of a copy of so many bits a second."""
    share, most = _SOUND
    heard = int(min(share * bits, most))
    heard = heard if sound != 'none' and heard >= _SPEECH else 0
    rate = int(bits - heard)
    options = FORMS['.mp4'].options | {'crf': '26', 'maxrate': str(rate), 'bufsize': str(2 * rate)}
    form = dataclasses.replace(
        FORMS['.mp4'],
        options=options,
        pixels=int(min(max(rate / (_BITS * summary.fps), _PIXELS[0]), _PIXELS[1])),
        layout='stereo' if heard >= _STEREO else 'mono',
        sound_rate=heard,
    )
    return form, 'main' if heard else 'none'
