"""Tiny models made on the spot, with outputs that can be worked out by hand."""

import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('platformdirs')
pytest.importorskip('av')

import onnx
from onnx import TensorProto, helper
from rendered import scene

from trsum_jax.errors import InputError
from trsum_jax.video.encoders.loading import load

PLAIN = {'scale': 1.0, 'mean': (0, 0, 0), 'std': (1, 1, 1), 'unit': False}


def model(
    path,
    shape,
    nodes,
    *,
    out=('n', 'd'),
    kind=TensorProto.FLOAT,
    out_kind=None,
    outputs=None,
    constants=(),
    floats=(),
):
    """A model with the input `x`; its outputs are `y`, or those named."""
    outputs = outputs or {'y': out}
    graph = helper.make_graph(
        nodes,
        'tiny',
        [helper.make_tensor_value_info('x', kind, shape)],
        [helper.make_tensor_value_info(name, out_kind or kind, shape) for name, shape in outputs.items()],
        [
            helper.make_tensor(name, of, [len(values)], values)
            for of, given in ((TensorProto.INT64, constants), (TensorProto.FLOAT, floats))
            for name, values in given
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    made.ir_version = 9
    onnx.checker.check_model(made)
    onnx.save(made, path)
    return path


def means(path, shape, axes, **how):
    """A model that gives the means over some axes."""
    node = helper.make_node('ReduceMean', ['x'], ['y'], axes=axes, keepdims=0)
    return model(path, shape, [node], **how)


def same(path, shape, **how):
    """A model that gives its input back."""
    return model(path, shape, [helper.make_node('Identity', ['x'], ['y'])], out=shape, **how)


def flat(path, shape):
    """A model that gives its input back as rows."""
    return model(path, shape, [helper.make_node('Flatten', ['x'], ['y'], axis=1)])


def pictures(n=3, side=8):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)


@pytest.mark.parametrize(('shape', 'axes'), [(['n', 3, 8, 8], [2, 3]), (['n', 8, 8, 3], [1, 2])])
def test_layout_is_found(shape, axes, tmp_path):
    encoder = load('onnx', model=means(tmp_path / 'm.onnx', shape, axes), **PLAIN)
    rows = encoder.encode(pictures(20))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, pictures(20).mean((1, 2)), rtol=1e-5)


def test_places_keep_their_order(tmp_path):
    x = pictures()
    first = load('onnx', model=flat(tmp_path / 'a.onnx', ['n', 3, 8, 8]), **PLAIN).encode(x)
    last = load('onnx', model=flat(tmp_path / 'b.onnx', ['n', 8, 8, 3]), **PLAIN).encode(x)
    np.testing.assert_array_equal(first, x.transpose(0, 3, 1, 2).reshape(3, -1))
    np.testing.assert_array_equal(last, x.reshape(3, -1))


@pytest.mark.parametrize(('n', 'batch'), [('n', 16), (None, 16), (1, 1), (5, 5)])
def test_fixed_and_open_batches(n, batch, tmp_path):
    encoder = load('onnx', model=means(tmp_path / 'm.onnx', [n, 3, 8, 8], [2, 3], out=(n, 3)), **PLAIN)
    assert encoder.batch == batch
    np.testing.assert_allclose(encoder.encode(pictures(7)), pictures(7).mean((1, 2)), rtol=1e-5)


