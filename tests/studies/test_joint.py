"""Variants in one grid end where each ends alone."""

import functools
import shutil
import types

import h5py
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
import stopping
import three_frames
from tiny import tiny_config, write_data

from trsum_jax.errors import InputError, Preempted
from trsum_jax.experiment import config as door
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json
from trsum_jax.results import filenames, metric_log
from trsum_jax.runtime import checkpoint
from trsum_jax.studies import joint
from trsum_jax.studies.variants import expand, run_variants
from trsum_jax.training import grid, runs

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_drawn')
# Every number of either stage, in a variant of its own.
VARIANTS = {
    'base': {},
    'light': {
        'summarizer': {
            'penalty_weight': 0.1, 'entropy_weight': 0.2, 'baseline_momentum': 0.5, 'share': 0.2,
            'learning_rate': 3e-3, 'weight_decay': 0.3, 'clip': 0.1,
        },
    },
    'wide': {
        'masking': {'window_ratio': 0.9, 'mask_ratio': 0.5, 'mask': 0.6, 'replace': 0.4},
        'generator': {'learning_rate': 3e-3, 'weight_decay': 0.3, 'clip': 0.1},
    },
}  # fmt: skip


def config_of(variants=None):
    config = tiny_config(**{
        'evaluation.baselines': False, 'layout.checkpoint_every': 1, 'model.layers': 1,
        'generator.learning_rate': 1e-2, 'summarizer.learning_rate': 1e-2,
    })  # fmt: skip
    config.variants = ml_collections.ConfigDict(variants or VARIANTS)
    return config


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    workdir, compiled = tmp_path_factory.mktemp('together'), []

    def counted(stage, *rest):
        compiled.append(stage.name)
        return compile_part(stage, *rest)

    compile_part = grid.compile_part
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, 'compile_part', counted)
        run_variants(config_of(), workdir)
    assert compiled == list(joint.STAGES), 'one program for all variants of a stage'
    return workdir


def curves(workdir):
    return {
        f'{stage} {name}': values
        for stage in joint.STAGES
        for name, values in metric_log.read(workdir / filenames.METRICS, stage).items()
    }


def test_what_is_equal_trains_once_and_numbers_side_by_side():
    variants = expand(config_of(VARIANTS | {'few': {'summarizer': {'episodes': 2}}}))
    assert joint.alike(variants, 'generator') == [[['base', 'few', 'light'], ['wide']]]
    assert joint.alike(variants, 'summarizer') == [[['base'], ['light'], ['wide']], [['few']]]


@pytest.mark.parametrize('stage', joint.STAGES)
def test_sixteen_learning_rates_are_one_grid(stage):
    variants = {f'{i:02}': {stage: {'learning_rate': 1e-4 * 1.5**i}} for i in range(16)}
    grids = joint.alike(expand(config_of(variants)), stage)
    assert grids == [[[name] for name in variants]]


OF_ESTIMATORS = [
    ('local_credit', 'credit_radius', [0, 1, 3]),
    ('gumbel', 'temperature', [0.3, 1.0, 2.0]),
    ('gumbel_straight_through', 'temperature_end', [0.3, 1.0, 2.0]),
]


@pytest.mark.parametrize(('estimator', 'number', 'values'), OF_ESTIMATORS)
def test_numbers_of_estimators_side_by_side_equal_each_alone(estimator, number, values):
    def gradient(fields, numbers):
        def surrogate(logits):
            given = segment, rewards_of, three_frames.SEEN, 1.0, numbers
            return door.estimator(fields)(jax.random.key(0), logits, *given).surrogate

        return jax.grad(surrogate)(three_frames.LOGITS)

    segment = types.SimpleNamespace(valid=three_frames.VALID)
    parts = three_frames.spread(three_frames.wavy)
    rewards_of = functools.partial(three_frames.outcomes, three_frames.wavy, lambda a: parts(a) * a)
    fields = tiny_config(**{'summarizer.estimator': estimator, 'summarizer.temperature': 0.7}).summarizer
    usual = runs.PolicyNumbers(**{name: fields[name] for name in runs.PolicyNumbers._fields})

    def of(value):
        return gradient(fields, usual._replace(**{number: value}))

    together, alone = jax.jit(lambda dials: (jax.vmap(of)(dials), [of(value) for value in values]))(
        jnp.array(values, jnp.float32)
    )
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    assert len(np.unique(np.round(np.asarray(together), 4), axis=0)) == len(values)


