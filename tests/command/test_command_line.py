"""What people mistype is one sentence that names what is near; the help names every flag."""

import pathlib
import re

import pytest
from forked import run_all

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGES = [TOP / 'README.md', *sorted((TOP / 'docs').glob('*.md'))]
# Pages of these name the flags of scripts and of other programs too.
OTHERS = ('launch.md', 'performance.md', 'scaling.md', 'rewards.md', 'streaming.md')
COMMANDS = ('main', 'summarize', 'recut', 'extract', 'importing', 'score', 'evaluate', 'validate', 'fetch')
CONFIGS = {
    'syntax.py': 'def get_config(:\n    pass\n',
    'raises.py': 'import no_such_module\n',
    'typed.py': 'from configs import default\n\n\ndef get_config():\n    config = default.get_config()\n'
    "    config.model.width = 'wide'\n    return config\n",
    'nothing.py': 'def get_config():\n    return None\n',
    'without.py': 'config = 3\n',
    'other.py': 'import ml_collections as m\n\n\ndef get_config():\n    return m.ConfigDict({"a": 1})\n',
    'text.py': 'from configs import default\n\n\ndef get_config():\n    config = default.get_config()\n'
    "    del config.model.width\n    config.model.width = 'wide'\n    return config\n",
}
# The words that have to be in the sentence.
MISTYPED = {
    'main --config=configs/tvsun.py': ['no such file', 'did you mean configs/tvsum.py'],
    'main --config=tvsun': ['--config=tvsun: expected', 'or the name of a config', 'did you mean tvsum?'],
    'main tvsun': ['tvsun: expected a config file', 'did you mean tvsum?'],
    'main choices': ['did you mean studies/choices?'],
    'main zzz': ['zzz: expected a config file', 'trsum configs lists them'],
    'main demo:publishd': ['expected one of default, reconstruction, published'],
    'main demo tvsum': ['--config: expected once, found demo and tvsum'],
    'main demo --config=tvsum': ['--config: expected once, found demo and tvsum'],
    'main --config.seeds=(1,) demo': ["unexpected argument 'demo'", 'the config comes before its fields'],
    'main --distributed demo --config.width=1': ['--config.width: expected a field'],
    'main --config=configs/tvsum.py:publishd': [
        'expected one of default, reconstruction, published',
        "found 'publishd'",
    ],
    'main --config=configs': ['found a folder', 'tvsum.py'],
    'main --config=configs/demo.py --config=configs/tvsum.py': ['--config: expected once'],
    'main --config.model.heads=2 --config=configs/demo.py': ['expected before its fields'],
    'main --config': ['--config: expected a file'],
    'main --config=': ['--config: expected a file'],
    'main --config.sumarizer.episodes=3': ['did you mean --config.summarizer.episodes'],
    'main --config.width=3': ['did you mean', 'width?'],
    'main --model.width=3': ['--model.width: no such flag; did you mean --config.model.width'],
    'main --config.summarizer.reward_terms.diversty=1': ['reward_terms.diversity'],
    'main --config.summarizer.reward_terms.absent/one:early=1': [
        'a module absent.one, found none of that name'
    ],
    'main --config.summarizer.estimator=absent:one --config.summarizer.estimator_options.k=2': [
        'config.summarizer.estimator=absent:one: expected a module absent',
    ],
    'main --config.summarizer.estimator_options.k=2': ['expected none with reinforce'],
    'main --config.seeds=abc': ['config.seeds', 'whole numbers', 'abc'],
    'main --config.seeds[0]=3': ['seeds[0]'],
    'main --config.seeds[a:b]=3': ['--config.seeds[a:b]: expected an element as [0], or ["NAME"]'],
    'main --config.seeds[0=3': ['--config.seeds[0: expected an element'],
    'main --config.summarizer.reward_terms["../one:early"]=3': ['without dots, found ["../one:early"]'],
    'main --config.model["widht"]=3': ['found none of that name'],
    'main --config.seeds.first=3': ['found that --config.seeds has none'],
    'main --config.model.width=abc': ["--config.model.width: expected a whole number, found 'abc'"],
    'main --config.model.width': ['--config.model.width: expected a value'],
    'main --config.model=3': ['--config.model: expected a field of it'],
    'main --config.data.generate=maybe': ["expected true or false, found 'maybe'"],
    'main --config.study.files=3': ['config.study.files: expected several texts, found [3]'],
    'main --wokdir=x': ['--wokdir: no such flag; did you mean --workdir?'],
    'main --processes=0': ['--processes: expected a positive integer'],
    'main --config=CONFIGS/syntax.py': ['SyntaxError', 'syntax.py, line 1)'],
    'main --config=CONFIGS/raises.py': ['no_such_module', 'raises.py, line 1)'],
    'main --config=CONFIGS/typed.py': ["'width'", 'typed.py, line 6)'],
    'main --config=CONFIGS/nothing.py': ['expected get_config to return a ConfigDict, found NoneType'],
    'main --config=CONFIGS/without.py': ['function get_config, found none'],
    'main --config=CONFIGS/other.py': ['expected the fields of configs/default.py', 'more'],
    'main --config=CONFIGS/text.py': ["config.model.width: expected a whole number, found 'wide'"],
    'evaluate --dataset=~/no_such.h5': [f'error: {pathlib.Path.home()}/no_such.h5: '],
    'score --checkpoint=w --dataset=~/no_such.h5': [f'error: {pathlib.Path.home()}/no_such.h5: '],
    'main --config=~/no_such.py': [f'--config={pathlib.Path.home()}/no_such.py: expected a config file'],
    # A workdir remembers what stands in a config as it was written.
    'main --config.model.width=~/x': ["--config.model.width: expected a whole number, found '~/x'"],
    'score': ['expected --checkpoint=… and --dataset=…, found none'],
    'score runs/a data.h5 more': ["unexpected argument 'more'", '--checkpoint and --dataset'],
    'score runs/a --checkpoint=runs/b --dataset=x': ["unexpected argument 'runs/a'"],
    'score --budget=abc': ["--budget: expected a number, found 'abc'"],
    'evaluate --dataset=x --rank=abc': ['--rank: expected one of per-user, mean-user'],
    'evaluate --dataset=x --draws=0': ['--draws'],
    'summarize a.mp4 --video=b.mp4': ['--video: expected once, found a.mp4 for it as well'],
    'summarize -- --a.mp4': ['--a.mp4: expected a '],
    'extract absent --output=x.h5': ['--videos=absent: expected a folder of videos or one video'],
    'summarize --vidoe=x': ['did you mean --video?'],
    'extract --shots=abc': ['--shots: expected one of kts, uniform'],
    'validate --anotations_only': ['did you mean --annotations_only?'],
}


