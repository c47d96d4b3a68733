"""TR-SUM's two steps in PyTorch by the habit of this field's repositories.

One video at a time: its segments in a Python loop, each moved to the device by itself, its episodes in a
Python loop, attention written out, plain AdamW, numbers read off after every step. A segment is cut to its
valid frames instead of being masked. The arithmetic is that of `torch_best` all the same, and so is the
list of what a step computes.
"""

import math
import random
from collections.abc import Iterator
from typing import Any

import ml_collections
import torch
from torch import Tensor
from torch.distributions import Bernoulli

from benchmarks.torch_model import (
    Generator,
    Summarizer,
    apply_gradients,
    check,
    frame_losses,
    load,
    rate,
    tensors,
)

Item = dict[str, Any]

_ROUNDING = 1e-4


class Stage1:
    """The generator learns to rebuild the candidate frames of corrupted segments.

    Args:
        params: the generator's flax parameters.
        config: the whole config; the arithmetic is float32.
        corpus: arrays by name, `trsum_jax.training.corpus.Corpus._asdict()`; stays on the CPU.
        device: `cpu` or `cuda`.
    """

    def __init__(
        self, params: Any, config: ml_collections.ConfigDict, corpus: dict[str, Any], device: str = 'cpu'
    ):
        check(config)
        self.settings, self.masking, self.device = config.generator, config.masking, device
        self.corpus = tensors(corpus, 'cpu')
        self.model = load(Generator(config, self.corpus['frames'].shape[1], attend), params, device)
        self.optimizer = _adamw(self.model, self.settings)

    def step(self, segments: Tensor, progress: float) -> dict[str, float]:
        """One step on a video, given as its segments' numbers; `progress` counts epochs. The timed work."""
        return self._step((self._corrupted(item) for item in items_of(self.corpus, segments)), progress)

    def step_on(self, batch: dict[str, Tensor], progress: float) -> dict[str, float]:
        """One step on corrupted segments: `frames`, `shown`, `valid`, `masked`, `candidate`."""
        return self._step(cut(batch), progress)

    def backward(self, items: Iterator[Item]) -> dict[str, float]:
        """Gradients of the mean loss over segments into the parameters, and the mean metrics."""
        self.optimizer.zero_grad()
        total, history = 0.0, []
        for item in items:
            loss, metrics = self._loss(item)
            total = total + loss
            history.append(metrics)
        (total / len(history)).backward()
        return _means(history)

    def _step(self, items: Iterator[Item], progress: float) -> dict[str, float]:
        metrics = self.backward(items)
        apply_gradients(self.optimizer, self.settings, progress)
        return metrics

    def _corrupted(self, item: Item) -> Item:
        candidate, masked, source = corrupt(item['shot'].tolist(), int(item['n_steps']), self.masking)
        shown = item['frames'].clone()
        for position, step in source.items():
            shown[position] = self.corpus['frames'][item['first'] + step]
        return item | {'shown': shown, 'masked': torch.tensor(masked), 'candidate': torch.tensor(candidate)}

    def _loss(self, item: Item) -> tuple[Tensor, dict[str, float]]:
        frames, shown = item['frames'].to(self.device), item['shown'].to(self.device)
        visible, candidate = ~item['masked'].to(self.device), item['candidate'].to(self.device)
        rebuilt = self.model(shown[None], torch.ones_like(visible)[None], visible[None, None])[0, 0]

        def loss_of(reconstruction: Tensor) -> Tensor:
            return frame_losses(frames[candidate], reconstruction[candidate]).mean()

        loss = loss_of(rebuilt)
        mean = shown[visible].mean(0).expand_as(shown)
        seen = visible.nonzero()[:, 0]
        distance = (torch.arange(len(frames), device=self.device)[:, None] - seen).abs()
        return loss, {
            'loss': loss.item(),
            'loss_segment_mean': loss_of(mean).item(),
            'loss_copy_nearest': loss_of(shown[seen[distance.argmin(1)]]).item(),
        }


