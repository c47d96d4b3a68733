"""A summary as a film of few bytes, to be part of a page that is sent around."""

import dataclasses
import pathlib
from collections.abc import Callable

from trsum_jax.video.forms import FORMS
from trsum_jax.video.summary import Summary
from trsum_jax.video.writing import write_video

LARGEST = 5_000_000
# Bits per second: with fewer in all there is nothing to look at; sound gets a share, and none where that is
# too few for speech; for two channels it takes more.
_LEAST, _SOUND, _SPEECH, _STEREO = 24_000, (0.2, 64_000), 12_000, 40_000
# For the container, and what the encoder does beyond its limit.
_SPARE = 0.92
# Bits of a pixel at that limit, and pixels of a picture: 160x90 to 640x360.
_BITS, _PIXELS = 0.07, (14_400, 230_400)


def write_small(
    summary: Summary,
    output: pathlib.Path,
    *,
    sound: str = 'all',
    largest: int = LARGEST,
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
        progress: as `write_video`; it may begin again.

    Returns:
        Whether it could be written in so few bytes; else there is no file.

    Raises:
        InputError: as `write_video`.
    """
    bits = _SPARE * 8 * largest / summary.length
    while bits >= _LEAST:
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
        write_video(summary, output, sound='main' if heard else 'none', form=form, progress=progress)
        if (size := output.stat().st_size) <= largest:
            return True
        output.unlink()
        bits *= 0.9 * largest / size
    return False
