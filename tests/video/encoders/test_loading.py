"""Which encoder is taken where nobody names one."""

import sys

import pytest

from trsum_jax.video.encoders import encoder, loading


@pytest.mark.parametrize(('like', 'light', 'expected'), [
    (None, False, 'efficientnet_lite0'),
    (None, True, 'descriptor'),
    ('descriptor-1', False, 'descriptor'),
    ('googlenet-1 weights=12345678', False, 'googlenet'),
    ('mine', False, 'efficientnet_lite0'),
    ('onnx-1 model=12345678', False, 'efficientnet_lite0'),
])  # fmt: skip
def test_the_encoder_at_hand(like, light, expected, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: name == encoder.WEIGHTS)
    assert loading.at_hand(like, light=light) == expected


def test_without_learned_weights_it_is_the_descriptor(monkeypatch):
    monkeypatch.setitem(sys.modules, encoder.WEIGHTS, None)
    assert loading.at_hand() == 'descriptor'
