"""The compilation cache of the commands: hit by a second process, without a trace in the results."""

import functools
import os
import subprocess
import sys
import threading

import pytest

from trsum_jax.errors import InputError
from trsum_jax.runtime import compilation

# Both print hits and misses.
COUNTING = """
import pathlib, sys
import jax
counts = {'cache_hits': 0, 'cache_misses': 0}
def count(event, **_):
    name = event.rpartition('/')[2]
    if name in counts:
        counts[name] += 1
jax.monitoring.register_event_listener(count)
"""
# An experiment at toy size, and any program at all.
EXPERIMENT = f"""{COUNTING}
sys.path.insert(0, 'tests')
from tiny import tiny_config
from trsum_jax.experiment.run import run_experiment
config = tiny_config(**{{'evaluation.baselines': False, 'model.layers': 1}})
run_experiment(config, pathlib.Path(sys.argv[1]))
print(*counts.values())
"""
SMALL = f"""{COUNTING}
from trsum_jax.runtime import compilation
compilation.remember()
jax.jit(lambda x: x + 1)(1).block_until_ready()
print(*counts.values())
"""
REMEMBER = """
import jax
from trsum_jax.runtime import compilation
print(compilation.remember(), jax.config.jax_compilation_cache_dir)
"""


def last_line(program, *arguments, **environment):
    """The words of the last line printed; a warning fails."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(('JAX_COMP', 'JAX_PERS', 'JAX_ENABLE'))}
    done = subprocess.run(
        [sys.executable, '-W', 'error::UserWarning', '-c', program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=clean | {name: str(value) for name, value in environment.items()},
    )
    assert done.returncode == 0, done.stderr
    assert 'arning' not in done.stderr
    return done.stdout.splitlines()[-1].split()


def test_a_second_process_compiles_nothing_and_gives_the_same_bits(tmp_path):
    cache = tmp_path / 'cache'
    # Without a threshold, which a slow moment passes the second time alone.
    own = {'XDG_CACHE_HOME': cache, 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': 0}
    _, misses = map(int, last_line(EXPERIMENT, tmp_path / 'first', **own))
    assert misses > 0
    assert list((cache / 'trsum_jax').glob('*/*'))
    hits, misses = map(int, last_line(EXPERIMENT, tmp_path / 'second', **own))
    assert hits > 0
    assert misses == 0
    for name in ('metrics.jsonl', 'videos.csv'):
        first, second = (tmp_path / run / name for run in ('first', 'second'))
        assert first.read_text() == second.read_text()


def test_a_user_may_have_no_cache(tmp_path):
    off = {'XDG_CACHE_HOME': tmp_path / 'cache', 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
    assert last_line(SMALL, **off) == ['0', '0']
    assert not list(tmp_path.rglob('*-cache'))


def test_the_users_own_folder_stands(tmp_path):
    mine, home = str(tmp_path / 'mine'), tmp_path / 'home'
    found = last_line(REMEMBER, XDG_CACHE_HOME=home, JAX_COMPILATION_CACHE_DIR=mine)
    assert found == ['None', mine]
    assert not (home / 'trsum_jax').exists()


def test_it_is_on_by_default_in_the_users_cache(tmp_path):
    found = last_line(REMEMBER, XDG_CACHE_HOME=tmp_path)
    assert found[0] == found[1]
    assert found[0].startswith(str(tmp_path / 'trsum_jax'))


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / 'file').write_text('')
    assert last_line(REMEMBER, XDG_CACHE_HOME=tmp_path / 'file') == ['None', 'None']


def test_work_is_done_in_turn_by_one_other_thread_and_its_errors_are_raised_where_it_is_asked_for():
    done = []

    def work(value):
        done.append((value, threading.current_thread() is threading.main_thread()))
        if value == 2:
            raise InputError('the second')
        return value

    with compilation.in_turn() as later:
        first, second, third = (later(functools.partial(work, value)) for value in (1, 2, 3))
        assert third() == 3
        with pytest.raises(InputError, match='the second'):
            second()
        assert first() == 1
    assert done == [(1, False), (2, False), (3, False)]


def test_what_is_not_begun_at_the_end_never_is_and_what_is_under_way_is_not_waited_for():
    begun, released, done = threading.Event(), threading.Event(), []
    with pytest.raises(KeyError), compilation.in_turn() as later:
        ended = later(lambda: (begun.set(), released.wait(60), done.append(1)))
        later(lambda: done.append(2))
        begun.wait(60)
        raise KeyError
    assert done == []
    released.set()
    ended()
    assert done == [1]
