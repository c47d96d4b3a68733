"""GoogLeNet layer by layer against the same network in PyTorch, with the same random weights."""

import dataclasses
import functools
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('av')
pytest.importorskip('platformdirs')

import jax
import jax.numpy as jnp
import torch
from PIL import Image
from rendered import scene
from torch import nn
from torch.nn import functional

from trsum_jax.errors import InputError
from trsum_jax.files import sha256
from trsum_jax.video.encoders import googlenet
from trsum_jax.video.encoders.encoder import FILTERS, fit
from trsum_jax.video.encoders.loading import load

# Channels out: 1 x 1; before and of 3 x 3; before and of "5 x 5"; after pooling. Table 1 of the paper.
TABLE = {
    'inception3a': (64, 96, 128, 16, 32, 32),
    'inception3b': (128, 128, 192, 32, 96, 64),
    'inception4a': (192, 96, 208, 16, 48, 64),
    'inception4b': (160, 112, 224, 24, 64, 64),
    'inception4c': (128, 128, 256, 24, 64, 64),
    'inception4d': (112, 144, 288, 32, 64, 64),
    'inception4e': (256, 160, 320, 32, 128, 128),
    'inception5a': (256, 160, 320, 32, 128, 128),
    'inception5b': (384, 192, 384, 48, 128, 128),
}
LAYERS = ('conv1', 'conv2', 'conv3', *TABLE)


class Conv(nn.Module):
    def __init__(self, inside, outside, **how):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, bias=False, **how)
        self.bn = nn.BatchNorm2d(outside, eps=0.001)

    def forward(self, x):
        return functional.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, inside, one, reduce3, three, reduce5, five, pool):
        super().__init__()
        three_by_three = {'kernel_size': 3, 'padding': 1}
        self.branch1 = Conv(inside, one, kernel_size=1)
        self.branch2 = nn.Sequential(
            Conv(inside, reduce3, kernel_size=1), Conv(reduce3, three, **three_by_three)
        )
        self.branch3 = nn.Sequential(
            Conv(inside, reduce5, kernel_size=1), Conv(reduce5, five, **three_by_three)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), Conv(inside, pool, kernel_size=1)
        )

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Network(nn.Module):
    """Batches [n, 3, H, W] normalised with ImageNet's statistics to the outputs of all layers, by name."""

    def __init__(self):
        super().__init__()
        self.conv1 = Conv(3, 64, kernel_size=7, stride=2, padding=3)
        self.conv2 = Conv(64, 64, kernel_size=1)
        self.conv3 = Conv(64, 192, kernel_size=3, padding=1)
        inside = 192
        for name, widths in TABLE.items():
            setattr(self, name, Inception(inside, *widths))
            inside = widths[0] + widths[2] + widths[4] + widths[5]
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x):
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = x * (std / 0.5)[:, None, None] + ((mean - 0.5) / 0.5)[:, None, None]
        found = {}
        for name in LAYERS:
            if name in ('conv2', 'inception3a', 'inception4a'):
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            if name == 'inception5a':
                x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
            x = found[name] = getattr(self, name)(x)
        found['pooled'] = functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return found


@functools.cache
def network():
    """Random weights and random statistics, such that no layer's output dies or explodes."""
    torch.manual_seed(0)
    made = Network().eval()
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
    return made


@functools.cache
def arrays():
    return {name: value.numpy() for name, value in network().state_dict().items()}


def torch_layers(pictures):
    """All layers' outputs for pictures [n, H, W, 3] uint8."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        found = network()((x - mean[:, None, None]) / std[:, None, None])
    return {name: value.numpy() for name, value in found.items()}


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A checkpoint file in the layout of the published one, which is older than zip archives."""
    path = tmp_path_factory.mktemp('weights') / 'net.pth'
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=False)
    return path


# At 64, as at 224, the three pools of 3 x 3 end in a partial window; at 95 some end in a whole one.
@pytest.mark.parametrize('side', [64, 95])
def test_every_layer_agrees_with_pytorch(side):
    pictures = np.stack([scene(seed, height=side, width=side) for seed in range(2)])
    variables = googlenet.variables_of(arrays(), 'memory')

    @jax.jit
    def layers(variables, pictures):
        x = googlenet.normalise(pictures)
        return googlenet.GoogLeNet().apply(variables, x, capture_intermediates=True, mutable='intermediates')

    pooled, captured = layers(variables, pictures)
    expected = torch_layers(pictures)
    assert np.shape(expected['inception5b']) == (2, 1024, *{64: (2, 2), 95: (3, 3)}[side])
    for name in LAYERS:
        (ours,) = captured['intermediates'][name]['__call__']
        theirs = expected[name].transpose(0, 2, 3, 1)
        assert ours.shape == theirs.shape
        assert theirs.std() > 0.1
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max(), err_msg=name)
    np.testing.assert_allclose(pooled, expected['pooled'], atol=1e-4 * np.abs(expected['pooled']).max())


