"""Heads: modules called head(prompt, features) that turn a task's prompt, and patch tokens, into its output."""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import Block


class PromptHead(nn.Module):
    """One linear layer on the task's prompt (PViT, section 3.2: boxes and 3D pose; eq. 8: actions, on the summary).

    forward(m n d | None, Features) -> m *shape, float32 also under autocast. Several prompts are averaged; without
    prompts (the paper's MT) the layer reads the summary."""

    def __init__(self, dim: int, *shape: int, dropout: float = 0.0):
        super().__init__()
        self.shape = shape
        self.dropout = nn.Dropout(dropout)
        self.linear = last_linear(dim, math.prod(shape))

    def forward(self, prompt: Tensor | None, features: Features) -> Tensor:
        return self.linear(self.dropout(prompt_or_summary(prompt, features))).unflatten(-1, self.shape).float()


class PatchHead(nn.Module):
    """Transformer blocks on the patches, their mean, and a linear layer (FTP, stage 2: two blocks).

    forward(m n d | None, Features) -> m *shape, float32 also under autocast. It reads no prompt: FTP adds them to the
    patches. Blocks have one attention head per 64 channels."""

    def __init__(self, dim: int, *shape: int, blocks: int, dropout: float = 0.0):
        super().__init__()
        self.shape = shape
        self.blocks = nn.ModuleList(Block(dim, max(1, dim // 64)) for _ in range(blocks))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.linear = last_linear(dim, math.prod(shape))

    def forward(self, prompt: Tensor | None, features: Features) -> Tensor:
        x = features.patches.flatten(1, 3)
        for block in self.blocks:
            x = block(x)
        return self.linear(self.dropout(self.norm(x).mean(1))).unflatten(-1, self.shape).float()


class DenseHead(nn.Module):
    """A map for every frame from the tokens of several blocks and the task's prompt (PViT, supplement C).

    forward(m n d | None, Features) -> m frames height width channels, float32 also under autocast. Each level is
    upsampled to the grid (t of the patches, height, width) by a 3D convolution; the levels, with channel dropout, are
    concatenated with the prompt at every position, and an MLP predicts the frames of that position. Without levels it
    reads the patches; without a prompt, the summary."""

    def __init__(
        self,
        dims: Dims,
        channels: int,
        height: int,
        width: int,
        *,
        hidden: int = 64,
        mlp: int = 128,
        dropout: float = 0.1,
    ):
        super().__init__()
        levels = dims.levels or ((*dims.grid, dims.dim),)
        self.frames = dims.frames
        self.steps = math.ceil(dims.frames / dims.grid[0])  # frames a temporal position
        self.levels = nn.ModuleList(Level(level, (dims.grid[0], height, width), hidden) for level in levels)
        # Drops whole channels of a clip, since neighbouring positions are correlated.
        self.dropout = nn.Dropout(dropout)
        # The first layer of an MLP on [tokens, prompt] is a sum of two layers; the prompt's is computed once per clip.
        self.of_tokens = nn.Linear(hidden * len(levels), mlp)
        self.of_prompt = nn.Linear(dims.dim, mlp, bias=False)
        self.out = last_linear(mlp, self.steps * channels)

    def forward(self, prompt: Tensor | None, features: Features) -> Tensor:
        inputs = features.levels or (features.patches,)
        maps = [level(x) for level, x in zip(self.levels, inputs, strict=True)]
        tokens = torch.cat(maps, -1)  # m t h w d
        kept = self.dropout(tokens.new_ones(len(tokens), 1, 1, 1, tokens.shape[-1]))
        tokens = self.of_tokens(tokens * kept if self.training else tokens)
        whole = self.of_prompt(prompt_or_summary(prompt, features))
        maps = self.out(F.gelu(tokens + rearrange(whole, "m d -> m 1 1 1 d"))).float()
        maps = rearrange(maps, "m t h w (s c) -> m (t s) h w c", s=self.steps)
        return maps if maps.shape[1] == self.frames else _resample_time(maps, self.frames)


class Level(nn.Module):
    """m t h w d -> m T H W hidden: norm, a narrow projection, a transposed 3D convolution whose kernel is its stride.

    Such a convolution is computed as a linear layer followed by unfolding its channels into space. Sizes that are not
    divisible are rounded up, then average-pooled."""

    def __init__(self, level: tuple[int, int, int, int], grid: tuple[int, int, int], hidden: int):
        super().__init__()
        *size, dim = level
        self.grid = grid
        self.ratio = tuple(math.ceil(g / s) for g, s in zip(grid, size, strict=True))
        self.norm = nn.LayerNorm(dim)
        self.narrow = nn.Linear(dim, hidden)
        self.upsample = nn.Linear(hidden, hidden * math.prod(self.ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        i, j, k = self.ratio
        x = self.upsample(F.gelu(self.narrow(self.norm(tokens))))
        x = rearrange(x, "m t h w (i j k d) -> m (t i) (h j) (w k) d", i=i, j=j, k=k)
        if x.shape[1:4] == self.grid:
            return x
        return F.adaptive_avg_pool3d(x.movedim(-1, 1), self.grid).movedim(1, -1)


def prompt_or_summary(prompt: Tensor | None, features: Features) -> Tensor:
    """m n d | None, Features -> m d: the mean of a task's prompts, or the summary if it has none."""
    return features.summary if prompt is None or prompt.shape[1] == 0 else prompt.mean(1)


def last_linear(inputs: int, outputs: int) -> nn.Linear:
    """A final layer with ViT's initialisation: weights normal with std 0.02, biases 0."""
    layer = nn.Linear(inputs, outputs)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def _resample_time(maps: Tensor, frames: int) -> Tensor:
    """m t h w c -> m frames h w c, linear between neighbours."""
    flat = rearrange(maps, "m t h w c -> m (h w c) t")
    flat = F.interpolate(flat, frames, mode="linear", align_corners=False)
    return rearrange(flat, "m (h w c) t -> m t h w c", h=maps.shape[2], w=maps.shape[3])
