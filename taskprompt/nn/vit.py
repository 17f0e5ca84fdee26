"""Common parts of plain vision transformers: sizes, patch embedding, and an encoder with CLS."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.model import Encoder, Prompts
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import level_blocks, require_clip
from taskprompt.nn.prompts import run_blocks

Grid = tuple[int, int, int]  # t h w


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a plain vision transformer."""

    dim: int
    depth: int
    heads: int


# S: DeiT, table 1; B, L, H: ViT, table 1. tiny is ours, for CPUs.
SIZES = {
    "tiny": Size(128, 4, 4),
    "S": Size(384, 12, 6),
    "B": Size(768, 12, 12),
    "L": Size(1024, 24, 16),
    "H": Size(1280, 32, 16),
}


def patch_dims(clip: ClipSpec, patch: Grid, size: Size, levels: tuple[int, ...] | None) -> Dims:
    """Dims of a plain vision transformer; raises SpecError if the clip is not a multiple of the patch."""
    pixels = (clip.frames, clip.height, clip.width)
    if any(s % p for s, p in zip(pixels, patch, strict=True)):
        raise SpecError(
            f"the clip is {pixels} (frames, height, width), expected multiples of the patch {patch}. "
            "Change `clip` or `backbone.patch`."
        )
    t, h, w = (s // p for s, p in zip(pixels, patch, strict=True))
    tapped = ((t, h, w, size.dim),) * len(level_blocks(levels, size.depth))
    return Dims(*pixels, (t, h, w), size.dim, tapped, (size.dim,) * size.depth)


class Patches(nn.Module):
    """b t h w c -> b t h w d: one linear layer on the pixels of each patch. Weights have the layout of a
    convolution."""

    def __init__(self, patch: Grid, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, 3, *patch))
        self.bias = nn.Parameter(torch.empty(dim))
        # torch's default initialisation, also of the bias: with zero bias 0.17 top-1 instead of 0.24 after 400 steps.
        bound = (3 * math.prod(patch)) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, video: Tensor) -> Tensor:
        # A convolution with kernel = stride; as a matrix product its backward pass takes half the time on a CPU.
        i, j, k = self.weight.shape[2:]
        pixels = rearrange(video, "b (t i) (h j) (w k) c -> b t h w (c i j k)", i=i, j=j, k=k)
        return F.linear(pixels, self.weight.flatten(1), self.bias)


def to_grid(x: Tensor, grid: Grid) -> Tensor:
    """b (t h w) d -> b t h w d."""
    return rearrange(x, "b (t h w) d -> b t h w d", t=grid[0], h=grid[1])


class ClsEncoder(Encoder):
    """b t h w c, b n d -> Features, b n d: [CLS, prompts, patches] through blocks, called block(tokens, prefix).

    Patches have spatial and temporal position embeddings; prompts have none (PViT eq. 2)."""

    def __init__(self, dims: Dims, patch: Grid, blocks: Iterable[nn.Module], taps: tuple[int, ...]):
        super().__init__()
        self.size, self.grid, self.taps = (dims.frames, dims.height, dims.width), dims.grid, taps
        t, h, w = dims.grid
        self.stem = Patches(patch, dims.dim)
        self.cls = nn.Parameter(0.02 * torch.randn(dims.dim))
        # Small: position embeddings as large as the tokens led to overfitting, 0.12 top-1 instead of 0.22 (200 steps).
        self.place = nn.Parameter(0.02 * torch.randn(h, w, dims.dim))
        self.time = nn.Parameter(torch.zeros(t, dims.dim))  # so that all frames start equal, as in an image model
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dims.dim, eps=1e-6)

    def forward(self, video: Tensor, prompts: Prompts | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        patches = (self.stem(video) + self.place + self.time[:, None, None]).flatten(1, 3)
        cls = repeat(self.cls, "d -> b 1 d", b=len(video))
        x, prefix, levels = run_blocks(self.blocks, cls, prompts, patches, self.taps, self.checkpointing)
        x = self.norm(x)
        levels = tuple(to_grid(level, self.grid) for level in levels)
        features = Features(x[:, 0], to_grid(x[:, prefix:], self.grid), {}, levels)
        return features, None if prompts is None else x[:, 1:prefix]

    def position_embeddings(self) -> dict[str, str]:
        """Spatial and temporal positions."""
        return {"place": "h w", "time": "t"}
