"""uniformerv2: CLIP's image tower on each frame, with local temporal blocks and global blocks over the video."""

from typing import Literal

import torch
from einops import rearrange, reduce, repeat
from pydantic import Field
from torch import Tensor, nn

from taskprompt.backbones._uniformerv2.blocks import FrameBlock, Global
from taskprompt.backbones._uniformerv2.layouts import LAYOUTS
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.model import Backbone, Encoder, Prompts
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import call, drop_path_rates, level_blocks, require_clip
from taskprompt.nn.prompts import prompts_by_block, replace_prompts
from taskprompt.nn.vit import Size, patch_dims, to_grid

SIZES = {"tiny": Size(64, 4, 4), "B": Size(768, 12, 12), "L": Size(1024, 24, 16)}
PATCHES = {"tiny": 8, "B": 16, "L": 14}
GLOBAL = {
    "B": (4, 8),
    "L": (4, 16),
    "tiny": (2, 3),
}  # how many of the last blocks have a global block: Kinetics; Something-Something


class Uniformerv2(Backbone):
    """UniFormerV2 (arXiv 2211.09552): global blocks on CLIP's tower (Kinetics), or local ones too (`local`: SSv2)."""

    layouts = LAYOUTS
    size: Literal["tiny", "B", "L"] = "B"  # CLIP's B/16 and L/14: 114 and 353 M parameters; tiny: 0.4 M, for CPUs
    local: bool = False  # local blocks, and temporal stride 2: the variant for Something-Something
    reads: tuple[int, ...] | None = None  # blocks, from 0, followed by a global one; null: last 4 (local: B 8, L 16)
    drop_path: float = Field(default=0.0, ge=0, lt=1)  # chance of skipping the last block, falling to 0 at the first
    global_drop_path: float = Field(default=0.0, ge=0, lt=1)  # drop path of the global blocks
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: 2, 12, 15 of 16, or as far in

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError if the clip is not a multiple of the patch, or a given block does not exist."""
        depth, side = SIZES[self.size].depth, PATCHES[self.size]
        if wrong := [i for i in self.readers() if not 0 <= i < depth]:
            raise SpecError(f"reads is {wrong[0]}, expected blocks from 0 to {depth - 1}, for there are {depth}.")
        return patch_dims(clip, (2 if self.local else 1, side, side), SIZES[self.size], self.levels)

    def readers(self) -> tuple[int, ...]:
        """The blocks that are followed by a global block over all frames."""
        depth = SIZES[self.size].depth
        return tuple(range(depth - GLOBAL[self.size][self.local], depth)) if self.reads is None else self.reads

    def build(self, clip: ClipSpec) -> "UniformerEncoder":
        """The encoder, freshly initialised: global and local blocks start as identity."""
        return UniformerEncoder(self, self.dims(clip))


class UniformerEncoder(Encoder):
    """[CLS, prompts, patches] of each frame through the trunk; prompts are copied into all frames and averaged.

    The summary is norm((1 - w) query + w CLS), w = sigmoid(balance), CLS averaged over time. The same norm is applied
    to patches and prompts, which the trunk does not normalise."""

    def __init__(self, spec: Uniformerv2, dims: Dims):
        super().__init__()
        size, side = SIZES[spec.size], PATCHES[spec.size]
        self.size, self.grid = (dims.frames, dims.height, dims.width), dims.grid
        self.taps, self.readers = level_blocks(spec.levels, size.depth), spec.readers()
        kernel, stride, padding = ((3, side, side), (2, side, side), (1, 0, 0)) if spec.local else (
            (1, side, side), (1, side, side), (0, 0, 0)
        )  # fmt: skip
        self.stem = nn.Conv3d(3, size.dim, kernel, stride, padding, bias=False)
        scale = size.dim**-0.5
        self.cls = nn.Parameter(scale * torch.randn(size.dim))
        self.place = nn.Parameter(scale * torch.randn(*dims.grid[1:], size.dim))
        self.norm_pre = nn.LayerNorm(size.dim)
        self.blocks = nn.ModuleList(
            FrameBlock(size.dim, size.heads, dims.grid, spec.local, rate)
            for rate in drop_path_rates(spec.drop_path, size.depth)
        )
        self.query = nn.Parameter(torch.zeros(size.dim))
        self.global_blocks = nn.ModuleList(
            Global(size.dim, size.heads, dims.grid, rate)
            for rate in drop_path_rates(spec.global_drop_path, len(self.readers))
        )
        self.balance = nn.Parameter(torch.zeros(size.dim))
        self.norm = nn.LayerNorm(size.dim)

    def forward(self, video: Tensor, prompts: Prompts | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        entering, later = prompts_by_block(prompts, len(self.blocks))
        x, prefix = self._embed(video, self._copies(entering))
        query = repeat(self.query, "d -> b 1 d", b=len(video))
        reader, levels = iter(self.global_blocks), {}
        for i, block in enumerate(self.blocks):
            x = call(block, replace_prompts(x, self._copies(later[i]), 1), prefix, checkpointing=self.checkpointing)
            if i in self.readers:
                query = call(next(reader), query, x, prefix, checkpointing=self.checkpointing)
            if i in self.taps:
                levels[i] = self._maps(x[:, prefix:])
        share = torch.sigmoid(self.balance)
        summary = self.norm((1 - share) * query[:, 0] + share * self._mean(x[:, 0]))
        x = self.norm(x)
        features = Features(summary, self._maps(x[:, prefix:]), {}, tuple(levels[i] for i in self.taps))
        return features, None if prompts is None else self._mean(x[:, 1:prefix])

    def _embed(self, video: Tensor, prompts: Tensor | None) -> tuple[Tensor, int]:
        """b t h w c, (b t) n d -> (b t) n d; how many tokens come before the patches. Prompts have no position."""
        patches = rearrange(self.stem(video.permute(0, 4, 1, 2, 3)), "b d t h w -> (b t) (h w) d")
        first = repeat(self.cls, "d -> b 1 d", b=len(patches))
        x = self.norm_pre(torch.cat([first, patches + self.place.flatten(0, 1)], 1))
        if prompts is None:
            return x, 1
        return torch.cat([x[:, :1], prompts, x[:, 1:]], 1), 1 + prompts.shape[1]

    def _copies(self, prompts: Tensor | None) -> Tensor | None:
        return None if prompts is None else repeat(prompts, "b n d -> (b t) n d", t=self.grid[0])

    def _mean(self, x: Tensor) -> Tensor:
        """(b t) ... -> b ..."""
        return reduce(x, "(b t) ... -> b ...", "mean", t=self.grid[0])

    def _maps(self, patches: Tensor) -> Tensor:
        """(b t) (h w) d -> b t h w d."""
        return to_grid(rearrange(patches, "(b t) n d -> b (t n) d", t=self.grid[0]), self.grid)

    def position_embeddings(self) -> dict[str, str]:
        """Spatial positions."""
        return {"place": "h w"}