class Stage2:
    """REINFORCE, the reward being what the frozen generator rebuilds from the selected frames.

    Args:
        params: the summarizer's flax parameters.
        frozen: the generator's.
        config, corpus, device: as in `Stage1`.
    """

    def __init__(
        self,
        params: Any,
        frozen: Any,
        config: ml_collections.ConfigDict,
        corpus: dict[str, Any],
        device: str = 'cpu',
    ):
        check(config)
        self.settings, self.device = config.summarizer, device
        self.corpus = tensors(corpus, 'cpu')
        width = self.corpus['frames'].shape[1]
        self.model = load(Summarizer(config, width, attend), params, device)
        self.frozen = load(Generator(config, width, attend), frozen, device)
        self.optimizer = _adamw(self.model, self.settings)
        self.baselines: dict[int, float] = {}

    def step(self, segments: Tensor, progress: float) -> dict[str, float]:
        """One step on a video, given as its segments' numbers; `progress` counts epochs. The timed work."""
        return self._step(items_of(self.corpus, segments), progress)

    def step_on(self, batch: dict[str, Tensor], progress: float) -> dict[str, float]:
        """One step on `frames`, `valid`, `video`, and where given `actions` [B, N, L]."""
        return self._step(cut(batch), progress)

    def backward(self, items: Iterator[Item]) -> dict[str, float]:
        """Gradients of the mean loss into the parameters, baselines moved, and the mean metrics."""
        self.optimizer.zero_grad()
        total, history, rewards = 0.0, [], {}
        for item in items:
            loss, metrics = self._loss(item)
            total = total + loss
            history.append(metrics)
            rewards.setdefault(int(item['video']), []).append(metrics['reward'])
        (total / len(history)).backward()
        for video, values in rewards.items():
            mean = sum(values) / len(values)
            momentum = self.settings.baseline_momentum
            self.baselines[video] = momentum * self._baseline(video, mean) + (1 - momentum) * mean
        return _means(history)

    def _step(self, items: Iterator[Item], progress: float) -> dict[str, float]:
        metrics = self.backward(items)
        apply_gradients(self.optimizer, self.settings, progress)
        return metrics

    def _baseline(self, video: int, mean: float) -> float:
        return self.baselines.get(video, 0.0 if self.settings.baseline_start == 'zero' else mean)

    def _loss(self, item: Item) -> tuple[Tensor, dict[str, float]]:
        frames = item['frames'].to(self.device)
        logits = self.model(frames[None], torch.ones(1, len(frames), dtype=torch.bool, device=self.device))[0]
        p = logits.sigmoid()
        policy = Bernoulli(logits=logits)
        rewards, log_probabilities = [], []
        for i in range(self.settings.episodes):
            given = item.get('actions')
            action = policy.sample() if given is None else given[i].to(self.device).float()
            log_probabilities.append(policy.log_prob(action).sum())
            rewards.append(self._reward(frames, action.bool()).item())
        mean = sum(rewards) / len(rewards)
        baseline = self._baseline(int(item['video']), mean)
        penalty = (p.mean() - self.settings.share) ** 2
        cost = self.settings.penalty_weight * penalty
        for reward, log_probability in zip(rewards, log_probabilities, strict=True):
            cost = cost - (reward - baseline) * log_probability / len(rewards)
        return cost, {
            'loss': cost.item(),
            'reward': mean,
            'reward_std': math.sqrt(sum((r - mean) ** 2 for r in rewards) / len(rewards)),
            'advantage_square': sum((r - baseline) ** 2 for r in rewards) / len(rewards),
            'p_mean': p.mean().item(),
            'p_std': p.std(correction=0).item(),
            'penalty': penalty.item(),
        }

    @torch.no_grad()
    def _reward(self, frames: Tensor, action: Tensor) -> Tensor:
        rebuilt = self.frozen(frames[None], torch.ones_like(action)[None], action[None, None])[0, 0]
        losses = frame_losses(frames, rebuilt)
        if self.settings.reward_reconstruction == 'composed':
            losses = losses * ~action
        return torch.sigmoid(-losses.mean())