@pytest.fixture(scope='module')
def answers(tmp_path_factory):
    """What every mistyped command and every --help answers."""
    folder = tmp_path_factory.mktemp('configs')
    for name, text in CONFIGS.items():
        (folder / name).write_text(text, 'utf-8')
    lines = [*MISTYPED, *(f'{name} {flag}' for name in COMMANDS for flag in ('--help', '--help-all'))]
    lines += ['main --config=configs/tvsum.py --help', 'main tvsum --help', 'main --workdir x tvsum --help']
    lines += ['main --config=configs/tvsun.py --help', 'score --help --dataset=x']
    parts = [line.replace('CONFIGS', str(folder)).split() for line in lines]
    return dict(zip(lines, run_all([[f'trsum_jax.{name}', *rest] for name, *rest in parts]), strict=True))


@pytest.mark.parametrize('line', MISTYPED)
def test_what_is_mistyped_is_one_sentence_with_what_is_near(line, answers):
    code, out, told = answers[line]
    assert code == 1
    assert out == ''
    assert told.startswith('error: ')
    assert 'Traceback' not in told
    assert len(told.splitlines()) <= (2 if 'the config cannot run' in told else 1)
    for words in MISTYPED[line]:
        assert words in told


@pytest.mark.parametrize('name', COMMANDS)
def test_help_fits_a_screen_and_says_where_the_rest_is(name, answers):
    code, out, told = answers[f'{name} --help']
    assert (code, told) == (0, '')
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 100
    code, whole, told = answers[f'{name} --help-all']
    assert (code, told) == (0, '')
    assert max(map(len, whole.splitlines())) <= 100
    left = re.search(r'--help-all shows the other (\d+) flags', out)
    assert bool(left) == (name in ('main', 'summarize', 'recut', 'extract'))

    def shown(text):
        return set(
            re.findall(r'(?m)(?<=[ \]])(?:--\[no\]|--)[a-z_.]+(?=[ =\n])', text.partition('\n\n  --')[2])
        )

    assert shown(out) <= shown(whole)
    assert len(shown(whole) - shown(out)) == (int(left[1]) if left else 0)


