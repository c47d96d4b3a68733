"""Grids on meshes of eight devices, against one device."""

import functools
import math
import os
import pathlib
import pickle
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import meshes
import numpy as np
import pytest
import xla
from tiny import Setting, tiny_config

from trsum_jax.errors import InputError
from trsum_jax.runtime import sharding
from trsum_jax.training import epoch

ONE = (1, 1)
SPLIT = [(shape, runs) for shape, runs in meshes.TRAINED if shape != ONE]
COLLECTIVES = 'all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast'
# Sums over a batch are added up in another order, and Adam scales with its gradient's own size.
TOLERANCE = 2e-5


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """What happened on all meshes, in a process with eight devices."""
    path = tmp_path_factory.mktemp('meshes') / 'found.pickle'
    folder = pathlib.Path(__file__).parents[1]
    env = os.environ | {'XLA_FLAGS': xla.flags(8), 'PYTHONPATH': f'{folder.parent}{os.pathsep}{folder}'}
    command = [sys.executable, '-W', 'error', str(folder / 'meshes.py'), str(path)]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return pickle.loads(path.read_bytes())


@pytest.mark.parametrize(('shape', 'runs'), SPLIT)
def test_the_same_actions_and_masks_are_drawn_on_every_mesh(found, shape, runs):
    expected, drawn = found[ONE, 5][2], found[shape, runs][2]
    assert len(drawn['actions']) >= 28 // 2 * runs // 2 * meshes.EPOCHS
    for what in expected:
        # The first run's are among those of all five.
        assert drawn[what] == {key: expected[what].get(key) for key in drawn[what]}
        assert (len(drawn[what]) == len(expected[what])) == (runs == 5)


@pytest.mark.parametrize(('shape', 'runs'), SPLIT)
def test_parameters_scores_and_metrics_are_those_of_one_device(found, shape, runs):
    expected, drawn = jax.tree.map(lambda leaf: leaf[:runs], found[ONE, 5][:2]), found[shape, runs][:2]
    assert jax.tree.structure(drawn) == jax.tree.structure(expected)
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        other = leaf_at(drawn, path)
        assert np.all(np.isfinite(leaf))
        if shape[1] == 1:
            np.testing.assert_array_equal(other, leaf, err_msg=jax.tree_util.keystr(path))
        else:
            one, two = (without_key_bias(path, x) for x in (leaf, other))
            np.testing.assert_allclose(two, one, rtol=0, atol=TOLERANCE, err_msg=jax.tree_util.keystr(path))


def leaf_at(tree, path):
    return dict(jax.tree_util.tree_leaves_with_path(tree))[path]


def without_key_bias(path, leaf):
    """A softmax does not see the keys' bias: its gradient is rounding alone, which Adam scales up."""
    if 'query_key_value' in jax.tree_util.keystr(path) and 'bias' in jax.tree_util.keystr(path):
        query, _, value = np.split(leaf, 3, axis=-1)
        return np.concatenate([query, value], axis=-1)
    return leaf


@pytest.mark.parametrize('shape', [(2, 4), (1, 8)])
def test_collectives_stay_within_a_run_and_gradients_are_added_over_data_alone(found, shape):
    program = found[shape, 5][3]
    run_of = {device: run for run, row in enumerate(program['devices']) for device in row}
    for text in program['texts']:
        lines = [line for line in text.splitlines() if re.search(rf' ({COLLECTIVES})(-start)?\(', line)]
        kinds = {re.search(rf' ({COLLECTIVES})', line).group(1) for line in lines}
        assert kinds == {'all-reduce', 'all-gather'}
        for line in lines:
            groups = groups_of(line)
            assert sorted(device for group in groups for device in group) == list(range(8))
            for group in groups:
                assert len(group) == shape[1]
                assert len({run_of[device] for device in group}) == 1, line
        reduced = [line.split(' all-reduce')[0] for line in lines if ' all-reduce' in line]
        assert len(reduced) == 1, 'one reduction a step'
        sizes = re.findall(r'f32\[([\d,]*)\]', reduced[0])
        numbers = sum(math.prod(int(n) for n in size.split(',') if n) for size in sizes)
        assert numbers == parameters_of(text, program)


def groups_of(line):
    """`{{0,1},{2,3}}`, `[2,2]<=[4]` maybe transposed, or as of jax 0.11 `mesh['a'=2,'b'=2] {'b'}`."""
    listed = re.search(r'replica_groups=\{(\{[\d,{}]*\})\}', line)
    if listed:
        return [[int(n) for n in group.split(',')] for group in re.findall(r'\{([\d,]+)\}', listed.group(1))]
    by_axes = re.search(r'replica_groups=mesh\[([^]]+)\] \{([^}]+)\}', line)
    if by_axes:
        sizes = {name: int(size) for name, size in re.findall(r"('\w+')=(\d+)", by_axes.group(1))}
        within = by_axes.group(2).split(',')
        order = [name for name in sizes if name not in within] + within
        numbers = np.arange(math.prod(sizes.values())).reshape([*sizes.values()])
        numbers = numbers.transpose([[*sizes].index(name) for name in order])
        return numbers.reshape(-1, math.prod(sizes[name] for name in within)).tolist()
    shape, source, order = re.search(
        r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', line
    ).groups()
    numbers = np.arange(math.prod(map(int, source.split(',')))).reshape([*map(int, source.split(','))])
    if order:
        numbers = numbers.transpose([*map(int, order.split(','))])
    return numbers.reshape([*map(int, shape.split(','))]).tolist()


