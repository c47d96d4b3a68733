"""The benchmark of accelerators at toy size on a CPU, and its table and its reading of programs by hand."""

import json

import pytest

from benchmarks import accelerator, grid, measure, programs, roofline


def test_a_tiny_run_predicts_before_it_measures_and_writes_both(monkeypatch, tmp_path):
    monkeypatch.setattr(accelerator, 'STAGES', ('generator',))
    # Folds together and in turn have their own test (`test_grid`), and take seconds to compile.
    monkeypatch.setattr(accelerator, 'epochs', lambda *_: {'in turn': 4.0, 'together': 1.0})
    found = accelerator.measure_all('toy', 64, 1)
    step = found['predicted']['generator']
    # Forward and backward of a block of 4 W² + 2 W F products (8, 16) over a batch of segments of 8 frames.
    # Beside it: the maps of 6 features in and out, the attention, and what is no product.
    batch = grid.setting('toy').generator.batch
    products = 3 * 2 * (4 * 8**2 + 2 * 8 * 16) * batch * 8
    assert products < step['flops'] < 10 * products
    assert step['launches'] > 0
    assert step['together'] == pytest.approx(5 * step['seconds']), 'a CPU takes runs in turn'
    assert found['device'] is None
    measure.write(str(tmp_path / 'a.json'), 'accelerator', found)
    assert json.loads((tmp_path / 'a.json').read_text())['predicted']['generator']['bytes'] == step['bytes']
    assert len(accelerator.rows(found)) == 2 + 4 + 2


def test_what_was_stopped_goes_on_by_the_parts_that_were_written(monkeypatch, tmp_path):
    path, asked = str(tmp_path / 'a.json'), []
    step = {'flops': 1.0, 'seconds': 1.0, 'together': 1.0, 'bound': 'memory', 'memory': 1.0}

    def rates(*_):
        asked.append('rates')
        return {'flops': 1.0, 'bytes': 1.0}

    def epochs(_, stage, __):
        asked.append(stage)
        if asked.count('summarizer') == 1 and stage == 'summarizer':
            raise KeyboardInterrupt
        return {'in turn': 4.0, 'together': 1.0}

    monkeypatch.setattr(accelerator, 'rates', rates)
    monkeypatch.setattr(accelerator, 'predict', lambda *_: dict.fromkeys(accelerator.STAGES, step))
    monkeypatch.setattr(accelerator, 'epochs', epochs)
    with pytest.raises(KeyboardInterrupt):
        accelerator.measure_all('toy', path=path)
    assert len(accelerator.rows(accelerator.measure_all('toy', path=path))) == 2 + 2 * 4 + 2
    assert asked == ['rates', 'generator', 'summarizer', 'summarizer']
    # Of another machine or commit nothing is taken over.
    monkeypatch.setattr(measure, 'machine', lambda: {'commit': 'another'})
    accelerator.measure_all('toy', path=path)
    assert asked[4:] == ['rates', 'generator', 'summarizer']


def test_the_table_by_hand():
    step = {'flops': 6e12, 'seconds': 0.012, 'together': 0.02, 'bound': 'memory', 'memory': 3e9}
    found = {
        'device': vars(roofline.H100),
        'rates': {'flops': 500e12, 'bytes': 3e12},
        'predicted': {'generator': step},
        # 40 steps of five runs: 20 ms a step in turn, 5 ms together.
        'epochs': {'generator': {'in turn': 4.0, 'together': 1.0}},
        'torch': {'generator': 0.9},
        'steps': {'generator': 40},
        'length': {'generator': 250},
        'peak': 5e9,
    }
    table = accelerator.rows(found)
    rows = {row['what']: (row['predicted'], row['measured'], row['reached']) for row in table}
    assert rows['generator: a step, ms (memory)'] == pytest.approx((12.0, 20.0, '–'))
    assert rows['generator: share of the matrix rate'][:2] == pytest.approx((6e12 / 0.012 / 989e12, 0.6))
    assert rows['generator: share of the matrix rate'][2] == 'yes'
    assert rows['generator: five folds together, times faster'] == (pytest.approx(3.0), 4.0, 'yes')
    assert rows['generator: a step beside torch_best'] == ('–', 0.9, 'no')
    assert rows['the protocol of five folds, s (from its epochs)'] == (pytest.approx(200.0), 250.0, 'no')


PROGRAM = """HloModule m

%inside (p: f32[2,3], q: f32[3,4]) -> f32[2,4] {
  %p = f32[2,3]{1,0} parameter(0)
  %q = f32[3,4]{1,0} parameter(1)
  ROOT %d = f32[2,4]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

ENTRY %main (a: f32[2,3], b: f32[3,4]) -> f32[2,4] {
  %a = f32[2,3]{1,0} parameter(0)
  %b = f32[3,4]{1,0} parameter(1)
  %f = f32[2,4]{1,0} fusion(%a, %b), kind=kCustom, calls=%inside
  %c = (bf16[8]{0}, u8[4]{0}) custom-call(%f), custom_call_target="__cudnn$x"
  %g = bf16[8]{0} get-tuple-element(%c), index=0
  ROOT %e = f32[2,4]{1,0} fusion(%f, %g), kind=kLoop, calls=%other
}
"""


def test_what_a_program_launches_is_read_from_its_text():
    found = programs.kernels(PROGRAM)
    moved = (24 + 48 + 32) + (32 + 16 + 4) + (32 + 16 + 32)
    assert found == {'launches': 3, 'bytes': moved, 'products': 1, 'calls': {'__cudnn$x': 1}}


LOOP = """HloModule m

%body (s: (s32[], f32[4])) -> (s32[], f32[4]) {
  %s = (s32[], f32[4]{0}) parameter(0)
  %x = f32[4]{0} get-tuple-element(%s), index=1
  %i = s32[] get-tuple-element(%s), index=0
  %n = f32[4]{0} fusion(%x), kind=kLoop, calls=%other
  ROOT %t = (s32[], f32[4]{0}) tuple(%i, %n)
}

ENTRY %main (a: (s32[], f32[4])) -> (s32[], f32[4]) {
  %a = (s32[], f32[4]{0}) parameter(0)
  ROOT %w = (s32[], f32[4]{0}) while(%a), condition=%until, body=%body
}
"""


BRANCHES = 'branch_computations={%body, %other}', 'true_computation=%body, false_computation=%other'
CHOICE, IF = (
    LOOP.replace('while(%a), condition=%until, body=%body', f'conditional(%i, %a, %a), {branches}')
    for branches in BRANCHES
)


@pytest.mark.parametrize('program', [LOOP, CHOICE, IF], ids=['loop', 'choice', 'if'])
def test_of_a_loop_the_body_is_read_once_and_of_a_choice_the_first_branch(program):
    assert programs.kernels(program) == {'launches': 1, 'bytes': 32, 'products': 0, 'calls': {}}


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ('NVIDIA H100 80GB HBM3', roofline.H100),
        ('NVIDIA A100-SXM4-80GB', roofline.A100),
        ('NVIDIA L4', roofline.L4),
        ('NVIDIA H200', roofline.H200),
        ('NVIDIA GH200 480GB', None),
        ('NVIDIA H100 PCIe', None),
        ('NVIDIA A100-SXM4-40GB', None),
        ('NVIDIA L40S', None),
        ('TPU v5 lite', roofline.V5E),
        ('TPU v5', None),
        ('cpu', None),
    ],
)
def test_a_device_is_known_by_its_kind(kind, expected):
    assert roofline.published(kind) == expected
