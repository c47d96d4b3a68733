"""A workdir outlives damage: what can be made again is, to the same bytes; the rest is named in words."""

import json
import pathlib
import re
import shutil
import sys

import h5py
import pytest
import stopping
from disks import on_small_disk
from tiny import tiny_config, write_data

from trsum_jax.errors import InputError, Preempted
from trsum_jax.experiment import check, scorer
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json
from trsum_jax.results import filenames, metric_log, outcome
from trsum_jax.studies import measures

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_drawn')
DAMAGES = {
    'empty': lambda content: b'',
    'half': lambda content: content[: len(content) // 2],
    'garbage': lambda content: bytes((7 * n + 128) % 256 for n in range(300)),
    'list': lambda content: b'[]',
    'gone': None,
}
# Whatever of these is lost, in any way and number, is made again.
MENDED = (
    *('config.json', 'experiment.json', 'results.json', 'results.md', 'scores.h5', 'summaries.json'),
    *('videos.csv', 'folds.csv', 'checkpoints/made.sha256.json', 'pictures/timelines.png'),
)


def damage(path, how):
    if DAMAGES[how] is None:
        path.unlink()
    elif how == 'list' and path.suffix in ('.md', '.csv'):
        path.write_bytes(b'[]\n')
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes()))


def in_its_place_a_folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()


