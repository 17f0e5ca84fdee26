"""Parts of transformer encoders: the feed-forward layer, the plain block, drop path, initial weights, checkpointing."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from taskprompt.core.errors import LayoutError, SpecError
from taskprompt.nn.attention import Attention
from taskprompt.nn.recompute import gelu_linear, norm_linear


def drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    """b ... -> b ...: zero whole samples of a residual branch with probability `rate` and rescale the others."""
    if rate == 0 or not training:
        return x
    kept = x.new_empty(len(x), *[1] * (x.dim() - 1)).bernoulli_(1 - rate)
    return x * (kept / (1 - rate))


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """One rate per block: 0 in the first, increasing linearly to `rate` in the last."""
    return [rate * i / max(depth - 1, 1) for i in range(depth)]


class Mlp(nn.Module):
    """... d -> ... d, or e: the norm passed to it, linear, GELU, linear; hidden width 4 d."""

    def __init__(self, dim: int, out: int | None = None):
        super().__init__()
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim if out is None else out)

    def forward(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        return gelu_linear(self.down, norm_linear(norm, self.up, x))


class Block(nn.Module):
    """b n d -> b n d: pre-norm self-attention and feed-forward, both residual, with drop path."""

    def __init__(self, dim: int, heads: int, drop_path: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)
        self.drop_path = drop_path

    def forward(self, x: Tensor, prefix: int = 0) -> Tensor:
        """`prefix`: number of tokens before the patches; ignored here, since all tokens are treated equally."""
        x = x + drop_path(self.attn(x, self.norm1), self.drop_path, self.training)
        return x + drop_path(self.mlp(x, self.norm2), self.drop_path, self.training)


def call(block: Callable[..., Any], *inputs: Any, checkpointing: bool) -> Any:
    """block(*inputs); with checkpointing its activations are recomputed in the backward pass."""
    if checkpointing and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)


def level_blocks(levels: tuple[int, ...] | None, depth: int) -> tuple[int, ...]:
    """The blocks, from 0, that dense heads read; None: paper_levels. Raises SpecError if there is no such block."""
    if levels is not None and not all(0 <= i < depth for i in levels):
        raise SpecError(f"levels are {levels}, expected blocks from 0 to {depth - 1}, since the backbone has {depth}.")
    return paper_levels(depth) if levels is None else levels


def paper_levels(depth: int) -> tuple[int, int, int]:
    """The blocks, from 0, whose patch tokens dense heads read: 2, 12, 15 of 16 in PViT, scaled to any depth."""
    early, late, last = (max(round((i + 1) / 16 * depth), 1) - 1 for i in (2, 12, 15))
    return early, late, last


def require_clip(video: Tensor, size: tuple[int, int, int]) -> None:
    """Raises LayoutError if video, b t h w c, lacks the frames, height and width that the encoder was built for."""
    expected = (*size, 3)
    if tuple(video.shape[1:]) != expected:
        raise LayoutError(
            f"the encoder was built for clips of {expected} (frames, height, width, channels), found "
            f"{tuple(video.shape[1:])}. Resize the clips, or build the encoder with their ClipSpec."
        )
