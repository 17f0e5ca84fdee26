"""The three blocks of UniFormerV2: CLIP's block, the local block (temporal), and the global block."""

import torch
from einops import rearrange
from torch import Tensor, nn

from taskprompt.nn.attention import Attention
from taskprompt.nn.blocks import drop_path
from taskprompt.nn.recompute import norm_linear

Grid = tuple[int, int, int]  # t h w


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), the activation of OpenAI's CLIP."""
    return x * torch.sigmoid(1.702 * x)


class FrameBlock(nn.Module):
    """(b t) n d -> the same: CLIP's block on each frame; if `local`, with a local block before attention and MLP."""

    def __init__(self, dim: int, heads: int, grid: Grid, local: bool, drop_path: float):
        super().__init__()
        self.drop_path = drop_path
        self.local1 = Local(dim, grid) if local else None
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.local2 = Local(dim, grid) if local else None
        self.norm2 = nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, prefix: int) -> Tensor:
        """`prefix`: number of tokens before the patches; they skip the local blocks, having no spatial position."""
        x = self._along_time(self.local1, x, prefix)
        x = x + drop_path(self.attn(x, self.norm1), self.drop_path, self.training)
        x = self._along_time(self.local2, x, prefix)
        seen = self.down(quick_gelu(norm_linear(self.norm2, self.up, x)))
        return x + drop_path(seen, self.drop_path, self.training)

    def _along_time(self, local: "Local | None", x: Tensor, prefix: int) -> Tensor:
        if local is None:
            return x
        first, patches = x.split([prefix, x.shape[1] - prefix], 1)
        return torch.cat([first, patches + drop_path(local(patches), self.drop_path, self.training)], 1)


class Local(nn.Sequential):
    """(b t) (h w) d -> the same: a temporal convolution over three frames (local MHRA). Its output starts at zero."""

    def __init__(self, dim: int, grid: Grid):
        narrow = int(dim / 1.5)
        super().__init__(
            nn.BatchNorm3d(dim),
            nn.Conv3d(dim, narrow, 1),
            nn.Conv3d(narrow, narrow, (3, 1, 1), padding=(1, 0, 0), groups=narrow),
            nn.Conv3d(narrow, dim, 1),
        )
        self.grid = grid
        nn.init.zeros_(self[3].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self[3].bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        t, h, w = self.grid
        maps = super().forward(rearrange(input, "(b t) (h w) d -> b d t h w", t=t, h=h, w=w))
        return rearrange(maps, "b d t h w -> (b t) (h w) d")


class Global(nn.Module):
    """b 1 d, (b t) n d -> b 1 d: cross-attention of one video query to all tokens of all frames. Starts as identity."""

    def __init__(self, dim: int, heads: int, grid: Grid, drop_path: float, dropout: float = 0.5):
        super().__init__()
        self.grid, self.drop_path = grid, drop_path
        self.place = nn.Conv3d(dim, dim, 3, padding=1, groups=dim)
        self.norm_query, self.norm_tokens, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.up, self.down, self.dropout = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim), nn.Dropout(dropout)
        for layer in (self.attn.out_proj, self.down):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, x: Tensor, prefix: int) -> Tensor:
        t, h, w = self.grid
        first, patches = x.split([prefix, x.shape[1] - prefix], 1)
        maps = rearrange(patches, "(b t) (h w) d -> b d t h w", t=t, h=h, w=w)
        patches = patches + rearrange(self.place(maps), "b d t h w -> (b t) (h w) d")
        tokens = rearrange(torch.cat([first, patches], 1), "(b t) n d -> b (t n) d", t=t)
        tokens = self.norm_tokens(tokens)
        found, _ = self.attn(self.norm_query(query), tokens, tokens, need_weights=False)
        query = query + drop_path(found, self.drop_path, self.training)
        seen = self.down(self.dropout(quick_gelu(self.up(self.norm2(query)))))
        return query + drop_path(seen, self.drop_path, self.training)
