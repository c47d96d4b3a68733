"""Functions from outside, tried on a made segment before a training begins: what is wrong, in words."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from trsum_jax.errors import InputError, raised
from trsum_jax.experiment.bench import estimating, functions
from trsum_jax.method.episodes import Baseline
from trsum_jax.method.estimators import Estimate, Outcome
from trsum_jax.method.reward_terms import Episode
from trsum_jax.results.metric_log import BESIDE
from trsum_jax.runtime.fields import is_path
from trsum_jax.training import trsum
from trsum_jax.training.stages import gradient_noise, valued

_ESTIMATE = 'an Estimate(surrogate, rewards, advantages) of trsum_jax.method.estimators'

# What a line of the log has anyway.
_TAKEN = (*BESIDE, *trsum.TOLD, trsum.NORM, *gradient_noise.METRICS, *valued.METRICS)


class _Fault(Exception):
    """What was expected of a function and not found."""


class _Segment(NamedTuple):
    """Made frames, as many as a segment of the training has; the last quarter of them is padding."""

    valid: np.ndarray  # [L] bool
    logits: np.ndarray  # [L] float32; those of padding would choose it
    frames: np.ndarray  # [L, 3] float32
    actions: np.ndarray  # [4, L] bool: none, the first frame, every second one, all


def _segment(config: ml_collections.ConfigDict) -> _Segment:
    n = config.decomposition.length
    rng, at = np.random.default_rng(0), np.arange(n)
    valid = at < n - max(1, n // 4)
    logits = np.where(valid, rng.normal(size=n), 5.0).astype(np.float32)
    frames = np.where(valid[:, None], rng.uniform(size=(n, 3)), 0.0).astype(np.float32)
    actions = np.stack([at < 0, at < 1, at % 2 == 0, at < n]) & valid
    return _Segment(valid, logits, frames, actions)


def try_functions(config: ml_collections.ConfigDict) -> None:
    """Refuses a config whose functions by import path cannot do what they are named for.

    Args:
        config: the whole config, checked.

    Raises:
        InputError: lists every field whose function cannot be found, called, or used, with what was expected.
    """
    faults = []
    for field, path in functions.named_in(config).items():
        part = field.removeprefix('config.summarizer.')
        try:
            found = functions.function(path)
            if part == 'estimator':
                _try_estimator(config, path, found)
            elif part == 'baseline':
                _try_baseline(config, path, found)
            else:
                _try_term(config, path, found)
        except (InputError, _Fault) as error:
            told = field if field.endswith(path) else f'{field}={path}'
            faults.append(f'{told}: {error}')
    if faults:
        raise InputError('the config cannot run:\n  ' + '\n  '.join(faults))


def _try_estimator(config: ml_collections.ConfigDict, path: str, found: Callable[..., Any]) -> None:
    fields, made = config.summarizer, _segment(config)
    # The config has the numbers under the same names.
    options = estimating.options_of(fields, 0.0, fields)
    if is_path(fields.baseline):
        if 'kind' not in options:
            raise _Fault(f'expected a parameter kind, which takes the baseline {fields.baseline}, found none')
        # It has a trial of its own.
        options['kind'] = 'none'
    soft = []

    def surrogate(logits: jax.Array, parts: jax.Array) -> tuple[jax.Array, Any]:
        def rewards_of(actions: jax.Array) -> Outcome:
            soft.append(actions.dtype != bool)
            rewards = jax.nn.sigmoid(
                jnp.sin(actions.astype(jnp.float32) @ (1.0 + jnp.arange(len(made.valid))))
            )
            return Outcome(rewards, jnp.broadcast_to(parts[None], actions.shape))

        key, seen = jax.random.key(0), Baseline(jnp.array(0.4), jnp.array(True))
        estimate = found(key, logits, jnp.asarray(made.valid), rewards_of, seen, **options)
        if not isinstance(estimate, Estimate):
            raise _Fault(f'expected {_ESTIMATE}, found {_kind(estimate)}')
        _expect(estimate.surrogate, 'a surrogate', '[]', lambda shape: shape == ())
        _expect(estimate.rewards, 'rewards', '[K]', lambda shape: len(shape) == 1)
        _expect(estimate.advantages, 'advantages', '[K] or [K, L]', lambda shape: 1 <= len(shape) <= 2)
        for name, value in estimate.told.items():
            if not isinstance(name, str) or name in _TAKEN:
                raise _Fault(f'expected a name of a metric, none of {", ".join(_TAKEN)}, found {name!r}')
            _expect(value, f'the metric {name}', '[]', lambda shape: shape == ())
        return estimate.surrogate, estimate

    _bind(path, found, ('key', 'logits', 'valid', 'rewards_of', 'baseline'), options)
    # Parts that are no numbers show in the gradient of what reads them.
    traced = jax.jit(jax.grad(surrogate, has_aux=True))
    gradient, estimate = _run(len(made.valid), traced, made.logits, np.zeros_like(made.logits))
    _finite('an Estimate, and a gradient of its surrogate', gradient, *estimate[:3])
    if np.any(off := gradient[~made.valid]):
        raise _Fault(f'expected no gradient at a frame of padding, found {float(off[off != 0][0]):.3g}')
    blind, _ = _run(len(made.valid), traced, made.logits, np.full_like(made.logits, np.nan))
    needs = {'differentiates the reward': any(soft), 'reads its parts': not np.isfinite(blind).all()}
    if others := estimating.other_terms(fields):
        for what in [what for what, is_so in needs.items() if is_so]:
            raise _Fault(
                f'{what}, which reconstruction alone has; expected 0 for reward_terms {", ".join(others)}'
            )
    if any(soft) and fields.train_generator:
        raise _Fault('differentiates the reward; expected config.summarizer.train_generator=False')


def _try_baseline(config: ml_collections.ConfigDict, path: str, found: Callable[..., Any]) -> None:
    n = config.summarizer.episodes
    names = 'rewards', 'actions', 'baseline', 'rewards_of'
    _bind(path, found, names, {})

    def level(actions: jax.Array) -> Any:
        def rewards_of(actions: jax.Array) -> Outcome:
            rewards = jnp.mean(actions.astype(jnp.float32), axis=1)
            return Outcome(rewards, jnp.zeros(actions.shape))

        seen = Baseline(jnp.array(0.4), jnp.array(True))
        value = found(rewards_of(actions).rewards, actions, seen, rewards_of)
        _expect(value, 'a level', f'[] or [{n}]', lambda shape: shape in ((), (n,)))
        return value

    made = _segment(config)
    frames = len(made.valid)
    _finite('a level', _run(frames, jax.jit(level), np.resize(made.actions, (n, frames))))


def _try_term(config: ml_collections.ConfigDict, path: str, found: Callable[..., Any]) -> None:
    _bind(path, found, ('of',), {})
    made = _segment(config)
    valid, at = jnp.asarray(made.valid), np.arange(len(made.valid))

    def values(frames: jax.Array, padding: jax.Array) -> Any:
        def value(action: jax.Array) -> Any:
            # As of real frames, whose change is from 0 to 2.
            change = jnp.where(valid, 2 * at / len(at), padding)
            of = Episode(
                frames=jnp.where(valid[:, None], frames, padding[:, None]),
                valid=valid,
                action=action,
                shot=jnp.where(valid, at // 2, 0).astype(jnp.int32),
                change=change,
                side=change[:, None][:, : 1 if config.data.side else 0],
                reconstructed=jnp.array(0.4),
            )
            term = found(of)
            _expect(term, 'a reward', '[]', lambda shape: shape == ())
            return term

        return jax.lax.map(value, jnp.asarray(made.actions))

    traced = jax.jit(values)
    plain, other = (
        _run(len(made.valid), traced, made.frames, np.full_like(made.logits, fill)) for fill in (0, 7)
    )
    _finite('rewards of all selections, of an empty one too', plain)
    if not np.allclose(plain, other, rtol=1e-5, atol=1e-6):
        raise _Fault('expected a reward that does not depend on frames of padding, found one that does')


def _bind(path: str, found: Callable[..., Any], names: tuple[str, ...], options: dict[str, Any]) -> None:
    """Refuses a function that cannot be called with these arguments."""
    try:
        inspect.signature(found).bind(*names, **options)
    except TypeError as error:
        told = ', '.join([*names, *(f'{name}={value!r}' for name, value in options.items())])
        name = path.partition(':')[2]
        raise _Fault(f'expected a function to be called as {name}({told}), found: {error}') from error
    except ValueError:
        # Of some that are written in C nothing is known.
        return


def _run(frames: int, traced: Callable[..., Any], *given: np.ndarray) -> Any:
    """What a compiled function of arrays gives; its errors as faults."""
    try:
        return jax.tree.map(np.asarray, traced(*given))
    except _Fault:
        raise
    except (Exception, SystemExit) as error:
        raise _Fault(
            f'expected it to run on a made segment of {frames} frames, found that {raised(error)}'
        ) from error


def _expect(value: Any, what: str, shapes: str, fits: Callable[[tuple[int, ...]], bool]) -> None:
    is_array = isinstance(value, jax.Array | np.ndarray | float | int)
    if not is_array or not fits(jnp.shape(value)):
        raise _Fault(f'expected {what} of shape {shapes}, found {_kind(value)}')
    if jnp.iscomplexobj(value):
        raise _Fault(f'expected {what} of real numbers, found complex ones')


def _kind(value: Any) -> str:
    return f'shape {list(jnp.shape(value))}' if hasattr(value, 'shape') else f'a {type(value).__name__}'


def _finite(what: str, *values: Any) -> None:
    if not all(np.isfinite(value).all() for value in values):
        raise _Fault(f'expected finite numbers ({what}), found others')
