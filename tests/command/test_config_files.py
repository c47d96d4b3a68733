"""Files and configs as arguments: what each command takes them for."""

import re

import h5py
import numpy as np
import pytest
import tiny
from forked import run_all
from summarizing import film

# IN and OUT stand for folders; with the exit code and words of the answer.
LINES = {
    'main demo --help': (0, '--config.data.folds=3'),
    'main --workdir OUT/w tvsum:published --help': (0, "--config.data.file='eccv16_dataset_tvsum"),
    'main studies/small --help': (0, '--config.seeds=(0,1)'),
    'main --distributed=false IN/own.py --help-all': (0, '--config.model.width=8'),
    'main configs/studies/small': (1, 'no such file'),
    'main -- demo': (1, "unexpected argument 'demo'"),
    'evaluate IN/data.h5 --draws=1': (0, '| random '),
    'evaluate IN/data.h5 IN/scores.h5 --draws=1': (0, '| scores '),
    'evaluate --draws 1 IN/scores.h5 --dataset IN/data.h5': (0, '| scores '),
    'evaluate --draws=1 --dataset=IN/data.h5 -- IN/scores.h5': (0, '| scores '),
    'score IN/films IN/data.h5 --output=OUT/s.h5': (1, 'films: expected the workdir of a training'),
    'score IN/data.h5 --checkpoint=IN/films --output=OUT/s.h5': (1, 'films: expected the workdir'),
    'validate IN/data.h5 IN/scores.h5': (1, 'data.h5: sound'),
    'extract IN/films/a.mp4 IN/films/b.mp4 IN/films/a.mp4 --output=OUT/two.h5': (0, 'to train on it'),
    'summarize IN/films/a.mp4 --output=IN/films/a.mp4': (1, 'of its own, found the video'),
    'summarize IN/films --output=OUT/x.mp4': (1, 'expected a folder, for --videos'),
    'summarize IN/films/a.mp4 IN/films/b.mp4 --output=OUT/x.mp4': (1, 'expected a folder, for --videos'),
    'summarize IN/films/a.mp4 --videos=IN/films --output=IN/films/b.mp4': (1, 'found the video'),
    'summarize IN/absent.mp4': (1, 'absent.mp4: expected a '),
    'summarize IN/films/a.mp4 IN/absent.mp4': (1, '--videos=IN/absent.mp4: expected a folder of videos'),
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('arguments')


@pytest.fixture(scope='module')
def answers(folder):
    (folder / 'films').mkdir()
    for name in ('a', 'b'):
        film(folder / 'films' / f'{name}.mp4', (0, 1, 2))
    (folder / 'own.py').write_text(
        'from configs import default\n\n\ndef get_config():\n    config = default.get_config()\n'
        '    config.model.width = 8\n    config.data.generate = True\n    return config\n'
    )
    data = tiny.write_data(folder)
    with h5py.File(data) as read, h5py.File(folder / 'scores.h5', 'w') as scores:
        for key in read:
            scores[f'{key}/scores'] = np.random.default_rng(0).random(len(read[key]['features']))
    parts = [re.sub('IN|OUT', str(folder), line).split() for line in LINES]
    return dict(zip(LINES, run_all([[f'trsum_jax.{name}', *rest] for name, *rest in parts]), strict=True))


@pytest.mark.parametrize('line', LINES)
def test_arguments_stand_for_the_flags_that_people_expect(line, folder, answers):
    code, words = LINES[line]
    found, out, told = answers[line]
    assert found == code, told
    assert words.replace('IN', str(folder)) in out + told
    assert 'Traceback' not in told


def test_several_videos_are_taken_each_once(folder, answers):
    assert answers
    with h5py.File(folder / 'two.h5') as file:
        assert list(file) == ['video_1', 'video_2']
