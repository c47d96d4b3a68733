"""TR-SUM's two steps in PyTorch as an expert would write them: the best opponent we know to write.

Segments are batched across videos and episodes are batched; the frozen generator runs under
`inference_mode`; attention is `scaled_dot_product_attention` behind one query-key-value product; AdamW is
fused; `torch.compile`, microbatches and bfloat16 autocast are options, for the harness to choose by
measurement. A step does all the work of ours: it gathers its segments, draws corruption or actions, learns,
and computes the same metrics, the two trivial reconstructions of stage 1 among them. Nothing waits for the
device: metrics are returned as tensors.
"""

from collections.abc import Callable, Iterator
from typing import Any

import ml_collections
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.torch_model import (
    Generator,
    Summarizer,
    apply_gradients,
    check,
    copy_nearest,
    dtype_of,
    frame_losses,
    load,
    mean_frame,
    mean_over,
    rate,
    tensors,
)

Batch = dict[str, Tensor]

# Keeps ceil(0.1 * 30) at 3, as in trsum_jax.method.masking.
_ROUNDING = 1e-4


class Stage1:
    """The generator learns to rebuild the candidate frames of corrupted segments.

    Args:
        params: the generator's flax parameters.
        config: the whole config; `model.dtype` is `float32`, `bfloat16` or `auto` (bfloat16 on a GPU).
        corpus: arrays by name, `trsum_jax.training.corpus.Corpus._asdict()`.
        device: `cpu` or `cuda`.
        compile: a mode of `torch.compile`, such as `default` or `max-autotune`; None to run eagerly.
        microbatch: segments at a time; 0 takes the batch whole; None what is faster: 8 on a CPU, else whole.
    """

    def __init__(
        self,
        params: Any,
        config: ml_collections.ConfigDict,
        corpus: dict[str, Any],
        device: str = 'cpu',
        compile: str | None = None,
        microbatch: int | None = None,
    ):
        check(config)
        self.settings, self.microbatch = config.generator, _microbatch(microbatch, device)
        masking = config.masking
        self.masking = masking.window_ratio, masking.mask_ratio, masking.mask, masking.replace
        self.corpus = tensors(corpus, device)
        width = self.corpus['frames'].shape[1]
        self.model = load(Generator(config, width, attend, dtype_of(config, device)), params, device)
        self.optimizer = _adamw(self.model, self.settings)
        self.losses = _compiled(self._losses, compile)
        self.corruption = _compiled(self._corruption, compile)

    def step(self, segments: Tensor, progress: float) -> Batch:
        """One step on segments of the corpus; `progress` counts epochs. The timed work."""
        batch = gather(self.corpus, segments)
        draws = torch.rand(4, *batch['valid'].shape, device=batch['valid'].device)
        return self.step_on(batch | self.corruption(batch, draws), progress)

    def step_on(self, batch: Batch, progress: float) -> Batch:
        """One step on corrupted segments: `frames`, `shown`, `valid`, `masked`, `candidate`."""
        metrics = self.backward(batch)
        apply_gradients(self.optimizer, self.settings, progress)
        return metrics

    def backward(self, batch: Batch) -> Batch:
        """Gradients of the mean loss into the parameters, and the mean metrics."""
        return _backward(self.losses, self.optimizer, batch, self.microbatch)

    def _corruption(self, batch: Batch, draws: Tensor) -> Batch:
        fate = corrupt(batch['valid'], batch['shot'], batch['n_steps'], draws, *self.masking)
        other = batch['first'][:, None] + fate.pop('source')
        source = torch.where(fate.pop('replaced'), other, batch['index'])
        return fate | {'shown': self.corpus['frames'][source]}

    def _losses(self, batch: Batch) -> Batch:
        frames, shown, candidate = batch['frames'], batch['shown'], batch['candidate']
        visible = batch['valid'] & ~batch['masked']

        def loss_of(rebuilt: Tensor) -> Tensor:
            return mean_over(frame_losses(frames, rebuilt), candidate)

        loss = loss_of(self.model(shown, batch['valid'], visible.unsqueeze(1)).squeeze(1))
        with torch.no_grad():
            return {
                'loss': loss,
                'loss_segment_mean': loss_of(mean_frame(shown, visible.unsqueeze(1))),
                'loss_copy_nearest': loss_of(copy_nearest(shown, visible)),
            }


