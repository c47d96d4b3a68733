"""Any image or clip encoder as an ONNX file, through onnxruntime."""

import hashlib
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import onnxruntime

from trsum_jax.errors import InputError
from trsum_jax.files import shown
from trsum_jax.video.encoders import onnx_session
from trsum_jax.video.encoders.encoder import FILTERS, Encoder, fit, unit_rows

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LAYOUTS = ('NCHW', 'NHWC', 'NCTHW', 'NTCHW', 'NTHWC')

_BATCH = 16
_DTYPES = {'tensor(float)': np.float32, 'tensor(float16)': np.float16, 'tensor(double)': np.float64}
# Bytes of a batch of inputs in float32, and how often a network of many channels fills as much with its own.
_LARGEST_BATCH = 1 << 29
_CHANNELS = 64
# Numbers that describe one picture; published encoders give 512 to 4,096.
_WIDEST = 1 << 16


def load_onnx(
    model: str | os.PathLike | None = None,
    *,
    size: int | Sequence[int | str] | None = None,
    resize: int | None = None,
    filter: str = 'bilinear',
    scale: float = 1 / 255,
    mean: Sequence[float | str] = IMAGENET_MEAN,
    std: Sequence[float | str] = IMAGENET_STD,
    clip: int | None = None,
    stride: int = 1,
    layout: str | None = None,
    output: str | None = None,
    batch: int | None = None,
    unit: bool = True,
) -> Encoder:
    """An ONNX model as an encoder.

    The model has one input, pictures [n, …] or clips of them, and an output [n, D]. Outputs of more axes are
    averaged over all but the first and the channels: these are the second axis of the five and four axes of a
    channels-first convolution, and the last of any other (a transformer's [n, tokens, D]).

    Args:
        model: the file.
        size: side of the input, or height and width; only where the model leaves it open.
        resize: what the shorter side is resized to before the centre is cut out; `size` where None.
        filter: `bilinear` or `bicubic`, antialiased both.
        scale: pixels of 0 to 255 are multiplied by this, …
        mean: … less this, by channel R, G, B, …
        std: … and divided by this.
        clip: pictures in a clip, for models with a time axis that leave it open.
        stride: frames of the video from one picture of a clip to the next.
        layout: the order of the input's axes, one of `LAYOUTS`; None finds it by the axis of size 3.
        output: the name of the output; the first where None.
        batch: pictures or clips at once, where the model leaves it open.
        unit: whether rows are scaled to length 1, as the field's feature files have them.

    Returns:
        The encoder; its name holds the first digits of the file's SHA-256 and all that is done to a picture.

    Raises:
        InputError: no model that can be used, or options that do not fit it.
    """
    if model is None:
        raise InputError('--encoder=onnx: expected a model; give --onnx=PATH')
    path = pathlib.Path(model)
    model = shown(path)
    raw = onnx_session.read_model(path)
    session = onnx_session.open_session(model, raw)
    source, layout, dtype = _input(session, model, layout)
    axes = dict(zip(layout, source.shape, strict=True))
    given = _numbers('size', size, (1, 2))
    given = given and [int(side) for side in (given * 2)[:2]]
    height, width = (
        _agreed(model, axes[axis], side, option='size', what=what, default=None)
        for axis, side, what in zip('HW', given or (None, None), ('height', 'width'), strict=True)
    )
    moving = 'T' in layout
    if not moving and clip not in (None, 1):
        raise InputError(
            f'{model}: --onnx_clip={clip} is for models with a time axis, found input {source.shape}'
        )
    n_pictures = (
        _agreed(model, axes['T'], clip, option='clip', what='clip length', default=None) if moving else 1
    )
    n = _agreed(model, axes['N'], batch, option='batch', what='batch', default=_BATCH)
    n_bytes = math.prod((n, n_pictures, height, width, 3, 4))
    if n_bytes > _LARGEST_BATCH:
        raise InputError(
            f'{model}: expected a batch of inputs of at most {_LARGEST_BATCH:,} bytes, found {n_bytes:,} for '
            f'{n} inputs of {n_pictures} pictures {height}x{width}; give a smaller --onnx_batch or '
            '--onnx_size where the model leaves them open'
        )
    if n_bytes * _CHANNELS > onnx_session.MEMORY:
        session = onnx_session.open_session(model, raw, n_bytes * _CHANNELS)
    resize = min(height, width) if resize is None else resize
    if resize < min(height, width):
        raise InputError(f'--onnx_resize={resize}: expected at least the input size {min(height, width)}')
    if filter not in FILTERS:
        raise InputError(f'--onnx_filter={filter}: expected one of {", ".join(FILTERS)}')
    if stride < 1:
        raise InputError(f'--onnx_stride={stride}: expected frames from one picture to the next, at least 1')
    mean, std = (np.array(_numbers(name, each, (3,))) for name, each in (('mean', mean), ('std', std)))
    if not (std > 0).all() or not 0 < scale < float('inf'):
        raise InputError(f'--onnx_scale={scale:g}, --onnx_std={std.tolist()}: expected numbers above 0')
    outputs = [each.name for each in session.get_outputs()]
    output = next(iter(outputs), '') if output is None else output
    if output not in outputs:
        raise InputError(f'--onnx_output={output}: expected one of {shown(", ".join(outputs))} of {model}')
    with np.errstate(over='ignore'):
        factor, offset = (scale / std).astype(np.float32), (mean / std).astype(np.float32)
    if not np.isfinite([factor, offset]).all():
        raise InputError(
            f'--onnx_std={std.tolist()}: too small for a mean of {mean.tolist()}, scale {scale:g}'
        )
    ours = 'NTHWC' if moving else 'NHWC'
    order = [ours.index(axis) for axis in layout]

    width_found = None

    def run(pictures: np.ndarray) -> np.ndarray:
        nonlocal width_found
        pictures = (pictures * factor - offset).astype(dtype)
        if moving and n_pictures == 1:
            pictures = pictures[:, None]
        pictures = np.ascontiguousarray(pictures.transpose(order))
        what = f'{model}: an input {layout} {pictures.shape}'
        feed = {source.name: pictures}
        rows = onnx_session.run(session, output, feed, what, first=width_found is None)
        rows = _pooled(rows, n, model, channels_first=layout.index('C') < layout.index('H'))
        width_found = width_found or rows.shape[1]
        if rows.shape[1] != width_found:
            raise InputError(
                f'{model}: expected {width_found} numbers for every picture, as for the first, found '
                f'{rows.shape[1]}'
            )
        return unit_rows(rows) if unit else rows

    run(np.zeros((n, *((n_pictures,) if n_pictures > 1 else ()), height, width, 3), np.uint8))
    said = {
        'model': hashlib.sha256(raw).hexdigest()[:16],
        'output': shown(output),
        'layout': layout,
        'resize': resize,
        'crop': f'{height}x{width}',
        'filter': filter,
        'scale': f'{scale:.6g}',
        'mean': ','.join(f'{each:g}' for each in mean),
        'std': ','.join(f'{each:g}' for each in std),
        'clip': n_pictures,
        'stride': stride if n_pictures > 1 else 1,
    }
    name = 'onnx-1 ' + ' '.join(f'{key}={value}' for key, value in said.items())
    return Encoder(
        name=f'{name} unit-length' if unit else name,
        batch=n,
        prepare=lambda picture: fit(picture, (height, width), resize, FILTERS[filter]),
        run=run,
        clip=n_pictures,
        stride=stride,
    )


