"""Generator and summarizer in PyTorch, numerically those of `trsum_jax.method.models`.

What the two opponents share: the modules, with the names of our parameters, the loss of a frame, the
learning rate, and a dataset as tensors. `torch_best` and `torch_field` differ in how they use them.
"""

import math
from collections.abc import Callable
from typing import Any

import ml_collections
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What is written here of the choices of `configs/default.py`: its presets with the paper's reward.
ONLY = {
    'model.positions': 'sinusoidal',
    'model.dropout': 0.0,
    'model.mask_token': 'zero',
    'masking.strategy': 'dynamic',
    'summarizer.baseline': 'moving_average',
    'summarizer.log_probability': 'sum',
    'summarizer.penalty': 'square',
    'summarizer.reward_frames': 'all',
}
# `optax.losses.cosine_similarity` bounds squared norms by 1e-8.
SMALLEST_NORM = 1e-4

Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, attend: Attend):
        super().__init__()
        self.heads = heads
        self.attend = attend
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        split = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = self.attend(query, key, value, valid[:, None, None, :])
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, feed_forward: int, attend: Attend):
        super().__init__()
        self.norm_attention = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads, attend)
        self.norm_feed_forward = nn.LayerNorm(width, eps=1e-6)
        self.widen = nn.Linear(width, feed_forward)
        self.narrow = nn.Linear(feed_forward, width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x), valid)
        return x + self.narrow(F.gelu(self.widen(self.norm_feed_forward(x)), approximate='tanh'))


class Encoder(nn.Module):
    def __init__(self, model: ml_collections.ConfigDict, features: int, length: int, attend: Attend):
        super().__init__()
        self.map_in = nn.Linear(features, model.width) if features != model.width else None
        self.blocks = [f'block_{i}' for i in range(model.layers)]
        for name in self.blocks:
            self.add_module(name, Block(model.width, model.heads, model.feed_forward, attend))
        self.register_buffer('positions', sinusoids(length, model.width), persistent=False)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        if self.map_in is not None:
            x = self.map_in(x)
        x = x + self.positions[: x.shape[1]]
        for name in self.blocks:
            x = getattr(self, name)(x, valid)
        return x


class Generator(nn.Module):
    """Rebuilds segments, each from several choices of visible frames."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        features: int,
        attend: Attend,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self.centred = config.model.centred
        self.scale = features**0.5 if config.model.scale_features else 1.0
        self.dtype = dtype
        self.encoder = Encoder(config.model, features, config.decomposition.length, attend)
        self.map_out = nn.Linear(config.model.width, features) if features != config.model.width else None

    def forward(self, frames: Tensor, valid: Tensor, visible: Tensor) -> Tensor:
        """Rebuilds every frame.

        Args:
            frames: [B, L, D] float32.
            valid: [B, L] bool.
            visible: [B, N, L] bool, valid and not masked.

        Returns:
            [B, N, L, D] float32.
        """
        choices = visible.shape[1]
        mean = mean_frame(frames, visible).unsqueeze(2) if self.centred else 0.0
        x = hide(frames.unsqueeze(1) - mean, visible, self.scale).flatten(0, 1)
        with torch.autocast(frames.device.type, self.dtype, self.dtype != torch.float32):
            x = self.encoder(x, valid.repeat_interleave(choices, 0))
            if self.map_out is not None:
                x = self.map_out(x)
        x = x.float().unflatten(0, (-1, choices))
        return torch.add(mean, x, alpha=1 / self.scale) if self.centred else x / self.scale


class Summarizer(nn.Module):
    """Scores the frames of segments."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        features: int,
        attend: Attend,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self.centred = config.model.centred
        self.scale = features**0.5 if config.model.scale_features else 1.0
        self.dtype = dtype
        self.encoder = Encoder(config.model, features, config.decomposition.length, attend)
        self.score = nn.Linear(config.model.width, 1, bias=False)

    def forward(self, frames: Tensor, valid: Tensor) -> Tensor:
        """[B, L, D] float32 and [B, L] bool to logits [B, L] float32."""
        mean = mean_frame(frames, valid.unsqueeze(1)) if self.centred else 0.0
        with torch.autocast(frames.device.type, self.dtype, self.dtype != torch.float32):
            x = self.encoder(hide(frames - mean, valid, self.scale), valid)
        return self.score(x.float()).squeeze(-1)


def hide(frames: Tensor, visible: Tensor, scale: float) -> Tensor:
    """[..., D] frames times the scale where they are visible, zeros elsewhere."""
    return frames * (visible * scale).unsqueeze(-1)


def mean_frame(frames: Tensor, chosen: Tensor) -> Tensor:
    """[B, L, D] and N choices [B, N, L] to the mean of the chosen frames [B, N, D], as one product."""
    return torch.bmm(chosen.float(), frames) / chosen.sum(-1, keepdim=True).clamp(min=1)


