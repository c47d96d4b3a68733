"""The door of the config: from its fields to modules, bound functions and plain numbers.

`method/` and `training/` never see a config. `methods` is the door of the rivals.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from trsum_jax.experiment.bench import functions
from trsum_jax.experiment.bench.estimating import SUMMARIZERS, estimator, repeated
from trsum_jax.method import episodes, masking, reward_terms
from trsum_jax.method.encoder import Encoder, EncoderConfig
from trsum_jax.method.models import Generator, Summarizer
from trsum_jax.training import runs, steps, trsum
from trsum_jax.training.epoch import Stage
from trsum_jax.training.stages import gradient_noise, held_aside, several_updates, valued, variations


class TrSum(NamedTuple):
    """TR-SUM as a config describes it.

    Attributes:
        first: what stage 1 is made of.
        second: what stage 2 is made of.
        stages: both.
    """

    first: trsum.Pretraining
    second: trsum.Reinforcement
    stages: tuple[Stage, Stage]

    @property
    def generator(self) -> Generator:
        """The module of stage 1."""
        return self.first.generator

    @property
    def summarizer(self) -> Summarizer:
        """The module of stage 2."""
        return self.second.summarizer


def bind(config: ml_collections.ConfigDict, width: int, n_videos: int, shards: int = 1) -> TrSum:
    """The method as the config describes it, for features of a width.

    Args:
        config: the whole config, checked.
        width: D.
        n_videos: V.
        shards: devices that share a batch (`sharding.DATA`).

    Returns:
        Modules, numbers and functions; nothing of the config is left in them.
    """
    generator, summarizer = _modules(config, width)
    first = _pretraining(config, generator, width, shards)
    second = _reinforcement(config, generator, summarizer, width, n_videos, shards)
    stage_1 = held_aside.keeping_the_best(first, config.generator.patience)
    stage_2 = (variations.unfrozen if config.summarizer.train_generator else trsum.summarizer_stage)(second)
    if config.summarizer.updates > 1:
        again = repeated(config.summarizer), config.summarizer.updates
        stage_2 = several_updates.learning_again(stage_2, second, *again)
    if every := config.layout.gradient_noise_every:
        stage_2 = gradient_noise.telling_noise(stage_2, second, every, config.layout.gradient_noise_draws)
    return TrSum(first, second, (stage_1, stage_2))


def _modules(config: ml_collections.ConfigDict, width: int) -> tuple[Generator, Summarizer]:
    model, dtype = config.model, dtype_here(config.model.dtype)
    encoder = Encoder(
        EncoderConfig(
            width=model.width,
            layers=model.layers,
            heads=model.heads,
            feed_forward=model.feed_forward,
            positions=model.positions,
            dropout=model.dropout,
            cosine_start=model.cosine_start,
            dtype=dtype,
            remat=config.layout.remat,
        )
    )
    shared = {'centred': model.centred, 'feature_scale': scale_of(model, width)}
    chosen, value = config.summarizer.estimator, config.summarizer.baseline == valued.VALUE
    summarizer = SUMMARIZERS.get(chosen, Summarizer)(encoder, value=value, **shared)
    return Generator(encoder, mask_token=model.mask_token, **shared), summarizer


def _pretraining(
    config: ml_collections.ConfigDict, generator: Generator, width: int, shards: int
) -> trsum.Pretraining:
    fields, length, everywhere = config.generator, config.decomposition.length, False
    windows, most = _strategy(config.masking, length)
    if fields.loss_frames == 'all':
        everywhere, most = True, length
    return trsum.Pretraining(
        generator=generator,
        width=width,
        length=length,
        windows=windows,
        numbers=_numbers(runs.MaskingNumbers, config.masking),
        everywhere=everywhere,
        most=most,
        optimizer=_adamw(fields),
        batch=fields.batch,
        at_once=microbatch_here(config.layout.microbatch, fields.batch // shards),
        shards=shards,
    )


def _strategy(fields: ml_collections.ConfigDict, length: int) -> tuple[Callable, int]:
    """`Pretraining.windows`, and the most candidates in a segment.

    Where a grid's runs differ in the ratios, the fields hold the greatest of each.
    """
    if fields.strategy == 'dynamic':

        def dynamic(key, valid, shot, numbers):
            ratios = {'window_ratio': numbers.window_ratio, 'mask_ratio': numbers.mask_ratio}
            return masking.dynamic_windows(key, valid, shot, **ratios)

        share = fields.window_ratio
        return dynamic, masking.most_candidates(length, fields.mask_ratio, lambda frames: share * frames)
    if fields.strategy == 'random':

        def random(key, valid, shot, numbers):
            return masking.random_frames(key, valid, shot, mask_ratio=numbers.mask_ratio)

        return random, masking.most_candidates(length, fields.mask_ratio, lambda frames: 1)
    size = fields.fixed_length

    def fixed(key, valid, shot, numbers):
        return masking.fixed_windows(key, valid, shot, window_length=size, mask_ratio=numbers.mask_ratio)

    return fixed, masking.most_candidates(length, fields.mask_ratio, lambda frames: size)


def _reinforcement(
    config: ml_collections.ConfigDict,
    generator: Generator,
    summarizer: Summarizer,
    width: int,
    n_videos: int,
    shards: int,
) -> trsum.Reinforcement:
    fields = config.summarizer
    selected_count = fields.reward_reconstruction == 'generator' and fields.reward_frames == 'all'
    alone = bool(fields.reward_terms.get('reconstruction')) and not selected_count
    return trsum.Reinforcement(
        summarizer=summarizer,
        generator=generator.clone(hidden_alone=alone),
        width=width,
        length=config.decomposition.length,
        n_videos=n_videos,
        view=variations.permuted_view if fields.permute_features else lambda keys, frames: frames,
        loss=valued.valued_loss if summarizer.value else trsum.policy_loss,
        estimate=estimator(fields),
        reward=functools.partial(
            reward_terms.weighted_sum,
            fields.reward_terms.to_dict(),
            reconstruct=fields.reward_reconstruction,
            over=fields.reward_frames,
            more={path: functools.partial(functions.call, path) for path in functions.terms_of(config)},
        ),
        penalty=functools.partial(episodes.length_penalty, penalty=fields.penalty),
        # Without a weight no run has it in its program.
        bonus=summarizer.entropy if fields.entropy_weight else lambda *_: 0.0,
        numbers=_numbers(runs.PolicyNumbers, fields),
        baseline_start=fields.baseline_start,
        in_units=fields.advantage_unit == 'spread',
        from_generator=fields.from_generator,
        optimizer=_adamw(fields),
        batch=fields.batch,
        at_once=microbatch_here(config.layout.microbatch, fields.batch // shards),
        how=how_here(config.layout.episodes),
        shards=shards,
    )


def _adamw(fields: ml_collections.ConfigDict) -> steps.Optimizer:
    names = ('learning_rate', 'warmup', 'epochs', 'weight_decay', 'clip')
    return steps.adamw(**{name: fields[name] for name in names})


def _numbers(kind: type, fields: ml_collections.ConfigDict) -> Any:
    return kind(**{name: fields[name] for name in kind._fields})


def scale_of(model: ml_collections.ConfigDict, width: int) -> float:
    """The factor on features going in: sqrt(D) with `model.scale_features`, else 1."""
    return float(width) ** 0.5 if model.scale_features else 1.0


def how_here(how: str) -> str:
    """What `auto` means here: `map` on a CPU, where big temporaries cost more than loops; else `vmap`."""
    if how != 'auto':
        return how
    return 'map' if jax.default_backend() == 'cpu' else 'vmap'


def dtype_here(dtype: str) -> Any:
    """The type that `model.dtype` asks for: for `auto`, float32 on a CPU and bfloat16 elsewhere."""
    if dtype == 'auto':
        dtype = 'float32' if jax.default_backend() == 'cpu' else 'bfloat16'
    return jnp.dtype(dtype)


def microbatch_here(microbatch: int, batch: int) -> int:
    """Segments at a time: what `layout.microbatch` means here for a device's `batch` segments.

    -1 stands for the whole batch, but on a CPU for 8, or the next smaller divisor: there the temporaries of
    a large batch do not fit the caches. 0 stands for the whole batch everywhere. A number that does not
    divide a device's part of the batch becomes their greatest common divisor.
    """
    if microbatch > 0:
        return math.gcd(microbatch, batch)
    if microbatch == 0 or jax.default_backend() != 'cpu':
        return batch
    return max(size for size in range(1, 9) if batch % size == 0)
