"""mvit: MViTv2, multiscale vision transformer with relative positions; prompts travel beside CLS (PViT)."""

from typing import Literal

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from taskprompt.backbones._mvit.block import MultiscaleBlock
from taskprompt.backbones._mvit.layouts import LAYOUTS
from taskprompt.backbones._mvit.sizes import SIZES, BlockPlan, Grid, block_plans, strided
from taskprompt.core.errors import SpecError
from taskprompt.core.model import Backbone, Encoder, Guests
from taskprompt.core.source import ClipSpec
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import call, drop_path_rates, init_linear, paper_levels, require_clip
from taskprompt.nn.guests import by_block, renewed


class Mvit(Backbone):
    """MViTv2 (arXiv 2112.01526): pooling attention, relative positions, CLS; the backbone of PViT."""

    layouts = LAYOUTS
    size: Literal["tiny", "S", "B", "L"] = "S"  # S: 34 M parameters, B: 51 M, L: 213 M, tiny: 1.1 M, for CPUs
    stride: tuple[int, int, int] = (2, 4, 4)  # frames and pixels between the first tokens, t h w
    drop_path: float = Field(default=0.2, ge=0, lt=1)  # chance of skipping the last block, falling to 0 at the first
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: 2, 12, 15 of 16, or as far in

    @model_validator(mode="after")
    def _sizes_agree(self) -> "Mvit":
        depth = SIZES[self.size].depth
        if min(self.stride) < 1:
            raise SpecError(f"stride is {self.stride}, expected three numbers from 1, such as [2, 4, 4].")
        if self.levels is not None and not all(0 <= i < depth for i in self.levels):
            raise SpecError(f"levels are {self.levels}, expected blocks of size {self.size}, from 0 to {depth - 1}.")
        return self

    def dims(self, clip: ClipSpec) -> Dims:
        """Any clip fits: grids round up."""
        plans = self.plans(clip)
        levels = tuple((*plans[i].grid, plans[i].dim) for i in self.level_blocks())
        last, widths = plans[-1], tuple(plan.dim_in for plan in plans)
        return Dims(clip.frames, clip.height, clip.width, last.grid, last.dim, levels, widths)

    def plans(self, clip: ClipSpec) -> list[BlockPlan]:
        """One a block."""
        return block_plans(SIZES[self.size], strided((clip.frames, clip.height, clip.width), self.stride))

    def level_blocks(self) -> tuple[int, ...]:
        """The blocks, from 0, whose patch tokens are Features.levels."""
        return paper_levels(SIZES[self.size].depth) if self.levels is None else self.levels

    def build(self, clip: ClipSpec) -> "MvitEncoder":
        """The encoder, freshly initialised."""
        return MvitEncoder(self, clip)


class MvitEncoder(Encoder):
    """Blocks over [CLS, guests, patches]: CLS and guests bypass pooling and relative positions (PViT section 3)."""

    def __init__(self, spec: Mvit, clip: ClipSpec):
        super().__init__()
        plans = spec.plans(clip)
        self.size = (clip.frames, clip.height, clip.width)
        self.level_blocks = spec.level_blocks()
        self.grids = [p.grid for p in plans]
        t, h, w = spec.stride
        kernel = (2 * t - 1, 2 * h - 1, 2 * w - 1)  # 3 x 7 x 7 for the paper's stride
        self.stem = nn.Conv3d(3, plans[0].dim_in, kernel, stride=spec.stride, padding=(t - 1, h - 1, w - 1))
        self.cls = nn.Parameter(torch.empty(plans[0].dim_in))
        rates = drop_path_rates(spec.drop_path, len(plans))
        self.blocks = nn.ModuleList(MultiscaleBlock(p, rate) for p, rate in zip(plans, rates, strict=True))
        self.norm = nn.LayerNorm(plans[-1].dim, eps=1e-6)
        self.apply(init_linear)
        nn.init.trunc_normal_(self.cls, std=0.02)

    def forward(self, video: Tensor, guests: Guests | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        patches = rearrange(self.stem(rearrange(video, "b t h w c -> b c t h w")), "b d t h w -> b (t h w) d")
        cls = repeat(self.cls, "d -> b 1 d", b=len(video))
        first, later = by_block(guests, len(self.blocks))
        x = torch.cat([cls, patches] if first is None else [cls, first, patches], 1)
        prefix = x.shape[1] - patches.shape[1]
        taps = {}
        for i, block in enumerate(self.blocks):
            x = call(block, renewed(x, later[i], 1), prefix, checkpointing=self.checkpointing)
            if i in self.level_blocks:
                taps[i] = to_grid(x[:, prefix:], self.grids[i])
        x = self.norm(x)
        levels = tuple(taps[i] for i in self.level_blocks)
        features = Features(x[:, 0], to_grid(x[:, prefix:], self.grids[-1]), {}, levels)
        return features, None if guests is None else x[:, 1:prefix]

    def tables(self) -> dict[str, str]:
        """Relative positions: a row a distance."""
        return {name: "rows" for name, _ in self.named_parameters() if ".attn.positions." in name}


def to_grid(x: Tensor, grid: Grid) -> Tensor:
    """b (t h w) d -> b t h w d."""
    return rearrange(x, "b (t h w) d -> b t h w d", t=grid[0], h=grid[1])
