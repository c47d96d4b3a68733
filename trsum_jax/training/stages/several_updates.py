"""Stage 2 that learns several times from each batch's episodes, whose rewards are taken once (PPO, GRPO)."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from trsum_jax.method.estimators import Estimate
from trsum_jax.training import trsum
from trsum_jax.training.corpus import Corpus
from trsum_jax.training.epoch import Batch, Stage
from trsum_jax.training.runs import Run, own
from trsum_jax.training.trsum import Reinforcement, SummarizerState

METRICS = ('ratio_clipped',)


def learning_again(
    stage: Stage, setup: Reinforcement, repeated: Callable[..., Estimate], updates: int
) -> Stage:
    """A stage 2 whose every step is that of before, and further updates by the same episodes.

    The first update is the stage's own: where the policy is still the one that drew, all ratios are 1. In the
    others `repeated` stands for the estimator; dropout, penalty, bonus and the unit of advantages are as in
    the first, and so is the learning rate. The baselines move once a step. What a step tells is of its first
    update, with `METRICS` of its last.

    Args:
        stage: `trsum.summarizer_stage`.
        setup: what it is made of; its estimator gives a `Draw`.
        repeated: (`Estimate` of the first update, logits [L], segment, `PolicyNumbers`) -> `Estimate`.
        updates: of a batch, the first included, at least 2.

    Returns:
        The stage.
    """
    return stage._replace(step=functools.partial(_step, setup, repeated, updates))


def _step(
    setup: Reinforcement,
    repeated: Callable[..., Estimate],
    updates: int,
    state: SummarizerState,
    batch: Batch,
    corpus: Corpus,
    run: Run,
    frozen: Any,
):
    keeping = dataclasses.replace(setup, estimate=functools.partial(_keeping, setup.estimate))
    after, metrics = trsum.summarizer_step(keeping, state, batch, corpus, run, frozen)
    first = metrics.pop('first')
    later = dataclasses.replace(setup, loss=functools.partial(_later_loss, setup.loss, repeated))
    rates = own(setup.optimizer.rates, 'summarizer', run)

    def update(learned, _):
        params, moments = learned
        # The spread that advantages are in units of is that of the first update.
        now = state._replace(params=params)
        grads, told = trsum.policy_gradient(later, now, batch, corpus, run, frozen, first)
        learned = setup.optimizer.update(params, moments, grads, batch.progress, rates)
        return learned, {name: told[name] for name in METRICS}

    learned, told = jax.lax.scan(update, (after.params, after.optimizer), length=updates - 1)
    params, moments = learned
    last = jax.tree.map(lambda leaf: leaf[-1], told)
    return after._replace(params=params, optimizer=moments), {**metrics, **last}


def _keeping(estimate: Callable[..., Estimate], *given: Any) -> Estimate:
    """The same estimate, which stands among the metrics as well, for later."""
    found = estimate(*given)
    return found._replace(told={**found.told, 'first': found._replace(told={})})


def _later_loss(loss, repeated, setup, frozen, state, progress, numbers, segment, key, given, first):
    """A segment's loss in a later update; `first` is the estimate of the first one."""

    def estimate(key, logits, segment, rewards_of, baseline, progress, numbers):
        del key, rewards_of, baseline, progress
        return repeated(first, logits, segment, numbers)

    own = dataclasses.replace(setup, estimate=estimate)
    return loss(own, frozen, state, progress, numbers, segment, key, given)