def frame_losses(frames: Tensor, rebuilt: Tensor) -> Tensor:
    """`mean_d |e - ê| + 1 - cos(e, ê)` of every frame, [..., D] to [...], leading axes broadcast."""
    absolute = torch.linalg.vector_norm(frames - rebuilt, ord=1, dim=-1) / frames.shape[-1]
    norms = torch.linalg.vector_norm(frames, dim=-1).clamp(min=SMALLEST_NORM)
    norms = norms * torch.linalg.vector_norm(rebuilt, dim=-1).clamp(min=SMALLEST_NORM)
    return absolute + 1.0 - (frames * rebuilt).sum(-1) / norms


def mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean over the last axis of the chosen values, 0 where none is chosen."""
    return (values * chosen).sum(-1) / chosen.sum(-1).clamp(min=1)


def copy_nearest(frames: Tensor, visible: Tensor) -> Tensor:
    """Copies to every position the nearest visible frame, the earlier on a tie; zeros where there is none."""
    length = visible.shape[1]
    position = torch.arange(length, device=visible.device)
    before = torch.where(visible, position, -2 * length).cummax(1).values
    after = torch.where(visible, position, 4 * length).flip(1).cummin(1).values.flip(1)
    nearest = torch.where(position - before <= after - position, before, after).clamp(0, length - 1)
    row = torch.arange(len(frames), device=visible.device)[:, None]
    return frames[row, nearest] * visible.any(1)[:, None, None]


def sinusoids(length: int, width: int) -> Tensor:
    """[length, width] float32: sines in the even columns, cosines in the odd ones."""
    columns = np.arange(width)
    angle = np.arange(length)[:, None] / 10000.0 ** (columns // 2 * 2 / width)
    return torch.tensor(np.where(columns % 2, np.cos(angle), np.sin(angle)), dtype=torch.float32)


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses a config that the opponents do not compute."""
    flat = {name: config[name.split('.')[0]][name.split('.')[1]] for name in ONLY}
    wrong = [f'{name}={flat[name]!r}' for name, value in ONLY.items() if flat[name] != value]
    if wrong:
        raise ValueError(f'the PyTorch opponents are written for {ONLY}; found {", ".join(wrong)}')


def dtype_of(config: ml_collections.ConfigDict, device: str) -> torch.dtype:
    """The dtype of the products that the config asks for."""
    name = config.model.dtype
    if name == 'auto':
        name = 'float32' if device == 'cpu' else 'bfloat16'
    return getattr(torch, name)


def torch_names(params: Any, path: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """A flax tree of parameters, or of gradients, as a PyTorch state dict: kernels transposed.

    Args:
        params: nested dicts of arrays, with flax's names.
        path: of the tree in the whole.

    Returns:
        Tensors on the CPU by PyTorch name.
    """
    if isinstance(params, dict):
        found = {}
        for name, child in params.items():
            found |= torch_names(child, (*path, name))
        return found
    value = torch.tensor(np.asarray(params, np.float32))
    leaf = {'kernel': 'weight', 'scale': 'weight'}.get(path[-1], path[-1])
    return {'.'.join((*path[:-1], leaf)): value.T.contiguous() if path[-1] == 'kernel' else value}


def load(module: nn.Module, params: Any, device: str) -> nn.Module:
    """Puts a flax tree of parameters into a module, and the module on a device."""
    module.load_state_dict(torch_names(params))
    return module.to(device)


def tensors(arrays: dict[str, Any], device: str) -> dict[str, Tensor]:
    """Arrays by name, such as `Corpus._asdict()`, as tensors; integers become int64."""
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    return {
        name: torch.tensor(a.astype(np.int64) if a.dtype.kind == 'i' else a, device=device)
        for name, a in arrays.items()
    }


def rate(settings: ml_collections.ConfigDict, progress: float) -> float:
    """The learning rate after `progress` epochs: linear from 0, then along a cosine to 0."""
    warm = settings.warmup * settings.epochs
    if progress < warm:
        return settings.learning_rate * progress / warm
    angle = math.pi * (progress - warm) / (settings.epochs - warm)
    return settings.learning_rate * 0.5 * (1 + math.cos(angle))


def apply_gradients(
    optimizer: torch.optim.Optimizer, settings: ml_collections.ConfigDict, progress: float
) -> None:
    """Clips the gradients' norm and takes one step at the rate that `progress` asks for."""
    group = optimizer.param_groups[0]
    nn.utils.clip_grad_norm_(group['params'], settings.clip)
    group['lr'] = rate(settings, progress)
    optimizer.step()