@pytest.mark.parametrize('name', ['light', 'wide'])
def test_a_variant_in_a_grid_equals_the_variant_alone(name, finished, tmp_path):
    alone = expand(config_of())[name]
    run_experiment(alone, tmp_path)
    together, lone = curves(finished / name), curves(tmp_path)
    assert list(together) == list(lone)
    for metric, values in lone.items():
        np.testing.assert_allclose(together[metric], values, rtol=2e-5, atol=1e-6, err_msg=metric)
    one, other = (read_json(folder / filenames.RESULTS) for folder in (finished / name, tmp_path))
    assert one['mean']['kendall_tau']['mean'] == pytest.approx(other['mean']['kendall_tau']['mean'], abs=1e-6)
    for stage in joint.STAGES:
        assert checkpoint.whole(finished / name / filenames.CHECKPOINTS / stage)[-1] == 2


def test_the_numbers_make_a_difference(finished):
    base, light, wide = (curves(finished / name) for name in VARIANTS)
    np.testing.assert_array_equal(light['generator loss'], base['generator loss'])
    assert np.all(np.abs(wide['generator loss'] - base['generator loss']) > 1e-4)
    assert np.all(np.abs(light['summarizer penalty'] - base['summarizer penalty']) > 1e-4)


def test_stopped_in_the_second_stage_and_continued_it_ends_in_the_same_bits(finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping.stop_after(patch, epochs=3)
        with pytest.raises(Preempted):
            run_variants(config_of(), tmp_path)
    run_variants(config_of(), tmp_path)
    for name in VARIANTS:
        for file in (filenames.METRICS, 'scores.h5'):
            assert (finished / name / file).read_bytes() == (tmp_path / name / file).read_bytes(), name


def test_data_that_were_moved_are_the_same_and_others_are_refused(finished, tmp_path, monkeypatch):
    config, workdir = config_of(), tmp_path / 'study'
    config.data.update({'file': str(write_data(tmp_path)), 'generate': False})
    with monkeypatch.context() as patch:
        stopping.stop_after(patch, epochs=1)
        with pytest.raises(Preempted):
            run_variants(config, workdir)
    config.data.file = str(shutil.move(config.data.file, tmp_path / 'moved.h5'))
    run_variants(config, workdir)
    assert sorted(path.name.split('-')[0] for path in (workdir / joint.FOLDER).iterdir()) == list(
        joint.STAGES
    )
    for name in VARIANTS:
        assert (finished / name / 'scores.h5').read_bytes() == (workdir / name / 'scores.h5').read_bytes()
    told = (workdir / filenames.CONFIG).read_bytes()
    with h5py.File(shutil.copy(config.data.file, tmp_path / 'other.h5'), 'a') as file:
        next(iter(file.values()))['features'][0, 0] += 1
    config.data.file = str(tmp_path / 'other.h5')
    with pytest.raises(InputError, match=r'not those .*moved\.h5 there, .*other\.h5 now'):
        run_variants(config, workdir)
    assert (workdir / filenames.CONFIG).read_bytes() == told


def test_a_variant_whose_folder_was_deleted_is_explained(finished, tmp_path):
    workdir = tmp_path / 'study'
    shutil.copytree(finished, workdir)
    shutil.rmtree(workdir / 'light')
    with pytest.raises(InputError, match=r'light/metrics\.jsonl: .*Delete .*grids.*generator'):
        run_variants(config_of(), workdir)