def contents(workdir):
    """Every file but the checkpoints by its name."""
    return {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in workdir.rglob('*')
        if path.is_file() and filenames.CHECKPOINTS not in path.relative_to(workdir).parts
    }


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A whole experiment at toy size on a file of its own; where it stands is in its results."""
    folder = tmp_path_factory.mktemp('workdir')
    flat = {'data.file': str(write_data(folder)), 'data.generate': False, 'evaluation.baselines': False}
    # What earlier versions did: it could be a workdir of theirs.
    config = tiny_config(**flat, **check.LATER, **{'model.layers': 1})
    workdir = folder / 'run'
    text = run_experiment(config, workdir)
    shutil.copytree(workdir, folder / 'kept')
    return config, workdir, text, contents(workdir)


@pytest.fixture
def again(finished):
    """The same workdir, sound whatever the test before has done to it."""
    config, workdir, text, before = finished
    shutil.rmtree(workdir)
    shutil.copytree(workdir.with_name('kept'), workdir)
    return config, workdir, text, before


def test_whatever_is_lost_is_made_again_to_the_same_bytes(again, capsys):
    """All of it at once, each file in a way of its own; `soak/damaged_workdirs.py` has every pair."""
    config, workdir, text, before = again
    for number, name in enumerate(MENDED):
        damage(workdir / name, list(DAMAGES)[number % len(DAMAGES)])
    assert contents(workdir) != before
    assert run_experiment(config, workdir) == text
    assert contents(workdir) == before
    told = capsys.readouterr().out
    assert 'config.json was lost or damaged; written again' in told
    assert 'lost or changed since written; made again from the checkpoints' in told


def test_a_workdir_of_before_some_fields_came_and_went_is_still_its_own(again):
    config, workdir, text, _ = again
    told = read_json(workdir / filenames.CONFIG)
    for name in check.LATER:
        part, field = name.split('.')
        del told[part][field]
    for name, constant in check.GONE.items():
        part, field = name.split('.')
        told[part][field] = constant
    (workdir / filenames.CONFIG).write_text(json.dumps(told))
    assert scorer.load_trained(workdir).workdir == workdir
    assert run_experiment(config, workdir) == text
    (workdir / filenames.CONFIG).write_text(json.dumps(told))
    config = config.copy_and_resolve_references()
    config.data.partial_splits = True
    with pytest.raises(InputError, match=r'data\.partial_splits: False there, True now'):
        run_experiment(config, workdir)


def test_a_workdir_of_before_a_rival_came_is_still_its_own(again):
    config, workdir, text, _ = again
    told = read_json(workdir / filenames.CONFIG)
    del told['drdsn'], told['acsumgan']['width']
    (workdir / filenames.CONFIG).write_text(json.dumps(told))
    assert scorer.load_trained(workdir).workdir == workdir
    config = config.copy_and_resolve_references()
    config.drdsn.width, config.acsumgan.width = 99, 98
    assert run_experiment(config, workdir) == text
    told['method'] = 'acsumgan'
    assert 'acsumgan.width: absent there, 98 now' in check.differences(config, check.of_this_version(told))


def test_a_workdir_whose_choice_is_gone_is_refused(again):
    config, workdir, _, _ = again
    told = read_json(workdir / filenames.CONFIG)
    told['model']['norm'] = 'post'
    (workdir / filenames.CONFIG).write_text(json.dumps(told))
    with pytest.raises(InputError, match=r'model\.norm: post there, absent now'):
        run_experiment(config, workdir)


@pytest.mark.parametrize('how', DAMAGES)
@pytest.mark.parametrize('name', MENDED[2:])
def test_one_result_lost_is_seen(name, how, again, capsys):
    _, workdir, text, _ = again
    assert outcome.finished(workdir, True, {}, {}) == text
    damage(workdir / name, how)
    guards_others = name.startswith(filenames.CHECKPOINTS)
    assert outcome.finished(workdir, True, {}, {}) == (text if guards_others else '')
    # Without results the experiment is as good as not finished; nothing is to be said.
    silent = guards_others or (name, how) == (filenames.RESULTS, 'gone')
    assert (name in capsys.readouterr().out) == (not silent)


@pytest.mark.parametrize('name', ['config.json', 'results.md', 'scores.h5', 'pictures', 'checkpoints'])
def test_what_stands_in_the_way_is_named(name, again):
    config, workdir, _, _ = again
    if (workdir / name).is_dir():
        shutil.rmtree(workdir / name)
        (workdir / name).write_text('')
    else:
        in_its_place_a_folder(workdir / name)
    with pytest.raises(InputError, match=rf'{name}: expected a .*, found a .*; move or delete it'):
        run_experiment(config, workdir)


@pytest.mark.parametrize('how', DAMAGES)
def test_a_lost_log_is_named(how, again):
    _, workdir, _, _ = again
    log = workdir / filenames.METRICS
    for stage in ('generator', 'summarizer'):
        metric_log.refuse_a_gap(log, stage, 2, [workdir])
    damage(log, how)
    with pytest.raises(InputError, match=r'metrics\.jsonl: .* 2 are missing.*Delete'):
        metric_log.refuse_a_gap(log, 'summarizer', 2, [workdir])


def deleted_as_told(error):
    """What a message has people delete; names without the workdir."""
    listed = re.search(r'(?i)delete (\S+(?: and \S+)*?) and (?:start|train)', str(error.value))[1]
    told = [pathlib.Path(folder) for folder in listed.split(' and ')]
    for folder in told:
        shutil.rmtree(folder)
    return [folder.name for folder in told]


def test_where_the_log_of_a_stop_within_an_epoch_is_lost_the_message_helps(finished, tmp_path, monkeypatch):
    config = finished[0].copy_and_resolve_references()
    config.layout.update({'grace': 0.0, 'checkpoint_every': 1})
    with monkeypatch.context() as patch:
        stopping.stop_after(patch, steps=6)
        with pytest.raises(Preempted, match=r'generator is saved after step . of . in epoch 2'):
            run_experiment(config, tmp_path)
    (tmp_path / filenames.METRICS).unlink()
    with pytest.raises(InputError, match=r'metrics\.jsonl: .* 1 are missing') as error:
        run_experiment(config, tmp_path)
    assert deleted_as_told(error) == ['generator', 'generator-within']
    assert run_experiment(config, tmp_path)


def test_a_summarizer_is_not_taken_for_that_of_a_generator_trained_anew(again):
    config, workdir, text, before = again
    damage(workdir / filenames.METRICS, 'gone')
    (workdir / filenames.RESULTS).unlink()
    with pytest.raises(InputError, match='2 are missing') as error:
        run_experiment(config, workdir)
    assert 'summarizer' in str(error.value)
    shutil.rmtree(workdir / filenames.CHECKPOINTS / 'generator')
    with pytest.raises(InputError, match=r'expected checkpoints of the generator, after which .*') as error:
        run_experiment(config, workdir)
    assert deleted_as_told(error) == ['summarizer']
    assert run_experiment(config, workdir) == text
    assert contents(workdir) == before


def test_results_need_no_log_unless_they_are_made_again(again):
    config, workdir, text, _ = again
    damage(workdir / filenames.METRICS, 'garbage')
    assert run_experiment(config, workdir) == text
    (workdir / filenames.RESULTS).unlink()
    with pytest.raises(InputError, match=r'metrics\.jsonl: .* missing.*Delete .*generator'):
        run_experiment(config, workdir)


@pytest.mark.parametrize('name', ['config.json', 'experiment.json'])
def test_what_is_lost_twice_is_named_with_what_to_do(name, again):
    config, workdir, _, _ = again
    for place in (name, 'checkpoints/about.json'):
        damage(workdir / place, 'half')
    kept = contents(workdir)
    for read in (lambda: run_experiment(config, workdir), lambda: scorer.load_trained(workdir)):
        with pytest.raises(InputError, match=rf'{name}: expected .*, found a damaged file.* Restore it .*'):
            read()
    assert contents(workdir) == kept


@pytest.mark.parametrize('how', ['half', 'gone'])
def test_scoring_outlives_the_same(how, again):
    _, workdir, _, _ = again
    for name in (filenames.CONFIG, filenames.RECORD):
        damage(workdir / name, how)
    assert scorer.load_trained(workdir).width == 6


@pytest.mark.parametrize('how', ['list', 'gone', 'folder'])
def test_a_damaged_list_of_a_checkpoints_files_is_a_damaged_checkpoint(how, again):
    _, workdir, _, _ = again
    listing = workdir / filenames.CHECKPOINTS / 'summarizer' / '2' / 'files.sha256.json'
    if how == 'folder':
        in_its_place_a_folder(listing)
    else:
        damage(listing, how)
    if how == 'gone':
        # As of a run that was killed before it wrote the list.
        assert scorer.load_trained(workdir).width == 6
        return
    with pytest.raises(InputError, match=r'summarizer/2: damaged \(files\.sha256\.json .*\nDelete'):
        scorer.load_trained(workdir)


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('config.json', {'model': 3}, r'config\.json: .*none of model'),
        ('config.json', {'seeds': 3}, 'config.seeds: expected several'),
        ('experiment.json', {'runs': 3, 'width': 'x'}, r'experiment\.json: expected .* in width, runs'),
        ('experiment.json', {'width': 1000}, 'of another model'),
    ],
)
def test_values_of_another_kind_are_named_by_the_command_that_scores(name, change, message, again):
    _, workdir, _, _ = again
    (workdir / name).write_text(json.dumps(read_json(workdir / name) | change))
    (workdir / filenames.CHECKPOINTS / filenames.ABOUT).unlink()
    with pytest.raises(InputError, match=message):
        scorer.load_trained(workdir)


def test_scores_that_do_not_fit_on_a_disk_are_a_sentence(again, tmp_path):
    config, workdir, _, _ = again
    command = [sys.executable, '-m', 'trsum_jax.score', f'--checkpoint={workdir}']
    command += [f'--dataset={config.data.file}', f'--output={tmp_path}/disk/scores.h5']
    (tmp_path / 'disk').mkdir()
    done = on_small_disk(tmp_path / 'disk', 8, command, keep=tmp_path / 'left')
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert 'scores.h5: cannot be written (No space left on device)' in done.stderr
    assert list((tmp_path / 'left').iterdir()) == []


def test_results_without_checkpoints_stay_and_are_not_trained_again(again, capsys):
    config, workdir, text, before = again
    shutil.rmtree(workdir / filenames.CHECKPOINTS)
    (workdir / filenames.SCORES).unlink()
    assert run_experiment(config, workdir) == text
    assert 'cannot be made again' in capsys.readouterr().out
    damage(workdir / filenames.TABLE, 'half')
    with pytest.raises(InputError, match=r'results\.md: lost .* figures are in results\.json'):
        run_experiment(config, workdir)
    assert read_json(workdir / filenames.RESULTS) == json.loads(before[filenames.RESULTS])


def test_what_people_add_to_the_table_stays(again):
    config, workdir, text, _ = again
    (workdir / filenames.TABLE).write_text(edited := text.replace('\n', '\nMy own words.\n', 1))
    assert run_experiment(config, workdir) == edited


def test_lines_that_two_processes_have_written_twice_count_once(again):
    _, workdir, _, _ = again
    log = workdir / filenames.METRICS
    once = metric_log.read(log, 'summarizer')
    log.write_text(''.join(2 * line for line in log.read_text().splitlines(keepends=True)))
    for name, values in metric_log.read(log, 'summarizer').items():
        assert values.tolist() == once[name].tolist()
    log.write_text(''.join(log.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(InputError, match=r'metrics\.jsonl: summarizer: .* missing or damaged'):
        metric_log.read(log, 'summarizer')


@pytest.mark.parametrize('how', DAMAGES)
def test_a_study_names_what_it_cannot_read(how, again):
    _, workdir, _, _ = again
    assert measures.rows(workdir, ['trsum'])
    damage(workdir / 'videos.csv', how)
    with pytest.raises(InputError, match=r'videos\.csv: expected the metrics of every video'):
        measures.rows(workdir, ['trsum'])


def test_data_may_move_but_not_change(again, tmp_path):
    config, workdir, text, _ = again
    moved = config.copy_and_resolve_references()
    moved.data.file = str(shutil.copy(config.data.file, tmp_path / 'moved.h5'))
    assert run_experiment(moved, workdir) == text
    with h5py.File(shutil.copy(moved.data.file, tmp_path / 'other.h5'), 'a') as file:
        next(iter(file.values()))['features'][0, 0] += 1
    moved.data.file = str(tmp_path / 'other.h5')
    with pytest.raises(InputError, match=rf'not those .*data\.file: {tmp_path}/moved\.h5 there, .*other\.h5'):
        run_experiment(moved, workdir)