@pytest.mark.parametrize('shape', [(480, 854), (360, 270), (256, 256), (100, 60), (224, 3000), (301, 257)])
def test_preprocessing_is_torchvisions(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    height, width = shape
    short = min(shape)
    whole = (256 * height // short, 256 * width // short)
    resized = functional.interpolate(
        torch.from_numpy(picture).permute(2, 0, 1)[None].float(),
        whole,
        mode='bilinear',
        antialias=True,
        align_corners=False,
    )[0].permute(1, 2, 0)
    top, left = (round((side - 224) / 2) for side in whole)
    expected = resized.numpy()[top : top + 224, left : left + 224]
    ours = fit(picture, (224, 224), 256, FILTERS['bilinear'])
    assert ours.dtype == np.uint8
    # Pillow rounds after each of its two passes.
    np.testing.assert_allclose(ours, expected, atol=1.01)
    assert np.abs(ours - expected).mean() < 0.5
    # What torchvision does to a picture of Pillow's: resize the whole, then cut.
    pillow = Image.fromarray(picture).resize(whole[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(
        ours.astype(int), np.asarray(pillow).astype(int)[top : top + 224, left : left + 224], atol=1
    )


def test_encoder_end_to_end(weights):
    encoder = load('googlenet', weights=weights)
    assert re.fullmatch(
        'googlenet-1 weights=[0-9a-f]{8} resize=256 crop=224 bilinear unit-length', encoder.name
    )
    encoder = dataclasses.replace(encoder, batch=2)
    pictures = [scene(seed, height=256, width=300) for seed in range(3)]
    rows = encoder.encode(pictures)
    assert (rows.shape, rows.dtype) == ((3, 1024), np.float32)
    # 256 high already, so that preprocessing is but the cut.
    cut = np.stack([picture[16:240, 38:262] for picture in pictures])
    pooled = torch_layers(cut)['pooled']
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert np.linalg.norm(expected[0] - expected[1]) > 1e-2
    np.testing.assert_allclose(encoder.encode(pictures[1:2]), rows[1:2], atol=1e-6)


def test_both_ends_of_the_pixel_range():
    ends = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)
    np.testing.assert_allclose(googlenet.normalise(jnp.array(ends)), [[[[-1] * 3, [1] * 3]]], atol=1e-6)


def test_missing_misshapen_and_broken_tensors(tmp_path):
    path = tmp_path / 'net.pth'

    def load_with(**changed):
        state = {**network().state_dict(), **changed}
        torch.save({name: value for name, value in state.items() if value is not None}, path)
        load('googlenet', weights=path)

    key = 'inception4c.branch3.1.bn.running_var'
    with pytest.raises(
        InputError, match=rf"net\.pth: expected torchvision's GoogLeNet, .*https://.*; found no {key} \(but"
    ):
        load_with(**{key: None})
    with pytest.raises(InputError, match=rf'{key}: expected shape \[64\], found \[65\]'):
        load_with(**{key: torch.ones(65)})
    # Same number of entries, but not a convolution's order of axes.
    kernel = 'conv1.conv.weight'
    turned = network().state_dict()[kernel].permute(2, 3, 1, 0)
    with pytest.raises(InputError, match=rf'{kernel}: expected shape \[64, 3, 7, 7\], found \[7, 7, 3, 64\]'):
        load_with(**{kernel: turned})
    for broken, message in (
        (np.full(64, np.nan, np.float32), 'expected finite numbers'),
        # Finite where it stands, not where it is used.
        (np.full(64, 1e300), 'expected finite numbers'),
        (np.full(64, -1.0, np.float32), 'expected variances, found numbers below 0'),
        (np.ones(64, np.int64), 'expected floats, found int64'),
    ):
        with pytest.raises(InputError, match=f'{key}: {message}'):
            googlenet.variables_of({**arrays(), key: broken}, 'net.pth')


def test_the_shapes_are_those_of_the_network():
    theirs = {name: value.shape for name, value in arrays().items()}
    ours = googlenet.shapes()
    assert ours == {name: theirs[name] for name in ours}
    left = {name for name in theirs.keys() - ours.keys() if not name.endswith('num_batches_tracked')}
    assert left == {'fc.weight', 'fc.bias'}


def test_another_network(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / 'a.pth')
    with pytest.raises(
        InputError, match=r"a\.pth: expected torchvision's GoogLeNet, .*; found no .* \(but bias, wei"
    ):
        load('googlenet', weights=tmp_path / 'a.pth')


def test_weights_come_from_the_cache(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(googlenet.download, 'cache_folder', lambda: tmp_path)
    (tmp_path / 'googlenet-1378be20.pth').write_bytes(weights.read_bytes())
    with pytest.raises(InputError, match=r'expected the SHA-256 1378be20[0-9a-f]{56}, found'):
        load('googlenet')
    digest = sha256(weights)
    monkeypatch.setattr(googlenet, 'DIGEST', digest)
    assert f'weights={digest[:8]} ' in load('googlenet').name
    # Eight digits are not enough: the rest counts as well.
    other = digest[:8] + digest[8:][::-1]
    monkeypatch.setattr(googlenet, 'DIGEST', other)
    with pytest.raises(InputError, match=f'expected the SHA-256 {other}, found {digest}'):
        load('googlenet')


def test_nothing_of_this_needs_pytorch(weights):
    program = (
        'import sys; sys.modules["torch"] = None\n'
        'from trsum_jax.video.encoders.loading import load\n'
        f'print(load("googlenet", weights={str(weights)!r}).name)'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith('googlenet-1 weights='), done.stderr
