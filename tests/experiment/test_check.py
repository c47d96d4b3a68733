import importlib.util
import pathlib

import ml_collections
import pytest
from tiny import RECIPE, shorten, tiny_config

from configs import default
from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json
from trsum_jax.results import filenames
from trsum_jax.studies import comparison
from trsum_jax.studies.variants import expand, run_variants

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_laid_out')
FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'configs'
FILES = sorted(path for path in FOLDER.rglob('*.py') if path.name != '__init__.py')


def load(path: pathlib.Path, *preset: str) -> ml_collections.ConfigDict:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*preset)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize('preset', default.PRESETS)
def test_every_config_loads_and_is_sound(path, preset):
    config = load(path, preset)
    check.check(config)
    assert config.preset == preset
    try:
        variants = expand(config).values()
    except InputError as error:
        # Studies whose variants need the paper's reward, asked for without it.
        assert preset == 'default' and 'preset reconstruction has' in str(error)
    else:
        assert not any(one.variants for one in variants)


def test_what_a_config_is_without_a_preset():
    found = {path.stem: load(path).preset for path in FILES}
    ours = {'default', 'demo', 'summe', 'tvsum', 'videos', 'weak'}
    assert found == {name: 'default' if name in ours else 'reconstruction' for name in found}


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_every_config_runs_in_a_shortened_form(path, tmp_path):
    config = shorten(load(path))
    config.data.file = ''
    config.data.generate = True
    config.data.synthetic.update(RECIPE)
    config.data.folds = min(config.data.folds, 2)
    config.evaluation.baselines = False
    config.seeds = (0,)
    # Second differences of a curve need three points; configs of one training share its programs.
    for stage in ('generator', 'summarizer', 'acsumgan', 'drdsn'):
        config[stage].epochs = 3
    if config.study.columns and config.variants:
        run_as_a_study(config, tmp_path)
        return
    first = next(iter(expand(config).values()), config)
    text = run_experiment(first, tmp_path / 'run')
    assert 'synthetic data' in text
    results = read_json(tmp_path / 'run' / filenames.RESULTS)
    assert results['train_mean']['kendall_tau']['mean'] is not None


def run_as_a_study(config, workdir):
    """The first variant alone, without what costs time; studies of several are tested elsewhere."""
    first = config.study.first or next(iter(config.variants))
    for name in [name for name in config.variants if name != first]:
        del config.variants[name]
    # Of six videos in two folds none is held aside.
    if any('aside' in name for name in config.study.columns):
        config.data.synthetic.videos = 10
    text = run_variants(config, workdir)
    assert text.startswith(f'# {config.name} (reconstruction), synthetic data')
    found = read_json(workdir / comparison.JSON)
    assert set(found['variants']) == set(config.variants)
    for column in found['columns']:
        # What was not planted in a dataset cannot be measured there.
        if 'one_out' not in column and not column.endswith(('repeated', 'preference')):
            values = [of[column]['mean'] for of in found['variants'].values()]
            assert None not in values, column
    assert (workdir / comparison.TABLE).read_text('utf-8') in text
    assert (workdir / comparison.PICTURE).stat().st_size > 1000


def test_a_suite_runs_every_variant_and_finishes_what_was_begun(tmp_path, capsys):
    config = tiny_config(**{'evaluation.one_out': False})
    data = {'synthetic': {'annotators': 'null'}}
    config.variants = ml_collections.ConfigDict({'base': {}, 'null': {'data': data, **default.PUBLISHED}})
    text = run_variants(config, tmp_path)
    results = read_json(tmp_path / filenames.RESULTS)['variants']
    assert set(results) == {'base', 'null'}
    assert results['null']['preset'] == 'published'
    assert '| null ' in text
    assert (tmp_path / 'pictures' / 'variants.png').stat().st_size > 1000
    lone = run_experiment(expand(config)['base'], tmp_path / 'lone')
    assert lone.splitlines()[6:12] == (tmp_path / 'base' / filenames.TABLE).read_text().splitlines()[6:12]
    capsys.readouterr()
    assert run_variants(config, tmp_path) == text
    assert capsys.readouterr().out.count('nothing was run again') == 2


