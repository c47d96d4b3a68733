"""ONNX models that would fill the memory, never end, read other files, or give what is no description."""

import os
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('av')

import onnx
from onnx import TensorProto, helper
from rendered import scene, write_video

from tests.video.encoders.test_onnx import PLAIN, flat, means, model, pictures
from trsum_jax.errors import InputError
from trsum_jax.video.encoders import onnx_session
from trsum_jax.video.encoders.encoder import encode_video, unit_rows
from trsum_jax.video.encoders.loading import load
from trsum_jax.video.reading import VideoReader


@pytest.mark.parametrize(
    ('shape', 'options', 'message'),
    [
        (
            [10**9, 3, 8, 8],
            {},
            r'batch of inputs of at most 536,870,912 bytes, found 768,000,000,000 for 1000000000',
        ),
        ([1, 3, 10**6, 10**6], {}, 'batch of inputs of at most'),
        (['n', 3, 'h', 'w'], {'size': 10**6}, 'batch of inputs of at most'),
        (['n', 3, 8, 8], {'batch': 10**12}, 'batch of inputs of at most'),
        ([1, 3, 10**6, 8, 8], {}, 'batch of inputs of at most .* 1 inputs of 1000000 pictures 8x8'),
        ([1, 3, 0, 8], {}, 'expected a height of at least 1, found 0; export it again'),
        ([0, 3, 8, 8], {}, 'expected a batch of at least 1, found 0; export it again'),
        ([1, 3, 8, -5], {}, 'expected a width of at least 1'),
        ([-1, 3, 8, 8], {'batch': -2}, 'expected a batch of at least 1, found -2'),
        (['n', 4, 8, 8], {}, 'no axis of size 3'),
        (['n', 4, 8, 8], {'layout': 'NCHW'}, 'with 3 channels'),
        (['n', 3, 8, 8], {'std': (1e-300, 1, 1)}, 'too small for a mean'),
    ],
)
def test_inputs_that_no_encoder_has(shape, options, message, tmp_path):
    path = means(tmp_path / 'm.onnx', shape, list(range(2, len(shape))))
    with pytest.raises(InputError, match=message):
        load('onnx', model=path, **options)


