"""The encoders by name, and their flags."""

import importlib.util
import inspect

from absl import flags

from trsum_jax.errors import InputError
from trsum_jax.video.encoders.encoder import FILTERS, WEIGHTS, Encoder

NAMES = ('descriptor', 'googlenet', 'efficientnet_lite0', 'onnx')
# One of them, by what is at hand.
AUTO = 'auto'
_EXTRAS = {'skimage': 'video', 'av': 'video', 'platformdirs': 'video', 'onnxruntime': 'onnx'}
# A flag's encoders, as a message names them, and its option of theirs.
_FLAGS = {
    'weights': ('googlenet or efficientnet_lite0', 'weights'),
    'onnx': ('onnx', 'model'),
    **{f'onnx_{option}': ('onnx', option) for option in ('size', 'resize', 'filter', 'scale', 'mean', 'std')},
    **{f'onnx_{option}': ('onnx', option) for option in ('clip', 'stride', 'layout', 'output', 'batch')},
    'onnx_unit': ('onnx', 'unit'),
}


def at_hand(like: str | None = None, *, light: bool = False) -> str:
    """What `auto` stands for.

    Args:
        like: what made the features of the training that is to score, where there is one.
        light: whether JAX is not to be loaded.

    Returns:
        The encoder that `like` tells of, but for `onnx`, which needs its model; else `efficientnet_lite0`,
        where its weights are installed; else `descriptor`.
    """
    of_training = [name for name in NAMES if name != 'onnx' and (like or '').startswith(f'{name}-')]
    if of_training:
        return of_training[0]
    return 'efficientnet_lite0' if not light and importlib.util.find_spec(WEIGHTS) else 'descriptor'


def load(name: str, **options) -> Encoder:
    """The encoder of a name, ready to run.

    Args:
        name: one of `NAMES`.
        options: `weights` of GoogLeNet and EfficientNet-Lite0, or those of `load_onnx` (`model`, `size`, …);
            None is the default.

    Returns:
        The encoder.

    Raises:
        InputError: an unknown name, an option of another encoder, a package that is not installed, or what
            the encoder finds wrong with its files.
    """
    if name not in NAMES:
        raise InputError(f'--encoder={name}: expected one of {", ".join(NAMES)}')
    try:
        if name == 'descriptor':
            from trsum_jax.video.encoders.descriptor import load_descriptor as make
        elif name == 'googlenet':
            from trsum_jax.video.encoders.googlenet import load_googlenet as make
        elif name == 'efficientnet_lite0':
            from trsum_jax.video.encoders.efficientnet import load_efficientnet_lite0 as make
        else:
            from trsum_jax.video.encoders.onnx import load_onnx as make
    except ModuleNotFoundError as error:
        package = (error.name or '').split('.')[0]
        if package not in _EXTRAS:
            raise
        raise InputError(
            f'--encoder={name} needs the package {package}, which is not installed; '
            f'run: pip install "trsum_jax[{_EXTRAS[package]}]"'
        ) from error
    given = {option: value for option, value in options.items() if value is not None}
    if foreign := set(given) - set(inspect.signature(make).parameters):
        by_option = {option: (flag, owners) for flag, (owners, option) in _FLAGS.items()}
        flag, owners = by_option.get(min(foreign), (min(foreign), 'none'))
        raise InputError(
            f'--{flag} is an option of --encoder={owners}, found with --encoder={name}; leave it out'
        )
    return make(**given)


def define_flags(*, auto: bool = False) -> None:
    """Declares `--encoder` and the options of all encoders, for the commands that read videos.

    Args:
        auto: whether the encoder may be the one at hand, which is then the default.
    """
    if auto:
        text = "what describes the pictures; auto: the checkpoint's, else learned weights where installed"
        flags.DEFINE_enum('encoder', AUTO, (AUTO, *NAMES), text)
    else:
        flags.DEFINE_enum('encoder', 'descriptor', NAMES, 'what describes the pictures')
    flags.DEFINE_string(
        'weights',
        None,
        "googlenet: torchvision's checkpoint; else downloaded once to a cache. efficientnet_lite0: its "
        'checkpoint; else of the installed package',
    )
    flags.DEFINE_string('onnx', None, 'onnx: the model, pictures in and features out')
    flags.DEFINE_list('onnx_size', None, 'onnx: side, or height,width, where the model does not say')
    flags.DEFINE_integer(
        'onnx_resize', None, 'onnx: shorter side before the centre is cut out; else the size'
    )
    flags.DEFINE_enum('onnx_filter', None, list(FILTERS), 'onnx: how pictures are resized; else bilinear')
    flags.DEFINE_float('onnx_scale', None, 'onnx: what pixels are multiplied by first; else 1/255')
    flags.DEFINE_list('onnx_mean', None, "onnx: then subtracted, for R,G,B; else ImageNet's mean")
    flags.DEFINE_list('onnx_std', None, "onnx: then divided by, for R,G,B; else ImageNet's deviation")
    flags.DEFINE_integer('onnx_clip', None, 'onnx: pictures in a clip, where the model does not say')
    flags.DEFINE_integer('onnx_stride', None, 'onnx: frames from one picture of a clip to the next; else 1')
    flags.DEFINE_string('onnx_layout', None, 'onnx: NCHW, NHWC, NCTHW, …; else found by the axis of size 3')
    flags.DEFINE_string('onnx_output', None, "onnx: which output; else the model's first")
    flags.DEFINE_integer('onnx_batch', None, 'onnx: pictures or clips at once, where the model does not say')
    flags.DEFINE_bool('onnx_unit', None, 'onnx: scale rows to length 1; else yes')


def from_flags(values: flags.FlagValues) -> Encoder | str:
    """The encoder that the command line asks for (`define_flags`); `auto` as it is, as more decides it.

    Raises:
        InputError: as `load`.
    """
    if values.encoder == AUTO and all(values[flag].value is None for flag in _FLAGS):
        return AUTO
    return load(values.encoder, **{option: values[flag].value for flag, (_, option) in _FLAGS.items()})