def test_normalisation(tmp_path):
    path, x = means(tmp_path / 'm.onnx', ['n', 3, 8, 8], [2, 3]), pictures()
    imagenet = (x.mean((1, 2)) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(load('onnx', model=path, unit=False).encode(x), imagenet, rtol=1e-4)
    unit = imagenet / np.linalg.norm(imagenet, axis=1, keepdims=True)
    np.testing.assert_allclose(load('onnx', model=path).encode(x), unit, rtol=1e-4)
    own = load('onnx', model=path, scale=0.5, mean=['1', '2', '3'], std=['4', '5', '6'], unit=False)
    np.testing.assert_allclose(own.encode(x), (x.mean((1, 2)) / 2 - [1, 2, 3]) / [4, 5, 6], rtol=1e-4)


def test_size_where_the_model_leaves_it_open(tmp_path):
    path = same(tmp_path / 'm.onnx', ['n', 3, 'h', 'w'])
    with pytest.raises(
        InputError, match='expected a height of at least 1, the model leaves it open; give --onnx_s'
    ):
        load('onnx', model=path)
    assert load('onnx', model=path, size=8).name.split()[4:6] == ['resize=8', 'crop=8x8']
    assert load('onnx', model=path, size=['6', '9'], resize=12).name.split()[4:6] == ['resize=12', 'crop=6x9']
    with pytest.raises(InputError, match=r'--onnx_resize=5: expected at least the input size 6'):
        load('onnx', model=path, size=[6, 9], resize=5)
    with pytest.raises(InputError, match=r'--onnx_size=.*expected 1 or 2 numbers'):
        load('onnx', model=path, size=['six'])


def test_resize_and_cut(tmp_path):
    path = means(tmp_path / 'm.onnx', ['n', 3, 4, 4], [2, 3])
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, 4:12] = 200
    picture[2:6, 6:10] = 100
    # 8 x 16 to 4 x 8 and the middle 4 x 4: all of it 200 but for the middle 2 x 2; and unreduced, the middle.
    half = load('onnx', model=path, **PLAIN).encode([picture])
    assert 150 < half[0, 0] < 200
    np.testing.assert_allclose(load('onnx', model=path, resize=8, **PLAIN).encode([picture]), 100)


def test_oblong_input_covers(tmp_path):
    encoder = load('onnx', model=same(tmp_path / 'm.onnx', ['n', 3, 4, 8]), **PLAIN)
    for shape in [(90, 40), (40, 90), (1, 1), (4, 8), (1, 400)]:
        np.testing.assert_allclose(encoder.encode([np.full((*shape, 3), 77, np.uint8)]), 77)