def _input(
    session: onnxruntime.InferenceSession, model: str | os.PathLike, layout: str | None
) -> tuple[onnxruntime.NodeArg, str, type]:
    """The one input, the order of its axes and its dtype."""
    inputs = session.get_inputs()
    found = shown(', '.join(f'{each.name} {each.type} {each.shape}' for each in inputs))
    if len(inputs) != 1 or inputs[0].type not in _DTYPES or len(inputs[0].shape) not in (4, 5):
        expected = 'expected one input of 4 axes (pictures) or 5 (clips), of floats'
        raise InputError(f'{model}: {expected}; found {found}. Export the image encoder alone')
    channels = {each: dict(zip(each, inputs[0].shape, strict=False)).get('C') for each in LAYOUTS}
    channels = {each: n for each, n in channels.items() if len(each) == len(inputs[0].shape)}
    if layout is None:
        plain = [each for each, n in channels.items() if n == 3]
        if len(plain) != 1:
            several = ' or '.join(plain) or 'no axis of size 3 in a usual place'
            raise InputError(f'{model}: the layout of {found} is not plain ({several}); give --onnx_layout')
        layout = plain[0]
    elif layout not in channels or (isinstance(channels[layout], int) and channels[layout] != 3):
        raise InputError(
            f'--onnx_layout={layout}: expected one of {", ".join(LAYOUTS)} with 3 channels; '
            f'{model} has {found}'
        )
    return inputs[0], layout, _DTYPES[inputs[0].type]


def _agreed(
    model: str | os.PathLike, fixed: object, given: int | None, *, option: str, what: str, default: int | None
) -> int:
    """What the model fixes, else what the option says, else the default."""
    if isinstance(fixed, int):
        if given not in (None, fixed):
            raise InputError(
                f'--onnx_{option}: {model} has {what} {fixed}, found {given}; leave the option out'
            )
        if fixed < 1:
            raise InputError(f'{model}: expected a {what} of at least 1, found {fixed}; export it again')
        return fixed
    chosen = default if given is None else given
    if chosen is None or chosen < 1:
        found = 'the model leaves it open' if chosen is None else f'found {chosen}'
        raise InputError(f'{model}: expected a {what} of at least 1, {found}; give --onnx_{option}')
    return chosen


def _numbers(option: str, given: object, counts: tuple[int, ...]) -> list[float] | None:
    if given is None:
        return None
    try:
        numbers = [float(each) for each in (given if isinstance(given, (list, tuple)) else [given])]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in counts or not np.isfinite(numbers).all():
        raise InputError(f'--onnx_{option}={given}: expected {" or ".join(map(str, counts))} numbers')
    return numbers


def _pooled(rows: np.ndarray, n: int, model: str | os.PathLike, *, channels_first: bool) -> np.ndarray:
    if not isinstance(rows, np.ndarray) or rows.ndim < 2 or rows.shape[0] != n:
        found = list(rows.shape) if isinstance(rows, np.ndarray) else type(rows).__name__
        raise InputError(
            f'{model}: expected an output [{n}, D] for {n} inputs, found {found}; give --onnx_output, or '
            '--onnx_batch=1 if the model was exported for one picture'
        )
    if rows.dtype.kind not in 'fiub' or not rows.size:
        raise InputError(
            f'{model}: expected numbers for every picture, found an output {list(rows.shape)} of '
            f'{rows.dtype}; give --onnx_output'
        )
    channels = 1 if rows.ndim == 2 or (channels_first and rows.ndim > 3) else rows.ndim - 1
    if rows.shape[channels] > _WIDEST:
        raise InputError(
            f'{model}: expected at most {_WIDEST:,} numbers for a picture, found {rows.shape[channels]:,}; '
            'give --onnx_output'
        )
    # What is not finite is told of where the picture is known.
    with np.errstate(over='ignore', invalid='ignore'):
        rows = rows.astype(np.float32)
        return rows.mean(axis=tuple(axis for axis in range(1, rows.ndim) if axis != channels))
