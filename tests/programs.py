"""Programs that are traced once, for tests that run one experiment again and again in a process."""

import functools

import jax

from trsum_jax.experiment import methods
from trsum_jax.training import grid
from trsum_jax.training.epoch import Stage

# Parts of the config of which no program is made: where data are, when to save and to speak.
_ELSEWHERE = ('name', 'data', 'seeds', 'layout')


def traced_once(stage: Stage) -> Stage:
    """The same stage; its functions are traced at the first of their uses in programs of one shape."""
    return stage._replace(init=_jit(stage.init), step=_jit(stage.step))


def share(patch):
    """Methods of equal configs are one, with the same functions, so that JAX knows their programs again.

    What they compute stays as it is.

    Args:
        patch: a monkeypatch.
    """
    build, compile_part = methods.build, grid.compile_part
    made, parts = {}, {}

    def build_once(config, *rest):
        fields = {name: value for name, value in config.to_dict().items() if name not in _ELSEWHERE}
        layout = config.layout
        key = repr(fields), layout.microbatch, layout.episodes, layout.remat, rest
        if key not in made:
            method = build(config, *rest)
            stages = tuple(traced_once(stage) for stage in method.stages)
            made[key] = method._replace(
                stages=stages, rows={name: _jit(row) for name, row in method.rows.items()}
            )
        return made[key]

    def compile_part_once(stage, how, mesh=None):
        # `grid.advance` wraps the step anew each time.
        key = stage.step.__wrapped__, how, mesh
        if key not in parts:
            parts[key] = compile_part(stage, how, mesh)
        return parts[key]

    patch.setattr(methods, 'build', build_once)
    patch.setattr(grid, 'compile_part', compile_part_once)


_jit = functools.partial(jax.jit, inline=True)