def test_a_model_of_two_inputs(tmp_path):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ['n', 3, 8, 8]) for name in 'xzy']
    graph = helper.make_graph([helper.make_node('Add', ['x', 'z'], ['y'])], 'tiny', values[:2], values[2:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    made.ir_version = 9
    onnx.save(made, tmp_path / 'm.onnx')
    with pytest.raises(InputError, match='expected one input of 4 axes'):
        load('onnx', model=tmp_path / 'm.onnx')


def filled(path, n):
    """A model that makes `n` zeros as it runs, and adds their mean."""
    nodes = [
        helper.make_node('ReduceMean', ['x'], ['r'], axes=[2, 3], keepdims=0),
        helper.make_node('ReduceMax', ['x'], ['one'], keepdims=0),
        helper.make_node('Cast', ['one'], ['whole'], to=TensorProto.INT64),
        helper.make_node('Sub', ['n', 'whole'], ['shape']),
        helper.make_node('ConstantOfShape', ['shape'], ['zeros']),
        helper.make_node('ReduceMean', ['zeros'], ['m'], keepdims=0),
        helper.make_node('Add', ['r', 'm'], ['y']),
    ]
    return model(path, ['n', 3, 8, 8], nodes, constants=[('n', [n])])


def test_a_model_that_makes_more_numbers_than_there_is_room_for(tmp_path):
    assert load('onnx', model=filled(tmp_path / 'few.onnx', 1000), **PLAIN).encode(pictures()).shape == (3, 3)
    for n in (400_000_000, 10**12):
        with pytest.raises(InputError, match=r'many\.onnx: an input .* does not run; it says: .*memory'):
            load('onnx', model=filled(tmp_path / 'many.onnx', n))


def test_a_larger_input_has_more_room(tmp_path):
    path = filled(tmp_path / 'm.onnx', 400_000_000)
    small = onnx.load(path)
    small.graph.input[0].CopyFrom(helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', 3, 1200, 1200]))
    onnx.save(small, path)
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        original = onnx_session.open_session
        patch.setattr(
            onnx_session,
            'open_session',
            lambda *given: asked.append(given[2:]) or original(given[0], given[1], 1),
        )
        with pytest.raises(InputError, match='does not run'):
            load('onnx', model=path, batch=4)
    assert asked == [(), (4 * 3 * 1200 * 1200 * 4 * 64,)]


def test_a_model_that_never_ends(tmp_path, monkeypatch):
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node('Identity', ['go'], ['on']), helper.make_node('Add', ['v', 'v'], ['w'])],
        'body',
        [
            info('i', TensorProto.INT64, []),
            info('go', TensorProto.BOOL, []),
            info('v', TensorProto.FLOAT, None),
        ],
        [info('on', TensorProto.BOOL, []), info('w', TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node('ReduceMean', ['x'], ['r'], axes=[2, 3], keepdims=0),
        helper.make_node('Loop', ['times', '', 'r'], ['y'], body=body),
    ]
    path = model(tmp_path / 'm.onnx', ['n', 3, 8, 8], nodes, constants=[('times', [10**12])])
    monkeypatch.setattr(onnx_session, '_PATIENCE', 0.3)
    with pytest.raises(InputError, match=r'm\.onnx: an input .* took more than 0\.3 s, and was stopped'):
        load('onnx', model=path)


@pytest.mark.parametrize('location', ['w.bin', '../w.bin', '/etc/hostname', 'pipe', '../../../../etc/passwd'])
def test_weights_in_other_files(location, tmp_path):
    path = model(
        tmp_path / 'm.onnx',
        ['n', 3, 8, 8],
        [helper.make_node('Add', ['x', 'w'], ['y'])],
        out=['n', 3, 8, 8],
        floats=[('w', [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])],
    )
    load('onnx', model=path)
    made = onnx.load(path)
    tensor = made.graph.initializer[0]
    tensor.ClearField('float_data')
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (('location', location), ('offset', '0'), ('length', '32')):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(made.SerializeToString())
    (tmp_path / 'w.bin').write_bytes(np.ones(8, np.float32).tobytes())
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(InputError, match=r'all weights in the one file; it says: .*External data path'):
        load('onnx', model=path)


def test_what_is_no_model(tmp_path, monkeypatch):
    path = means(tmp_path / 'm.onnx', ['n', 3, 8, 8], [2, 3])
    made = onnx.load(path)
    made.opset_import[0].version = 999
    onnx.save(made, tmp_path / 'late.onnx')
    with pytest.raises(
        InputError, match=r'late\.onnx: expected an ONNX model that onnxruntime runs, .*opset'
    ):
        load('onnx', model=tmp_path / 'late.onnx')
    os.mkfifo(tmp_path / 'pipe.onnx')
    with pytest.raises(InputError, match='expected an ONNX model, found a pipe or a device'):
        load('onnx', model=tmp_path / 'pipe.onnx')
    with (tmp_path / 'large.onnx').open('wb') as file:
        file.truncate(1 << 31)
    with pytest.raises(InputError, match='of at most 2,147,483,647 bytes, found 2,147,483,648'):
        load('onnx', model=tmp_path / 'large.onnx')


def test_a_name_that_is_no_text_is_said_once(tmp_path, capfd):
    path = means(tmp_path / 'm.onnx', ['n', 3, 8, 8], [2, 3])
    path.write_bytes(path.read_bytes().replace(b'\x01x', b'\x01\xff').replace(b'\x01y', b'\x01\xfe'))
    with pytest.raises(InputError, match=r'that onnxruntime runs, .*codec'):
        load('onnx', model=path)
    assert capfd.readouterr() == ('', '')


def test_a_model_without_outputs(tmp_path):
    path = means(tmp_path / 'm.onnx', ['n', 3, 8, 8], [2, 3])
    made = onnx.load(path)
    del made.graph.output[:]
    onnx.save(made, path)
    with pytest.raises(InputError, match='--onnx_output=: expected one of'):
        load('onnx', model=path)


def test_outputs_that_describe_nothing(tmp_path):
    names = model(
        tmp_path / 'text.onnx',
        ['n', 3, 8, 8],
        [
            helper.make_node('ReduceMean', ['x'], ['r'], axes=[2, 3], keepdims=0),
            helper.make_node('Cast', ['r'], ['y'], to=TensorProto.STRING),
        ],
        out_kind=TensorProto.STRING,
    )
    with pytest.raises(
        InputError, match=r'expected numbers for every picture, found an output \[16, 3\] of obj'
    ):
        load('onnx', model=names)
    with pytest.raises(
        InputError, match=r'at most 65,536 numbers for a picture, found 67,500; give --onnx_out'
    ):
        load('onnx', model=flat(tmp_path / 'wide.onnx', ['n', 3, 150, 150]))


def test_a_width_that_depends_on_the_picture(tmp_path):
    nodes = [
        helper.make_node('ReduceMax', ['x'], ['most'], keepdims=1),
        helper.make_node('Cast', ['most'], ['whole'], to=TensorProto.INT64),
        helper.make_node('Reshape', ['whole', 'flat'], ['one']),
        helper.make_node('Mul', ['one', 'times'], ['more']),
        helper.make_node('Add', ['more', 'least'], ['shape']),
        helper.make_node('ConstantOfShape', ['shape'], ['y']),
    ]
    constants = [('flat', [1]), ('times', [0, 1]), ('least', [1, 5])]
    encoder = load(
        'onnx', model=model(tmp_path / 'm.onnx', [1, 3, 8, 8], nodes, constants=constants), **PLAIN
    )
    black = np.zeros((8, 8, 3), np.uint8)
    assert encoder.encode([black]).shape == (1, 5)
    with pytest.raises(InputError, match='expected 5 numbers for every picture, as for the first, found 6'):
        encoder.encode([black + 1])


def test_no_number_is_told_of_with_its_second(tmp_path):
    # The logarithm of a black picture.
    nodes = [
        helper.make_node('ReduceMean', ['x'], ['r'], axes=[2, 3], keepdims=0),
        helper.make_node('Log', ['r'], ['y']),
    ]
    path = model(tmp_path / 'm.onnx', ['n', 3, 8, 8], nodes)
    frames = [scene(0, height=32, width=32)] * 30
    frames[20:] = [np.zeros((32, 32, 3), np.uint8)] * 10
    video = write_video(tmp_path / 'v.mp4', frames, range(30), tick=Fraction(1, 10), fps=10)
    encoder = load('onnx', model=path, batch=2, **PLAIN)
    with pytest.raises(
        InputError, match=r'v\.mp4: .*NaN or infinity at frame 20 \(second 2\.00\) from onnx-1'
    ):
        encode_video(VideoReader(video), encoder)


def test_large_numbers_keep_their_direction():
    rows = np.array([[3e30, 4e30], [3.0, 4.0], [0.0, 0.0]], np.float32)
    found = unit_rows(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.6, 0.8], [0, 0]], rtol=1e-6)
    assert np.isnan(unit_rows(np.array([[np.inf, 1.0]], np.float32))).any()
