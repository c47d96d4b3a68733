"""A method as a value, made from a config: TR-SUM, and the rivals in `trsum_jax.rivals`.

This is the only file that compares the method's name.
"""

import functools
import importlib
import pkgutil
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import ml_collections

from trsum_jax import rivals
from trsum_jax.experiment.config import bind, dtype_here, scale_of
from trsum_jax.results.report import MODEL
from trsum_jax.runtime.fields import Field
from trsum_jax.training import scoring, trsum
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.epoch import Stage
from trsum_jax.training.runs import Run, stream
from trsum_jax.training.stages import gradient_noise, held_aside, several_updates, valued
from trsum_jax.training.steps import over

OURS = 'trsum'
RIVALS = tuple(sorted(module.name for module in pkgutil.iter_modules(rivals.__path__) if module.ispkg))
NAMES = (OURS, *RIVALS)
# The stages of every method, in order; each has a part of the config.
STAGES = {OURS: ('generator', 'summarizer'), **{name: (name,) for name in RIVALS}}

_RIVALS = {name: importlib.import_module(f'trsum_jax.rivals.{name}.training') for name in RIVALS}
# By method and stage, what is minimized or rewarded: the other metrics describe and are not trained on.
LEARNED = {
    OURS: {'generator': ('loss',), 'summarizer': ('reward',)},
    **{name: {name: rival.LEARNED} for name, rival in _RIVALS.items()},
}
# By stage, the metrics that a study may show.
LOGGED = {
    'generator': (*trsum.LOSSES, *held_aside.ASIDE, 'epochs_since_best'),
    'summarizer': (
        *trsum.TOLD,
        trsum.NORM,
        *gradient_noise.METRICS,
        *several_updates.METRICS,
        *valued.METRICS,
    ),
    **{name: rival.LOGGED for name, rival in _RIVALS.items()},
}

# (a run's key, the parameters of its stages, corpus) -> a score for every frame, [F] or [heads, F].
Row = Callable[[chex.PRNGKey, tuple[Any, ...], Corpus], chex.Array]


class Method(NamedTuple):
    """What is trained and how it scores.

    Attributes:
        name: of the config.
        stages: in order; each but the first reads the first one's parameters.
        length: positions in a segment of its corpus: L, or the longest video's steps.
        views: of the segments (`decomposition.VIEWS`).
        rows: by name, what scores frames: `MODEL`, and what it is compared with.
    """

    name: str
    stages: tuple[Stage, ...]
    length: int
    views: tuple[str, ...]
    rows: Mapping[str, Row]


def is_ours(config: ml_collections.ConfigDict) -> bool:
    """Whether the method is TR-SUM: rivals train on whole videos, alone, and score no others."""
    return config.method == OURS


def fields_of_rivals() -> dict[str, Field]:
    """By name, such as `drdsn.width`."""
    return {f'{name}.{field}': of for name, rival in _RIVALS.items() for field, of in rival.FIELDS.items()}


def batches(config: ml_collections.ConfigDict) -> tuple[int, ...]:
    """Segments in the batches that may be split over devices; a rival's is not."""
    return (config.generator.batch, config.summarizer.batch) if is_ours(config) else (1,)


def build(
    config: ml_collections.ConfigDict, width: int, n_videos: int, longest: int, shards: int = 1
) -> Method:
    """The method that a config describes.

    Args:
        config: the whole config, checked.
        width: D.
        n_videos: V.
        longest: steps of the longest video.
        shards: devices that share a batch.

    Returns:
        The method.
    """
    return (_ours if is_ours(config) else _of_rival)(config, width, n_videos, longest, shards)


def _ours(config, width: int, n_videos: int, longest: int, shards: int) -> Method:
    del longest
    bound, evaluation = bind(config, width, n_videos, shards), config.evaluation

    def untrained(key, params, corpus):
        heads = jax.random.split(stream(key, 'untrained heads'), evaluation.untrained_heads)
        start = functools.partial(trsum.summarizer_params, bound.second, generator=params[0])
        return over('map', lambda head: importance(start(head), corpus), heads)

    def one_out(window, key, params, corpus):
        return scoring.one_out_loss(bound.generator, params[0], corpus, window)

    def rs_sum(key, params, corpus):
        key = stream(key, 'rs_sum')
        return scoring.rs_sum(bound.generator, params[0], corpus, key, evaluation.rs_sum_passes)

    importance = functools.partial(scoring.importance, bound.summarizer)
    rows: dict[str, Row] = {MODEL: lambda key, params, corpus: importance(params[1], corpus)}
    rows['untrained'] = untrained
    if evaluation.one_out:
        rows['one_out'] = functools.partial(one_out, 1)
        rows |= {f'one_out_{n}': functools.partial(one_out, n) for n in evaluation.one_out_windows}
    if evaluation.rs_sum_passes:
        rows['rs_sum'] = rs_sum
    fields = config.decomposition
    return Method(OURS, bound.stages, fields.length, tuple(fields.views), rows)


def _of_rival(config, width: int, n_videos: int, longest: int, shards: int) -> Method:
    del shards
    settings = types.SimpleNamespace(**config[config.method])
    scale, dtype = scale_of(config.model, width), dtype_here(config.model.dtype)
    module, stage = _RIVALS[config.method].build(settings, width, n_videos, dtype=dtype, scale=scale)
    n_heads = config.evaluation.untrained_heads

    def untrained(key, params, corpus):
        del params

        def head(key):
            run = Run(key, jnp.zeros(1, jnp.int32), jnp.ones(1))
            return importance(stage.init(run, ()).params, corpus)

        return over('map', head, jax.random.split(stream(key, 'untrained heads'), n_heads))

    importance = functools.partial(scoring.importance, module)
    rows: dict[str, Row] = {MODEL: lambda key, params, corpus: importance(params[0], corpus)}
    rows['untrained'] = untrained
    return Method(config.method, (stage,), longest, ('sequential',), rows)