def test_the_whole_help_shows_every_flag_that_the_pages_name(answers):
    # A term by import path is some name.
    term = re.compile(r'(?<=\.reward_terms\.)[\w./]+:\w+')
    texts = {path: term.sub('NAME', path.read_text('utf-8')) for path in PAGES}
    helps = {name: answers[f'{name} --help-all'][1] for name in COMMANDS}

    def shows(flag, out):
        # NAME, and `any.field`, stand for any one.
        known, any_one = re.fullmatch('(.*?)(NAME|any.field)?', flag).groups()
        return re.search(rf'--(\[no\])?{re.escape(known)}' + ('' if any_one else r'(?![\w.])'), out)

    ours = '\n'.join(text for path, text in texts.items() if path.name not in OTHERS)
    # `git log`, `tensorboard`, `benchmarks` and the pages of studies have flags of their own.
    others = r'(git log|tensorboard (?=--)|python -m (benchmarks|tests|trsum_jax\.studies))[^\n`]*'
    ours = re.sub(others, '', ours)
    named = set(re.findall(r'(?<![\w-])--([a-z_]+(?:\.\w+)*)(?![\w-])', ours))
    assert {'config', 'config.data.file', 'coordinator', 'weights', 'checkpoint', 'overwrite'} <= named
    assert not [
        flag for flag in named - {'help', 'version'} if not any(shows(flag, out) for out in helps.values())
    ]
    # `trsum train` is `main`; in prose a command stands between backticks, and ends there.
    commands = r'(?:python -m trsum_jax\.|^trsum |`trsum )(\w+)((?:\\\n|[^\n`])*)'
    found = [found for text in texts.values() for found in re.findall(commands, text, re.MULTILINE)]
    assert {'main', 'train', 'summarize', 'evaluate', 'score', 'extract'} <= {name for name, _ in found}
    of_trsum = {'train': 'main', 'import': 'importing', **{name: name for name in COMMANDS}}
    for name, rest in found:
        for flag in re.findall(r'--([a-z_]+(?:\.\w+)*)(?![\w-])', rest if name in of_trsum else ''):
            assert shows(flag, helps[of_trsum[name]]), f'{name} --{flag}'


@pytest.mark.parametrize('line', ['--config=configs/tvsum.py', 'tvsum', '--workdir x tvsum'])
def test_help_shows_the_fields_of_the_config_that_is_named(line, answers):
    _, out, _ = answers[f'main {line} --help']
    assert "--config.data.file='eccv16_dataset_tvsum_google_pool5.h5'" in out


def test_help_says_what_is_wrong_with_the_line(answers):
    code, out, _ = answers['main --config=configs/tvsun.py --help']
    assert code == 0
    assert '--workdir' in out
    assert 'did you mean configs/tvsum.py' in out


def test_help_does_without_what_the_command_needs(answers):
    code, out, _ = answers['score --help --dataset=x']
    assert code == 0
    assert '--checkpoint' in out
