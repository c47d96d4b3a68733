"""What a wheel and a source archive hold, and that what they hold runs outside any checkout."""

import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml

import trsum_jax

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE', 'CHANGELOG.md')
BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""


def files_of(folder, *endings):
    paths = [path for path in (ROOT / folder).rglob('*') if path.suffix in endings]
    return {path.relative_to(ROOT).as_posix() for path in paths if '__pycache__' not in path.parts}


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """A folder with a wheel and a source archive, made of a copy without the rest of the checkout."""
    folder = tmp_path_factory.mktemp('built')
    copy = folder / 'copy'
    copy.mkdir()
    # With the links that a checkout has, and as `cp` copies them.
    sources = [str(ROOT / name) for name in (*SOURCES, 'trsum_jax', 'configs', 'launch')]
    subprocess.run(['cp', '-a', *sources, str(copy)], check=True)
    subprocess.run([sys.executable, '-c', BUILD, str(folder)], cwd=copy, check=True, capture_output=True)
    return folder


@pytest.fixture(scope='module')
def wheel(built):
    (path,) = built.glob('*.whl')
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_package_with_the_configs_and_nothing_beside_it(wheel):
    names = set(wheel.namelist())
    of_package = {name for name in names if not name.startswith('trsum_jax-')}
    code = files_of('trsum_jax', '.py', '.html', '.css', '.js') | {'trsum_jax/py.typed'}
    assert of_package == code | {f'trsum_jax/{name}' for name in files_of('configs', '.py')}
    assert 'trsum_jax/configs/studies/choices.py' in names


def test_the_metadata_are_whole(wheel):
    place = f'trsum_jax-{trsum_jax.__version__}.dist-info'
    text = wheel.read(f'{place}/METADATA').decode()
    for line in (
        f'Version: {trsum_jax.__version__}',
        'License-Expression: Apache-2.0',
        'License-File: LICENSE',
        'Project-URL: Paper, https://arxiv.org/abs/2407.04258',
        'Classifier: Typing :: Typed',
        'Requires-Python: >=3.11',
        'Requires-Dist: argcomplete>=3.5',
        'Provides-Extra: video',
    ):
        assert f'\n{line}\n' in text
    assert wheel.read(f'{place}/entry_points.txt').decode().split('\n')[:2] == [
        *('[console_scripts]', 'trsum = trsum_jax.__main__:main')
    ]


def test_the_source_archive_holds_what_the_wheel_is_built_of(built, wheel):
    (path,) = built.glob('*.tar.gz')
    with tarfile.open(path) as archive:
        assert not [member.name for member in archive if member.issym()]
        names = {name.partition('/')[2] for name in archive.getnames()}
    assert {name for name in wheel.namelist() if not name.startswith('trsum_jax-')} <= names
    assert {'configs/demo.py', 'launch/local.sh', *SOURCES} <= names


def test_what_is_installed_trains_and_lists_outside_any_checkout(wheel, tmp_path):
    wheel.extractall(tmp_path / 'site')
    environment = os.environ | {'PYTHONPATH': str(tmp_path / 'site')}

    def run(*line):
        command = [sys.executable, '-m', 'trsum_jax', *line]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    listed = run('configs')
    assert listed.returncode == 0, listed.stderr
    assert len(listed.stdout.splitlines()) == len([*(ROOT / 'configs').rglob('[!_]*.py')])
    # The demo, as far as the first thing that is wrong with it.
    trained = run('train', 'demo', '--config.model.heads=3')
    assert trained.returncode == 1
    assert 'config.model.heads: expected a divisor of model.width = 64' in trained.stderr
    assert not list(tmp_path.glob('runs'))


def test_without_the_link_the_build_says_what_is_missing(built, tmp_path):
    copy = tmp_path / 'copy'
    subprocess.run(['cp', '-a', str(built / 'copy'), str(copy)], check=True)
    (copy / 'trsum_jax' / 'configs').unlink()
    (copy / 'trsum_jax' / 'configs').write_text('../configs')
    command = [sys.executable, '-c', BUILD, str(tmp_path)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'trsum_jax/configs: expected a link to configs/, found none' in done.stderr


def test_the_citation_names_this_version_and_the_paper():
    cited = yaml.safe_load((ROOT / 'CITATION.cff').read_text('utf-8'))
    assert cited['version'] == trsum_jax.__version__
    paper = cited['preferred-citation']
    text = ' '.join((ROOT / 'README.md').read_text('utf-8').split())
    assert paper['title'] in text
    assert paper['url'] in text
    for author in paper['authors']:
        assert f'{author["family-names"]}, {author["given-names"]}' in text


def test_the_workflow_runs_what_is_run_by_hand():
    workflow = yaml.safe_load((ROOT / '.github' / 'workflows' / 'ci.yml').read_text('utf-8'))
    (job,) = workflow['jobs'].values()
    assert {'run': '.ci/run'} in job['steps']
    assert os.access(ROOT / '.ci' / 'run', os.X_OK)
