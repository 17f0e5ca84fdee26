"""mvit: MViTv2, multiscale vision transformer with relative positions; prompts are treated like CLS (PViT)."""

from typing import Literal

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from taskprompt.backbones._mvit.block import MultiscaleBlock
from taskprompt.backbones._mvit.layouts import LAYOUTS
from taskprompt.backbones._mvit.sizes import SIZES, BlockPlan, Widen, block_plans, strided
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.model import Backbone, Encoder, Prompts
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import drop_path_rates, level_blocks, require_clip
from taskprompt.nn.prompts import run_blocks
from taskprompt.nn.vit import to_grid


class Mvit(Backbone):
    """MViTv2 (arXiv 2112.01526): pooling attention, relative positions, CLS; the backbone of PViT."""

    layouts = LAYOUTS
    size: Literal["tiny", "S", "B", "L"] = "S"  # S: 34 M parameters, B: 51 M, L: 213 M, tiny: 1.1 M, for CPUs
    stride: tuple[int, int, int] = (2, 4, 4)  # frames and pixels between the first tokens, t h w
    summary: Literal["cls", "mean"] = "cls"  # norm of CLS; or of the patches' mean, as after MaskFeat
    widen: Widen = "attention"  # what doubles the width: attention; or the mlp of the block before (MaskFeat)
    drop_path: float = Field(default=0.2, ge=0, lt=1)  # chance of skipping the last block, falling to 0 at the first
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: 2, 12, 15 of 16, or as far in

    @model_validator(mode="after")
    def _sizes_agree(self) -> "Mvit":
        if min(self.stride) < 1:
            raise SpecError(f"stride is {self.stride}, expected three numbers from 1, such as [2, 4, 4].")
        self.level_blocks()  # raises if there is no such block
        return self

    def dims(self, clip: ClipSpec) -> Dims:
        """Any clip fits: grids round up."""
        plans = self.plans(clip)
        levels = tuple((*plans[i].grid, plans[i].dim_out) for i in self.level_blocks())
        last, widths = plans[-1], tuple(plan.dim_in for plan in plans)
        return Dims(clip.frames, clip.height, clip.width, last.grid, last.dim_out, levels, widths)

    def plans(self, clip: ClipSpec) -> list[BlockPlan]:
        """One per block."""
        grid = strided((clip.frames, clip.height, clip.width), self.stride)
        return block_plans(SIZES[self.size], grid, self.widen)

    def level_blocks(self) -> tuple[int, ...]:
        """The blocks, from 0, whose patch tokens are Features.levels."""
        return level_blocks(self.levels, SIZES[self.size].depth)

    def build(self, clip: ClipSpec) -> "MvitEncoder":
        """The encoder, freshly initialised."""
        return MvitEncoder(self, clip)


class MvitEncoder(Encoder):
    """Blocks over [CLS, prompts, patches]: CLS and prompts bypass pooling and relative positions (PViT section 3)."""

    def __init__(self, spec: Mvit, clip: ClipSpec):
        super().__init__()
        plans = spec.plans(clip)
        self.size = (clip.frames, clip.height, clip.width)
        self.level_blocks, self.summary = spec.level_blocks(), spec.summary
        self.grids = [p.grid for p in plans]
        t, h, w = spec.stride
        kernel = (2 * t - 1, 2 * h - 1, 2 * w - 1)  # 3 x 7 x 7 for the paper's stride
        self.stem = nn.Conv3d(3, plans[0].dim_in, kernel, stride=spec.stride, padding=(t - 1, h - 1, w - 1))
        self.cls = nn.Parameter(torch.empty(plans[0].dim_in))
        rates = drop_path_rates(spec.drop_path, len(plans))
        self.blocks = nn.ModuleList(MultiscaleBlock(p, rate) for p, rate in zip(plans, rates, strict=True))
        self.norm = nn.LayerNorm(plans[-1].dim_out, eps=1e-6)
        nn.init.trunc_normal_(self.cls, std=0.02)

    def forward(self, video: Tensor, prompts: Prompts | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        patches = rearrange(self.stem(rearrange(video, "b t h w c -> b c t h w")), "b d t h w -> b (t h w) d")
        cls = repeat(self.cls, "d -> b 1 d", b=len(video))
        x, prefix, levels = run_blocks(self.blocks, cls, prompts, patches, self.level_blocks, self.checkpointing)
        mean = self.norm(x[:, prefix:].mean(1)) if self.summary == "mean" else None
        x = self.norm(x)
        levels = tuple(to_grid(x, self.grids[i]) for i, x in zip(self.level_blocks, levels, strict=True))
        features = Features(x[:, 0] if mean is None else mean, to_grid(x[:, prefix:], self.grids[-1]), {}, levels)
        return features, None if prompts is None else x[:, 1:prefix]

    def position_embeddings(self) -> dict[str, str]:
        """Relative positions: one row per distance."""
        return {name: "rows" for name, _ in self.named_parameters() if ".attn.positions." in name}
