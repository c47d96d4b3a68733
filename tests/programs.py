"""Programs that are traced once, for tests that run one experiment again and again in a process."""

import functools

import jax

from trsum_jax.experiment import methods
from trsum_jax.training import grid, loop, scoring
from trsum_jax.training.epoch import Stage

# Parts of the config of which no program is made; nor of `loop.Habits`, when to save and to speak.
_ELSEWHERE = ('name', 'data', 'seeds')


def traced_once(stage: Stage) -> Stage:
    """The same stage; its functions are traced at the first of their uses in programs of one shape."""
    return stage._replace(init=_jit(stage.init), step=_jit(stage.step))


def share(patch):
    """Methods of equal configs are one, with the same functions, so that JAX knows their programs again.

    What they compute stays as it is.

    Args:
        patch: a monkeypatch.
    """
    build, made = methods.build, {}

    def build_once(config, *rest):
        fields = {name: value for name, value in config.to_dict().items() if name not in _ELSEWHERE}
        layout = {name: value for name, value in fields['layout'].items() if name not in loop.Habits._fields}
        key = repr(fields | {'layout': layout}), rest
        if key not in made:
            method = build(config, *rest)
            stages = tuple(traced_once(stage) for stage in method.stages)
            made[key] = method._replace(
                stages=stages, rows={name: _jit(row) for name, row in method.rows.items()}
            )
        return made[key]

    patch.setattr(methods, 'build', build_once)
    patch.setattr(grid, '_compile_init', functools.cache(grid._compile_init))
    # `grid.advance` wraps the step anew each time, and `Experiment.score` the row.
    patch.setattr(grid, 'compile_part', _kept(grid.compile_part, lambda stage: stage.step.__wrapped__))
    patch.setattr(scoring, 'jit_over_runs', _kept(scoring.jit_over_runs, lambda one: (one.func, one.args)))


def _kept(compile_one, identity):
    """Of functions of one identity, and otherwise equal arguments, what was made of the first."""
    found = {}

    def get(function, *rest):
        key = identity(function), rest
        if key not in found:
            found[key] = compile_one(function, *rest)
        return found[key]

    return get


_jit = functools.partial(jax.jit, inline=True)
