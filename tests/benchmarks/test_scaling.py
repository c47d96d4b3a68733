"""The benchmark of scaling at toy size: the compiler's account against sums by hand."""

import jax
import pytest

from benchmarks import programs, roofline, scaling
from trsum_jax.runtime import sharding

# A block of width 8 and feed-forward 16: query, key, value, out; widen, narrow; two norms.
BLOCK = (8 * 24 + 24) + (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8) + 2 * 16
SCORE = 8
TOY = {'width': 8, 'heads': 2, 'feed_forward': 16, 'layers': 1}


def toy(config):
    """Two batches of 8 in an epoch: as in a real one, they are a loop within the loop over runs."""
    config.decomposition.length = 8
    config.model.update(TOY)
    return programs.shapes_of(3, 20, 8, 8, ('sequential', 'dilated')), 16


@pytest.fixture(scope='module')
def rows():
    found = scaling.memory_rows('here', (2, 6), ('map',), ('whole batch',), sizes=toy)
    return {(row['stage'], row['runs']): row for row in found}


def each(rows, stage, part):
    """Bytes that a run adds."""
    return (rows[stage, 6][part] - rows[stage, 2][part]) / 4


# A run's key, segments and weights, and the optimizer's counter of steps.
INPUTS = 8 + 16 * (4 + 4) + 4


def test_a_run_adds_its_parameters_and_two_moments_and_what_it_reads(rows):
    assert each(rows, 'generator', 'arguments') == 3 * 4 * BLOCK + INPUTS
    baselines = each(rows, 'summarizer', 'arguments') - (3 * 4 * (BLOCK + SCORE) + 4 * BLOCK + INPUTS)
    assert 0 < baselines <= 18 * 8


def test_the_dataset_is_held_once(rows):
    shared = rows['generator', 2]['arguments'] - 2 * each(rows, 'generator', 'arguments')
    # 3 videos of 20 steps, each with features and its change: 3 windows and 3 dilated segments each, with
    # their videos; and the epoch's number comes in.
    whole = 60 * (8 + 1) * 4 + 18 * (8 * (4 + 4 + 1) + 3 * 4) + 4
    # JAX 0.12 leaves out what stage 1 does not read: the change, and the lengths of videos.
    unread = 60 * 4 + 18 * 4 if jax.__version_info__ >= (0, 12) else 0
    assert shared == whole - unread


@pytest.mark.parametrize('stage', scaling.STAGES)
def test_mapped_runs_are_replaced_in_place(rows, stage):
    state = 3 * 4 * BLOCK
    assert each(rows, stage, 'temporary') < state / 4, 'a state or more where all were held twice'
    assert each(rows, stage, 'outputs') < state / 4


def test_a_step_adds_up_every_parameter_once_over_the_devices_of_a_batch():
    found = {row['stage']: row for row in scaling.collective_rows('here', (1, 2), toy)}
    for stage, numbers in (('generator', BLOCK), ('summarizer', BLOCK + SCORE)):
        assert found[stage]['derived'] == found[stage]['all-reduce'] == 4 * numbers
    # Of each of the 8 segments: three losses; six statistics of the policy.
    assert found['generator']['all-gather'] == 8 * 3 * 4
    assert found['summarizer']['all-gather'] == 8 * 6 * 4


def test_bytes_of_collectives_are_read_from_a_program():
    text = """
      %all-reduce.1 = (f32[2,3]{1,0}, f32[]) all-reduce(%a, %b), replica_groups={{0,1}}
      ROOT %x = bf16[4]{0} all-gather-start(%c), dimensions={0}
      %y = f32[9]{0} add(%all-reduce.1, %z)
    """
    assert programs.collectives(text) == {'all-reduce': 4 * 7, 'all-gather': 8}


ROUND = roofline.Device('round', flops=100.0, bandwidth=10.0, memory=100.0, link=4.0)


@pytest.mark.parametrize(
    ('flops', 'moved', 'shards', 'expected', 'what'),
    [
        (1000.0, 10.0, 1, 20.0 + 1.0, 'arithmetic'),  # 1000 / (100 x .5)
        (100.0, 50.0, 1, 5.0 + 1.0, 'memory'),  # 2 against 5
        (1000.0, 10.0, 4, 5.0 + 8.0 * 2 * 3 / 4 / 4 + 1.0, 'arithmetic'),  # a quarter each, and a ring
    ],
)
def test_a_step_takes_the_slower_of_arithmetic_and_memory(flops, moved, shards, expected, what):
    step = roofline.Step(flops, moved, 8.0)
    assert roofline.seconds(step, ROUND, shards, efficiency=0.5, overhead=1.0) == pytest.approx(expected)
    assert roofline.bound(step, ROUND, shards, efficiency=0.5) == what


@pytest.mark.parametrize(
    ('one', 'each', 'expected'), [(10.0, 10.0, 10), (40.0, 20.0, 4), (99.0, 2.0, 1), (101.0, 1.0, 0)]
)
def test_runs_that_fit(one, each, expected):
    assert roofline.fitting(100.0, one, each) == expected


def test_the_protocol_is_steps_times_epochs():
    cost = {'flops': 0.0, 'bytes': 4.8e12, 'parameters': 0}
    rows = scaling.time_rows({'generator': cost, 'summarizer': cost})
    # 40 videos of 2 x 4 segments: 40 batches of 8, a second each on an H200; 5 runs in turn.
    second = 1 + roofline.OVERHEAD
    assert rows[0]['generator, s an epoch'] == pytest.approx(5 * 40 * second)
    assert rows[0]['protocol, h'] == pytest.approx(5 * 40 * (250 + 100) * second / 3600)
    assert rows[1]['protocol, h'] == pytest.approx(rows[0]['protocol, h'] / 5)


def test_a_refusal_is_kept_in_the_compiler_s_own_words(monkeypatch):
    def refuse(*_):
        raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: … Used 42.00G of 15.75G hbm. Exceeded by …')

    monkeypatch.setattr(programs, 'compile_stage', refuse)
    found = programs.memory_or_refusal(None, 'generator', None, 1, 1, sharding.one_device())
    assert found['refused'] == 'Used 42.00G of 15.75G hbm'
    assert found['total'] is None