class Stage2:
    """REINFORCE, the reward being what the frozen generator rebuilds from the selected frames.

    Args:
        params: the summarizer's flax parameters.
        frozen: the generator's.
        config, corpus, device, compile, microbatch: as in `Stage1`.
    """

    def __init__(
        self,
        params: Any,
        frozen: Any,
        config: ml_collections.ConfigDict,
        corpus: dict[str, Any],
        device: str = 'cpu',
        compile: str | None = None,
        microbatch: int | None = None,
    ):
        check(config)
        self.settings, self.microbatch = config.summarizer, _microbatch(microbatch, device)
        self.corpus = tensors(corpus, device)
        self.composed = self.settings.reward_reconstruction == 'composed'
        width, dtype = self.corpus['frames'].shape[1], dtype_of(config, device)
        self.model = load(Summarizer(config, width, attend, dtype), params, device)
        self.frozen = load(Generator(config, width, attend, dtype), frozen, device).requires_grad_(False)
        for module in self.frozen.modules():
            if isinstance(module, torch.nn.Linear):
                module.to(dtype)
        self.optimizer = _adamw(self.model, self.settings)
        n_videos = int(self.corpus['video'].max()) + 1
        self.baseline = torch.zeros(n_videos, device=device)
        self.seen = torch.full((n_videos,), self.settings.baseline_start == 'zero', device=device)
        self.logits = _compiled(self.model, compile)
        self.rewards = _compiled(self._rewards, compile)

    def step(self, segments: Tensor, progress: float) -> Batch:
        """One step on segments of the corpus, actions drawn; `progress` counts epochs. The timed work."""
        return self.step_on(gather(self.corpus, segments), progress)

    def step_on(self, batch: Batch, progress: float) -> Batch:
        """One step on `frames`, `valid`, `video`, and where given `actions` [B, N, L]."""
        metrics = self.backward(batch)
        apply_gradients(self.optimizer, self.settings, progress)
        return metrics

    def backward(self, batch: Batch) -> Batch:
        """Gradients of the mean loss into the parameters, baselines moved, and the mean metrics."""
        rewards = []

        def losses(part: Batch) -> Batch:
            values = self._losses(part)
            rewards.append(values['reward'])
            return values

        metrics = _backward(losses, self.optimizer, batch, self.microbatch)
        self._move_baseline(batch['video'], torch.cat(rewards))
        return metrics

    def _losses(self, batch: Batch) -> Batch:
        valid, video, settings = batch['valid'], batch['video'], self.settings
        logits = self.logits(batch['frames'], valid)
        p = logits.detach().sigmoid()
        actions = batch.get('actions')
        if actions is None:
            actions = torch.bernoulli(p.unsqueeze(1).expand(-1, settings.episodes, -1)).bool()
        actions = actions & valid.unsqueeze(1)
        with torch.inference_mode():
            rewards = self.rewards(batch['frames'], valid, actions)
        rewards = rewards.clone()
        reward = rewards.mean(1)
        baseline = torch.where(self.seen[video], self.baseline[video], reward)
        advantages = rewards - baseline.unsqueeze(1)
        terms = F.logsigmoid(torch.where(actions, logits.unsqueeze(1), -logits.unsqueeze(1)))
        policy = -(advantages * (terms * valid.unsqueeze(1)).sum(-1)).mean(1)
        penalty = (mean_over(logits.sigmoid(), valid) - settings.share).square()
        p_mean = mean_over(p, valid)
        return {
            'loss': policy + settings.penalty_weight * penalty,
            'reward': reward,
            'reward_std': rewards.std(1, correction=0),
            'advantage_square': advantages.square().mean(1),
            'p_mean': p_mean,
            'p_std': mean_over((p - p_mean.unsqueeze(1)).square(), valid).sqrt(),
            'penalty': penalty.detach(),
        }

    def _rewards(self, frames: Tensor, valid: Tensor, actions: Tensor) -> Tensor:
        losses = frame_losses(frames.unsqueeze(1), self.frozen(frames, valid, actions))
        if self.composed:
            losses = losses * ~actions
        return torch.sigmoid(-mean_over(losses, valid.unsqueeze(1)))

    def _move_baseline(self, video: Tensor, reward: Tensor) -> None:
        count = torch.zeros_like(self.baseline).index_add_(0, video, torch.ones_like(reward))
        mean = torch.zeros_like(self.baseline).index_add_(0, video, reward) / count.clamp(min=1)
        momentum = self.settings.baseline_momentum
        moved = torch.where(self.seen, momentum * self.baseline + (1 - momentum) * mean, mean)
        self.baseline = torch.where(count > 0, moved, self.baseline)
        self.seen = self.seen | (count > 0)