@pytest.mark.parametrize(
    ('shape', 'layout'),
    [([2, 3, 4, 8, 8], 'NCTHW'), (['n', 4, 3, 8, 8], 'NTCHW'), (['n', 4, 8, 8, 3], 'NTHWC')],
)
def test_clips(shape, layout, tmp_path):
    axes = [layout.index(axis) for axis in 'HWC']
    encoder = load(
        'onnx', model=means(tmp_path / 'm.onnx', shape, axes, out=(shape[0], 4)), stride=2, **PLAIN
    )
    assert (encoder.clip, encoder.stride) == (4, 2)
    assert f'layout={layout}' in encoder.name
    clips = np.stack([pictures(4), pictures(4)[::-1], pictures(4) // 2])
    np.testing.assert_allclose(encoder.encode(clips), clips.mean((2, 3, 4)), rtol=1e-5)


def test_clip_length_where_the_model_leaves_it_open(tmp_path):
    path = means(tmp_path / 'm.onnx', ['n', 3, 't', 8, 8], [2, 3, 4])
    with pytest.raises(InputError, match=r'expected a clip length of at least 1, .*give --onnx_clip'):
        load('onnx', model=path)
    assert load('onnx', model=path, clip=5, **PLAIN).clip == 5
    single = load('onnx', model=path, clip=1, **PLAIN)
    np.testing.assert_allclose(single.encode(pictures()), pictures().mean((1, 2)), rtol=1e-5)
    fixed = means(tmp_path / 'f.onnx', ['n', 3, 4, 8, 8], [2, 3, 4])
    with pytest.raises(InputError, match='has clip length 4, found 5; leave the option out'):
        load('onnx', model=fixed, clip=5)
    still = means(tmp_path / 's.onnx', ['n', 3, 8, 8], [2, 3])
    with pytest.raises(InputError, match='--onnx_clip=5 is for models with a time axis'):
        load('onnx', model=still, clip=5)


def test_ambiguous_layouts_are_asked_for(tmp_path):
    path = means(tmp_path / 'm.onnx', ['n', 3, 3, 8, 8], [2, 3, 4])
    with pytest.raises(InputError, match=r'NCTHW or NTCHW.*give --onnx_layout'):
        load('onnx', model=path)
    rows = load('onnx', model=path, layout='NCTHW', **PLAIN).encode(pictures(3)[None])
    np.testing.assert_allclose(rows, pictures(3).mean((0, 1, 2))[None], rtol=1e-5)
    unnamed = means(tmp_path / 'u.onnx', ['n', 'c', 8, 8], [2, 3])
    with pytest.raises(InputError, match='no axis of size 3'):
        load('onnx', model=unnamed)
    rows = load('onnx', model=unnamed, layout='NCHW', **PLAIN).encode(pictures())
    np.testing.assert_allclose(rows, pictures().mean((1, 2)), rtol=1e-5)
    for layout in ('NTHWC', 'CHW', 'NHWC'):
        with pytest.raises(InputError, match=f'--onnx_layout={layout}: expected one of'):
            load('onnx', model=means(tmp_path / 'c.onnx', ['n', 3, 8, 8], [2, 3]), layout=layout)


def test_outputs_of_more_axes_are_averaged(tmp_path):
    x = pictures()
    channels_first = load('onnx', model=same(tmp_path / 'a.onnx', ['n', 3, 8, 8]), **PLAIN).encode(x)
    channels_last = load('onnx', model=same(tmp_path / 'b.onnx', ['n', 8, 8, 3]), **PLAIN).encode(x)
    np.testing.assert_allclose(channels_first, x.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(channels_last, x.mean((1, 2)), rtol=1e-5)
    to_tokens = [
        helper.make_node('Transpose', ['x'], ['t'], perm=[0, 2, 3, 1]),
        helper.make_node('Reshape', ['t', 'tokens'], ['y']),
    ]
    path = model(
        tmp_path / 'c.onnx', ['n', 3, 8, 8], to_tokens, out=('n', 64, 3), constants=[('tokens', [0, -1, 3])]
    )
    np.testing.assert_allclose(load('onnx', model=path, **PLAIN).encode(x), x.mean((1, 2)), rtol=1e-5)


def test_output_by_name(tmp_path):
    nodes = [
        helper.make_node('ReduceMean', ['x'], ['mean'], axes=[2, 3], keepdims=0),
        helper.make_node('ReduceMax', ['x'], ['max'], axes=[2, 3], keepdims=0),
    ]
    path = model(tmp_path / 'm.onnx', ['n', 3, 8, 8], nodes, outputs={'mean': ('n', 3), 'max': ('n', 3)})
    np.testing.assert_allclose(
        load('onnx', model=path, output='max', **PLAIN).encode(pictures()), pictures().max((1, 2))
    )
    with pytest.raises(InputError, match='--onnx_output=min: expected one of mean, max'):
        load('onnx', model=path, output='min')


def test_half_precision(tmp_path):
    path = means(tmp_path / 'm.onnx', ['n', 3, 8, 8], [2, 3], kind=TensorProto.FLOAT16)
    rows = load('onnx', model=path, unit=False).encode(pictures())
    assert rows.dtype == np.float32
    expected = (pictures().mean((1, 2)) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(rows, expected, atol=2e-2)


def test_the_name_says_what_made_the_features(tmp_path):
    path = means(tmp_path / 'm.onnx', ['n', 3, 8, 8], [2, 3])
    other = flat(tmp_path / 'o.onnx', ['n', 3, 8, 8])
    names = [
        load('onnx', model=given, **how).name
        for given, how in [
            (path, {}),
            (other, {}),
            (path, {'resize': 9}),
            (path, {'filter': 'bicubic'}),
            (path, {'scale': 1.0}),
            (path, {'mean': (0, 0, 0)}),
            (path, {'std': (1, 1, 1)}),
            (path, {'unit': False}),
        ]
    ]
    assert len(set(names)) == len(names)
    moved = tmp_path / 'elsewhere.onnx'
    moved.write_bytes(path.read_bytes())
    assert load('onnx', model=moved).name == names[0]
    assert re.fullmatch('onnx-1 model=[0-9a-f]{16} .*unit-length', names[0])


def test_a_row_of_zeros_stays_zeros(tmp_path):
    encoder = load('onnx', model=means(tmp_path / 'm.onnx', ['n', 3, 8, 8], [2, 3]), mean=(0, 0, 0))
    np.testing.assert_array_equal(encoder.encode([np.zeros((8, 8, 3), np.uint8)]), np.zeros((1, 3)))


def test_wrong_models(tmp_path):
    with pytest.raises(InputError, match='expected a model; give --onnx=PATH'):
        load('onnx')
    with pytest.raises(InputError, match='expected an ONNX model, found nothing there'):
        load('onnx', model=tmp_path / 'absent.onnx')
    (tmp_path / 'text.onnx').write_text('not a model')
    with pytest.raises(
        InputError, match=r'text\.onnx: expected an ONNX model that onnxruntime runs, .*; it says'
    ):
        load('onnx', model=tmp_path / 'text.onnx')
    with pytest.raises(
        InputError, match=r'expected one input of 4 axes .*found x tensor\(float\) \[.n., 7\]'
    ):
        load('onnx', model=same(tmp_path / 'flat.onnx', ['n', 7]))
    ints = same(tmp_path / 'ints.onnx', ['n', 3, 8, 8], kind=TensorProto.INT64)
    with pytest.raises(InputError, match=r'of floats; found x tensor\(int64\)'):
        load('onnx', model=ints)
    scalar = means(tmp_path / 'scalar.onnx', ['n', 3, 8, 8], [0, 1, 2, 3], out=())
    with pytest.raises(InputError, match=r'expected an output \[16, D\] for 16 inputs, found \[\]'):
        load('onnx', model=scalar)
    # Exported for one picture, though it says otherwise.
    rigid = model(
        tmp_path / 'rigid.onnx',
        ['n', 3, 8, 8],
        [helper.make_node('Reshape', ['x', 'one'], ['y'])],
        constants=[('one', [1, 192])],
    )
    with pytest.raises(InputError, match=r'an input NCHW \(16, 3, 8, 8\) does not run; it says'):
        load('onnx', model=rigid)
    assert load('onnx', model=rigid, batch=1).encode(pictures()).shape == (3, 192)


def test_wrong_options(tmp_path):
    path = means(tmp_path / 'm.onnx', ['n', 3, 8, 8], [2, 3])
    for option, message in (
        ({'mean': ['a', 'b', 'c']}, '--onnx_mean=.*expected 3 numbers'),
        ({'std': (1, 2)}, '--onnx_std=.*expected 3 numbers'),
        ({'std': (1, 0, 1)}, '--onnx_std=.*expected numbers above 0'),
        ({'scale': 0.0}, '--onnx_scale=0'),
        ({'stride': 0}, '--onnx_stride=0'),
        ({'filter': 'box'}, '--onnx_filter=box: expected one of bilinear, bicubic'),
        ({'batch': 0}, 'expected a batch of at least 1, found 0'),
        ({'size': 9}, 'has height 8, found 9'),
    ):
        with pytest.raises(InputError, match=message):
            load('onnx', model=path, **option)


def test_failures_are_said_once(tmp_path):
    (tmp_path / 'text.onnx').write_text('not a model')
    program = (
        'from trsum_jax.video.encoders.loading import load\n'
        f'try: load("onnx", model={str(tmp_path / "text.onnx")!r})\nexcept ValueError: pass'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert done.stderr == done.stdout == ''


def test_pictures_of_any_size(tmp_path):
    encoder = load('onnx', model=means(tmp_path / 'm.onnx', ['n', 3, 32, 32], [2, 3]), **PLAIN)
    small, large = (encoder.encode([scene(1, height=k * 48, width=k * 48)]) for k in (1, 4))
    np.testing.assert_allclose(small, large, rtol=0.05)
