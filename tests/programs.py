"""Programs that are traced once, for tests that run one experiment again and again in a process."""

import contextlib
import functools

import jax

from trsum_jax.experiment import methods, preparation, run
from trsum_jax.training import grid, loop, scoring
from trsum_jax.training.epoch import Stage

# Parts of the config of which no program is made; nor of `loop.Habits`, when to save and to speak, and of
# whom it is told to. Of the evaluation, those of which a row's is made.
_ELSEWHERE = ('name', 'preset', 'data', 'seeds', 'evaluation', 'study', 'variants')
_TOLD_TO = (*loop.Habits._fields, 'tensorboard', 'wandb', 'profile')
_OF_ROWS = ('untrained_heads', 'rs_sum_passes')


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
        method = build(config, *rest)
        stages = [
            made.setdefault((stage.name, _read_by(stage.name, config), rest), traced_once(stage))
            for stage in method.stages
        ]
        by = repr([config.evaluation[name] for name in _OF_ROWS]), _read_by(stages[-1].name, config), rest
        rows = {name: made.setdefault((name, *by), _jit(row)) for name, row in method.rows.items()}
        return method._replace(stages=tuple(stages), rows=rows)

    patch.setattr(methods, 'build', build_once)
    patch.setattr(grid, '_compile_init', functools.cache(grid._compile_init))
    # `grid.program` wraps the step anew each time, and `Experiment.score` the row.
    patch.setattr(grid, 'compile_part', _kept(grid.compile_part, lambda stage: stage.step.__wrapped__))
    patch.setattr(scoring, 'jit_over_runs', _kept(scoring.jit_over_runs, _parts_of))
    # What is there already would be lowered anew, and for a training that stops before it, in vain.
    for module in (run, preparation):
        patch.setattr(module, 'compiling_ahead', lambda *_, **__: contextlib.nullcontext(preparation.NOTHING))


def _read_by(stage, config):
    """What a stage is made of: of its method's stages, nothing of those to come."""
    own = next(stages for stages in methods.STAGES.values() if stage in stages)
    others = {name for stages in methods.STAGES.values() for name in stages}
    others -= set(own[: own.index(stage) + 1])
    fields = {
        part: value
        for part, value in config.to_dict().items()
        if part not in _ELSEWHERE and part not in others
    }
    layout = {name: value for name, value in fields['layout'].items() if name not in _TOLD_TO}
    return repr(fields | {'layout': layout})


def _parts_of(one):
    return (one.func, one.args) if isinstance(one, functools.partial) else one


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