def parameters_of(text, program):
    return program['parameters'][program['texts'].index(text)]


def test_without_a_split_of_the_batch_nothing_is_communicated(found):
    for text in found[(8, 1), 5][3]['texts']:
        assert not re.search(COLLECTIVES, text)


@pytest.mark.parametrize('shape', [(8, 1), (2, 4), (1, 8)])
def test_the_dataset_stands_on_a_device_once_however_many_runs(found, shape):
    program = found[shape, 5][3]
    n_frames, width = program['frames']
    assert program['parts'] == [(n_frames, width)] * 8
    for text in program['texts']:
        assert f'f32[{n_frames},{width}]' in text
        assert not re.search(rf'f32\[[\d,]+,{n_frames},{width}\]', text)


@pytest.mark.parametrize(
    ('wanted', 'devices', 'runs', 'batches', 'expected'),
    [
        ((0, 0), 1, 5, (8, 8), (1, 1)),
        ((0, 0), 8, 10, (8, 8), (8, 1)),  # runs first
        ((0, 0), 8, 5, (8, 8), (4, 2)),  # 5 runs on 4 devices, padded to 8; two share a batch
        ((0, 0), 8, 1, (8, 8), (1, 8)),
        ((0, 0), 8, 1, (8, 4), (2, 4)),  # what a batch cannot use goes to the runs again
        ((0, 0), 6, 2, (8, 8), (6, 1)),  # three devices left over do not divide a batch of 8
        ((2, 0), 8, 1, (8, 8), (2, 4)),
        ((0, 2), 8, 1, (8, 8), (4, 2)),
        ((3, 1), 8, 9, (8, 8), (3, 1)),  # some stay idle, as was asked for
    ],
)
def test_devices_go_to_the_runs_first(wanted, devices, runs, batches, expected):
    assert sharding.choose(wanted, devices, runs, batches) == expected


@pytest.mark.parametrize(
    ('wanted', 'message'), [((16, 1), '8 devices'), ((4, 4), '8 devices'), ((1, 8), '8 and 4 segments')]
)
def test_a_mesh_that_cannot_be_is_explained(wanted, message):
    with pytest.raises(InputError, match=rf'layout\.mesh: expected .*{message}'):
        sharding.choose(wanted, 8, 4, (8, 4))


def test_empty_arrays_are_made_on_the_devices():
    """From outside they end the process, with jax 0.11 and several devices: no exception tells of it."""
    mesh, seen = sharding.make_mesh((2, 1)), []

    def one(tree, beside):
        seen.append([(leaf.shape, leaf.dtype.name) for leaf in (*jax.tree.leaves(tree), beside)])
        return jnp.concatenate([tree['a'], tree['b']], axis=1) + 2 * tree['c'][0] + beside.sum()

    tree = {'a': jnp.arange(6.0).reshape(2, 3), 'b': jnp.zeros((2, 0)), 'c': (jnp.array([[5.0], [7.0]]),)}
    tree['d'] = jnp.zeros((4, 0, 2), jnp.int8)
    given = tree, jnp.zeros((3, 0))
    split = sharding.split(one, mesh, (sharding.BY_RUN, sharding.SHARED))
    (boundary,) = jax.make_jaxpr(split)(*given).eqns
    assert [variable.aval.shape for variable in boundary.invars] == [(2, 3), (2, 1)]
    own = [((1, 3), 'float32'), ((1, 0), 'float32'), ((1, 1), 'float32'), ((2, 0, 2), 'int8')]
    assert seen == [[*own, ((3, 0), 'float32')]]
    np.testing.assert_array_equal(jax.jit(split)(*given), [[10, 11, 12], [17, 18, 19]])


def test_recomputing_blocks_changes_nothing():
    settings = [Setting(tiny_config(**{'layout.remat': on})) for on in (False, True)]
    counts = []
    for setting in settings:
        stage, run = setting.stage1, one_run(setting)
        state = stage.init(run, ())
        told = epoch.blank_told(stage, state, setting.corpus, run, ())
        given = state, told, epoch.Span(0, 0, 1, 0), setting.corpus, run, ()
        counts.append(str(jax.make_jaxpr(functools.partial(epoch.part, stage))(*given)).count('remat'))
    assert counts[0] == 0 < counts[1]
    plain, remat = (setting.train(setting.stage1, epochs=1)[0] for setting in settings)
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(remat), strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=TOLERANCE)


def one_run(setting):
    return jax.tree.map(lambda leaf: leaf[0], setting.runs)
