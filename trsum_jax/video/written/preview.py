"""A summary as a small moving picture for a message or a page: .gif or .webp, at most 5 MB."""

import pathlib

import numpy as np
from PIL import Image

from trsum_jax import files
from trsum_jax.video.storyboard import pictures_at, upright
from trsum_jax.video.summary import Summary

PREVIEWS = ('.gif', '.webp')
LARGEST = 5_000_000
# Seconds and pictures a second; a GIF counts in hundredths.
_LONGEST, _STEP = 12.0, 0.1
# Pixels of the longer side, at first and at least.
_SIDE, _LEAST = 320, 16


def write_preview(summary: Summary, output: pathlib.Path, *, largest: int = LARGEST) -> None:
    """Writes a moving picture without sound that shows the middle of every part, again and again.

    It lasts 12 s at most, of which each part has its share, at ten pictures a second. It is 320 pixels wide
    or high, or as many as `largest` allows.

    Args:
        summary: what to show.
        output: ends in one of `PREVIEWS`; replaced where it exists.
        largest: bytes.

    Raises:
        InputError: the video cannot be read, or the file not be written.
    """
    pictures = _pictures(summary)
    side = float(max(pictures[0].size))
    with files.replacing(output) as temporary:
        while True:
            _save([_within(picture, side) for picture in pictures], temporary, output.suffix.lower())
            size = temporary.stat().st_size
            if size <= largest or side <= _LEAST:
                return
            # Bytes go about with the pixels; a little less, so that it ends.
            side = max(_LEAST, 0.9 * side * (largest / size) ** 0.5)


def _pictures(summary: Summary) -> list[Image.Image]:
    """Ten pictures a second of the middle of every part, upright, in order."""
    times = summary.frame_times
    share = min(1.0, _LONGEST / summary.length)
    moments = []
    for start, end in summary.seconds(summary.parts):
        count = max(1, round((end - start) * share / _STEP))
        middle = (start + end) / 2 + (np.arange(count) - (count - 1) / 2) * _STEP
        moments += np.clip(middle, start, end - _STEP / 100).tolist()
    # Of very many parts some are left out, evenly.
    most = round(_LONGEST / _STEP)
    kept = np.linspace(0, len(moments) - 1, min(len(moments), most)).round().astype(int)
    # The frame that is shown at a moment; a rounded time may lie just before it.
    wanted = np.searchsorted(times, np.array(moments)[kept] + 1e-6, side='right') - 1
    return pictures_at(
        summary,
        wanted.tolist(),
        'pictures of the preview',
        lambda reader, frame: _within(Image.fromarray(upright(reader, frame)), _SIDE),
    )


def _within(picture: Image.Image, side: float) -> Image.Image:
    """The picture with its longer side so many pixels long; never larger than it is."""
    scale = min(1.0, side / max(picture.size))
    size = tuple(max(1, round(scale * length)) for length in picture.size)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _save(pictures: list[Image.Image], place: pathlib.Path, ending: str) -> None:
    how = {'save_all': True, 'duration': round(1000 * _STEP), 'loop': 0}
    if ending == '.gif':
        # Seventy times as fast as PIL's usual method and a third of the bytes, for slightly coarser colours.
        pictures = [picture.quantize(method=Image.Quantize.FASTOCTREE) for picture in pictures]
        pictures[0].save(place, 'GIF', append_images=pictures[1:], optimize=False, **how)
    else:
        pictures[0].save(place, 'WEBP', append_images=pictures[1:], quality=60, **how)
