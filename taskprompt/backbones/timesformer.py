"""timesformer: TimeSformer, alternating attention over time and space; prompts are treated like CLS."""

from typing import Literal

import torch
from einops import rearrange, reduce, repeat
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from taskprompt.backbones._vit.layouts import OF_TIMESFORMER
from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone
from taskprompt.core.types import Dims
from taskprompt.nn.attention import Attention
from taskprompt.nn.blocks import Mlp, drop_path, drop_path_rates, level_blocks
from taskprompt.nn.vit import SIZES, ClsEncoder, patch_dims


class Timesformer(Backbone):
    """TimeSformer (arXiv 2102.05095) with divided space-time attention: over the frames, then within each frame."""

    layouts = OF_TIMESFORMER
    size: Literal["tiny", "S", "B", "L", "H"] = "B"  # B: 121 M parameters, the published one; tiny: 1 M, for CPUs
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 16, 16)  # frames and pixels of a token, t h w
    drop_path: float = Field(default=0.1, ge=0, lt=1)  # chance of skipping the last block, falling to 0 at the first
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: 2, 12, 15 of 16, or as far in

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError if the clip is not a whole number of patches, or a level is not a block."""
        return patch_dims(clip, self.patch, SIZES[self.size], self.levels)

    def build(self, clip: ClipSpec) -> ClsEncoder:
        """The encoder, freshly initialised; equal to an image model at first, since temporal attention starts at
        zero."""
        dims, size = self.dims(clip), SIZES[self.size]
        rates = drop_path_rates(self.drop_path, size.depth)
        blocks = (DividedBlock(size.dim, size.heads, dims.grid[0], rate) for rate in rates)
        return ClsEncoder(dims, self.patch, blocks, level_blocks(self.levels, size.depth))


class DividedBlock(nn.Module):
    """b (prefix + t s) d -> the same: attention over t at each position, then over s in each frame (fig. 2).

    The prefix, CLS and prompts, has no position and skips the first attention. It takes part in the second as one copy
    per frame, and the copies are averaged afterwards, so that prompts and patches of all frames are connected."""

    def __init__(self, dim: int, heads: int, frames: int, drop_path: float):
        super().__init__()
        self.frames, self.drop_path = frames, drop_path
        self.time_norm = nn.LayerNorm(dim, eps=1e-6)
        self.time_attn = Attention(dim, heads)
        self.time_fc = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)
        nn.init.zeros_(self.time_fc.weight)
        nn.init.zeros_(self.time_fc.bias)

    def forward(self, x: Tensor, prefix: int) -> Tensor:
        first, patches = x.split([prefix, x.shape[1] - prefix], 1)
        patches = patches + drop_path(self._over_time(patches), self.drop_path, self.training)
        seen = self._over_space(first, patches)
        x = torch.cat([first, patches], 1) + drop_path(seen, self.drop_path, self.training)
        return x + drop_path(self.mlp(x, self.norm2), self.drop_path, self.training)

    def _over_time(self, patches: Tensor) -> Tensor:
        """b (t s) d -> b (t s) d."""
        sites = rearrange(patches, "b (t s) d -> (b s) t d", t=self.frames)
        return rearrange(self.time_fc(self.time_attn(sites, self.time_norm)), "(b s) t d -> b (t s) d", b=len(patches))

    def _over_space(self, first: Tensor, patches: Tensor) -> Tensor:
        """b p d, b (t s) d -> b (p + t s) d."""
        copies = repeat(first, "b p d -> (b t) p d", t=self.frames)
        frames = torch.cat([copies, rearrange(patches, "b (t s) d -> (b t) s d", t=self.frames)], 1)
        copies, frames = self.attn(frames, self.norm1).split([first.shape[1], frames.shape[1] - first.shape[1]], 1)
        first = reduce(copies, "(b t) p d -> b p d", "mean", t=self.frames)
        return torch.cat([first, rearrange(frames, "(b t) s d -> b (t s) d", t=self.frames)], 1)