def test_a_suite_overwrites_no_other_run(tmp_path):
    config = tiny_config()
    run_experiment(config, tmp_path)
    before = (tmp_path / filenames.RESULTS).read_bytes()
    config.variants = ml_collections.ConfigDict({'base': {}})
    with pytest.raises(InputError, match='variants'):
        run_variants(config, tmp_path)
    assert (tmp_path / filenames.RESULTS).read_bytes() == before


def test_a_variant_with_an_unknown_field_is_named():
    config = tiny_config()
    config.variants = ml_collections.ConfigDict({'odd': {'model': {'widht': 3}}})
    with pytest.raises(InputError, match=r'variants\.odd.*widht'):
        expand(config)


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('model.positions', 'learned', 'sinusoidal, none'),
        ('model.heads', 3, 'divisor of model.width'),
        ('summarizer.episodes', 0, '1 or more'),
        ('masking.mask_ratio', 1.5, r'in \(0, 1\], found 1.5'),
        ('masking.mask_ratio', 0.0, r'in \(0, 1\], found 0'),
        ('generator.warmup', 1.0, r'in \[0, 1\)'),
        ('summarizer.learning_rate', float('nan'), 'found nan'),
        ('seeds', ('a',), 'whole numbers'),
        ('generator.learning_rate', 0.0, r'in \(0, inf\), found 0'),
        ('layout.microbatch', 3, 'divisor of config.generator.batch'),
        ('seeds', (1, 1), 'different whole numbers'),
        ('seeds', (0, 2**32), r'2\*\*32 - 1, found'),
        ('data.synthetic.seed', -1, '0 or more'),
        ('decomposition.views', ('sideways',), 'sequential, dilated'),
        ('masking.replace', 0.9, 'add up to over 1'),
    ],
)
def test_a_config_that_cannot_run_is_refused_with_its_field(field, value, message):
    config = tiny_config()
    with config.ignore_type():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=message):
        check.check(config)


def test_several_faults_are_listed_together():
    config = tiny_config(
        **{'model.heads': 3, 'summarizer.baseline': 'leave_one_out', 'summarizer.episodes': 1}
    )
    config.seeds = ()
    with pytest.raises(InputError) as error:
        check.check(config)
    assert all(word in str(error.value) for word in ('model.heads', 'leave_one_out', 'config.seeds'))


def test_an_unknown_field_of_the_recipe_is_named():
    config = tiny_config()
    config.data.synthetic.colour = 3
    with pytest.raises(InputError, match='colour unknown'):
        check.check(config)
    config = tiny_config()
    config.variants = ml_collections.ConfigDict({'odd': {'data': {'synthetic': {'colour': 3}}}})
    with pytest.raises(InputError, match=r'variants\.odd.*colour'):
        expand(config)


@pytest.mark.parametrize('fields', [default.RECONSTRUCTION, default.PUBLISHED], ids=lambda of: of['preset'])
def test_a_preset_differs_from_the_default_in_what_it_names_alone(fields):
    one, other = (check.flatten(default.get_config(preset)) for preset in ('default', fields['preset']))
    changed = {name for name in one if one[name] != other[name]}
    assert changed == set(check.flatten(fields))


def test_the_default_is_the_candidate_that_the_rule_chose():
    study, ours = load(FOLDER / 'studies' / 'candidates.py'), default.get_config()
    study.generator.learning_rate = ours.generator.learning_rate
    study.summarizer.update(
        {'epochs': ours.summarizer.epochs, 'learning_rate': ours.summarizer.learning_rate}
    )
    for part in ('generator', 'summarizer', 'masking'):
        assert expand(study)['12-change-alone'][part].to_dict() == ours[part].to_dict()