class Scorer:
    """Importance of frames from a trained summarizer, one segment after another.

    Args:
        params: the summarizer's flax parameters.
        config: the whole config.
        features: D.
        device: `cpu` or `cuda`.
    """

    def __init__(self, params: Any, config: ml_collections.ConfigDict, features: int, device: str = 'cpu'):
        check(config)
        self.device = device
        self.model = load(Summarizer(config, features, attend), params, device)

    @torch.no_grad()
    def score(self, frames: Tensor, valid: Tensor) -> list[Tensor]:
        """`p` of segments, [B, L, D] and [B, L], each cut to its valid frames."""
        scores = []
        for item in cut({'frames': frames, 'valid': valid}):
            one = item['frames'].to(self.device)[None]
            everything = torch.ones(one.shape[:2], dtype=torch.bool, device=self.device)
            scores.append(self.model(one, everything)[0].sigmoid().cpu())
        return scores

    def importance(self, corpus: dict[str, Tensor]) -> Tensor:
        """`p` of every frame of a corpus of tensors, averaged over its segments."""
        total, count = torch.zeros(len(corpus['frames'])), torch.zeros(len(corpus['frames']))
        for index, valid in zip(corpus['index'], corpus['valid'], strict=True):
            (p,) = self.score(corpus['frames'][index][None], valid[None])
            total[index[valid]] += p
            count[index[valid]] += 1
        return total / count.clamp(min=1)


def attend(query: Tensor, key: Tensor, value: Tensor, valid: Tensor) -> Tensor:
    """Attention as its formula says, all weights kept."""
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return logits.masked_fill(~valid, -1e30).softmax(-1) @ value


def cut(batch: dict[str, Tensor]) -> Iterator[Item]:
    """The segments of a batch one after another, cut to their valid frames."""
    for i, valid in enumerate(batch['valid']):
        yield {name: _cut(name, value[i], valid) for name, value in batch.items() if name != 'valid'}


def items_of(corpus: dict[str, Tensor], segments: Tensor) -> Iterator[Item]:
    """Segments of a corpus one after another, cut to their valid frames."""
    for segment in segments.tolist():
        valid = corpus['valid'][segment]
        yield {
            'frames': corpus['frames'][corpus['index'][segment][valid]],
            'shot': corpus['shot'][segment][valid],
            **{name: corpus[name][segment] for name in ('video', 'first', 'n_steps')},
        }


def corrupt(
    shot: list[int], n_steps: int, settings: ml_collections.ConfigDict
) -> tuple[list[bool], list[bool], dict[int, int]]:
    """Dynamic windows of one segment and what becomes of them, shot by shot.

    Args:
        shot: of each frame.
        n_steps: steps of the video.
        settings: the config's `masking`.

    Returns:
        Which frames are candidates, which are masked, and for replaced positions the step shown.
    """
    candidate, masked, source = [False] * len(shot), [False] * len(shot), {}
    shots = sorted(set(shot))
    random.shuffle(shots)
    wanted = math.ceil(settings.mask_ratio * len(shot) - _ROUNDING)
    for number in shots:
        if sum(candidate) >= wanted:
            break
        frames = [i for i, own in enumerate(shot) if own == number]
        size = math.ceil(settings.window_ratio * len(frames) - _ROUNDING)
        offset = random.randrange(len(frames) - size + 1)
        fate, start = random.random(), random.randrange(n_steps - size + 1)
        for i, position in enumerate(frames[offset : offset + size]):
            candidate[position] = True
            masked[position] = fate < settings.mask
            if settings.mask <= fate < settings.mask + settings.replace:
                source[position] = start + i
    return candidate, masked, source


def _cut(name: str, value: Tensor, valid: Tensor) -> Tensor:
    if name == 'actions':
        return value[:, valid]
    return value[valid] if value.ndim else value


def _means(history: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(metrics[name] for metrics in history) / len(history) for name in history[0]}


def _adamw(model: torch.nn.Module, settings: ml_collections.ConfigDict) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), rate(settings, 0.0), weight_decay=settings.weight_decay)
