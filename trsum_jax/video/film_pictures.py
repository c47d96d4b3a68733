"""The stream of pictures of a film that is written, and frames as it takes them."""

import math
from fractions import Fraction

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from trsum_jax.errors import InputError
from trsum_jax.video.forms import Form


def picture_stream(
    container: av.container.OutputContainer,
    form: Form,
    frame: av.VideoFrame,
    fps: float,
    clock: int | Fraction,
    shape: Fraction | None = None,
) -> av.VideoStream:
    """Adds the stream of pictures to a film.

    Args:
        container: the film.
        form: of the film.
        frame: such as it will get, by `fitted`.
        fps: frames per second on average.
        clock: ticks a second.
        shape: width of a pixel by its height; None for squares.

    Returns:
        The stream.

    Raises:
        InputError: this PyAV has not the codec.
    """
    try:
        stream = container.add_stream(
            form.pictures,
            rate=Fraction(fps).limit_denominator(1001),
            options=dict(form.options),
            pix_fmt='yuv420p',
            bit_rate=0,
        )
    except av.codec.codec.UnknownCodecError as error:
        raise InputError(
            f'writing this film needs a PyAV with {form.pictures}, which this one is without; '
            'its wheels have it: pip install --force-reinstall --only-binary=av av'
        ) from error
    context = stream.codec_context
    scale = min(1.0, (form.pixels / (frame.width * frame.height)) ** 0.5) if form.pixels else 1.0
    stream.width, stream.height = (
        2 * math.ceil(side / 2) if scale == 1 else max(2, 2 * round(side * scale / 2))
        for side in (frame.width, frame.height)
    )
    context.time_base = 1 / Fraction(clock)
    context.flags |= Flags.frame_duration
    if shape:
        context.sample_aspect_ratio = shape
    if frame.format.is_rgb:
        context.colorspace, context.color_range = 1, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    else:
        context.colorspace, context.color_range = frame.colorspace, frame.color_range
        context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
    display = frame.side_data.get('DISPLAYMATRIX')
    if display is not None:
        stream.set_display_matrix(np.frombuffer(display, np.int32)[:9].tolist())
    return stream


def fitted(frame: av.VideoFrame, context: av.VideoCodecContext) -> av.VideoFrame:
    """The frame in the size and format of the stream: an odd edge repeated, another size scaled."""
    matrix = {'dst_colorspace': 'ITU709', 'dst_color_range': 'MPEG'} if frame.format.is_rgb else {}
    grown = (context.height - frame.height, context.width - frame.width)
    if max(grown) == 1 and min(grown) >= 0:
        whole = frame.reformat(format='yuv444p', **matrix).to_ndarray()
        padded = np.pad(whole, ((0, 0), (0, grown[0]), (0, grown[1])), mode='edge')
        return av.VideoFrame.from_ndarray(padded, 'yuv444p').reformat(format='yuv420p')
    # By this thread, as in `reading.picture`.
    return frame.reformat(context.width, context.height, 'yuv420p', threads=1, **matrix)