class Scorer:
    """Importance of frames from a trained summarizer.

    Args:
        params: the summarizer's flax parameters.
        config: the whole config.
        features: D.
        device, compile: as in `Stage1`.
    """

    def __init__(
        self,
        params: Any,
        config: ml_collections.ConfigDict,
        features: int,
        device: str = 'cpu',
        compile: str | None = None,
    ):
        check(config)
        model = load(Summarizer(config, features, attend, dtype_of(config, device)), params, device)
        self.logits = _compiled(model.requires_grad_(False), compile)

    @torch.inference_mode()
    def score(self, frames: Tensor, valid: Tensor) -> Tensor:
        """`p` of segments, [B, L, D] and [B, L] to [B, L]."""
        return self.logits(frames, valid).sigmoid()

    @torch.inference_mode()
    def importance(self, corpus: Batch, at_once: int = 0) -> Tensor:
        """`p` of every frame of a corpus of tensors, averaged over its segments, so many `at_once`."""
        segments = torch.arange(len(corpus['video']), device=corpus['video'].device)
        parts = [gather(corpus, part) for part in segments.split(at_once or len(segments))]
        p = torch.cat([self.score(part['frames'], part['valid']) for part in parts])
        index, weight = corpus['index'].flatten(), corpus['valid'].flatten().float()
        nothing = torch.zeros(len(corpus['frames']), device=p.device)
        count = nothing.index_add(0, index, weight)
        return nothing.index_add(0, index, p.flatten() * weight) / count.clamp(min=1)


def attend(query: Tensor, key: Tensor, value: Tensor, valid: Tensor) -> Tensor:
    """PyTorch's own attention, which keeps no weights."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=valid)


def gather(corpus: Batch, segments: Tensor) -> Batch:
    """Segments of a corpus; where padded, `frames` holds some other frame, which nothing reads."""
    batch = {name: corpus[name][segments] for name in ('index', 'valid', 'shot', 'video', 'first', 'n_steps')}
    return batch | {'frames': corpus['frames'][batch['index']]}


def corrupt(
    valid: Tensor,
    shot: Tensor,
    n_steps: Tensor,
    draws: Tensor,
    window_ratio: float,
    mask_ratio: float,
    mask: float,
    replace: float,
) -> Batch:
    """Dynamic windows and what becomes of them, `trsum_jax.method.masking`'s for whole batches.

    Args:
        valid: [B, L] bool.
        shot: [B, L] int64.
        n_steps: [B] int64, steps of each segment's video.
        draws: [4, B, L] float32, uniform in [0, 1): of the windows' starts, order, fate and source.
        window_ratio: D_R.
        mask_ratio: M_R.
        mask: probability that a window is masked.
        replace: probability that it is replaced.

    Returns:
        `candidate`, `masked`, `replaced` [B, L] bool, and `source` [B, L] int64.
    """
    length = valid.shape[1]
    starts, priority, fate, sources = draws
    rank = F.pad((shot[:, 1:] != shot[:, :-1]).long(), (1, 0)).cumsum(1)
    size = torch.zeros_like(rank).scatter_add_(1, rank, valid.long())
    window = _ceil(window_ratio * size)
    start = size.cumsum(1) - size + _below(starts, size - window + 1)
    wanted = _ceil(mask_ratio * valid.sum(1, keepdim=True))
    order = torch.where(window > 0, priority, torch.inf).argsort(1)
    in_order = window.gather(1, order)
    reached = in_order.cumsum(1) - in_order
    taken = torch.zeros_like(valid).scatter_(1, order, (reached < wanted) & (in_order > 0))
    offset = torch.arange(length, device=valid.device) - start.gather(1, rank)
    inside = (offset >= 0) & (offset < window.gather(1, rank))
    candidate = valid & inside & taken.gather(1, rank)
    fate = fate.gather(1, rank)
    source = _below(sources, n_steps[:, None] - window + 1).gather(1, rank) + offset
    return {
        'candidate': candidate,
        'masked': candidate & (fate < mask),
        'replaced': candidate & (fate >= mask) & (fate < mask + replace),
        'source': torch.where(candidate, source, 0),
    }


def _backward(losses: Callable, optimizer: torch.optim.Optimizer, batch: Batch, microbatch: int) -> Batch:
    optimizer.zero_grad(set_to_none=True)
    n, parts = len(batch['valid']), []
    for part in _split(batch, microbatch or n):
        values = losses(part)
        (values['loss'].sum() / n).backward()
        parts.append(values)
    return {name: torch.cat([part[name].detach() for part in parts]).mean() for name in parts[0]}


def _microbatch(microbatch: int | None, device: str) -> int:
    return (8 if device == 'cpu' else 0) if microbatch is None else microbatch


def _split(batch: Batch, size: int) -> Iterator[Batch]:
    pieces = {name: value.split(size) for name, value in batch.items()}
    return (dict(zip(pieces, part, strict=True)) for part in zip(*pieces.values(), strict=True))


def _adamw(model: torch.nn.Module, settings: ml_collections.ConfigDict) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        model.parameters(), rate(settings, 0.0), weight_decay=settings.weight_decay, fused=True
    )


def _compiled(function: Callable, mode: str | None) -> Callable:
    return function if mode is None else torch.compile(function, mode=mode)


def _ceil(x: Tensor) -> Tensor:
    return (x - _ROUNDING).ceil().long()


def _below(uniform: Tensor, bound: Tensor) -> Tensor:
    return torch.minimum((uniform * bound).long(), bound - 1)
